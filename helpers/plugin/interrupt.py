# SPDX-License-Identifier: GPL-2.0-only
"""Makes Ctrl-C, SIGTERM and SIGHUP end a session in the same way, with complete reports."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_in_order(clean_up: Callable[[], None], on_hangup: Callable[[], None], *, finished: bool) -> None:
    """The first of these signals raises KeyboardInterrupt, unless the tests have ``finished``.

    Later signals are ignored, because they would interrupt the writing of the reports. The handler first calls
    ``clean_up``, and then, if the terminal was closed and cannot be written to, ``on_hangup``.
    """

    def handle(number: int, _: FrameType | None) -> None:
        _ignore_others()
        clean_up()
        if number == signal.SIGHUP:
            on_hangup()
        if not finished:
            raise KeyboardInterrupt

    for each in _SIGNALS:
        # SIG_IGN is inherited on purpose, from nohup or from a shell that runs the command in the background.
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, handle)


def block() -> None:
    """These signals wait until ``unblock``. A process that is started in between inherits this.

    A worker of xdist so keeps a Ctrl-C until ``end_at_once``; Python would print a traceback while it imports.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def unblock() -> None:
    """Delivers the signals that waited since ``block``."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def end_at_once(clean_up: Callable[[], None]) -> None:
    """For a worker of xdist: the first of these signals ends the process. The controller has all results so far."""

    def handle(number: int, _: FrameType | None) -> None:
        _ignore_others()
        try:
            clean_up()
        finally:
            os._exit(128 + number)

    for each in _SIGNALS:
        signal.signal(each, handle)
    unblock()


def _ignore_others() -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
