# SPDX-License-Identifier: GPL-2.0-only
"""Writes docs/mutants.md from the logs of the runs, and from the results of the kernel's own selftests (peers)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from helpers.contract.tiers import read_tier
from helpers.errors import HarnessError
from helpers.results.verdict import VerdictKind
from tools.mutants.campaign import UNMUTATED, MutantResult, kept_results
from tools.mutants.catalogue import BY_KIND, MUTANTS
from tools.mutants.kernel import release
from tools.mutants.mutant import Kind, Mutant
from tools.mutants.peers_log import FAULTS_NAME, MUTANTS_NAME, Statuses, noticing, peers_file, read_statuses
from tools.mutants.schemata import put_into

_HEAD = """\
<!-- SPDX-License-Identifier: GPL-2.0-only -->
# Source mutants

Written by `python -m tools.mutants page`; do not edit. The mutants are in `tools/mutants/*.toml`.

A mutant is a change of one line of KVM's source. `make prove` plants faults with probes in a stock kernel, and a probe
cannot plant every bug. A mutant can. All mutants are in one kernel, built from Debian's linux-source, and
`kvm_hvc_mutant=N` on its command line selects one. `make check` does not run any of them.
[contributing.md](contributing.md#add-a-source-mutant) describes how to add one.

    .venv/bin/python -m tools.mutants build       # fetch, patch and build: 10 minutes on two processors, 3 GB
    .venv/bin/python -m tools.mutants run         # the suite on each mutant that has no result: an hour
    .venv/bin/python -m tools.mutants run --quick # only the gate tier
    .venv/bin/python -m tools.mutants run NAME    # one of them again
    .venv/bin/python -m tools.mutants page        # this page

The build needs the compilers that `make setup` installs (`gcc`, `libc6-dev` and `gcc-aarch64-linux-gnu`, and `make`)
and these Debian packages:

    apt-get install --no-install-recommends flex bison bc xz-utils

The gate tier runs first, without its races. All tests run on the mutants that it does not detect, and on the ones that
must be CONFORMANT. A mutant's run ends at its first failed test, so the tables name one or two tests of each.
"""


_PEERS = """\
## The kernel's own selftests

Five selftests of KVM test the registers, the filter, PSCI or stolen time. They come from the same linux-source, and run
on the planted faults and the mutants. A selftest has detected one if it fails with it and passes without it.

    .venv/bin/python -m tools.peers faults
    .venv/bin/python -m tools.peers mutants
"""
_NEEDS = {
    Kind.EVENT: "an unrelated event",
    Kind.TOPOLOGY: "a topology",
    Kind.HISTORY: "a history",
    Kind.NEIGHBOUR: "a neighbour of the registers",
    Kind.LEFT_BEHIND: "something left behind",
    Kind.EQUIVALENT: "equivalent: must be CONFORMANT",
}


def write_mutants_page(folder: Path, page: Path) -> None:
    """Write PAGE from the logs in FOLDER. Raises HarnessError if the kernel's selftests have not run."""
    reasons = put_into(folder / "pristine", folder / "src", MUTANTS)
    kept = kept_results(folder)
    results = {each.id: kept.get(each.id) for each in MUTANTS}
    parts = [_HEAD, _summary(release(folder), results, reasons, kept.get(UNMUTATED))]
    parts.append(_peers(folder, results))
    parts += [_table(kind, mutants, results, reasons) for kind, mutants in BY_KIND.items()]
    page.write_text("\n".join(parts), "utf-8")


def _summary(
    version: str,
    results: Mapping[str, MutantResult | None],
    reasons: Mapping[str, str],
    control: MutantResult | None,
) -> str:
    lines = [f"Linux {version}; without a mutant the kernel is {control.verdict if control else 'not measured'}.\n"]
    titles = (
        "kind",
        "mutants",
        "run",
        "detected",
        "by the gate tier",
        "not detected",
        "only the gate tier run, not detected",
    )
    lines += [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    tier = frozenset(read_tier().tests)
    for kind, mutants in BY_KIND.items():
        run = [results[each.id] for each in mutants if each.id not in reasons]
        done = [each for each in run if each is not None]
        noticed = sum(each.noticed for each in done)
        gate = sum(each.noticed and not tier.isdisjoint(each.tests) for each in done)
        part = sum(each.part and not each.noticed for each in done)
        cells = (_NEEDS[kind], len(mutants), len(done), noticed, gate, len(done) - noticed - part, part)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _peers(folder: Path, results: Mapping[str, MutantResult | None]) -> str:
    """The numbers of faults and mutants that the kernel's selftests and the suite detect."""
    faults, mutants = (_peers_of(folder, name) for name in (FAULTS_NAME, MUTANTS_NAME))
    sets: list[tuple[str, list[str], Statuses, str]] = [("planted faults", [*faults], faults, "all (`make prove`)")]
    for kind, own in BY_KIND.items():
        names = [each.id for each in own if each.id in mutants]
        run = [result for result in map(results.get, names) if result is not None]
        ours = f"{sum(result.noticed for result in run)} of {len(run)} run"
        sets.append((f"mutants: {_NEEDS[kind]}", names, mutants, ours))
    tests = sorted({test for each in (faults, mutants) for test in each.get(UNMUTATED, {})})
    lines = [_PEERS, f"| set | number | {' | '.join(tests)} | any of them | the suite |"]
    lines.append("|---" * (len(tests) + 4) + "|")
    for title, names, statuses, ours in sets:
        seen = [noticing(name, statuses) for name in names if name != UNMUTATED]
        each = [str(sum(test in failed for failed in seen)) for test in tests]
        lines.append(f"| {title} | {len(seen)} | {' | '.join(each)} | {sum(map(bool, seen))} | {ours} |")
    return "\n".join([*lines, ""])


def _peers_of(folder: Path, what: str) -> Statuses:
    path = peers_file(folder, what)
    if statuses := read_statuses(path):
        return statuses
    raise HarnessError(
        f"The kernel's selftests have not run on the {what}",
        why=f"{path} does not exist or is empty",
        cure=f"Run .venv/bin/python -m tools.peers {what}",
    )


def _table(
    kind: Kind, mutants: tuple[Mutant, ...], results: Mapping[str, MutantResult | None], reasons: Mapping[str, str]
) -> str:
    lines = [f"## {kind.name.capitalize().replace('_', ' ')}\n", "| mutant | change | place | contradicts | result |"]
    lines.append("|---|---|---|---|---|")
    for each in mutants:
        place = f"`{each.edits[0].file.rpartition('/')[2]}:{each.edits[0].function}`"
        lines.append(f"| {each.id} | {each.breaks} | {place} | {each.rule} | {_cell(each, results, reasons)} |")
    return "\n".join([*lines, ""])


def _cell(mutant: Mutant, results: Mapping[str, MutantResult | None], reasons: Mapping[str, str]) -> str:
    result = results[mutant.id]
    if mutant.id in reasons:
        return f"does not apply: {reasons[mutant.id]}"
    if result is None:
        return "not run"
    if result.noticed:
        return "<br>".join(f"`{test.removeprefix('suites/')}`" for test in result.tests[:2])
    if result.verdict == VerdictKind.CONFORMANT.value:
        return f"{result.verdict}{' (gate tier)' if result.part else ''}{mutant.missed and f': {mutant.missed}'}"
    return f"{result.verdict}: {'; '.join(result.reasons)[:200]}"
