# SPDX-License-Identifier: GPL-2.0-only
"""The Jinja environment of all HTML pages. The markup is in the templates; Python modules pass frozen data to them."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from helpers.formats.html.signs import SIGNS, VERDICT_SIGNS, WORDS
from helpers.results.sources import cited
from helpers.results.verdict import one_line

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **data: object) -> str:
    """Render a file of ``templates``. All strings in ``data`` are escaped."""
    return _ENVIRONMENT.get_template(template).render(data)


def anchor(text: str) -> str:
    """``text`` as the id of an element: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def clause_place(clause: str) -> str:
    """The id of the element with a clause's tests, the same in every report: links to it stay valid."""
    return anchor(f"clause {clause}")


def _printable(value: object) -> object:
    """Escape control characters and lone surrogates. Markup is the output of a template, which has escaped them."""
    if not isinstance(value, str) or value.isprintable() or hasattr(value, "__html__"):
        return value
    lines = value.replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\t\n" else c.encode("unicode_escape").decode() for c in lines)


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_printable,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.globals.update(clause_place=clause_place, signs=SIGNS, words=WORDS, verdict_signs=VERDICT_SIGNS)
_ENVIRONMENT.filters.update(anchor=anchor, cited=cited, one_line=one_line)
