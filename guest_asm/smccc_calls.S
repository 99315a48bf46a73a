/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes a list of SMCCC calls and returns x0..x17 of each through memory.
 *
 * The image is linked to run at IMAGE_IPA. It starts with the MMU off. Page 0 is code,
 * page 1 the level-1 translation table, page 2 and on the mailbox:
 *	u64 count, u64 fault (ESR_EL1), u64 fault_pc, u64 zero,
 *	then per call 32 u64: the instruction's index in the list below, x0..x7 on entry,
 *	x0..x17 on return, CNTVCT before and after, CNTPCT before and after, 1 spare.
 * At the end, the guest stores a byte to EXIT_IPA, which has no memory: KVM_RUN returns
 * KVM_EXIT_MMIO. The byte is 1 if all calls were made, and 2 if an exception was taken.
 */
#define IMAGE_IPA	0x10000
#define MAILBOX		0x2000
#define EXIT_IPA	0x40000000

	.arch	armv8-a
	.text
	.global	_start
_start:
	/*
	 * The mailbox must be cacheable here, as in the host. Otherwise guest and
	 * host can read stale cache lines on a machine without FEAT_S2FWB.
	 */
	adr	x0, translation_table
	msr	ttbr0_el1, x0
	mov	x0, #0xff			/* attribute 0: normal, write-back */
	msr	mair_el1, x0
	ldr	x0, =0x00803519			/* 39-bit VA, 32-bit IPA, 4K, write-back walks, TTBR1 off */
	msr	tcr_el1, x0
	adr	x0, vectors
	msr	vbar_el1, x0
	tlbi	vmalle1
	dsb	nsh
	isb
	mrs	x0, sctlr_el1
	mov	x1, #0x1005			/* I, C, M */
	orr	x0, x0, x1
	msr	sctlr_el1, x0
	isb

again:
	ldr	x28, =IMAGE_IPA + MAILBOX
	ldr	x29, [x28]
	add	x28, x28, #32
next:
	cbz	x29, done
	ldr	x27, [x28]
	isb
	mrs	x24, cntvct_el0
	mrs	x25, cntpct_el0
	ldp	x0, x1, [x28, #8]
	ldp	x2, x3, [x28, #24]
	ldp	x4, x5, [x28, #40]
	ldp	x6, x7, [x28, #56]
	/* x8..x17 get known values, so that user space detects a call that changes them. */
	mov	x8, #0x108
	mov	x9, #0x109
	mov	x10, #0x10a
	mov	x11, #0x10b
	mov	x12, #0x10c
	mov	x13, #0x10d
	mov	x14, #0x10e
	mov	x15, #0x10f
	mov	x16, #0x110
	mov	x17, #0x111
	/* An immediate is part of the instruction, so each has a pair of instructions. */
	adr	x26, instructions
	add	x26, x26, x27, lsl #3
	br	x26
instructions:
	.irp	immediate, 0, 0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800, \
			0x1000, 0x2000, 0x4000, 0x8000, 0xffff
	hvc	#\immediate
	b	made
	smc	#\immediate
	b	made
	.endr
made:
	stp	x0, x1, [x28, #72]
	stp	x2, x3, [x28, #88]
	stp	x4, x5, [x28, #104]
	stp	x6, x7, [x28, #120]
	stp	x8, x9, [x28, #136]
	stp	x10, x11, [x28, #152]
	stp	x12, x13, [x28, #168]
	stp	x14, x15, [x28, #184]
	stp	x16, x17, [x28, #200]
	isb
	mrs	x0, cntvct_el0
	mrs	x1, cntpct_el0
	stp	x24, x0, [x28, #216]
	stp	x25, x1, [x28, #232]
	add	x28, x28, #256
	sub	x29, x29, #1
	b	next

done:
	mov	w0, #1
	b	leave
fault:
	ldr	x28, =IMAGE_IPA + MAILBOX
	mrs	x0, esr_el1
	mrs	x1, elr_el1
	stp	x0, x1, [x28, #8]
	mov	w0, #2
leave:
	dsb	sy
	mov	x1, #EXIT_IPA
	strb	w0, [x1]
	b	again

	.ltorg

	.balign	0x800
vectors:
	.rept	16
	.balign	0x80
	b	fault
	.endr

	.balign	0x1000
translation_table:
	/* 1 GB of normal memory, inner shareable, accessed; then 1 GB as device for EXIT_IPA. */
	.quad	0x0000000000000701
	.quad	0x0060000040000405
	.fill	510, 8, 0
