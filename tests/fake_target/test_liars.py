# SPDX-License-Identifier: GPL-2.0-only
"""Subjects that never answer, answer garbage, late, twice or half, or die. Each error gives the cause."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.errors import HarnessError
from helpers.executor.program import Program
from helpers.subjects import remote
from helpers.subjects.base import GivenUp, KernelDied
from helpers.subjects.kernels import Kernel
from helpers.subjects.qemu import Qemu
from helpers.subjects.remote import MOST_FAILED_STARTS, Remote
from tests.support.fake_qemu import SILENCE, FakeQemu
from tests.support.kernels import arm64_image

FOREVER = "honest(1 << 30)\n"
# Python ignores the signal, QEMU does not.
FLOOD = "ask(); import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nprint('x' * (70 << 20), file=console)\n"
ANSWER = "wire.sendall(frame(executor.run(asked)))\n"
KHX = "print('khx: {}', file=console)\n"
PANIC = "print('Kernel panic - not syncing: {}', file=console)\n"


class Under:
    """A subject on a fake QEMU with short timeouts."""

    def __init__(self, folder: Path) -> None:
        self.init, image = folder / "init", folder / "Image"
        self.init.touch()
        image.write_bytes(arm64_image())
        self.machine = Qemu(Kernel("lab:liar", image, (), "a test"), self.init, start_seconds=3)
        self.subject = Remote(self.machine, lambda _: contextlib.nullcontext())

    def number(self, flags: int = os.O_RDONLY, *, test: float = 0) -> int:
        """The file descriptor of /dev/null there. TEST begins a test of so many seconds first."""
        if test:
            self.subject.begin_test(test)
        program = Program()
        opened = program.open("/dev/null", flags)
        program.close(opened)
        return self.subject.run(program)[opened].ret


@pytest.fixture
def under(tmp_path: Path, fake: FakeQemu) -> Iterator[Under]:
    under = Under(tmp_path)
    yield under
    under.subject.close()
    assert under.machine.pid is None


def test_an_honest_one(fake: FakeQemu, under: Under) -> None:
    fake.does("console.write('hello')\n" + FOREVER)
    assert under.number() > 2
    assert under.number() > 2
    assert under.subject.generation == 1


def test_one_that_was_launched_long_before_it_is_wanted(fake: FakeQemu, under: Under) -> None:
    fake.does(FOREVER)
    under.subject.launch()
    time.sleep(3.2)
    assert under.number() > 2
    # More than 3.2 s on a busy machine.
    assert re.match(r"at most ([3-9]|\d\d)\.", under.subject.describe()["boot"])


def test_the_boot_ends_with_the_last_output(fake: FakeQemu, under: Under) -> None:
    """The default timeouts adapt to the boot, not to the time that the subject waited for its first test."""
    fake.does("console.write('x\\n'); os.utime(console.name, (time.time() + 99,) * 2)\n" + FOREVER)
    under.subject.start()
    assert 99 <= under.machine.boot_seconds(1000) < 1000
    assert under.machine.boot_seconds(50) == 50


def test_the_boot_of_a_silent_kernel(fake: FakeQemu, under: Under) -> None:
    fake.does(FOREVER)
    under.subject.start()
    assert under.machine.boot_seconds(1000) == 1000


AT_START = {
    "never answers": (
        SILENCE,
        r"(?s)nothing was printed for 1 s.*console is empty.*1\. the kernel has no PL011 console: .*"
        r"2\. it needs a CPU feature that the model max,pauth=off,lpa2=off lacks: try --cpu=max.*3\. .* MiB of memory",
    ),
    "prints and never answers": ("while True: print(time.sleep(.1), file=console)\n", "no answer within 3 s"),
    "dies": ("sys.exit(0)\n", "powered off"),
    "ends in silence": ("sys.exit(0)\n", "powered off or rebooted; its console is empty. Check the likely causes"),
    "dies with an error": (
        "sys.exit('no such machine')\n",
        "status 1: no such machine; its console is empty. Run again",
    ),
    "is killed": ("import signal; os.kill(os.getpid(), signal.SIGKILL)\n", r"killed \(SIGKILL\)"),
    "answers garbage": ("ask(); wire.sendall(b'\\xff\\xfe\\xfd\\xfc' * 64)\ntime.sleep(600)\n", "cannot be read"),
    "answers with text": ("ask(); wire.sendall(b'\\x05\\0\\0\\0hello')\ntime.sleep(600)\n", "ends at byte 5"),
    "announces without end": ("ask(); wire.sendall(b'\\xff' * 64)\ntime.sleep(600)\n", "announced 4294967295 bytes"),
    "answers half": ("wire.sendall(frame(executor.run(ask()))[:9])\ntime.sleep(600)\n", "no answer"),
    "answers half and dies": ("wire.sendall(frame(executor.run(ask()))[:9])\n", "powered off"),
    "answers what was not asked": ("wire.sendall(frame(executor.run(b'')))\n" + FOREVER, "answers request 0"),
    "panics": (PANIC.format("VFS: none"), "panicked: .*VFS: none"),
    "has no virtio": ("print('khx: no virtio-serial port', file=console)\n", "CONFIG_VIRTIO_CONSOLE"),
    "has no file systems": (
        KHX.format("cannot mount devtmpfs on /dev: No such device (CONFIG_DEVTMPFS is not set)")
        + KHX.format("cannot mount sysfs on /sys: No such device (CONFIG_SYSFS is not set)")
        + KHX.format("no virtio-serial port: No such device"),
        "cannot mount sysfs on /sys: No such device. Build it with CONFIG_DEVTMPFS=y and CONFIG_SYSFS=y",
    ),
    "cannot load a module": (
        KHX.format("cannot load /modules/00-virtio.ko: Exec format error") + KHX.format("no virtio-serial port"),
        "start under QEMU: cannot load /modules/00-virtio.ko: Exec format error",
    ),
    "cannot load a module that it does not need": (
        KHX.format("cannot load /modules/00-x.ko: No such device") + PANIC.format("boo"),
        "it panicked: .*boo",
    ),
    "has no initramfs": ("print('VFS: Unable to mount root fs on', file=console)\n", "CONFIG_BLK_DEV_INITRD"),
    "runs out of memory": (PANIC.format("System is deadlocked on memory"), "deadlocked on memory"),
    "prints control characters": ("print('\\x1b[2Jboo\\x07', file=console)\n", r"\.\[2Jboo\."),
}


@pytest.mark.parametrize(("does", "message"), AT_START.values(), ids=AT_START)
def test_at_the_start(does: str, message: str, fake: FakeQemu, under: Under) -> None:
    fake.does(does)
    began = time.monotonic()
    with pytest.raises(HarnessError, match=message) as caught:
        under.subject.start()
    assert time.monotonic() - began < 20
    assert caught.value.cure
    assert "\x1b" not in str(caught.value)
    assert not under.subject.alive and under.machine.pid is None


def test_a_panic_before_the_kernel_can_reboot(fake: FakeQemu, under: Under) -> None:
    """QEMU goes on. The panic is reported at once, not after the default timeout without output."""
    machine = Qemu(under.machine.kernel, under.init)
    subject = Remote(machine, lambda _: contextlib.nullcontext())
    fake.does(PANIC.format("Oops: Fatal exception") + SILENCE)
    began = time.monotonic()
    with pytest.raises(HarnessError, match=r"it panicked: .*Oops: Fatal exception"):
        subject.start()
    assert time.monotonic() - began < machine.start_seconds / 20
    assert machine.pid is None


IN_A_TEST: dict[str, tuple[str, type[Exception], str]] = {
    "never answers": ("ask()\n" + SILENCE, KernelDied, "did not answer for 1 s"),
    "panics": ("ask(); " + PANIC.format("boo"), KernelDied, "not syncing: boo"),
    "powers off": ("ask(); sys.exit(0)\n", KernelDied, "powered off or rebooted"),
    "executor stops": ("ask(); " + KHX.format("cannot serve: Boo"), HarnessError, "the executor stopped: Boo"),
    "killed": ("ask(); os.kill(os.getpid(), 9)\n", HarnessError, r"QEMU was killed \(SIGKILL\)"),
    "stopped": ("ask(); os.kill(os.getpid(), 19)\n", HarnessError, "QEMU was stopped by a signal"),
    "QEMU fails": ("ask(); sys.exit('qemu: fatal')\n", HarnessError, "qemu: fatal"),
    "garbage": ("ask(); wire.sendall(b'\\xff\\xfe\\xfd\\xfc' * 16)\n" + SILENCE, HarnessError, "cannot be read"),
    "short body": ("wire.sendall(frame(executor.run(ask())[:-3]))\n" + SILENCE, HarnessError, "cannot be read"),
    "half a frame": ("wire.sendall(frame(executor.run(ask()))[:-3])\n" + SILENCE, KernelDied, "did not answer"),
    "too long": ("wire.sendall(frame(executor.run(ask()) + b'more'))\n" + SILENCE, HarnessError, "after its end"),
    "floods the console": (FLOOD, KernelDied, "printed more than"),
}


@pytest.mark.parametrize(("does", "error", "message"), IN_A_TEST.values(), ids=IN_A_TEST)
def test_in_a_test(does: str, error: type[Exception], message: str, fake: FakeQemu, under: Under) -> None:
    fake.does("honest(1); asked = ask(); print('printed earlier', file=console)\n" + ANSWER + does)
    under.number()
    with pytest.raises(error, match=message) as caught:
        under.number(test=1 if "did not answer" in message else 20)
    assert "printed earlier" not in str(caught.value)
    assert isinstance(caught.value, KernelDied) or error is HarnessError
    fake.does(FOREVER)
    assert under.number(test=5) > 2
    assert under.subject.generation == 2


def test_two_answers_to_one_request(fake: FakeQemu, under: Under) -> None:
    fake.does("honest(1)\nanswer = frame(executor.run(ask()))\nwire.sendall(answer * 2)\n" + FOREVER)
    assert under.number() > 2
    with pytest.raises(HarnessError, match="answers request 2, not 3"):
        under.number(os.O_WRONLY)
    assert under.number() > 2


def test_a_late_answer_is_nobodys(fake: FakeQemu, under: Under) -> None:
    fake.does("honest(1)\nlate = executor.run(ask())\ntime.sleep(2)\nwire.sendall(frame(late))\n" + FOREVER)
    under.subject.start()
    with pytest.raises(KernelDied):
        under.number(test=1)
    under.subject.begin_test(5)
    fake.does(FOREVER)
    assert under.number() > 2


def test_last_words_begin_with_the_test(fake: FakeQemu, under: Under) -> None:
    fake.does(
        "print('booted', file=console); honest(2); ask()\n"
        "print('Internal error: Oops\\x1b[31m', file=console)\n"
        "print('Kernel panic - not syncing: Fatal', file=console)\n"
    )
    under.subject.start()
    under.number(test=5)
    with pytest.raises(KernelDied) as caught:
        under.number()
    assert caught.value.last_words == "Internal error: Oops.[31m\nKernel panic - not syncing: Fatal"
    assert caught.value.how == "Kernel panic - not syncing: Fatal"


def test_last_words_before_the_test(fake: FakeQemu, under: Under) -> None:
    """A kernel that dies between two tests is dead when the next test begins."""
    fake.does("honest(2); time.sleep(.5)\nprint('Kernel panic - not syncing: late', file=console)\n")
    under.number()
    while under.machine.end(None).how != "Kernel panic - not syncing: late":
        pass
    with pytest.raises(KernelDied) as caught:
        under.number(test=5)
    assert caught.value.last_words == "Kernel panic - not syncing: late"
    assert under.subject.untold() is caught.value and under.subject.untold() is None


def test_what_costs_too_much_is_given_up(fake: FakeQemu, under: Under, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MOST_LOST_SECONDS", 1.5)
    fake.does("honest(2); ask()\n" + SILENCE)
    for _ in range(2):
        under.number(test=30)
        with pytest.raises(KernelDied):
            under.number(test=1)
    with pytest.raises(GivenUp, match=r"its deaths and restarts took [0-9]+ s"):
        under.number(test=5)


def test_a_slow_test_is_not_the_kernels_fault(fake: FakeQemu, under: Under) -> None:
    fake.does(FOREVER)
    under.subject.start()
    under.subject.begin_test(1)
    time.sleep(1.1)
    with pytest.raises(HarnessError, match="--test-deadline"):
        under.number()
    under.subject.begin_teardown(5)
    assert under.number() > 2
    assert under.subject.generation == 1


def test_a_test_has_no_less_time_after_it_waited(fake: FakeQemu, under: Under) -> None:
    class Busy:
        @contextlib.contextmanager
        def turn(self, *, alone: bool) -> Iterator[float]:
            time.sleep(2.1)
            yield 2.1

    fake.does(FOREVER)
    under.subject = Remote(under.machine, lambda _: contextlib.nullcontext(), Busy())
    assert under.number(test=2) > 2


def test_each_end_is_counted(fake: FakeQemu, under: Under) -> None:
    fake.does("honest(2); ask()\n")
    for number in range(7):
        under.number(test=5)
        assert under.subject.ends == number
        with pytest.raises(KernelDied):
            under.number(test=5)
    fake.does("honest(1); ask(); wire.sendall(b'\\xff\\xfe\\xfd\\xfc' * 16)\n" + SILENCE)
    with pytest.raises(HarnessError):
        under.number(test=5)
    assert under.subject.ends == 8


def test_an_interrupted_program_is_no_end_of_the_kernel(
    fake: FakeQemu, under: Under, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pytest-timeout raises pytest's Failed wherever the test is."""
    fake.does(FOREVER)
    under.number()

    def time_out(*arguments: object) -> bytes:
        pytest.fail("Timeout")

    with monkeypatch.context() as patched, pytest.raises(pytest.fail.Exception):
        patched.setattr("helpers.subjects.stream.Stream.receive", time_out)
        under.number(test=5)
    assert under.subject.ends == 0 and under.number(test=5) > 2


def test_what_does_not_start_is_given_up(fake: FakeQemu, under: Under) -> None:
    fake.does("sys.exit(0)\n")
    for _ in range(MOST_FAILED_STARTS):
        with pytest.raises(HarnessError, match="did not start"):
            under.subject.start()
    with pytest.raises(GivenUp, match="failed to start"):
        under.subject.start()


def test_nothing_stays(fake: FakeQemu, under: Under, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fake.does(FOREVER)
    under.subject.start()
    pid = under.machine.pid
    assert pid and list(tmp_path.glob("kvm-hvc-*"))
    under.subject.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
    assert not list(tmp_path.glob("kvm-hvc-*"))
