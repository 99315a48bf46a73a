/* SPDX-License-Identifier: GPL-2.0-only */
/* The benign variants' names; faults/variants.py says what each changes. */
#ifndef VARIANTS_H
#define VARIANTS_H

#define VARIANTS(VARIANT) \
	VARIANT(PREFERRED_TARGET_BY_CORE, "preferred-target-by-core") \
	VARIANT(CCSIDR_REFUSED, "ccsidr-refused") \
	VARIANT(IPA_36_BITS, "ipa-36-bits") \
	VARIANT(NO_GICV3_DEVICE, "no-gicv3-device") \
	VARIANT(NO_PMU, "no-pmu") \
	VARIANT(NO_SVE, "no-sve") \
	VARIANT(NO_STOLEN_TIME, "no-stolen-time") \
	VARIANT(OTHER_CLOCKSOURCE, "other-clocksource") \
	VARIANT(MORE_REGISTERS, "300-more-registers") \
	VARIANT(SPURIOUS_EINTR, "spurious-eintr") \
	VARIANT(SLOW_IOCTLS, "slow-ioctls") \
	VARIANT(WARN_ELSEWHERE, "warn-elsewhere")

#endif
