# SPDX-License-Identifier: GPL-2.0-only
"""Each hypercall's answer in a fresh VM, by HVC and by SMC, for each bitmap of its register.

For reports, not for a verdict.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from helpers import guests
from helpers.batch import KvmError
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED, FUNCTIONS, U32, Answer, Function, Ranges, Situation
from helpers.contract.registers import REGISTER_NAMES, Register
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import Kvm, Vm
from helpers.results.records import SMC_NOT_SERVED, ServiceInfo
from helpers.smccc import NOT_SUPPORTED, Call, Conduit, signed
from helpers.uapi.notation import error_name

VARYING = "varying"
"""The class of answers that are right and differ each time: entropy, clocks."""
_LEFT = (0x5A5A_5A5A_5A5A_5A5A,) * 7
"""Fills the argument registers that a call does not read: shows results that leave them unchanged."""
_LENGTHS = {"TRNG_RND32": (96, 97), "TRNG_RND64": (192, 193)}
"""Lengths of entropy (bits): the longest that is accepted, and the first that is refused."""
_SMALLEST = -16
"""SMCCC's and PSCI's errors are small negative numbers."""
Answers = Mapping[str, Mapping[Conduit, str]]
"""Each function's answer by each conduit; none by SMC if the guest did not come back from it."""


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
    fresh: Answers,
    by_register: Mapping[str, Mapping[int, Answers]],
) -> ServiceInfo:
    gate = function.gated(probe.dialect)
    # Without the register nothing closes the call.
    bitmaps = by_register.get(gate[0], {}) if gate else {}

    def answers(conduit: Conduit) -> tuple[str, tuple[tuple[int, str], ...]]:
        each = ((value, answers_of[function.name].get(conduit)) for value, answers_of in bitmaps.items())
        return fresh[function.name].get(conduit, ""), tuple((value, text) for value, text in each if text is not None)

    register, bit = gate if gate and bitmaps else ("", "")
    return ServiceInfo(function.name, register, bit, *answers(Conduit.HVC), *answers(Conduit.SMC))


def _shown(function: Function) -> bool:
    """Whether a report has the call: the variants of an argument are for the tests alone."""
    lengths = _LENGTHS.get(function.name.partition(".")[0])
    if lengths is not None:
        return function.args[0] in lengths
    return not function.name.endswith(".upper_half")


def _answers(kvm: Kvm, probe: Probe, register: Register | None, value: int) -> Answers:
    """Every function's answers in a new VM whose ``register`` holds ``value``."""
    functions = [function for function in FUNCTIONS if _shown(function)]
    with kvm.create_vm() as vm:
        refused = vm.vcpu.try_set_reg(register, value) if register is not None else 0
        if refused:
            text = f"bitmap refused: {error_name(refused)}"
            return {function.name: dict.fromkeys((Conduit.HVC, Conduit.SMC), text) for function in functions}
        if probe.pv_time:
            guests.set_pv_time(vm, PV_TIME_IPA)
        answers = {function.name: {Conduit.HVC: text} for function, text in _made(vm, functions, probe, Conduit.HVC)}
        with contextlib.suppress(KvmError):
            for function, text in _made(vm, functions, probe, Conduit.SMC):
                answers[function.name][Conduit.SMC] = text
    return answers


def _made(vm: Vm, functions: list[Function], probe: Probe, conduit: Conduit) -> list[tuple[Function, str]]:
    """Every function's answer by ``conduit``. Raises KvmError if the guest does not come back."""
    calls = [Call(function.id, (*function.args, *_LEFT[len(function.args) :]), conduit) for function in functions]
    answers = zip(functions, calls, guests.calls(vm.vcpu, calls), strict=True)
    return [(function, _text(function, call, result.x0_3, probe)) for function, call, result in answers]


def _text(function: Function, call: Call, x: tuple[int, int, int, int], probe: Probe) -> str:
    if call.conduit is Conduit.SMC and x == (NOT_SUPPORTED, *call.registers[1:4]):
        return SMC_NOT_SERVED
    return answer_class(function, x, probe)


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
