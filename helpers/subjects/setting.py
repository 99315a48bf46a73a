# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel is booted with: KVM's mode, the emulated processor, further kernel arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Setting:
    """Empty where nothing was asked for."""

    mode: str = ""
    cpu: str = ""
    arguments: str = ""

    @property
    def suffix(self) -> str:
        """What it adds to a subject's label."""
        return "".join(f" {name}={value}" for name, value in self.describe().items())

    def describe(self) -> dict[str, str]:
        """What was asked for."""
        everything = {"kvm-mode": self.mode, "cpu": self.cpu, "args": self.arguments}
        return {name: value for name, value in everything.items() if value}


PLAIN = Setting()


def settings(modes: Sequence[str], cpus: Sequence[str], arguments: Sequence[str]) -> tuple[Setting, ...]:
    """Every combination of what was asked for."""
    return tuple(Setting(*each) for each in product(modes or ("",), cpus or ("",), arguments or ("",)))


def setting_of(label: str) -> tuple[str, Setting]:
    """A label without and with what its setting added to it."""
    rest, _, arguments = label.partition(" args=")
    rest, _, cpu = rest.partition(" cpu=")
    kernel, _, mode = rest.partition(" kvm-mode=")
    return kernel, Setting(mode, cpu, arguments)
