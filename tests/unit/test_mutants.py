# SPDX-License-Identifier: GPL-2.0-only
"""The catalogue of source mutants, and how they are put into a source tree."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from helpers.contract.clauses import CLAUSES
from helpers.errors import HarnessError, UsageError
from helpers.identity import BootVariant, SubjectId
from helpers.results.records import FAILED, PASSED, Case, Result
from helpers.results.verdict import VerdictKind
from tests.support.reports import log_of
from tools.mutants.__main__ import main
from tools.mutants.campaign import UNMUTATED, MutantResult, Part, kept_results, results_in, run_campaign
from tools.mutants.catalogue import BY_KIND, MUTANTS
from tools.mutants.kernel import image
from tools.mutants.mutant import HYPERCALLS, Edit, Kind, Mutant, Position
from tools.mutants.schemata import PARAMETER, put_into

KVM_HOST = "#include <linux/types.h>\nstruct kvm_arch {\n\tstruct kvm_smccc_features smccc_feat;\n};\n"
SOURCE = """\
static int get(int a);

static int get(int a)
{
	return a;
}

static int set(int a)
{
	if (a)
		return -EINVAL;
	return get(a);
}
"""


def before(file: str, function: str, anchor: str, code: str) -> Edit:
    return Edit(file, function, Position.BEFORE, anchor, code)


def after(file: str, function: str, anchor: str, code: str) -> Edit:
    return Edit(file, function, Position.AFTER, anchor, code)


def instead(file: str, function: str, anchor: str, code: str) -> Edit:
    return Edit(file, function, Position.INSTEAD, anchor, code)


def mutant(name: str, *edits: Edit) -> Mutant:
    return Mutant(name, Kind.EVENT, "", "", edits)


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """A pristine tree and one to write, with a file of each that the scaffold changes."""
    for name in ("pristine", "src"):
        for file, text in ((HYPERCALLS, SOURCE), ("arch/arm64/include/asm/kvm_host.h", KVM_HOST)):
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(text)
        (tmp_path / name / "include/linux").mkdir(parents=True)
    return tmp_path / "pristine", tmp_path / "src"


def put(trees: tuple[Path, Path], *mutants: Mutant) -> tuple[str, dict[str, str]]:
    pristine, tree = trees
    reasons = put_into(pristine, tree, mutants)
    return (tree / HYPERCALLS).read_text(), reasons


def test_each_mutant_tests_its_own_number(trees: tuple[Path, Path]) -> None:
    text, reasons = put(
        trees,
        mutant("one", before(HYPERCALLS, "set", "if (a)", "if (MUTANT) a = 1;")),
        mutant("two", after(HYPERCALLS, "set", "return -EINVAL;", "if (MUTANT) a = 2;")),
        mutant("three", instead(HYPERCALLS, "get", "return a;", "return MUTANT ? 3 : a;")),
    )
    assert reasons == {}
    assert "\treturn kvm_hvc_mutant_is(3) ? 3 : a;\n" in text
    assert (
        "\tif (kvm_hvc_mutant_is(1)) a = 1;\n\tif (a)\n\t\treturn -EINVAL;\n\tif (kvm_hvc_mutant_is(2)) a = 2;\n"
        in text
    )
    assert "core_param(kvm_hvc_mutant," in text


def test_mutants_share_an_anchor(trees: tuple[Path, Path]) -> None:
    edits = [before(HYPERCALLS, "set", "if (a)", f"if (MUTANT) a = {n};") for n in (1, 2)]
    text, reasons = put(trees, *(mutant(f"m{n}", edit) for n, edit in enumerate(edits)))
    assert reasons == {}
    assert "(kvm_hvc_mutant_is(1)) a = 1;\n\tif (kvm_hvc_mutant_is(2)) a = 2;\n\tif (a)" in text


def test_a_mutant_without_its_place_changes_nothing(trees: tuple[Path, Path]) -> None:
    whole, _ = put(trees)
    text, reasons = put(
        trees,
        mutant("no-line", before(HYPERCALLS, "set", "if (a)", "x;"), before(HYPERCALLS, "set", "b = a;", "x;")),
        mutant("two-lines", before(HYPERCALLS, "set", "return", "x;")),
        mutant("no-function", before(HYPERCALLS, "put", "return", "x;")),
        mutant("no-file", before("arch/arm64/kvm/none.c", "set", "return", "x;")),
    )
    assert text == whole
    assert reasons == {
        "no-line": f"{HYPERCALLS}:set has 0 places with 'b = a;'",
        "two-lines": f"{HYPERCALLS}:set has 2 places with 'return'",
        "no-function": "put is not defined there",
        "no-file": "arch/arm64/kvm/none.c does not exist",
    }


def test_two_mutants_cannot_replace_the_same_text(trees: tuple[Path, Path]) -> None:
    with pytest.raises(HarnessError, match="replace the same text"):
        put(trees, *(mutant(name, instead(HYPERCALLS, "get", "return a;", "x;")) for name in ("one", "two")))


def test_a_second_time_writes_nothing_new(trees: tuple[Path, Path]) -> None:
    row = mutant("one", before(HYPERCALLS, "set", "if (a)", "if (MUTANT) a = 1;"))
    put(trees, row)
    before_time = (trees[1] / HYPERCALLS).stat().st_mtime_ns
    put(trees, row)
    assert (trees[1] / HYPERCALLS).stat().st_mtime_ns == before_time


def test_ids_are_unique_and_rules_exist() -> None:
    assert len({each.id for each in MUTANTS}) == len(MUTANTS)
    assert len(MUTANTS) - len(BY_KIND[Kind.EQUIVALENT]) >= 70
    assert len(BY_KIND[Kind.EQUIVALENT]) >= 10
    for kind, mutants in BY_KIND.items():
        for each in mutants:
            assert bool(each.rule) == (kind is not Kind.EQUIVALENT), each.id
            if re.fullmatch(r"[A-Z]+-\d+", each.rule):
                assert each.rule in CLAUSES, each.id


def test_every_mutant_is_off_without_its_number() -> None:
    for each in MUTANTS:
        assert all(re.search(r"\bMUTANT\b", edit.code) for edit in each.edits), each.id


def test_the_command_takes_ids_after_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--work", str(tmp_path), "none", "third-vcpu-open"]) == 3
    assert "Run python -m tools.mutants build" in capsys.readouterr().err


def test_a_kernel_with_other_numbers_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mutants").write_text("".join(f"{each.id}\n" for each in MUTANTS))
    assert image(tmp_path, MUTANTS).name == "Image"
    with pytest.raises(HarnessError, match="no kernel with these mutants"):
        image(tmp_path, MUTANTS[::-1])


def test_missing_build_tools_are_named_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name in ("bison", "xz") else f"/usr/bin/{name}")
    assert main(["build", "--work", str(tmp_path / "work")]) == 3
    assert capsys.readouterr().err == (
        "The kernel cannot be built: bison, xz are missing."
        " As root, run apt-get install --no-install-recommends bison xz-utils.\n"
    )
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(("status", "reason"), [(None, ""), (2, "the run was interrupted")])
def test_results_are_kept_of_noticed_and_of_complete_runs(status: int | None, reason: str) -> None:
    names = ["third-vcpu-open", "same-no-store", "irq-line-denies"]
    numbers = [[each.id for each in MUTANTS].index(name) + 1 for name in names]
    subjects = [SubjectId("Image", variant=BootVariant(arguments=f"{PARAMETER}={number}")) for number in numbers]
    tests = [[f"suites/lock/test_lock.py::test_{word}[{each.label}]" for word in "ab"] for each in subjects]
    noticed, complete, cut = subjects
    log = log_of(
        Result(tests[0][0], noticed, FAILED, ("LOCK-1",)),
        Result(tests[1][0], complete, PASSED),
        Result(tests[1][1], complete, PASSED),
        Result(tests[2][0], cut, PASSED),
        subjects=tuple(subjects),
    )
    every = tuple(Case(test, subject) for subject, own in zip(subjects, tests, strict=True) for test in own)
    log = replace(log, collected=every, status=status, reason=reason, truncated=status is None)
    results = results_in(log, names)
    assert {name: (each.verdict, each.noticed, each.clauses) for name, each in results.items()} == {
        "third-vcpu-open": ("NON-CONFORMANT", True, ("LOCK-1",)),
        "same-no-store": ("CONFORMANT", False, ()),
    }


def test_ctrl_c_keeps_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = [each.id for each in MUTANTS].index("third-vcpu-open") + 1
    subject = SubjectId("Image", variant=BootVariant(arguments=f"{PARAMETER}={number}"))
    test = f"suites/lock/test_lock.py::test_a[{subject.label}]"
    log = log_of(Result(test, subject, FAILED, ("LOCK-1",)), subjects=(subject,))

    def interrupted(command: Sequence[str], **_: object) -> None:
        (tmp_path / "runs/results.jsonl").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("subprocess.run", interrupted)
    monkeypatch.setattr("tools.mutants.campaign.image", lambda *_: tmp_path / "Image")
    monkeypatch.setattr("tools.mutants.campaign.read_log", lambda _: log)
    with pytest.raises(KeyboardInterrupt):
        run_campaign(tmp_path, ["third-vcpu-open"], Part.GATE, jobs="2", whole=False, seconds=None)
    assert kept_results(tmp_path)["third-vcpu-open"].noticed


def test_a_second_campaign_leaves_the_log_of_the_first_one(tmp_path: Path) -> None:
    log = tmp_path / "runs/results.jsonl"
    log.parent.mkdir()
    log.write_text("of the first one")
    lock = os.open(log.parent, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="A session writes its reports"):
        run_campaign(tmp_path, ["third-vcpu-open"], Part.GATE, jobs="2", whole=False, seconds=None)
    os.close(lock)
    assert log.read_text() == "of the first one"


@pytest.mark.parametrize(
    ("verdict", "part", "wanted"),
    [
        (VerdictKind.NON_CONFORMANT, True, False),
        (VerdictKind.CONFORMANT, True, True),
        (VerdictKind.CONFORMANT, False, False),
        (VerdictKind.INCONCLUSIVE, False, True),
    ],
)
def test_what_a_run_leaves_open_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: VerdictKind, part: bool, wanted: bool
) -> None:
    results = {each.id: MutantResult(VerdictKind.NON_CONFORMANT.value, (), (), ()) for each in MUTANTS}
    results |= {UNMUTATED: MutantResult(verdict.value, (), (), (), part)}
    (tmp_path / "results.json").write_bytes(msgspec.json.encode(results))
    sessions = sessions_of(monkeypatch)
    assert main(["run", "--work", str(tmp_path)]) == 0
    assert sessions == ([(Part.ALL, UNMUTATED)] if wanted else [])


def sessions_of(monkeypatch: pytest.MonkeyPatch, *noticed: str) -> list[tuple[Part, str]]:
    """The mutants of each session of the command, which is not run. It detects the mutants NOTICED."""
    sessions: list[tuple[Part, str]] = []

    def run(_folder: Path, names: list[str], part: Part, **_: object) -> dict[str, MutantResult]:
        sessions.extend((part, name) for name in names)
        kinds = {name: VerdictKind.NON_CONFORMANT if name in noticed else VerdictKind.CONFORMANT for name in names}
        return {name: MutantResult(kind.value, (), (), ()) for name, kind in kinds.items()}

    monkeypatch.setattr("tools.mutants.__main__.run_campaign", run)
    return sessions


def test_all_tests_run_on_what_the_gate_tier_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = sessions_of(monkeypatch, "third-vcpu-open")
    names = ["third-vcpu-open", "irq-line-denies"]
    assert main(["run", "--work", str(tmp_path), *names]) == 0
    assert sessions == [*((Part.GATE_WITHOUT_RACES, name) for name in names), (Part.ALL, "irq-line-denies")]


def test_the_gate_tier_runs_on_every_mutant_before_all_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = sessions_of(monkeypatch)
    names = ["third-vcpu-open", "irq-line-denies", UNMUTATED]
    assert main(["run", "--work", str(tmp_path), "--most", "1", *names]) == 0
    gate = [(Part.GATE_WITHOUT_RACES, name) for name in names[:2]]
    assert sessions == [*gate, *((Part.ALL, name) for name in names)]


def test_a_mutant_that_must_pass_runs_all_tests_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = sessions_of(monkeypatch)
    assert main(["run", "--work", str(tmp_path), "--kind", "equivalent", "--most", "50"]) == 0
    equivalent = [each.id for each in BY_KIND[Kind.EQUIVALENT]]
    assert sessions == [(Part.ALL, name) for name in [UNMUTATED, *equivalent]]


def test_quick_runs_the_whole_gate_tier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = sessions_of(monkeypatch)
    assert main(["run", "--work", str(tmp_path), "--quick", "irq-line-denies"]) == 0
    assert sessions == [(Part.GATE, "irq-line-denies")]
