# SPDX-License-Identifier: GPL-2.0-only
"""Boots a kernel with the selftests in QEMU, which exits after the last selftest, and reads the results."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import HarnessError
from helpers.subjects.cpu_models import MACHINE, choose_cpu
from helpers.subjects.initramfs import ArchiveEntry, archive
from helpers.subjects.qemu import COMMAND_LINE, MEMORY_MB, qemu_path

_LINE = re.compile(r"^peer: (\S+) (\S+) (\S+) (\d+)\r?$", re.MULTILINE)
_PROBLEM = re.compile(r"^peer-error: (.*?)\r?$", re.MULTILINE)
NO_FILE = "-"
"""The file name of a step that writes no file."""


@dataclass(frozen=True)
class PlanStep:
    """One round of the selftests. Before it, /init writes VALUE to FILE. ``value`` also names the round."""

    file: str
    value: str


@dataclass(frozen=True)
class PeerResult:
    """``status`` is 0, another exit status, "signal-N" or "timeout"; ``ms`` is the duration in the machine."""

    value: str
    test: str
    status: str
    ms: int


def peers_initramfs(init: Path, tests: Sequence[Path], plan: Sequence[PlanStep], modules: Sequence[Path] = ()) -> bytes:
    """The cpio archive with INIT, TESTS, and MODULES in load order."""
    folders = ("dev", "proc", "sys", "tmp", "modules", "tests")
    entries = [ArchiveEntry(name, stat.S_IFDIR | 0o755) for name in folders]
    entries.append(ArchiveEntry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)))
    text = "".join(f"{step.file} {step.value}\n" for step in plan)
    entries.append(ArchiveEntry("plan", stat.S_IFREG | 0o644, text.encode()))
    entries.append(ArchiveEntry("init", stat.S_IFREG | 0o755, init.read_bytes()))
    for number, module in enumerate(modules):
        entries.append(ArchiveEntry(f"modules/{number:02}-{module.name}", stat.S_IFREG | 0o644, module.read_bytes()))
    entries += [ArchiveEntry(f"tests/{test.name}", stat.S_IFREG | 0o755, test.read_bytes()) for test in tests]
    return archive(entries)


def peers_command(image: Path, initrd: Path, arguments: str = "") -> list[str]:
    """QEMU's command line for a kernel IMAGE: its standard output is the console, and it exits after the last test."""
    cpu = choose_cpu(qemu_path(), image, "").name
    return [
        qemu_path(), "-M", MACHINE, "-cpu", cpu, "-smp", "1", "-m", str(MEMORY_MB), "-accel", "tcg",
        "-nodefaults", "-no-user-config", "-nic", "none", "-display", "none", "-no-reboot", "-serial", "stdio",
        "-kernel", str(image), "-initrd", str(initrd), "-append", f"{COMMAND_LINE} {arguments}".strip(),
    ]  # fmt: skip


def run_peers(image: Path, initrd: Path, *, seconds: float) -> tuple[tuple[PeerResult, ...], bool]:
    """The results on the console, and whether QEMU exited within SECONDS.

    If it did and results are missing, the kernel died. Raises HarnessError if a step of the plan failed, or if the
    console has no result.
    """
    command = peers_command(image, initrd)
    try:
        output = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
        console, enough = output.stdout, True
    except subprocess.TimeoutExpired as expired:
        console, enough = expired.stdout or b"", False
    text = console.decode("utf-8", "replace")
    problem = _PROBLEM.search(text)
    if problem or not text:
        why = problem[1] if problem else "its console is empty"
        raise HarnessError(f"The selftests did not run on {image}", why=why)
    results = _LINE.findall(text)
    return tuple(PeerResult(value, test, status, int(ms)) for value, test, status, ms in results), enough
