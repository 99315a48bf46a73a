# SPDX-License-Identifier: GPL-2.0-only
"""The faults that the module can plant, with their clauses and hooks. Their ids are the module's names (faults.h)."""

from __future__ import annotations

from dataclasses import replace

from faults.fault import MAINLINE, RFC_V3, Fault
from faults.of_calls import CALLS, FILTER, GATES, SERVICES
from faults.of_events import EVENTS
from faults.of_left_behind import LEFT_BEHIND
from faults.of_neighbours import AREA_MEMORY, PSCI_CALLS
from faults.of_registers import ACCESS, CAPABILITY, DEFAULTS, LOCK, VALUES
from faults.of_vms import NEIGHBOURS, PV_TIME, RACES, RUN

_ALL = (
    *CAPABILITY, *DEFAULTS, *VALUES, *LOCK, *ACCESS, *GATES, *CALLS, *SERVICES, *FILTER, *RUN, *NEIGHBOURS, *PV_TIME,
    *RACES, *EVENTS, *LEFT_BEHIND, *PSCI_CALLS, *AREA_MEMORY,
)  # fmt: skip
_IN_BOTH = {
    "cap-on-dev-kvm-only", "cap-on-vm-only", "list-one-missing", "list-unknown", "default-empty", "vm-shared",
    "vcpu-own-value", "limit-none", "limit-one-more", "refused-stores", "set-only-sets", "lock-missing",
    "lock-per-vcpu", "lock-same-value", "lock-before-limit", "lock-stores", "get-busy-after-run", "gate-trng-open",
    "gate-ptp-open", "gate-ptp-shut", "id-unknown-silent", "closed-32-bits",
}  # fmt: skip
_IN_RFC = {"cap-unanswered", "cap-one-more", "cap-boolean"}
"""Faults of the RFC's capability, which mainline lacks. cap-answered is mainline's counterpart of cap-one-more."""


def _dialects(fault: Fault) -> Fault:
    if fault.id in _IN_RFC:
        return replace(fault, dialects=(RFC_V3,))
    return replace(fault, dialects=(MAINLINE, RFC_V3)) if fault.id in _IN_BOTH else fault


FAULTS = tuple(map(_dialects, _ALL))

UNPROVABLE = {"MIGRATE-4": "it needs a source that lacks a register, and a proof has a single kernel"}
"""Clauses that no planted fault can break, and why."""
