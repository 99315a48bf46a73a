# SPDX-License-Identifier: GPL-2.0-only
"""A start from a snapshot, and what happens if it cannot be written or read: a boot, and no error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.executor.program import Program
from helpers.identity import PLAIN, BootVariant
from helpers.subjects.kernels import Kernel
from helpers.subjects.qemu import Qemu
from helpers.subjects.remote import Remote
from helpers.subjects.snapshots import MOST, Snapshots
from tests.support.fake_qemu import FakeQemu
from tests.support.kernels import arm64_image

MONITOR = """
import json, threading
incoming = re.search(r"-incoming fd:(\\d+)", words)
print("from", os.read(int(incoming[1]), 99) if incoming else "a boot", file=console)

def serve(monitor, answers):
    fds = []
    monitor.sendall(b'{"QMP": {}}\\n')
    while data := (got := socket.recv_fds(monitor, 65536, 4))[0]:
        fds += got[1]
        command = json.loads(data)["execute"]
        if command == "migrate":
            os.write(fds[0], b"state")
            os.close(fds[0])
        monitor.sendall(b'{"event": "STOP"}\\n' + json.dumps(answers.get(command, {"return": {}})).encode() + b"\\n")

def monitor(**answers):
    known = {"query-migrate": {"return": {"status": "completed"}}, "query-status": {"return": {"running": False}}}
    fd = int(re.search(r"socket,id=monitor,fd=(\\d+)", words)[1])
    threading.Thread(target=serve, args=(socket.socket(fileno=fd), known | answers), daemon=True).start()

"""
FOREVER = "honest(1 << 30)\n"


class Starts:
    """A subject with snapshots, started and used as often as wanted."""

    def __init__(self, folder: Path) -> None:
        self.init, self.image, self.snapshots = folder / "init", folder / "Image", folder / "snapshots"
        self.init.touch()
        self.image.write_bytes(arm64_image())

    def subject(self, variant: BootVariant = PLAIN) -> tuple[Qemu, Remote]:
        """A machine, and the subject on it. It is not started."""
        kernel = Kernel("lab:booted", self.image, (), "a test")
        machine = Qemu(kernel, self.init, variant=variant, start_seconds=5, snapshots=self.snapshots)
        return machine, Remote(machine, lambda _: contextlib.nullcontext())

    def start(self, variant: BootVariant = PLAIN) -> tuple[str, dict[str, str]]:
        """The console's text, and the facts about the machine."""
        machine, subject = self.subject(variant)
        program = Program()
        opened = program.open("/dev/null", 0)
        program.close(opened)
        assert subject.run(program)[opened].ret > 2
        printed, facts = machine.console(0), subject.describe()
        subject.close()
        return printed, facts

    @property
    def kept(self) -> list[bytes]:
        """The snapshots' contents."""
        return [path.read_bytes() for path in self.snapshots.glob("*-*")]


@pytest.fixture
def starts(tmp_path: Path, fake: FakeQemu) -> Iterator[Starts]:
    yield Starts(tmp_path)


def test_the_second_start_is_from_the_snapshot_of_the_first(fake: FakeQemu, starts: Starts) -> None:
    fake.does(MONITOR + "monitor()\n" + FOREVER)
    printed, facts = starts.start()
    assert "from a boot" in printed and "snapshot" not in facts["boot"]
    assert starts.kept == [b"state"]
    printed, facts = starts.start()
    assert "from b'state'" in printed and "from a snapshot" in facts["boot"]
    assert starts.kept == [b"state"]


def test_a_start_with_every_processor_is_a_boot(fake: FakeQemu, starts: Starts) -> None:
    fake.does(MONITOR + "if '-mon' in words: monitor()\nprint('maxcpus=1' in words, file=console)\n" + FOREVER)
    starts.start()
    machine, subject = starts.subject()
    subject.start()
    for every, printed in ((True, "from a boot\nFalse"), (False, "from b'state'\nTrue")):
        assert subject.use_processors(every=every) and not subject.alive
        subject.start()
        assert printed in machine.console(0)
        assert ("from a snapshot" in machine.describe().get("boot", "")) is not every
        assert not subject.use_processors(every=every) and subject.alive
    subject.close()


def test_another_kernel_is_booted(fake: FakeQemu, starts: Starts) -> None:
    fake.does(MONITOR + "monitor()\n" + FOREVER)
    starts.start()
    starts.image.write_bytes(arm64_image())
    assert "from a boot" in starts.start()[0]
    starts.init.write_text("another executor")
    assert "from a boot" in starts.start()[0]


def test_with_arguments_for_qemu_each_start_is_a_boot(fake: FakeQemu, starts: Starts) -> None:
    """They may name a file, such as a device tree, that is another one the next time."""
    fake.does('print("-incoming" in words, file=console)\n' + FOREVER)
    for _ in range(2):
        assert "False" in starts.start(BootVariant(qemu="-dtb board.dtb"))[0]
    assert not starts.snapshots.exists()


@pytest.mark.parametrize("dies", ["sys.exit(1)", "time.sleep(60)"], ids=["refused", "silent"])
def test_a_snapshot_that_does_not_start_is_removed(dies: str, fake: FakeQemu, starts: Starts) -> None:
    fake.does(MONITOR + "monitor()\n" + FOREVER)
    starts.start()
    text = MONITOR + f"if incoming: {dies}\nmonitor(**{{'query-migrate': {{'return': {{'status': 'failed'}}}}}})\n"
    fake.does(text + FOREVER)
    printed, facts = starts.start()
    assert "from a boot" in printed and "snapshot" not in facts["boot"]
    assert starts.kept == [b""]
    fake.does(MONITOR + "monitor()\n" + FOREVER)
    for _ in range(2):
        assert "from a boot" in starts.start()[0], "it is not made again"


@pytest.mark.parametrize(
    "monitor",
    [
        "monitor(**{'query-migrate': {'return': {'status': 'failed'}}})",
        "monitor(migrate={'error': {'desc': 'a device cannot migrate'}})",
        "monitor(qmp_capabilities={'error': {}})",
        "os.close(int(re.search(r'id=monitor,fd=(\\d+)', words)[1]))",
    ],
    ids=["failed", "refused", "no_capabilities", "closed"],
)
def test_a_machine_without_a_snapshot(monitor: str, fake: FakeQemu, starts: Starts) -> None:
    fake.does(MONITOR + f"{monitor}\n" + FOREVER)
    assert "from a boot" in starts.start()[0]
    assert starts.kept == [] and [path.name for path in starts.snapshots.iterdir()] == ["lock"]


def test_the_oldest_are_removed(tmp_path: Path) -> None:
    for number in range(MOST + 3):
        (tmp_path / f"{number:032}-100").write_bytes(b"")
    Snapshots(tmp_path)._remove_oldest()
    assert len(list(tmp_path.iterdir())) == MOST


def test_a_folder_that_cannot_be_written(fake: FakeQemu, starts: Starts) -> None:
    starts.snapshots.write_text("a file")
    fake.does(MONITOR + "monitor()\n" + FOREVER)
    assert "from a boot" in starts.start()[0]
