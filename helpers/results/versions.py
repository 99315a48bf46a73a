# SPDX-License-Identifier: GPL-2.0-only
"""The versions of the results log, and how the fields of a record in a log become the fields of the record's type.

Version 1 has no known deviations. The default of a field fills in what a version lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Conversion = Callable[[str, dict[str, Any]], dict[str, Any]]
"""From the name of a record and its fields in the log to the fields of the record's type."""


def _from_2(record: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Up to version 2 a difference's clauses are one text: "LOCK-2, LOCK-3". Raises ValueError for other values."""
    if record != "contract":
        return fields
    differences = msgspec.convert(fields.get("differences"), list[dict[str, Any]])
    texts = [msgspec.convert(each.get("clauses"), str) for each in differences]
    lists = [{"clauses": text.split(", ") if text else []} for text in texts]
    return {**fields, "differences": [each | clauses for each, clauses in zip(differences, lists, strict=True)]}


def as_written(record: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record as version 2 of the log has them; the inverse of the conversion."""
    if record != "contract":
        return fields
    differences = [{**each, "clauses": ", ".join(each["clauses"])} for each in fields["differences"]]
    return {**fields, "differences": differences}


CONVERSIONS: Mapping[int, Conversion] = {1: _from_2, 2: _from_2}
"""By the version of the log. A new version adds its own entry, and the older ones convert to it."""


def conversion(version: object) -> Conversion:
    """The conversion for a session record's version. Raises ValueError if this program does not read that version."""
    if not isinstance(version, int) or version not in CONVERSIONS:
        versions = ", ".join(map(str, CONVERSIONS))
        raise ValueError(f"version {version} of the log is unknown; this program reads the versions {versions}")
    return CONVERSIONS[version]
