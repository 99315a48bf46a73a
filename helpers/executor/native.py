# SPDX-License-Identifier: GPL-2.0-only
"""The executor in this process, through cffi in API mode."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from cffi import FFI, VerificationError

from helpers.errors import HarnessError

HERE = Path(__file__).parent
EXTENSION = "_khx_native"
SOURCES = tuple(
    HERE / f"{name}.c" for name in ("executor", "read_program", "run_program", "run_child", "run_op", "answer")
)
"""The executor's source files without init.c, which has its main()."""


def build(directory: Path) -> Path:
    """Compiles the extension in ``directory``; returns the shared object's path. Raises HarnessError."""
    ffi = FFI()
    ffi.cdef("int executor_run(const uint8_t *, size_t, uint8_t **, size_t *);void executor_free(uint8_t *);")
    ffi.set_source(
        EXTENSION,
        '#include "executor.h"',
        sources=[str(source) for source in SOURCES],
        include_dirs=[str(HERE)],
        # Without debug information, which names the folder of the build: two builds give the same bytes.
        extra_compile_args=["-O2", "-g0"],
        extra_link_args=["-s"],
        libraries=["pthread"],
        # One shared object for all versions of Python: the code that cffi generates uses only the limited API.
        py_limited_api=True,
    )
    try:
        return Path(ffi.compile(tmpdir=str(directory)))
    except (VerificationError, ImportError) as error:
        # Since Python 3.12 cffi needs setuptools to compile.
        cure = "Run make setup, or pip install . again"
        raise HarnessError("The executor cannot be built", why=str(error), cure=cure) from None


class Native:
    """Runs request bodies with the executor linked into this process."""

    def __init__(self, shared_object: Path) -> None:
        self._module = _load(shared_object)

    def run(self, request: bytes) -> bytes:
        """Returns the answer body for a request body. Raises HarnessError if there is no memory for one."""
        ffi, lib = self._module.ffi, self._module.lib
        answer, length = ffi.new("uint8_t **"), ffi.new("size_t *")
        if lib.executor_run(request, len(request), answer, length):
            raise HarnessError("The executor could not answer", why="no memory", cure="Free memory and run again")
        try:
            return bytes(ffi.buffer(answer[0], length[0]))
        finally:
            lib.executor_free(answer[0])


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(EXTENSION, path)
    if spec is None or spec.loader is None or not path.exists():
        raise HarnessError("The executor is not built", why=f"{path} is missing", cure="Run make setup")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
