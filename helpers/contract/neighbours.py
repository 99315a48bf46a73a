# SPDX-License-Identifier: GPL-2.0-only
"""The firmware registers beside the bitmaps (PSCI_VERSION, the workarounds), and PSCI's answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from helpers.contract.newer import LATEST_PSCI
from helpers.smccc import NOT_SUPPORTED, U64
from helpers.uapi.kvm import fw_reg
from helpers.uapi.notation import RegisterId

PSCI_VERSION = RegisterId("PSCI_VERSION", fw_reg(0))
PSCI_0_1, PSCI_0_2, PSCI_1_0 = 0x1, 0x2, 0x10000

ALREADY_ON, INVALID_PARAMETERS, INTERNAL_FAILURE = U64 - 3, U64 - 1, U64 - 5
"""-4, -2 and -6 (Arm DEN0022, return error codes)."""


def accepts_version(version: int, latest: int) -> bool:
    """Whether a VM with PSCI_0_2 and default ``latest`` accepts ``version`` (hypercalls.c:kvm_arm_set_fw_reg)."""
    return version == PSCI_0_2 or PSCI_1_0 <= version <= latest


@dataclass(frozen=True)
class Workaround:
    """One workaround's register, and ARCH_FEATURES' answer for each level that it can hold."""

    register: RegisterId
    function: int
    answers: dict[int, int]

    def accepts(self, value: int, level: int) -> bool:
        """Whether a host of ``level`` accepts ``value``: no better protection than the host has, no unknown bit."""
        if self.function != WORKAROUND_2:
            return value <= level
        # ENABLED (bit 4) is valid with one level only, and KVM merges the four levels into two.
        if (value & 0x10 and value & 0xF != 2) or value & ~0x1F or value & 0xF > 3:
            return False
        return (3 if value & 2 else 0) <= level


WORKAROUND_2 = 0x80007FFF
_THREE_STATES = {0: NOT_SUPPORTED, 1: 0, 2: 1}
"""Vulnerable, mitigated, not affected."""
WORKAROUND_REGISTERS = (
    Workaround(RegisterId("WORKAROUND_1", fw_reg(1)), 0x80008000, _THREE_STATES),
    Workaround(RegisterId("WORKAROUND_2", fw_reg(2)), WORKAROUND_2, {0: NOT_SUPPORTED, 3: U64 - 1}),
    Workaround(RegisterId("WORKAROUND_3", fw_reg(3)), 0x80003FFF, _THREE_STATES),
)
"""FW_REG(3) is WORKAROUND_3 in mainline and STD in RFC v3."""


@dataclass(frozen=True)
class PsciCall:
    """A call in a VM with two vCPUs, of which the second is off. ``answer`` maps the VM's PSCI version to x0."""

    name: str
    id: int
    args: tuple[int, ...]
    answer: Callable[[int], int]
    until: int = U64
    """The latest version for which the answer is defined, because a later version may add the function."""


def _always(value: int) -> Callable[[int], int]:
    return lambda _: value


def _since(version: int, value: int) -> Callable[[int], int]:
    return lambda psci: value if psci >= version else NOT_SUPPORTED


_OFF2 = 0x10003
_FEATURES = {
    "PSCI_VERSION": (0x84000000, PSCI_1_0, 0), "CPU_SUSPEND": (0x84000001, PSCI_1_0, 0),
    "CPU_SUSPEND64": (0xC4000001, PSCI_1_0, 0), "CPU_OFF": (0x84000002, PSCI_1_0, 0),
    "CPU_ON": (0x84000003, PSCI_1_0, 0),
    "CPU_ON64": (0xC4000003, PSCI_1_0, 0), "AFFINITY_INFO": (0x84000004, PSCI_1_0, 0),
    "AFFINITY_INFO64": (0xC4000004, PSCI_1_0, 0), "MIGRATE_INFO_TYPE": (0x84000006, PSCI_1_0, 0),
    "SYSTEM_OFF": (0x84000008, PSCI_1_0, 0), "SYSTEM_RESET": (0x84000009, PSCI_1_0, 0),
    "PSCI_FEATURES": (0x8400000A, PSCI_1_0, 0), "SMCCC_VERSION": (0x80000000, PSCI_1_0, 0),
    "SYSTEM_RESET2": (0x84000012, 0x10001, 0), "SYSTEM_RESET2_64": (0xC4000012, 0x10001, 0),
    "SYSTEM_OFF2": (0x84000015, _OFF2, 1), "SYSTEM_OFF2_64": (0xC4000015, _OFF2, 1),
}  # fmt: skip
_NO_FEATURES = {
    "MIGRATE": 0x84000005, "MIGRATE_INFO_UP_CPU": 0x84000007, "CPU_FREEZE": 0x8400000B, "SYSTEM_SUSPEND": 0x8400000E,
    "SYSTEM_SUSPEND64": 0xC400000E, "MEM_PROTECT": 0x84000013, "ARCH_FEATURES": 0x80000001, "TRNG_VERSION": 0x84000050,
    "PV_TIME_FEATURES": 0xC5000020, "KVM_FEATURES": 0x86000000,
}  # fmt: skip

PSCI_CALLS = (
    PsciCall("PSCI_VERSION", 0x84000000, (), lambda psci: psci),
    *(PsciCall(f"FEATURES.{n}", 0x8400000A, (i,), _since(v, x)) for n, (i, v, x) in _FEATURES.items()),
    *(
        PsciCall(f"FEATURES.{n}", 0x8400000A, (i,), _always(NOT_SUPPORTED), LATEST_PSCI)
        for n, i in _NO_FEATURES.items()
    ),
    *(
        PsciCall(f"AFFINITY_INFO{width}.{name}", function, args, _always(answer))
        for width, function in (("", 0x84000004), ("64", 0xC4000004))
        for name, args, answer in (
            ("on", (0, 0), 0), ("off", (1, 0), 1), ("nobody", (7, 0), INVALID_PARAMETERS), ("level_1", (0, 1), 0),
            ("level_4", (0, 4), INVALID_PARAMETERS),
        )
    ),
    *(
        PsciCall(f"CPU_ON{width}.{name}", function, args, _always(answer))
        for width, function in (("", 0x84000003), ("64", 0xC4000003))
        for name, args, answer in (("on", (0, 0, 0), ALREADY_ON), ("nobody", (7, 0, 0), INVALID_PARAMETERS))
    ),
    PsciCall("MIGRATE_INFO_TYPE", 0x84000006, (), _always(2)),
    *(
        PsciCall(n, i, (), _always(NOT_SUPPORTED), LATEST_PSCI)
        for n, i in _NO_FEATURES.items() if i & ~0x4000001F == 0x84000000
    ),
    PsciCall("NO_FUNCTION", 0x8400001F, (), _always(NOT_SUPPORTED), LATEST_PSCI),
)  # fmt: skip
"""psci.c:kvm_psci_call from version 0.2 on, without the calls that end or suspend the guest."""
