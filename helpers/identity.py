# SPDX-License-Identifier: GPL-2.0-only
"""What a result is about: a kernel under test with what is planted in it, or a migration between two of those.

Code compares and stores these values. A label is for people: it is printed, and matched as a whole, never taken apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

OWN_DIALECT = "mainline"
"""The dialect of a kernel in which no other one is planted."""


class Reach(StrEnum):
    """How a kernel is reached: booted in QEMU, over ssh, through labgrid, or in process on this machine."""

    KERNEL = "kernel"
    BOARD = "board"
    LABGRID = "labgrid"
    LOCAL = "local"


_PREFIXES = {Reach.KERNEL: "", Reach.BOARD: "board:", Reach.LABGRID: "labgrid:", Reach.LOCAL: "local"}


class BootVariant(Struct, frozen=True, omit_defaults=True):
    """What a kernel is booted with. An empty value is the default."""

    kvm_mode: str = ""
    """The value of --kvm-mode: "vhe", "nvhe" or "protected"."""
    cpu: str = ""
    """The value of QEMU's -cpu."""
    arguments: str = ""
    """Additions to the kernel's command line."""
    qemu: str = ""
    """Additions to QEMU's arguments."""

    def describe(self) -> dict[str, str]:
        """The values that are not the default, by the names that reports show."""
        values = {"kvm-mode": self.kvm_mode, "cpu": self.cpu, "args": self.arguments, "qemu": self.qemu}
        return {name: value for name, value in values.items() if value}


PLAIN = BootVariant()


class SubjectId(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="subject"):
    """One subject: a kernel under test and how it is reached."""

    name: str
    """The kernel's path or debian:SUITE, the board's destination or labgrid's place; empty for this machine."""
    reach: Reach = Reach.KERNEL
    """How the kernel is reached."""
    dialect: str = OWN_DIALECT
    """The dialect that is planted; "mainline" if none is."""
    fault: str = ""
    """The planted fault; empty if the module is not asked for one."""
    control: int | None = None
    """The number of a control in a proof, whose fault plants nothing."""
    variant: BootVariant = PLAIN
    """What the kernel is booted with."""

    @property
    def label(self) -> str:
        """The subject's name in reports and test ids; it shows everything that is planted."""
        variant = "".join(f" {name}={value}" for name, value in self.variant.describe().items())
        dialect = f" dialect={self.dialect}" if self.dialect != OWN_DIALECT else ""
        control = "" if self.control is None else f",{self.control}"
        fault = f" with planted fault {self.fault}{control}" if self.fault else ""
        return f"{_PREFIXES[self.reach]}{self.name}{variant}{dialect}{fault}"

    @property
    def machine(self) -> SubjectId:
        """The same kernel and boot variant with nothing planted: subjects that share it share a machine."""
        return SubjectId(self.name, self.reach, variant=self.variant)


LOCAL = SubjectId("", Reach.LOCAL)


class OldLabel(Struct, frozen=True, tag_field="kind", tag="label"):
    """A subject of a log of version 1 or 2, which holds nothing but its label."""

    label: str
    """The text of that log."""


class MigrationId(Struct, frozen=True, tag_field="kind", tag="migration"):
    """The migration of VMs from one subject to another."""

    source: SubjectId | OldLabel
    """The subject on which the VM is saved."""
    target: SubjectId | OldLabel
    """The subject on which it is restored."""

    @property
    def label(self) -> str:
        """The migration's name in reports."""
        return f"migration {self.source.label} -> {self.target.label}"


Identity = SubjectId | MigrationId | OldLabel


def pairs(subjects: Sequence[SubjectId]) -> tuple[tuple[SubjectId, SubjectId], ...]:
    """Sources and targets of migrations: each subject to itself, and between those with nothing planted.

    Subjects with something planted can share one machine, so two of them never run at the same time.
    """
    plain = {each for each in subjects if each == each.machine}
    return tuple((a, b) for b in subjects for a in subjects if a == b or (a in plain and b in plain))
