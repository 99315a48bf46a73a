/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PSCI_H
#define PSCI_H

/* Faults of PSCI's arguments and exits, and of the stolen-time area's memory; see faults/of_neighbours.py. */
#define NEIGHBOUR_FAULTS(FAULT) \
	FAULT(PSCI_ID_WIDE, "psci-id-wide") \
	FAULT(PSCI_ID_NARROW, "psci-id-narrow") \
	FAULT(PSCI_FEATURES_WIDE, "psci-features-wide") \
	FAULT(PSCI_RESERVED_BITS, "psci-reserved-bits") \
	FAULT(PSCI_RESERVED_BIT_31, "psci-reserved-bit-31") \
	FAULT(PSCI_ON_RESERVED_BITS, "psci-on-reserved-bits") \
	FAULT(PSCI_LEVEL_IGNORED, "psci-level-ignored") \
	FAULT(PSCI_LEVEL_4, "psci-level-4") \
	FAULT(PSCI_LEVEL_OFF, "psci-level-off") \
	FAULT(PSCI_CONTEXT_LOST, "psci-context-lost") \
	FAULT(PSCI_CONTEXT_32_BITS, "psci-context-32-bits") \
	FAULT(PSCI_ENTRY_32_BITS, "psci-entry-32-bits") \
	FAULT(PSCI_ON_TWICE, "psci-on-twice") \
	FAULT(PSCI_ON_RESTARTS, "psci-on-restarts") \
	FAULT(PSCI_ON_UNMASKED, "psci-on-unmasked") \
	FAULT(PSCI_ON_AGAIN_UNMASKED, "psci-on-again-unmasked") \
	FAULT(PSCI_ON_LATE, "psci-on-late") \
	FAULT(PSCI_CONTEXT_AT_0, "psci-context-at-0") \
	FAULT(SUSPEND_POWER_DOWN, "suspend-power-down") \
	FAULT(SUSPEND_EXTENDED, "suspend-extended") \
	FAULT(SUSPEND_CLOBBERS_X5, "suspend-clobbers-x5") \
	FAULT(SYSTEM_NO_DATA, "system-no-data") \
	FAULT(SYSTEM_FLAG_MISSING, "system-flag-missing") \
	FAULT(SYSTEM_FLAG_ALWAYS, "system-flag-always") \
	FAULT(SYSTEM_TYPE_OTHER, "system-type-other") \
	FAULT(SYSTEM_X0_SUCCESS, "system-x0-success") \
	FAULT(SYSTEM_PC_AT_CALL, "system-pc-at-call") \
	FAULT(SYSTEM_ARGUMENTS_LOST, "system-arguments-lost") \
	FAULT(SYSTEM_OTHERS_RUN, "system-others-run") \
	FAULT(SYSTEM_CALLER_RUNS, "system-caller-runs") \
	FAULT(SYSTEM_STOPPED_RUN, "system-stopped-run") \
	FAULT(CPU_OFF_RETURNS, "cpu-off-returns") \
	FAULT(PSCI_0_1_REFUSED, "psci-0-1-refused") \
	FAULT(CPU_OFF_STOPS_ALL, "cpu-off-stops-all") \
	FAULT(SYSTEM_RUN_WAKES, "system-run-wakes") \
	FAULT(SYSTEM_ANY_TYPE, "system-any-type") \
	FAULT(SYSTEM_SUSPEND_ALWAYS, "system-suspend-always") \
	FAULT(SYSTEM_SUSPEND_X1_LOST, "system-suspend-x1-lost") \
	FAULT(SYSTEM_SUSPEND_STOPS, "system-suspend-stops") \
	FAULT(PSCI_TARGET_BY_ID, "psci-target-by-id") \
	FAULT(CPU_OFF_LAST_DENIED, "cpu-off-last-denied") \
	FAULT(PSCI_STATE_DROPS_RESET, "psci-state-drops-reset") \
	FAULT(SUSPEND_HOLDS_LOCK, "suspend-holds-lock") \
	FAULT(STEP_SKIPS_ONE_MORE, "step-skips-one-more") \
	FAULT(CLOBBERS_X18, "clobbers-x18") \
	FAULT(CLOBBERS_SP, "clobbers-sp") \
	FAULT(CLOBBERS_V8, "clobbers-v8") \
	FAULT(SMC_IMMEDIATE_LOW_BYTE, "smc-immediate-low-byte") \
	FAULT(HAS_ATTR_AFTER_RUN, "has-attr-after-run") \
	FAULT(HAS_ATTR_ONCE_SET, "has-attr-once-set") \
	FAULT(FILTER_HAS_AFTER_RUN, "filter-has-after-run") \
	FAULT(FILTER_HAS_POINTER, "filter-has-pointer") \
	FAULT(PVTIME_READ_ONLY, "pvtime-read-only") \
	FAULT(PV_ST_WRITES_READ_ONLY, "pv-st-writes-read-only") \
	FAULT(PV_ST_KILLS_VM, "pv-st-kills-vm") \
	FAULT(PV_ST_FORGETS_AREA, "pv-st-forgets-area") \
	FAULT(PV_ST_NOT_DIRTY, "pv-st-not-dirty") \
	FAULT(STOLEN_TIME_NOT_DIRTY, "stolen-time-not-dirty") \
	FAULT(STOLEN_TIME_RESTARTS, "stolen-time-restarts") \
	FAULT(STOLEN_TIME_ATTRIBUTES, "stolen-time-attributes")

#endif
