# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures of all chapters: fresh VMs, and the registers of the subject's dialect."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

import pytest

from helpers.contract.features import Probe
from helpers.contract.functions import Function, Situation
from helpers.contract.registers import REGISTER_NAMES, UNKNOWN, Register
from helpers.errors import UsageError
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import PSCI_0_2, Kvm, Vm
from suites.support.calls import At, VmAt, hold

MakeVm = Callable[..., Vm]
Note = Callable[[str], None]


def pytest_configure(config: pytest.Config) -> None:
    """Raises pytest.UsageError if the suite's plugin is missing. Otherwise every test would be an error."""
    if not config.pluginmanager.has_plugin("helpers.plugin.session"):
        why = "pytest did not load the conftest.py beside suites/ (--confcutdir, or a configuration file below it)"
        raise pytest.UsageError(str(UsageError("The suite cannot run", why=why, cure="Run without that option")))


@pytest.fixture
def make_vm(kvm: Kvm) -> Iterator[MakeVm]:
    """Makes VMs. The round trip that reads the kernel's log at the end of the test closes them."""
    made: list[Vm] = []

    def make(vcpus: int = 1, features: tuple[int, ...] = PSCI_0_2) -> Vm:
        made.append(kvm.create_vm(vcpus, features=features))
        return made[-1]

    yield make
    for vm in made:
        kvm.close_later(vm)


@pytest.fixture
def registers(contract: Probe) -> tuple[Register, ...]:
    """Every bitmap register that the subject must have."""
    if not contract.registers:
        pytest.skip(
            "not applicable, because this kernel has no hypercall bitmap registers (probed by list and by read)"
        )
    return contract.registers


@pytest.fixture(params=[*REGISTER_NAMES, UNKNOWN])
def register(
    request: pytest.FixtureRequest, registers: tuple[Register, ...], contract: Probe
) -> Register | tuple[Register, ...]:
    """One register, or all that the tables lack. The test is not applicable if the kernel has no such register."""
    if request.param == UNKNOWN:
        # suites/limits/test_discovery.py tests registers without bits: most tests need two values.
        unknown = tuple(r for r in contract.unknown_registers if r.mask)
        if not unknown:
            pytest.skip("not applicable, because KVM_GET_REG_LIST shows no bitmap register that the tables lack")
        return unknown
    found = next((r for r in registers if r.name == request.param), None)
    if found is None:
        pytest.skip(
            f"not applicable, because {request.param} is not among this kernel's {contract.dialect.name} registers "
            f"({', '.join(r.name for r in registers)})"
        )
    return found


@pytest.fixture(autouse=True)
def _has_no_meaning(request: pytest.FixtureRequest) -> None:
    """A test of a function id is not applicable if an unknown service enables it."""
    function = getattr(getattr(request.node, "callspec", None), "params", {}).get("function")
    if isinstance(function, Function) and function.id in request.getfixturevalue("contract").new_functions:
        pytest.skip(f"not applicable, because a service that the tables lack enables {function.id:#x}")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Calls a test of the unknown registers for each one. Their number is unknown when tests are collected."""
    registers = pyfuncitem.funcargs.get("register")
    if not isinstance(registers, tuple):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    for register in registers:
        pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names} | {"register": register})
    return True


@pytest.fixture
def at(registers: tuple[Register, ...], contract: Probe) -> At:
    """The situation in which every register is full or empty, with or without PV time."""

    def situation(level: str, pv_time: bool) -> Situation:
        if pv_time and not contract.pv_time:
            pytest.skip("not applicable, because vCPUs of this kernel take no stolen-time area (KVM_HAS_DEVICE_ATTR)")
        values = {r.name: r.mask if level == "full" else 0 for r in registers}
        ipa = PV_TIME_IPA if pv_time else None
        return Situation(contract.dialect, values, contract.arch_counter, ipa)

    return situation


@pytest.fixture
def vm_at(make_vm: MakeVm, registers: tuple[Register, ...]) -> VmAt:
    """A fresh VM in a situation."""

    def made(situation: Situation) -> Vm:
        vm = make_vm()
        hold(vm, registers, situation)
        return vm

    return made
