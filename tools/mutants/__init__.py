# SPDX-License-Identifier: GPL-2.0-only
"""Source mutants of KVM. One kernel contains all of them, and its command line selects one.

``python -m tools.mutants`` fetches Debian's linux-source, builds the kernel, runs the suite on each mutant and writes
docs/mutants.md. ``make check`` does not run it: a build takes minutes, and a run takes hours.
"""
