# SPDX-License-Identifier: GPL-2.0-only
"""The SMCCC filter, and its precedence over the bitmap registers."""

from __future__ import annotations

from helpers.contract.clauses.base import API, CALL, Clause, Standing

VM = "Documentation/virt/kvm/devices/vm.rst 6.1"
SET_FILTER = "hypercalls.c:kvm_smccc_set_filter"

CLAUSES = (
    Clause("FILTER-1", "A kernel that handles SMC as a hypercall has KVM_ARM_VM_SMCCC_FILTER. The filter cannot be"
           " read, and every other attribute of a VM fd gives ENXIO.",
           f"{VM}; arm.c:kvm_vm_has_attr, kvm_vm_set_attr", Standing.OBSERVED),
    Clause("FILTER-2", "An SMCCC filter with non-zero padding, no function, a range that wraps or an unknown action is"
           " refused with EINVAL.", f"{VM}; {SET_FILTER}"),
    Clause("FILTER-3", "An SMCCC filter whose range intersects an earlier range or the Arm architecture calls"
           " (0x80000000 to 0x8000ffff, 0xc0000000 to 0xc000ffff) is refused with EEXIST. Every other range is"
           " accepted.", f"{VM}; {SET_FILTER}"),
    Clause("FILTER-4", "Once any vCPU of the VM has run, every valid SMCCC filter is refused with EBUSY, also one that"
           " is identical to an earlier one.", f"{VM}; {SET_FILTER}"),
    Clause("FILTER-5", "KVM_SET_DEVICE_ATTR of an SMCCC filter checks in this order: EFAULT if it cannot be read,"
           " EINVAL, EBUSY, EEXIST.", SET_FILTER, Standing.OBSERVED),
    Clause("FILTER-6", "An SMCCC filter that is refused does not change the answers that the guest gets.", SET_FILTER,
           Standing.OBSERVED),
    Clause("FILTER-7", "A hypercall that the SMCCC filter denies returns NOT_SUPPORTED in x0 and zero in x1 to x3,"
           " whatever the bitmap registers hold.", f"{VM}; {CALL}"),
    Clause("FILTER-8", "A hypercall that the SMCCC filter forwards exits to user space with KVM_EXIT_HYPERCALL,"
           " whatever the bitmap registers hold.", f"{VM}; {CALL}"),
    Clause("FILTER-9", "If the SMCCC filter has the action HANDLE or no range for a function, the bitmap registers"
           " decide whether the guest gets the service.", f"{VM}; hypercalls.c:kvm_smccc_get_action"),
    Clause("FILTER-10", "KVM_EXIT_HYPERCALL has the function identifier in nr, the conduit in flags, and zero in args."
           " The guest's general-purpose registers are unchanged, and its PC points to the next instruction.",
           f"{API}, KVM_EXIT_HYPERCALL; hypercalls.c:kvm_prepare_hypercall_exit"),
    Clause("FILTER-11", "After KVM_EXIT_HYPERCALL the guest continues with the registers that user space has set;"
           " hypercall.ret in struct kvm_run is ignored.",
           f"{API}, KVM_EXIT_HYPERCALL; hypercalls.c:kvm_prepare_hypercall_exit", Standing.OBSERVED),
    Clause("FILTER-12", "The SMCCC filter applies to bits 31:0 of x0, to HVC with any immediate and to SMC #0, on every"
           " vCPU of its VM and in no other VM.", f"{VM}; {CALL}"),
    Clause("FILTER-13", "A range of the SMCCC filter applies to the functions from base to base + nr_functions - 1, and"
           " to no others.", f"{VM}; hypercalls.c:kvm_smccc_get_action"),
    # A known deviation (helpers/contract/deviations.py) excuses this one, so it has its test to itself.
    Clause("FILTER-14", "An SMCCC filter with base 0 and nr_functions 0 is refused with EINVAL.",
           f"{VM}; {SET_FILTER}"),
)  # fmt: skip
