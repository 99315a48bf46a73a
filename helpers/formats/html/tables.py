# SPDX-License-Identifier: GPL-2.0-only
"""Tables of the pages: with a caption, in a frame that scrolls by itself, so that the page never does sideways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from helpers.formats.html.text import html_text


def table(caption: str, content: str, style: str = "") -> str:
    """``content`` is HTML, ``caption`` is text. The border is for where a policy forbids style sheets (Jenkins)."""
    # A frame that scrolls must be reached with the keyboard.
    label = html_text(caption)
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{label}">'
        f'<table class="{style or "plain"}" border="1"><caption>{label}</caption>{content}</table></div>'
    )


def facts(caption: str, subjects: Iterable[tuple[str, Mapping[str, str]]], corner: str = "") -> str:
    """Named facts of several subjects side by side."""
    known = list(subjects)
    names = list(dict.fromkeys(name for _, values in known for name, text in values.items() if text))
    heads = "".join(f'<th scope="col">{html_text(subject)}</th>' for subject, _ in known)
    rows = "".join(
        f'<tr><th scope="row">{html_text(name)}</th>'
        f"{''.join(f'<td>{html_text(values.get(name, str()))}</td>' for _, values in known)}</tr>"
        for name in names
    )
    head = f'<thead><tr><th scope="col">{html_text(corner)}</th>{heads}</tr></thead>' if len(known) > 1 else ""
    return table(caption, f"{head}<tbody>{rows}</tbody>", "environment")
