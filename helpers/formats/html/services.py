# SPDX-License-Identifier: GPL-2.0-only
"""The services' truth table: what a guest gets from each hypercall under each bitmap of the register that opens it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from helpers.formats.html.tables import table
from helpers.formats.html.text import html_text
from helpers.results.columns import Column
from helpers.results.records import ServiceInfo

_CLOSED = "NOT_SUPPORTED"
_FRESH = "new VM"
Services = tuple[ServiceInfo, ...]


def services_chapter(columns: tuple[Column, ...]) -> Iterator[str]:
    """A table for each register, and one for what nothing opens; kernels whose guests see the same share it."""
    asked = [column for column in columns if column.verdict.info.services]
    if not asked:
        return
    yield "<p>What a guest of a fresh VM was answered in x0, x1, x2, x3. ○ closed: NOT_SUPPORTED, 0, 0, 0."
    yield " ● varying: right, and never twice the same (entropy, clocks). The other registers are as in a new VM.</p>"
    registers = dict.fromkeys(each.register for column in asked for each in column.verdict.info.services)
    for register in sorted(registers, key=lambda name: (not name, list(registers).index(name))):
        for names, seen in _alike(asked, register):
            yield _table(register, ", ".join(names), seen)


def _alike(columns: Iterable[Column], register: str) -> list[tuple[list[str], Services]]:
    """The subjects that answered the same of a register's functions, together."""
    groups: dict[Services, list[str]] = {}
    for column in columns:
        seen = tuple(each for each in column.verdict.info.services if each.register == register)
        if seen:
            groups.setdefault(seen, []).append(column.name)
    return [(names, seen) for seen, names in groups.items()]


def _table(register: str, subjects: str, seen: Services) -> str:
    title = f"{register}, its bitmap as in a new VM and as written" if register else "Opened by no register"
    bitmaps = list(dict.fromkeys(bitmap for each in seen for bitmap, _ in each.answers))
    heads = "".join(f'<th scope="col">{each}</th>' for each in (_FRESH, *(f"{bitmap:#x}" for bitmap in bitmaps)))
    opener = '<th scope="col">Bit</th>' if register else ""
    rows = "".join(_row(each, bitmaps) for _, same in groupby(seen, key=lambda each: each.bit) for each in same)
    head = f'<thead><tr><th scope="col">Function</th>{opener}{heads}</tr></thead>'
    return table(f"{title}: {subjects}", f"{head}<tbody>{rows}</tbody>", "services")


def _row(service: ServiceInfo, bitmaps: list[int]) -> str:
    answers = dict(service.answers)
    found = [service.default, *(answers.get(bitmap, "") for bitmap in bitmaps)]
    opener = f"<td>{html_text(service.bit)}</td>" if service.register else ""
    return f'<tr><th scope="row">{html_text(service.function)}</th>{opener}{"".join(map(_cell, found))}</tr>'


def _cell(answer: str) -> str:
    if answer == _CLOSED:
        return '<td class="closed">○ closed</td>'
    return f'<td class="open">● <code>{html_text(answer)}</code></td>' if answer else "<td></td>"
