# SPDX-License-Identifier: GPL-2.0-only
"""The static page: what it says equals the log, links lead somewhere, nothing asks another host; the converter."""

from __future__ import annotations

import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from helpers.command.report import main
from helpers.formats.html.page import document
from helpers.results.columns import columns
from helpers.results.log import LogWriter
from helpers.results.records import (
    ERROR,
    FAILED,
    KNOWN,
    NOT_APPLICABLE,
    PASSED,
    VERSION,
    Case,
    Contract,
    Difference,
    KnownDeviation,
    Log,
    RegisterInfo,
    Result,
    Sentence,
    Session,
    SubjectInfo,
)

BOTH = ("debian:stable", "Image")
HOSTILE = "<script>alert(1)</script> & \x1b[31m 'x' \"y\"\nsecond line"
VENDOR = RegisterInfo("VENDOR_HYP", 0x6030000000160002, ((0, "FUNC_FEAT"), (1, "PTP")), 3, 3)
CONTRACT = Contract(
    tuple(Sentence(f"LOCK-{n}", "lock", "It is locked.", "a.rst", "documented") for n in range(1, 4)),
    (Difference("SAME", "LOCK-1", HOSTILE, "It succeeds.", "The code."),),
)


def a_log(count: int = 20) -> Log:
    kinds = (PASSED, PASSED, FAILED, NOT_APPLICABLE, ERROR)
    results = tuple(
        Result(f"suites/lock/test_a.py::t[{n}-{s}]", s, kinds[n % 5], (f"LOCK-{n % 3 + 1}",), HOSTILE, "src", HOSTILE)
        for n in range(count)
        for s in BOTH
    )
    known = Result("suites/lock/test_b.py::k", BOTH[0], KNOWN, ("LOCK-9",), "Known.", "src", "assert 0")
    late = (KnownDeviation("late", "LOCK-9", "r", "https://a"),)
    info = SubjectInfo(BOTH[0], "mainline", {"kernel": HOSTILE}, late, (VENDOR,))
    other = SubjectInfo(BOTH[1], "mainline", {}, (), (replace(VENDOR, default=1), replace(VENDOR, name="BMAP_2")))
    session = Session(VERSION, (f"--kernel={BOTH[0]}", "-k", "x"), BOTH, 0.0)
    cases = tuple(Case(each.nodeid, each.subject) for each in (*results, known))
    return Log(session, cases, cases, (*results, known), (info, other), None, 1, contract=CONTRACT)


class Page(HTMLParser):
    """Ids, links, cells of the matrix, and every address that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []
        self.labels += [found["aria-label"]] if tag == "a" and "aria-label" in found else []
        self.fetched += [found[name] for name in ("src", "srcset", "data") if name in found]
        self.fetched += [found.get("href", "")] if tag == "link" else []


def test_links_lead_somewhere_and_ids_are_unique() -> None:
    page = Page(document(columns([a_log()])))
    assert len(page.ids) == len(set(page.ids))
    assert page.links and all(link.startswith("#") and link[1:] in page.ids for link in page.links)


def test_nothing_is_fetched_and_nothing_runs() -> None:
    text = document(columns([a_log()]))
    page = Page(text)
    assert page.fetched == [] and "script" not in page.tags
    assert "url(" not in text and "@import" not in text and "\x1b" not in text


def test_the_matrix_counts_what_the_log_holds() -> None:
    made = columns([a_log()])
    labels = Page(document(made)).labels
    for column in made:
        for clause in ("LOCK-1", "LOCK-2", "LOCK-3"):
            results = column.of_clause(clause)
            (label,) = [each for each in labels if each.startswith(f"{clause} on {column.name}: ")]
            for outcome, word in ((PASSED, "passed"), (FAILED, "failed"), (NOT_APPLICABLE, "not applicable")):
                count = sum(result.outcome == outcome for result in results)
                assert (f"{count} {word}" in label) == bool(count)


def test_it_says_what_a_person_needs() -> None:
    text = document(columns([a_log()]))
    for part in ("NON-CONFORMANT", "SAME", "It succeeds.", "prefers-color-scheme: dark", "@media print", 'lang="en"',
                 "pytest --kernel=debian:stable", "late (LOCK-9): r https://a"):  # fmt: skip
        assert part in text, part
    assert text.index("chapter-failures") < text.index("chapter-conformance-matrix")


def test_the_registers_are_drawn_bit_by_bit() -> None:
    text = document(columns([a_log()]))
    for default in ("0x3", "0x1"):
        assert f'aria-label="supported 0x3, in a new VM {default}"' in text
    assert 'title="bit 1 PTP">1<' in text and 'title="bit 1 PTP">0<' in text
    assert text.count("≠ differs") == 2 and "no such register" in text
    picture = text[text.index('in a new VM 0x3">') :].partition("</code>")[0]
    assert picture.count("</span>") == 64 and picture.count('class="reserved"') == 62


def test_a_log_without_contract_or_results() -> None:
    empty = replace(a_log(), results=(), contract=Contract(), collected=(), started=())
    assert "INCONCLUSIVE" in document(columns([empty]))
    assert "LOCK-1" in document(columns([replace(a_log(), contract=Contract())]))


def test_5000_results_are_quick() -> None:
    made = columns([a_log(2500)])
    began = time.process_time()
    assert len(document(made)) > 500_000
    assert time.process_time() - began < 5


def write(path: Path, log: Log) -> Path:
    writer = LogWriter(path)
    writer.session(log.session)
    writer.contract(log.contract)
    writer.collected(log.collected)
    for info in log.subjects:
        writer.subject(info)
    for each in log.results:
        writer.start(Case(each.nodeid, each.subject))
        writer.result(each)
    writer.end(log.status or 0)
    writer.close()
    return path


def test_the_converter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "a.jsonl", a_log())
    assert main(["--html", str(tmp_path / "out.html"), str(log)]) == 1
    assert capsys.readouterr().err.count("NON-CONFORMANT") == 2
    assert (tmp_path / "out.html").read_text() == document(columns([a_log()]))
