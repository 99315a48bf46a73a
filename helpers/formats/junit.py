# SPDX-License-Identifier: GPL-2.0-only
"""The results log as JUnit XML, by the schema of Jenkins' xUnit plugin (junit-10.xsd), which others follow.

A suite for each subject, whose properties are the verdict, the environment and what came out for each clause. A case
has no properties in that schema: its clauses are its group, and what they say stands in its output.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

from helpers.errors import HarnessError
from helpers.results.columns import summary
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, Log, Result
from helpers.results.rows import Section, sections
from helpers.results.verdict import COUNT_NAMES

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENTS = {FAILED: "failure", ERROR: "error", NOT_APPLICABLE: "skipped", KNOWN: "skipped"}


def write_junit(log: Log, path: Path) -> None:
    """Write the log as JUnit XML to the path."""
    try:
        path.write_bytes(junit(sections(log)))
    except OSError as error:
        raise HarnessError(f"{path} cannot be written", why=error.strerror or str(error)) from error


def junit(subjects: Iterable[Section]) -> bytes:
    """The subjects as an XML document."""
    root = ET.Element("testsuites", name="hypercall bitmap registers")
    root.extend(_suite(section) for section in subjects)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def legal(text: str) -> str:
    """Text with the characters that XML cannot hold spelled out, such as \\x1b."""
    return _ILLEGAL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def _suite(section: Section) -> ET.Element:
    verdict, rows = section.verdict, section.rows
    suite = ET.Element(
        "testsuite",
        name=legal(verdict.subject.label),
        tests=str(len(rows)),
        failures=_count(rows, FAILED),
        errors=_count(rows, ERROR),
        skipped=_count(rows, NOT_APPLICABLE, KNOWN),
        time=f"{sum(row.duration for row in rows):.3f}",
    )
    clauses = dict.fromkeys(clause for row in rows for clause in row.clauses)
    told = {f"clause {clause}": _told([row for row in rows if clause in row.clauses]) for clause in clauses}
    values = {"verdict": verdict.line, "dialect": verdict.info.dialect, **verdict.info.environment, **told}
    _properties(suite, values)
    suite.extend(_case(row) for row in rows)
    return suite


def _told(rows: Iterable[Result]) -> str:
    """What a clause's tests say together, and how many each."""
    state, counts = summary(rows)
    each = ", ".join(f"{counts[outcome]} {COUNT_NAMES[outcome]}" for outcome in COUNT_NAMES if counts[outcome])
    return f"{state}: {each}"


def _count(rows: Iterable[Result], *outcomes: str) -> str:
    return str(sum(row.outcome in outcomes for row in rows))


def _case(result: Result) -> ET.Element:
    """A known deviation is skipped, with a message that says so: JUnit has no word for it."""
    folder, _, name = result.nodeid.partition("::")
    case = ET.Element(
        "testcase",
        classname=legal(folder.removesuffix(".py").replace("/", ".")),
        name=legal(name or folder),
        time=f"{result.duration:.3f}",
    )
    if result.clauses:
        case.set("group", legal(", ".join(result.clauses)))
    if result.outcome in _ELEMENTS:
        first = result.message.strip().partition("\n")[0]
        prefix = "known deviation: " if result.outcome == KNOWN else ""
        finding = ET.SubElement(case, _ELEMENTS[result.outcome], message=legal(prefix + first))
        finding.text = legal(result.message)
    values = {"clauses": ", ".join(result.clauses), "requirement": result.requirement, "source": result.source}
    told = "\n".join(f"{name}: {value}" for name, value in values.items() if value)
    if told:
        ET.SubElement(case, "system-out").text = legal(told)
    return case


def _properties(parent: ET.Element, values: dict[str, str]) -> None:
    known = {name: value for name, value in values.items() if value}
    if not known:
        return
    properties = ET.SubElement(parent, "properties")
    for name, value in known.items():
        ET.SubElement(properties, "property", name=legal(name), value=legal(value))
