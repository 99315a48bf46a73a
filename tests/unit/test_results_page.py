# SPDX-License-Identifier: GPL-2.0-only
"""The static page: it agrees with the log, its links have targets, it fetches nothing; the converter."""

from __future__ import annotations

import ast
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.command.report import main
from helpers.formats.html.page import document
from helpers.identity import SubjectId
from helpers.results.columns import columns, sentences
from helpers.results.records import (
    FAILED,
    KNOWN,
    NOT_APPLICABLE,
    NOT_MEASURED,
    PASSED,
    SMC_NOT_SERVED,
    Contract,
    KnownDeviation,
    Result,
    ServiceInfo,
    SubjectInfo,
)
from tests.support import ROOT
from tests.support.pages import BOTH, CONTRACT, FILE, Page, a_log
from tests.support.reports import log_of, write_log


def test_links_lead_somewhere_and_ids_are_unique() -> None:
    page = Page(document(columns([a_log()])))
    assert len(page.ids) == len(set(page.ids))
    # The known deviation has a link to its fix.
    inside = [link for link in page.links if link != "https://a"]
    assert inside and all(link.startswith("#") and link[1:] in page.ids for link in inside)


def test_nothing_is_fetched_and_nothing_runs() -> None:
    text = document(columns([a_log()]))
    page = Page(text)
    assert page.fetched == [] and "script" not in page.tags
    assert "url(" not in text and "@import" not in text and "\x1b" not in text


def test_the_matrix_counts_what_the_log_holds() -> None:
    subjects = columns([a_log()])
    labels = Page(document(subjects)).labels
    for column in subjects:
        for clause in ("LOCK-1", "LOCK-2", "LOCK-3"):
            results = column.of_clause(clause)
            (label,) = [each for each in labels if each.startswith(f"{clause} on {column.name}: ")]
            for outcome, word in ((PASSED, "passed"), (FAILED, "failed"), (NOT_APPLICABLE, "not applicable")):
                count = sum(result.outcome == outcome for result in results)
                assert (f"{count} {word}" in label) == bool(count)


def test_a_known_deviation_is_no_failure() -> None:
    log = a_log()
    text = document(columns([log]))
    failures, _, rest = text.partition('id="chapter-known-deviations"')
    assert "test_b.py::k" not in failures.partition('id="chapter-failures"')[2] and "test_b.py::k" in rest
    without = tuple(each for each in log.results if each.outcome != KNOWN)
    page = document(columns([replace(log, results=without, subjects=())]))
    assert "chapter-known-deviations" not in page and "chapter-failures" in page


@pytest.mark.parametrize(
    ("message", "link"),
    [
        ("Broken.\nC reproducer: /a/reports/reproducers/test_any_order-x.c\nSeed: 1", "reproducers/test_any_order-x.c"),
        ("C reproducer: reproducers/t.c", "reproducers/t.c"),
        ("C reproducer: javascript:alert(1)//reproducers/../t.c", ""),
        ("C reproducer: /a/reproducers/x/y.c", ""),
        ("no C reproducer: here", ""),
    ],
)
def test_the_link_to_the_c_program(message: str, link: str) -> None:
    failed = Result(f"{FILE}::t", BOTH[0], FAILED, ("LOCK-1",), "It is locked.", "src", message)
    page = Page(document(columns([log_of(failed, subjects=BOTH[:1])])))
    assert {each for each in page.links if not each.startswith("#")} == ({link} if link else set())


def test_it_says_what_a_person_needs() -> None:
    text = document(columns([a_log()]))
    for part in ("NON-CONFORMANT", "SAME", "It succeeds.", "prefers-color-scheme: dark", "@media print", 'lang="en"'):
        assert part in text, part
    assert "pytest --kernel=debian:stable" in text and ">late</a> (LOCK-9): r" in text
    assert text.index("chapter-failures") < text.index("chapter-conformance-matrix")


def test_a_clause_has_the_same_anchor_in_every_report() -> None:
    """A link to it from a mail stays valid. It is inside of the folded element, so that the link opens that."""
    one, other = a_log(), log_of(Result(f"{FILE}::t", BOTH[1], FAILED, ("LOCK-2",)))
    for log in (one, other):
        (opened,) = re.findall(
            r'<details><summary><a class="id" href="#clause-lock-2">.*\n?.*', document(columns([log]))
        )
        assert '<p class="source" id="clause-lock-2">' in opened


def one_failure(message: str) -> str:
    failed = Result(f"{FILE}::t[1]", BOTH[0], FAILED, ("LOCK-2",), "It is locked.", "hypercalls.c:f", message)
    return document(columns([log_of(failed, subjects=BOTH[:1], contract=CONTRACT, status=1)]))


def test_the_way_from_a_red_cell_to_the_cause() -> None:
    """One step to the values and the C program, two to the finding, and one from the verdict to the finding."""
    message = "AssertionError: 2 of 9 comparisons failed:\nSTD = 0x1\n    expected: EBUSY\n    actual:   success\nSTD"
    text = one_failure(f"{message}\n    expected: 0x0\n    actual:   0x1\nC reproducer: reproducers/t.c")
    (cell,) = re.findall(r'<td class="state failed"><a href="#([^"]*)"', text)
    listed = text[text.index(f'id="{cell}"') :].partition("</ul>")[0]
    assert "STD = 0x1: expected EBUSY, actual success" in listed and 'href="reproducers/t.c"' in listed
    (finding,) = re.findall(r'<a href="#(finding[^"]*)">✗ failed', listed)
    verdict = text[text.index('<div class="verdict') :].partition("</div>")[0]
    assert f'<a class="id" href="#{finding}">LOCK-2</a> It is locked.' in verdict
    article = text[text.index(f'id="{finding}"') :].partition("</article>")[0]
    for part in ("It is locked.", "ident/f", "actual:   success", "reproducers/t.c", 'class="command"'):
        assert part in article, part
    assert '<th scope="row"><a class="id" href="#clause-lock-2">LOCK-2</a>' in text
    assert 'By clause: <a class="id" href="#clause-lock-2">LOCK-2</a> (1).' in text


@pytest.mark.parametrize(("message", "gist"), [("It died.\nmore", "It died."), ("x" * 400, "x" * 300 + "...")])
def test_a_message_without_a_comparison(message: str, gist: str) -> None:
    listed = one_failure(message).partition('id="chapter-tests-by-clause"')[2]
    assert f"<code>{FILE}::t[1]</code>: {gist} <span" in listed


def test_a_comparison_is_not_cut() -> None:
    lines = [f"STD {n}\n    expected: 0x0\n    actual:   {n:#x}" for n in range(11)]
    text = one_failure("\n".join(["AssertionError: 11 of 11 comparisons failed:", *lines]))
    shown, _, rest = text.partition("<summary>3 more lines</summary>")
    assert shown.rstrip().endswith("actual:   0x9</pre>\n<details>") and "STD 10\n    expected" in rest


def test_the_top_of_the_page() -> None:
    """The facts of the run are in each box. Notes are folded, and known deviations if there are many kernels."""
    kernels = tuple(SubjectId(f"/k/Image{n}") for n in range(4))
    known = KnownDeviation("late", "LOCK-1", "r", "javascript:alert(1)")
    infos = tuple(SubjectInfo(each, "mainline", {"runs on": "a board"}, (known,)) for each in kernels)
    results = [Result(f"{FILE}::t[{each.name}]", each, KNOWN, ("LOCK-1",), notes=("raced",)) for each in kernels]
    for count, opened in ((3, " open"), (4, "")):
        log = log_of(*results[:count], subjects=kernels[:count], infos=infos[:count])
        log = replace(log, session=replace(log.session, environment={"suite": "0.1.0"}))
        top = document(columns([log])).partition("</section>")[0].partition("<body>")[2]
        assert top.count("<details><summary>Notes, which do not affect the verdict: 1</summary>") == count
        assert top.count(f"<details{opened}><summary>Known deviations: 1</summary>") == count
        assert top.count("start: 2017-07-14 02:40 UTC; suite: 0.1.0; runs on: a board</p>") == count
        assert 'href="javascript' not in top and "javascript:alert(1)" in top


@pytest.mark.parametrize(
    ("outcomes", "total"),
    [
        ((PASSED, PASSED, PASSED), "3/3"),
        ((PASSED, FAILED, NOT_APPLICABLE), "1/2"),
        ((KNOWN, NOT_MEASURED, PASSED), "1/3"),
        ((NOT_APPLICABLE, NOT_APPLICABLE, NOT_APPLICABLE), ""),
    ],
)
def test_the_total_of_a_chapter(outcomes: tuple[str, ...], total: str) -> None:
    results = (Result(f"{FILE}::t[{n}]", BOTH[0], each, (f"LOCK-{n}",)) for n, each in enumerate(outcomes))
    text = document(columns([log_of(*results, subjects=BOTH[:1])]))
    assert re.findall(r'<th scope="rowgroup">(\w+)</th><td class="total">(.*?)</td>', text) == [("lock", total)]


@pytest.mark.parametrize(("seconds", "shown"), [(1760000000.0, "2025-10-09 08:53 UTC"), (1e300, None), (-1e18, None)])
def test_the_start_of_the_run(seconds: float, shown: str | None) -> None:
    log = a_log()
    text = document(columns([replace(log, session=replace(log.session, time=seconds))]))
    assert re.findall(r'<th scope="row">start</th><td>(.*?)</td>', text) == ([shown] if shown else [])


def test_a_clause_that_was_not_measured_is_not_green() -> None:
    rows = (("LOCK-1", PASSED), ("LOCK-2", NOT_MEASURED), ("LOCK-3", PASSED), ("LOCK-3", NOT_MEASURED))
    results = (
        Result(f"{FILE}::t[{n}]", BOTH[0], each, (clause,), "r", "s", f"reason {n}")
        for n, (clause, each) in enumerate(rows)
    )
    text = document(columns([log_of(*results)]))
    cells = re.findall(r'<td class="state ([a-z-]+)"><a[^>]* aria-label="(LOCK-\d)[^>]*>([^<]*)</a>', text)
    assert cells == [
        ("passed", "LOCK-1", "✓ 1/1"),
        ("not-measured", "LOCK-2", "? 0/1"),
        ("not-measured", "LOCK-3", "? 1/2"),
    ]
    assert f"<li>{FILE}::t[1]: reason 1</li>" in text and "<p>Clauses not measured: LOCK-2</p>" in text
    assert f"<code>{FILE}::t</code>: reason 1" in text.replace("\n", "")


def test_the_registers_are_drawn_bit_by_bit() -> None:
    text = document(columns([a_log()]))
    for default in ("0x3", "0x1"):
        assert f'aria-label="supported 0x3, in a new VM {default}"' in text
    assert 'title="bit 1 PTP">1<' in text and 'title="bit 1 PTP">0<' in text
    assert text.count("≠ differs") == 2 and "no such register" in text
    picture = text[text.index('in a new VM 0x3">') :].partition("</code>")[0]
    assert picture.count("</span>") == 64 and picture.count('class="reserved"') == 62


def test_smc_is_compared_with_hvc() -> None:
    given = ("0x3, 0, 0, 0", ((0, "NOT_SUPPORTED"), (1, "0x1, 0, 0, 0")))
    both = ServiceInfo("KVM_FEATURES", "VENDOR_HYP", "FUNC_FEAT", *given, *given)
    log = a_log()
    for service, shown in (
        (both, "<td>same</td>"),
        (replace(both, smc_default=SMC_NOT_SERVED, smc_answers=()), "<td>not served</td>"),
        (replace(both, smc_answers=given[1][:1]), "<td>new VM: 0x3, 0, 0, 0; 0x0: NOT_SUPPORTED</td>"),
        (replace(both, smc_default="", smc_answers=()), "<td></td></tr>"),
    ):
        info = replace(log.subjects[0], services=(service,))
        assert shown in document(columns([replace(log, subjects=(info,))]))


def test_a_log_without_contract_or_results() -> None:
    empty = replace(a_log(), results=(), contract=Contract(), collected=(), started=())
    assert "INCONCLUSIVE" in document(columns([empty]))
    assert "LOCK-1" in document(columns([replace(a_log(), contract=Contract())]))


def test_markup_is_in_templates() -> None:
    tag = re.compile(r"</?[a-z][a-z0-9]*( [a-z-]+=|/?>)")
    for path in (path for folder in ("faults", "helpers") for path in (ROOT / folder).rglob("*.py")):
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        # A table in Markdown has no other line break.
        markup = [text for text in texts if isinstance(text, str) and tag.search(text) and text != "<br>"]
        assert not markup, path


def test_all_results_are_listed_by_outcome() -> None:
    text = document(columns([a_log()]))
    listed = text[text.index('id="chapter-all-results"') : text.index('id="chapter-environment"')]
    counted = [" ".join(pair) for pair in re.findall(r"</span> (\d+) ([a-z ]+)</summary>", listed)]
    assert counted[:5] == ["4 failed", "4 error", "1 known deviation", "4 not applicable", "8 passed"]
    assert all(f"t[{n}-{BOTH[0].name}]" in listed for n in (2, 4)) and "<code>19</code>" not in listed


def test_5000_results_are_quick() -> None:
    subjects = columns([a_log(2500)])
    began = time.process_time()
    assert len(document(subjects)) > 500_000
    assert time.process_time() - began < 5


def test_the_converter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_log(tmp_path / "a.jsonl", a_log())
    assert main(["--html", str(tmp_path / "out.html"), str(log)]) == 1
    assert capsys.readouterr().err.count("NON-CONFORMANT") == 2
    assert (tmp_path / "out.html").read_text() == document(columns([a_log()]))


def test_a_finding_has_its_test_where_a_parameter_is_a_path() -> None:
    kernel = SubjectId("/k/Image")
    row = Result("suites/lock/test_a.py::t[/k/Image-STD]", kernel, FAILED, ("LOCK-1",))
    text = document(columns([log_of(row, subjects=(kernel,), status=1)]))
    assert "LOCK-1, test_a.py::t[/k/Image-STD] on /k/Image" in text


def test_a_clause_that_only_a_result_names_is_in_its_folders_chapter() -> None:
    kernel = SubjectId("/k/Image")
    one = Result("suites/test_a.py::t[/k/Image]", kernel, FAILED, ("A-1",))
    other = Result("suites/lock/test_a.py::t[/k/Image]", kernel, FAILED, ("B-1",))
    log = log_of(one, other, subjects=(kernel,), status=1)
    assert [each.chapter for each in sentences(columns([log]))] == ["suites", "lock"]
