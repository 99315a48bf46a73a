# SPDX-License-Identifier: GPL-2.0-only
"""The layout of guest memory. guest_asm/smccc_calls.S uses the same numbers."""

from __future__ import annotations

DEFAULT_IPA_BITS, LEAST_IPA_BITS = 40, 32
"""Bits of guest physical addresses (IPA): of a VM of type 0, and of the smallest VM that KVM makes (api.rst 4.2)."""
MEMORY_IPA = 0x10000
"""The guest physical address of the memory, and the entry of the guest."""
MEMORY_SIZE = 0x10000
"""Bytes of guest memory: one page even where pages are 64 KiB."""
MAILBOX = 0x2000
"""Offset in the memory (bytes). It holds the number of calls, three words for an exception, and the calls."""
MAILBOX_HEAD, CALL_RECORD, CALL_RESULT = 32, 256, 72
"""Bytes before the first call, bytes of each call, and the offset of x0 after the call (bytes)."""
PV_TIME_IPA = MEMORY_IPA + 0xF000
"""Guest memory for a stolen-time area. The mailbox ends below it."""
