# SPDX-License-Identifier: GPL-2.0-only
"""arm64's numbers of system calls without an operation in the executor (include/uapi/asm-generic/unistd.h)."""

from __future__ import annotations

EVENTFD2 = 19
DUP = 23
FCNTL = 25
LSEEK = 62
CLOCK_NANOSLEEP = 115
SCHED_SETSCHEDULER = 119
SCHED_SETAFFINITY = 122
SCHED_GETAFFINITY = 123
TGKILL = 131
RT_SIGPROCMASK = 135
RT_SIGTIMEDWAIT = 137
PRCTL = 167
GETPID = 172
GETTID = 178
SOCKETPAIR = 199
SENDMSG = 211
RECVMSG = 212
MPROTECT = 226
MADVISE = 233

PR_SET_TIMERSLACK = 29

SIG_BLOCK, SIG_SETMASK = 0, 2
