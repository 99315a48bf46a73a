# SPDX-License-Identifier: GPL-2.0-only
"""The command kvm-hvc-conformance: run, report, diff, prove."""
