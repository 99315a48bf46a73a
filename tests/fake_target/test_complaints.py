# SPDX-License-Identifier: GPL-2.0-only
"""A session in which the kernel complained is non-conformant, whatever the test's own outcome."""

from __future__ import annotations

import pytest

from tests.support.throwaway import GOOD, RecorderProject

COMPLAINT = (
    "import pytest\nclass KernelComplained(Exception): pass\n"
    "@pytest.fixture\ndef warns():\n    yield\n    raise KernelComplained('WARNING: at arm.c')\n"
)


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=" ".join)
@pytest.mark.parametrize(
    ("body", "broken"),
    [("pass", "QUIET-1"), ("assert False", "LOCK-1, QUIET-1"), ("pytest.skip('not applicable')", "QUIET-1")],
    ids=["passed", "failed", "skipped"],
)
def test_a_complaint_is_non_conformant(project: RecorderProject, body: str, broken: str, mode: tuple[str, ...]) -> None:
    project.file("suites/test_b.py", COMPLAINT + f"def test_w(warns): {body}\n")
    status, line = project.run(*mode, suite=GOOD)
    assert status == 1
    assert line.startswith("NON-CONFORMANT") and line.endswith(f"broken clauses: {broken}")
    assert "WARNING: at arm.c" in (project.reports / "report.html").read_text()
    assert "WARNING: at arm.c" in (project.reports / "junit.xml").read_text()
