#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# One step of git bisect run, in a kernel's tree (docs/bisect.md): is what is checked out like the kernel of a log?
#   git bisect run .../tools/bisect-step.sh GOOD.jsonl [arguments for pytest]
# BUILD is the command that builds the kernel, KERNEL what it makes, for pytest's --kernel.
#   0    good: nothing changed that guests or VMMs see, and nothing got worse
#   1    bad: something did
#   125  skip: it does not build or boot, or was not tested to the end
#   129  stop: wrong usage, which every commit would meet
set -u
tree=$PWD
suite=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 129

stop() {
    printf '%s\n' "$1" >&2
    exit 129
}

[ $# -ge 1 ] || stop "usage: bisect-step.sh GOOD.jsonl [arguments for pytest]"
good=$(realpath -e -- "$1") || stop "$1 is no results log: make it with pytest --reports"
shift
[ -x "$suite/.venv/bin/pytest" ] || stop "there is no .venv in $suite: run make setup there"

# The log of an earlier step must not be taken for this one's.
reports=$(mktemp -d) || stop "no folder for the reports can be made"
trap 'rm -rf -- "$reports"' EXIT

bash -c "${BUILD:-make -j$(nproc) Image}" >&2 || exit 125

cd "$suite" || exit 129
.venv/bin/pytest --kernel="${KERNEL:-$tree/arch/arm64/boot/Image}" --reports="$reports" "$@" >&2
run=$?
[ $run -ne 4 ] || stop "pytest was called wrongly"
.venv/bin/python -m helpers.command diff "$good" "$reports/results.jsonl"
