# SPDX-License-Identifier: GPL-2.0-only
"""The links, options and verdicts in the pages are those of the project."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import pytest

from helpers.command.main import SUBCOMMANDS, main
from helpers.command.parser import PROGRAM
from helpers.contract.clauses import CHAPTERS
from helpers.results.verdict import WORST_FIRST, VerdictKind
from tests.support import ROOT
from tests.support.commands import USER_PAGES

README = ROOT / "README.md"
FOREIGN = {"--lg-env", "--map-root-user", "--mount"}
"""Options of labgrid's pytest plugin and of unshare(1)."""
README_LINES, README_COLUMNS = 150, 100
LINK = re.compile(r"\]\(([^()\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def pages() -> list[Path]:
    """Every Markdown file of the project."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [ROOT / name for name in sorted(listed)]


def code_lines(page: Path) -> list[str]:
    """The lines of indented code, without comments, and the inline code of a page."""
    lines = page.read_text("utf-8").splitlines()
    code = [line.partition(" #")[0].strip() for line in lines if line.startswith("    ")]
    prose = " ".join(line for line in lines if not line.startswith("    "))
    return code + re.findall(r"`([^`]+)`", prose)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", name):
            continue
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.relative_to(ROOT)} links to {target}, which does not exist"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.relative_to(ROOT)} links to {target}, which has no such heading"


def is_option_of_pytest(option: str, config: pytest.Config) -> bool:
    try:
        config.getoption(option)
    except ValueError:
        return False
    return True


def options_of(capsys: pytest.CaptureFixture[str], *words: str) -> set[str]:
    """The options in the help of a subcommand."""
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    return set(OPTION.findall(capsys.readouterr().out))


@pytest.mark.parametrize("page", USER_PAGES)
def test_options_exist(page: str, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]) -> None:
    places = [(name,) for name in SUBCOMMANDS if name != "run"] + [("report", "fleet")]
    options = {words: options_of(capsys, *words) for words in places}
    for line in code_lines(ROOT / page):
        command = next((words for words in reversed(places) if f"{PROGRAM} {' '.join(words)} " in line), None)
        known = options[command] if command else set().union(*options.values(), FOREIGN)
        unknown = set(OPTION.findall(line)) - known
        if command is None:
            unknown = {each for each in unknown if not is_option_of_pytest(each, pytestconfig)}
        assert not unknown, f"{page} names options that do not exist: {line}"


def test_the_readme_has_the_commands_for_set_up_run_and_tests() -> None:
    starts = [line.split("  ")[0] for line in code_lines(README)]
    assert {"make setup", "make setup-check", "make conformance", "make check"} <= set(starts)


def test_the_readme_is_short() -> None:
    lines = README.read_text("utf-8").splitlines()
    assert len(lines) < README_LINES
    assert [line for line in lines if len(line) > README_COLUMNS and not line.startswith("[![")] == []


def test_the_verdict_in_the_readme_is_that_of_the_sample_report() -> None:
    (block,) = re.findall(r"^    CONFORMANT(?:.*\n    )*.*$", README.read_text("utf-8"), re.MULTILINE)
    title, _, counts = " ".join(block.split()).partition("): ")
    page = (ROOT / "docs/sample-report.html").read_text("utf-8")
    shown = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
    assert f"{title})" in shown and counts in shown, "copy the verdict on debian:stable from docs/sample-report.html"


@pytest.mark.parametrize("page", [README, ROOT / "docs/verdicts.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_tables_of_verdicts_are_complete(page: Path) -> None:
    text = page.read_text("utf-8")
    rows = re.findall(r"^\| ([A-Z-]+) \| (\d) \|", text, re.MULTILINE)
    assert sorted(rows) == sorted((kind.value, str(kind.status)) for kind in VerdictKind)
    assert f"in the order {', '.join(map(str, WORST_FIRST))}." in " ".join(text.split())


def test_the_table_of_chapters_is_complete() -> None:
    text = (ROOT / "docs/trust.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| `suites/(\w+)` \|", text, re.MULTILINE)) == sorted(CHAPTERS)
