# SPDX-License-Identifier: GPL-2.0-only
"""Finds the values of the firmware registers with which VMs can migrate between all hosts of a set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from helpers.errors import UsageError
from helpers.results.columns import Column
from helpers.results.records import FirmwareInfo, RegisterInfo, ServiceInfo, SubjectInfo, serves_smc

PSCI_VERSION = "PSCI_VERSION"
POSSIBLE, IMPOSSIBLE, CANNOT_TELL = 0, 1, 3
"""The exit statuses."""


@dataclass(frozen=True)
class FleetHost:
    """A host: a unique name, the facts about its kernel, and the verdict."""

    name: str
    info: SubjectInfo
    verdict: str

    @property
    def missing(self) -> tuple[str, ...]:
        """The facts that are not in its log."""
        info = self.info
        facts = {
            "the bitmap registers": bool(info.registers) or info.dialect == "none",
            "the values that PSCI_VERSION accepts": bool(info.firmware),
            "the other registers": bool(info.other_registers),
            "the results of SMC calls": serves_smc(info.services) is not None,
        }
        return tuple(fact for fact, present in facts.items() if not present)


class Action(StrEnum):
    """What a VMM does with a register before a VM runs."""

    SET = "set"
    OMIT = "set where it exists, omit from the saved state"
    KEEP = "keep: it cannot be chosen"
    NONE = "no common value"


@dataclass(frozen=True)
class FleetSetting:
    """A firmware register in every VM of the fleet.

    ``value`` is the value to set, or None. ``accepted``: the values that every host with the register accepts; for a
    bitmap, ``mask`` (any subset of it) instead. ``lacking``: the hosts without the register. ``lost``: by host, the
    services that its guests have by default and lose with this value.
    """

    register: str
    id: int
    action: Action
    value: int | None
    accepted: tuple[int, ...]
    mask: int | None
    lacking: tuple[str, ...]
    defaults: Mapping[str, int | None]
    lost: Mapping[str, tuple[str, ...]]


class PairKind(Enum):
    """The kinds of pairs, worst first."""

    REFUSED = "impossible"
    SEEN = "the guest sees a change"
    UNKNOWN = "unknown"
    POSSIBLE = "possible"


@dataclass(frozen=True)
class FleetPair:
    """The migration of a VM with the fleet's settings.

    ``refused``: registers that the destination refuses, with the errno. ``seen``: the changes that the guest sees.
    ``differing``: identification registers with another value on the destination; for some of them, newer kernels
    accept the source's value. ``missing``: facts that are not in the logs.
    """

    source: str
    destination: str
    refused: tuple[tuple[str, str], ...]
    seen: tuple[str, ...]
    differing: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def kind(self) -> PairKind:
        """The worst kind that applies."""
        if self.refused:
            return PairKind.REFUSED
        if self.seen:
            return PairKind.SEEN
        return PairKind.UNKNOWN if self.differing or self.missing else PairKind.POSSIBLE


@dataclass(frozen=True)
class Fleet:
    """Hosts, the settings of their VMs, and the migrations between them."""

    hosts: tuple[FleetHost, ...]
    settings: tuple[FleetSetting, ...]
    pairs: tuple[FleetPair, ...]

    @property
    def status(self) -> int:
        """The worst pair's exit status, in the order IMPOSSIBLE, CANNOT_TELL, POSSIBLE."""
        kinds = {pair.kind for pair in self.pairs}
        if kinds & {PairKind.REFUSED, PairKind.SEEN}:
            return IMPOSSIBLE
        return CANNOT_TELL if PairKind.UNKNOWN in kinds else POSSIBLE


def fleet_of(named: Sequence[tuple[str, Column]]) -> Fleet:
    """The fleet of the kernels in logs, given as (name of the log, column). Raises UsageError for fewer than two."""
    kernels = [(name, column) for name, column in named if column.way is None]
    if len(kernels) < 2:
        what = f"A fleet has at least two hosts, and the logs have {len(kernels)}"
        raise UsageError(what, cure="Give a results.jsonl of each host")
    labels = Counter(column.name for _, column in kernels)
    # Labels are not unique: every host's log may call the kernel "local".
    hosts = tuple(
        FleetHost(
            column.name if labels[column.name] == 1 else f"{column.name} ({name})",
            column.verdict.info,
            column.verdict.word,
        )
        for name, column in kernels
    )
    settings = (*_firmware(hosts), *_bitmaps(hosts))
    return Fleet(hosts, settings, tuple(_pair(a, b, settings) for a in hosts for b in hosts if a is not b))


# --- the settings ---------------------------------------------------------------------


def _firmware(hosts: tuple[FleetHost, ...]) -> Iterator[FleetSetting]:
    """The settings: for PSCI_VERSION the newest common version, for workaround registers the host's own value."""
    for name, number in dict.fromkeys((each.name, each.id) for host in hosts for each in host.info.firmware):
        infos = {
            host.name: each for host in hosts for each in host.info.firmware if (each.name, each.id) == (name, number)
        }
        accepted = sorted(set.intersection(*(set(each.accepted) for each in infos.values())))
        lacking = tuple(host.name for host in hosts if host.info.firmware and host.name not in infos)
        defaults = {host: each.default for host, each in infos.items()}
        value, action, lost = None, Action.OMIT if lacking else Action.KEEP, {}
        if name == PSCI_VERSION:
            value = max(accepted, default=None)
            action = Action.NONE if value is None else action if lacking else Action.SET
            lost = _older_psci(infos, value)
        yield FleetSetting(name, number, action, value, tuple(accepted), None, lacking, defaults, lost)


def _older_psci(infos: Mapping[str, FirmwareInfo], value: int | None) -> dict[str, tuple[str, ...]]:
    return {
        host: (f"PSCI {psci_text(each.default)}, which becomes {psci_text(value)}",)
        for host, each in infos.items()
        if value is not None and each.default is not None and each.default > value
    }


def psci_text(version: int) -> str:
    """A PSCI version as major.minor (Arm DEN0022, PSCI_VERSION)."""
    return f"{version >> 16}.{version & 0xFFFF}"


def _bitmaps(hosts: tuple[FleetHost, ...]) -> Iterator[FleetSetting]:
    for name, number in dict.fromkeys((each.name, each.id) for host in hosts for each in host.info.registers):
        infos = {
            host.name: each for host in hosts for each in host.info.registers if (each.name, each.id) == (name, number)
        }
        lacking = tuple(host for host in hosts if host.name not in infos and _surveyed(host.info))
        mask, defaults = -1, 0
        for each in infos.values():
            mask, defaults = mask & each.supported, defaults | (each.default or 0)
        value = defaults & mask
        if lacking:
            having = [host for host in hosts if host.name in infos]
            value = _value_like_absence(name, mask, having, lacking)
        yield FleetSetting(
            name,
            number,
            Action.OMIT if lacking else Action.SET,
            value,
            (),
            mask,
            tuple(host.name for host in lacking),
            {host: each.default for host, each in infos.items()},
            {host: bits for host, each in infos.items() if (bits := _bits(each, (each.default or 0) & ~value))},
        )


def _surveyed(info: SubjectInfo) -> bool:
    return bool(info.registers) or info.dialect == "none"


def _bits(register: RegisterInfo, value: int) -> tuple[str, ...]:
    names = dict(register.bits)
    return tuple(f"{register.name}.{names.get(bit, f'bit {bit}')}" for bit in range(64) if value >> bit & 1)


def _value_like_absence(name: str, mask: int, having: Sequence[FleetHost], lacking: Sequence[FleetHost]) -> int:
    """The bitmap with which the fewest calls answer differently from hosts without the register.

    Of several such bitmaps, it is the one with the fewest bits, so that a service that cannot be checked is disabled.
    """
    absent = [{each.function: each.default for each in host.info.services} for host in lacking]
    services = [each for host in having for each in host.info.services if each.register == name]

    def changes(value: int) -> int:
        return sum(
            answer != there.get(service.function, answer)
            for service in services
            for there in absent
            if (answer := dict(service.answers).get(value)) is not None
        )

    values = {value for service in services for value, _ in service.answers if not value & ~mask} | {0}
    return min(values, key=lambda value: (changes(value), value.bit_count(), value))


# --- the pairs ------------------------------------------------------------------------


def _pair(source: FleetHost, destination: FleetHost, settings: Iterable[FleetSetting]) -> FleetPair:
    refused = (*_refused_firmware(source, destination, settings), *_not_listed(source, destination))
    seen = () if source.missing or destination.missing else tuple(_seen(source, destination, settings))
    facts = tuple(
        f"{host.name}: its log does not have {fact}" for host in (source, destination) for fact in host.missing
    )
    return FleetPair(source.name, destination.name, refused, seen, tuple(_differing(source, destination)), facts)


def _of(host: FleetHost, settings: Iterable[FleetSetting]) -> dict[str, FleetSetting]:
    """The settings of the registers that the host has, by name. A name can mean another register in each dialect."""
    return {each.register: each for each in settings if host.name in each.defaults}


def _refused_firmware(
    source: FleetHost, destination: FleetHost, settings: Iterable[FleetSetting]
) -> Iterator[tuple[str, str]]:
    """The values that the VMM cannot choose and the destination does not accept."""
    chosen = _of(source, settings)
    there = {(each.name, each.id): each for each in destination.info.firmware}
    for each in source.info.firmware:
        other = there.get((each.name, each.id))
        if chosen[each.name].value is not None or other is None or each.default is None:
            continue
        if each.default not in other.accepted:
            yield f"{each.name} = {each.default:#x}", "EINVAL"


def _not_listed(source: FleetHost, destination: FleetHost) -> Iterator[tuple[str, str]]:
    if destination.info.other_registers:
        for name in source.info.other_registers:
            if name not in destination.info.other_registers:
                yield name, "ENOENT"


def _differing(source: FleetHost, destination: FleetHost) -> Iterator[str]:
    there = destination.info.other_registers
    for name, value in source.info.other_registers.items():
        if value is not None and there.get(name, value) not in (None, value):
            yield name


def _seen(source: FleetHost, destination: FleetHost, settings: Iterable[FleetSetting]) -> Iterator[str]:
    """The answers that differ although the registers have the fleet's values."""
    here, there = _of(source, settings), _of(destination, settings)
    smc = serves_smc(source.info.services), serves_smc(destination.info.services)
    if smc[0] != smc[1]:
        yield f"SMC calls: {'served' if smc[0] else 'not served'} -> {'served' if smc[1] else 'not served'}"
    others = {each.function: each for each in destination.info.services}
    for each in source.info.services:
        # PSCI_VERSION's answer depends only on the register, which has the same value on both.
        if each.function in others and each.function != PSCI_VERSION:
            old, new = _answers(each, here), _answers(others[each.function], there)
            if old[0] != new[0]:
                yield f"{each.function}: {old[0]} -> {new[0]}"
            elif all(smc) and old[1] != new[1]:
                yield f"{each.function} by SMC: {old[1]} -> {new[1]}"


def _answers(service: ServiceInfo, settings: Mapping[str, FleetSetting]) -> tuple[str, str]:
    """The answers by HVC and by SMC with the fleet's settings."""
    setting = settings.get(service.register)
    if setting is None or setting.value is None:
        return service.default, service.smc_default
    value = setting.value
    return dict(service.answers).get(value, service.default), dict(service.smc_answers).get(value, service.smc_default)
