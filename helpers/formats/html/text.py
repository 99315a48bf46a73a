# SPDX-License-Identifier: GPL-2.0-only
"""Untrusted text for reports."""

from __future__ import annotations

import re
from html import escape


def html_text(text: str) -> str:
    """As HTML on one line of the source: line breaks as <br>, control and half characters spelled out."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return "<br>".join(escape("".join(map(_visible, line))) for line in lines)


def _visible(character: str) -> str:
    keep = character.isprintable() or character == "\t"
    return character if keep else character.encode("unicode_escape").decode()


def anchor(text: str) -> str:
    """As the id of an element: letters, digits and hyphens, and no two texts of this project the same."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
