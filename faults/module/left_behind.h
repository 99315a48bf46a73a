/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LEFT_BEHIND_H
#define LEFT_BEHIND_H

/* Faults of other processes, of histories, and of what calls leave behind; see faults/of_left_behind.py. */
#define LEFT_FAULTS(FAULT) \
	FAULT(PROCESS_VCPU_SERVED, "process-vcpu-served") \
	FAULT(PROCESS_VM_SERVED, "process-vm-served") \
	FAULT(PROCESS_CLEARS, "process-clears") \
	FAULT(PROCESS_LOCKS, "process-locks") \
	FAULT(PROCESS_UNLOCKS, "process-unlocks") \
	FAULT(PROCESS_CLOSE_CLEARS, "process-close-clears") \
	FAULT(PROCESS_CLOSE_FD_CLEARS, "process-close-fd-clears") \
	FAULT(PROCESS_CHILD_VM_EMPTY, "process-child-vm-empty") \
	FAULT(HISTORY_17TH_WRITE, "history-17th-write") \
	FAULT(HISTORY_100TH_REFUSED, "history-100th-refused") \
	FAULT(HISTORY_WRITE_AFTER_READS, "history-write-after-reads") \
	FAULT(HISTORY_WRITE_AFTER_REFUSALS, "history-write-after-refusals") \
	FAULT(HISTORY_SAME_VALUE_CLEARS, "history-same-value-clears") \
	FAULT(HISTORY_LATE_CALL, "history-late-call") \
	FAULT(HISTORY_ADDRESS_VALUE, "history-address-value") \
	FAULT(HISTORY_ADDRESS_LOCKED, "history-address-locked") \
	FAULT(HISTORY_VM_ADDRESS_VALUE, "history-vm-address-value") \
	FAULT(HISTORY_VM_ADDRESS_LOCKED, "history-vm-address-locked") \
	FAULT(HISTORY_VM_ADDRESS_FILTER, "history-vm-address-filter") \
	FAULT(HISTORY_VM_ADDRESS_PSCI, "history-vm-address-psci") \
	FAULT(LEFT_LEAK_REFUSED, "left-leak-refused") \
	FAULT(LEFT_LEAK_BUSY, "left-leak-busy") \
	FAULT(LEFT_LEAK_PAGE, "left-leak-page") \
	FAULT(LEFT_LEAK_VM, "left-leak-vm") \
	FAULT(LEFT_LEAK_DEVICE_TEST, "left-leak-device-test") \
	FAULT(LEFT_LEAK_EXIT, "left-leak-exit") \
	FAULT(LEFT_LEAK_CALL, "left-leak-call") \
	FAULT(LEFT_LEAK_FD, "left-leak-fd") \
	FAULT(LEFT_LEAK_TASK, "left-leak-task") \
	FAULT(LEFT_LEAK_FINALIZE, "left-leak-finalize") \
	FAULT(LEFT_VCPUS_COUNTED, "left-vcpus-counted") \
	FAULT(LEFT_LOCK_HELD, "left-lock-held") \
	FAULT(LEFT_DEVICE_LOCK_HELD, "left-device-lock-held") \
	FAULT(LEFT_LOG_REFUSED, "left-log-refused") \
	FAULT(LEFT_LOG_UNNAMED, "left-log-unnamed") \
	FAULT(LEFT_LOG_CALL, "left-log-call") \
	FAULT(LEFT_LOG_PSCI, "left-log-psci") \
	FAULT(LEFT_LOG_IMMEDIATE, "left-log-immediate") \
	FAULT(LEFT_LIST_WRITES, "left-list-writes") \
	FAULT(LEFT_ATTR_WRITES, "left-attr-writes") \
	FAULT(LEFT_RUN_WRITES, "left-run-writes") \
	FAULT(LEFT_ATTR_WRITES_MORE, "left-attr-writes-more") \
	FAULT(LEFT_TIMER_WRITES_MORE, "left-timer-writes-more")

#endif
