# SPDX-License-Identifier: GPL-2.0-only
"""Reads services.toml with the built-in services, and the files of --services, which have the same format.

docs/services.md describes the format. The module reads the files at its import, because the tables and the test cases
are created from them.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from helpers.errors import UsageError

FILES_VARIABLE = "KVM_HVC_SERVICES"
"""The environment variable with the paths of --services, separated as in PATH: xdist's workers inherit it."""
BUILT_IN = Path(__file__).with_name("services.toml")
_CURE = "docs/services.md describes the format"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_DIALECTS = ("mainline", "rfc-v3")
CONDUITS = ("HVC", "SMC")


@dataclass(frozen=True)
class RegisterEntry:
    """A bitmap register. ``optional``: whether a kernel may lack it."""

    name: str
    id: int
    dialect: str = "mainline"
    optional: bool = False


@dataclass(frozen=True)
class FunctionEntry:
    """One function. ``each`` has the first arguments of separate calls. ``answer`` is the answer if the bit is set."""

    name: str
    id: int
    arguments: tuple[int, ...] = ()
    each: tuple[int, ...] = ()
    answer: tuple[int | str, ...] | str = ()
    conduits: tuple[str, ...] = CONDUITS
    closed_in: tuple[str, ...] = _DIALECTS
    """The dialects in which the service's bit enables it. In other dialects it is always enabled."""


@dataclass(frozen=True)
class ServiceEntry:
    """One bit of a register and its functions. Without a register: functions that no bit gates."""

    name: str
    register: str = ""
    bit: int = -1
    reset: bool = True
    """Whether the bit is in the register's reset value."""
    dialect: str = "mainline"
    function: tuple[FunctionEntry, ...] = ()
    added: bool = False
    """Whether a file of --services has it."""


@dataclass(frozen=True)
class Tables:
    """The entries of all files in their order."""

    registers: tuple[RegisterEntry, ...]
    services: tuple[ServiceEntry, ...]


T = TypeVar("T", RegisterEntry, FunctionEntry, ServiceEntry)


class _File:
    """The text of one file, for finding the line of an entry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.lines = path.read_text("utf-8").splitlines()
            self.values = tomllib.loads("\n".join(self.lines))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"The services in {path} cannot be read", why=why, cure=_CURE) from None

    def error(self, table: str, number: int, why: str, key: str = "") -> UsageError:
        """The error of a key in the ``number``th table of this name, counted from 0 over the whole file."""
        starts = [at for at, line in enumerate(self.lines) if re.match(rf"\s*\[\[\s*{re.escape(table)}\s*\]\]", line)]
        at = starts[number] if number < len(starts) else 0
        for line in range(at + 1 if key else len(self.lines), len(self.lines)):
            if self.lines[line].lstrip().startswith("["):
                break
            if re.match(rf"\s*{re.escape(key)}\s*=", self.lines[line]):
                at = line
                break
        return UsageError(f"{self.path}, line {at + 1}, is not a valid service", why=why, cure=_CURE)


def read_tables(paths: Iterator[Path] | tuple[Path, ...]) -> Tables:
    """The built-in entries and those of ``paths``. Raises UsageError with the line and the reason."""
    registers: list[RegisterEntry] = []
    services: list[ServiceEntry] = []
    for path in (BUILT_IN, *paths):
        file = _File(path)
        unknown = sorted(file.values.keys() - {"register", "service"})
        if unknown:
            raise file.error(unknown[0], 0, f"it has unknown tables: {', '.join(unknown)}")
        for number, values in enumerate(_list(file, file.values, "register")):
            registers.append(_entry(file, "register", number, values, RegisterEntry))
            _check_register(file, number, registers)
        functions = 0
        for number, values in enumerate(_list(file, file.values, "service")):
            service, functions = _service(file, number, values, functions, path != BUILT_IN)
            services.append(service)
            _check_service(file, number, services, registers)
    return Tables(tuple(registers), tuple(services))


def _list(file: _File, values: Mapping[str, Any], table: str) -> list[Any]:
    found = values.get(table, [])
    if not isinstance(found, list):
        raise file.error(table, 0, f"{table} must be a [[{table}]] table")
    return found


def _service(file: _File, number: int, values: object, functions: int, added: bool) -> tuple[ServiceEntry, int]:
    """The service, and the number of functions in the file so far."""
    if not isinstance(values, dict):
        raise file.error("service", number, "it is not a table")
    rows = []
    for each in _list(file, values, "function"):
        entry = _entry(file, "service.function", functions, each, FunctionEntry)
        _check_function(file, functions, entry)
        rows.append(entry)
        functions += 1
    rest = {key: value for key, value in values.items() if key != "function"}
    if "added" in rest:
        raise file.error("service", number, "it has unknown keys: added", "added")
    return _entry(file, "service", number, {**rest, "function": rows, "added": added}, ServiceEntry), functions


def _entry(file: _File, table: str, number: int, values: object, kind: type[T]) -> T:
    if not isinstance(values, dict):
        raise file.error(table, number, "it is not a table")
    names = {field.name: field for field in fields(kind)}
    unknown = sorted(values.keys() - names.keys())
    if unknown:
        raise file.error(table, number, f"it has unknown keys: {', '.join(unknown)}", unknown[0])
    missing = [name for name, field in names.items() if field.default is MISSING and name not in values]
    if missing:
        raise file.error(table, number, f"it has no {', no '.join(missing)}")
    try:
        entry = msgspec.convert(values, kind)
    except ValueError as error:
        key = re.search(r"\$\.(\w+)", str(error))
        raise file.error(table, number, str(error), key[1] if key else "") from None
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]*", entry.name):
        raise file.error(table, number, f"{entry.name!r} is not a name of letters, digits, _ and dots", "name")
    return entry


def _check_register(file: _File, number: int, registers: list[RegisterEntry]) -> None:
    entry, earlier = registers[-1], registers[:-1]
    if entry.dialect not in _DIALECTS:
        raise file.error("register", number, f"{entry.dialect!r} is none of {', '.join(_DIALECTS)}", "dialect")
    if not _NAME.fullmatch(entry.name) or any((e.name, e.dialect) == (entry.name, entry.dialect) for e in earlier):
        raise file.error("register", number, f"another register has the name {entry.name}, or it has a dot", "name")
    if entry.id >> 52 != 0x603 or any((e.id, e.dialect) == (entry.id, entry.dialect) for e in earlier):
        raise file.error("register", number, f"{entry.id:#x} is another register's id, or none of a 64-bit one", "id")


def _check_service(file: _File, number: int, services: list[ServiceEntry], registers: list[RegisterEntry]) -> None:
    entry, earlier = services[-1], services[:-1]
    if not entry.register:
        if entry.bit != -1 or entry.added:
            raise file.error("service", number, "it has no register")
        return
    if not any((r.name, r.dialect) == (entry.register, entry.dialect) for r in registers):
        raise file.error("service", number, f"there is no register {entry.register}", "register")
    if not 0 <= entry.bit < 64:
        raise file.error("service", number, f"its bit {entry.bit} is not in 0..63", "bit")
    same = [e for e in earlier if (e.register, e.dialect) == (entry.register, entry.dialect)]
    taken = next((e.name for e in same if entry.bit == e.bit or entry.name == e.name), None)
    if taken:
        raise file.error("service", number, f"{entry.register} has {taken} with this bit or name", "bit")
    names = {function.name for e in earlier for function in e.function}
    ids = {function.id for e in earlier for function in e.function}
    for function in entry.function if entry.added else ():
        if function.name in names or function.id in ids:
            raise file.error("service", number, f"the name or the id of {function.name} is another function's")
        names.add(function.name)


def _check_function(file: _File, number: int, entry: FunctionEntry) -> None:
    def wrong(why: str, key: str) -> UsageError:
        return file.error("service.function", number, why, key)

    if not 0 <= entry.id < 1 << 32:
        raise wrong(f"{entry.id:#x} does not fit in 32 bits", "id")
    bad = [value for value in (*entry.arguments, *entry.each) if not 0 <= value < 1 << 64]
    if bad or len(entry.arguments) > 7 or (entry.arguments and entry.each):
        raise wrong("it needs up to seven arguments of 64 bits, or each instead", "each" if entry.each else "arguments")
    if not entry.conduits or set(entry.conduits) - set(CONDUITS):
        raise wrong(f"its conduits are not among {', '.join(CONDUITS)}", "conduits")
    if set(entry.closed_in) - set(_DIALECTS):
        raise wrong(f"closed_in has another dialect than {', '.join(_DIALECTS)}", "closed_in")
    try:
        answer_of(entry)
    except ValueError as error:
        raise wrong(str(error), "answer") from None


RULES = ("features", "ptp", "pv-time-features", "pv-time-st", "psci-version", "smccc-version", "constant", "closed")
"""The names of answers that helpers/contract/functions.py computes; "entropy:N" has N bits at most."""
_CONSTRAINT = re.compile(r"x([0-3])\s*(?:=\s*(\w+)|in\s+(\w+)\.\.(\w+))")
U64 = (1 << 64) - 1

Limits = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]
"""The smallest and the largest value of x0 to x3."""


def answer_of(entry: FunctionEntry) -> Limits | str:
    """The name of a rule, or the limits of each register. Raises ValueError with the reason."""
    answer = entry.answer
    if isinstance(answer, str):
        if answer in RULES or re.fullmatch(r"entropy:[0-9]+", answer):
            return answer
        raise ValueError(f"its answer {answer!r} is neither a list nor one of {', '.join(RULES)}")
    values = [each for each in answer if isinstance(each, int)]
    if len(answer) > 4 or (values and len(values) != len(answer)):
        raise ValueError("its answer is not up to four values, and not constraints such as 'x1 in 0..63' alone")
    limits = [(0, 0)] * 4 if values or not answer else [(0, U64)] * 4
    for at, value in enumerate(values):
        limits[at] = value & U64, value & U64
        if not -(1 << 63) <= value <= U64:
            raise ValueError(f"{value:#x} in its answer does not fit in 64 bits")
    for text in answer if not values else ():
        register, low, high = _constraint(str(text))
        limits[register] = low, high
    return limits[0], limits[1], limits[2], limits[3]


def _constraint(text: str) -> tuple[int, int, int]:
    match = _CONSTRAINT.fullmatch(text.strip())
    try:
        assert match is not None
        low, high = (int(each, 0) for each in ((match[2], match[2]) if match[2] else (match[3], match[4])))
    except (AssertionError, ValueError):
        raise ValueError(f"{text!r} is no constraint such as 'x0 = 0' or 'x1 in 0..63'") from None
    if not 0 <= low <= high <= U64:
        raise ValueError(f"{text!r} has no value of 64 bits")
    return int(match[1]), low, high


def paths() -> tuple[Path, ...]:
    """The files of --services."""
    return tuple(Path(text) for text in os.environ.get(FILES_VARIABLE, "").split(os.pathsep) if text)


def added_services() -> tuple[str, ...]:
    """The services of --services, such as VENDOR_HYP.FROB."""
    return tuple(f"{each.register}.{each.name}" for each in TABLES.services if each.added)


TABLES = read_tables(paths())
