# SPDX-License-Identifier: GPL-2.0-only
"""Writes the proof as an HTML page: the tests that detect each fault, and the matrix of clauses and faults."""

from __future__ import annotations

from pathlib import Path

from faults.proof import Proof
from helpers.formats.html.render import render

_TITLE = "Proof that every test can fail"


def write_page(proof: Proof, path: Path) -> None:
    """Write the page as one self-contained file."""
    clauses = dict.fromkeys(clause for row in proof.rows for clause in row.fault.clauses)
    matrix = tuple((clause, tuple(row.seen.get(clause) for row in proof.rows)) for clause in clauses)
    text = render("proof.html.jinja2", title=_TITLE, proof=proof, matrix=matrix, gaps=_gaps(proof))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _gaps(proof: Proof) -> tuple[tuple[str, str], ...]:
    """What is not proved or not measured, and why."""
    pairs = [("Failed without a planted fault", name) for name in proof.controls]
    pairs += [(f"False alarm of {trial.variant.id}", each) for trial in proof.trials for each in trial.alarms]
    pairs += [("Met by no call", trial.variant.id) for trial in proof.trials if not trial.met]
    pairs += [("Not measured without a planted fault", name) for name in proof.unmeasured]
    pairs += [(f"Not measured under {row.name}", name) for row in proof.rows for name in row.unmeasured]
    pairs += [(f"Not measured under {trial.variant.id}", each) for trial in proof.trials for each in trial.unmeasured]
    if not proof.partial:
        pairs += [("Fails under no fault", name) for name in proof.blind]
        pairs += [("No fault proves this clause", name) for name in proof.unproved]
    return (*pairs, *((f"Not provable: {clause}", reason) for clause, reason in proof.unprovable.items()))
