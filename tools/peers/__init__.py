# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own selftests on the same faults and mutants, to compare what each notices.

``python -m tools.peers`` builds those five that touch the bitmap registers, PSCI, the filter and stolen time, from
Debian's linux-source, and boots them with a small /init. A fault or a mutant is chosen by writing a module's parameter.
"""
