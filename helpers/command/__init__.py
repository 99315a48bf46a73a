# SPDX-License-Identifier: GPL-2.0-only
"""The command kvm-hvc-conformance: doctor, run, report, diff, prove."""
