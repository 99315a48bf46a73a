# SPDX-License-Identifier: GPL-2.0-only
"""Source mutants of KVM: one kernel with all of them, of which its command line selects one.

``python -m tools.mutants`` fetches Debian's linux-source, builds the kernel, runs the suite on each mutant and writes
docs/mutants.md. It is no part of ``make check``: a build takes minutes and a run hours.
"""
