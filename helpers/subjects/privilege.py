# SPDX-License-Identifier: GPL-2.0-only
"""Commands that only root may run, as error messages show them."""

from __future__ import annotations

import os


def as_root(command: str) -> str:
    """The command as this user types it: with sudo, unless the user is root."""
    return command if os.geteuid() == 0 else f"sudo {command}"
