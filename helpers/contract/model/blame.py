# SPDX-License-Identifier: GPL-2.0-only
"""Determines the clauses that a wrong answer breaks."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.contract.model import operations as op

_OF_ALL = "MODEL-1"


def broken_clauses(steps: Sequence[op.Step], answers: Sequence[op.StepAnswer]) -> tuple[str, ...]:
    """MODEL-1, and the clauses that the last answer of a shortest sequence breaks.

    In a shortest sequence every call is necessary for the wrong answer. So an event in it means that the event's clause
    is broken, and calls on two VMs mean that a clause on the independence of VMs is broken.
    """
    last = steps[len(answers) - 1]
    wrong = next((want for want, got in zip(last.wants, answers[-1], strict=True) if not want.holds(got)), None)
    clauses = [_OF_ALL] if wrong is None else [_OF_ALL, wrong.clause]
    operations = [step.operation for step in steps[: len(answers)]]
    if any(isinstance(each, op.Disturb) for each in operations):
        clauses.append(_of_event(last.operation, clauses[-1]))
    if len({each.vm for each in operations}) > 1:
        clauses.append(_of_two_vms(last.operation))
    return tuple(dict.fromkeys(clauses))


def _of_event(last: op.OnVm, clause: str) -> str:
    """The clause on what an event must not change."""
    match last:
        case op.GuestCall() | op.ForwardedCall() | op.ResumeGuest():
            return "EVENT-4"
        case op.GetReg() | op.SetReg() if clause.startswith(("DEFAULT", "LIMIT", "LOCK")):
            return "EVENT-1" if isinstance(last, op.GetReg) else "EVENT-2"
        case op.GetReg() | op.SetReg() | op.PvTime() | op.SetFilter() | op.ListRegs():
            return "EVENT-3"
    return _OF_ALL


def _of_two_vms(last: op.OnVm) -> str:
    match last:
        case op.GetReg():
            return "DEFAULT-2"
        case op.SetReg():
            return "RUN-6"
        case op.SetFilter() | op.GuestCall() | op.ForwardedCall():
            return "FILTER-12"
    return _OF_ALL
