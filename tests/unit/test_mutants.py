# SPDX-License-Identifier: GPL-2.0-only
"""The catalogue of source mutants, and how they are put into a source tree."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.contract.clauses import CLAUSES
from helpers.errors import HarnessError
from helpers.identity import BootVariant, SubjectId
from helpers.results.records import FAILED, PASSED, Case, Result
from tests.support.reports import log_of
from tools.mutants.__main__ import main
from tools.mutants.campaign import results_in
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


def test_results_are_kept_of_noticed_and_of_complete_runs() -> None:
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
    results = results_in(replace(log, collected=every), names)
    assert {name: (each.verdict, each.noticed, each.clauses) for name, each in results.items()} == {
        "third-vcpu-open": ("NON-CONFORMANT", True, ("LOCK-1",)),
        "same-no-store": ("CONFORMANT", False, ()),
    }
