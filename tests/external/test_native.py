# SPDX-License-Identifier: GPL-2.0-only
"""pip install and pytest on an arm64 machine, with the same results as on the same kernel in QEMU.

The machine has no compiler, no network and no privileges for the user. It is emulated, and takes minutes for that.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from helpers.identity import LOCAL
from helpers.results.log import read_log
from helpers.results.records import NOT_MEASURED, Log
from helpers.results.verdict import verdicts
from helpers.subjects import choose
from helpers.subjects.kernels import resolve_kernel
from tests.support import native_vm
from tests.support.sessions import run_pytest

KERNEL = "debian:stable"
QEMU_LOG = "KVM_HVC_QEMU_LOG"
"""Names the log of a session on the same kernel by this tree, as make check has one; without it one is made here."""
MEMBER = """
python -m pip install -q --no-index /home/member/*.whl
kvm-hvc-conformance doctor
cd /home/member/checkout
python -m pytest -n 2 --test-deadline=200 --race-rounds=200 --reports=/tmp/member/reports
"""
_UNMEASURED = (
    "suites/concurrency/",
    "suites/events/test_while_running.py::",
    "suites/left_behind/test_lives.py::test_memory_",
    "suites/left_behind/test_log.py::",
)
STRANGER = "kvm-hvc-conformance doctor || kvm-hvc-conformance run -k capability"


def _qemu_log(folder: Path) -> Log:
    given = os.environ.get(QEMU_LOG)
    if given:
        return read_log(Path(given))
    status, text = run_pytest("-q", "-n", "2", f"--kernel={KERNEL}", f"--reports={folder}")
    assert status == 0, text
    return read_log(folder / "results.jsonl")


def _outcomes(log: Log) -> dict[str, str]:
    return {result.nodeid: result.outcome for result in log.results}


def _without_unmeasured(log: Log, other: Log) -> Log:
    """The log without the tests that one of both did not measure: races, guests that stay, and hundreds of VMs, on
    machines of different speed, and the kernel's log, which an ordinary user may not read."""
    names = {each.nodeid for results in (log, other) for each in results.results if each.outcome == NOT_MEASURED}
    assert all(name.startswith(_UNMEASURED) or "stolen_time" in name for name in names), names
    return replace(
        log,
        results=tuple(each for each in log.results if each.nodeid not in names),
        collected=tuple(each for each in log.collected if each.nodeid not in names),
        started=tuple(each for each in log.started if each.nodeid not in names),
    )


def _line(log: Log) -> str:
    (verdict,) = verdicts(log)
    return verdict.line.replace(f" {verdict.subject.label} ", " SUBJECT ", 1)


def test_the_wheel_on_an_arm64_machine(tmp_path: Path) -> None:
    cache = choose.cache_directory()
    kernel = resolve_kernel(KERNEL, cache=cache, mirror=None, progress=print)
    base = native_vm.userland(kernel, cache / "native")
    wheel = native_vm.wheel(tmp_path)
    assert "-cp311-abi3-linux_aarch64" in wheel.name
    native_vm.copy_checkout(tmp_path / "home/checkout")
    shutil.copy(wheel, tmp_path / "home")
    scripts = {"member": MEMBER, "stranger": STRANGER}
    console = native_vm.run(kernel, base, tmp_path, scripts, seconds=1800)
    assert (tmp_path / "member/status").exists(), console[-5000:]
    output = (tmp_path / "member/output").read_text()
    assert (tmp_path / "member/status").read_text() == "0\n", output
    assert "A run without options tests this machine's own KVM. It can start." in output
    logs = read_log(tmp_path / "member/reports/results.jsonl"), _qemu_log(tmp_path / "qemu")
    native, qemu = _without_unmeasured(*logs), _without_unmeasured(*reversed(logs))
    assert {result.subject for result in native.results} == {LOCAL}
    assert len(_outcomes(native)) > 1000
    assert _outcomes(native) == _outcomes(qemu)
    assert _line(native) == _line(qemu)
    # A user outside of group kvm gets one sentence, in any folder, from the program that the wheel installs.
    output = (tmp_path / "stranger/output").read_text()
    assert (tmp_path / "stranger/status").read_text() == "3\n", output
    assert "/dev/kvm may not be opened by this user: permission denied. Add the user to the group kvm" in output
    assert "-> sudo usermod -aG kvm stranger, then log in again" in output and "Traceback" not in output
