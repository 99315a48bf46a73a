# SPDX-License-Identifier: GPL-2.0-only
"""The contract's sentences, each with an id, its source and its standing. Every test names those that it checks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Standing(Enum):
    """Whether the documents say it, or only the code that user space relies on."""

    DOCUMENTED = "documented"
    OBSERVED = "observed ABI"


@dataclass(frozen=True)
class Clause:
    """One sentence of the contract."""

    id: str
    text: str
    source: str
    standing: Standing = Standing.DOCUMENTED


_FW = "Documentation/virt/kvm/arm/fw-pseudo-registers.rst"
_API = "Documentation/virt/kvm/api.rst"
_RFC = "RFC v3 03/11, api.rst 7.30"
_SET = "hypercalls.c:kvm_arm_set_fw_reg_bmap"
_CALL = "hypercalls.c:kvm_smccc_call_handler"

_ALL = (
    Clause("CAP-1", "KVM_CAP_ARM_HVC_FW_REG_BMAP answers the number of bitmap registers, on /dev/kvm and on a VM's fd;"
           " a kernel of the mainline dialect does not answer it.", _RFC),
    Clause("CAP-2", "KVM_GET_REG_LIST shows exactly the bitmap registers that there are, once each.",
           f"{_API} 4.84; hypercalls.c:kvm_arm_fw_reg_ids"),
    Clause("CAP-3", "User space can discover each register, read it, and write back what it read.", f"{_RFC}; {_FW}"),
    Clause("DEFAULT-1", "By default a register holds the upper limit of what KVM supports"
           " (VENDOR_HYP_2: no bit).", f"{_RFC}; {_FW}"),
    Clause("DEFAULT-2", "The registers of one VM are not those of another.", f"{_FW}: one value per VM"),
    Clause("DEFAULT-3", "Every vCPU of a VM shows the same registers.", f"{_FW}: VM-wide",),
    Clause("LIMIT-1", "Every subset of the supported bits is accepted and reads back as written.", f"{_RFC}; {_FW}"),
    Clause("LIMIT-2", "A bitmap with an unsupported bit is refused with EINVAL.", f"{_FW}: return codes"),
    Clause("LIMIT-3", "A refused write changes nothing.", _SET, Standing.OBSERVED),
    Clause("LIMIT-4", "A write to one register leaves the others alone.", f"{_FW}: one register per call owner"),
    Clause("LOCK-1", "Once any vCPU has run, a write that changes a register is refused with EBUSY.", f"{_RFC}; {_FW}"),
    Clause("LOCK-2", "Once any vCPU has run, writing the value that is there succeeds.", f"{_SET} (528ada2811ba)",
           Standing.OBSERVED),
    Clause("LOCK-3", "Once any vCPU has run, an unsupported bit is still refused with EINVAL.", _SET,
           Standing.OBSERVED),
    Clause("LOCK-4", "Once any vCPU has run, reads still answer what was set.", f"{_API} 4.69", Standing.OBSERVED),
    Clause("LOCK-5", "A refused write does not change what the guest sees.", f"{_RFC}; {_FW}"),
    Clause("LOCK-6", "KVM_RUN with immediate_exit counts as a run.", "arm.c:kvm_arch_vcpu_run_pid_change",
           Standing.OBSERVED),
    Clause("CALL-1", "A call whose bit is set gives its service's answer in x0..x3.", f"{_FW}; {_CALL}"),
    Clause("CALL-2", "A call whose bit is clear gives NOT_SUPPORTED (-1, 64 bits) in x0 and zero in x1..x3.",
           f"{_FW}; {_CALL}; Arm DEN0028"),
    Clause("CALL-3", "A call that no bit gates answers the same whatever the registers hold.", _CALL,
           Standing.OBSERVED),
    Clause("CALL-4", "A call leaves x4..x17 as they were.", "Arm DEN0028 (SMCCC 1.1)"),
    Clause("TRNG-1", "TRNG_RND gives the entropy asked for, with zeros above it, and different bits each time.",
           "Arm DEN0098; trng.c:kvm_trng_do_rnd"),
    Clause("PTP-1", "KVM_PTP gives the host's wall clock and the counter as the guest reads it.",
           "Documentation/virt/kvm/arm/ptp_kvm.rst; hypercalls.c:kvm_ptp_get_time"),
    Clause("FEAT-1", "KVM_FEATURES shows the vendor services' bitmaps as they are set.",
           "Documentation/virt/kvm/arm/hypercalls.rst"),
    Clause("PVTIME-1", "PV_TIME_ST gives the address of the zeroed stolen-time area, or NOT_SUPPORTED without one.",
           "Documentation/virt/kvm/arm/pvtime.rst; Arm DEN0057"),
)  # fmt: skip

CLAUSES = {c.id: c for c in _ALL}
