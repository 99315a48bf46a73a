# SPDX-License-Identifier: GPL-2.0-only
"""The reports in a browser: on a phone, printed, with a keyboard, under Jenkins' policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from helpers.formats.html.page import document
from helpers.formats.html.signs import WORDS
from helpers.recording.pytest_html import MOST_ROWS
from helpers.results.columns import columns
from helpers.results.log import read_log
from helpers.results.records import FAILED, PASSED, Log, Result, ServiceInfo
from tests.support.pages import BOTH, a_log
from tests.support.throwaway import BAD, GOOD, UNMEASURED, run_suite

JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self';"
HOSTILE = (
    "<script>window.ran = 1; alert(1)</script>",
    "</pre></template></script><img src=x onerror='window.ran = 1'>",
    "\"onmouseover='window.ran = 1' x='",
    "]]> # SKIP \\x1b &amp; {{ 7 * 7 }} {% raw %} javascript:alert(1)",
)
"""What a kernel may answer, print, or call itself."""
ALL = " ".join(HOSTILE)
_NAMED = {"link", "button", "checkbox", "table", "image", "navigation", "region"}


@dataclass
class Seen:
    """A page, and the console messages, errors, dialogs and requests that it must not make."""

    page: Any
    wrong: list[str] = field(default_factory=list)

    def text(self, selector: str = "body") -> str:
        return str(self.page.locator(selector).first.inner_text())


class Viewer:
    def __init__(self, started: Any) -> None:
        self._browser = started
        self._contexts: list[Any] = []

    def open(self, path: Path, width: int = 1200, **options: Any) -> Seen:
        context = self._browser.new_context(viewport={"width": width, "height": 900}, **options)
        self._contexts.append(context)
        seen = Seen(context.new_page())
        seen.page.on("console", lambda message: seen.wrong.append(f"{message.type}: {message.text}"))
        seen.page.on("pageerror", lambda error: seen.wrong.append(str(error)))
        seen.page.on("dialog", lambda dialog: self._dialog(seen, dialog))
        seen.page.on("request", lambda request: self._asked(seen, path, request.url))
        seen.page.goto(path.as_uri())
        return seen

    @staticmethod
    def _dialog(seen: Seen, dialog: Any) -> None:
        seen.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    @staticmethod
    def _asked(seen: Seen, path: Path, url: str) -> None:
        if url.partition("#")[0] != path.as_uri():
            seen.wrong.append(f"request: {url}")

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def viewer(started: Any) -> Iterator[Viewer]:
    viewer = Viewer(started)
    yield viewer
    viewer.close()


def hostile(log: Log) -> Log:
    """Every text that comes from a kernel or a test is hostile."""
    results = tuple(replace(r, message=ALL, requirement=ALL, source=ALL, calls=ALL) for r in log.results)
    worse = Result(f"suites/x.py::t[{ALL}]", BOTH[0], FAILED, ("LOCK-1",), ALL, ALL, f"{ALL}\n" * 60, calls=ALL)
    infos = tuple(
        replace(info, environment={"kernel": ALL, ALL: ALL}, services=(ServiceInfo(ALL, "STD", ALL, ALL, ((0, ALL),)),))
        for info in log.subjects
    )
    return replace(log, results=(*results, worse), subjects=infos)


def static(folder: Path, log: Log) -> Path:
    path = folder / "page.html"
    path.write_text(document(columns([log])))
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pytest-html's report, with hostile texts in failures and skips."""
    folder = tmp_path_factory.mktemp("project")
    texts = "".join(f"def test_hostile_{n}(): assert 0, {text!r}\n" for n, text in enumerate(HOSTILE))
    skips = "".join(f"def test_skip_{n}(): pytest.skip({text!r})\n" for n, text in enumerate(HOSTILE))
    return run_suite(folder, GOOD + BAD + UNMEASURED + texts + skips)


def test_the_matrix_says_what_the_log_says(viewer: Viewer, tmp_path: Path) -> None:
    log = a_log()
    seen = viewer.open(static(tmp_path, log))
    for column in columns([log]):
        for sentence in log.contract.sentences:
            label = f"{sentence.id} on {column.name}: "
            link = seen.page.locator(f'.matrix a[aria-label^="{label}"]')
            counts = re.findall(r"(\d+) ([a-z ]+)", link.get_attribute("aria-label").removeprefix(label))
            results = column.of_clause(sentence.id)
            counted = {word: sum(r.outcome == state for r in results) for state, word in WORDS.items()}
            assert {word: int(count) for count, word in counts} == {w: n for w, n in counted.items() if n}
            passed = sum(result.outcome == PASSED for result in results)
            assert f" {passed}/" in link.inner_text()
            link.click()
            # A link into a folded chapter opens it.
            assert seen.page.locator(":target").is_visible()
    assert seen.wrong == []


@pytest.mark.parametrize("kind", ["static", "pytest-html"])
def test_what_a_kernel_says_is_shown_and_does_nothing(kind: str, viewer: Viewer, report: Path, tmp_path: Path) -> None:
    seen = viewer.open(static(tmp_path, hostile(a_log())) if kind == "static" else report)
    assert seen.page.evaluate("window.ran") is None and seen.wrong == []
    text = seen.page.locator("body").text_content()
    for part in HOSTILE:
        assert part in text, part
    # pytest-html has an img without an address in each row.
    bad = "img:not([src='']), [onerror], [onmouseover], a[href^='javascript']"
    assert seen.page.locator(bad).count() == 0


def test_links_lead_somewhere(viewer: Viewer, report: Path) -> None:
    seen = viewer.open(report)
    missing = seen.page.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href').slice(1))"
        ".filter(id => !document.getElementById(id))"
    )
    ids = seen.page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert missing == [] and len(ids) == len(set(ids))


def test_outcomes_and_sorting(viewer: Viewer, report: Path) -> None:
    seen = viewer.open(report)
    rows = seen.page.locator("tbody.results-table-row")
    (column,) = columns([read_log(report.with_name("results.jsonl"))])
    assert rows.count() == len(column.results) == 13
    assert rows.first.locator(".col-result").inner_text() == "Failed"
    groups = seen.page.locator("section[aria-labelledby=chapter-all-results] details details")
    assert [groups.nth(n).locator("summary").inner_text() for n in range(4)] == [
        "✗ 5 failed",
        "? 1 not measured",
        "- 5 not applicable",
        "✓ 2 passed",
    ]
    # pytest-html's own word for it is another one.
    shown = "cell => getComputedStyle(cell, '::before').content"
    assert seen.page.locator(".xpassed .col-result").evaluate_all(f"cells => cells.map({shown})") == ['"Not measured"']
    assert not groups.first.locator("li").first.is_visible()
    groups.first.locator("summary").click()
    assert groups.first.locator("li.failed:visible").count() == 5
    names = seen.page.locator("#results-table tbody .col-testId")
    button = seen.page.get_by_role("button", name=re.compile("^Test"))
    button.focus()
    for _ in range(2):
        seen.page.keyboard.press("Enter")
    descending = seen.page.get_by_role("button", name="Test descending").count() == 1
    assert descending or seen.page.get_by_role("button", name="Test ascending").count() == 1
    found = names.all_inner_texts()
    assert found == sorted(found, reverse=descending) and seen.wrong == []


@pytest.mark.parametrize("kind", ["static", "pytest-html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(kind: str, scheme: str, viewer: Viewer, report: Path, tmp_path: Path) -> None:
    path = static(tmp_path, hostile(a_log())) if kind == "static" else report
    seen = viewer.open(path, 360, color_scheme=scheme, is_mobile=True)
    assert seen.page.evaluate("innerWidth") == 360
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360
    for selector in (".verdict h2", ".verdict p", ".finding pre", "caption", "nav a", ".matrix .failed a", ".source"):
        assert seen.page.evaluate(CONTRAST, selector) >= 4.5, selector


CONTRAST = """selector => {
  const luminance = ([r, g, b]) => { const f = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b) }
  const parse = text => text.match(/[\\d.]+/g).map(Number)
  const element = document.querySelector(selector)
  let under = element
  while (under.parentElement && !(parse(getComputedStyle(under).backgroundColor)[3] === undefined &&
         getComputedStyle(under).backgroundColor.startsWith("rgb("))) under = under.parentElement
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(under).backgroundColor]
    .map(c => luminance(parse(c))).sort((x, y) => y - x)
  return (a + 0.05) / (b + 0.05)
}"""


@pytest.mark.parametrize("kind", ["static", "pytest-html"])
def test_a_screen_reader_finds_its_way(kind: str, viewer: Viewer, report: Path, tmp_path: Path) -> None:
    seen = viewer.open(static(tmp_path, a_log()) if kind == "static" else report)
    nodes = seen.page.context.new_cdp_session(seen.page).send("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node.get("ignored")]
    roles = [node["role"]["value"] for node in shown]
    named = [node for node in shown if node["role"]["value"] in _NAMED]
    unnamed = [node["role"]["value"] for node in named if not node.get("name", {}).get("value")]
    # pytest-html gives its table no name.
    assert unnamed == ([] if kind == "static" else ["table"])
    assert roles.count("main") == 1 and roles.count("banner") == 1 and "navigation" in roles
    assert seen.page.locator("h1").count() == 1
    assert seen.page.locator("main").evaluate("element => element.closest('[lang]').lang") == "en"
    assert seen.page.locator("th:not([scope]), .wide:not([aria-label])").count() == 0


def test_with_a_keyboard(viewer: Viewer, tmp_path: Path) -> None:
    seen = viewer.open(static(tmp_path, a_log()))
    seen.page.keyboard.press("Tab")
    first = seen.page.locator(":focus")
    assert first.inner_text() == "Skip to the verdicts" and first.bounding_box()["x"] >= 0
    seen.page.keyboard.press("Enter")
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert seen.page.locator(":focus").inner_text() == "Broken clauses: LOCK-1, LOCK-2, LOCK-3"


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_one_subject_takes_the_width(width: int, viewer: Viewer, report: Path) -> None:
    seen = viewer.open(report, width)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    for table in (".matrix", ".environment"):
        wide = "table => table.clientWidth >= table.parentElement.clientWidth - 2"
        assert seen.page.locator(f"table{table}").first.evaluate(wide), table


def test_a_chapter_folds_and_a_link_into_it_opens_it(viewer: Viewer, tmp_path: Path) -> None:
    seen = viewer.open(static(tmp_path, a_log()))
    finding = seen.page.locator(".finding").first
    assert finding.is_visible()
    seen.page.locator("summary", has_text="Failures").click()
    assert not finding.is_visible()
    seen.page.goto(f"{seen.page.url}#{finding.get_attribute('id')}")
    assert finding.is_visible()


def test_two_clicks_from_a_red_cell_to_the_finding(viewer: Viewer, tmp_path: Path) -> None:
    seen = viewer.open(static(tmp_path, a_log()))
    seen.page.locator(".matrix td.failed a").first.click()
    listed = seen.page.locator("h3:target + ul")
    # The sentence and the source are above the list, in the same view.
    assert seen.page.locator("details:has(> h3:target) > summary").bounding_box()["y"] >= 0
    listed.locator("a", has_text="failed").first.click()
    assert seen.page.locator(".finding:target").is_visible() and seen.wrong == []


def test_printed(viewer: Viewer, tmp_path: Path) -> None:
    log = a_log()
    log = replace(log, results=tuple(replace(result, calls="vm1: KVM_RUN() = 0") for result in log.results))
    seen = viewer.open(static(tmp_path, log))
    calls = seen.page.locator(".finding details pre").first
    assert not calls.is_visible()
    seen.page.emulate_media(media="print")
    assert calls.is_visible() and not seen.page.locator("nav").is_visible()
    assert seen.page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("kind", ["static", "pytest-html"])
def test_under_jenkins_content_policy(kind: str, started: Any, report: Path, tmp_path: Path) -> None:
    """Without scripts and style sheets the results are readable."""
    path = static(tmp_path, a_log()) if kind == "static" else report
    context = started.new_context()
    page = context.new_page()
    answer = {"body": path.read_text(), "content_type": "text/html", "headers": {"Content-Security-Policy": JENKINS}}
    page.route("**/*", lambda route: route.fulfill(**answer))
    page.goto("http://ci.invalid/report.html")
    text = page.locator("main").inner_text()
    whole = page.locator("body").inner_text() if kind == "pytest-html" else ""
    context.close()
    for part in ("failed", "LOCK-1", "Conformance matrix", "Tests by clause", "All results", "Environment"):
        assert part in text, part
    assert "NON-CONFORMANT" in whole + text
    assert kind == "static" or "The table needs scripts" in whole


def words_of(seen: Seen, chapter: str, selector: str) -> list[str]:
    """The words of elements in a chapter's lists of tests."""
    elements = seen.page.locator(f"section[aria-labelledby=chapter-{chapter}] ul.tests").locator(selector)
    return " ".join(elements.all_text_contents()).split()


def test_many_rows_begin_with_those_to_look_at(viewer: Viewer, tmp_path: Path) -> None:
    count = MOST_ROWS + 10
    suite = f"import pytest\n@pytest.mark.parametrize('n', range({count}))\ndef test_it(n):\n    assert n % 100\n"
    seen = viewer.open(run_suite(tmp_path, suite))
    rows = seen.page.locator("#results-table tbody.results-table-row")
    assert rows.count() == 6 and {*rows.locator(".col-result").all_inner_texts()} == {"Failed"}
    assert "the table lists only" in seen.text("section[aria-labelledby=results-by-pytest-html]")
    group = seen.page.locator("section[aria-labelledby=chapter-all-results] details details").nth(1)
    assert group.locator("summary").inner_text() == f"✓ {count - 6} passed"
    assert [text.split()[2:4] for text in group.locator("li").all_text_contents()] == [[str(count - 6), "of"]]
    # The name of the function, and the parameters of each test.
    assert len(words_of(seen, "tests-by-clause", "li.passed code")) == 1 + count - 6 and seen.wrong == []


def test_5000_results_are_all_there(viewer: Viewer, tmp_path: Path) -> None:
    log = a_log(2500)
    seen = viewer.open(static(tmp_path, log))
    count = sum(result.outcome in (PASSED, FAILED) for result in log.results)
    # Each of the groups of passed tests has the name of their function as well.
    assert len(words_of(seen, "tests-by-clause", "li.passed code, li.failed code")) == count + 6
    failed = sum(result.outcome == FAILED for result in log.results)
    assert len(words_of(seen, "all-results", "li.failed code")) == failed
    passed = seen.page.locator("section[aria-labelledby=chapter-all-results] li.passed").all_text_contents()
    assert sum(int(text.split()[2]) for text in passed) == count - failed
    assert seen.page.locator("[aria-labelledby=chapter-failures] article.finding").count() == 100
    assert seen.page.locator("[aria-labelledby=chapter-known-deviations] article.finding").count() == 1
    assert "more, one line each" in seen.text() and seen.wrong == []
