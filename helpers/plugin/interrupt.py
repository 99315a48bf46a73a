# SPDX-License-Identifier: GPL-2.0-only
"""Ctrl-C, SIGTERM and a closed terminal end a session in the same orderly way, once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_in_order(clean_up: Callable[[], None], on_hangup: Callable[[], None]) -> None:
    """The first of these signals raises KeyboardInterrupt; later ones would only cut the reports off.

    ``clean_up`` is called first, and ``on_hangup`` when the terminal went: nothing can be written to it any more.
    """

    def handle(number: int, _: FrameType | None) -> None:
        _ignore_others()
        clean_up()
        if number == signal.SIGHUP:
            on_hangup()
        raise KeyboardInterrupt

    for each in _SIGNALS:
        # nohup has its say, and so has a shell that runs us in the background.
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, handle)


def end_already(clean_up: Callable[[], None], on_hangup: Callable[[], None]) -> None:
    """The session is at its end: one of these signals hurries what still hangs, and does not cut the reports off."""

    def handle(number: int, _: FrameType | None) -> None:
        _ignore_others()
        clean_up()
        if number == signal.SIGHUP:
            on_hangup()

    for each in _SIGNALS:
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, handle)


def end_at_once(clean_up: Callable[[], None]) -> None:
    """For a worker, whose results so far are with the controller: the first of these signals ends the process."""

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
