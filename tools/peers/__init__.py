# SPDX-License-Identifier: GPL-2.0-only
"""Runs the kernel's own selftests on the same faults and mutants as the suite, to compare what both detect.

``python -m tools.peers`` builds the five selftests that touch the bitmap registers, PSCI, the filter and stolen time
from Debian's linux-source. It boots them with a small /init, which writes a module parameter to choose the fault or
mutant.
"""
