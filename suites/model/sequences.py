# SPDX-License-Identifier: GPL-2.0-only
"""Generates random sequences of calls, weighted so that rare combinations occur."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from helpers.contract.access import Direction, FaultKind, faults, faulty_id
from helpers.contract.calling_forms import CONDUITS, HVC, SMC, Form
from helpers.contract.functions import UPPER
from helpers.contract.model import operations as op
from helpers.contract.model.guest_calls import CALLEES, families
from helpers.contract.model.machine import Model
from helpers.contract.model.state import MEMORY, MOST_VCPUS, Host, ModelVm
from helpers.contract.neighbours import PSCI_0_1, PSCI_0_2, PSCI_1_0, PSCI_VERSION, WORKAROUND_REGISTERS
from helpers.contract.registers import Dialect, Register
from helpers.guest_layout import PV_TIME_IPA
from helpers.smccc import U64, Conduit
from helpers.uapi.notation import RegisterId
from suites.events.perform import ACTORS
from suites.events.scene import TOPOLOGIES, Topology
from suites.model.alphabet import ANY_TOPOLOGY, BY_NAME, EFFECTS, Coverage, state_name

_FORMS = (
    *CONDUITS, HVC, SMC, Form("HVC #1", Conduit.HVC_1), Form("HVC #0xffff", Conduit.HVC_FFFF),
    Form("SMC #1", Conduit.SMC_1), Form("SMC #0xffff", Conduit.SMC_FFFF),
    Form("HVC with x0's upper half set", Conduit.HVC, UPPER), Form("SMC with x0's upper half set", Conduit.SMC, UPPER),
)  # fmt: skip
AREAS = (PV_TIME_IPA, PV_TIME_IPA + 64, PV_TIME_IPA + 128)
_IPAS = (*AREAS * 3, PV_TIME_IPA + 1, PV_TIME_IPA + 32, 0, MEMORY.stop, 1 << 52)
_VERSIONS = (PSCI_0_1, PSCI_0_2, *(PSCI_1_0 | minor for minor in range(5)), 0, 3, 1 << 32 | PSCI_0_2)
_TRIED_EVENTS = 16
"""Number of events to draw, of which the rarest is used. With more, all seeds would give similar sequences."""

MIXES = {"registers": 1, "guest": 1, "filter": 1, "everything": 1, "events": 4}
"""The mixes of calls, with their shares of all sequences. _WEIGHTS has the calls of each mix."""
_WEIGHTS = {
    "registers": {"bitmaps": 6, "neighbours": 2, "runs": 1, "lives": 2, "queries": 1, "events": 1},
    "guest": {"bitmaps": 2, "calls": 8, "areas": 1, "neighbours": 1, "lives": 1, "forwarded": 1},
    "filter": {"filters": 2, "calls": 6, "bitmaps": 2, "runs": 1, "lives": 1, "forwarded": 3},
    "everything": {"bitmaps": 3, "calls": 4, "filters": 1, "neighbours": 1, "areas": 1, "runs": 1, "lives": 2,
                   "queries": 1, "events": 2, "forwarded": 1},
    "events": {"events": 9, "bitmaps": 1, "runs": 1, "calls": 1, "lives": 1},
}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """The calls to choose from. They use VM 0 and vCPU 0, which ``Generator._placed`` replaces."""

    bitmaps: tuple[op.OnVm, ...]
    writes: tuple[op.OnVm, ...]
    neighbours: tuple[op.OnVm, ...]
    areas: tuple[op.OnVm, ...]
    runs: tuple[op.OnVm, ...]
    queries: tuple[op.OnVm, ...]
    filters: tuple[op.OnVm, ...]


def rows_of(host: Host) -> Rows:
    """The calls for a host. Repetitions are weights."""
    return Rows(
        bitmaps=_bitmaps(host),
        writes=tuple(op.SetReg(0, 0, RegisterId(r.name, r.id), v) for r in host.registers for v in r.subsets()),
        neighbours=_neighbours(host),
        areas=tuple(op.PvTime(0, 0, r, ipa) for r in op.Request for ipa in (_IPAS if r is op.Request.SET else (0,))),
        runs=tuple(op.Run(0, 0, how) for how in op.How),
        queries=(op.ListRegs(0, 0), op.CheckExtension(0), op.EnableCap(0)),
        filters=_filters(),
    )


def _bitmaps(host: Host) -> tuple[op.OnVm, ...]:
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
    return (*right * (1 + 4 * len(wrong) // max(1, len(right))), *wrong)


def _almost(register: Register, direction: Direction, dialect: Dialect) -> list[RegisterId]:
    """The register's id with one fault."""
    kinds = (FaultKind.ID_HIGH, FaultKind.ID_SIZE, FaultKind.ID_LOW)
    wrong = [f for f in faults(direction, dialect) if f.kind in kinds]
    return [RegisterId(f"{register.name}, {f.name}", faulty_id(register, (f,))) for f in wrong]


def _neighbours(host: Host) -> tuple[op.OnVm, ...]:
    """PSCI_VERSION, with more than half of the weight, and the workarounds' registers."""
    others = [w.register for w in WORKAROUND_REGISTERS if w.register.name in dict(host.levels)]
    rows: list[op.OnVm] = [op.GetReg(0, 0, PSCI_VERSION)] * 8
    rows += [op.SetReg(0, 0, PSCI_VERSION, version) for version in (*_VERSIONS, PSCI_0_2, PSCI_0_2, PSCI_1_0)]
    for register in others:
        rows += [op.GetReg(0, 0, register), *(op.SetReg(0, 0, register, v) for v in (0, 1, 2, 3, 0x12, 1 << 63))]
    return tuple(rows)


def _filters() -> tuple[op.OnVm, ...]:
    """Ranges that begin at a function or at the edge of a reserved range. A few of them have most of the weight."""
    ids = sorted({callee.id for callee in CALLEES.values()})
    often = [0x84000000, 0x84000050, 0x84000050, 0xC4000000, 0xC5000020, 0x86000000, 0x86000000]
    bases = [*ids, *often * (len(ids) // len(often)), 0, 0x7FFFFFFF, 0x80000000, 0xC000FFFF, 0xFFFFFFFF]
    counts, actions = (1, 1, 2, 3, 0x60, 0x10000, 0x10000, 0), (0, 1, 1, 1, 2, 2, 2, 3)
    return tuple(op.SetFilter(0, base, count, action) for base in bases for count in counts for action in actions)


class Generator:
    """Generates sequences of one mix and seed. All use one ``coverage``, so that each prefers events that are rare."""

    def __init__(self, host: Host, mix: str, seed: str, coverage: Coverage) -> None:
        self._host, self._coverage, self._random = host, coverage, random.Random(f"{mix} {seed}")
        self._weights, self._mix = _WEIGHTS[mix], mix
        self._rows, self._families = rows_of(host), tuple(families().values())
        self._topologies = [*(t for t in TOPOLOGIES if t.features in host.features), None]
        self._turn = 0
        self._begin()

    def _begin(self) -> None:
        self._model, self._operations = Model(self._host), list[op.OnVm]()
        self._names: dict[int, str] = {}

    def sequence(self, length: int) -> list[op.OnVm]:
        """Calls that create VMs in one of the topologies, and ``length`` others."""
        self._begin()
        self._create()
        before = self._random.choice((0, length // 8, length // 4, length // 2))
        begun = len(self._operations)
        while len(self._operations) < begun + before:
            self._early()
        while len(self._operations) < begun + length:
            self._one()
        return self._operations

    # --- choices --------------------------------------------------------------

    def _add(self, operation: op.OnVm) -> bool:
        """Adds the call if it can be made in the model's state. Returns whether it was added."""
        applied = self._model.applied(operation)
        if applied is None:
            return False
        if isinstance(applied, op.Disturb):
            self._coverage.add((applied.event, self._state(applied.vm), self._names[applied.vm]))
        self._model.step(applied)
        self._operations.append(applied)
        return True

    def _vm(self) -> int:
        return self._random.choice(list(self._model.vms))

    def _placed(self, operation: op.OnVm) -> op.OnVm:
        number = self._vm()
        vcpus = list(self._model.vms[number].vcpus)
        if isinstance(operation, op.OnVcpu) and vcpus:
            return replace(operation, vm=number, vcpu=self._random.choice(vcpus))
        return replace(operation, vm=number)

    def _pick(self, rows: Sequence[op.OnVm]) -> op.OnVm:
        return self._placed(self._random.choice(rows))

    def _state(self, number: int) -> str:
        return state_name(self._model.vms[number], self._host.registers)

    # --- the first calls --------------------------------------------------------

    def _create(self) -> None:
        """Creates one or two VMs. Each sequence begins with the next topology."""
        topology = self._topologies[self._turn % len(self._topologies)]
        self._turn += 1
        if topology is not None and topology.twin:
            # The older VM of such a topology.
            self._create_vm(None)
        self._create_vm(topology)
        if self._random.random() < 0.25:
            self._create_vm(self._random.choice(self._topologies))

    def _ids(self, topology: Topology) -> tuple[int, ...]:
        return topology.ids if set(topology.ids) <= set(self._host.vcpu_ids) else topology.low_ids

    def _create_vm(self, topology: Topology | None) -> None:
        number = sum(isinstance(each, op.CreateVm) for each in self._operations)
        if not self._add(op.CreateVm(number)):
            return
        self._names[number] = topology.name if topology else ANY_TOPOLOGY
        ids: Iterable[int] = self._ids(topology) if topology else self._some_ids()
        features = topology.features if topology else self._random.choice(self._host.features)
        for vcpu in ids:
            self._add(op.CreateVcpu(number, vcpu))
            self._add(op.Init(number, vcpu, features))
        self._values(number)
        if topology and topology.late is not None:
            if self._random.random() < 0.5:
                self._add(op.Run(number, self._random.choice(list(ids)), op.How.IMMEDIATE_EXIT))
            self._add(op.CreateVcpu(number, topology.late))
            self._add(op.Init(number, topology.late, features))

    def _some_ids(self) -> list[int]:
        return self._random.sample(self._host.vcpu_ids, self._random.randint(1, MOST_VCPUS))

    def _values(self, number: int) -> None:
        """Sets all registers full, all empty or each to any value; sometimes a stolen-time area and PSCI 0.2."""
        vm, held = self._model.vms[number], self._random.choice(("full", "empty", "mixed", "mixed"))
        vcpu = next(iter(vm.vcpus))
        for register in self._host.registers:
            values = {"full": [register.mask], "empty": [0]}.get(held, register.subsets())
            value = self._random.choice(values)
            if value != vm.values[register.name]:
                self._add(op.SetReg(number, vcpu, RegisterId(register.name, register.id), value))
        if self._random.random() < 0.5:
            self._add(op.PvTime(number, self._random.choice(list(vm.vcpus)), op.Request.SET, AREAS[0]))
        if vm.has_psci and self._random.random() < 0.25:
            self._add(op.SetReg(number, vcpu, PSCI_VERSION, PSCI_0_2))

    def _early(self) -> None:
        """Adds a call that does not lock the registers. Without it, most VMs would be locked in their first state."""
        choice = self._random.random()
        if choice < 0.4 and "filters" in self._weights:
            self._add(self._pick(self._rows.filters))
        elif choice < 0.7 and "events" in self._weights:
            self._event(locks=False)
        else:
            self._add(self._pick(self._rows.writes if choice < 0.9 else self._rows.areas))

    # --- the rest ---------------------------------------------------------------

    def _one(self) -> None:
        if not self._model.vms:
            self._create_vm(None)
        kind = self._random.choices(list(self._weights), list(self._weights.values()))[0]
        match kind:
            case "events":
                self._event(locks=True)
            case "calls":
                self._call()
            case "lives":
                self._life()
            case "forwarded":
                self._forward()
            case _:
                self._add(self._pick(getattr(self._rows, kind)))

    def _event(self, *, locks: bool) -> None:
        """Adds an event that is rare in the VM's state and topology, and reads of what it must not change."""
        number = self._vm()
        ready = [i for i, vcpu in self._model.vms[number].vcpus.items() if vcpu.initialised]
        names = [
            name
            for name, event in BY_NAME.items()
            if event.returns(late_vcpus=self._host.late_vcpus) and (locks or not event.runs)
        ]
        tried = self._random.sample(names, _TRIED_EVENTS)
        if not ready:
            return
        state, topology = self._state(number), self._names[number]
        name = min(tried, key=lambda each: self._coverage.rarity((each, state, topology)))
        actor, vcpu = self._random.choice(ACTORS), self._random.choice(ready)
        if self._add(op.Disturb(number, vcpu, name, actor, EFFECTS[name])):
            # Before the restart: KVM_RUN by another thread than the last one locks again, which would hide a lost lock.
            self._observe(number, self._model.vms[number])
            self._add(op.Restart(number))

    def _observe(self, number: int, vm: ModelVm) -> None:
        """Adds reads and writes that show what an event changed. A write changes a register if it is not locked."""
        vcpus = [i for i, vcpu in vm.vcpus.items() if vcpu.initialised] or list(vm.vcpus)
        for register in self._host.registers:
            self._add(op.GetReg(number, self._random.choice(vcpus), RegisterId(register.name, register.id)))
        register = self._random.choice([r for r in self._host.registers if r.mask] or self._host.registers)
        others = [value for value in register.subsets() if value != vm.values[register.name]]
        exact = RegisterId(register.name, register.id)
        for value in self._random.sample(others, min(1, len(others))):
            self._add(op.SetReg(number, self._random.choice(vcpus), exact, value))
        self._add(op.GetReg(number, self._random.choice(vcpus), PSCI_VERSION))
        areas = [i for i, vcpu in vm.vcpus.items() if vcpu.ipa is not None]
        for vcpu in areas[:1]:
            self._add(op.PvTime(number, vcpu, op.Request.GET))

    def _call(self) -> None:
        """Adds a guest's call. Each family of functions has the same weight, whatever its number of arguments.

        If VMs have filters, many of the calls are to the first function of a filter of any VM.
        """
        bases = [first for vm in self._model.vms.values() for first, _, _ in vm.filters]
        named = [callee.name for callee in CALLEES.values() if callee.id in bases]
        filtered = named and self._random.random() < 0.4
        name = self._random.choice(named if filtered else self._random.choice(self._families))
        self._add(self._placed(op.GuestCall(0, 0, name, self._random.choice(_FORMS))))

    def _life(self) -> None:
        """Creates or initialises a vCPU, with the VM's features or others; creates or closes a VM."""
        choice, number = self._random.random(), self._vm()
        vm = self._model.vms[number]
        if choice < 0.35:
            self._add(op.CreateVcpu(number, self._random.choice(self._host.vcpu_ids)))
        elif choice < 0.85 and vm.vcpus:
            features = vm.features if vm.features is not None and choice < 0.7 else None
            chosen = self._random.choice(self._host.features) if features is None else features
            before = vm.features
            self._add(op.Init(number, self._random.choice(list(vm.vcpus)), chosen))
            if before not in (None, chosen):
                self._observe(number, vm)
        elif choice < 0.95:
            self._create_vm(self._random.choice(self._topologies))
        elif len(self._model.vms) > 1:
            self._add(op.CloseVm(number))

    def _forward(self) -> None:
        """Adds a call that a filter forwards to user space, or resumes a guest that made one."""
        number = self._vm()
        vm = self._model.vms[number]
        waiting = [i for i, vcpu in vm.vcpus.items() if vcpu.forwarded is not None]
        if waiting:
            self._add(op.ResumeGuest(number, self._random.choice(waiting)))
            return
        ranges = [(first, last) for first, last, action in vm.filters if action == 2]
        names = [c.name for c in CALLEES.values() if any(first <= c.id <= last for first, last in ranges)]
        if names and vm.vcpus:
            vcpu, form = self._random.choice(list(vm.vcpus)), self._random.choice((HVC, SMC))
            self._add(op.ForwardedCall(number, vcpu, self._random.choice(names), form))
