# SPDX-License-Identifier: GPL-2.0-only
"""The contract as a state machine: each call's answer and effect, from the contract's tables alone."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import replace

from helpers.contract.access import ORDER, Direction, FaultKind
from helpers.contract.functions import CLOSED, U32, Situation
from helpers.contract.model import operations as op
from helpers.contract.model.answers import (
    pv_time_answer,
    run_answer,
    set_filter_answer,
    want_errno,
    want_exit,
    want_x,
)
from helpers.contract.model.guest_calls import CALLEES, FAST_PATH, Callee, GuestView, exact
from helpers.contract.model.state import MOST_VCPUS, MOST_VMS, STALE, Host, ModelVcpu, ModelVm
from helpers.contract.neighbours import PSCI_0_1, PSCI_VERSION, WORKAROUND_REGISTERS, accepts_version
from helpers.contract.registers import RFC_V3
from helpers.smccc import U64, Conduit
from helpers.uapi import kvm as uapi

_FAULTS = {
    FaultKind.VCPU: "ACCESS-2", FaultKind.ID_HIGH: "ACCESS-4", FaultKind.ID_SIZE: "ACCESS-5",
    FaultKind.ID_LOW: "ACCESS-6", FaultKind.LOCK: "LOCK-1",
}  # fmt: skip
"""The clause of each fault of an access. The clause of a refused value depends on the register."""


_OF_GUESTS = (op.Init, op.Run, op.GuestCall, op.ForwardedCall, op.ResumeGuest)


def predict(host: Host, operations: Iterable[op.OnVm]) -> tuple[op.Step, ...]:
    """The calls that can be made (see ``Model.applied``), each with its answer."""
    model, steps = Model(host), []
    for operation in operations:
        applied = model.applied(operation)
        if applied is not None:
            steps.append(op.Step(applied, model.step(applied)))
    return tuple(steps)


class Model:
    """The state of every VM, as the contract defines it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.vms: dict[int, ModelVm] = {}
        self._used: set[int] = set()
        self._by_id = {r.id: r for r in host.registers}
        self._levels = dict(host.levels)
        self._workarounds = {w.register.id: w for w in WORKAROUND_REGISTERS if w.register.name in self._levels}

    # --- the calls that can be made -------------------------------------------

    def applied(self, operation: op.OnVm) -> op.OnVm | None:
        """The call, with the fields that the model fills in; None if it cannot be made.

        A call cannot be made if its VM or vCPU does not exist, if it would create too many of them, if the kernel lacks
        the interface, or if the contract does not define the answer. The number of a closed VM is never used again.
        """
        if isinstance(operation, op.CreateVm):
            return operation if len(self.vms) < MOST_VMS and operation.vm not in self._used else None
        vm = self.vms.get(operation.vm)
        if vm is None or (isinstance(operation, op.OnVcpu) and operation.vcpu not in vm.vcpus):
            return None
        if isinstance(operation, op.Disturb):
            return _filled(vm, operation)
        if isinstance(operation, op.Restart):
            return replace(operation, completes=vm.moved.guest) if vm.moved else None
        if vm.moved and isinstance(operation, _OF_GUESTS):
            return None
        return operation if self._is_defined(vm, operation) else None

    def _is_defined(self, vm: ModelVm, operation: op.OnVm) -> bool:
        match operation:
            case op.SetFilter(base=base, count=count):
                # A known deviation: helpers/contract/deviations.py.
                return self._host.smccc_filter and (base, count) != (0, 0)
            case op.PvTime():
                return self._host.pv_time
            case op.CreateVcpu(id=number):
                if number in vm.vcpus:
                    return True
                in_time = self._host.late_vcpus or not vm.ran
                return in_time and number in self._host.vcpu_ids and len(vm.vcpus) < MOST_VCPUS
            case op.Init(features=features):
                # Kernel versions differ on whether the vCPUs of a VM may have different features.
                return vm.features in (None, features) or vm.vcpus[operation.vcpu].initialised
            case op.ResumeGuest():
                return vm.vcpus[operation.vcpu].forwarded is not None
            case op.Run() | op.GuestCall() | op.ForwardedCall():
                return self._can_run(vm, operation)
        return True

    def _can_run(self, vm: ModelVm, operation: op.Run | op.GuestCall | op.ForwardedCall) -> bool:
        vcpu = vm.vcpus[operation.vcpu]
        if isinstance(operation, op.Run) and operation.how is op.How.ARGUMENT:
            return True
        # In the RFC's dialect, it depends on the kernel version whether a refused run counts.
        if not vcpu.initialised and self._host.dialect is RFC_V3:
            return False
        if isinstance(operation, op.Run):
            return operation.how is op.How.IMMEDIATE_EXIT or (vm.has_guest and vcpu.forwarded is None)
        if not vm.has_guest or vcpu.forwarded is not None or not self._has_answer(vm, CALLEES[operation.name]):
            return False
        if isinstance(operation, op.GuestCall):
            return True
        return vcpu.initialised and self._action(vm, operation) == uapi.KVM_SMCCC_FILTER_FWD_TO_USER

    def _has_answer(self, vm: ModelVm, callee: Callee) -> bool:
        if callee.id in self._host.new_functions or self._host.psci_version > callee.until:
            return False
        if "SYSTEM_SUSPEND" in callee.name and vm.may_suspend:
            return False
        return not callee.level or callee.level in self._levels

    # --- their answers --------------------------------------------------------

    def step(self, operation: op.OnVm) -> tuple[op.Want, ...]:
        """Applies the call to the state and returns the answer. ``applied`` must have returned the call."""
        if isinstance(operation, op.CreateVm):
            values = {r.name: r.reset for r in self._host.registers}
            self.vms[operation.vm] = ModelVm(values, self._host.psci_version)
            self._used.add(operation.vm)
            return (want_errno("KVM_CREATE_VM", 0),)
        vm = self.vms[operation.vm]
        return self._on_vcpu(vm, operation) if isinstance(operation, op.OnVcpu) else self._on_vm(vm, operation)

    def _on_vm(self, vm: ModelVm, operation: op.OnVm) -> tuple[op.Want, ...]:
        match operation:
            case op.CreateVcpu(id=number):
                error = errno.EEXIST if number in vm.vcpus else 0
                vm.vcpus.setdefault(number, ModelVcpu())
                return (want_errno("KVM_CREATE_VCPU", error),)
            case op.SetFilter():
                return set_filter_answer(vm, operation)
            case op.CheckExtension():
                count = len(self._host.registers) if self._host.dialect.capability else 0
                return (op.Want("KVM_CHECK_EXTENSION", count, op.Show.DECIMAL, clause="CAP-1"),)
            case op.EnableCap():
                return (want_errno("KVM_ENABLE_CAP", errno.EINVAL, "ENABLE-1"),)
            case op.Restart():
                vm.moved = None
                return ()
        assert isinstance(operation, op.CloseVm)
        del self.vms[operation.vm]
        return ()

    def _on_vcpu(self, vm: ModelVm, operation: op.OnVcpu) -> tuple[op.Want, ...]:
        vcpu = vm.vcpus[operation.vcpu]
        match operation:
            case op.Init():
                return (want_errno("KVM_ARM_VCPU_INIT", _init(vm, vcpu, operation.features)),)
            case op.GetReg():
                return self._get(vm, vcpu, operation)
            case op.SetReg():
                return self._set(vm, vcpu, operation)
            case op.ListRegs():
                return self._list(vcpu)
            case op.Run():
                return run_answer(vm, vcpu, operation.how)
            case op.GuestCall() | op.ForwardedCall():
                return self._guest_call(vm, vcpu, operation)
            case op.ResumeGuest():
                forwarded, vcpu.forwarded = vcpu.forwarded, None
                assert forwarded is not None
                return _resumed(forwarded)
            case op.Disturb():
                return _disturbed(vm, operation.effect)
        assert isinstance(operation, op.PvTime)
        return pv_time_answer(vcpu, operation)

    # --- ONE_REG ------------------------------------------------------------

    def _get(self, vm: ModelVm, vcpu: ModelVcpu, operation: op.GetReg) -> tuple[op.Want, ...]:
        error, kind = self._error(vm, vcpu, operation)
        if error:
            clause = self._clause(vm, operation, kind)
            return want_errno("KVM_GET_ONE_REG", error, clause), op.Want("value", STALE, clause="ACCESS-9")
        clause = self._clause_of_value(vm, operation.register.id)
        return want_errno("KVM_GET_ONE_REG", 0, clause), op.Want("value", self._held(vm, operation), clause=clause)

    def _set(self, vm: ModelVm, vcpu: ModelVcpu, operation: op.SetReg) -> tuple[op.Want, ...]:
        error, kind = self._error(vm, vcpu, operation)
        want = want_errno("KVM_SET_ONE_REG", error, self._clause(vm, operation, kind))
        if not error:
            self._store(vm, operation)
        return (want,)

    def _error(self, vm: ModelVm, vcpu: ModelVcpu, operation: op.GetReg | op.SetReg) -> tuple[int, FaultKind | None]:
        """The errno of an access, and the first kind of fault that applies, in the order of access.py."""
        wrong = {_fault_of_id(operation.register.id)} if not self._is_there(operation.register.id) else set()
        if not vcpu.initialised:
            wrong.add(FaultKind.VCPU)
        if isinstance(operation, op.SetReg) and not wrong:
            wrong |= self._faults_of_value(vm, operation.register.id, operation.value)
        direction = Direction.SET if isinstance(operation, op.SetReg) else Direction.GET
        return next(((error, kind) for kind, error in ORDER[direction].items() if kind in wrong), (0, None))

    def _clause(self, vm: ModelVm, operation: op.GetReg | op.SetReg, kind: FaultKind | None) -> str:
        """The clause of an access with this fault, or with none."""
        if kind in _FAULTS:
            return _FAULTS[kind]
        number = operation.register.id
        if number not in self._by_id:
            return _clause_of_psci(vm) if number == PSCI_VERSION.id else "WORKAROUND-2"
        if kind is FaultKind.VALUE:
            return "LOCK-3" if vm.ran else "LIMIT-2"
        return "LOCK-2" if vm.ran else "LIMIT-1"

    def _clause_of_value(self, vm: ModelVm, number: int) -> str:
        if number not in self._by_id:
            return _clause_of_psci(vm) if number == PSCI_VERSION.id else "WORKAROUND-1"
        if vm.ran:
            return "LOCK-4"
        return "LIMIT-1" if self._by_id[number].name in vm.written else "DEFAULT-1"

    def _is_there(self, number: int) -> bool:
        return number in self._by_id or number in self._workarounds or number == PSCI_VERSION.id

    def _faults_of_value(self, vm: ModelVm, number: int, value: int) -> set[FaultKind]:
        if number in self._by_id:
            register = self._by_id[number]
            changes = vm.ran and value != vm.values[register.name]
            return {kind for kind, on in ((FaultKind.VALUE, value & ~register.mask), (FaultKind.LOCK, changes)) if on}
        if number == PSCI_VERSION.id:
            # Without the feature the only version is 0.1.
            taken = accepts_version(value, self._host.psci_version) if vm.has_psci else value == PSCI_0_1
        else:
            workaround = self._workarounds[number]
            taken = workaround.accepts(value, self._levels[workaround.register.name])
        return set() if taken else {FaultKind.VALUE}

    def _held(self, vm: ModelVm, operation: op.GetReg) -> int:
        number = operation.register.id
        if number == PSCI_VERSION.id:
            return vm.psci
        if number in self._workarounds:
            return self._levels[self._workarounds[number].register.name]
        return vm.values[self._by_id[number].name]

    def _store(self, vm: ModelVm, operation: op.SetReg) -> None:
        number = operation.register.id
        if number == PSCI_VERSION.id:
            vm.psci = operation.value
        elif number in self._by_id:
            name = self._by_id[number].name
            vm.values[name] = operation.value
            vm.written.add(name)

    def _list(self, vcpu: ModelVcpu) -> tuple[op.Want, ...]:
        if not vcpu.initialised:
            return (want_errno("KVM_GET_REG_LIST", errno.ENOEXEC, "LIST-4"),)
        names = [f"times that {r.name} is listed" for r in self._host.registers]
        listed = [op.Want(name, 1, op.Show.DECIMAL, clause="CAP-2") for name in names]
        every = op.Want("bitmap registers listed", len(self._host.registers), op.Show.DECIMAL, clause="CAP-2")
        return (want_errno("KVM_GET_REG_LIST", 0, "CAP-2"), every, *listed)

    # --- the guest ----------------------------------------------------------

    def _guest_call(
        self, vm: ModelVm, vcpu: ModelVcpu, operation: op.GuestCall | op.ForwardedCall
    ) -> tuple[op.Want, ...]:
        if not vcpu.initialised:
            return (want_errno("KVM_RUN", errno.ENOEXEC, "RUN-2"),)
        vm.ran = True
        call = CALLEES[operation.name].call(operation.form)
        action = self._action(vm, operation)
        if action == uapi.KVM_SMCCC_FILTER_FWD_TO_USER:
            flags = uapi.KVM_HYPERCALL_EXIT_SMC if call.conduit is Conduit.SMC else 0
            number = op.Want("hypercall.nr", call.function & U32, clause="FILTER-10")
            left = (*want_exit(uapi.KVM_EXIT_HYPERCALL, "FILTER-8"), number,
                    op.Want("hypercall.flags", flags, clause="FILTER-10"))  # fmt: skip
            if isinstance(operation, op.ForwardedCall):
                vcpu.forwarded = operation
                return left
            return (*left, *_resumed(operation))
        x, clause = self._answer(vm, vcpu, operation)
        if action == uapi.KVM_SMCCC_FILTER_DENY:
            x, clause = exact(CLOSED), "FILTER-7"
        return (*want_exit(uapi.KVM_EXIT_MMIO), *want_x(x, clause))

    def _action(self, vm: ModelVm, operation: op.GuestCall | op.ForwardedCall) -> int:
        """The filter's action."""
        number = CALLEES[operation.name].id
        if not operation.form.served(self._host.smc):
            return uapi.KVM_SMCCC_FILTER_HANDLE
        actions = (action for first, last, action in vm.filters if first <= number <= last)
        return next(actions, uapi.KVM_SMCCC_FILTER_HANDLE)

    def _answer(
        self, vm: ModelVm, vcpu: ModelVcpu, operation: op.GuestCall | op.ForwardedCall
    ) -> tuple[tuple[tuple[int, int], ...], str]:
        """x0 to x3 if no filter stops the call, and the clause."""
        callee, form = CALLEES[operation.name], operation.form
        entered = callee.call(form).registers
        if not form.conduit.name.startswith("SMC") and callee.id in FAST_PATH:
            return exact((0, 0, *entered[2:4])), "WA-1"
        if not form.served(self._host.smc):
            return exact((U64, *entered[1:4])), "SMC-2"
        if form.conduit.instruction not in callee.conduits:
            return exact(CLOSED), "CALL-7"
        situation = Situation(self._host.dialect, vm.values, self._host.arch_counter, vcpu.ipa)
        view = GuestView(situation, vm.psci, self._host.smccc, self._levels)
        return callee.answer(view), callee.clause(situation)


def _init(vm: ModelVm, vcpu: ModelVcpu, features: tuple[int, ...]) -> int:
    if vm.features not in (None, features):
        return errno.EINVAL
    if vm.features is None and uapi.KVM_ARM_VCPU_PSCI_0_2 not in features:
        vm.psci = PSCI_0_1
    vm.features, vcpu.initialised, vcpu.forwarded = features, True, None
    return 0


def _filled(vm: ModelVm, operation: op.Disturb) -> op.Disturb | None:
    """The event with its fields for this VM; None if it is not possible in this VM."""
    ready = [number for number, vcpu in vm.vcpus.items() if vcpu.initialised]
    if vm.moved or operation.vcpu not in ready or (operation.effect.guest and not vm.has_guest):
        return None
    other = ready[(ready.index(operation.vcpu) + 1) % len(ready)]
    return replace(operation, other=other, features=vm.features or (), values=tuple(vm.values.items()))


def _disturbed(vm: ModelVm, effect: op.Effect) -> tuple[op.Want, ...]:
    vm.ran = vm.ran or effect.runs
    vm.psci = effect.psci if effect.psci is not None and vm.has_psci else vm.psci
    vm.may_suspend = vm.may_suspend or effect.enables
    vm.moved = effect if effect.restarts else None
    for vcpu in vm.vcpus.values() if effect.restarts else ():
        vcpu.forwarded = None
    return ()


def _resumed(operation: op.GuestCall | op.ForwardedCall) -> tuple[op.Want, ...]:
    """KVM_RUN to the guest's end after a forwarded call. User space has not changed the guest's registers."""
    x = exact(CALLEES[operation.name].call(operation.form).registers)
    return (*want_exit(uapi.KVM_EXIT_MMIO), *want_x(x, "FILTER-10"))


def _clause_of_psci(vm: ModelVm) -> str:
    if not vm.has_psci:
        return "PSCI-2"
    return "PSCI-3" if vm.ran else "PSCI-1"


def _fault_of_id(number: int) -> FaultKind:
    if (number & ~uapi.KVM_REG_SIZE_MASK) >> 32 != uapi.KVM_REG_ARM64 >> 32:
        return FaultKind.ID_HIGH
    return FaultKind.ID_LOW if number & uapi.KVM_REG_SIZE_MASK == uapi.KVM_REG_SIZE_U64 else FaultKind.ID_SIZE
