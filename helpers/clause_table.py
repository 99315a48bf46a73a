# SPDX-License-Identifier: GPL-2.0-only
"""Writes docs/clauses.md, the table from each clause to its tests: ``python -m helpers.clause_table``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from helpers.contract.clauses import CHAPTERS, CLAUSES
from helpers.contract.differences import DIFFERENCES, standing_of
from helpers.errors import HarnessError
from helpers.results.sources import cited

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "clauses.md"
_HEAD = """<!-- SPDX-License-Identifier: GPL-2.0-only -->
# Clauses and their tests

Written by `python -m helpers.clause_table`; do not edit. The sentences are in `helpers/contract/clauses/`, the
differences in `helpers/contract/differences.py`. A test of the harness fails if this page is out of date.

The bitmap registers are KVM_REG_ARM_STD_BMAP, STD_HYP_BMAP, VENDOR_HYP_BMAP and VENDOR_HYP_BMAP_2. They are locked once
a vCPU of the VM has run: a write that changes one then fails with EBUSY. A bit gates the hypercalls of its service: if
it is clear, the guest gets NOT_SUPPORTED. A hypercall is an HVC or an SMC instruction. Names such as EINVAL are the
errno of the ioctl, and x0 to x17 are the guest's registers after the hypercall.

A clause is "documented" if a document has it, and "observed ABI" if only the kernel's code has it and user space relies
on it. [The last table](#where-documents-and-code-differ) has the differences of documents and code. The clauses
describe mainline's interface. The tests also cover
[the interface of the RFC](kernels.md#the-dialect-of-the-rfc) of January 2022. A chapter is a folder of `suites/`.
"""


class _Collected:
    """A pytest plugin that keeps which test functions name which clause."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, None]] = {}

    def pytest_collection_modifyitems(self, items: list[object]) -> None:
        """Includes the marks of the parametrisation."""
        for item in items:
            name = item.nodeid.partition("[")[0].removeprefix("suites/")  # type: ignore[attr-defined]
            for mark in item.iter_markers("clause"):  # type: ignore[attr-defined]
                for clause in mark.args:
                    self.tests.setdefault(str(clause), {})[name] = None


def collected() -> dict[str, list[str]]:
    """Each clause's test functions, by collecting the suites. Raises HarnessError."""
    import pytest

    plugin = _Collected()
    arguments = ["--collect-only", "-q", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", str(ROOT / "suites")]
    with redirect_stdout(StringIO()):
        status = pytest.main(arguments, plugins=[plugin])
    if status != pytest.ExitCode.OK:
        raise HarnessError("The suites cannot be collected", cure="Run pytest --collect-only to see why")
    return {clause: sorted(names) for clause, names in plugin.tests.items()}


def table(tests: dict[str, list[str]]) -> str:
    """The page. Raises HarnessError for a clause without a test."""
    empty = [clause for clause in CLAUSES if not tests.get(clause)]
    if empty:
        raise HarnessError(f"No test names {', '.join(empty)}", cure="Write one, or take the clause out")
    functions = {name for names in tests.values() for name in names}
    counts = f"\n{len(CLAUSES)} clauses in {len(CHAPTERS)} chapters, {len(functions)} test functions.\n"
    return _HEAD + counts + "".join(_chapter(name, tests) for name in CHAPTERS) + "".join(_differences())


def _chapter(name: str, tests: dict[str, list[str]]) -> str:
    lines = [f"\n## {name}\n\n| clause | sentence | standing | source | tests |\n|---|---|---|---|---|\n"]
    for clause in CHAPTERS[name]:
        names = "<br>".join(f"`{each}`" for each in tests[clause.id])
        source = "".join(f"[{text}]({url})" if url else text for text, url in cited(clause.source))
        row = (clause.id, clause.text, standing_of(clause), source, names)
        lines.append(f"| {' | '.join(each.replace('|', chr(92) + '|') for each in row)} |\n")
    return "".join(lines)


def _differences() -> Iterator[str]:
    yield "\n## Where documents and code differ\n\n| difference | clauses | documents | code | the tests follow |\n"
    yield "|---|---|---|---|---|\n"
    for each in DIFFERENCES:
        clauses = ", ".join(each.clauses) or "none"
        yield f"| {each.id} | {clauses} | {each.documents} | {each.code} | {each.followed} |\n"


def current() -> str:
    """The current page, collected in a separate process. Raises HarnessError."""
    command = [sys.executable, "-m", "helpers.clause_table", "-"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HarnessError("The table of clauses cannot be generated", why=done.stderr.strip()[-500:])
    return done.stdout


def main(arguments: list[str]) -> int:
    """Writes the page, or with "-" prints it; the exit status."""
    try:
        text = table(collected())
        if arguments == ["-"]:
            print(text, end="")
        else:
            TARGET.write_text(text, "utf-8")
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
