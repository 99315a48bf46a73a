# SPDX-License-Identifier: GPL-2.0-only
"""The proof as a page: which test saw which fault, and the matrix of clauses and faults."""

from __future__ import annotations

from html import escape
from pathlib import Path

from faults.proof import Proof, Row

_STYLE = """
body { font-family: sans-serif; color: #222; margin: 24px; }
h1 { font-size: 22px; } h2 { font-size: 17px; margin-top: 28px; }
.verdict { color: white; padding: 10px 16px; border-radius: 6px; display: inline-block; }
.holds { background: #1a7f37; } .fails { background: #b42318; }
table { border-collapse: collapse; font-size: 13px; }
td, th { border: 1px solid #ddd; padding: 3px 8px; text-align: left; vertical-align: top; }
.unseen td { background: #fde8e6; }
.matrix td, .matrix th { padding: 1px 3px; text-align: center; font-size: 11px; }
.matrix thead th { height: 190px; vertical-align: bottom; }
.matrix thead span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; }
.matrix tbody th { text-align: left; white-space: nowrap; }
.matrix .seen { background: #cdeed5; } .matrix .missed { background: #f6b8b1; }
"""
_WHY = (
    "Each fault breaks one thing in KVM on purpose, in a stock kernel. A check that does not fail then would not have "
    "noticed a kernel that is really broken so. A cell shows how many tests of the clause (row) failed under the fault "
    "(column); between the faults, all of the suite's checks passed."
)


def write_page(proof: Proof, path: Path) -> None:
    """Write the page, which stands for itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "holds" if proof.holds else "fails"
    body = (
        f"<h1>Proof that every check can fail</h1><p class='verdict {kind}'>{escape(proof.line)}</p>"
        f"<p>{escape(_WHY)}</p>"
        f"{_failings(proof)}<h2>Clauses and faults</h2>{_matrix(proof)}<h2>Faults</h2>{_faults(proof.rows)}"
    )
    head = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Proof</title><style>{_STYLE}</style>"
    path.write_text(f"{head}<body>{body}</body></html>\n", encoding="utf-8")


def _failings(proof: Proof) -> str:
    pairs = [("Without a planted fault, not green", name) for name in proof.controls]
    if not proof.partial:
        pairs += [("No fault makes it fail", name) for name in proof.blind]
        pairs += [("No fault proves", name) for name in proof.unproved]
    pairs += [(f"Not provable: {clause}", why) for clause, why in proof.unprovable.items()]
    rows = "".join(f"<li>{escape(what)}: {escape(name)}</li>" for what, name in pairs)
    return f"<ul>{rows}</ul>" if rows else ""


def _matrix(proof: Proof) -> str:
    clauses = list(dict.fromkeys(clause for row in proof.rows for clause in row.fault.clauses))
    head = "".join(f"<th title='{escape(r.fault.breaks)}'><span>{escape(r.name)}</span></th>" for r in proof.rows)
    lines = (f"<tr><th>{escape(clause)}</th>{_cells(clause, proof.rows)}</tr>" for clause in clauses)
    return f"<table class='matrix'><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _cells(clause: str, rows: tuple[Row, ...]) -> str:
    cells = []
    for row in rows:
        tests = row.seen.get(clause)
        kind = "" if tests is None else " class='seen'" if tests else " class='missed'"
        cells.append(f"<td{kind}>{'' if tests is None else len(tests)}</td>")
    return "".join(cells)


def _faults(rows: tuple[Row, ...]) -> str:
    heads = "".join(f"<th>{name}</th>" for name in ("Fault", "What it breaks", "Clauses", "Hooks", "Seen by", "Beside"))
    return f"<table><tr>{heads}</tr>{''.join(map(_fault, rows))}</table>"


def _fault(row: Row) -> str:
    tests = "<br>".join(map(escape, row.tests[:3])) + (f"<br>and {len(row.tests) - 3} more" if row.tests[3:] else "")
    cells = (
        escape(row.name), escape(row.fault.breaks), escape(", ".join(row.fault.clauses)),
        escape(", ".join(row.fault.hooks)), tests or "NO TEST", str(len(row.beside) or ""),
    )  # fmt: skip
    return f"<tr{' class=unseen' if row.unseen else ''}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
