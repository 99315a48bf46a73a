# SPDX-License-Identifier: GPL-2.0-only
"""Each clause leads to the kernel's code: its source names a function, and the reports link to it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from helpers.contract.clauses import CLAUSES, Standing
from helpers.formats.html.page import document
from helpers.results.columns import columns
from helpers.results.records import FAILED, Clause, Contract, Result
from helpers.results.sources import cited, functions
from tests.support.pages import BOTH, FILE, Page
from tests.support.reports import log_of

WITHOUT = {"CALL-4", "CALL-8", "QUIET-1"}
"""Clauses that no function of the kernel implements: the assembly that enters a guest, and a rule for all code."""
ASSEMBLY = {"WA-1"}
SOURCE = "Documentation/virt/kvm/api.rst 4.68; a.c:one, two_3 (528ada2811ba); Arm DEN0028"
URLS = {
    "Documentation/virt/kvm/api.rst": "https://docs.kernel.org/virt/kvm/api.html",
    "one": "https://elixir.bootlin.com/linux/latest/A/ident/one",
    "two_3": "https://elixir.bootlin.com/linux/latest/A/ident/two_3",
    "528ada2811ba": "https://git.kernel.org/linus/528ada2811ba",
    "DEN0028": "https://developer.arm.com/documentation/den0028/latest",
}


def test_every_clause_names_its_function() -> None:
    without = {each.id for each in CLAUSES.values() if not functions(each.source)}
    assert without == WITHOUT | ASSEMBLY


def test_no_clause_has_a_file_among_its_functions() -> None:
    """In "a.c:one, b.c:two" the comma makes b a function."""
    wrong = [
        each.id for each in CLAUSES.values() if any(re.match(r"\.[chS]\b", text) for text, _ in cited(each.source))
    ]
    assert wrong == []


def test_a_clause_without_a_document_has_a_function() -> None:
    observed = [each for each in CLAUSES.values() if each.standing is Standing.OBSERVED]
    assert observed and all(re.search(r"\.[chS]:\w", each.source) for each in observed)


def test_the_pieces_of_a_source() -> None:
    pieces = list(cited(SOURCE))
    assert "".join(text for text, _ in pieces) == SOURCE
    assert {text: url for text, url in pieces if url} == URLS
    assert functions(SOURCE) == ("one", "two_3")


@pytest.mark.parametrize("source", ["", "src", "pvtime.c; RFC v3 03/11", "a.S:el1_sync", "a.c:é", "x:javascript"])
def test_a_source_without_links(source: str) -> None:
    assert [url for _, url in cited(source) if url] == [] and functions(source) == ()


def test_from_a_red_cell_to_everything_in_two_clicks() -> None:
    """The first click leads to the clause's tests; from there, links lead to the function, the finding and the C
    program. The sentence is in the matrix, the expected and actual values are in the finding."""
    clause = Clause("MODEL-1", "It is the same.", SOURCE, chapter="model")
    message = "expected 0, actual 1\nC reproducer: /a/reports/reproducers/t.c"
    failed = Result(f"{FILE}::t", BOTH[0], FAILED, (clause.id,), clause.text, f"{SOURCE} (documented)", message)
    log = replace(log_of(failed, subjects=BOTH[:1], status=1), contract=Contract((clause,)))
    text = document(columns([log]))
    (cell,) = re.findall(r'<td class="state failed"><a href="#([\w-]+)"', text)
    by_clause = text[text.index('id="chapter-tests-by-clause"') : text.index('id="chapter-all-results"')]
    assert f'id="{cell}"' in by_clause
    links = Page(by_clause).links
    assert {*URLS.values(), "reproducers/t.c"} <= set(links)
    (finding,) = [link[1:] for link in links if link.startswith("#finding")]
    article = text[text.index(f'id="{finding}"') :].partition("</article>")[0]
    assert "It is the same." in article and "expected 0, actual 1" in article
    assert {*URLS.values(), "reproducers/t.c", "#clause-model-1"} == set(Page(article).links)
