# SPDX-License-Identifier: GPL-2.0-only
"""Saving and restoring the registers for live migration and reboot."""

from __future__ import annotations

from helpers.contract.clauses.base import API, CALL, FW, RFC, SET, Clause, Standing

CLAUSES = (
    Clause("MIGRATE-1", "The saved firmware registers of a VM can be restored in a new VM, in the order of"
           " KVM_GET_REG_LIST and in any other order, and then read the saved values.",
           f"{RFC}; {FW}; {API} 4.84; hypercalls.c:kvm_arm_set_fw_reg"),
    Clause("MIGRATE-2", "After migration to a kernel that restores all of its bitmap registers, a guest gets the same"
           " answers to hypercalls as before.", f"{RFC}; {FW}; {CALL}"),
    Clause("MIGRATE-3", "The destination refuses a saved bitmap that has an unsupported bit with EINVAL, and a register"
           " that it does not have with ENOENT. It restores all other bitmap registers.",
           f"{RFC}; {FW}: return codes; hypercalls.c:kvm_arm_set_fw_reg, kvm_arm_set_fw_reg_bmap"),
    Clause("MIGRATE-4", "A bitmap register that the source did not have keeps its reset value on the destination.",
           f"{FW}: default values; hypercalls.c:kvm_arm_init_hypercalls"),
    Clause("MIGRATE-5", "After a reboot in which every vCPU is initialised again, restoring the current value of a"
           " bitmap register succeeds, and restoring another value is refused.",
           f"{SET} (528ada2811ba)", Standing.OBSERVED),
)  # fmt: skip
