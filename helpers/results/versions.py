# SPDX-License-Identifier: GPL-2.0-only
"""Converts the records of older versions of the results log.

Version 1 has no known deviations. Versions 1 and 2 have labels instead of identities, and one text for the clauses of a
difference. Up to version 3 no test is "not measured", and the ids of two tests end in a number instead of a word. A
field that a version does not have gets its default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from helpers.identity import Identity, MigrationId, OldLabel

Conversion = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Converts a record, given its name and the fields in the log, to the fields of the record's type."""


class _Labels:
    """Converts the records of one log of version 1 or 2 to version 3.

    A migration's label is compared with the pairs of the session's labels, not split, because a kernel's path may
    contain an arrow. Raises ValueError for fields of other types.
    """

    def __init__(self, session: dict[str, Any]) -> None:
        subjects = [OldLabel(label) for label in msgspec.convert(session.get("subjects"), tuple[str, ...])]
        identities: list[Identity] = [MigrationId(a, b) for a in subjects for b in subjects if a != b]
        self._identities = {each.label: each for each in (*identities, *subjects)}

    def convert(self, record: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of version 3."""
        if record == "session":
            return {**fields, "subjects": [self._identity(label) for label in fields["subjects"]]}
        if record == "collected":
            tests = msgspec.convert(fields.get("tests"), list[tuple[str, str | None]])
            return {**fields, "tests": [(nodeid, self._identity(label)) for nodeid, label in tests]}
        if record == "contract":
            return {**fields, "differences": _with_lists(fields.get("differences"))}
        return {**fields, "subject": self._identity(fields["subject"])} if "subject" in fields else fields

    def _identity(self, label: object) -> object:
        text = msgspec.convert(label, str | None)
        return None if text is None else msgspec.to_builtins(self._identities.get(text, OldLabel(text)))


def _with_lists(values: object) -> list[dict[str, Any]]:
    """Converts differences whose clauses are one text, such as "LOCK-2, LOCK-3", to lists."""
    differences = msgspec.convert(values, list[dict[str, Any]])
    texts = [msgspec.convert(each.get("clauses"), str) for each in differences]
    return [
        {**each, "clauses": text.split(", ") if text else []} for each, text in zip(differences, texts, strict=True)
    ]


_NUMBERED = re.compile(
    r"(suites/(?:capability/test_capability\.py::test_register_list|access/test_reg_list\.py::test_listed_is_readable)"
    r"\[(?:.*-)?)([01])\]$"
)


def _renamed(nodeid: str) -> str:
    """The current id of a test that was called [0] or [1]."""
    return _NUMBERED.sub(r"\1vcpu\2]", nodeid)


def _with_words(record: str, fields: dict[str, Any]) -> dict[str, Any]:
    """A record of version 3. Raises ValueError for fields of other types."""
    if record == "collected":
        tests = msgspec.convert(fields.get("tests"), list[tuple[str, Any]])
        return {**fields, "tests": [(_renamed(nodeid), subject) for nodeid, subject in tests]}
    if "nodeid" in fields:
        return {**fields, "nodeid": _renamed(msgspec.convert(fields["nodeid"], str))}
    return fields


def _from_labels(session: dict[str, Any]) -> Conversion:
    labels = _Labels(session)
    return lambda record, fields: _with_words(record, labels.convert(record, fields))


CONVERSIONS: Mapping[int, Callable[[dict[str, Any]], Conversion]] = {
    1: _from_labels,
    2: _from_labels,
    3: lambda session: _with_words,
    4: lambda session: lambda record, fields: fields,
}
"""For each version of the log, a function that returns the conversion, given the fields of the session record.

A new version adds an entry, and the entries of older versions must convert to the new version.
"""


def conversion(session: dict[str, Any]) -> Conversion:
    """The conversion for a log with this session record. Raises ValueError if its version is unknown."""
    version = session.get("version")
    if not isinstance(version, int) or version not in CONVERSIONS:
        versions = ", ".join(map(str, CONVERSIONS))
        raise ValueError(f"version {version} of the log is unknown; this program reads the versions {versions}")
    return CONVERSIONS[version](session)
