#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# One step of git bisect run in a kernel tree (docs/bisect.md): compares the commit's kernel with the kernel of a log.
#   git bisect run .../tools/bisect-step.sh GOOD.jsonl [arguments for pytest]
# BUILD is the command that builds the kernel, KERNEL the resulting file, for pytest's --kernel.
#   0    good: guests and VMMs see no change, and no result is worse
#   1    bad: guests or VMMs see a change, or a result is worse
#   125  skip: the kernel does not build or boot, or was not tested completely
#   129  stop: wrong usage, which would fail on every commit
set -u
tree=$PWD
suite=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 129

stop() {
    printf '%s\n' "$1" >&2
    exit 129
}

[ $# -ge 1 ] || stop "usage: bisect-step.sh GOOD.jsonl [arguments for pytest]"
good=$(realpath -e -- "$1") || stop "there is no results log $1: write one with pytest --reports"
shift
[ -x "$suite/.venv/bin/pytest" ] || stop "there is no .venv in $suite: run make setup there"

# A new folder, so that the log of an earlier step is never used.
reports=$(mktemp -d) || stop "cannot create a folder for the reports"
trap 'rm -rf -- "$reports"' EXIT

bash -c "${BUILD:-make -j$(nproc) Image}" >&2 || exit 125

cd "$suite" || exit 129
.venv/bin/pytest --kernel="${KERNEL:-$tree/arch/arm64/boot/Image}" --reports="$reports" "$@" >&2
run=$?
[ $run -ne 4 ] || stop "wrong arguments for pytest; see its message above"
.venv/bin/python -m helpers.command diff "$good" "$reports/results.jsonl"
