# SPDX-License-Identifier: GPL-2.0-only
"""What live migration and reboot rely on."""

from __future__ import annotations

from helpers.contract.clauses.base import API, FW, RFC, SET, Clause, Standing

CLAUSES = (
    Clause("MIGRATE-1", "Saved firmware registers can be restored on a fresh VM, in the order of KVM_GET_REG_LIST and"
           " in any other, and read back as they were.", f"{RFC}; {FW}; {API} 4.84"),
    Clause("MIGRATE-2", "A guest that goes on after migration gets the answers that it got before.", f"{RFC}; {FW}"),
    Clause("MIGRATE-3", "A saved bitmap with a service that the destination lacks is refused with EINVAL, a register"
           " that it lacks with ENOENT, and what it has is restored all the same.", f"{RFC}; {FW}: return codes"),
    Clause("MIGRATE-4", "A register that the source lacked keeps its reset value.", f"{FW}: default values"),
    Clause("MIGRATE-5", "After a reboot, with every vCPU initialised again, restoring the values that are there"
           " succeeds and restoring another is refused.", f"{SET} (528ada2811ba)", Standing.OBSERVED),
)  # fmt: skip
