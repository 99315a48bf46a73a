# SPDX-License-Identifier: GPL-2.0-only
"""What changed between two kernels: each kind of change counts as it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.command.main import main
from helpers.errors import UsageError
from helpers.formats.diff_text import page, text
from helpers.identity import BootVariant, SubjectId
from helpers.results.columns import columns
from helpers.results.diff import CANNOT_TELL, CHANGED, SAME, LogComparison, Weight, compare_logs, paired
from helpers.results.records import (
    SMC_NOT_SERVED,
    Case,
    FirmwareInfo,
    KnownDeviation,
    Log,
    RegisterInfo,
    Result,
    ServiceInfo,
    SubjectInfo,
)
from tests.support import ERROR, FAILED, KNOWN, NOT_APPLICABLE, NOT_MEASURED, PASSED
from tests.support.pages import Page
from tests.support.reports import log_of, set_input, write_log

ONE, TWO = "suites/a/test_a.py::test_one", "suites/a/test_a.py::test_two[STD]"
STD = RegisterInfo("STD", 0x6030000000160000, ((0, "TRNG_V1_0"),), 1, 1)
OPEN = "0x10000, 0, 0, 0"
GIVEN = (OPEN, ((0, "NOT_SUPPORTED"), (1, OPEN)))
TRNG = ServiceInfo("TRNG_VERSION", "STD", "TRNG_V1_0", *GIVEN, *GIVEN)
PSCI = ServiceInfo("PSCI_VERSION", "", "", "0x10001, 0, 0, 0", (), "0x10001, 0, 0, 0")
VERSION = FirmwareInfo("PSCI_VERSION", 0x6030000000140000, 0x10001, (2, 0x10000, 0x10001))
DEVIATION = KnownDeviation("early", "LOCK-1", "r", "https://e")
INFO = SubjectInfo(SubjectId("good"), "mainline", {"kernel": "Linux 6.12", "home": "QEMU"}, (), (STD,), (TRNG, PSCI))
OTHER_DEFAULT, MORE_BITS = replace(STD, default=0), replace(STD, supported=3)
SHUT = replace(TRNG, answers=((0, "NOT_SUPPORTED"), (1, "NOT_SUPPORTED")))
ONLY_HVC = tuple(replace(each, smc_default=SMC_NOT_SERVED, smc_answers=()) for each in (TRNG, PSCI))
HOSTILE = "<script>x</script>\x1b[2J\nSAME: nothing"


def a_log(
    name: str = "good", info: SubjectInfo = INFO, *, outcomes: dict[str, str] | None = None, **more: object
) -> Log:
    outcomes = {ONE: PASSED, TWO: PASSED} if outcomes is None else outcomes
    subject = SubjectId(name)
    results = (Result(nodeid, subject, outcome, ("LOCK-1",), message="m") for nodeid, outcome in outcomes.items())
    infos = (replace(info, subject=subject),)
    return log_of(*results, subjects=(subject,), infos=infos, **more)  # type: ignore[arg-type]


def compared(after: Log, before: Log | None = None) -> LogComparison:
    ((one, other),) = paired(columns([before or a_log()]), columns([after]))
    return compare_logs(one, other)


def with_info(**changes: object) -> Log:
    return a_log("new", replace(INFO, **changes))  # type: ignore[arg-type]


def with_outcomes(one: str, two: str = PASSED) -> Log:
    return a_log("new", outcomes={ONE: one, TWO: two})


def test_the_same() -> None:
    comparison = compared(with_info(environment={"kernel": "Linux 7.2", "home": "QEMU", "boot": "3 s"}))
    assert (comparison.status, comparison.changes) == (SAME, ()) and comparison.summary.startswith("SAME")


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (with_info(dialect="rfc-v3"), "dialect"),
        (with_info(registers=()), None),
        (with_info(dialect="none", registers=()), "dialect"),
        (with_info(registers=(OTHER_DEFAULT,)), "register STD"),
        (with_info(registers=(MORE_BITS,)), "register STD"),
        (with_info(registers=(STD, replace(STD, name="NEW"))), "register NEW"),
        (with_info(services=(replace(TRNG, default="0x10001, 0, 0, 0"), PSCI)), "TRNG_VERSION in a new VM"),
        (with_info(services=(SHUT, PSCI)), "TRNG_VERSION with STD=0x1"),
        (with_info(services=(replace(TRNG, bit="X"), PSCI)), "TRNG_VERSION is gated by"),
        (with_info(services=(TRNG, replace(PSCI, default="0x10003, 0, 0, 0"))), "PSCI_VERSION in a new VM"),
        (with_info(services=ONLY_HVC), "SMC calls"),
        (with_info(services=(TRNG, replace(PSCI, smc_default="0x2, 0, 0, 0"))), "PSCI_VERSION in a new VM by SMC"),
        (with_info(services=(replace(TRNG, smc_answers=SHUT.answers), PSCI)), "TRNG_VERSION with STD=0x1 by SMC"),
    ],
)
def test_what_guests_see_counts(after: Log, what: str | None) -> None:
    for comparison in (compared(after), compared(a_log(), after)):
        visible = [change.what for change in comparison.changes if change.weight is Weight.VISIBLE]
        assert comparison.status == (CHANGED if what else CANNOT_TELL)
        assert visible[:1] == ([what] if what else [])


@pytest.mark.parametrize(
    ("now", "shown"),
    [
        (replace(VERSION, accepted=(2, 0x10000)), "0x6030000000140000: accepts 0x2, 0x10000, in a new VM 0x10001"),
        (replace(VERSION, default=2), "0x6030000000140000: accepts 0x2, 0x10000, 0x10001, in a new VM 0x2"),
        (replace(VERSION, default=None, accepted=()), "0x6030000000140000: accepts no value, in a new VM unreadable"),
        (replace(VERSION, name="WORKAROUND_1"), "no such register"),
    ],
)
def test_the_accepted_versions_of_psci_count(now: FirmwareInfo, shown: str) -> None:
    """A VM with a version that the destination refuses cannot migrate to it."""
    comparison = compared(with_info(firmware=(now,)), a_log(info=replace(INFO, firmware=(VERSION,))))
    change = comparison.parts["What guests and VMMs see"][0]
    assert (change.what, change.after, change.weight) == ("register PSCI_VERSION", shown, Weight.VISIBLE)
    assert comparison.status == CHANGED


def test_a_log_without_the_accepted_versions() -> None:
    comparison = compared(a_log(), a_log(info=replace(INFO, firmware=(VERSION,))))
    assert (comparison.status, comparison.changes) == (CANNOT_TELL, ())
    assert "after, good: its log does not have the values that PSCI_VERSION accepts" in comparison.summary


def test_smc_calls_that_are_not_served_are_one_change() -> None:
    (change,) = compared(with_info(services=ONLY_HVC)).changes
    assert (change.what, change.before, change.after) == ("SMC calls", "served", "not served")


def test_a_change_of_both_conduits_is_one_change() -> None:
    both = replace(TRNG, answers=SHUT.answers, smc_answers=SHUT.answers)
    (change,) = compared(with_info(services=(both, PSCI))).changes
    assert change.what == "TRNG_VERSION with STD=0x1"


def test_what_a_vmm_is_told_counts() -> None:
    here, there = ({**INFO.environment, "stolen time": word} for word in ("supported", "not supported"))
    comparison = compared(with_info(environment=there), a_log(info=replace(INFO, environment=here)))
    assert comparison.status == CHANGED


@pytest.mark.parametrize(
    ("status", "was", "now"),
    [
        *((CHANGED, PASSED, FAILED), (CHANGED, PASSED, NOT_APPLICABLE), (CHANGED, PASSED, KNOWN)),
        *((CHANGED, NOT_APPLICABLE, FAILED), (CHANGED, KNOWN, FAILED), (SAME, FAILED, FAILED), (SAME, FAILED, PASSED)),
        *((SAME, NOT_APPLICABLE, PASSED), (SAME, FAILED, NOT_APPLICABLE), (CANNOT_TELL, PASSED, ERROR)),
        *((CANNOT_TELL, ERROR, FAILED), (CANNOT_TELL, ERROR, PASSED)),
        *((CANNOT_TELL, PASSED, NOT_MEASURED), (CANNOT_TELL, KNOWN, NOT_MEASURED), (SAME, FAILED, NOT_MEASURED)),
        *((CANNOT_TELL, NOT_MEASURED, FAILED), (SAME, NOT_MEASURED, PASSED), (SAME, NOT_MEASURED, NOT_MEASURED)),
    ],
)
def test_what_is_worse(was: str, now: str, status: int) -> None:
    known = replace(INFO, known=(DEVIATION,)) if KNOWN in (was, now) else INFO
    logs = [a_log(name, known, outcomes={ONE: each, TWO: PASSED}) for name, each in (("good", was), ("new", now))]
    comparison = compared(logs[1], logs[0])
    assert comparison.status == status
    assert bool(comparison.parts.get("Tests")) is (was != now)
    assert ("Clauses" in comparison.parts) is (was != now)


def test_a_test_that_is_no_longer_measured_is_shown_and_named() -> None:
    comparison = compared(with_outcomes(NOT_MEASURED))
    assert f"{ONE}: passed -> not measured\n" in text(comparison)
    assert comparison.summary == f"CANNOT TELL: {ONE}, passed before, is now not measured"
    assert compared(with_outcomes(NOT_MEASURED, FAILED)).status == CHANGED


def test_a_deviation_recognised_anew_is_worse() -> None:
    known = with_info(known=(DEVIATION,))
    comparison = compared(known)
    assert comparison.parts["Known deviations"][0].weight is Weight.WORSE
    assert compared(a_log(), known).parts["Known deviations"][0].weight is Weight.OTHER


DOUBTFUL = {
    "truncated": a_log("new", truncated=True),
    "no end": a_log("new", status=None),
    "interrupted": a_log("new", status=2),
    "no boot": a_log("new", reason="the kernel did not boot"),
    "missing": a_log("new", collected=(Case("suites/a/test_b.py::lost", SubjectId("new")),)),
    "empty": a_log("new", outcomes={}),
    "nothing in common": a_log("new", outcomes={"suites/b/test_c.py::other": PASSED}),
    "services unknown": with_info(services=()),
    "SMC unknown": with_info(services=tuple(replace(each, smc_default="", smc_answers=()) for each in (TRNG, PSCI))),
    "registers unknown": with_info(registers=()),
    "all skipped": with_outcomes(NOT_APPLICABLE, NOT_APPLICABLE),
}


@pytest.mark.parametrize("after", DOUBTFUL.values(), ids=DOUBTFUL)
def test_a_doubtful_log_is_never_the_same(after: Log) -> None:
    comparison = compared(after)
    assert comparison.status in (CANNOT_TELL, CHANGED) and comparison.doubts
    assert compared(a_log(), after).status == CANNOT_TELL, "nor is anything the same as a doubtful one"


def test_a_change_is_a_fact_in_a_doubtful_log_too() -> None:
    assert compared(replace(with_outcomes(FAILED), truncated=True)).status == CHANGED


def test_a_failure_that_the_first_run_left_out() -> None:
    whole, part = a_log(outcomes={ONE: PASSED}), a_log(outcomes={ONE: PASSED}, selection="-k one")
    after = with_outcomes(PASSED, FAILED)
    assert compared(after, whole).status == CHANGED
    assert compared(after, part).status == CANNOT_TELL
    assert compared(part, with_outcomes(PASSED, FAILED)).status == SAME, "what is selected is compared"


def test_another_machine_is_shown_and_does_not_count() -> None:
    comparison = compared(with_info(environment={"kernel": "x", "home": "a board"}))
    assert comparison.status == SAME and comparison.parts["Environment"][0].before == "QEMU"


def two(*names: str) -> Log:
    subjects = tuple(map(SubjectId, names))
    results = (Result(f"{ONE}[{each.name}-STD]", each, PASSED, ("LOCK-1",), message="m") for each in subjects)
    infos = tuple(replace(INFO, subject=each) for each in subjects)
    return log_of(*results, subjects=subjects, infos=infos, collected=(), started=())


def test_subjects_of_the_same_name_are_compared() -> None:
    pairs = paired(columns([two("a", "b")]), columns([two("b", "a")]))
    assert [(one.name, other.name) for one, other in pairs] == [("a", "a"), ("b", "b")]
    assert [compare_logs(*pair).status for pair in pairs] == [SAME, SAME]


@pytest.mark.parametrize(("one", "other"), [(("a", "b"), ("a",)), (("a",), ("a", "b")), (("a", "b"), ("a", "c"))])
def test_what_cannot_be_paired_is_refused(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"first log has a.*; the second log has a"):
        paired(columns([two(*one)]), columns([two(*other)]))


def test_two_subjects_of_one_label_are_not_confused() -> None:
    again = log_of(subjects=(SubjectId("Image cpu=max"), SubjectId("Image", variant=BootVariant(cpu="max"))), infos=())
    with pytest.raises(UsageError, match="cannot be paired"):
        paired(columns([again]), columns([again]))


def hostile() -> LogComparison:
    service = replace(TRNG, default=HOSTILE)
    return compared(with_info(services=(service, PSCI), environment={"home": HOSTILE}))


def test_the_text_ends_with_the_conclusion() -> None:
    lines = text(hostile()).splitlines()
    assert lines[-1] == "CHANGED: 1 change for guests or VMMs to see, 0 for the worse"
    assert all(line.isprintable() for line in lines) and not any(line.startswith("SAME") for line in lines)
    assert "  ≠ TRNG_VERSION in a new VM: 0x10000, 0, 0, 0 -> <script>" in "\n".join(lines)


def test_the_page_runs_and_fetches_nothing() -> None:
    shown = page([hostile(), compared(a_log("new"))])
    html = Page(shown)
    assert "script" not in html.tags and not html.fetched and "\x1b" not in shown
    assert html.tags.count("table") == 2 and "prefers-color-scheme" in shown


def test_text_and_page_tell_the_same() -> None:
    comparison = compared(a_log("new", outcomes={f"{ONE}[{n}]": FAILED for n in range(50)}))
    shown, lines = page([comparison]), text(comparison)
    assert all(change.what in shown for change in comparison.changes) and len(comparison.changes) > 50
    assert "30 more; --html writes all of them" in lines and comparison.summary in lines and comparison.summary in shown


def written(path: Path, log: Log) -> str:
    return str(write_log(path, log))


def test_statuses_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = written(tmp_path / "good", a_log()), written(tmp_path / "bad", with_outcomes(FAILED))
    cut = written(tmp_path / "cut", a_log("new", status=None))
    several = written(tmp_path / "several", two("a", "b"))
    assert main(["diff", good, good]) == SAME
    assert main(["diff", good, bad, f"--html={tmp_path / 'page'}"]) == CHANGED
    assert "test_one" in (tmp_path / "page").read_text() and "-> failed (worse)" in capsys.readouterr().out
    assert main(["diff", good, cut]) == CANNOT_TELL
    assert main(["diff", good, str(tmp_path / "none")]) == CANNOT_TELL
    assert "CANNOT TELL: The results log" in capsys.readouterr().err
    for wrong in ([str(tmp_path / "none"), good], [good, several], [good, bad, f"--html={bad}"]):
        assert main(["diff", *wrong]) == 129
        assert capsys.readouterr().out == ""
    for wrong in ([], [good], ["--htm", "x", good, good]):
        with pytest.raises(SystemExit) as stopped:
            main(["diff", *wrong])
        assert stopped.value.code == 129


def test_the_page_on_standard_output_stands_alone(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    good = written(tmp_path / "good", a_log())
    assert main(["diff", good, good, "--html=-"]) == SAME
    out, err = capfdbinary.readouterr()
    assert out.startswith(b"<!DOCTYPE html>") and out.endswith(b"</html>\n") and b"SAME: nothing" in err


def test_a_log_on_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = written(tmp_path / "good", a_log())
    bad = Path(written(tmp_path / "bad", with_outcomes(FAILED))).read_bytes()
    for names, status, change in (([good, "-"], CHANGED, "passed -> failed"), (["-", good], SAME, "failed -> passed")):
        set_input(monkeypatch, bad)
        assert main(["diff", *names]) == status
        assert f"{ONE}: {change}" in capsys.readouterr().out


def test_standard_input_that_is_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = written(tmp_path / "good", a_log())
    for names, status in (([good, "-"], CANNOT_TELL), (["-", good], 129)):
        set_input(monkeypatch, b"")
        assert main(["diff", *names]) == status
        assert "standard input is not a results log" in capsys.readouterr().err
    set_input(monkeypatch, Path(good).read_bytes())
    assert main(["diff", "-", "-"]) == 129
    assert "Only one log can be read from standard input" in capsys.readouterr().err
