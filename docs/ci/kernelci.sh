#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# KernelCI: test a kernel and submit the results to KCIDB. In the suite's folder, after make setup:
#   KCIDB_ORIGIN=NAME [KCIDB_URL=URL KCIDB_TOKEN=TOKEN] docs/ci/kernelci.sh IMAGE [argument of report...]
# The arguments of report name the kernel: --build=ID or --checkout=ID if KCIDB has it, --git-from-ci in a job of
# the kernel's repository, or --git-url, --git-commit and --git-branch. The KernelCI team gives out origins, URLs
# (without /submit) and tokens. Without KCIDB_URL nothing is submitted.
# The exit status is the verdict's, 3 if the results cannot be submitted, or 4 for wrong usage.
set -u
# Before the run, which takes minutes.
die() { printf '%s\n' "$*" >&2; exit 4; }
[ $# -gt 0 ] || die "usage: KCIDB_ORIGIN=NAME $0 IMAGE [argument of report...]"
[ -n "${KCIDB_ORIGIN:-}" ] || die "KCIDB_ORIGIN is not set. Set it to the submitter's name in KCIDB."
[ -z "${KCIDB_URL:-}" ] || [ -n "${KCIDB_TOKEN:-}" ] || die "KCIDB_TOKEN is not set. Set it, or unset KCIDB_URL."
image=$1
shift

status=0
.venv/bin/kvm-hvc-conformance run --kernel="$image" -n auto --maxprocesses=8 --reports=reports || status=$?
[ "$status" -ne 4 ] || exit 4
# Its status is that of the run. A report that cannot be written leaves no file.
rm -f reports/kcidb.json
.venv/bin/kvm-hvc-conformance report --kcidb=reports/kcidb.json "$@" reports/results.jsonl
[ -s reports/kcidb.json ] || exit 3
[ -n "${KCIDB_URL:-}" ] || exit "$status"

curl --fail --silent --show-error --retry 3 \
    --header "Authorization: Bearer $KCIDB_TOKEN" --header "Content-Type: application/json" \
    --data-binary @reports/kcidb.json "${KCIDB_URL%/}/submit" || exit 3
exit "$status"
