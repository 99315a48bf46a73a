# SPDX-License-Identifier: GPL-2.0-only
"""Finds the calls of the suite and of make in shell scripts, and checks them against the parsers and the Makefile."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

from helpers.command.kvm_hvc_arguments import joined
from helpers.command.main import SUBCOMMANDS
from tests.support import ROOT

USER_PAGES = ("README.md", *(f"docs/{name}.md" for name in ("kernels", "hosts", "verdicts", "reports", "trust")))
"""The pages for people who run the suite."""
KERNEL_TARGETS = {"defconfig", "olddefconfig", "Image"}
"""Targets of the kernel's Makefile."""
_TOOL = re.compile(r"(?:[\w./]*/)?(kvm-hvc-conformance|pytest|make)")
_SEPARATORS = {"||", "&&", ";", "|"}


def calls_in(script: str) -> Iterator[tuple[str, list[str]]]:
    """The calls in a script: kvm-hvc-conformance, pytest or make, and the arguments."""
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line.replace("$(nproc)", "2"), comments=True)
        for number, word in enumerate(words):
            # apt-get install make
            if (tool := _TOOL.fullmatch(word)) and "install" not in words[:number]:
                rest = words[number + 1 :]
                end = next((n for n, each in enumerate(rest) if each in _SEPARATORS), len(rest))
                yield tool[1], rest[:end]


@cache
def options(subcommand: str) -> frozenset[str]:
    """The options in the help of a subcommand."""
    command = [sys.executable, "-m", "helpers.command", subcommand, "--help"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    return frozenset(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text))


def unknown_words(tool: str, arguments: list[str]) -> list[str]:
    """Options, subcommands and targets that do not exist."""
    if tool == "make":
        targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
        words = [each for each in arguments if not each.startswith("-") and "=" not in each]
        words = words[1:] if arguments[:1] == ["-C"] else words
        return [each for each in words if each not in targets | KERNEL_TARGETS]
    subcommand, arguments = ("run", arguments) if tool == "pytest" else (arguments[0], arguments[1:])
    if subcommand not in SUBCOMMANDS:
        return [subcommand]
    named = [each.partition("=")[0] for each in joined(arguments) if each.startswith("-") and each != "-"]
    return [each for each in named if each not in options(subcommand)]
