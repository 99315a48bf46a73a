# SPDX-License-Identifier: GPL-2.0-only
"""Submissions to KCIDB: kernels, builds, checkouts, and origins that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kcidb_io
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.command.report import main
from helpers.errors import UsageError
from helpers.formats import ci
from helpers.formats.kcidb import Origin, kcidb, path_of
from helpers.identity import Identity, MigrationId, SubjectId
from helpers.results.records import FAILED, VERSION, Log, Result, SubjectInfo
from helpers.results.rows import sections
from tests.support.reports import log_of

A, STABLE, IMAGE = SubjectId("a"), SubjectId("debian:stable"), SubjectId("Image")
WAY = MigrationId(STABLE, IMAGE)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ME = Origin("me")
GITLAB = {"CI_JOB_URL": "https://g/1", "CI_PROJECT_URL": "https://g/p", "CI_COMMIT_SHA": "a", "CI_COMMIT_REF_NAME": "b"}
GITHUB = {"GITHUB_RUN_ID": "5", "GITHUB_SERVER_URL": "https://h", "GITHUB_REPOSITORY": "o/r"}
GITHUB |= {"GITHUB_SHA": "a", "GITHUB_REF_NAME": "b"}
JENKINS = {"BUILD_URL": "https://j/9/", "GIT_URL": "https://x/y.git", "GIT_COMMIT": "a"}


def log(*subjects: Identity, time: float = 1.5e9, message: str = "why") -> Log:
    nodeid = "suites/a/test_b.py::test_c[D-e.f]"
    rows = tuple(Result(nodeid, each, FAILED, ("A",), "r", "s", message) for each in subjects)
    infos = tuple(SubjectInfo(each, "mainline", {"kernel": f"Linux of {each.label}"}) for each in subjects)
    return log_of(*rows, subjects=subjects, infos=infos, time=time)


def submission(a_log: Log, origin: Origin = ME) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(kcidb(sections(a_log), origin))
    assert kcidb_io.schema.LATEST.is_valid_exactly(report)
    return report


def test_a_migration_is_a_result_of_the_kernel_that_it_arrives_on() -> None:
    report = submission(log(WAY, STABLE, IMAGE))
    assert [each["comment"].split(" (")[0] for each in report["builds"]] == ["Image", "debian:stable"]
    assert report["builds"][0]["comment"] == "Image (Linux of Image, mainline)"
    assert report["tests"][0]["build_id"] == report["tests"][2]["build_id"] == report["builds"][0]["id"]


def test_the_same_log_has_the_same_ids_and_another_run_others() -> None:
    assert submission(log(A)) == submission(log(A))
    assert submission(log(A))["tests"][0]["id"] != submission(log(A, time=1.6e9))["tests"][0]["id"]


def test_a_build_of_somebody_else() -> None:
    report = submission(log(A), Origin("me", build="maestro:7"))
    assert set(report) == {"version", "tests"} and report["tests"][0]["build_id"] == "maestro:7"
    with pytest.raises(UsageError, match="2 kernels"):
        submission(log(WAY, STABLE, IMAGE), Origin("me", build="maestro:7"))


def test_a_checkout_of_somebody_else() -> None:
    report = submission(log(STABLE, IMAGE), Origin("me", checkout="maestro:8"))
    assert "checkouts" not in report and {each["checkout_id"] for each in report["builds"]} == {"maestro:8"}


def test_a_checkout_of_ones_own() -> None:
    origin = Origin("me", git_url="https://example.org/linux.git", git_commit=COMMIT, git_branch="master")
    (checkout,) = submission(log(A), origin)["checkouts"]
    assert (checkout["git_commit_hash"], checkout["git_repository_branch"]) == (COMMIT, "master")
    assert checkout["start_time"] == "2017-07-14T02:40:00+00:00"


@pytest.mark.parametrize("wrong", [{"name": "Me"}, {"build": "7"}, {"checkout": "M:1"}, {"git_commit": "abc"}], ids=str)
def test_what_kcidb_would_not_take_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        Origin(**{"name": "me", **wrong})


@given(st.text(alphabet=st.characters()), st.floats())
def test_no_text_and_no_time_makes_it_invalid(text: str, time: float) -> None:
    a_log = log(A, time=time, message=text)
    submission(a_log)
    assert path_of(text, A).isascii()


def test_paths() -> None:
    assert path_of("suites/lock/test_a.py::test_b[STD-a.b/[c]]", A) == "kvm_hvc.lock.test_a.test_b.STD-a_b__c_"
    assert path_of("verdict", None) == "kvm_hvc.verdict"


def test_paths_are_the_same_on_every_kernel() -> None:
    assert path_of("suites/a.py::b[STD-/tmp/k/Image-x]", SubjectId("/tmp/k/Image")) == "kvm_hvc.a.b.STD-x"
    assert path_of("suites/a.py::b[debian:sid]", SubjectId("debian:sid")) == "kvm_hvc.a.b"
    assert path_of("suites/a.py::b[x->y-STD]", MigrationId(SubjectId("x"), SubjectId("y"))) == "kvm_hvc.a.b.x-_y-STD"


@pytest.mark.parametrize(
    ("environment", "url", "git"),
    [
        (GITLAB, "https://g/1", {"git_url": "https://g/p", "git_commit": "a", "git_branch": "b"}),
        (GITHUB, "https://h/o/r/actions/runs/5", {"git_url": "https://h/o/r", "git_commit": "a", "git_branch": "b"}),
        (JENKINS, "https://j/9/", {"git_url": "https://x/y.git", "git_commit": "a"}),
    ],
    ids=["GitLab", "GitHub", "Jenkins"],
)
def test_what_ci_systems_say(environment: dict[str, str], url: str, git: dict[str, str]) -> None:
    assert (ci.log_url(environment), ci.revision(environment)) == (url, git)


def test_no_ci() -> None:
    assert ci.log_url({}) == ""
    with pytest.raises(UsageError, match="GIT_COMMIT"):
        ci.revision({})


def test_without_an_origin_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KCIDB_ORIGIN", raising=False)
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"record": "session", "version": {VERSION}, "argv": [], "subjects": [], "time": 0}}\n')
    assert main([f"--kcidb={tmp_path / 'x'}", f"--junit={tmp_path / 'y'}", str(path)]) == 4
    assert "KCIDB_ORIGIN" in capsys.readouterr().err and [each.name for each in tmp_path.iterdir()] == ["log.jsonl"]
    monkeypatch.setenv("KCIDB_ORIGIN", "me")
    assert main([f"--kcidb={tmp_path / 'x'}", str(path)]) == 3 and (tmp_path / "x").exists()
