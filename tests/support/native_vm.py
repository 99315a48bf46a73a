# SPDX-License-Identifier: GPL-2.0-only
"""An arm64 machine for the tests: a VM with Debian stable's kernel and Python, in which the wheel is installed.

Only its byte code is compiled on this machine, with the same version of Debian's Python for this machine's
architecture. Byte code does not depend on the architecture, and an emulated processor would take minutes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from helpers.subjects.initramfs import ArchiveEntry, archive
from helpers.subjects.kernels import Kernel
from tests.support import ROOT
from tests.support.debian import account_entries, entries_of, fetched_once, qemu_command, unpack, updated_apt

USERS = {"member": 1000, "stranger": 1001}
"""The users. ``member`` is in group kvm."""
_PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_28_aarch64")
_SITE = "opt/venv/lib/{python}/site-packages"
_UNUSED = ("usr/share", "usr/sbin", "usr/lib/systemd", "usr/lib/aarch64-linux-gnu/gconv", "var", "etc")
_INIT = """#!/usr/bin/busybox sh
/usr/bin/busybox mkdir -p /bin /proc /sys /dev /tmp
/usr/bin/busybox --install -s /bin
export PATH=/opt/venv/bin:/usr/bin:/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
chmod 1777 /tmp /dev/shm
chmod 666 /dev/null /dev/zero /dev/urandom
for module in /modules/*.ko; do [ ! -e $module ] || insmod $module; done
chown root:kvm /dev/kvm
chmod 660 /dev/kvm
chown -R member /home/member /opt/venv
ip link set lo up
date -s @{now}
for user in {users}; do
    [ -e /$user.sh ] || continue
    mkdir /tmp/$user
    chown $user /tmp/$user
    # Also on the console, which shows the progress if the machine is killed at its timeout.
    {{ su $user -c "cd /tmp/$user; sh -ex /$user.sh"; echo $? >/tmp/$user/status; }} 2>&1 | tee /tmp/$user/output
done
tar -cf /dev/vport0p1 -C /tmp {users}
poweroff -f
"""


def wheel(folder: Path) -> Path:
    """The wheel for arm64, built by pip, with the cross compiler if this machine has another architecture."""
    cross = {
        "CC": "aarch64-linux-gnu-gcc",
        "LDSHARED": "aarch64-linux-gnu-gcc -shared",
        # The limited API's headers are the same for all machines with 64-bit pointers.
        "_PYTHON_HOST_PLATFORM": "linux-aarch64",
    }
    environment = {**os.environ, **(cross if platform.machine() != "aarch64" else {})}
    source = folder / "source"
    copy_checkout(source)
    pip = (sys.executable, "-m", "pip")
    _do(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source, environment=environment)
    (path,) = folder.glob("*.whl")
    return path


def copy_checkout(target: Path) -> None:
    """Copies this tree, without files that git ignores and files that a run of the suite does not need."""
    command = ["git", "ls-files", "-co", "--exclude-standard", ":!tests", ":!docs"]
    for name in subprocess.check_output(command, cwd=ROOT, text=True).split():
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def userland(kernel: Kernel, cache: Path) -> Path:
    """An initramfs with Debian stable's busybox and Python, and the wheel's dependencies.

    It is kept in CACHE until KERNEL, a pinned version or this file changes. Then Debian's packages are fetched again.
    """
    pins = _pins()
    key = repr((kernel.origin, pins)).encode() + Path(__file__).read_bytes() + (ROOT / "pyproject.toml").read_bytes()

    def fetch(work: Path) -> Path:
        host = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
        apt = updated_apt(work / "apt", "stable", host)
        root = unpack(apt, apt.needed(["python3:arm64", "busybox-static:arm64"]), work / "arm64")
        python = _add_dependencies(root, pins)
        _compile(unpack(apt, apt.needed(["python3"]), work / "host"), python, root)
        (work / "cpio").write_bytes(archive(list(entries_of(root))))
        return work / "cpio"

    path = fetched_once(cache / f"{hashlib.sha256(key).hexdigest()[:16]}.cpio", fetch)
    for other in set(cache.glob("*.cpio")) - {path}:
        other.unlink(missing_ok=True)
    return path


def _do(*command: str | Path, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _pins() -> list[str]:
    lines = (ROOT / "requirements/run.txt").read_text().splitlines()
    return [line.split()[0] for line in lines if "==" in line]


def _add_dependencies(root: Path, pins: list[str]) -> str:
    """Installs the dependencies in a virtual environment. Returns the interpreter's name, such as python3.13."""
    python = (root / "usr/bin/python3").readlink().name
    version = python.removeprefix("python")
    constraints = root.with_name("constraints")
    constraints.write_text("\n".join(pins))
    command = [sys.executable, "-m", "pip", "install", "-q", "--only-binary=:all:", f"--python-version={version}"]
    command += [f"--platform={each}" for each in _PLATFORMS]
    command += [f"--constraint={constraints}", f"--target={root / _SITE.format(python=python)}", "--no-compile"]
    # pip installs the wheel there.
    _do(*command, "pip", *tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    environment = root / "opt/venv"
    (environment / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}\n")
    (environment / "bin").mkdir()
    for name in ("python", "python3", python):
        (environment / "bin" / name).symlink_to(f"/usr/bin/{python}")
    return python


def _compile(host: Path, python: str, root: Path) -> None:
    loader = next((host / "usr").glob("lib*/ld-linux-*.so.*"))
    libraries = ":".join(str(each.parent) for each in host.glob("usr/lib/*/libc.so.6"))
    for unused in _UNUSED:
        shutil.rmtree(root / unused, ignore_errors=True)
    folders = [root / "usr/lib" / python, root / _SITE.format(python=python)]
    # Python must not compare the byte code with the times of the sources, which the archive does not keep.
    command: list[str | Path] = [loader, "--library-path", libraries, host / "usr/bin" / python]
    command += ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", root, "-p", "/", *folders]
    _do(*command, environment={"PYTHONHOME": str(host / "usr")})


def _machine_files(kernel: Kernel, home: Path, scripts: Mapping[str, str]) -> Iterator[ArchiveEntry]:
    """The files that are in no package: users, /init, the kernel's modules, and the home of member."""
    for link in ("lib", "lib64"):
        yield ArchiveEntry(link, stat.S_IFLNK | 0o777, b"usr/lib")
    yield ArchiveEntry("modules", stat.S_IFDIR | 0o755)
    yield from account_entries({"root": 0, **USERS}, "member")
    init = _INIT.format(now=int(time.time()), users=" ".join(scripts))
    texts = {"etc/hosts": "127.0.0.1 localhost\n", "init": init}
    texts |= {f"{user}.sh": script for user, script in scripts.items()}
    for name, text in texts.items():
        yield ArchiveEntry(name, stat.S_IFREG | 0o755, text.encode())
    for module in kernel.modules:
        yield ArchiveEntry(f"modules/{module.name}", stat.S_IFREG | 0o644, module.read_bytes())
    for entry in entries_of(home):
        yield ArchiveEntry(f"home/member/{entry.name}", entry.mode, entry.data)


def run(kernel: Kernel, base: Path, work: Path, scripts: Mapping[str, str], *, seconds: float) -> str:
    """Runs each user's script, then copies each /tmp/USER to WORK. Its files status and output are the script's.

    WORK/home becomes the home of member. Returns the console's text. Raises subprocess.TimeoutExpired.
    """
    extra = archive(list(_machine_files(kernel, work / "home", scripts)))
    (work / "initrd").write_bytes(base.read_bytes() + bytes(-base.stat().st_size % 512) + extra)
    command = qemu_command(
        kernel,
        work,
        *("-smp", "2", "-m", "2048", "-accel", "tcg,thread=multi,tb-size=512", "-nic", "none", "-no-reboot"),
        *("-append", "console=ttyAMA0 loglevel=4 panic=-1", "-chardev", f"file,id=out,path={work / 'out.tar'}"),
        *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=out"),
    )
    subprocess.run(command, stdin=subprocess.DEVNULL, timeout=seconds, check=False)
    with contextlib.suppress(tarfile.ReadError), tarfile.open(work / "out.tar") as out:
        out.extractall(work, filter="data")
    return (work / "console").read_text("utf-8", "replace")
