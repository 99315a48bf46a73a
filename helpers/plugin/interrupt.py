# SPDX-License-Identifier: GPL-2.0-only
"""Ctrl-C, SIGTERM and a closed terminal end a session in the same orderly way, once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_in_order(clean_up: Callable[[], None], on_hangup: Callable[[], None], *, finished: bool) -> None:
    """The first of these signals raises KeyboardInterrupt, unless the tests have ``finished``.

    Later ones are ignored, because they would cut the reports off. ``clean_up`` is called first, then, for a terminal
    that is gone and cannot be written to, ``on_hangup``.
    """

    def handle(number: int, _: FrameType | None) -> None:
        _ignore_others()
        clean_up()
        if number == signal.SIGHUP:
            on_hangup()
        if not finished:
            raise KeyboardInterrupt

    for each in _SIGNALS:
        # nohup, or a shell that runs us in the background, set SIG_IGN on purpose.
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, handle)


def end_at_once(clean_up: Callable[[], None]) -> None:
    """For a worker: the first of these signals ends the process. The controller has the results so far."""

    def handle(number: int, _: FrameType | None) -> None:
        _ignore_others()
        try:
            clean_up()
        finally:
            os._exit(128 + number)

    for each in _SIGNALS:
        signal.signal(each, handle)


def _ignore_others() -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
