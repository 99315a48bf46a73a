# SPDX-License-Identifier: GPL-2.0-only
"""What the tests share: fake subjects, throw-away projects, logs, validators, machines."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout."""
