# SPDX-License-Identifier: GPL-2.0-only
"""The versions of the results log, and how the fields of a record in a log become the fields of the record's type.

Version 1 has no known deviations. Versions 1 and 2 have labels instead of identities, and one text for the clauses of a
difference. The default of a field fills in what a version lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from helpers.identity import Identity, MigrationId, OldLabel

Conversion = Callable[[str, dict[str, Any]], dict[str, Any]]
"""From the name of a record and its fields in the log to the fields of the record's type."""


class _Labels:
    """Converts the records of one log of version 1 or 2.

    A migration's label is compared with those of the session's subjects, not taken apart: a kernel's path may hold an
    arrow. Raises ValueError for fields of other types.
    """

    def __init__(self, session: dict[str, Any]) -> None:
        subjects = [OldLabel(label) for label in msgspec.convert(session.get("subjects"), tuple[str, ...])]
        known: list[Identity] = [MigrationId(a, b) for a in subjects for b in subjects if a != b]
        self._identities = {each.label: each for each in (*known, *subjects)}

    def convert(self, record: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields as the current version has them."""
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
    """Differences whose clauses were one text: "LOCK-2, LOCK-3"."""
    differences = msgspec.convert(values, list[dict[str, Any]])
    texts = [msgspec.convert(each.get("clauses"), str) for each in differences]
    lists = [{"clauses": text.split(", ") if text else []} for text in texts]
    return [each | clauses for each, clauses in zip(differences, lists, strict=True)]


def _from_labels(session: dict[str, Any]) -> Conversion:
    return _Labels(session).convert


def _unchanged(session: dict[str, Any]) -> Conversion:
    del session
    return lambda record, fields: fields


CONVERSIONS: Mapping[int, Callable[[dict[str, Any]], Conversion]] = {1: _from_labels, 2: _from_labels, 3: _unchanged}
"""By the version of the log: the conversion, made from the fields of the session record.

A new version adds its own entry, and the older ones convert to it.
"""


def conversion(session: dict[str, Any]) -> Conversion:
    """The conversion for a log with this session record. Raises ValueError if this program cannot read its version."""
    version = session.get("version")
    if not isinstance(version, int) or version not in CONVERSIONS:
        versions = ", ".join(map(str, CONVERSIONS))
        raise ValueError(f"version {version} of the log is unknown; this program reads the versions {versions}")
    return CONVERSIONS[version](session)
