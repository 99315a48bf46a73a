# SPDX-License-Identifier: GPL-2.0-only
"""Output formats: each a pure function of results logs."""
