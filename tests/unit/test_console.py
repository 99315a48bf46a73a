# SPDX-License-Identifier: GPL-2.0-only
"""Excerpts of a kernel's console: bounded, without control characters, with the cause."""

from __future__ import annotations

from pathlib import Path

from helpers.subjects import console


def test_an_oops_is_shown_from_its_cause_on(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_text("booted\nUnable to handle kernel\n" + "register\n" * 80 + "Kernel panic\n")
    shown = console.excerpt(path, len("booted\n")).split("\n")
    assert shown[0] == "Unable to handle kernel" and shown[-1] == "Kernel panic" and len(shown) == 82
    assert len(console.tail(path).split("\n")) == 40


def test_a_flood_is_shown_by_its_ends(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_text("the cause\n" + "\x1b[31mx\x00\n" * 100_000 + "the end\n")
    shown = console.excerpt(path, 0).split("\n")
    assert shown[0] == "the cause" and shown[-1] == "the end" and "[...]" in shown
    assert len(shown) == 121 and set(shown[1:40]) == {".[31mx."}


def test_one_endless_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_bytes(b"\xff" * (1 << 20))
    assert len(console.excerpt(path, 0)) < 2000


def test_nothing(tmp_path: Path) -> None:
    assert console.excerpt(tmp_path / "none", 0) == console.tail(tmp_path / "none") == ""
