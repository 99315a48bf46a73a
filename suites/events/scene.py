# SPDX-License-Identifier: GPL-2.0-only
"""VMs in a given state and topology, in which an event happens."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from helpers import guests
from helpers.batch import Batch, Pending
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED, GATED, Situation, X
from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.registers import Register
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import PSCI_0_2, Kvm, Vcpu, Vm
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from suites.events.events import EventPlace, NeutralEvent
from suites.support.calls import CONDUITS, Form, call_of
from suites.support.features import complete

DENIED = 0x84000052
"""TRNG_GET_UUID: the function that the VM's filter denies."""
FORWARDED = 0x86000010
"""The id of no function. The VM's filter forwards it to user space."""


@dataclass(frozen=True)
class State:
    """``when`` is before_run or after_run. ``held`` names the registers' values: empty, full, mixed or inverse."""

    when: str
    held: str

    @property
    def twin_ran(self) -> bool:
        """Whether another VM, if there is one, has run."""
        return self.held == "full"

    def values(self, registers: tuple[Register, ...]) -> dict[str, int]:
        """The values by name. "mixed": every bit of one register, none of the next, only bit 0 of the next.

        "inverse" has the other bits.
        """
        masks = {"empty": (0,), "full": (~0,), "mixed": (~0, 0, 1), "inverse": (0, ~0, ~1)}[self.held]
        return {r.name: masks[i % len(masks)] & r.mask for i, r in enumerate(registers)}

    def complement(self, *, runs: bool) -> State:
        """The state with the other bits and, unless the event ``runs`` a guest, the other ``when``."""
        held = {"empty": "full", "full": "empty", "mixed": "inverse", "inverse": "mixed"}[self.held]
        return State("before_run" if self.when == "after_run" and not runs else "after_run", held)


STATES = tuple(
    State(when, held) for held in ("mixed", "full", "inverse", "empty") for when in ("after_run", "before_run")
)


@dataclass(frozen=True)
class Topology:
    """The vCPUs' ids in the order of their creation, and what else is special about the VM.

    ``low_ids`` replace them on a host whose VMs have fewer vCPUs, as with GICv2. Empty if every host has enough.
    """

    name: str
    ids: tuple[int, ...]
    low_ids: tuple[int, ...] = ()
    late: int | None = None
    """The id of a vCPU that is created after the registers are set and, in after_run, after the VM has run."""
    features: tuple[int, ...] = PSCI_0_2
    capability: int | None = None
    """The capability that the features need."""
    twin: bool = False
    """Whether an older VM with other register values exists."""
    acting: int | None = None
    """The index of the vCPU on which every event happens. None: the vCPUs in turn."""


TOPOLOGIES = (
    Topology("one_vcpu", (0,)),
    Topology("two_vcpus", (0, 1)),
    Topology("four_vcpus", (0, 1, 2, 3)),
    Topology("ids_out_of_order", (17, 0, 2), low_ids=(5, 0, 2)),
    Topology("late_vcpu", (0, 1), late=2, acting=2),
    Topology(
        "pmu", (0, 1, 2), features=(*PSCI_0_2, uapi.KVM_ARM_VCPU_PMU_V3), capability=uapi.KVM_CAP_ARM_PMU_V3, acting=2
    ),
    Topology("psci_0_1", (0, 1), features=()),
    Topology("second_vm", (0, 1), twin=True),
)


@dataclass
class Scene:
    """A VM and its expected state. ``vcpus`` are initialised; ``ids`` is KVM_GET_REG_LIST's answer."""

    vm: Vm
    state: State
    topology: Topology
    registers: tuple[Register, ...]
    contract: Probe
    values: dict[str, int]
    features: tuple[int, ...]
    twin: Vm | None = None
    twin_values: dict[str, int] = field(default_factory=dict)
    locked: bool = False
    psci: int = 0
    areas: dict[int, int] = field(default_factory=dict)
    """The stolen-time addresses by the vCPU's id."""
    ids: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The state and topology, for messages."""
        return f"{self.state.when}, registers {self.state.held}, {self.topology.name}"

    def happened(self, event: NeutralEvent) -> None:
        """Updates the expected state after an event."""
        self.locked = self.locked or event.runs
        if event.psci is not None and self.features:
            self.psci = event.psci

    def restart(self, batch: Batch) -> list[Pending]:
        """Completes pending exits, initialises each vCPU again, which must succeed, and sets its PC to the entry."""
        done = []
        for vcpu in self.vm.vcpus:
            if self.locked:
                batch.run_with_immediate_exit(vcpu)
            _, init = batch.program.prepare_init(self.vm.fd, self.features)
            what = f"KVM_ARM_VCPU_INIT again of vCPU {vcpu.index}"
            done.append(batch.pending(what, batch.program.init_vcpu(vcpu.fd, init)))
            batch.program.set_entry(vcpu.fd)
        return done

    def expected_view(self, vcpu: Vcpu) -> list[tuple[Form, Call, X | None]]:
        """The calls whose answers the state alone defines, by the served conduits in turn, with x0 to x3.

        Of each function whose answer varies there is one call, with None: its answer must not be NOT_SUPPORTED. Two
        neighbouring vCPUs, and a state and its complement, make a call by different conduits.
        """
        area = self.areas.get(vcpu.index)
        situation = Situation(self.contract.dialect, self.values, self.contract.arch_counter, area)
        forms = [form for form in CONDUITS if form.served(self.contract.smc)]
        first = self.vm.vcpus.index(vcpu) + (self.state.held in ("inverse", "empty"))
        rows: list[tuple[Form, Call, X | None]] = []
        variable: set[int] = set()
        for turn, function in enumerate(GATED, first):
            form, answer = forms[turn % len(forms)], function.expected(situation)
            if self.contract.smccc_filter and function.id == DENIED:
                answer = CLOSED
            if isinstance(answer, tuple):
                rows.append((form, call_of(function, form), answer))
            elif isinstance(answer, str) and function.id not in variable:
                variable.add(function.id)
                rows.append((form, call_of(function, form), None))
        return rows


def place_in(scene: Scene, acting: int) -> EventPlace:
    """Where an event happens in the scene's VM. ``acting`` selects the vCPU, modulo their number."""
    vcpus, kvm = scene.vm.vcpus, scene.vm.kvm
    vcpu, other = vcpus[acting % len(vcpus)], vcpus[(acting + 1) % len(vcpus)]
    return EventPlace(
        kvm=kvm.fd, vm_type=kvm.vm_type, vm=scene.vm.fd, vcpu=vcpu.fd, vcpu_id=vcpu.index,
        other=other.fd, other_id=other.index,
        memory=scene.vm.memory, run_address=vcpu.run_address, run_size=kvm.run_size, features=scene.features,
        registers=scene.registers, values=scene.values, ids=scene.ids,
    )  # fmt: skip


def _ids(kvm: Kvm, topology: Topology) -> tuple[int, ...]:
    few = kvm.check_extension(uapi.KVM_CAP_MAX_VCPUS) <= max(topology.ids)
    return topology.low_ids if few and topology.low_ids else topology.ids


def _twin(kvm: Kvm, state: State, registers: tuple[Register, ...]) -> tuple[Vm, dict[str, int]]:
    """Another VM, with the other bits of each register."""
    vm, values = kvm.create_vm(), state.values(registers)
    others = {r.name: r.mask & ~values[r.name] for r in registers}
    vm.vcpu.set_regs([(r, others[r.name]) for r in registers])
    if state.twin_ran:
        vm.vcpu.immediate_exit()
    return vm, others


def _hold(scene: Scene) -> None:
    """Sets the registers, stolen-time areas, a denying and a forwarding filter. In after_run, runs the last vCPU."""
    vm, last = scene.vm, scene.vm.vcpus[-1]
    batch = vm.batch()
    done = [batch.set(vm.vcpu, r, scene.values[r.name]) for r in scene.registers]
    if scene.contract.pv_time:
        scene.areas = {vcpu.index: PV_TIME_IPA + 64 * place for place, vcpu in enumerate(vm.vcpus)}
        group, attr = uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA
        for vcpu in vm.vcpus:
            data = struct.pack("<Q", scene.areas[vcpu.index])
            done.append(batch.device_attr("stolen time", vcpu.fd, uapi.KVM_SET_DEVICE_ATTR, group, attr, data))
    if scene.contract.smccc_filter:
        done.append(batch.set_filter(vm.fd, DENIED, 1, uapi.KVM_SMCCC_FILTER_DENY))
        done.append(batch.set_filter(vm.fd, FORWARDED, 1, uapi.KVM_SMCCC_FILTER_FWD_TO_USER))
    if scene.state.when == "after_run":
        guests.put_calls(batch.program, vm.memory, [Call(0x80000000)])
        done.append(batch.run_vcpu(last))
        # Completes the store that made the guest exit.
        batch.program.run_with_immediate_exit(last.fd, last.run_address)
        scene.locked = True
    batch.run()
    for each in done:
        each.ok()


@contextmanager
def scene_of(
    kvm: Kvm, contract: Probe, registers: tuple[Register, ...], state: State, topology: Topology
) -> Iterator[Scene]:
    """Sets up the VM, and closes it at the end. Raises KvmError.

    If the host lacks the capability that the topology's features need, the vCPUs have PSCI_0_2 alone. Skips the test if
    the topology has a vCPU that cannot run.
    """
    if topology.late is not None and state.when == "after_run" and not contract.late_vcpus:
        pytest.skip("not applicable, because protected KVM runs no vCPU that is created after the first KVM_RUN")
    missing = topology.capability is not None and not kvm.check_extension(topology.capability)
    features = PSCI_0_2 if missing else topology.features
    values = state.values(registers)
    twin, twin_values = _twin(kvm, state, registers) if topology.twin else (None, {})
    try:
        with kvm.create_vm(_ids(kvm, topology), features=features) as vm:
            complete(vm.vcpus, features)
            scene = Scene(vm, state, topology, registers, contract, values, features, twin, twin_values)
            scene.psci = vm.vcpu.get_reg(PSCI_VERSION)
            _hold(scene)
            if topology.late is not None:
                vm.create_vcpu(features, number=topology.late)
            scene.ids = tuple(vm.vcpu.reg_list())
            yield scene
    finally:
        if twin is not None:
            twin.close()
