# SPDX-License-Identifier: GPL-2.0-only
"""The program kvm-hvc-conformance, which is also ``python -m helpers.command`` in a checkout."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def program() -> int:
    """Run the command line's subcommand. Returns the exit status."""
    # The wheel installs the tree as one package, whose modules import each other as in a checkout.
    sys.path.insert(0, str(ROOT))
    from helpers.command.main import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(program())
