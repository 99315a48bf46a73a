# SPDX-License-Identifier: GPL-2.0-only
"""A picture of each register's 64 bits on each subject: supported, set by default, reserved; differences marked."""

from __future__ import annotations

from collections.abc import Iterator

from helpers.formats.html.tables import table
from helpers.formats.html.text import html_text
from helpers.results.columns import Column
from helpers.results.records import RegisterInfo

_HEADS = "".join(f'<th scope="col">{name}</th>' for name in ("Kernel", "Values", "Bits 63 to 0"))
_SIGNS = {"default": "1", "supported": "0", "reserved": "·"}


def pictures(columns: tuple[Column, ...]) -> Iterator[str]:
    """One table for each register: a row for each subject, its bits from 63 down to 0."""
    names = list(dict.fromkeys(each.name for column in columns for each in column.verdict.info.registers))
    for name in names:
        rows = [(column.name, _find(column, name)) for column in columns if column.verdict.info.registers]
        first = rows[0][1]
        caption = f"{name} {_described(next(found for _, found in rows if found))}"
        body = "".join(_row(subject, found, found != first) for subject, found in rows)
        yield table(caption, f"<thead><tr>{_HEADS}</tr></thead><tbody>{body}</tbody>", "bits")
    if names:
        yield "<p>1: supported, and set in a new VM; 0: supported, and clear; · reserved. Measured, not assumed.</p>"


def _find(column: Column, name: str) -> RegisterInfo | None:
    return next((each for each in column.verdict.info.registers if each.name == name), None)


def _described(register: RegisterInfo) -> str:
    bits = ", ".join(f"bit {number} {name}" for number, name in register.bits)
    return f"{register.id:#x}: {bits}"


def _row(subject: str, register: RegisterInfo | None, differs: bool) -> str:
    mark = ' <strong class="differs">≠ differs</strong>' if differs else ""
    head = f'<tr><th scope="row">{html_text(subject)}{mark}</th>'
    if register is None:
        return f'{head}<td colspan="2">no such register</td></tr>'
    default = "cannot be read" if register.default is None else f"{register.default:#x}"
    label = f"supported {register.supported:#x}, in a new VM {default}"
    groups = " ".join("".join(_bit(register, bit) for bit in range(high, high - 8, -1)) for high in range(63, 0, -8))
    return f'{head}<td>{label}</td><td><code role="img" aria-label="{label}">{groups}</code></td></tr>'


def _bit(register: RegisterInfo, bit: int) -> str:
    kind = "reserved"
    if register.supported >> bit & 1:
        kind = "default" if (register.default or 0) >> bit & 1 else "supported"
    named = dict(register.bits).get(bit, "")
    title = f' title="bit {bit} {html_text(named)}"' if named else ""
    return f'<span class="{kind}"{title}>{_SIGNS[kind]}</span>'
