# SPDX-License-Identifier: GPL-2.0-only
"""A board for the tests: an arm64 VM with Debian's kernel, busybox and dropbear, reached through a forwarded port.

This is the only VM with a network. It is QEMU's user network, restricted to connections from this machine to the sshd.
"""

from __future__ import annotations

import lzma
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from helpers.subjects import choose
from helpers.subjects.initramfs import ArchiveEntry, archive
from helpers.subjects.kernels import Kernel, resolve_kernel
from tests.support.debian import account_entries, entries_of, fetched_once, qemu_command, unpack, updated_apt

USERS = {"root": 0, "member": 1000, "stranger": 1001, "crowded": 1002, "homeless": 1003}
"""A user in group kvm, one who is not, one whose home is full, and one whose home cannot be written."""
_NETWORK = ("failover", "net_failover", "virtio_net")
_INIT = """#!/usr/bin/busybox sh
/usr/bin/busybox mkdir -p /bin /sbin /proc /sys /dev /tmp /var/run
/usr/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/usr/sbin
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts pts /dev/pts
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mount -t tmpfs -o size=64k full /home/crowded
chmod 1777 /tmp
chmod 666 /dev/null
for module in {modules}; do insmod /modules/$module.ko; done
for user in {users}; do
    home=$(grep "^$user:" /etc/passwd | cut -d: -f6)
    mkdir -p $home/.ssh
    cp /authorized_keys $home/.ssh/
    chmod 755 $home
    chown -R $user $home
done
chown root /home/homeless
chown root:kvm /dev/kvm
chmod 660 /dev/kvm
echo 0 >/proc/sys/kernel/dmesg_restrict
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
dropbearconvert openssh dropbear /hostkey.openssh /hostkey
exec dropbear -F -E -r /hostkey
"""


def stable() -> tuple[Kernel, Path]:
    """Debian stable's kernel, and the folder with the board's user space for it. Both are cached."""
    cache = choose.cache_directory()
    kernel = resolve_kernel("debian:stable", cache=cache, mirror=None, progress=print)
    return kernel, fetched_once(cache / f"board-{kernel.origin.replace(' ', '_')}", partial(_userland, kernel))


def _userland(kernel: Kernel, work: Path) -> Path:
    """Unpack Debian stable's packages in WORK/root: busybox, dropbear with its libraries, the network modules."""
    apt = updated_apt(work / "apt", "stable")
    package, version = kernel.origin.split()
    root = unpack(apt, apt.needed(["dropbear-bin:arm64", "busybox-static:arm64"]), work / "root")
    unpack(apt, {package: version}, work / "kernel")
    (root / "modules").mkdir()
    for module in _NETWORK:
        (packed,) = (work / "kernel").rglob(f"{module}.ko.xz")
        (root / "modules" / f"{module}.ko").write_bytes(lzma.decompress(packed.read_bytes()))
    for unused in ("usr/share", "usr/lib/aarch64-linux-gnu/gconv"):
        shutil.rmtree(root / unused, ignore_errors=True)
    return root


def _entries(root: Path, work: Path) -> Iterator[ArchiveEntry]:
    yield from entries_of(root)
    for link in ("lib", "lib64"):
        if not (root / link).exists():
            yield ArchiveEntry(link, stat.S_IFLNK | 0o777, b"usr/lib")
    yield from account_entries(USERS, "member,crowded,homeless")
    init = _INIT.format(modules=" ".join(_NETWORK), users=" ".join(USERS))
    keys = {"authorized_keys": (work / "key.pub").read_text(), "hostkey.openssh": (work / "host").read_text()}
    for name, text in {"init": init, **keys}.items():
        yield ArchiveEntry(name, stat.S_IFREG | (0o600 if name in keys else 0o755), text.encode())


def files(root: Path, work: Path) -> None:
    """Creates WORK/initrd, whose sshd accepts WORK/key and has the host key WORK/host."""
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", work / name], check=True)
    (work / "initrd").write_bytes(archive(list(_entries(root, work))))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class BoardVm:
    """The board, and a program ssh that reaches it under the name "board"."""

    def __init__(self, kernel: Kernel, root: Path, work: Path) -> None:
        self._work = work
        self.port = free_port()
        files(root, work)
        (work / "known").write_text(f"board {(work / 'host.pub').read_text()}")
        more = ("-m", "768", "-accel", "tcg,tb-size=256", "-append", "console=ttyAMA0 loglevel=4 panic=1")
        network = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"
        device = "virtio-net-pci,netdev=net,romfile="
        command = qemu_command(kernel, work, *more, "-netdev", network, "-device", device)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def ssh(self, folder: Path, *, known: bool = True, key: bool = True) -> None:
        """Writes a program ssh to FOLDER that reaches the board as a user's configured ssh would."""
        folder.mkdir(exist_ok=True)
        (folder / "config").write_text(
            f"Host board\n HostName 127.0.0.1\n Port {self.port}\n IdentitiesOnly yes\n"
            f" IdentityFile {self._work / 'key' if key else folder / 'none'}\n"
            f" UserKnownHostsFile {self._work / 'known' if known else folder / 'none'}\n HostKeyAlias board\n"
        )
        program = folder / "ssh"
        program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh", path="/usr/bin:/bin")} -F {folder}/config "$@"\n')
        program.chmod(0o755)

    def wait(self) -> None:
        """Waits until sshd answers. Call ``ssh`` first."""
        until = time.monotonic() + 240
        while time.monotonic() < until and self._process.poll() is None:
            command = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "root@board", "true"]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(1)
        raise AssertionError(self.console())

    def console(self) -> str:
        return (self._work / "console").read_text("utf-8", "replace")[-3000:]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
