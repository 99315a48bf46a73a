/* SPDX-License-Identifier: GPL-2.0-only */
/* The benign variants' names; faults/variants.py says what each changes. */
#ifndef VARIANTS_H
#define VARIANTS_H

#define VARIANTS(VARIANT) \
	VARIANT(CCSIDR_REFUSED, "ccsidr-refused") \
	VARIANT(NO_GICV3_DEVICE, "no-gicv3-device") \
	VARIANT(NO_PMU, "no-pmu") \
	VARIANT(NO_SVE, "no-sve") \
	VARIANT(NEWER_BIT, "newer-bit") \
	VARIANT(NEWER_REGISTER_EMPTY, "newer-register-empty") \
	VARIANT(NEWER_REGISTER_FULL, "newer-register-full") \
	VARIANT(NEWER_OWNER, "newer-owner") \
	VARIANT(NEWER_FIRMWARE, "newer-firmware") \
	VARIANT(NEWER_PSCI, "newer-psci") \
	VARIANT(NEWER_SMCCC, "newer-smccc")

#endif
