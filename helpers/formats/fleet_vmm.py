# SPDX-License-Identifier: GPL-2.0-only
"""The settings of QEMU and libvirt for a fleet's VMs, and the registers for which they have no setting.

Sources: QEMU 11.1.3 (target/arm/kvm.c, the initialisation of -cpu host) and libvirt 12.8.0 (formatdomain.html,
drvqemu.html). The texts name these versions, because later versions may have more settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from helpers.results.fleet import PSCI_VERSION, Fleet, FleetSetting, PairKind, psci_text

QEMU, LIBVIRT = "QEMU 11.1.3", "libvirt 12.8.0"
_PSCI = (0x1, 0x2, 0x10000, 0x10001, 0x10002, 0x10003)
"""The versions that QEMU's kvm-psci-version accepts."""
_TOLERATED = frozenset(("TCR2_EL1", "PIRE0_EL1", "PIR_EL1"))
"""Registers that -cpu host omits if the destination lacks them, whatever their value is."""
_TOLERATED_IF_0 = "VENDOR_HYP_2"


@dataclass(frozen=True)
class VmmSettings:
    """The configuration lines for a VMM, and sentences about registers for which it has no setting."""

    name: str
    settings: tuple[str, ...]
    without: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """The lines for a terminal."""
        yield from self.settings
        yield from self.without
        if not (self.settings or self.without):
            yield "no setting is needed"

    def data(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"version": self.name, "settings": self.settings, "without": self.without}


def qemu(fleet: Fleet) -> VmmSettings:
    """The options of QEMU, and the registers for which it has no option."""
    version = _psci_option(fleet)
    without = [_no_psci(QEMU, each) for each in _wanted(fleet) if each.register == PSCI_VERSION and not version]
    without += [_no_bitmap(QEMU, each) for each in _wanted(fleet) if each.mask is not None]
    without += _omitted(fleet)
    return VmmSettings(QEMU, (f"-cpu {version}",) if version else (), tuple(without))


def libvirt(fleet: Fleet) -> VmmSettings:
    """The lines of the domain's XML."""
    version = _psci_option(fleet)
    lines: tuple[str, ...] = ()
    without = [_no_psci(LIBVIRT, each) for each in _wanted(fleet) if each.register == PSCI_VERSION]
    without += [_no_bitmap(LIBVIRT, each) for each in _wanted(fleet) if each.mask is not None]
    if version:
        lines = (
            "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>",
            f"  <qemu:arg value='-cpu'/> <qemu:arg value='{version}'/>",
            "</qemu:commandline>",
        )
        without.append("These lines pass it to QEMU, which uses the last -cpu. libvirt marks the domain tainted.")
        without.append("Append the features of the domain's cpu element to the value.")
    return VmmSettings(LIBVIRT, lines, tuple(without))


def _wanted(fleet: Fleet) -> Iterator[FleetSetting]:
    """The settings that differ from some host's default."""
    for each in fleet.settings:
        if each.value is not None and any(default != each.value for default in each.defaults.values()):
            yield each


def _psci_option(fleet: Fleet) -> str:
    values = [each.value for each in _wanted(fleet) if each.register == PSCI_VERSION]
    return next((f"host,kvm-psci-version={psci_text(value)}" for value in values if value in _PSCI), "")


def _no_psci(vmm: str, setting: FleetSetting) -> str:
    return f"{vmm} has no setting for {PSCI_VERSION} = {setting.value or 0:#x}."


def _no_bitmap(vmm: str, setting: FleetSetting) -> str:
    hosts = ", ".join(host for host, default in setting.defaults.items() if default != setting.value)
    return (
        f"{vmm} has no setting for {setting.register} = {setting.value or 0:#x}, which is not the default on {hosts}."
    )


def _omitted(fleet: Fleet) -> Iterator[str]:
    """What QEMU does with registers that a destination lacks."""
    for each in fleet.settings:
        if each.lacking and each.mask is not None and (each.register, each.value) != (_TOLERATED_IF_0, 0):
            yield f"{QEMU} does not omit {each.register}: migrations to {', '.join(each.lacking)} fail."
        elif each.lacking and each.mask is not None:
            yield f"{QEMU} with -cpu host omits {each.register} by itself if it is 0."
    for pair in fleet.pairs:
        if pair.kind is PairKind.REFUSED and {name for name, _ in pair.refused} <= _TOLERATED:
            names = ", ".join(name for name, _ in pair.refused)
            yield f"{QEMU} with -cpu host migrates {pair.source} -> {pair.destination} without {names}."
