# SPDX-License-Identifier: GPL-2.0-only
"""The program kvm-hvc-conformance, which is also ``python -m helpers.command`` in a checkout."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def program() -> int:
    """Run the command line's subcommand. Returns the exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036
        # The modules that are imported below need Python 3.11.
        sys.stderr.write(f"Python 3.11 or later is required; {sys.executable} is {sys.version.split()[0]}.\n")
        return 4
    # The wheel installs the tree as one package, and its modules import each other as in a checkout.
    sys.path.insert(0, str(ROOT))
    # As Ctrl-C: a subcommand ends the processes that it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from helpers.command.main import main

        return main(sys.argv[1:])
    except KeyboardInterrupt:
        return _interrupted(sys.argv[1:])


def _interrupted(arguments: list[str]) -> int:
    """Report Ctrl-C or SIGTERM in one line. Returns INCONCLUSIVE for a run without a test, 130 for other subcommands.

    The tests of a run handle Ctrl-C themselves. This is for the time before, in which modules are imported.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if arguments[:1] == ["run"]:
        sys.stderr.write("INCONCLUSIVE: interrupted before the first test; nothing was measured\n")
        return 3
    sys.stderr.write("Interrupted.\n")
    return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(program())
