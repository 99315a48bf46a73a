# SPDX-License-Identifier: GPL-2.0-only
"""The contract as a state machine: each call's answer and effect, from the contract's tables alone."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from helpers.contract.access import ORDER, Direction, FaultKind
from helpers.contract.functions import CLOSED, U32, Situation
from helpers.contract.model import operations as op
from helpers.contract.model.guest_calls import CALLEES, FAST_PATH, Callee, GuestView, exact
from helpers.contract.neighbours import PSCI_0_1, PSCI_VERSION, WORKAROUND_REGISTERS, accepts_version
from helpers.contract.registers import RFC_V3, Dialect, Register
from helpers.guest_layout import MEMORY_IPA, MEMORY_SIZE
from helpers.smccc import SMCCC_1_1, U64, Conduit
from helpers.uapi import kvm as uapi

MEMORY = range(MEMORY_IPA, MEMORY_IPA + MEMORY_SIZE)
"""The guest's memory (IPA)."""
STALE = 0xA5A5_A5A5_A5A5_A5A5
"""The caller's memory before a read."""
MOST_VMS, MOST_VCPUS = 3, 4
_NO_AREA = U64
_RESERVED = ((0x8000_0000, 0x8000_FFFF), (0xC000_0000, 0xC000_FFFF))
"""Arm's architecture calls, which a filter must not contain (vm.rst 6.1)."""


@dataclass(frozen=True)
class Host:
    """The kernel's part in the answers. ``psci_version`` is that of a new VM with PSCI_0_2.

    ``levels`` are the names of the existing workaround registers, with their values.
    """

    dialect: Dialect
    registers: tuple[Register, ...]
    psci_version: int
    levels: tuple[tuple[str, int], ...]
    arch_counter: bool
    pv_time: bool
    smc: bool
    smccc_filter: bool
    smccc: int = SMCCC_1_1
    new_functions: frozenset[int] = frozenset()
    """Functions that an unknown service enables: their answers are not defined."""


@dataclass
class _Vcpu:
    initialised: bool = False
    ipa: int | None = None


@dataclass
class _Vm:
    values: dict[str, int]
    psci: int
    features: tuple[int, ...] | None = None
    ran: bool = False
    vcpus: dict[int, _Vcpu] = field(default_factory=dict)
    filters: list[tuple[int, int, int]] = field(default_factory=list)
    """(first function, last function, action)"""


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
        self._vms: dict[int, _Vm] = {}
        self._created = 0
        self._by_id = {r.id: r for r in host.registers}
        self._levels = dict(host.levels)
        self._workarounds = {w.register.id: w for w in WORKAROUND_REGISTERS if w.register.name in self._levels}

    # --- which calls --------------------------------------------------------

    def applied(self, operation: op.OnVm) -> op.OnVm | None:
        """The call with its VM and vCPU mapped to existing ones; None if it cannot be made.

        It cannot be made without a VM or vCPU, above the limits of their number, if the kernel lacks the interface, and
        if the contract does not define the answer.
        """
        if isinstance(operation, op.CreateVm):
            return op.CreateVm(self._created) if len(self._vms) < MOST_VMS else None
        if not self._vms:
            return None
        number = list(self._vms)[operation.vm % len(self._vms)]
        operation = replace(operation, vm=number)
        if isinstance(operation, op.OnVcpu):
            ids = sorted(self._vms[number].vcpus)
            if not ids:
                return None
            operation = replace(operation, vcpu=ids[operation.vcpu % len(ids)])
        return operation if self._is_defined(operation) else None

    def _is_defined(self, operation: op.OnVm) -> bool:
        match operation:
            case op.SetFilter(base=base, count=count):
                # A known deviation: helpers/contract/deviations.py.
                return self._host.smccc_filter and (base, count) != (0, 0)
            case op.PvTime():
                return self._host.pv_time
            case op.CreateVcpu(id=number):
                return number < MOST_VCPUS
            case op.GuestCall(name=name) if not self._has_answer(CALLEES[name]):
                return False
            case op.Run(how=op.How.ARGUMENT):
                return True
            case op.Run() | op.GuestCall():
                # In the RFC the base kernel decides whether a refused run counts.
                return self._vcpu(operation).initialised or self._host.dialect is not RFC_V3
            case op.Init(features=features):
                # Kernels disagree whether vCPUs of one VM may differ; this contract does not define it.
                current = self._vms[operation.vm].features
                return current in (None, features) or self._vcpu(operation).initialised
        return True

    def _has_answer(self, callee: Callee) -> bool:
        if callee.id in self._host.new_functions or self._host.psci_version > callee.until:
            return False
        return not callee.level or callee.level in self._levels

    def _vcpu(self, operation: op.OnVcpu) -> _Vcpu:
        return self._vms[operation.vm].vcpus[operation.vcpu]

    # --- what they answer ---------------------------------------------------

    def step(self, operation: op.OnVm) -> tuple[op.Want, ...]:
        """Makes the call. ``applied`` must have let it through."""
        if isinstance(operation, op.CreateVm):
            values = {r.name: r.reset for r in self._host.registers}
            self._vms[operation.vm] = _Vm(values, self._host.psci_version)
            self._created += 1
            return (_errno("KVM_CREATE_VM", 0),)
        vm = self._vms[operation.vm]
        return self._on_vcpu(vm, operation) if isinstance(operation, op.OnVcpu) else self._on_vm(vm, operation)

    def _on_vm(self, vm: _Vm, operation: op.OnVm) -> tuple[op.Want, ...]:
        match operation:
            case op.CreateVcpu(id=number):
                error = errno.EEXIST if number in vm.vcpus else 0
                vm.vcpus.setdefault(number, _Vcpu())
                return (_errno("KVM_CREATE_VCPU", error),)
            case op.SetFilter():
                return (_errno("KVM_SET_DEVICE_ATTR", _set_filter(vm, operation)),)
            case op.CheckExtension():
                count = len(self._host.registers) if self._host.dialect.capability else 0
                return (op.Want("KVM_CHECK_EXTENSION", count, op.Show.DECIMAL),)
            case op.EnableCap():
                return (_errno("KVM_ENABLE_CAP", errno.EINVAL),)
        assert isinstance(operation, op.CloseVm)
        del self._vms[operation.vm]
        return ()

    def _on_vcpu(self, vm: _Vm, operation: op.OnVcpu) -> tuple[op.Want, ...]:
        vcpu = vm.vcpus[operation.vcpu]
        match operation:
            case op.Init():
                return (_errno("KVM_ARM_VCPU_INIT", self._init(vm, vcpu, operation.features)),)
            case op.GetReg():
                error = self._error(vm, vcpu, operation)
                return _errno("KVM_GET_ONE_REG", error), op.Want("value", STALE if error else self._held(vm, operation))
            case op.SetReg():
                error = self._error(vm, vcpu, operation)
                if not error:
                    self._store(vm, operation)
                return (_errno("KVM_SET_ONE_REG", error),)
            case op.ListRegs():
                return self._list(vcpu)
            case op.Run():
                return _run(vm, vcpu, operation.how)
            case op.GuestCall():
                return self._guest_call(vm, vcpu, operation)
        assert isinstance(operation, op.PvTime)
        return _pv_time(vcpu, operation)

    def _init(self, vm: _Vm, vcpu: _Vcpu, features: tuple[int, ...]) -> int:
        if vm.features not in (None, features):
            return errno.EINVAL
        if vm.features is None and uapi.KVM_ARM_VCPU_PSCI_0_2 not in features:
            vm.psci = PSCI_0_1
        vm.features, vcpu.initialised = features, True
        return 0

    # --- ONE_REG ------------------------------------------------------------

    def _error(self, vm: _Vm, vcpu: _Vcpu, operation: op.GetReg | op.SetReg) -> int:
        """The errno of an access: the first kind of fault that applies, in the order of access.py."""
        wrong = {_fault_of_id(operation.register.id)} if not self._is_there(operation.register.id) else set()
        if not vcpu.initialised:
            wrong.add(FaultKind.VCPU)
        if isinstance(operation, op.SetReg) and not wrong:
            wrong |= self._faults_of_value(vm, operation.register.id, operation.value)
        direction = Direction.SET if isinstance(operation, op.SetReg) else Direction.GET
        return next((error for kind, error in ORDER[direction].items() if kind in wrong), 0)

    def _is_there(self, number: int) -> bool:
        return number in self._by_id or number in self._workarounds or number == PSCI_VERSION.id

    def _faults_of_value(self, vm: _Vm, number: int, value: int) -> set[FaultKind]:
        if number in self._by_id:
            register = self._by_id[number]
            changes = vm.ran and value != vm.values[register.name]
            return {kind for kind, on in ((FaultKind.VALUE, value & ~register.mask), (FaultKind.LOCK, changes)) if on}
        if number == PSCI_VERSION.id:
            # Without the feature the only version is 0.1.
            without = uapi.KVM_ARM_VCPU_PSCI_0_2 not in (vm.features or ())
            taken = value == PSCI_0_1 if without else accepts_version(value, self._host.psci_version)
        else:
            workaround = self._workarounds[number]
            taken = workaround.accepts(value, self._levels[workaround.register.name])
        return set() if taken else {FaultKind.VALUE}

    def _held(self, vm: _Vm, operation: op.GetReg) -> int:
        number = operation.register.id
        if number == PSCI_VERSION.id:
            return vm.psci
        if number in self._workarounds:
            return self._levels[self._workarounds[number].register.name]
        return vm.values[self._by_id[number].name]

    def _store(self, vm: _Vm, operation: op.SetReg) -> None:
        number = operation.register.id
        if number == PSCI_VERSION.id:
            vm.psci = operation.value
        elif number in self._by_id:
            vm.values[self._by_id[number].name] = operation.value

    def _list(self, vcpu: _Vcpu) -> tuple[op.Want, ...]:
        if not vcpu.initialised:
            return (_errno("KVM_GET_REG_LIST", errno.ENOEXEC),)
        listed = [op.Want(f"times that {r.name} is listed", 1, op.Show.DECIMAL) for r in self._host.registers]
        every = op.Want("bitmap registers listed", len(self._host.registers), op.Show.DECIMAL)
        return (_errno("KVM_GET_REG_LIST", 0), every, *listed)

    # --- the guest ----------------------------------------------------------

    def _guest_call(self, vm: _Vm, vcpu: _Vcpu, operation: op.GuestCall) -> tuple[op.Want, ...]:
        if not vcpu.initialised:
            return (_errno("KVM_RUN", errno.ENOEXEC),)
        vm.ran = True
        call = CALLEES[operation.name].call(operation.form)
        action = self._action(vm, operation)
        if action == uapi.KVM_SMCCC_FILTER_FWD_TO_USER:
            flags = uapi.KVM_HYPERCALL_EXIT_SMC if call.conduit is Conduit.SMC else 0
            left = op.Want("hypercall.nr", call.function & U32), op.Want("hypercall.flags", flags)
            return (*_left(uapi.KVM_EXIT_HYPERCALL), *left, *_left(uapi.KVM_EXIT_MMIO), *_x(exact(call.registers)))
        x = exact(CLOSED) if action == uapi.KVM_SMCCC_FILTER_DENY else self._answer(vm, vcpu, operation)
        return (*_left(uapi.KVM_EXIT_MMIO), *_x(x))

    def _action(self, vm: _Vm, operation: op.GuestCall) -> int:
        """The filter's action."""
        number = CALLEES[operation.name].id
        if not operation.form.served(self._host.smc):
            return uapi.KVM_SMCCC_FILTER_HANDLE
        actions = (action for first, last, action in vm.filters if first <= number <= last)
        return next(actions, uapi.KVM_SMCCC_FILTER_HANDLE)

    def _answer(self, vm: _Vm, vcpu: _Vcpu, operation: op.GuestCall) -> tuple[tuple[int, int], ...]:
        callee, form = CALLEES[operation.name], operation.form
        entered = callee.call(form).registers
        if not form.conduit.name.startswith("SMC") and callee.id in FAST_PATH:
            return exact((0, 0, *entered[2:4]))
        if not form.served(self._host.smc):
            return exact((U64, *entered[1:4]))
        if form.conduit.instruction not in callee.conduits:
            return exact(CLOSED)
        situation = Situation(self._host.dialect, vm.values, self._host.arch_counter, vcpu.ipa)
        return callee.answer(GuestView(situation, vm.psci, self._host.smccc, self._levels))


def _errno(name: str, value: int) -> op.Want:
    return op.Want(name, value, op.Show.ERRNO)


def _left(reason: int) -> tuple[op.Want, ...]:
    return _errno("KVM_RUN", 0), op.Want("exit_reason", reason, op.Show.EXIT)


def _x(registers: tuple[tuple[int, int], ...]) -> tuple[op.Want, ...]:
    return tuple(op.Want(f"x{n}", value & mask, op.Show.HEX, mask) for n, (value, mask) in enumerate(registers[:4]))


def _run(vm: _Vm, vcpu: _Vcpu, how: op.How) -> tuple[op.Want, ...]:
    if how is op.How.ARGUMENT:
        return (_errno("KVM_RUN", errno.EINVAL),)
    if not vcpu.initialised:
        return (_errno("KVM_RUN", errno.ENOEXEC),)
    vm.ran = True
    return (_errno("KVM_RUN", errno.EINTR),) if how is op.How.IMMEDIATE_EXIT else _left(uapi.KVM_EXIT_MMIO)


def _fault_of_id(number: int) -> FaultKind:
    if (number & ~uapi.KVM_REG_SIZE_MASK) >> 32 != uapi.KVM_REG_ARM64 >> 32:
        return FaultKind.ID_HIGH
    return FaultKind.ID_LOW if number & uapi.KVM_REG_SIZE_MASK == uapi.KVM_REG_SIZE_U64 else FaultKind.ID_SIZE


def _set_filter(vm: _Vm, operation: op.SetFilter) -> int:
    """EINVAL, EBUSY and EEXIST win in this order (FILTER-5)."""
    first, last = operation.base, operation.base + operation.count - 1
    if not operation.count or last > U32 or operation.action > uapi.KVM_SMCCC_FILTER_FWD_TO_USER:
        return errno.EINVAL
    if vm.ran:
        return errno.EBUSY
    taken = (*_RESERVED, *((f[0], f[1]) for f in vm.filters))
    if any(first <= its_last and its_first <= last for its_first, its_last in taken):
        return errno.EEXIST
    vm.filters.append((first, last, operation.action))
    return 0


def _pv_time(vcpu: _Vcpu, operation: op.PvTime) -> tuple[op.Want, ...]:
    done = _errno(operation.request.value, 0)
    if operation.request is op.Request.HAS:
        return (done,)
    if operation.request is op.Request.GET:
        return done, op.Want("address", _NO_AREA if vcpu.ipa is None else vcpu.ipa)
    error = errno.EINVAL if operation.ipa % 64 or operation.ipa not in MEMORY else 0
    if vcpu.ipa is not None and not operation.ipa % 64:
        error = errno.EEXIST
    if not error:
        vcpu.ipa = operation.ipa
    return (replace(done, value=error),)
