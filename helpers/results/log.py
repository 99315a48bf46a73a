# SPDX-License-Identifier: GPL-2.0-only
"""The results log: JSON lines, each flushed, so that a killed run loses no result.

Each line is an object; its key "record" is a name in RECORDS, and its other keys are the fields of that type. The
first record is always the session. A log without an end record comes from a run that was killed.
"""

from __future__ import annotations

import contextlib
import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO, TypeVar

import msgspec

from helpers.errors import HarnessError
from helpers.results.records import (
    Case,
    Collected,
    Contract,
    End,
    Log,
    Result,
    Selection,
    Session,
    SubjectInfo,
    Tier,
    merge_results,
)
from helpers.results.versions import Conversion, conversion

RECORDS: Mapping[str, type] = {
    "session": Session,
    "contract": Contract,
    "collected": Collected,
    "subject": SubjectInfo,
    "start": Case,
    "result": Result,
    "selection": Selection,
    "end": End,
}
_NAMES = {kind: name for name, kind in RECORDS.items()}

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
        """The first line."""
        self._write(session)

    def contract(self, contract: Contract) -> None:
        """Once, after the session."""
        self._write(contract)

    def collected(self, tests: Iterable[Case], reason: str = "") -> None:
        """Before the tests; again for tests that are not run after all, with the reason."""
        self._write(Collected(tuple((test.nodeid, test.subject) for test in tests), reason))

    def subject(self, info: SubjectInfo) -> None:
        """Before a subject's first result; a later record replaces an earlier one."""
        self._write(info)

    def start(self, test: Case) -> None:
        """When a test starts. Without a later result, it was running when the run ended."""
        self._write(test)

    def result(self, result: Result) -> None:
        """When a test has ended. If a test has several results on a subject, the worst one is valid."""
        self._write(result)

    def selection(self, text: str | None, tier: Tier | None = None) -> None:
        """After the contract, and again at the end. The last text is valid; without one, all tests were run."""
        self._write(Selection(text, tier))

    def end(self, status: int, reason: str = "") -> None:
        """The last line. Without it, the run was killed."""
        self._write(End(status, reason))

    def close(self) -> None:
        """Close the file. Errors are ignored, because an earlier write has raised them."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, record: object) -> None:
        # An argument that is not UTF-8 holds a lone surrogate, which json escapes and msgspec.json rejects.
        line = json.dumps({"record": _NAMES[type(record)], **msgspec.to_builtins(record)})
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:
            raise _unwritable(self.path, error) from error


def _unwritable(path: Path, error: Exception) -> HarnessError:
    why = getattr(error, "strerror", None) or str(error)
    cure = "Free disk space or name another folder with --reports, and run again"
    return HarnessError(f"The results log {path} cannot be written", why=why, cure=cure)


def read_log(path: Path) -> Log:
    """Read a results log. An unfinished last line sets ``truncated``. Raises HarnessError for any other damage."""
    try:
        data = path.read_bytes()
    except OSError as error:
        why = error.strerror or str(error)
        raise HarnessError(f"The results log {path} cannot be read", why=why) from error
    return parse_log(data, str(path))


def parse_log(data: bytes, name: str) -> Log:
    """The results log in ``data``. Error messages call it ``name``. Raises HarnessError as read_log does.

    A UTF-8 byte-order mark, CRLF line ends and blank lines are ignored: editors and uploads add them.
    """
    *lines, unfinished_line = data.removeprefix(BOM_UTF8).split(b"\n")
    reader = _Reader()
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    records = [reader.record(line, f"{name}, line {number}") for number, line in numbered]
    truncated = False
    if unfinished_line.strip():
        try:
            records.append(reader.record(unfinished_line, name))
        except HarnessError:
            truncated = True
    if not records:
        raise HarnessError(f"{name} is not a results log", why="it has no session record")
    return _log(records, truncated)


class _Reader:
    """Reads the lines of one log in order. The version in the first record, the session, is valid for all records."""

    def __init__(self) -> None:
        self._convert: Conversion | None = None

    def record(self, line: bytes, where: str) -> Any:
        """The record of a line. Raises HarnessError for any other line."""
        try:
            return self._record(line)
        except (ValueError, RecursionError) as error:
            raise HarnessError(f"Not a record of a results log: {where}", why=str(error)) from error

    def _record(self, line: bytes) -> Any:
        fields = msgspec.convert(json.loads(line.decode("utf-8")), dict[str, Any])
        name = fields.pop("record", None)
        kind = RECORDS.get(name) if isinstance(name, str) else None
        if kind is None:
            raise ValueError(f"there is no record {name!r}")
        if kind is Session:
            if self._convert is not None:
                raise ValueError("a second session")
            self._convert = conversion(fields)
        if self._convert is None:
            raise ValueError("the first record is not a session")
        return msgspec.convert(self._convert(name, fields), kind)


class LogFollower:
    """Reads a log that another process writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._reader = _Reader()

    def records(self) -> list[Any]:
        """The records that were added since the last call. Empty if there is no file yet.

        Raises HarnessError if a complete line is no record.
        """
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                data = log.read()
        except OSError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        self._offset += len(complete)
        return [self._reader.record(line, str(self._path)) for line in complete.splitlines()]


def _log(records: list[Any], truncated: bool) -> Log:
    """The log of the records; the first one is the session."""
    collected = [(Case(*pair), record.reason) for record in _all(records, Collected) for pair in record.tests]
    end = next(reversed(_all(records, End)), None)
    # One record of a selection is enough: a later one cannot make the run complete.
    selection = next((each for each in reversed(_all(records, Selection)) if each.text), Selection(None))
    return Log(
        session=records[0],
        collected=tuple(dict.fromkeys(test for test, _ in collected)),
        started=tuple(dict.fromkeys(_all(records, Case))),
        results=merge_results(_all(records, Result)),
        subjects=tuple({info.subject: info for info in _all(records, SubjectInfo)}.values()),
        selection=selection.text,
        tier=selection.tier,
        status=end.status if end else None,
        reason=end.reason if end else "",
        truncated=truncated,
        contract=next(reversed(_all(records, Contract)), Contract()),
        not_run=tuple((test, reason) for test, reason in collected if reason),
    )


def _all(records: list[Any], kind: type[T]) -> list[T]:
    return [record for record in records if isinstance(record, kind)]
