# SPDX-License-Identifier: GPL-2.0-only
"""Reads the short files of the kernel under test in /proc and /sys."""

from __future__ import annotations

import os

from helpers.executor.program import Program
from helpers.subjects.base import Subject

_SIZE = 4096


def kernel_file(subject: Subject, path: str) -> str:
    """The first 4 KiB of a file, without control characters; "" if it cannot be read.

    Raises KernelDied, HarnessError.
    """
    program = Program()
    fd = program.open(path, os.O_RDONLY | os.O_CLOEXEC)
    text = program.read(fd, _SIZE)
    program.close(fd)
    raw = subject.run(program)[text].data.decode("utf-8", "replace").strip()
    return "".join(c for c in raw if c.isprintable())
