#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# The suite as one kselftest: KTAP on standard output, everything else on standard error, the statuses of kselftest.h.
# Arguments go to pytest; paths among them are relative to this folder.
#   0  every subject is conformant, or what was selected passed
#   1  one is not, or the run is inconclusive, which must be neither a pass nor a skip
#   4  a kernel has no bitmap registers or is newer than the suite, and nothing else is wrong
set -u
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

bail_out() {
    printf 'KTAP version 1\nBail out! %s\n' "$1"
    exit 1
}

[ -x .venv/bin/pytest ] || bail_out "there is no .venv: run make setup first"

reports= previous=
for argument in "$@"; do
    [ "$previous" != --reports ] || reports=$argument
    case $argument in --reports=*) reports=${argument#--reports=} ;; esac
    previous=$argument
done
# With --reports, pytest refuses a folder in which another session runs. Without, it would write to another folder.
[ -n "$reports" ] || set -- "$@" --reports="${reports:=reports}"
log=$reports/results.jsonl

# The log of an earlier run must not be read as the log of this one. The log of a running session must not be removed.
if [ -d "$reports" ]; then
    flock --nonblock --conflict-exit-code 75 "$reports" rm -f -- "$log"
    case $? in
    0) ;;
    75) bail_out "another session writes its reports to $reports" ;;
    *) bail_out "the log of an earlier run cannot be removed" ;;
    esac
fi

# kselftest's runner ends a test that takes too long by a signal to this process alone.
.venv/bin/pytest "$@" >&2 &
child=$!
trap 'kill -TERM "$child"' TERM INT HUP
while :; do
    wait "$child"
    run=$?
    kill -0 "$child" 2>/dev/null || break
done

[ $run -ne 4 ] || bail_out "pytest refused its command line, see standard error"
[ -f "$log" ] || bail_out "pytest ended with status $run and wrote no results log"
.venv/bin/python -m helpers.command report --ktap=- "$log"
report=$?

# Both must be 0: a run can fail after its log was written.
case $run,$report in
0,0) exit 0 ;;
5,5 | 6,6) exit 4 ;;
*) exit 1 ;;
esac
