# SPDX-License-Identifier: GPL-2.0-only
"""Fetches Debian packages into the cache, and creates VMs with a userland from them."""

from __future__ import annotations

import fcntl
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from helpers.errors import HarnessError
from helpers.subjects.apt import Apt, check_tools, choose_mirror
from helpers.subjects.choose import cache_directory
from helpers.subjects.cpu_models import MACHINE, choose_cpu
from helpers.subjects.initramfs import ArchiveEntry
from helpers.subjects.kernels import Kernel
from helpers.subjects.qemu import qemu_path


def fetched_once(home: Path, fetch: Callable[[Path], Path]) -> Path:
    """HOME, to which FETCH's file or folder is moved. FETCH creates it in a temporary folder. Other workers wait."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            with tempfile.TemporaryDirectory(dir=home.parent, prefix="tmp-") as name:
                fetch(Path(name)).rename(home)
    return home


def updated_apt(folder: Path, suite: str, *host: str) -> Apt:
    """apt with the package lists of a suite. Raises HarnessError if they cannot be fetched."""
    check_tools()
    apt = Apt(folder, suite, choose_mirror(None), *host)
    apt.prepare()
    apt.update()
    return apt


def unpacked(name: str, suite: str, *packages: str) -> Path:
    """The folder into which PACKAGES of a suite are unpacked. Raises HarnessError if they cannot be fetched."""

    def fetch(work: Path) -> Path:
        apt = updated_apt(work / "apt", suite)
        versions = {package: apt.show(package).get("Version", "") for package in packages}
        if not all(versions.values()):
            what = f"Debian {suite} has no {' or '.join(packages)}"
            raise HarnessError(what, cure="Try again, or name another mirror in KVM_HVC_DEBIAN_MIRROR")
        return unpack(apt, versions, work / "new")

    return fetched_once(cache_directory() / name / suite, fetch)


def unpack(apt: Apt, versions: Mapping[str, str], root: Path) -> Path:
    """Downloads packages and unpacks them into ROOT."""
    folder = root.with_name(f"{root.name}.packages")
    folder.mkdir()
    for package in apt.download(dict(versions), folder):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    return root


def entries_of(root: Path) -> Iterator[ArchiveEntry]:
    for path in sorted(root.rglob("*")):
        name, mode = str(path.relative_to(root)), path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield ArchiveEntry(name, mode, str(path.readlink()).encode())
        else:
            yield ArchiveEntry(name, mode, b"" if stat.S_ISDIR(mode) else path.read_bytes())


def account_entries(users: Mapping[str, int], in_kvm: str) -> Iterator[ArchiveEntry]:
    """/etc/passwd, /etc/group with the members of group kvm, and the folders."""
    for folder in ("dev", "etc", "home", *(f"home/{user}" for user in users)):
        yield ArchiveEntry(folder, stat.S_IFDIR | 0o755)
    yield ArchiveEntry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    homes = {user: "/root" if user == "root" else f"/home/{user}" for user in users}
    passwd = "".join(f"{user}:x:{uid}:{uid}::{homes[user]}:/bin/sh\n" for user, uid in users.items())
    group = "".join(f"{user}:x:{uid}:\n" for user, uid in users.items()) + f"kvm:x:50:{in_kvm}\n"
    for name, text in {"etc/passwd": passwd, "etc/group": group}.items():
        yield ArchiveEntry(name, stat.S_IFREG | 0o755, text.encode())


def qemu_command(kernel: Kernel, work: Path, *more: str) -> list[str]:
    """QEMU with a kernel and WORK/initrd. The console goes to WORK/console. QEMU is killed with pytest."""
    return [
        *(["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []),
        *(qemu_path(), "-M", MACHINE, "-cpu", choose_cpu(qemu_path(), kernel.image, "").name),
        *("-nodefaults", "-no-user-config", "-display", "none", "-serial", f"file:{work / 'console'}"),
        *("-kernel", str(kernel.image), "-initrd", str(work / "initrd"), *more),
    ]
