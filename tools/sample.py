# SPDX-License-Identifier: GPL-2.0-only
"""``make sample``: writes the sample report in docs/, and its picture for the README, from results logs.

python -m tools.sample [LOG...]        the default is the log of the last run; run make matrix first
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.command.files import save_report
from helpers.errors import HarnessError
from helpers.formats.html.page import document
from helpers.results.columns import columns
from helpers.results.log import read_log
from tools.browser import browser

ROOT = Path(__file__).resolve().parent.parent
LOG, PAGE, PICTURE = (ROOT / name for name in ("reports/results.jsonl", "docs/sample-report.html", "docs/report.png"))
MOST_BYTES = 1_000_000
"""Maximum size of the page: every clone of the repository contains it."""
_SIZE = {"width": 1100, "height": 780}


def main(logs: Sequence[str]) -> int:
    """Writes both files and prints their sizes."""
    try:
        text = document(columns(read_log(Path(name)) for name in logs or [str(LOG)])).encode()
        if len(text) > MOST_BYTES:
            what = f"The page has {len(text)} bytes, more than {MOST_BYTES}"
            raise HarnessError(what, cure="Run make matrix with fewer kernels, as in docs/contributing.md")
        save_report(str(PAGE), text)
        _photograph()
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 3
    for path in (PAGE, PICTURE):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")
    return 0


def _photograph() -> None:
    """Take a screenshot of the verdicts at the top of the page."""
    with browser() as chromium:
        page = chromium.new_page(viewport=_SIZE, color_scheme="light")
        page.goto(PAGE.as_uri())
        page.screenshot(path=str(PICTURE))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
