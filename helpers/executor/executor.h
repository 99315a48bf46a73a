/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The executor: receives a program of system calls, runs it, returns every
 * result and errno.  It knows nothing of KVM and decides nothing.
 *
 * THE WIRE FORMAT, version 2.  This is its one description; wire.py is the
 * other end.  Everything is little-endian.  On a stream each body travels as
 * a frame: u32 length, then that many bytes.
 *
 * Request body:
 *	u32 magic "KHX1"   u16 version   u16 kind (1 = run a program)
 *	u32 deadline_ms    u32 scratch_size   u32 stage_count   u32 serial
 *	per stage:   u32 thread_count   u32 zero
 *	per thread:  u32 repeat         u32 op_count
 *	per op:      u16 code   u16 arg_count   u32 data_len
 *		     arg_count times { u32 type, u32 index, u64 value }
 *		     data_len bytes, then zeros up to a multiple of 8
 *
 * Stages run one after another.  The threads of a stage start together behind
 * a barrier and each runs its list of operations `repeat` times.  Operations
 * are numbered through the whole program in the order of the text.
 *
 * Argument types: 0 = value; 1 = result of operation `index` plus value (an
 * operation of an earlier stage, or an earlier one of the same thread; of a
 * repeated one the last repetition's); 2 = address of the scratch memory
 * (zeroed for each program) plus value.
 *
 * Answer body:
 *	u32 magic   u16 version   u16 status (0 = ran, 1 = malformed request)
 *	u32 serial, the request's: a late or second answer is never taken for the next one's
 *	status 0: u32 flags (1 = the deadline passed)   u32 result_count
 *		  per result, in the order of stage, thread, repetition, op:
 *		  i64 ret   u32 errno   u32 state (0 = not run, 1 = run)
 *		  u32 data_len   u32 zero   data, then zeros up to 8
 *	status 1: u32 offset of the fault in the request   u32 text_len   text
 *
 * At the deadline blocked calls are interrupted by a signal (errno EINTR), the
 * operations left are not run, and the answer is sent.
 */
#ifndef EXECUTOR_H
#define EXECUTOR_H

#include <stddef.h>
#include <stdint.h>

#define KHX_MAGIC 0x3158484bu
#define KHX_VERSION 2
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
	KHX_PEEK,	/* addr, length; answers the bytes */
	KHX_POKE,	/* addr; data = the bytes */
	KHX_READ,	/* fd, length; answers the bytes */
	KHX_WRITE,	/* fd; data = the bytes */
	KHX_POKE_VALUE,	/* addr, value; writes the value's 8 bytes */
	KHX_CLOCK,	/* clock id; answers clock_gettime in ns */
	KHX_SYSCALL,	/* number (of the machine that it runs on), five arguments */
	KHX_BARRIER,	/* waits until every thread of the stage has come as far */
	KHX_CODE_END
};

/*
 * Runs one request body and gives its answer body in *answer (to be freed with
 * executor_free).  Returns 0, or -1 when there is no memory even for an answer.
 */
int executor_run(const uint8_t *request, size_t length, uint8_t **answer, size_t *answer_length);
void executor_free(uint8_t *answer);

#endif
