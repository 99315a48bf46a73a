# SPDX-License-Identifier: GPL-2.0-only
"""A fleet's settings as tables for a terminal and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from helpers.formats.fleet_vmm import libvirt, qemu
from helpers.results.fleet import Fleet, FleetPair, FleetSetting, PairKind
from helpers.results.verdict import description, many, one_line
from helpers.results.wording import ranges


def fleet_text(fleet: Fleet) -> str:
    """The hosts, the settings, what guests lose, the pairs, and the settings of QEMU and libvirt."""
    return "".join(f"{line}\n" for line in _lines(fleet))


def fleet_json(fleet: Fleet) -> str:
    """The same facts as JSON. Ids and values are numbers; a register without a value has null."""
    data = {
        "hosts": [{"name": each.name, "verdict": each.verdict, "missing": each.missing} for each in fleet.hosts],
        "registers": [_register(each) for each in fleet.settings],
        "pairs": [_pair(each) for each in fleet.pairs],
        "qemu": qemu(fleet).data(),
        "libvirt": libvirt(fleet).data(),
    }
    return json.dumps(data, indent=2) + "\n"


def _register(setting: FleetSetting) -> dict[str, Any]:
    return {
        "register": setting.register,
        "id": setting.id,
        "action": setting.action.name.lower(),
        "value": setting.value,
        "accepted": None if setting.mask is not None else setting.accepted,
        "accepted_mask": setting.mask,
        "lacking": setting.lacking,
        "defaults": dict(setting.defaults),
        "lost": dict(setting.lost),
    }


def _pair(pair: FleetPair) -> dict[str, Any]:
    return {
        "source": pair.source,
        "destination": pair.destination,
        "result": pair.kind.name.lower(),
        "refused": [{"register": name, "errno": error} for name, error in pair.refused],
        "seen": pair.seen,
        "differing": pair.differing,
        "missing": pair.missing,
    }


def _lines(fleet: Fleet) -> Iterator[str]:
    yield "Hosts"
    for host in fleet.hosts:
        yield f"  {one_line(f'{host.name}{description(host.info)}: {host.verdict}')}"
    yield from ("", "Firmware registers of every VM")
    heads = ("register", "value", "every host accepts", "action")
    yield from _table([heads, *(_row(each) for each in fleet.settings)])
    lost: dict[tuple[str, ...], list[str]] = {}
    for setting in fleet.settings:
        for name, services in setting.lost.items():
            lost.setdefault(services, []).append(name)
    yield from ("", "What guests lose, and on which hosts")
    yield from (_entry(", ".join(services), hosts) for services, hosts in lost.items())
    if not lost:
        yield "  nothing"
    lacking = [each for each in fleet.settings if each.lacking]
    if lacking:
        yield from ("", "Registers that a host lacks")
        yield from (_entry(each.register, each.lacking) for each in lacking)
    yield from ("", "Migrations")
    for pair in fleet.pairs:
        yield f"  {one_line(f'{pair.source} -> {pair.destination}: {pair.kind.value}')}"
        yield from (f"    {one_line(line)}" for line in _reasons(pair))
    for vmm in (qemu(fleet), libvirt(fleet)):
        yield from ("", vmm.name)
        yield from (f"  {line if line.isprintable() else one_line(line)}" for line in vmm.lines())
    yield from ("", _summary(fleet))


def _entry(name: str, values: Sequence[str]) -> str:
    return f"  {one_line(f'{name}: ' + ', '.join(values))}"


def _row(setting: FleetSetting) -> tuple[str, ...]:
    accepted = ", ".join(f"{value:#x}" for value in setting.accepted) or "no common value"
    if setting.mask is not None:
        accepted = f"any subset of {setting.mask:#x}"
    value = "-" if setting.value is None else f"{setting.value:#x}"
    return one_line(setting.register), value, accepted, setting.action.value


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _reasons(pair: FleetPair) -> Iterator[str]:
    errors: dict[str, list[str]] = {}
    for name, error in pair.refused:
        errors.setdefault(error, []).append(name)
    yield from (f"refused with {error}: {', '.join(ranges(names))}" for error, names in errors.items())
    yield from (f"the guest sees: {each}" for each in pair.seen)
    if pair.differing:
        names = ", ".join(ranges(pair.differing))
        yield f"unknown: whether {pair.destination} accepts the values of {names}; test both kernels in one run"
    yield from (f"unknown: {each}; run the suite on it again" for each in pair.missing)


def _summary(fleet: Fleet) -> str:
    counts = Counter(pair.kind for pair in fleet.pairs)
    parts = [f"{counts[kind]} {kind.value}" for kind in reversed(PairKind) if counts[kind]]
    return f"{many(len(fleet.pairs), 'migration')} between {many(len(fleet.hosts), 'host')}: {', '.join(parts)}"
