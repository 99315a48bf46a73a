# SPDX-License-Identifier: GPL-2.0-only
"""The SMCCC filter, and which of filter and bitmaps has the last word."""

from __future__ import annotations

from helpers.contract.clauses.base import CALL, Clause, Standing

VM = "Documentation/virt/kvm/devices/vm.rst 6.1"
SET_FILTER = "hypercalls.c:kvm_smccc_set_filter"

CLAUSES = (
    Clause("FILTER-1", "A kernel that serves SMC has the SMCCC filter, the only attribute of its VMs' only group.",
           f"{VM}; arm.c:kvm_vm_has_attr", Standing.OBSERVED),
    Clause("FILTER-2", "A filter is refused with EINVAL for padding that is not zero, no function, a range that wraps,"
           " or an action that there is not.", f"{VM}; {SET_FILTER}"),
    Clause("FILTER-3", "A range that meets Arm's architecture calls (0x80000000 to 0x8000ffff, 0xc0000000 to"
           " 0xc000ffff) or an earlier range is refused with EEXIST.", f"{VM}; {SET_FILTER}"),
    Clause("FILTER-4", "Once any vCPU has run, every valid filter is refused with EBUSY, an identical one too.",
           f"{VM}; {SET_FILTER}"),
    Clause("FILTER-5", "An unreadable filter is refused with EFAULT; then EINVAL, EBUSY and EEXIST win in this order.",
           SET_FILTER, Standing.OBSERVED),
    Clause("FILTER-6", "A refused filter changes nothing.", SET_FILTER, Standing.OBSERVED),
    Clause("FILTER-7", "A denied call gives NOT_SUPPORTED in x0 and zero in x1..x3, whatever the bitmaps hold.",
           f"{VM}; {CALL}"),
    Clause("FILTER-8", "A forwarded call leaves with KVM_EXIT_HYPERCALL, whatever the bitmaps hold.", f"{VM}; {CALL}"),
    Clause("FILTER-9", "A call that the filter has KVM handle, or does not name, is the bitmaps' to open or close.",
           f"{VM}; hypercalls.c:kvm_smccc_get_action"),
    Clause("FILTER-10", "KVM_EXIT_HYPERCALL names the function and the conduit; its arguments are zero; the guest's"
           " registers are as they were and its PC is behind the instruction.",
           "Documentation/virt/kvm/api.rst, KVM_EXIT_HYPERCALL; hypercalls.c:kvm_prepare_hypercall_exit"),
    Clause("FILTER-11", "The guest sees in x0 on what user space put there, and the record's ret counts nothing.",
           "Documentation/virt/kvm/api.rst, KVM_EXIT_HYPERCALL", Standing.OBSERVED),
    Clause("FILTER-12", "The filter takes the function from x0's lower half, from HVC with any immediate and from SMC"
           " #0, on every vCPU of its VM and of no other.", f"{VM}; {CALL}"),
    Clause("FILTER-13", "A range holds from its base to base + nr_functions - 1, and beside it nothing changes.", VM),
    # A known deviation (helpers/contract/deviations.py) excuses this one, so it has its test to itself.
    Clause("FILTER-14", "A filter for no function, at base 0, is refused with EINVAL.", f"{VM}; {SET_FILTER}"),
)  # fmt: skip
