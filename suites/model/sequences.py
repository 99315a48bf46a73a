# SPDX-License-Identifier: GPL-2.0-only
"""Hypothesis's strategies for sequences of calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from helpers.contract.access import Direction, FaultKind, faults, faulty_id
from helpers.contract.calling_forms import CONDUITS, HVC, SMC, Form
from helpers.contract.functions import UPPER
from helpers.contract.model import operations as op
from helpers.contract.model.guest_calls import CALLEES, families
from helpers.contract.model.machine import MEMORY, MOST_VCPUS, MOST_VMS, Host
from helpers.contract.neighbours import PSCI_0_1, PSCI_0_2, PSCI_1_0, PSCI_VERSION, WORKAROUND_REGISTERS
from helpers.contract.registers import Dialect, Register
from helpers.guest_layout import PV_TIME_IPA
from helpers.smccc import U64, Conduit
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId

Sequences = SearchStrategy[list[op.OnVm]]

_WHERE = st.sampled_from([(vm, vcpu) for vcpu in range(MOST_VCPUS - 1) for vm in range(MOST_VMS)])
"""Model.applied maps them to existing VMs and vCPUs."""
_WITH: tuple[int, ...] = (uapi.KVM_ARM_VCPU_PSCI_0_2,)
_WITHOUT: tuple[int, ...] = ()
_FORMS = st.sampled_from([
    *CONDUITS, HVC, SMC, Form("HVC #1", Conduit.HVC_1), Form("HVC #0xffff", Conduit.HVC_FFFF),
    Form("SMC #1", Conduit.SMC_1), Form("SMC #0xffff", Conduit.SMC_FFFF),
    Form("HVC with x0's upper half set", Conduit.HVC, UPPER), Form("SMC with x0's upper half set", Conduit.SMC, UPPER),
])  # fmt: skip
AREAS = (PV_TIME_IPA, PV_TIME_IPA + 64, PV_TIME_IPA + 128)
_IPAS = (*AREAS * 3, PV_TIME_IPA + 1, PV_TIME_IPA + 32, 0, MEMORY.stop, 1 << 52)
_VERSIONS = (PSCI_0_1, PSCI_0_2, *(PSCI_1_0 | minor for minor in range(5)), 0, 3, 1 << 32 | PSCI_0_2)


def _somewhere(rows: Sequence[op.OnVm]) -> SearchStrategy[op.OnVm]:
    """One of ``rows``, the simplest first, on any vCPU."""
    return st.builds(_placed, _WHERE, st.sampled_from(rows))


def _turns(strategy: SearchStrategy[op.OnVm], number: int) -> list[SearchStrategy[op.OnVm]]:
    """``number`` weights in one_of, which drops duplicates of a strategy and flattens a nested one_of."""
    return [strategy.map(lambda operation: operation) for _ in range(number)]


def _placed(where: tuple[int, int], operation: op.OnVm) -> op.OnVm:
    if isinstance(operation, op.OnVcpu):
        return replace(operation, vm=where[0], vcpu=where[1])
    return replace(operation, vm=where[0])


def _bitmaps(host: Host) -> SearchStrategy[op.OnVm]:
    """Reads and writes of the registers: every subset, unsupported bits, and sometimes a wrong id."""
    right: list[op.OnVm] = []
    wrong: list[op.OnVm] = []
    for register in host.registers:
        exact = RegisterId(register.name, register.id)
        above = next(1 << bit for bit in range(64) if not register.mask >> bit & 1)
        right += [op.GetReg(0, 0, exact)] * 4
        right += [op.SetReg(0, 0, exact, value) for value in register.subsets()] * 3
        wrong += [op.SetReg(0, 0, exact, v) for v in (above, above | 1, 1 << 32, register.beyond, U64)]
        wrong += [op.GetReg(0, 0, each) for each in _almost(register, Direction.GET, host.dialect)]
        wrong += [op.SetReg(0, 0, each, 0) for each in _almost(register, Direction.SET, host.dialect)]
    return st.one_of(*_turns(_somewhere(right), 4), _somewhere(wrong))


def _writes(host: Host) -> SearchStrategy[op.OnVm]:
    """Bitmaps that are accepted before a run."""
    return _somewhere([op.SetReg(0, 0, RegisterId(r.name, r.id), v) for r in host.registers for v in r.subsets()])


def _almost(register: Register, direction: Direction, dialect: Dialect) -> list[RegisterId]:
    """The register's id with one fault."""
    wrong = [
        f for f in faults(direction, dialect) if f.kind in (FaultKind.ID_HIGH, FaultKind.ID_SIZE, FaultKind.ID_LOW)
    ]
    return [RegisterId(f"{register.name}, {f.name}", faulty_id(register, (f,))) for f in wrong]


def _neighbours(host: Host) -> SearchStrategy[op.OnVm]:
    """PSCI_VERSION, with more than half of the weight, and the workarounds' registers."""
    others = [w.register for w in WORKAROUND_REGISTERS if w.register.name in dict(host.levels)]
    rows: list[op.OnVm] = [op.GetReg(0, 0, PSCI_VERSION)] * 8
    rows += [op.SetReg(0, 0, PSCI_VERSION, version) for version in (*_VERSIONS, PSCI_0_2, PSCI_0_2, PSCI_1_0)]
    for register in others:
        rows += [op.GetReg(0, 0, register), *(op.SetReg(0, 0, register, v) for v in (0, 1, 2, 3, 0x12, 1 << 63))]
    return _somewhere(rows)


def _calls() -> SearchStrategy[op.OnVm]:
    """Each family of functions has the same weight, whatever its number of arguments."""
    by_family = families()
    most = max(map(len, by_family.values()))
    names = [names[n % len(names)] for names in by_family.values() for n in range(most)]

    def call(where: tuple[int, int], name: str, form: Form) -> op.OnVm:
        return op.GuestCall(*where, name, form)

    return st.builds(call, _WHERE, st.sampled_from(names), _FORMS)


_RUNS = _somewhere([op.Run(0, 0, how) for how in op.How])
_LIVES = _somewhere([
    *(op.CreateVcpu(0, vcpu) for vcpu in range(MOST_VCPUS)), *[op.Init(0, 0, _WITH)] * 4, op.Init(0, 0, _WITHOUT),
    op.CreateVm(0), op.CloseVm(0),
])  # fmt: skip
_QUERIES = _somewhere([op.ListRegs(0, 0), op.CheckExtension(0), op.EnableCap(0)])
_PV_TIME = _somewhere([op.PvTime(0, 0, r, ipa) for r in op.Request for ipa in (_IPAS if r is op.Request.SET else (0,))])


def _filters() -> SearchStrategy[op.OnVm]:
    """Ranges from any function on, and at the edges of the reserved ranges; most of the weight is on a few."""
    ids = sorted({callee.id for callee in CALLEES.values()})
    often = [0x84000000, 0x84000050, 0x84000050, 0xC4000000, 0xC5000020, 0x86000000, 0x86000000]
    bases = [*ids, *often * (len(ids) // len(often)), 0, 0x7FFFFFFF, 0x80000000, 0xC000FFFF, 0xFFFFFFFF]
    counts = st.sampled_from([1, 1, 2, 3, 0x60, 0x10000, 0x10000, 0])
    actions = st.sampled_from([0, 1, 1, 1, 2, 2, 2, 3])
    return st.builds(op.SetFilter, st.integers(0, MOST_VMS - 1), st.sampled_from(bases), counts, actions)


_BEGINNINGS = st.tuples(st.integers(1, 2), st.integers(1, 2), st.sampled_from([_WITH, _WITH, _WITH, _WITHOUT]))


def _begun(vms: int, vcpus: int, features: tuple[int, ...]) -> list[op.OnVm]:
    """VMs with initialised vCPUs: without them most calls fail."""
    operations: list[op.OnVm] = []
    for vm in range(vms):
        operations.append(op.CreateVm(vm))
        for vcpu in range(vcpus):
            operations += [op.CreateVcpu(vm, vcpu), op.Init(vm, vcpu, features)]
    return operations


MIXES = ("registers", "guest", "filter", "everything")
"""The calls that most of a sequence consists of."""


def sequences(host: Host, mix: str, length: int) -> Sequences:
    """Sequences of calls that create VMs and vCPUs, and up to ``length`` others."""
    bitmaps, calls, filters, neighbours = _bitmaps(host), _calls(), _filters(), _neighbours(host)
    turns = {
        "registers": ((bitmaps, 6), (neighbours, 2), (_RUNS, 1), (_LIVES, 2), (_QUERIES, 1)),
        "guest": ((bitmaps, 2), (calls, 8), (_PV_TIME, 1), (neighbours, 1), (_LIVES, 1)),
        "filter": ((filters, 2), (calls, 6), (bitmaps, 2), (_RUNS, 1), (_LIVES, 1)),
        "everything": ((bitmaps, 3), (calls, 4), (filters, 1), (neighbours, 1), (_PV_TIME, 1), (_RUNS, 1), (_LIVES, 2),
                       (_QUERIES, 1)),
    }  # fmt: skip
    chosen = [each for strategy, number in turns[mix] for each in _turns(strategy, number)]
    # A run locks the VM. Without calls before it, most VMs would be locked in their initial state.
    before = [*_turns(_writes(host), 3), *_turns(_PV_TIME, 1)]
    before += _turns(filters, 4) if mix in ("filter", "everything") else []
    return st.builds(
        lambda begun, *rest: [*_begun(*begun), *(each for part in rest for each in part if each)],
        _BEGINNINGS, _places(before, length // 4), _places(chosen, length - length // 4),
    )  # fmt: skip


def _places(chosen: Sequence[SearchStrategy[op.OnVm]], length: int) -> SearchStrategy[list[op.OnVm | None]]:
    """Lists of a fixed length with gaps: Hypothesis shrinks a call to None more easily than it drops it."""
    return st.lists(st.one_of(st.none(), *chosen), min_size=length, max_size=length)
