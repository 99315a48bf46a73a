# SPDX-License-Identifier: GPL-2.0-only
"""make setup and make doctor on a machine without packages: programs on PATH stand for apt, dpkg, sudo and id."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import ROOT

NEEDED = ("bash", "cat", "dirname", "env", "false", "grep", "make", "mkdir", "sh", "true", "uname")
COMMAND = "apt-get update && apt-get install --no-install-recommends qemu-system-arm gcc "


@dataclass(frozen=True)
class Machine:
    """A checkout, and a folder that is all of PATH."""

    root: Path
    programs: Path

    def put(self, name: str, script: str) -> None:
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def make(self, goal: str) -> tuple[int, str]:
        environment = {"PATH": str(self.programs), "LC_ALL": "C"}
        done = subprocess.run(
            [self.programs / "make", goal],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A user without sudo, on Debian without packages."""
    machine = Machine(tmp_path / "checkout", tmp_path / "programs")
    (machine.root / "tools").mkdir(parents=True)
    machine.programs.mkdir()
    for name in ("Makefile", "tools/setup.sh"):
        shutil.copy(ROOT / name, machine.root / name)
    for name in NEEDED:
        path = shutil.which(name)
        assert path, name
        (machine.programs / name).symlink_to(path)
    machine.put("id", "echo 1000")
    machine.put("dpkg-query", "exit 1")
    machine.put("apt-get", 'echo "apt-get $*"; echo "E: no network" >&2; exit 100')
    return machine


def test_no_apt(machine: Machine) -> None:
    (machine.programs / "apt-get").unlink()
    status, text = machine.make("setup")
    assert status and "install these first (Debian package names), then make setup again: qemu-system-arm gcc " in text


def test_no_sudo(machine: Machine) -> None:
    """Nothing is tried. The message has the command for root, and what to do then."""
    status, text = machine.make("setup")
    assert status and f"there is no sudo; as root, run: {COMMAND}" in text and "; then make setup again\n" in text
    assert "no network" not in text


def test_sudo_refuses(machine: Machine) -> None:
    """sudo runs once, and the message does not blame apt-get update."""
    machine.put("sudo", 'echo "$USER is not in the sudoers file." >&2; exit 1')
    status, text = machine.make("setup")
    assert status and text.count("not in the sudoers file") == 1 and "in part" not in text
    assert f"setup: apt-get update ended with status 1; as root, run: {COMMAND}" in text


@pytest.mark.parametrize("user", [0, 1000])
def test_apt_fails(user: int, machine: Machine) -> None:
    """After an update that failed in part it continues. apt's messages are shown, its progress is in a file."""
    machine.put("id", f"echo {user}")
    machine.put("sudo", 'exec "$@"')
    status, text = machine.make("setup")
    assert status and "apt-get update failed in part; continuing" in text and text.count("E: no network") == 2
    assert "setup: apt-get could not install the packages" in text and (COMMAND in text) == (user != 0)
    assert "apt-get -qq" not in text
    assert "apt-get -qq install" in (machine.root / ".build/apt.log").read_text()


def test_doctor_without_python(machine: Machine) -> None:
    status, text = machine.make("doctor")
    assert status and "there is no python3: run make setup, which installs it\n" in text
