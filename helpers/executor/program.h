/* SPDX-License-Identifier: GPL-2.0-only */
/* A program in memory, from the request to the answer; executor.h describes the wire format. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "executor.h"

#include <pthread.h>
#include <stdatomic.h>

#define MAX_ARGS 6

/* Two bits of an operation's types. */
enum arg_type { ARG_VALUE, ARG_RESULT, ARG_SCRATCH, ARG_UNKNOWN };

#define ARG_TYPE_BITS 2
#define ARG_TYPE_MASK 3

/* `args` and `data` point into the request, where they need not be aligned.  The indices follow the arguments. */
struct op {
	uint16_t code, types;
	uint32_t arg_count, data_len;
	const uint8_t *args, *data;
	int64_t last;
};

/* Without `data`, up to 8 bytes are in `word`: an operation that returns a u64 needs no allocation. */
struct result {
	int64_t ret;
	uint32_t err, state, data_len;
	uint64_t word;
	uint8_t *data;
};

struct program;

struct thread {
	struct program *program;
	uint32_t repeat, first_op, op_count;
	struct result *results;
	pthread_t id;
};

struct stage {
	uint32_t first_thread, thread_count, forked;
};

struct program {
	uint32_t deadline_ms, scratch_size, stage_count, serial;
	uint32_t op_count, thread_count;
	uint64_t result_count;
	struct op *ops;
	struct thread *threads;
	struct stage *stages;
	struct result *results;
	uint8_t *scratch;
	uint32_t started;
	atomic_uint gate, arrived, finished, turn;
	atomic_int apart;
	atomic_ullong processors;
	atomic_size_t data_total;
	int expired;
};

/* read_program.c: the reason why a request is malformed, and the offset; reason is NULL for a valid request. */
struct malformed {
	const char *reason;
	size_t at;
};

struct malformed read_program(struct program *p, const uint8_t *request, size_t length);

/* run_program.c: runs the stages; returns NULL, or the reason why it could not. */
const char *run_program(struct program *p);
int64_t wait_for_threads(struct program *p);
int deadline_passed(void);
void unblock_own_signals(void);

/* run_child.c: runs the thread's operations in a forked child; returns -1 if the child cannot be created. */
int run_in_child(struct thread *t);

/* run_op.c: runs one operation and stores its result in *res. */
void run_op(struct program *p, struct op *op, struct result *res);
void on_memory_fault(int signal);

/* answer.c: return -1 if there is no memory for an answer. */
int answer_refusal(uint32_t serial, struct malformed bad, uint8_t **answer, size_t *length);
int answer_results(const struct program *p, uint8_t **answer, size_t *length);

#endif
