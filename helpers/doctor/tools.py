# SPDX-License-Identifier: GPL-2.0-only
"""Checks of the programs that build the C parts and run kernels: compilers, QEMU, user namespaces, ssh."""

from __future__ import annotations

import platform
import shutil
import sysconfig
from pathlib import Path

from helpers import build
from helpers.doctor.diagnosis import Diagnosis, diagnose, good, install, missing, warning
from helpers.errors import HarnessError
from helpers.subjects.cpu_models import default_page_sizes
from helpers.subjects.qemu import QEMU, has_sandbox, qemu_path, qemu_version
from helpers.subjects.ssh import Destination, command
from helpers.subjects.toolroot import check_namespaces

_QEMU_PACKAGE = ("qemu-system-arm",)


def c_parts() -> Diagnosis:
    """Whether the executor and the guest are built from the present sources."""
    name, outdated = "executor and guest", build.outdated()
    if not outdated:
        return good(name, f"built, in {build.OUTPUT}")
    return good(name, f"the next run compiles {', '.join(outdated)}")


def compilers() -> tuple[Diagnosis, ...]:
    """The compilers that ``helpers.build`` uses. They are not needed if the files are built."""
    cross = platform.machine() != "aarch64"
    names = ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross") if cross else ("gcc", "libc6-dev")
    # objcopy is in binutils, on which gcc depends.
    diagnoses = (
        diagnose("arm64 compiler", lambda: f"{build.tool_path('gcc')}, {build.tool_path('objcopy')}", install(names)),
        diagnose("arm64 static libc", lambda: str(build.static_libc()), install(names)),
        _host_compiler(),
    )
    return diagnoses if build.outdated() else tuple(map(_not_needed, diagnoses))


def _not_needed(compiler: Diagnosis) -> Diagnosis:
    return good(compiler.name, f"not needed: {compiler.detail}") if compiler.is_missing else compiler


def _host_compiler() -> Diagnosis:
    """The compiler and the headers for the C extension of this Python."""
    name, header = "C compiler", Path(sysconfig.get_path("include")) / "Python.h"
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return missing(name, "there is no program gcc or cc", install(("gcc", "libc6-dev", "python3-dev")))
    if not header.exists():
        return missing(name, f"{header} is missing", install(("python3-dev",)))
    return good(name, f"{compiler}, {header}")


def emulator() -> tuple[Diagnosis, ...]:
    """The emulator, the machine with EL2, and the sandbox. QEMU is started for each."""
    program = diagnose("QEMU", lambda: f"{qemu_version(qemu_path())}, {qemu_path()}", install(_QEMU_PACKAGE))
    if program.is_missing:
        return (program,)
    return (program, diagnose("QEMU machine with EL2", _page_sizes), _sandbox(), _guards())


def _page_sizes() -> str:
    sizes = default_page_sizes(qemu_path())
    return f"pages of {', '.join(f'{size}K' for size in sorted(sizes))}"


def _sandbox() -> Diagnosis:
    name = "QEMU sandbox"
    if has_sandbox(qemu_path()):
        return good(name, "seccomp")
    detail = f"{QEMU} is built without -sandbox: a hostile kernel that escapes from QEMU is not confined"
    return warning(name, detail, install(_QEMU_PACKAGE))


def _guards() -> Diagnosis:
    name, absent = "prlimit and setpriv", [each for each in ("prlimit", "setpriv") if not shutil.which(each)]
    if not absent:
        return good(name, "installed")
    what = "without prlimit a kernel's console can fill the disk, without setpriv QEMU can outlive a killed run"
    return warning(name, f"not installed: {', '.join(absent)}; {what}", install(("util-linux",)))


def user_namespaces() -> Diagnosis:
    """Whether the module of --dialect-host, --plant and prove can be built."""
    name = "user namespaces"
    try:
        return good(name, " ".join(check_namespaces()))
    except HarnessError as error:
        cure = error.cure.partition("Allow user namespaces: ")[2] or install(("util-linux",))
        return missing(name, error.why, cure)


def ssh() -> Diagnosis:
    """The program that reaches boards."""
    try:
        return good("ssh", command(Destination("board"), "")[0])
    except HarnessError as error:
        return missing("ssh", error.why, install(("openssh-client",)))
