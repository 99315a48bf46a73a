# SPDX-License-Identifier: GPL-2.0-only
"""The effect of restoring one kernel's saved bitmaps on another."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from helpers.contract.features import Probe
from helpers.contract.functions import FUNCTIONS, GATED, Function, Situation
from helpers.contract.registers import MAINLINE, Register
from helpers.results.wording import ranges
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import error_name
from helpers.uapi.system_registers import vcpu_register_name

SAVED_STATES = ("default", "full", "empty", "mixed")
"""The values of the source's registers: as created, every bit, no bit, and different bits in neighbouring registers."""

X = tuple[int, int, int, int]


def values_at(level: str, registers: tuple[Register, ...]) -> dict[str, int]:
    """The registers' values by name at a level."""
    if level == "mixed":
        # Neighbouring registers get different values, so that a value in the wrong register is detected.
        return {r.name: 1 if i % 2 else r.mask & ~1 for i, r in enumerate(registers)}
    return {r.name: {"default": r.reset, "full": r.mask, "empty": 0}[level] for r in registers}


def error_of(destination: Probe, listed: Collection[int], register_id: int, value: int) -> int | None:
    """The errno of restoring a bitmap; 0 if the destination must accept it.

    None if the id is another register's on the destination: the RFC's FW_REG(3) became WORKAROUND_3.
    """
    there = next((r for r in destination.registers if r.id == register_id), None)
    if there is not None:
        return errno.EINVAL if value & ~there.mask else 0
    return None if register_id in listed else errno.ENOENT


def is_firmware_register(register_id: int) -> bool:
    """Whether the register is one of those that the clauses are about: a bitmap, PSCI_VERSION or a workaround."""
    return register_id & uapi.KVM_REG_ARM_COPROC_MASK in (uapi.KVM_REG_ARM_FW, uapi.KVM_REG_ARM_FW_FEAT_BMAP)


def refused_others(errors: Iterable[Mapping[int, int]]) -> tuple[tuple[int, int], ...]:
    """The ids and errnos of refused registers that are no firmware registers, from the errnos by id of each vCPU."""
    refused = {i: error for each in errors for i, error in each.items() if error and not is_firmware_register(i)}
    return tuple(sorted(refused.items()))


def show_refused(refused: Iterable[tuple[int, int]]) -> str:
    """Refused registers as text, such as "CCSIDR_EL1[0] (0x6020000000110000): EINVAL"."""
    return ", ".join(f"{vcpu_register_name(i)} ({i:#x}): {error_name(error)}" for i, error in refused)


def held_after(destination: Probe, saved: Mapping[int, int]) -> dict[str, int]:
    """The destination's registers by name, after ``saved`` (values by id) was restored."""
    return {
        r.name: saved[r.id] if r.id in saved and not saved[r.id] & ~r.mask else r.reset for r in destination.registers
    }


def visible_services(register: Register, value: int) -> tuple[str, ...]:
    """The names of a bitmap's services; the number of a bit without a name."""
    names = dict(register.bits)
    return tuple(
        f"{register.name}.{names[bit]}" if bit in names else f"{register.name} bit {bit}"
        for bit in range(64)
        if value >> bit & 1
    )


def lost(source: Probe, destination: Probe, values: Mapping[str, int]) -> tuple[str, ...]:
    """The services in the source's ``values`` that the destination lacks."""
    names: list[str] = []
    for register in source.registers:
        there = next((r for r in destination.registers if r.id == register.id), None)
        names += visible_services(register, values[register.name] & ~(there.mask if there else 0))
    return tuple(names)


def _fixed() -> tuple[Function, ...]:
    full = Situation(MAINLINE, {r.name: r.mask for r in MAINLINE.registers}, arch_counter=True, pv_time_ipa=None)
    return tuple(f for f in GATED if isinstance(f.answer(full), tuple))


GUEST_VIEW = _fixed()
"""The calls whose answers depend only on the registers, on any kernel."""
WHOLE_VIEW = (*GUEST_VIEW, *(f for f in FUNCTIONS if not f.gate))
"""The calls of GUEST_VIEW, and the calls that need no bit."""


def changed(before: Mapping[str, X], after: Mapping[str, X]) -> tuple[str, ...]:
    """What has different answers: the services of the calls, and the names of calls that need no bit."""
    different = (f for f in WHOLE_VIEW if f.name in before and before[f.name] != after[f.name])
    return tuple(dict.fromkeys(".".join(f.gate) if f.gate else f.name for f in different))


@dataclass(frozen=True)
class MigrationEffects:
    """The effects of migrating a fresh VM, which holds the source's defaults.

    ``refused``: refused firmware registers with value and errno; ``others``: other refused registers and the errno.
    ``changed`` and ``changed_by_smc``: services whose answers differ from the source. ``smc``: whether the source and
    the destination serve SMC calls. ``lost``: the source's services that the destination lacks, enabled or not.
    """

    refused: tuple[tuple[str, int, int], ...]
    others: tuple[tuple[str, int], ...]
    changed: tuple[str, ...]
    changed_by_smc: tuple[str, ...]
    smc: tuple[bool, bool]
    lost: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(filter(None, (self._restored(), self._others(), *self._seen(), self._lost())))

    def _restored(self) -> str:
        refused = ", ".join(f"{name} = {value:#x}: {error_name(error)}" for name, value, error in self.refused)
        return f"refuses {refused}" if refused else "restores every firmware register"

    def _others(self) -> str:
        names: dict[int, list[str]] = {}
        for name, error in self.others:
            names.setdefault(error, []).append(name)
        refused = ", ".join(f"{', '.join(ranges(each))} ({error_name(error)})" for error, each in names.items())
        count = len(self.others)
        return f"refuses {count} other register{'' if count == 1 else 's'}: {refused}" if refused else ""

    def _seen(self) -> tuple[str, ...]:
        source, destination = self.smc
        same = "the same" if source == destination and not self.changed_by_smc else "the same through HVC"
        answers = f"another answer of {', '.join(self.changed)}" if self.changed else same
        seen = [f"the guest sees {answers}"]
        if self.changed_by_smc and self.changed_by_smc != self.changed:
            seen.append(f"through SMC another answer of {', '.join(self.changed_by_smc)}")
        if source != destination:
            seen.append(f"only the {'source' if source else 'destination'} serves SMC calls")
        return tuple(seen)

    def _lost(self) -> str:
        return f"lacks {', '.join(self.lost)}" if self.lost else ""
