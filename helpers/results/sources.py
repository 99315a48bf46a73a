# SPDX-License-Identifier: GPL-2.0-only
"""Links from the source of a clause to the kernel's functions, commits and documents, and to Arm's."""

from __future__ import annotations

import re
from collections.abc import Iterator

FUNCTION = "https://elixir.bootlin.com/linux/latest/A/ident/{}"
"""Elixir shows the definition and the uses of an identifier, for each version of Linux."""
DOCUMENT = "https://docs.kernel.org/{}.html"
COMMIT = "https://git.kernel.org/linus/{}"
ARM = "https://developer.arm.com/documentation/{}/latest"
_CITED = re.compile(
    r"[\w-]+\.[ch]:(\w+(?:, \w+)*)|Documentation/([\w/-]+)\.rst|\b([0-9a-f]{12})\b|(DEN\d{4})", re.ASCII
)


def cited(source: str) -> Iterator[tuple[str, str]]:
    """The parts of ``source``, each with its URL, or "" if it has none."""
    end = 0
    for place, url in _links(source):
        yield source[end : place.start], ""
        yield source[place], url
        end = place.stop
    yield source[end:], ""


def functions(source: str) -> tuple[str, ...]:
    """The kernel functions that ``source`` names, as in "hypercalls.c:kvm_arm_get_fw_reg, kvm_arm_set_fw_reg"."""
    return tuple(name for each in _CITED.finditer(source) if each[1] for name in each[1].split(", "))


def _links(source: str) -> Iterator[tuple[slice, str]]:
    for each in _CITED.finditer(source):
        names, document, commit, _ = each.groups()
        if names:
            for name in re.finditer(r"\w+", names):
                yield slice(each.start(1) + name.start(), each.start(1) + name.end()), FUNCTION.format(name[0])
        elif document:
            yield slice(*each.span()), DOCUMENT.format(document)
        elif commit:
            yield slice(*each.span()), COMMIT.format(commit)
        else:
            yield slice(*each.span()), ARM.format(each[0].lower())
