# SPDX-License-Identifier: GPL-2.0-only
"""Each hypercall's answer in a fresh VM, for each bitmap of its register: for reports, not for a verdict."""

from __future__ import annotations

from collections.abc import Mapping

from helpers import guests
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED, FUNCTIONS, U32, Answer, Function, Ranges, Situation
from helpers.contract.registers import REGISTER_NAMES, Register
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import Kvm
from helpers.results.records import ServiceInfo
from helpers.smccc import NOT_SUPPORTED, Call, signed
from helpers.uapi.notation import error_name

VARYING = "varying"
"""The class of answers that are right and differ each time: entropy, clocks."""
_LEFT = (0x5A5A_5A5A_5A5A_5A5A,) * 7
"""Fills the argument registers that a call does not read: shows results that leave them unchanged."""
_LENGTHS = {"TRNG_RND32": (96, 97), "TRNG_RND64": (192, 193)}
"""Lengths of entropy (bits): the longest that is accepted, and the first that is refused."""
_SMALLEST = -16
"""SMCCC's and PSCI's errors are small negative numbers."""


def survey_services(kvm: Kvm, probe: Probe) -> tuple[ServiceInfo, ...]:
    """Makes the calls in one fresh VM for each bitmap, with a stolen-time area if the kernel has stolen time.

    Raises KvmError if a VM cannot be created or a guest does not come back.
    """
    gates = {gate[0] for gate in (function.gated(probe.dialect) for function in FUNCTIONS) if gate}
    fresh = _answers(kvm, probe, None, 0)
    by_register = {
        register.name: {value: _answers(kvm, probe, register, value) for value in register.subsets()}
        for register in probe.present
        if register.name in gates
    }
    return tuple(_service(function, probe, fresh, by_register) for function in FUNCTIONS if _shown(function))


def answer_class(function: Function, x: tuple[int, int, int, int], probe: Probe) -> str:
    """x0..x3 as a word or as numbers; the same word for answers that differ only by chance."""
    if x == CLOSED:
        return "NOT_SUPPORTED"
    # The kind of the answer does not depend on the registers' values.
    kind = function.answer(Situation(probe.dialect, dict.fromkeys(REGISTER_NAMES, 0), probe.arch_counter, None))
    if _varies(kind, x):
        return VARYING
    return ", ".join(map(_number, x))


def _service(
    function: Function,
    probe: Probe,
    fresh: Mapping[str, str],
    by_register: Mapping[str, Mapping[int, Mapping[str, str]]],
) -> ServiceInfo:
    gate = function.gated(probe.dialect)
    # Without the register nothing closes the call.
    if gate is None or gate[0] not in by_register:
        return ServiceInfo(function.name, "", "", fresh[function.name])
    answers = tuple((value, answers_of[function.name]) for value, answers_of in by_register[gate[0]].items())
    return ServiceInfo(function.name, *gate, fresh[function.name], answers)


def _shown(function: Function) -> bool:
    """Whether a report has the call: the variants of an argument are for the tests alone."""
    lengths = _LENGTHS.get(function.name.partition(".")[0])
    if lengths is not None:
        return function.args[0] in lengths
    return not function.name.endswith(".upper_half")


def _answers(kvm: Kvm, probe: Probe, register: Register | None, value: int) -> dict[str, str]:
    """Every function's answer in a VM of its own, whose ``register`` holds ``value``."""
    functions = [function for function in FUNCTIONS if _shown(function)]
    with kvm.create_vm() as vm:
        refused = vm.vcpu.try_set_reg(register, value) if register is not None else 0
        if refused:
            return {function.name: f"bitmap refused: {error_name(refused)}" for function in functions}
        if probe.pv_time:
            guests.set_pv_time(vm, PV_TIME_IPA)
        calls = [Call(function.id, (*function.args, *_LEFT[len(function.args) :])) for function in functions]
        results = guests.calls(vm.vcpu, calls)
    return {f.name: answer_class(f, result.x0_3, probe) for f, result in zip(functions, results, strict=True)}


def _varies(kind: Answer, x: tuple[int, int, int, int]) -> bool:
    """Whether x0..x3 are a valid changing answer of this kind; entropy of all zeros is not."""
    if not isinstance(kind, str):
        return isinstance(kind, Ranges) and kind.holds(x)
    if kind.startswith("entropy"):
        width = int(kind.split(":")[1])
        return x[0] == 0 and any(x[1:]) and not any(word >> width for word in x[1:])
    return kind == "ptp" and any(x[:2]) and all(word <= U32 for word in x)


def _number(value: int) -> str:
    if value == NOT_SUPPORTED:
        return "NOT_SUPPORTED"
    if _SMALLEST <= signed(value) < 0:
        return str(signed(value))
    return f"{value:#x}" if value else "0"
