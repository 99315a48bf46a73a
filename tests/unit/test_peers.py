# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's selftests in a machine: what is put into it, and what is read from its console."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.errors import HarnessError
from tools.mutants.page import write_mutants_page
from tools.mutants.peers_log import FAULTS_NAME, MUTANTS_NAME, noticing, peers_file
from tools.peers import boot
from tools.peers.boot import NO_FILE, PeerResult, PlanStep, peers_initramfs, run_peers

CONSOLE = """\
[    0.000000] Booting Linux
peer: none hypercalls 0 210\r
peer: none steal_time 4 3\r
[    1.5] peer: not at the start of a line
peer: lock-missing hypercalls 254 190\r
peer: lock-missing steal_time timeout 60000\r
peer: end\r
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a fake QEMU prints, instead of a boot."""
    console = tmp_path / "console"
    monkeypatch.setattr(boot, "peers_command", lambda image, initrd: ["cat", str(console)])
    return console


def test_the_archive_has_plan_modules_and_tests_in_order(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("init", "hypercalls", "kvm_hvc_planted.ko")]
    for path in files:
        path.write_bytes(path.name.encode())
    init, test, module = files
    data = peers_initramfs(init, [test], [PlanStep(NO_FILE, "none"), PlanStep("/sys/x", "7")], [module])
    assert b"- none\n/sys/x 7\n" in data
    order = [data.index(name) for name in (b"plan\0", b"modules/00-kvm_hvc_planted.ko\0", b"tests/hypercalls\0")]
    assert order == sorted(order)


def test_the_console_has_a_result_for_each_test(machine: Path) -> None:
    machine.write_text(CONSOLE)
    results, enough = run_peers(machine, machine, seconds=20)
    assert enough
    assert results == (
        PeerResult("none", "hypercalls", "0", 210),
        PeerResult("none", "steal_time", "4", 3),
        PeerResult("lock-missing", "hypercalls", "254", 190),
        PeerResult("lock-missing", "steal_time", "timeout", 60000),
    )


def test_a_machine_that_needs_longer_gives_what_it_has(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write_text(CONSOLE)
    script = f"cat {machine}; exec sleep 100"
    monkeypatch.setattr(boot, "peers_command", lambda image, initrd: ["sh", "-c", script])
    results, enough = run_peers(machine, machine, seconds=0.5)
    assert (len(results), enough) == (4, False)


@pytest.mark.parametrize(
    ("console", "why"),
    [("", "its console is empty"), ("peer-error: cannot write 7 to /sys/x: No such file\r\n", "cannot write 7")],
)
def test_a_machine_that_did_not_follow_the_plan_is_an_error(machine: Path, console: str, why: str) -> None:
    machine.write_text(console)
    with pytest.raises(HarnessError, match=why):
        run_peers(machine, machine, seconds=20)


def test_a_test_that_fails_on_the_control_notices_nothing() -> None:
    statuses = {
        "none": {"hypercalls": "0", "steal_time": "4", "psci_test": "254"},
        "lock-missing": {"hypercalls": "254", "steal_time": "254", "psci_test": "254"},
        "flood": {"hypercalls": "0", "kernel": "died"},
        "filter-absent": {"hypercalls": "4"},
    }
    assert noticing("lock-missing", statuses) == ["hypercalls"]
    assert noticing("flood", statuses) == ["kernel"]
    assert noticing("filter-absent", statuses) == noticing("none", statuses) == []


@pytest.mark.parametrize("missing", [FAULTS_NAME, MUTANTS_NAME])
def test_no_page_without_their_results(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.mutants.page.put_into", lambda *_: {})
    monkeypatch.setattr("tools.mutants.page.release", lambda _: "6.12")
    for name in {FAULTS_NAME, MUTANTS_NAME} - {missing}:
        peers_file(tmp_path, name).write_text('{"none": {"hypercalls": "0"}}')
    with pytest.raises(HarnessError, match=f"have not run on the {missing}.*tools.peers {missing}"):
        write_mutants_page(tmp_path, tmp_path / "mutants.md")
    assert not (tmp_path / "mutants.md").exists()
