# SPDX-License-Identifier: GPL-2.0-only
"""Results as a submission to KCIDB (kcidb-io's schema, version 5.3). The same log always gives the same ids.

A known deviation is a FAIL with an incident of an issue, because KCIDB has no status for an expected failure.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from helpers.errors import UsageError
from helpers.formats.junit import legal
from helpers.identity import Identity, MigrationId
from helpers.results.nodeids import without_subject
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, NOT_MEASURED, PASSED, Result
from helpers.results.rows import Section
from helpers.results.verdict import description

_VERSION = {"major": 5, "minor": 3}
# Not measured: as the reports in KTAP, which KernelCI reads as SKIP. ERROR and MISS are failures of the harness.
_STATUS = {
    PASSED: "PASS",
    FAILED: "FAIL",
    ERROR: "ERROR",
    NOT_APPLICABLE: "SKIP",
    KNOWN: "FAIL",
    NOT_MEASURED: "SKIP",
}
_PATH = "kvm_hvc"
_LONGEST_EXCERPT = 16384
_ORIGIN = re.compile("[a-z0-9_]+")
_ID = re.compile("[a-z0-9_]+:[^\0]*")
_COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Origin:
    """The submitter and the kernel. ``checkout`` and ``build`` are ids of existing KCIDB objects."""

    name: str
    build: str = ""
    checkout: str = ""
    git_url: str = ""
    git_commit: str = ""
    git_branch: str = ""
    log_url: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError for a value that KCIDB would reject."""
        for what, value, form, example in (
            ("origin", self.name, _ORIGIN, "my_ci: small letters, digits, underscores"),
            ("build", self.build or "a:", _ID, "kernelci:1234"),
            ("checkout", self.checkout or "a:", _ID, "kernelci:1234"),
            ("git commit", self.git_commit or "0" * 40, _COMMIT, "all 40 digits"),
        ):
            if not form.fullmatch(value):
                raise UsageError(f"{value!r} is not a {what} that KCIDB accepts", cure=f"Give one such as {example}")


def kcidb(sections: Sequence[Section], origin: Origin) -> str:
    """The submission as JSON. Raises UsageError if several kernels would share one build."""
    kernels = {_kernel(section.subject) for section in sections}
    if origin.build and len(kernels) > 1:
        what = f"The logs have results of {len(kernels)} kernels, but {origin.build} is the build of one"
        raise UsageError(what, cure="Convert a log of one kernel, or omit --build, which generates the builds")
    parts: dict[str, dict[str, Any]] = {name: {} for name in ("checkouts", "builds", "tests", "issues", "incidents")}
    for section in sections:
        build = _add_build(parts, section, origin)
        for row in section.rows:
            test = _test(section, row, build, origin)
            parts["tests"][test["id"]] = test
            if row.outcome == KNOWN:
                _add_incident(parts, section, row, test["id"], origin)
    objects = {name: list(each.values()) for name, each in parts.items() if each}
    return json.dumps({"version": _VERSION, **objects}, indent=2) + "\n"


def path_of(nodeid: str, subject: Identity | None) -> str:
    """A test's place in KCIDB's tree, such as kvm_hvc.lock.test_after_run.test_change.STD.

    It is the same for every kernel: the label that a node id contains in a run of several kernels is removed.
    """
    place, _, test = without_subject(nodeid, subject).partition("::")
    name, _, parameters = test.removesuffix("]").partition("[")
    folders = place.removeprefix("suites/").removesuffix(".py").split("/")
    words = (re.sub("[^A-Za-z0-9_-]", "_", word) for word in (*folders, name, parameters))
    return ".".join([_PATH, *(word for word in words if word)])


def _kernel(subject: Identity) -> str:
    """The label of the kernel that a subject's results are about: for a migration, the destination."""
    return subject.target.label if isinstance(subject, MigrationId) else subject.label


def _id(origin: Origin, *parts: object) -> str:
    return f"{origin.name}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"


def _add_build(parts: dict[str, dict[str, Any]], section: Section, origin: Origin) -> str:
    """The build's id. Adds the build and its checkout unless the origin names existing ones."""
    if origin.build:
        return origin.build
    kernel = _kernel(section.subject)
    build = _id(origin, "build", section.time, kernel)
    checkout = origin.checkout or _id(origin, "checkout", section.time, kernel)
    if not origin.checkout:
        parts["checkouts"].setdefault(checkout, _checkout(checkout, section, origin))
    # The description in the kernel's own section is the best one, but a migration's section may come first.
    if section.subject.label == kernel or build not in parts["builds"]:
        parts["builds"][build] = {
            "id": build,
            "origin": origin.name,
            "checkout_id": checkout,
            "architecture": "arm64",
            "comment": legal(f"{kernel}{description(section.verdict.info)}"),
        }
    return build


def _checkout(checkout: str, section: Section, origin: Origin) -> dict[str, Any]:
    git = {
        "git_repository_url": origin.git_url,
        "git_commit_hash": origin.git_commit,
        "git_repository_branch": origin.git_branch,
    }
    return {"id": checkout, "origin": origin.name, **_start(section), **{k: v for k, v in git.items() if v}}


def _test(section: Section, row: Result, build: str, origin: Origin) -> dict[str, Any]:
    not_run = row.nodeid in section.not_run and row.outcome == ERROR
    test: dict[str, Any] = {
        "id": _id(origin, "test", section.time, section.subject.label, row.nodeid),
        "origin": origin.name,
        "build_id": build,
        "path": path_of(row.nodeid, section.subject),
        "status": "MISS" if not_run else _STATUS[row.outcome],
        "comment": legal(row.requirement or row.nodeid),
        "environment": {"comment": legal(section.verdict.title), "misc": dict(section.verdict.info.environment)},
        "misc": {
            "test": row.nodeid,
            "subject": section.subject.label,
            "outcome": "not-run" if not_run else row.outcome,
            "clauses": list(row.clauses),
            "requirement": row.requirement,
            "source": row.source,
            "unknown_services": [each.name for each in section.verdict.info.unknown],
        },
        **_start(section),
    }
    if math.isfinite(row.duration) and row.duration >= 0:
        test["duration"] = row.duration
    if row.message:
        test["log_excerpt"] = legal(row.message)[:_LONGEST_EXCERPT]
    if origin.log_url:
        test["log_url"] = origin.log_url
    return test


def _add_incident(parts: dict[str, dict[str, Any]], section: Section, row: Result, test: str, origin: Origin) -> None:
    deviation = next(each for each in section.verdict.info.known if each.excuses(row.clauses))
    issue = f"{origin.name}:{legal(deviation.name)}"
    parts["issues"][issue] = {
        "id": issue,
        "version": 1,
        "origin": origin.name,
        "report_url": deviation.link,
        "report_subject": legal(deviation.name),
        "culprit": {"code": True},
        "comment": legal(deviation.reason),
    }
    incident = _id(origin, "incident", test, issue)
    parts["incidents"][incident] = {
        "id": incident,
        "origin": origin.name,
        "issue_id": issue,
        "issue_version": 1,
        "test_id": test,
        "present": True,
    }


def _start(section: Section) -> dict[str, str]:
    """The start of the run; empty if the log's number of seconds is no valid date."""
    try:
        return {"start_time": datetime.fromtimestamp(section.time, UTC).isoformat()}
    except (ValueError, OverflowError, OSError):
        return {}
