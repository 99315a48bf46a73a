# SPDX-License-Identifier: GPL-2.0-only
"""The environment variables of CI systems: GitLab, GitHub actions, Jenkins."""

from __future__ import annotations

from collections.abc import Mapping

from helpers.errors import UsageError


def log_url(environment: Mapping[str, str]) -> str:
    """The URL of the running job's page; empty outside of these systems."""
    get = environment.get
    if get("GITHUB_RUN_ID"):
        server, repository = get("GITHUB_SERVER_URL", ""), get("GITHUB_REPOSITORY", "")
        return f"{server}/{repository}/actions/runs/{get('GITHUB_RUN_ID')}"
    return get("CI_JOB_URL") or get("BUILD_URL") or ""


def revision(environment: Mapping[str, str]) -> dict[str, str]:
    """``git_url``, ``git_commit`` and ``git_branch`` of the job's checkout. Raises UsageError without a commit."""
    get = environment.get
    github = f"{get('GITHUB_SERVER_URL', '')}/{get('GITHUB_REPOSITORY', '')}" if get("GITHUB_SHA") else ""
    values = {
        "git_url": github or get("CI_PROJECT_URL") or get("GIT_URL") or "",
        "git_commit": get("GITHUB_SHA") or get("CI_COMMIT_SHA") or get("GIT_COMMIT") or "",
        "git_branch": get("GITHUB_REF_NAME") or get("CI_COMMIT_REF_NAME") or get("GIT_BRANCH") or "",
    }
    if not values["git_commit"]:
        what = "--git-from-ci needs a commit in the environment"
        why = "GITHUB_SHA, CI_COMMIT_SHA and GIT_COMMIT are not set"
        raise UsageError(what, why=why, cure="Give --git-url, --git-commit and --git-branch instead of --git-from-ci")
    return {name: value for name, value in values.items() if value}
