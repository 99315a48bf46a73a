/* SPDX-License-Identifier: GPL-2.0-only */
/* The benign variants' names; see faults/variants.py. */
#ifndef VARIANTS_H
#define VARIANTS_H

#define VARIANTS(VARIANT) \
	VARIANT(PREFERRED_TARGET_BY_CORE, "preferred-target-by-core") \
	VARIANT(CCSIDR_REFUSED, "ccsidr-refused") \
	VARIANT(IPA_36_BITS, "ipa-36-bits") \
	VARIANT(NO_GICV3_DEVICE, "no-gicv3-device") \
	VARIANT(NO_SLOT_FLAGS, "no-slot-flags") \
	VARIANT(NO_PMU, "no-pmu") \
	VARIANT(NO_SVE, "no-sve") \
	VARIANT(NO_STOLEN_TIME, "no-stolen-time") \
	VARIANT(OTHER_CLOCKSOURCE, "other-clocksource") \
	VARIANT(MORE_REGISTERS, "300-more-registers") \
	VARIANT(SPURIOUS_EINTR, "spurious-eintr") \
	VARIANT(SLOW_IOCTLS, "slow-ioctls") \
	VARIANT(WARN_ELSEWHERE, "warn-elsewhere") \
	VARIANT(NEWER_BIT, "newer-bit") \
	VARIANT(NEWER_REGISTER_EMPTY, "newer-register-empty") \
	VARIANT(NEWER_REGISTER_FULL, "newer-register-full") \
	VARIANT(NEWER_OWNER, "newer-owner") \
	VARIANT(NEWER_FIRMWARE, "newer-firmware") \
	VARIANT(NEWER_PSCI, "newer-psci") \
	VARIANT(NEWER_SMCCC, "newer-smccc")

/* Faults in the service of newer-bit; see faults/newer.py. */
#define NEWER_FAULTS(FAULT) \
	FAULT(NEWER_OPEN, "newer-open") \
	FAULT(NEWER_SHUT, "newer-shut") \
	FAULT(NEWER_ANSWER, "newer-answer") \
	FAULT(NEWER_X3_KEPT, "newer-x3-kept") \
	FAULT(NEWER_CLOBBERS_X4, "newer-clobbers-x4") \
	FAULT(NEWER_HVC_ONLY, "newer-hvc-only") \
	FAULT(NEWER_NEEDS_PTP, "newer-needs-ptp") \
	FAULT(NEWER_UNFILTERED, "newer-unfiltered") \
	FAULT(NEWER_UNLOCKED, "newer-unlocked") \
	FAULT(NEWER_DROPPED, "newer-dropped") \
	FAULT(NEWER_REFUSED, "newer-refused") \
	FAULT(NEWER_CLEAR, "newer-clear") \
	FAULT(NEWER_WIDTH, "newer-width")

#endif
