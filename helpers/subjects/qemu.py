# SPDX-License-Identifier: GPL-2.0-only
"""A kernel booted in QEMU, with the executor as /init and virtio-serial as the wire."""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from helpers.errors import HarnessError
from helpers.executor import wire
from helpers.executor.program import Answer, Program
from helpers.subjects.base import KernelDied, smoke
from helpers.subjects.initramfs import build_initramfs
from helpers.subjects.kernels import Kernel

QEMU = "qemu-system-aarch64"
BOOT_SECONDS = 120
"""Debian's kernel takes 3 s here; a loaded CI machine is slower, a hang is for ever."""
GRACE_SECONDS = 20
"""What an answer may take past the program's own deadline."""
CPU = "a64fx"
"""The oldest of QEMU's processors with SVE, and without pointer authentication, which is slow to emulate."""
COMMAND_LINE = "console=ttyAMA0 panic=-1 loglevel=6"

_CAUSES = (
    ("khx: no virtio-serial port", "the kernel has no virtio-pci or no virtio-console driver",
     "Build it with CONFIG_PCI_HOST_GENERIC, CONFIG_VIRTIO_PCI and CONFIG_VIRTIO_CONSOLE"),
    ("Unable to mount root fs", "the kernel did not unpack the initramfs",
     "Build it with CONFIG_BLK_DEV_INITRD and CONFIG_BINFMT_ELF"),
    ("No working init found", "the kernel could not start /init", "Build it with CONFIG_BINFMT_ELF"),
    ("Kernel panic", "the kernel panicked at boot", "Look at the console's last lines"),
)  # fmt: skip


def qemu_path() -> str:
    """The emulator's path. Raises HarnessError when it is not installed."""
    path = shutil.which(QEMU)
    if path is None:
        raise HarnessError(
            f"{QEMU} is not installed",
            why="an arm64 kernel can only be booted with it on this machine",
            cure="Run make setup, or install QEMU for arm64 (Debian: qemu-system-arm)",
        )
    return path


class Qemu:
    """One virtual machine with EL2, started when first needed and again after its kernel died."""

    def __init__(self, kernel: Kernel, init: Path) -> None:
        self.label = kernel.label
        self.kernel = kernel
        self.generation = 0
        self.boot_seconds = 0.0
        self._init = init
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: socket.socket | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    # --- life ---------------------------------------------------------------

    def start(self) -> None:
        """Boots the kernel and waits for its executor. Raises HarnessError with the likely cause."""
        if self._process is not None:
            return
        began = time.monotonic()
        self.generation += 1
        self._spawn()
        try:
            self._wait_for_executor()
        except BaseException:
            self.close()
            raise
        self.boot_seconds = time.monotonic() - began

    def _spawn(self) -> None:
        if not self._init.exists():
            raise HarnessError("The executor is not built", why=f"{self._init} is missing", cure="Run make setup")
        qemu = qemu_path()
        self._directory = tempfile.TemporaryDirectory(prefix="kvm-hvc-")
        initrd = Path(self._directory.name) / "initrd"
        initrd.write_bytes(build_initramfs(self._init, self.kernel.modules))
        ours, theirs = socket.socketpair()
        self._wire = ours
        with theirs:
            command = [*_die_with_parent(), qemu, *self._arguments(initrd, theirs.fileno())]
            # A session of its own: Ctrl-C is for us to handle, not for QEMU.
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._log("qemu").open("wb"),
                start_new_session=True,
            )

    def _arguments(self, initrd: Path, fd: int) -> list[str]:
        return [
            "-M", "virt,virtualization=on,gic-version=3", "-cpu", CPU, "-smp", "1", "-m", "512",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", str(self.kernel.image), "-initrd", str(initrd), "-append", COMMAND_LINE,
            "-serial", f"file:{self._log('console')}",
            "-chardev", f"socket,id=wire,fd={fd}",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=wire,name=khx",
        ]  # fmt: skip

    def _log(self, name: str) -> Path:
        assert self._directory is not None
        return Path(self._directory.name) / name

    def console(self) -> str:
        """What the kernel has printed since it was started."""
        if self._directory is None or not self._log("console").exists():
            return ""
        return self._log("console").read_text("utf-8", "replace")

    def _last_words(self, lines: int = 20) -> str:
        text = "\n".join(self.console().splitlines()[-lines:])
        # A console may hold anything; a terminal that shows it must not obey it.
        return "".join(c if c.isprintable() or c == "\n" else "." for c in text) or "(nothing was printed)"

    def _wait_for_executor(self) -> None:
        assert self._wire is not None
        self._wire.settimeout(BOOT_SECONDS)
        try:
            smoke_timeout = BOOT_SECONDS
            self._exchange(Program(), smoke_timeout)
        except (OSError, EOFError) as error:
            raise self._boot_failure(error) from None
        smoke(self)

    def _boot_failure(self, error: Exception) -> HarnessError:
        console = self.console()
        why = f"no answer within {BOOT_SECONDS} s" if isinstance(error, TimeoutError) else self._exit_text()
        cure = "Look at the console's last lines"
        for text, cause, remedy in _CAUSES:
            if text in console:
                why, cure = cause, remedy
                break
        return HarnessError(
            f"The kernel of {self.label} did not start under QEMU",
            why=why,
            cure=f"{cure}. Its console ended with:\n{self._last_words()}",
        )

    def _exit_text(self) -> str:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        stderr = self._log("qemu").read_text("utf-8", "replace").strip()
        return f"QEMU ended with status {self._process.returncode}" + (f" ({stderr[-500:]})" if stderr else "")

    def close(self) -> None:
        """Ends the VM and removes its files."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    # --- programs -----------------------------------------------------------

    def run(self, program: Program) -> Answer:
        """One round trip; starts the VM when there is none.

        Raises KernelDied when the VM ended or went silent by itself, HarnessError when QEMU was killed.
        """
        if self._process is None:
            self.start()
        try:
            return self._exchange(program, program.deadline_ms / 1000 + GRACE_SECONDS)
        except TimeoutError:
            raise self._died("it did not answer within the deadline") from None
        except (OSError, EOFError):
            raise self._gone() from None

    def _exchange(self, program: Program, seconds: float) -> Answer:
        assert self._wire is not None
        body = wire.encode(program)
        self._wire.settimeout(seconds)
        self._wire.sendall(struct.pack("<I", len(body)) + body)
        (length,) = struct.unpack("<I", self._receive(4))
        if length > wire.MAX_FRAME:
            raise HarnessError(f"{self.label} announced an answer of {length} bytes", why="no answer may be so long")
        return wire.decode(program, self._receive(length))

    def _receive(self, n: int) -> bytes:
        assert self._wire is not None
        out = bytearray()
        while len(out) < n:
            part = self._wire.recv(n - len(out))
            if not part:
                raise EOFError
            out += part
        return bytes(out)

    def _died(self, how: str) -> KernelDied:
        died = KernelDied(self.label, how, self._last_words())
        self.close()
        return died

    def _gone(self) -> Exception:
        text = self._exit_text()
        assert self._process is not None
        if (self._process.returncode or 0) == 0:
            return self._died(text)
        self.close()
        return HarnessError(f"QEMU, which ran {self.label}, was ended from outside", why=text, cure="Run again")

    @property
    def alive(self) -> bool:
        """Whether it is started."""
        return self._process is not None

    def describe(self) -> dict[str, str]:
        """Where it runs."""
        return {
            "home": "QEMU (TCG)", "kernel image": self.kernel.origin, "executor": "/init",
            "boot": f"{self.boot_seconds:.1f} s",
        }  # fmt: skip


def _die_with_parent() -> list[str]:
    """A killed pytest must leave no QEMU behind."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []
