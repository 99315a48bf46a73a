# SPDX-License-Identifier: GPL-2.0-only
"""The hypercall bitmap registers and their bits, in each dialect."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations

from helpers.contract.service_files import TABLES, RegisterEntry


@dataclass(frozen=True)
class Register:
    """One bitmap register of one dialect. ``bits`` maps a bit's number to its name."""

    name: str
    id: int
    bits: tuple[tuple[int, str], ...]
    reset: int
    optional: bool = False
    """Whether a kernel of this dialect may lack it."""
    unknown: int = 0
    """The bits that this kernel supports and the tables lack (helpers/contract/newer.py)."""

    @cached_property
    def mask(self) -> int:
        """Every supported bit."""
        return sum(1 << number for number, _ in self.bits) | self.unknown

    @cached_property
    def beyond(self) -> int:
        """The highest unsupported bit, as a bitmap. A register that supports 64 bits has no limit (newer.py)."""
        return 1 << ((1 << 64) - 1 & ~self.mask).bit_length() - 1

    def bit(self, name: str) -> int | None:
        """The value of the bit called ``name``; None without such a bit."""
        return next((1 << number for number, bit in self.bits if bit == name), None)

    def subsets(self) -> tuple[int, ...]:
        """Bitmaps that the register accepts, ascending: all of them if it has up to three bits, otherwise a sample.

        The sample has no bit, all bits, the known bits, the unknown bits, every second bit, and up to four single bits.
        """
        return _subsets(self.mask, self.unknown)


@cache
def _subsets(mask: int, unknown: int) -> tuple[int, ...]:
    values = [1 << number for number in range(64) if mask >> number & 1]
    if len(values) <= 3:
        return tuple(sorted(sum(c) for n in range(len(values) + 1) for c in combinations(values, n)))
    known = mask & ~unknown
    chosen = {0, mask, known, unknown, sum(values[::2]), sum(values[1::2]), *values[:2], *values[-2:]}
    return tuple(sorted(chosen))


STD, STD_HYP, VENDOR_HYP, VENDOR_HYP_2 = "STD", "STD_HYP", "VENDOR_HYP", "VENDOR_HYP_2"
REGISTER_NAMES = tuple(dict.fromkeys(entry.name for entry in TABLES.registers))
"""The services' owners, one register each (VENDOR_HYP_2 continues VENDOR_HYP). Test ids use these names."""
UNKNOWN = "UNKNOWN"
"""In test ids, this stands for all registers that a kernel has and the tables lack."""

TRNG, PV_TIME, FUNC_FEAT, PTP = "TRNG_V1_0", "PV_TIME", "FUNC_FEAT", "PTP"


@dataclass(frozen=True)
class Dialect:
    """The registers of one version of the interface. ``capability``: 207 answers their number."""

    name: str
    registers: tuple[Register, ...]
    capability: bool

    def register(self, name: str) -> Register | None:
        """The register called ``name``, None without one."""
        return next((r for r in self.registers if r.name == name), None)


def _registers(dialect: str) -> tuple[Register, ...]:
    return tuple(_register(entry) for entry in TABLES.registers if entry.dialect == dialect)


def _register(entry: RegisterEntry) -> Register:
    services = [s for s in TABLES.services if (s.register, s.dialect) == (entry.name, entry.dialect)]
    bits = tuple(sorted((service.bit, service.name) for service in services))
    reset = sum(1 << service.bit for service in services if service.reset)
    return Register(entry.name, entry.id, bits, reset, entry.optional)


MAINLINE = Dialect("mainline", _registers("mainline"), capability=False)
"""Linux 5.19 on: Documentation/virt/kvm/arm/fw-pseudo-registers.rst, hypercalls.c."""

RFC_V3 = Dialect("rfc-v3", _registers("rfc-v3"), capability=True)
"""The RFC series of January 2022, version 3. Its FW_REG(3) became mainline's WORKAROUND_3."""

NONE = Dialect("none", (), capability=False)
"""A kernel without the interface: before 5.19."""
