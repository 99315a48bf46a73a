# SPDX-License-Identifier: GPL-2.0-only
"""The names that Linaro's kselftest job gives to the tests of a KTAP report; KernelCI's LAVA jobs use it too.

The parser is automated/linux/kselftest/parse-output.py in github.com/Linaro/test-definitions. Each test line is a
result, and its description becomes the name: numbers of up to five digits in brackets are removed, every character that
is no letter, digit, hyphen or underscore becomes an underscore, and an underscore at either end is removed. The reason
of a skip is a part of the name. If two names are equal, the second one gets the suffix _dup2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TEST = re.compile(r"\s*(?:not )?ok \d+ (?P<description>[^#]*)(?:#\s*(?:SKIP(?P<reason>.*))?)?")


def job_names(ktap: str) -> Iterator[str]:
    """The name of each test line, before equal names get a suffix."""
    for line in ktap.splitlines():
        match = _TEST.match(line)
        if match:
            yield _name(f"{match['description'].strip()} {match['reason'] or ''}".strip())


def _name(text: str) -> str:
    kept = re.sub(r"\[\d{1,5}\]", "", text)
    words = re.sub("[^A-Za-z0-9_-]+", "_", kept)
    return re.sub("^_|_$", "", words).replace("_-", "__")
