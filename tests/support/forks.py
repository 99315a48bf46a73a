# SPDX-License-Identifier: GPL-2.0-only
"""Runs pytest sessions in separate processes that are forked from one that has imported pytest and the recorder.

Starting a new Python takes three times as long, mostly for imports.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT

_IMPORTS = ("pytest", "_pytest.unittest", "jinja2", "execnet", "helpers.recording.recorder")


@dataclass(frozen=True)
class Ended:
    """A session's exit status, and what it wrote to stdout and stderr."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The non-empty lines of stdout, or one empty line if there are none."""
        return [line for line in self.out.splitlines() if line.strip()] or [""]


class ForkServer:
    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.support.forks"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)

    def run(self, folder: Path, environment: Mapping[str, str], arguments: Sequence[str]) -> Ended:
        """Runs pytest in ``folder``, as ``python -m pytest`` would."""
        assert self._process.stdin and self._process.stdout
        request = {"folder": str(folder), "environment": dict(environment), "arguments": list(arguments)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return Ended(status, (folder / "out").read_text(), (folder / "err").read_text())

    def close(self) -> None:
        self._process.communicate()


def _serve() -> None:
    for name in _IMPORTS:
        __import__(name)
    # A garbage collection in a fork would otherwise copy the memory of all these objects.
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            _session(**request)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _session(folder: str, environment: dict[str, str], arguments: list[str]) -> None:
    import pytest

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "err", os.O_WRONLY)):
        os.dup2(os.open(path, flags | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.exit(pytest.main(arguments))


if __name__ == "__main__":
    _serve()
