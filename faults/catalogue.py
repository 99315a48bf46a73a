# SPDX-License-Identifier: GPL-2.0-only
"""The faults that the module can plant: what each breaks, the clauses that its tests must then see broken, its hooks.

A fault's name is the module's (faults/module/faults.h). ``UNPROVABLE`` holds the clauses that no fault of ours can
break, and why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MAINLINE, RFC_V3 = "mainline", "rfc-v3"
CONTROL = "none"
"""What is planted where nothing is."""


@dataclass(frozen=True)
class Fault:
    """One fault. ``clauses``: a test of any of them must fail; ``hooks``: the functions of KVM that it needs."""

    id: str
    breaks: str
    clauses: tuple[str, ...]
    hooks: tuple[str, ...]
    dialects: tuple[str, ...] = (MAINLINE,)


def _rows(hooks: str, *rows: tuple[str, str, str]) -> tuple[Fault, ...]:
    """Rows of (id, clauses, what it breaks) that share their hooks."""
    return tuple(Fault(name, breaks, tuple(clauses.split()), tuple(hooks.split())) for name, clauses, breaks in rows)


_CAPABILITY = (
    *_rows(
        "kvm_vm_ioctl_check_extension",
        ("cap-answered", "CAP-1", "mainline answers 207 with 3"),
        ("cap-on-dev-kvm-only", "CAP-1", "207 answers 3 on /dev/kvm and 0 on a VM"),
        ("cap-on-vm-only", "CAP-1", "207 answers 0 on /dev/kvm and 3 on a VM"),
        ("cap-unanswered", "CAP-1", "the RFC's 207 answers 0"),
        ("cap-one-more", "CAP-1", "207 answers one more than there are registers"),
        ("cap-boolean", "CAP-1", "the RFC's 207 answers 1 for yes"),
    ),
    *_rows(
        "kvm_vm_ioctl_enable_cap",
        ("enable-accepted", "ENABLE-1", "KVM_ENABLE_CAP(207) succeeds"),
        ("enable-errno", "ENABLE-1", "KVM_ENABLE_CAP(207) gives EPERM"),
        ("enable-empties", "ENABLE-1", "KVM_ENABLE_CAP(207) is refused and empties the registers"),
    ),
    *_rows(
        "kvm_arm_copy_fw_reg_indices kvm_arm_get_fw_num_regs",
        ("list-none", "CAP-2 CAP-3", "the list shows no bitmap register"),
        ("list-one-missing", "CAP-2 CAP-3", "the list leaves out STD_HYP"),
        ("list-one-twice", "CAP-2 LIST-1", "the list shows STD_HYP twice"),
        ("list-unknown", "CAP-2 LIST-1", "the list shows a register that cannot be read"),
    ),
    *_rows(
        "kvm_arch_vcpu_ioctl",
        ("list-number-kept", "LIST-2", "E2BIG does not write n back"),
        ("list-room-errno", "LIST-2", "too little room gives ENOMEM"),
        ("list-room-silent", "LIST-2", "too little room succeeds"),
        ("list-overrun", "LIST-1 LIST-2", "the list is one id longer than it says"),
        ("list-fault-errno", "LIST-3", "a list that cannot be written gives EINVAL"),
        ("list-fault-silent", "LIST-3", "a list that cannot be written succeeds"),
        ("list-uninitialised", "LIST-4", "the list of an uninitialised vCPU gives EINVAL"),
    ),
    *_rows("kvm_arch_vm_ioctl", ("list-on-vm", "LIST-4", "the list on a VM's fd gives ENOTTY")),
)

_DEFAULTS = (
    *_rows(
        "kvm_arm_init_hypercalls",
        ("default-empty", "DEFAULT-1", "a new VM's registers are empty"),
        ("default-bit-missing", "DEFAULT-1", "a new VM's VENDOR_HYP lacks its highest bit"),
        ("default-bit-extra", "DEFAULT-1", "a new VM's STD has a bit too many"),
    ),
    *_rows(
        "kvm_arm_init_hypercalls kvm_arm_set_fw_reg",
        ("default-last-written", "DEFAULT-2", "a new VM begins with what was last written in any"),
    ),
    *_rows(
        "kvm_arm_set_fw_reg kvm_arm_get_fw_reg",
        ("vm-shared", "DEFAULT-2", "reads give what was last written in any VM"),
        ("vcpu-others-empty", "DEFAULT-3", "all vCPUs but the first read nothing"),
        ("vcpu-own-value", "DEFAULT-3", "all vCPUs but the first have registers of their own"),
    ),
)

_VALUES = (
    *_rows(
        "kvm_arm_get_fw_reg",
        ("get-always-full", "LIMIT-1", "reads give every supported bit"),
        ("get-extra-bit", "LIMIT-1 DEFAULT-1", "reads have bit 32 set"),
        ("get-neighbour", "LIMIT-1 LIMIT-4", "reads give the next register's bits"),
        ("get-clears", "LIMIT-1 CAP-3", "reading empties a register"),
        ("get-full-after-run", "LOCK-4", "after KVM_RUN reads give every supported bit"),
        ("get-empty-after-run", "LOCK-4", "after KVM_RUN reads give nothing"),
        ("get-busy-after-run", "LOCK-4", "after KVM_RUN reads are refused with EBUSY"),
    ),
    *_rows(
        "kvm_arm_set_fw_reg",
        ("set-ignored", "LIMIT-1", "writes succeed and change nothing"),
        ("set-first-only", "LIMIT-1", "only a VM's first write counts"),
        ("set-only-sets", "LIMIT-1", "writes set bits and clear none"),
        ("set-only-clears", "LIMIT-1", "writes clear bits and set none"),
        ("set-also-next", "LIMIT-4", "a write reaches the next register too"),
        ("set-clears-next", "LIMIT-4", "a write empties the next register"),
        ("limit-none", "LIMIT-2", "every bitmap is accepted"),
        ("limit-one-more", "LIMIT-2", "the first unsupported bit is accepted"),
        ("limit-bit-63", "LIMIT-2", "bit 63 is accepted"),
        ("limit-lower-half", "LIMIT-2", "only the lower 32 bits are checked"),
        ("limit-first-register-only", "LIMIT-2", "only STD is checked"),
        ("limit-any-beside-supported", "LIMIT-2", "any bit is accepted beside a supported one"),
        ("limit-drops-bits", "LIMIT-2", "unsupported bits are dropped without an error"),
        ("limit-silent", "LIMIT-2", "unsupported bits are ignored without an error"),
        ("limit-errno", "LIMIT-2", "an unsupported bit gives EPERM"),
        ("limit-noent", "LIMIT-2", "an unsupported bit gives ENOENT"),
        ("limit-refuses-full", "LIMIT-1", "the full bitmap is refused"),
        ("limit-refuses-empty", "LIMIT-1", "the empty bitmap is refused"),
        ("limit-refuses-ptp-alone", "LIMIT-1", "VENDOR_HYP's PTP is refused without FUNC_FEAT"),
        ("refused-stores", "LIMIT-3 ACCESS-9", "a refused bitmap is stored all the same"),
        ("refused-stores-supported", "LIMIT-3 ACCESS-9", "the supported bits of a refused bitmap are stored"),
        ("refused-clears", "LIMIT-3 ACCESS-9", "a refused bitmap empties the register"),
    ),
)

_LOCK = (
    *_rows(
        "kvm_arm_set_fw_reg",
        ("lock-missing", "LOCK-1", "registers can be changed for ever"),
        ("lock-std-only", "LOCK-1", "only STD is locked"),
        ("lock-not-vendor", "LOCK-1", "VENDOR_HYP is not locked"),
        ("lock-clearing-only", "LOCK-1", "after KVM_RUN bits can still be set"),
        ("lock-setting-only", "LOCK-1", "after KVM_RUN bits can still be cleared"),
        ("lock-errno", "LOCK-1", "a change after KVM_RUN gives EPERM"),
        ("lock-einval", "LOCK-1", "a change after KVM_RUN gives EINVAL"),
        ("lock-silent", "LOCK-1", "a change after KVM_RUN succeeds and does nothing"),
        ("lock-same-value", "LOCK-2", "after KVM_RUN the same value gives EBUSY (before 528ada2811ba)"),
        ("lock-before-limit", "LOCK-3 ACCESS-8", "after KVM_RUN an unsupported bit gives EBUSY"),
        ("lock-stores", "LOCK-4 LOCK-5", "a change after KVM_RUN gives EBUSY and is made"),
        ("lock-refusal-clears", "LOCK-4 LOCK-5", "a change after KVM_RUN gives EBUSY and empties the register"),
        ("lock-by-write", "LIMIT-1", "a register can be written once"),
    ),
    *_rows(
        "kvm_arm_set_fw_reg kvm_arm_get_fw_reg",
        ("lock-by-read", "LIMIT-1", "a read locks the registers"),
    ),
    *_rows(
        "kvm_arm_set_fw_reg kvm_smccc_call_handler",
        ("lock-guest-sees", "LOCK-5", "the guest sees what a refused write said"),
    ),
    *_rows(
        "kvm_arm_set_fw_reg kvm_arch_vcpu_run_pid_change",
        ("lock-per-vcpu", "LOCK-1", "only the vCPU that has run refuses changes"),
        ("lock-other-vcpus", "LOCK-1", "the vCPU that has run still takes changes"),
        ("lock-first-vcpu", "LOCK-1", "only a run of the first vCPU counts"),
        ("lock-all-vms", "DEFAULT-2", "a run of one VM locks every VM"),
        ("lock-by-failed-run", "RUN-2 RUN-3", "a KVM_RUN that failed before the guest was ready locks"),
    ),
    *_rows(
        "kvm_arm_set_fw_reg kvm_arch_vcpu_ioctl_run",
        ("lock-not-immediate-exit", "LOCK-6", "KVM_RUN with immediate_exit does not count"),
    ),
    *_rows(
        "kvm_arch_vcpu_ioctl",
        ("lock-by-init", "LIMIT-1", "KVM_ARM_VCPU_INIT locks"),
        ("lock-reinit-clears", "RUN-8", "KVM_ARM_VCPU_INIT again unlocks"),
        ("init-resets", "RUN-8", "KVM_ARM_VCPU_INIT again resets the registers"),
    ),
    *_rows("kvm_arch_vcpu_run_pid_change", ("run-clears", "LOCK-4 DEFAULT-1", "KVM_RUN empties the registers")),
)

_ACCESS = (
    *_rows("kvm_arch_dev_ioctl", ("one-reg-on-dev-kvm", "ACCESS-1", "ONE_REG on /dev/kvm gives ENOTTY")),
    *_rows("kvm_arch_vm_ioctl", ("one-reg-on-vm", "ACCESS-1", "KVM_SET_ONE_REG on a VM's fd succeeds")),
    *_rows(
        "kvm_arch_vcpu_ioctl",
        ("uninitialised-errno", "ACCESS-2", "ONE_REG on an uninitialised vCPU gives EINVAL"),
        ("uninitialised-silent", "ACCESS-2", "ONE_REG on an uninitialised vCPU succeeds"),
        ("struct-before-init", "ACCESS-2", "ONE_REG on an uninitialised vCPU looks at its argument first"),
        ("struct-errno", "ACCESS-3", "a struct kvm_one_reg that cannot be read gives EINVAL"),
        ("pointer-errno", "ACCESS-7", "a value that cannot be reached gives EINVAL"),
        ("pointer-silent", "ACCESS-7", "a value that cannot be reached succeeds"),
    ),
    *_rows(
        "kvm_arm_get_reg kvm_arm_set_reg",
        ("id-arch-errno", "ACCESS-4", "another architecture's id gives ENOENT"),
        ("id-arch-ignored", "ACCESS-4", "the id's architecture does not count"),
        ("id-size-errno", "ACCESS-5", "an id of another size gives EINVAL"),
        ("id-size-ignored", "ACCESS-5", "the id's size does not count"),
        ("id-stray-bits-ignored", "ACCESS-6", "bits 28 to 31 of an id do not count"),
        ("id-index-truncated", "ACCESS-6", "only eight bits of the index count"),
        ("id-unknown-errno", "ACCESS-6", "an unknown index gives EINVAL"),
        ("id-unknown-silent", "ACCESS-6", "an unknown index succeeds"),
        ("failed-get-writes", "ACCESS-9", "a failed read writes the caller's memory"),
    ),
    *_rows("kvm_arm_set_reg", ("set-id-before-pointer", "ACCESS-6 ACCESS-7", "a write looks at the id first")),
)

_GATES = _rows(
    "kvm_smccc_call_handler",
    ("gate-trng-open", "CALL-2", "TRNG answers although its bit is clear"),
    ("gate-trng-uuid-open", "CALL-2", "TRNG_GET_UUID answers although its bit is clear"),
    ("gate-rnd64-open", "CALL-2", "TRNG_RND64 answers although its bit is clear"),
    ("gate-pv-time-open", "CALL-2", "PV_TIME answers although its bit is clear"),
    ("gate-pv-st-open", "CALL-2", "PV_TIME_ST answers although its bit is clear"),
    ("gate-uid-open", "CALL-2", "the vendor's UID answers although its bit is clear"),
    ("gate-ptp-open", "CALL-2", "KVM_PTP answers although its bit is clear"),
    ("gate-always-default", "CALL-2", "guests see the defaults whatever was written"),
    ("gate-trng-shut", "CALL-1", "TRNG is refused although its bit is set"),
    ("gate-pv-time-shut", "CALL-1", "PV_TIME is refused although its bit is set"),
    ("gate-uid-shut", "CALL-1", "the vendor's UID is refused although its bit is set"),
    ("gate-ptp-shut", "CALL-1", "KVM_PTP is refused although its bit is set"),
    ("gate-trng-by-std-hyp", "CALL-1", "STD_HYP opens TRNG"),
    ("gate-pv-time-by-vendor", "CALL-1", "VENDOR_HYP opens PV_TIME"),
    ("gate-vendor-bits-swapped", "CALL-1", "FUNC_FEAT opens KVM_PTP, PTP the UID"),
    ("gate-ptp-needs-both", "CALL-1", "KVM_PTP wants FUNC_FEAT too"),
    ("gate-trng-needs-others", "CALL-1 CALL-3", "TRNG is refused where STD_HYP is empty"),
    ("gate-arch-features-open", "ARCH-1", "ARCH_FEATURES knows PV_TIME although its bit is clear"),
    ("smc-ungated", "SMC-1", "an SMC sees every service"),
    ("smc-shut", "SMC-1", "an SMC sees no service that a bit opens"),
    ("smc-refused", "SMC-1", "an SMC is never served"),
    ("closed-zero", "CALL-2", "a closed call gives 0 in x0"),
    ("closed-32-bits", "CALL-2", "a closed call gives -1 of 32 bits in x0"),
    ("closed-invalid", "CALL-2", "a closed call gives -2 in x0"),
    ("closed-x1-kept", "CALL-2", "a closed call leaves x1 as it was"),
    ("closed-x2-kept", "CALL-2", "a closed call leaves x2 as it was"),
    ("closed-x3-kept", "CALL-2", "a closed call leaves x3 as it was"),
)

_CALLS = (
    *_rows(
        "kvm_smccc_call_handler",
        ("upper-half-refused", "CALL-5", "x0 with anything in its upper half is refused"),
        ("immediate-refused", "CALL-6", "HVC with an immediate is refused"),
        ("clobbers-x4", "CALL-4", "a call empties x4"),
        ("clobbers-x17", "CALL-4", "a call of a service empties x17"),
        ("unknown-answered", "CALL-7 CALL-3", "functions that there are not succeed"),
        ("discover-answered", "CALL-7", "DISCOVER_IMPL succeeds"),
        ("soc-id-answered", "CALL-7", "SOC_ID succeeds"),
        ("sve-hint-stripped", "CALL-7", "the SVE hint in a function id does not count"),
        ("yielding-served", "CALL-7", "yielding calls are served as fast ones"),
        ("other-width-served", "CALL-7", "32-bit functions are served as 64-bit ones"),
        ("owner-ignored", "CALL-7", "owner 7 is served as owner 6"),
        ("version-wrong", "CALL-3", "SMCCC_VERSION gives 1.0"),
        ("version-gated", "CALL-3", "SMCCC_VERSION is refused where STD is empty"),
        ("psci-version-wrong", "CALL-3", "PSCI_VERSION gives another version than the register"),
        ("psci-gated", "CALL-3", "PSCI_VERSION is refused where STD_HYP is empty"),
        ("workaround-by-smc", "WA-1", "ARCH_WORKAROUND_1 succeeds by SMC"),
        ("arch-features-workaround-gated", "CALL-3", "ARCH_FEATURES of WORKAROUND_1 gives VENDOR_HYP's bits"),
        ("arch-features-trng", "ARCH-1", "ARCH_FEATURES knows TRNG"),
        ("arch-features-pv-st", "ARCH-1", "ARCH_FEATURES knows PV_TIME_ST"),
        ("arch-features-needs-area", "ARCH-1", "ARCH_FEATURES knows PV_TIME only with a stolen-time area"),
    ),
    *_rows(
        "handle_smc",
        ("smc-immediate-served", "SMC-2", "SMC with an immediate is served"),
        ("smc-immediate-zeroes", "SMC-2", "SMC with an immediate empties x1 to x3"),
        ("smc-immediate-succeeds", "SMC-2", "SMC with an immediate gives 0"),
    ),
)

_SERVICES = (
    *_rows(
        "kvm_smccc_call_handler",
        ("open-x1-filled", "CALL-1", "an open call leaves x1 as it was where it should be 0"),
        ("open-x3-kept", "CALL-1", "TRNG_VERSION leaves x3 as it was"),
        ("trng-version-wrong", "CALL-1", "TRNG_VERSION gives 1.1"),
        ("trng-uuid-reversed", "CALL-1", "TRNG_GET_UUID's words come last first"),
        ("trng-uuid-big-endian", "CALL-1", "TRNG_GET_UUID's words have their bytes reversed"),
        ("trng-features-any", "TRNG-2", "TRNG_FEATURES knows every function"),
        ("trng-features-no-rnd64", "TRNG-2", "TRNG_FEATURES does not know TRNG_RND64"),
        ("trng-features-32-bits", "TRNG-2", "TRNG_FEATURES looks at 32 bits of its argument"),
        ("trng-no-limit", "CALL-1", "TRNG_RND gives more bits than fit"),
        ("trng-wrong-error", "CALL-1", "TRNG_RND refuses too many bits with NO_ENTROPY"),
        ("trng-constant", "TRNG-1", "TRNG_RND gives the same bits each time"),
        ("trng-zero", "TRNG-1", "TRNG_RND gives zeros"),
        ("trng-bit-stuck", "TRNG-1", "TRNG_RND's lowest bit is always 0"),
        ("trng-words-reversed", "TRNG-1", "TRNG_RND's words come last first"),
        ("trng-padding", "TRNG-1", "TRNG_RND gives one bit more than was asked for"),
        ("trng-sign-extended", "TRNG-1", "TRNG_RND32's words are sign-extended"),
        ("pv-features-without-area", "PVTIME-2", "PV_TIME_FEATURES answers 0 without a stolen-time area"),
        ("pv-features-any", "PVTIME-2", "PV_TIME_FEATURES knows every function"),
        ("pv-features-no-st", "PVTIME-2", "PV_TIME_FEATURES does not know PV_TIME_ST"),
        ("pv-st-without-area", "PVTIME-1", "PV_TIME_ST gives address 0 without a stolen-time area"),
        ("pv-st-wrong-address", "PVTIME-1", "PV_TIME_ST gives another address"),
        ("uid-reversed", "CALL-1", "the vendor's UID comes last word first"),
        ("uid-other", "CALL-1", "the vendor's UID is another"),
        ("features-fixed", "FEAT-1", "KVM_FEATURES shows every bit"),
        ("features-shifted", "FEAT-1", "KVM_FEATURES is shifted by one"),
        ("features-in-x1", "FEAT-1", "KVM_FEATURES comes in x1"),
        ("features-x2-filled", "FEAT-1", "KVM_FEATURES shows functions 64 and 65"),
        ("ptp-wall-clock", "PTP-1", "KVM_PTP's time is 4 s ahead"),
        ("ptp-frozen", "PTP-1", "KVM_PTP's time stands still"),
        ("ptp-words-swapped", "PTP-1", "KVM_PTP's words come low first"),
        ("ptp-whole-words", "PTP-1", "KVM_PTP's time and counter come in one register each"),
        ("ptp-counter-offset", "PTP-1", "KVM_PTP's counters are 2^32 ticks ahead"),
        ("ptp-physical-only", "PTP-1", "KVM_PTP's virtual counter is wrong"),
        ("ptp-unknown-counter", "PTP-2", "KVM_PTP answers for a counter that there is not"),
    ),
    *_rows("kvm_init_stolen_time", ("pv-st-not-zeroed", "PVTIME-1", "PV_TIME_ST does not zero the area")),
)

_IN_BOTH = {
    "cap-on-dev-kvm-only", "cap-on-vm-only", "list-one-missing", "list-unknown", "default-empty", "vm-shared",
    "vcpu-own-value", "limit-none", "limit-one-more", "refused-stores", "set-only-sets", "lock-missing",
    "lock-per-vcpu",
    "lock-same-value", "lock-before-limit", "lock-stores", "get-busy-after-run", "gate-trng-open", "gate-ptp-open",
    "gate-ptp-shut", "id-unknown-silent", "closed-32-bits",
}  # fmt: skip
_IN_RFC = {"cap-unanswered", "cap-one-more", "cap-boolean"}
"""Of the capability: mainline has none to get wrong so. One more is mainline's cap-answered over again."""


def _dialects(fault: Fault) -> Fault:
    if fault.id in _IN_RFC:
        return replace(fault, dialects=(RFC_V3,))
    return replace(fault, dialects=(MAINLINE, RFC_V3)) if fault.id in _IN_BOTH else fault


FAULTS = tuple(
    map(_dialects, (*_CAPABILITY, *_DEFAULTS, *_VALUES, *_LOCK, *_ACCESS, *_GATES, *_CALLS, *_SERVICES))
)

UNPROVABLE: dict[str, str] = {}
"""Clauses that no probe of ours can break, and why."""
