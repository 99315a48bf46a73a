# SPDX-License-Identifier: GPL-2.0-only
"""The results log as JUnit XML, by the schema of Jenkins' xUnit plugin (junit-10.xsd).

Each subject is a suite. A suite's properties are the verdict, the environment and the outcomes of each clause. In this
schema a case has no properties, so its group is the clauses, and its output has their requirement and source.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable

from helpers.results.columns import summary
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, NOT_MEASURED, Result
from helpers.results.rows import Section
from helpers.results.verdict import counted

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENTS = {
    FAILED: "failure",
    ERROR: "error",
    NOT_APPLICABLE: "skipped",
    KNOWN: "skipped",
    NOT_MEASURED: "skipped",
}
_PREFIXES = {KNOWN: "known deviation: ", NOT_MEASURED: "not measured: "}


def junit(subjects: Iterable[Section]) -> bytes:
    """The subjects as an XML document."""
    root = ET.Element("testsuites", name="hypercall bitmap registers")
    root.extend(_suite(section) for section in subjects)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def legal(text: str) -> str:
    """Text with escapes, such as \\x1b, for the characters that XML does not allow."""
    return _ILLEGAL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def _suite(section: Section) -> ET.Element:
    verdict, rows = section.verdict, section.rows
    suite = ET.Element(
        "testsuite",
        name=legal(verdict.subject.label),
        tests=str(len(rows)),
        failures=_count(rows, FAILED),
        errors=_count(rows, ERROR),
        skipped=_count(rows, NOT_APPLICABLE, KNOWN, NOT_MEASURED),
        time=f"{sum(row.duration for row in rows):.3f}",
    )
    values = {"verdict": verdict.line, "dialect": verdict.info.dialect, **verdict.info.environment}
    values["unknown services"] = ", ".join(each.name for each in verdict.info.unknown)
    for clause in dict.fromkeys(clause for row in rows for clause in row.clauses):
        outcome, counts = summary(row for row in rows if clause in row.clauses)
        values[f"clause {clause}"] = f"{outcome}: {counted(counts)}"
    # The verdict is never empty, so the element has a property.
    properties = ET.SubElement(suite, "properties")
    for name, value in values.items():
        if value:
            ET.SubElement(properties, "property", name=legal(name), value=legal(value))
    suite.extend(_case(row) for row in rows)
    return suite


def _count(rows: Iterable[Result], *outcomes: str) -> str:
    return str(sum(row.outcome in outcomes for row in rows))


def _case(result: Result) -> ET.Element:
    """One test. JUnit has no known deviations and no tests that were not measured: they are skips with a message."""
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
        message = legal(_PREFIXES.get(result.outcome, "") + first)
        finding = ET.SubElement(case, _ELEMENTS[result.outcome], message=message)
        finding.text = legal(result.message)
    values = {"clauses": ", ".join(result.clauses), "requirement": result.requirement, "source": result.source}
    output = "\n".join(f"{name}: {value}" for name, value in values.items() if value)
    if output:
        ET.SubElement(case, "system-out").text = legal(output)
    return case
