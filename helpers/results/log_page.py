# SPDX-License-Identifier: GPL-2.0-only
"""Writes docs/results-log.md, the description of each record and field: ``python -m helpers.results.log_page``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from helpers.identity import SubjectId
from helpers.results.log import RECORDS, LogWriter
from helpers.results.records import PASSED, VERSION, Case, End, Result, Session
from helpers.results.schema import log_schema

TARGET = Path(__file__).resolve().parents[2] / "docs" / "results-log.md"
_FIXED = "This value."
"""The text for the field ``kind`` of an identity, whose value is fixed for each type."""
IDENTITIES = ("SubjectId", "MigrationId", "OldLabel")
"""The types of an identity. A table shows all three as "identity"."""
_HEAD = f"""<!-- SPDX-License-Identifier: GPL-2.0-only -->
# The results log

Written by `python -m helpers.results.log_page`; do not edit. The texts are the docstrings of
`helpers/results/records.py` and `helpers/identity.py`. A test of the harness fails if this page is out of date.

A run writes `results.jsonl` in its folder of reports. Every report and every verdict is computed from this file alone.
It is JSON Lines in ASCII, with one object on each line. Each line is flushed when its event happens, so that a run that
is killed loses no earlier result. [schema/results-log.schema.json](schema/results-log.schema.json) is the JSON schema
of a line. [verdicts.md](verdicts.md) describes the verdicts, and [reports.md](reports.md) the reports.

This page describes version {VERSION}. The commands `report` and `diff` read every older version and convert it
(`helpers/results/versions.py`). A program that reads logs must check `version` in the first line, and must ignore
unknown fields: a field with a default may be added within a version. If a field is removed, is renamed or changes its
meaning, the log has a new version, which raises the major version of the suite
([Semantic Versioning](contributing.md#versions-and-releases)).

This log has one test that passed:

"""
_IDENTITY = """
## Identities

An identity names the kernel or the migration that a record is about. It is one of the types [SubjectId](#subjectid),
[MigrationId](#migrationid) and [OldLabel](#oldlabel). Its key `kind` names the type.
"""
_EXAMPLE_NODE = "suites/lock/test_lock.py::test_same_value[debian:stable-STD-set_on_vcpu0-vcpu0_ran]"


def log_page() -> str:
    """The page."""
    definitions = log_schema()["$defs"]
    types = (_type(name, definitions[name]) for name in _order(definitions))
    return "".join([_HEAD, _example(), _records(), _IDENTITY, *types])


def _example() -> str:
    subject = SubjectId("debian:stable")
    test = Case(_EXAMPLE_NODE, subject)
    records = (
        Session(VERSION, ("--kernel=debian:stable",), (subject,), 1760000000.0),
        test,
        Result(test.nodeid, subject, PASSED, ("LOCK-2",), duration=0.21),
        End(0),
    )
    names = {kind: name for name, kind in RECORDS.items()}
    lines = [{"record": names[type(each)], **_brief(each)} for each in records]
    return "".join(f"    {json.dumps(line)}\n" for line in lines)


def _brief(record: object) -> dict[str, Any]:
    """The fields that are not empty. A reader adds the defaults."""
    return {name: value for name, value in msgspec.to_builtins(record).items() if value or value == 0}


def _records() -> str:
    lines = ["\n## Records\n", "Each line is one record. Its key `record` is the first column.", ""]
    lines += ["| `record` | type | written |", "|---|---|---|"]
    for name, kind in RECORDS.items():
        written = cleandoc(getattr(LogWriter, name).__doc__ or "")
        lines.append(f"| `{name}` | {_link(kind.__name__)} | {written} |")
    return "\n".join(lines) + "\n"


def _order(definitions: Mapping[str, Any]) -> Iterator[str]:
    """The types: the records in the order of a log, then the others as the schema has them."""
    records = [kind.__name__ for kind in RECORDS.values()]
    yield from records
    yield from (name for name in definitions if name not in records)


def _type(name: str, definition: Mapping[str, Any]) -> str:
    lines = [f"\n## {name}\n", _code(definition["description"]), ""]
    if "properties" not in definition:
        return "\n".join([*lines, f"One of {_kind(definition)}."]) + "\n"
    lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
    for field, schema in definition["properties"].items():
        default = f"`{json.dumps(schema['default'])}`" if "default" in schema else ""
        if not default and field not in definition["required"]:
            default = "`{}`"
        lines.append(f"| `{field}` | {_kind(schema)} | {default} | {_code(schema.get('description', _FIXED))} |")
    return "\n".join(lines) + "\n"


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in words, with links to the other types of the page."""
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{json.dumps(each)}`" for each in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return _alternatives([_kind(each) for each in schema["anyOf"]])
    if schema.get("type") == "array":
        places = schema.get("prefixItems")
        return f"[{', '.join(map(_kind, places))}]" if places else f"list of {_kind(schema['items'])}"
    if schema.get("type") == "object":
        return f"object of {_kind(schema['additionalProperties'])}"
    return str(schema["type"])


def _alternatives(kinds: list[str]) -> str:
    return "[identity](#identities)" if kinds == [_link(name) for name in IDENTITIES] else " or ".join(kinds)


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _code(text: str) -> str:
    """A docstring as Markdown in a table's cell, with JSON's name of None."""
    return re.sub(r"\bNone\b", "`null`", re.sub("``(.+?)``", r"`\1`", text)).replace("\n", " ").replace("|", "\\|")


def main() -> None:
    """Write the page."""
    TARGET.write_text(log_page(), "utf-8")


if __name__ == "__main__":
    main()
