# SPDX-License-Identifier: GPL-2.0-only
"""The lines that a guest's calls and refused calls write to the kernel's log.

These are a kernel's first tests: pr_err_ratelimited() prints nothing for five seconds after it has printed many lines.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from helpers.contract.check import Comparison
from suites.left_behind.calling import CallingVm
from suites.left_behind.conftest import MakeRefusing
from suites.left_behind.log_lines import compare_log, repeated

pytestmark = pytest.mark.first


@pytest.mark.clause("LEFT-4")
def test_guest_calls(calling: CallingVm, renew_deadline: Callable[[], float]) -> None:
    """A guest's calls, each made many times, write no line to the kernel's log more than once."""
    comparison, subject = Comparison(), calling.vm.kvm.subject
    made, none = repeated(calling.make), repeated(calling.make_none)
    compare_log(comparison, "guest calls", subject, renew_deadline, made, none)
    comparison.done()


@pytest.mark.clause("LEFT-4")
@pytest.mark.parametrize("when", ["before_run", "after_run"])
def test_refused_calls(when: str, make_refusing: MakeRefusing, renew_deadline: Callable[[], float]) -> None:
    """Refused calls, each made many times, write no line to the kernel's log more than once."""
    refusing, comparison = make_refusing(when), Comparison()
    subject = refusing.vm.kvm.subject
    refused, answered = repeated(refusing.make), repeated(refusing.make_none)
    compare_log(comparison, f"refused calls {when}", subject, renew_deadline, refused, answered)
    comparison.done()
