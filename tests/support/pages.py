# SPDX-License-Identifier: GPL-2.0-only
"""A log for tests of the HTML page, and a parser of the page."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from helpers.identity import SubjectId
from helpers.results.records import Clause, Contract, Difference, KnownDeviation, Log, RegisterInfo, Result, SubjectInfo
from tests.support import ERROR, FAILED, KNOWN, NOT_APPLICABLE, PASSED
from tests.support.reports import log_of

BOTH = (SubjectId("debian:stable"), SubjectId("Image"))
FILE = "suites/lock/test_a.py"
HOSTILE = "<script>alert(1)</script> & \x1b[31m 'x' \"y\"\nsecond line"
VENDOR = RegisterInfo("VENDOR_HYP", 0x6030000000160002, ((0, "FUNC_FEAT"), (1, "PTP")), 3, 3)
CONTRACT = Contract(
    tuple(Clause(f"LOCK-{n}", "It is locked.", "a.rst", chapter="lock") for n in range(1, 4)),
    (Difference("SAME", ("LOCK-1",), HOSTILE, "It succeeds.", "The code."),),
)


def a_log(count: int = 20) -> Log:
    kinds = (PASSED, PASSED, FAILED, NOT_APPLICABLE, ERROR)
    results = tuple(
        Result(f"{FILE}::t[{n}-{s.name}]", s, kinds[n % 5], (f"LOCK-{n % 3 + 1}",), HOSTILE, "src", HOSTILE)
        for n in range(count)
        for s in BOTH
    )
    known = Result("suites/lock/test_b.py::k", BOTH[0], KNOWN, ("LOCK-9",), "Known.", "src", "assert 0")
    late = (KnownDeviation("late", "LOCK-9", "r", "https://a"),)
    info = SubjectInfo(BOTH[0], "mainline", {"kernel": HOSTILE}, late, (VENDOR,))
    other = SubjectInfo(BOTH[1], "mainline", {}, (), (replace(VENDOR, default=1), replace(VENDOR, name="BMAP_2")))
    argv = (f"--kernel={BOTH[0].name}", "-k", "x")
    return log_of(*results, known, subjects=BOTH, infos=(info, other), argv=argv, status=1, contract=CONTRACT)


class Page(HTMLParser):
    """Ids, links, cells of the matrix, scripts, and every address that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" else []
        self.labels += [attributes["aria-label"]] if tag == "a" and "aria-label" in attributes else []
        self.fetched += [attributes[name] for name in ("src", "srcset", "data") if name in attributes]
        self.fetched += [attributes.get("href", "")] if tag == "link" else []

    def handle_data(self, data: str) -> None:
        self.scripts += [data] if self.tags and self.tags[-1] == "script" else []
