/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The executor: receives a program of system calls, runs it and returns every
 * result and errno.  It contains no checks, and of KVM only struct kvm_one_reg.
 *
 * THE WIRE FORMAT, version 4.  Only this comment describes it.  wire.py
 * implements the host's end.  All numbers are little-endian.  On a stream each
 * body is sent as a frame: u32 length, then that many bytes.
 *
 * Request body:
 *	u32 magic "KHX1"   u16 version   u16 kind (1 = run a program)
 *	u32 deadline_ms    u32 scratch_size   u32 stage_count   u32 serial
 *	u32 chunk_count    u32 pointer_count
 *	per chunk:   u32 offset   u32 length   the bytes, then zeros up to a multiple of 8
 *	per pointer: u32 offset   u32 zero
 *	per stage:   u32 thread_count   u32 flags (1 = its only thread runs in a forked child)
 *	per thread:  u32 repeat         u32 op_count
 *	per op:      u16 code   u16 types   u32 data_len
 *		     for each argument: u64 value
 *		     for each argument of type 1: u64 index
 *		     data_len bytes, then zeros up to a multiple of 8
 *
 * Before the first stage the executor copies each chunk into the scratch
 * memory, at the chunk's offset.  Then it adds the address of the scratch
 * memory to the u64 at the offset of each pointer, which the chunks have set to
 * an offset into the scratch memory.
 *
 * Stages run one after another.  The threads of a stage start together behind
 * a barrier and each runs its list of operations `repeat` times.  Operations
 * are numbered through the whole program in the order of the request.
 *
 * A forked child has copies of the fds and of private memory.  What it opens,
 * closes, maps or writes there does not affect the parent.  At the deadline the
 * child is killed.  If it ends early, its remaining operations are not run.
 *
 * The code determines the number of arguments.  `types` has two bits for each
 * argument, for the first one bits 1:0; the other bits are zero.  Argument
 * types: 0 = value; 1 = result of operation `index` plus value; 2 = address of
 * the scratch memory (zeroed for each program) plus value.  Type 1 takes an
 * operation of an earlier stage, or an earlier one of the same thread.
 * The result of a repeated operation is the result of its last repetition.  It
 * is -1 if the operation was never run.
 *
 * Answer body:
 *	u32 magic   u16 version   u16 status (0 = ran, 1 = malformed request)
 *	u32 serial of the request, so that a late or repeated answer is detected
 *	status 0: u32 flags (1 = the deadline passed)   u32 result_count
 *		  per result, in the order of stage, thread, repetition, op: u8 kind
 *		  zeros up to a multiple of 8 kinds
 *		  per result of kind 254: its 8 bytes of data
 *		  per result of kind 255:
 *		  i64 ret   u32 errno   u32 state (0 = not run, 1 = run)   u32 data_len   u32 zero
 *		  data_len bytes, then zeros up to a multiple of 8
 *	status 1: u32 offset of the error in the request   u32 text_len   text
 *
 * The kind of a result: 0 = run, ret 0, no data; 1 to 253 = run, ret -1, this
 * errno, no data; 254 = run, ret 0, 8 bytes of data; 255 = any other result.
 *
 * KHX_ONE_REG builds a struct kvm_one_reg in the executor's memory, { u64 id,
 * u64 address of a u64 that contains `value` }, and calls the ioctl with its
 * address.  The data of the result are the 8 bytes of the u64 if the call has
 * changed it.  The executor does not use the 512 bytes after the u64, because a
 * kernel with a bug may write to them.  Each thread has its own memory for this.
 *
 * At the deadline a signal interrupts blocked calls (errno EINTR), the
 * remaining operations are not run, and the answer is sent.  A program cannot
 * block that signal with rt_sigprocmask; a call that blocks it itself (ppoll,
 * KVM_RUN after KVM_SET_SIGNAL_MASK) is not interrupted.
 *
 * While a program runs, the soft limit of open files is equal to the hard limit.
 *
 * After a program the signal mask is restored.  Signals that the program
 * blocked, sent to its own process and left pending are discarded.
 */
#ifndef EXECUTOR_H
#define EXECUTOR_H

#include <stddef.h>
#include <stdint.h>

#define KHX_MAGIC 0x3158484bu
#define KHX_VERSION 4
#define KHX_MAX_REQUEST (4u << 20)
#define KHX_MAX_RESULTS (1u << 20)
#define KHX_MAX_DATA (16u << 20)
#define KHX_MAX_SCRATCH (4u << 20)
#define KHX_MAX_THREADS 64

enum khx_code {
	KHX_OPEN = 1,	/* flags, mode; data = path with its NUL */
	KHX_CLOSE,	/* fd */
	KHX_IOCTL,	/* fd, request, argument */
	KHX_MMAP,	/* addr, length, prot, flags, fd, offset */
	KHX_MUNMAP,	/* addr, length */
	KHX_PEEK,	/* addr, length; the answer contains the bytes */
	KHX_POKE,	/* addr; data = the bytes */
	KHX_READ,	/* fd, length; the answer contains the bytes */
	KHX_WRITE,	/* fd; data = the bytes */
	KHX_POKE_VALUE,	/* addr, value; writes the value's 8 bytes */
	KHX_CLOCK,	/* clock id; returns clock_gettime in ns */
	KHX_SYSCALL,	/* number (on the executor's architecture), five arguments */
	KHX_BARRIER,	/* waits until all threads of the stage wait at a barrier */
	KHX_IOCTL_AGAIN,	/* as KHX_IOCTL; repeats the call after EINTR until the deadline */
	KHX_IOCTL_PEEK,	/* fd, request, argument, addr, length; KHX_IOCTL, then KHX_PEEK in the same result */
	KHX_ONE_REG,	/* fd, request, id, value */
	KHX_CODE_END
};

/*
 * Runs one request body and stores its answer body in *answer (to be freed with
 * executor_free).  Returns 0, or -1 if there is no memory for an answer.  If
 * another program runs in this process, the answer is a refusal.
 */
int executor_run(const uint8_t *request, size_t length, uint8_t **answer, size_t *answer_length);
void executor_free(uint8_t *answer);

#endif
