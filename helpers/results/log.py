# SPDX-License-Identifier: GPL-2.0-only
"""The results log: JSON lines, flushed one by one, so that what was known survives whatever follows.

Each line is an object with "record": session (always first), contract, selection, collected, subject, start, result or
end. A log without an end record comes from a run that was killed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeVar

from helpers.errors import HarnessError
from helpers.results.records import (
    OUTCOMES,
    READABLE,
    Case,
    Contract,
    Difference,
    KnownDeviation,
    Log,
    RegisterInfo,
    Result,
    Sentence,
    ServiceInfo,
    Session,
    SubjectInfo,
    merge_results,
)

__all__ = ["Case", "Log", "LogWriter", "Result", "Session", "SubjectInfo", "read_log"]

T = TypeVar("T")


class LogWriter:
    """Writes a results log; every method leaves a complete line on the disk or raises HarnessError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: TextIO = path.open("w", encoding="ascii", newline="\n")
        except OSError as error:
            raise _unwritable(path, error) from error

    def session(self, session: Session) -> None:
        """The first record."""
        self._write("session", {**asdict(session), "environment": dict(session.environment)})

    def contract(self, contract: Contract) -> None:
        """What the subjects are held to."""
        self._write("contract", asdict(contract))

    def collected(self, tests: Iterable[Case]) -> None:
        """Tests that are to run; may be written more than once."""
        self._write("collected", {"tests": [[test.nodeid, test.subject] for test in tests]})

    def subject(self, info: SubjectInfo) -> None:
        """What is known of a subject; a later record replaces an earlier one."""
        self._write("subject", {**asdict(info), "environment": dict(info.environment)})

    def start(self, test: Case) -> None:
        """A test is in flight from now on."""
        self._write("start", asdict(test))

    def result(self, result: Result) -> None:
        """A test has come to its end."""
        self._write("result", asdict(result))

    def selection(self, text: str | None) -> None:
        """Why not all of the suite was run; None if all of it was."""
        self._write("selection", {"text": text})

    def end(self, status: int, reason: str = "") -> None:
        """The last record: pytest's own exit status, and why it stopped where it was told to."""
        self._write("end", {"status": status, "reason": reason})

    def close(self) -> None:
        """Close the file; what could not be written is reported by the write, not here."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, record: str, values: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps({"record": record, **values}) + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:
            raise _unwritable(self.path, error) from error


def _unwritable(path: Path, error: Exception) -> HarnessError:
    why = getattr(error, "strerror", None) or str(error)
    return HarnessError(
        f"The results log {path} cannot be written",
        why=why,
        cure="Make room or choose another folder for the reports, and run again",
    )


def read_log(path: Path) -> Log:
    """Read a results log. An unfinished last line is dropped and noted; other damage is a HarnessError."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        why = error.strerror or str(error)
        raise HarnessError(f"The results log {path} cannot be read", why=why) from error
    rest = lines.pop()
    draft = _Draft()
    for number, line in enumerate(lines, 1):
        _take(draft, line, f"{path}, line {number}")
    truncated = False
    if rest:
        try:
            _take(draft, rest, str(path))
        except HarnessError:
            truncated = True
    if draft.session is None:
        raise HarnessError(f"{path} is not a results log", why="it has no session record")
    return draft.log(draft.session, truncated)


@dataclass
class _Draft:
    """The log while it is being read."""

    session: Session | None = None
    collected: dict[Case, None] = field(default_factory=dict)
    started: dict[Case, None] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    subjects: dict[str, SubjectInfo] = field(default_factory=dict)
    selection: str | None = None
    status: int | None = None
    reason: str = ""
    contract: Contract = field(default_factory=Contract)

    def log(self, session: Session, truncated: bool) -> Log:
        return Log(
            session=session,
            collected=tuple(self.collected),
            started=tuple(self.started),
            results=merge_results(self.results),
            subjects=tuple(self.subjects.values()),
            selection=self.selection,
            status=self.status,
            reason=self.reason,
            truncated=truncated,
            contract=self.contract,
        )


def _take(draft: _Draft, line: bytes, where: str) -> None:
    try:
        values = json.loads(line.decode("utf-8"))
        record = values.pop("record")
        if draft.session is None and record != "session":
            raise ValueError("the first record is not a session")
        _TAKERS[record](draft, values)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"
        raise HarnessError(f"Not a record of a results log: {where}", why=why) from error


def _session(draft: _Draft, values: dict[str, Any]) -> None:
    version = _typed(values["version"], int)
    if version not in READABLE:
        raise ValueError(f"version {version} of the log is unknown, this program reads {READABLE}")
    if draft.session is not None:
        raise ValueError("a second session")
    environment = _pairs(values.get("environment", {}))
    argv, subjects = _texts(values["argv"]), _texts(values["subjects"])
    draft.session = Session(version, argv, subjects, float(values["time"]), environment)


def _contract(draft: _Draft, values: dict[str, Any]) -> None:
    draft.contract = Contract(
        tuple(Sentence(**_all_text(each)) for each in values["sentences"]),
        tuple(Difference(**_all_text(each)) for each in values["differences"]),
    )


def _all_text(values: dict[str, Any]) -> dict[str, str]:
    return {name: _typed(value, str) for name, value in values.items()}


def _collected(draft: _Draft, values: dict[str, Any]) -> None:
    for nodeid, subject in values["tests"]:
        draft.collected[Case(_typed(nodeid, str), _text_or_none(subject))] = None


def _subject(draft: _Draft, values: dict[str, Any]) -> None:
    name = _typed(values["subject"], str)
    environment = _pairs(values["environment"])
    known = tuple(KnownDeviation(**_all_text(each)) for each in values.get("known", ()))
    registers = tuple(RegisterInfo.of(each) for each in values.get("registers", ()))
    services = tuple(ServiceInfo.of(each) for each in values.get("services", ()))
    dialect = _typed(values["dialect"], str)
    draft.subjects[name] = SubjectInfo(name, dialect, environment, known, registers, services)


def _start(draft: _Draft, values: dict[str, Any]) -> None:
    draft.started[Case(_typed(values["nodeid"], str), _text_or_none(values["subject"]))] = None


def _result(draft: _Draft, values: dict[str, Any]) -> None:
    outcome = _typed(values["outcome"], str)
    if outcome not in OUTCOMES:
        raise ValueError(f"unknown outcome {outcome!r}")
    draft.results.append(
        Result(
            nodeid=_typed(values["nodeid"], str),
            subject=_text_or_none(values["subject"]),
            outcome=outcome,
            clauses=_texts(values["clauses"]),
            requirement=_typed(values["requirement"], str),
            source=_typed(values["source"], str),
            message=_typed(values["message"], str),
            duration=float(values["duration"]),
            calls=_typed(values.get("calls", ""), str),
        )
    )


def _selection(draft: _Draft, values: dict[str, Any]) -> None:
    # Once a run is known to be a selection, nothing makes it whole again.
    draft.selection = _text_or_none(values["text"]) or draft.selection


def _end(draft: _Draft, values: dict[str, Any]) -> None:
    draft.status = _typed(values["status"], int)
    draft.reason = _typed(values.get("reason", ""), str)


_TAKERS: dict[str, Callable[[_Draft, dict[str, Any]], None]] = {
    "session": _session,
    "contract": _contract,
    "collected": _collected,
    "subject": _subject,
    "start": _start,
    "result": _result,
    "selection": _selection,
    "end": _end,
}


def _typed(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return value


def _pairs(values: Mapping[str, Any]) -> dict[str, str]:
    return {_typed(name, str): _typed(text, str) for name, text in values.items()}


def _text_or_none(value: object) -> str | None:
    return None if value is None else _typed(value, str)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_typed(each, str) for each in _typed(value, list))
