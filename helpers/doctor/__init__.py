# SPDX-License-Identifier: GPL-2.0-only
"""kvm-hvc-conformance doctor: checks whether this machine can run the suite."""
