# SPDX-License-Identifier: GPL-2.0-only
"""Puts all mutants into one source tree. Each one is active only if the kernel's command line has its number.

Rebuilding the kernel for each mutant would take minutes each time. With mutation schemata (Untch, Offutt and Harrold,
1993) one build contains all of them: kvm_hvc_mutant=N selects mutant N. The default 0 selects none.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from helpers.errors import HarnessError
from tools.mutants.mutant import HYPERCALLS, SELECTED, Edit, Mutant, Position

PARAMETER = "kvm_hvc_mutant"
_HEADER = "include/linux/kvm_hvc_mutant.h"
_HEADER_TEXT = """\
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __KVM_HVC_MUTANT_H
#define __KVM_HVC_MUTANT_H
#include <linux/compiler.h>
#include <linux/delay.h>
#include <linux/types.h>
extern int kvm_hvc_mutant;
/* What the selected mutant remembers of all VMs. */
extern u64 kvm_hvc_state[4];
#define kvm_hvc_mutant_is(n) unlikely(READ_ONCE(kvm_hvc_mutant) == (n))
#endif
"""
_DEFINITION = """
#include <linux/moduleparam.h>
int kvm_hvc_mutant;
u64 kvm_hvc_state[4];
core_param(kvm_hvc_mutant, kvm_hvc_mutant, int, 0644);
"""
_KVM_HOST = "arch/arm64/include/asm/kvm_host.h"
_SCAFFOLD = (
    Edit(_KVM_HOST, "", Position.AFTER, "#include <linux/types.h>", "#include <linux/kvm_hvc_mutant.h>"),
    # What the selected mutant remembers of one VM.
    Edit(_KVM_HOST, "", Position.AFTER, "struct kvm_smccc_features smccc_feat;", "u64 mutant[4];"),
)


def put_into(pristine: Path, tree: Path, mutants: Sequence[Mutant]) -> dict[str, str]:
    """Write TREE's files: PRISTINE's with all mutants whose anchor is there. Returns the other mutants, each with why.

    The number of a mutant is its position in MUTANTS, from 1. A file whose text does not change is not written, so
    that make does not rebuild it. Raises HarnessError if the tree is not a kernel with bitmap registers, or if two
    mutants replace the same text.
    """
    texts: dict[str, str] = {}
    changes: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    reasons: dict[str, str] = {}
    for edit in _SCAFFOLD:
        changes[edit.file].append(_change(edit, _text(pristine, edit.file, texts), edit.code))
    for number, mutant in enumerate(mutants, 1):
        own = []
        try:
            for edit in mutant.edits:
                code = re.sub(rf"\b{SELECTED}\b", f"kvm_hvc_mutant_is({number})", edit.code)
                own.append((edit.file, _change(edit, _text(pristine, edit.file, texts), code)))
        except _NoPlace as reason:
            reasons[mutant.id] = str(reason)
            continue
        for file, change in own:
            changes[file].append(change)
    for file, each in changes.items():
        text = _changed(file, texts[file], each)
        _write(tree / file, text + _DEFINITION if file == HYPERCALLS else text)
    _write(tree / _HEADER, _HEADER_TEXT)
    return reasons


class _NoPlace(Exception):
    """An edit's anchor does not occur exactly once in this version of the kernel."""


def _text(pristine: Path, file: str, texts: dict[str, str]) -> str:
    if file not in texts:
        try:
            texts[file] = (pristine / file).read_text("utf-8")
        except OSError:
            raise _NoPlace(f"{file} does not exist") from None
    return texts[file]


def _change(edit: Edit, text: str, code: str) -> tuple[int, int, str]:
    """The start and end of the text that the edit replaces, and the replacement."""
    start, end = function_range(text, edit.function) if edit.function else (0, len(text))
    place = f"{edit.file}:{edit.function}" if edit.function else edit.file
    count = text.count(edit.anchor, start, end)
    if count != 1:
        raise _NoPlace(f"{place} has {count} places with {edit.anchor.splitlines()[0].strip()!r}")
    at = text.index(edit.anchor, start, end)
    if edit.position is Position.INSTEAD:
        return at, at + len(edit.anchor), code
    line = (
        text.rfind("\n", 0, at) + 1 if edit.position is Position.BEFORE else text.index("\n", at + len(edit.anchor)) + 1
    )
    return line, line, f"\t{code}\n"


def function_range(text: str, name: str) -> tuple[int, int]:
    """The start and end of the definition of function NAME. Raises _NoPlace if there is none."""
    for found in re.finditer(rf"^(?![#\s/*]).*\b{name}\(", text, re.MULTILINE):
        body = re.compile(r"[^;{]*\{").match(text, found.start())
        if body is not None:
            return found.start(), text.index("\n}", body.end())
    raise _NoPlace(f"{name} is not defined there")


def _changed(file: str, text: str, changes: list[tuple[int, int, str]]) -> str:
    parts, done = [], 0
    for start, end, code in sorted(changes, key=lambda change: change[:2]):
        if start < done:
            raise HarnessError(f"Two mutants replace the same text of {file}", why=code.strip())
        parts += [text[done:start], code]
        done = end
    return "".join([*parts, text[done:]])


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
