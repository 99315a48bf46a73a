# SPDX-License-Identifier: GPL-2.0-only
"""A kernel booted in QEMU, with the executor as /init behind a virtio-serial port."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from helpers.errors import HarnessError
from helpers.identity import PLAIN, BootVariant, SubjectId
from helpers.subjects import console
from helpers.subjects.cpu_models import MACHINE, CpuModel, choose_cpu
from helpers.subjects.initramfs import build_initramfs
from helpers.subjects.kernels import Kernel
from helpers.subjects.remote import MachineEnd
from helpers.subjects.snapshots import BootSnapshot, Snapshots, name_of
from helpers.subjects.stream import Stream

QEMU = "qemu-system-aarch64"
BOOT_SECONDS = 180.0
"""Boot timeout in seconds. Debian's kernel takes 3 s, and more on a loaded machine; this only bounds hangs."""
PRINTING_SECONDS = 600.0
"""Default boot timeout for a kernel in QEMU that prints something in every quarter of BOOT_SECONDS.

A kernel with debug options boots many times slower, but prints all the time.
"""
COMMAND_LINE = (
    "console=ttyAMA0 earlycon=pl011,0x9000000 panic=-1 oops=panic loglevel=6 rcupdate.rcu_expedited=1 kpti=off "
    "debugfs=off"
)
"""A panic ends QEMU at once. An oops panics too, because the kernel is unreliable after it.

earlycon prints the messages of a kernel that ends before its console driver starts. With the address given, it works
before the device tree is parsed.

With rcu_expedited the end of a VM takes 2 ms instead of 10: kvm_destroy_mpidr_data (arch/arm64/kvm/arm.c) waits for an
RCU grace period if the VM had several vCPUs and ran.

With page table isolation (KPTI) each system call changes the ASID twice, and QEMU then discards all translations: the
tests take half as long again. KPTI protects the host's kernel from its own processes, and KVM does not depend on it. A
kernel with CONFIG_ARM64_E0PD does not use it on this CPU.

With debugfs=off a VM takes 0.4 ms less, because KVM creates no files of statistics for it (kvm_create_vm_debugfs).
"""
PROCESSORS = 2
ONE_IS_ON = "maxcpus=1"
"""The other processors are off until the tests of races bring them up (helpers/plugin/processors.py)."""
_RESTORE_SECONDS = 5.0
"""Timeout of a start from a snapshot, which takes less than a second. After it the kernel is booted."""
MEMORY_MB = 1024
AFTER_PANIC_SECONDS = 2.0
"""A panic early in the boot does not end QEMU, because the kernel cannot reboot yet."""
CODE_MB = 256
"""The size of QEMU's cache of translated code in MiB. QEMU's default is 1 GiB."""
_CONSOLE_LIMIT = 64 << 20
"""QEMU is killed after the kernel has printed this many bytes, because the console is a file on the host."""


def qemu_path() -> str:
    """The emulator's path. Raises HarnessError if it is not installed."""
    path = shutil.which(QEMU)
    if path is None:
        raise HarnessError(
            f"{QEMU} is not installed",
            why="an arm64 kernel can only be booted with it on this machine",
            cure="Run make setup, or install QEMU for arm64 (Debian: qemu-system-arm)",
        )
    return path


class Qemu:
    """One virtual machine with EL2; a remote.Machine."""

    def __init__(
        self,
        kernel: Kernel,
        init: Path,
        *,
        variant: BootVariant = PLAIN,
        start_seconds: float | None = None,
        snapshots: Path | None = None,
    ) -> None:
        """``snapshots`` is the folder for snapshots. If it is None, or with ``variant.qemu``, each start is a boot."""
        self.id = SubjectId(kernel.label, variant=variant)
        self._boot_timeout = start_seconds or PRINTING_SECONDS
        self._stall_seconds = (start_seconds or BOOT_SECONDS) / 4
        self.kernel = kernel
        self._init = init
        # With the user's arguments for QEMU no snapshot is used: they may name files whose contents change.
        self._snapshots = Snapshots(snapshots) if snapshots and not variant.qemu else None
        self._restored: BootSnapshot | None = None
        # If the user chooses the number of processors, all of them are on from the boot.
        self._every_processor = "-smp" in variant.qemu
        self._name = ""
        self._monitor: socket.socket | None = None
        self._launched = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._console: Path | None = None
        """Kept, because its size is read after every program."""

    @property
    def stall_seconds(self) -> float:
        """Seconds without output after which a start has stalled."""
        panicked = self._directory and console.last_panic(console.tail(self._file("console")))
        return min(AFTER_PANIC_SECONDS, self._stall_seconds) if panicked else self._stall_seconds

    @property
    def start_seconds(self) -> float:
        """Timeout of a start."""
        return self._boot_timeout if self._restored is None else min(_RESTORE_SECONDS, self._boot_timeout)

    @functools.cached_property
    def cpu(self) -> CpuModel:
        """The emulated CPU. Raises UsageError, HarnessError if there is none for this kernel."""
        return choose_cpu(qemu_path(), self.kernel.image, self.id.variant.cpu)

    def launch(self) -> Stream:
        """Starts QEMU. Raises HarnessError if it, or a file that it needs, is missing."""
        if not self._init.exists():
            raise HarnessError("The executor is not built", why=f"{self._init} is missing", cure="Run make setup")
        qemu = qemu_path()
        initrd = build_initramfs(self._init, self.kernel.modules)
        self._restored = None
        ours, theirs = socket.socketpair()
        with ours, theirs, contextlib.ExitStack() as given:
            try:
                snapshot = self._snapshots and not self._every_processor
                more, fds = self._snapshot_arguments(qemu, initrd, given) if snapshot else ([], [])
                self._spawn(qemu, initrd, [theirs.fileno(), *fds], more)
            except OSError as error:
                why = error.strerror or str(error)
                cure = f"Make room in {tempfile.gettempdir()}, and check that {qemu} can be executed"
                raise HarnessError("QEMU cannot be started", why=why, cure=cure) from None
            fd = ours.detach()
        return Stream(fd, fd)

    def _snapshot_arguments(self, qemu: str, initrd: bytes, given: contextlib.ExitStack) -> tuple[list[str], list[int]]:
        """QEMU's arguments for the monitor and the snapshot, and the fds that they name. ``given`` closes the fds."""
        assert self._snapshots is not None
        machine = [qemu_version(qemu), *self._machine_arguments(), self._command_line()]
        self._name = name_of(machine, [self.kernel.image], initrd)
        self._restored = self._snapshots.find(self._name)
        self._monitor, theirs = socket.socketpair()
        given.enter_context(theirs)
        fds = [theirs.fileno()]
        arguments = ["-chardev", f"socket,id=monitor,fd={fds[0]}", "-mon", "chardev=monitor,mode=control"]
        if self._restored is not None:
            fds.append(given.enter_context(self._restored.path.open("rb")).fileno())
            arguments += ["-incoming", f"fd:{fds[1]}"]
        return arguments, fds

    def keep_snapshot(self) -> None:
        """Called after the first answer of a boot: the next start of this kernel can continue from here."""
        if self._snapshots is not None and self._monitor is not None and self._restored is None:
            self._snapshots.save(self._name, self.boot_seconds(time.time() - self._launched), self._monitor)

    def discard_snapshot(self) -> bool:
        """Called after a failed start. Whether it was from a snapshot, which is then removed."""
        restored, self._restored = self._restored, None
        if restored is not None and self._snapshots is not None:
            self._snapshots.refuse(self._name, restored)
        return restored is not None

    def use_processors(self, *, every: bool) -> bool:
        """Whether the next boot has another number of processors than this one."""
        changes = "-smp" not in self.id.variant.qemu and every != self._every_processor
        if changes:
            self._every_processor = every
        return changes

    def _spawn(self, qemu: str, initrd: bytes, fds: list[int], more: list[str]) -> None:
        self._launched = time.time()
        self._directory = tempfile.TemporaryDirectory(prefix="kvm-hvc-", ignore_cleanup_errors=True)
        self._console = self._file("console")
        self._file("initrd").write_bytes(initrd)
        with self._file("qemu").open("wb") as errors:
            # A new session: Ctrl-C must not reach QEMU.
            self._process = subprocess.Popen(
                [*_limits(), qemu, *_safety(qemu), *self._arguments(fds[0]), *more],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def _arguments(self, fd: int) -> list[str]:
        return [
            *self._machine_arguments(),
            "-kernel", str(self.kernel.image), "-initrd", str(self._file("initrd")), "-append", self._command_line(),
            "-serial", f"file:{self._file('console')}",
            "-chardev", f"socket,id=wire,fd={fd}",
            "-device", "virtio-serial-pci,ioeventfd=off", "-device", "virtserialport,chardev=wire,name=khx",
        ]  # fmt: skip

    def _machine_arguments(self) -> list[str]:
        return [
            "-M", MACHINE, "-cpu", self.cpu.name, "-smp", str(PROCESSORS),
            "-m", str(MEMORY_MB), "-accel", f"tcg,tb-size={CODE_MB}",
            *shlex.split(self.id.variant.qemu),
        ]  # fmt: skip

    def _command_line(self) -> str:
        # VHE is the kernel's default on a CPU that has it.
        mode = f"kvm-arm.mode={self.id.variant.kvm_mode}" if self.id.variant.kvm_mode in ("nvhe", "protected") else ""
        processors = "" if self._every_processor else ONE_IS_ON
        return " ".join(part for part in (COMMAND_LINE, processors, mode, self.id.variant.arguments) if part)

    def _file(self, name: str) -> Path:
        assert self._directory is not None
        return Path(self._directory.name) / name

    @property
    def pid(self) -> int | None:
        """QEMU's process, if it was started."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """Ends the VM and removes its files."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = self._console = None

    def boot_seconds(self, waited: float) -> float:
        """The time until /init printed its last line, because the subject may be used long after its launch.

        After a start from a snapshot, it is the duration of the original boot, which shows how slow the kernel is.
        """
        if self._restored is not None:
            return max(waited, self._restored.boot_seconds)
        printed = console.last_output_time(self._file("console")) if self._directory else 0
        return min(waited, printed - self._launched) if printed > self._launched else waited

    def console_size(self) -> int:
        return console.size(self._console) if self._console else 0

    def console(self, since: int) -> str:
        return console.excerpt(self._file("console"), since) if self._directory else ""

    def start_failure(self, reason: str | None) -> HarnessError:
        """The error for a failed start, with the likely cause from the console."""
        printed = console.tail(self._file("console")) if self._directory else ""
        end = MachineEnd(reason, True) if reason else self.end(None)
        what = f"The kernel of {self.id.label} did not start under QEMU"
        if not printed:
            cure = self._silent_boot_cures() if end.by_kernel else end.cure
            return HarnessError(what, why=f"{end.how}; its console is empty", cure=cure)
        cure = "Look at the console's last lines; a slow machine needs more --boot-deadline"
        why, cure = console.boot_cause(printed) or (end.how, cure)
        return HarnessError(what, why=why, cure=f"{cure}.\nIts console ended with:\n{printed}")

    def _silent_boot_cures(self) -> str:
        """The cures if nothing was printed, the most likely first. The page size was checked before the boot."""
        cures = (
            "the kernel has no PL011 console: build it with CONFIG_SERIAL_AMBA_PL011_CONSOLE=y",
            f"it needs a CPU feature that the model {self.cpu.name} lacks: try --cpu=max",
            f"it needs more than {MEMORY_MB} MiB of memory: build it with fewer debug options",
            "this machine is slow: give more --boot-deadline",
        )
        return "Check the likely causes in this order:\n" + "\n".join(
            f"  {n}. {each}" for n, each in enumerate(cures, 1)
        )

    def end(self, answered_nothing_for: float | None) -> MachineEnd:
        if answered_nothing_for is not None and self._status() is None:
            if self._is_stopped():
                return MachineEnd("QEMU was stopped by a signal of another process", False, "Run again")
            return MachineEnd(f"it did not answer for {answered_nothing_for:.0f} s", True)
        status = self._status(wait=2)
        if status in (0, -signal.SIGXFSZ):
            printed = self.console(0)
            if error := console.executor_error(printed):
                return MachineEnd(f"the executor stopped: {error}", False)
            flood = f"it printed more than {_CONSOLE_LIMIT >> 20} MiB"
            return MachineEnd(flood if status else console.last_panic(printed) or "it powered off or rebooted", True)
        if status is not None and status < 0:
            name = signal.Signals(-status).name
            cure = "See dmesg for an out-of-memory message, and run again"
            return MachineEnd(f"QEMU was killed ({name})", False, cure)
        errors = self._file("qemu").read_text("utf-8", "replace").strip() if self._directory else ""
        message = console.printable_text(errors[-500:]) or "no message"
        return MachineEnd(f"QEMU ended with status {status}: {message}", False)

    def _status(self, wait: float = 0) -> int | None:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(wait)
        return self._process.returncode

    def _is_stopped(self) -> bool:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{self.pid}/stat").read_text()
            # The state follows the last bracket: the name may contain brackets.
            return text.rpartition(")")[2].split()[0] in "Tt"
        return False

    def describe(self) -> dict[str, str]:
        facts = {
            "runs on": "QEMU (TCG): emulated",
            "emulator": qemu_version(qemu_path()),
            "emulated CPU": f"{self.cpu.name} ({self.cpu.reason})",
            "kernel image": self.kernel.origin,
            "kernel command line": self._command_line(),
            "executor": "/init",
        }
        if self._restored is not None:
            facts["boot"] = f"{self._restored.boot_seconds:.1f} s; this start is from a snapshot of that boot"
        return {**facts, **self._configuration(), **self.id.variant.describe()}

    def _configuration(self) -> dict[str, str]:
        config = self.kernel.config
        if config is None or not config.is_file() or not config.stat().st_size:
            return {}
        return {"configuration": f"sha256 {hashlib.sha256(config.read_bytes()).hexdigest()} (its package's)"}


def _limits() -> list[str]:
    """The commands that start QEMU: it must end if pytest is killed, and the console must not fill the disk."""
    prlimit, setpriv = shutil.which("prlimit"), shutil.which("setpriv")
    command = [prlimit, f"--fsize={_CONSOLE_LIMIT}"] if prlimit else []
    return [*command, setpriv, "--pdeathsig", "KILL"] if setpriv else command


@functools.cache
def _safety(qemu: str) -> tuple[str, ...]:
    """No network, no default devices, and QEMU's seccomp sandbox if its build has one."""
    plain = ("-nodefaults", "-no-user-config", "-nic", "none", "-display", "none", "-no-reboot")
    if not has_sandbox(qemu):
        return plain
    return (*plain, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")


def has_sandbox(qemu: str) -> bool:
    """Whether this build of QEMU has the seccomp sandbox."""
    return "-sandbox" in _output(qemu, "-help")


@functools.cache
def qemu_version(qemu: str) -> str:
    """The first line of ``qemu -version``."""
    return _output(qemu, "-version").partition("\n")[0].strip()


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stdout
