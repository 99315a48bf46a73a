// SPDX-License-Identifier: GPL-2.0-only
/* Reads and checks a request. */
#include "program.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct reader {
	const uint8_t *base;
	size_t length, at;
	struct malformed bad;
};

static const struct {
	uint8_t arg_count, takes_data;
} shapes[KHX_CODE_END] = {
	[KHX_OPEN] = { 2, 1 },	 [KHX_CLOSE] = { 1, 0 }, [KHX_IOCTL] = { 3, 0 },
	[KHX_MMAP] = { 6, 0 },	 [KHX_MUNMAP] = { 2, 0 }, [KHX_PEEK] = { 2, 0 },
	[KHX_POKE] = { 1, 1 },	 [KHX_READ] = { 2, 0 },  [KHX_WRITE] = { 1, 1 },
	[KHX_POKE_VALUE] = { 2, 0 }, [KHX_CLOCK] = { 1, 0 }, [KHX_SYSCALL] = { 6, 0 },
	[KHX_BARRIER] = { 0, 0 }, [KHX_IOCTL_AGAIN] = { 3, 0 }, [KHX_IOCTL_PEEK] = { 5, 0 },
	[KHX_ONE_REG] = { 4, 0 },
};

static int refuse(struct reader *r, const char *text)
{
	if (!r->bad.reason)
		r->bad = (struct malformed){ text, r->at };
	return -1;
}

static int take(struct reader *r, void *to, size_t n)
{
	if (r->bad.reason)
		return -1;
	if (r->length - r->at < n)
		return refuse(r, "the request ends before its contents do");
	memcpy(to, r->base + r->at, n);
	r->at += n;
	return 0;
}

static uint32_t take_u32(struct reader *r)
{
	uint32_t v = 0;

	take(r, &v, sizeof(v));
	return v;
}

static uint16_t take_u16(struct reader *r)
{
	uint16_t v = 0;

	take(r, &v, sizeof(v));
	return v;
}

static uint64_t take_u64(struct reader *r)
{
	uint64_t v = 0;

	take(r, &v, sizeof(v));
	return v;
}

/* The arrays grow by doubling; `count` elements are in use. */
static void *grow(void *array, uint32_t count, size_t size)
{
	if (count & (count - 1))
		return array;
	return realloc(array, (count ? count * 2 : 1) * size);
}

/* The next LENGTH bytes of the request, which are padded to a multiple of 8; NULL if the request is too short. */
static const uint8_t *take_bytes(struct reader *r, uint32_t length)
{
	size_t padded = ((size_t)length + 7) & ~(size_t)7;
	const uint8_t *bytes = r->base + r->at;

	if (r->bad.reason)
		return NULL;
	if (r->length - r->at < padded) {
		refuse(r, "the request ends before its contents do");
		return NULL;
	}
	r->at += padded;
	return bytes;
}

static void take_index(struct reader *r, uint32_t stage_start, uint32_t thread_start, uint32_t op_index)
{
	uint64_t index = take_u64(r);

	if (index >= op_index)
		refuse(r, "an argument refers to an operation that is not earlier");
	else if (index >= stage_start && index < thread_start)
		refuse(r, "an argument refers to a thread that runs at the same time");
}

static void take_args(struct reader *r, struct op *op, uint32_t stage_start, uint32_t thread_start, uint32_t op_index)
{
	unsigned int types = op->types;

	op->arg_count = shapes[op->code].arg_count;
	if (types >> ARG_TYPE_BITS * op->arg_count)
		refuse(r, "a type of an argument that the operation does not have");
	op->args = take_bytes(r, op->arg_count * sizeof(uint64_t));
	for (; types && !r->bad.reason; types >>= ARG_TYPE_BITS) {
		if ((types & ARG_TYPE_MASK) == ARG_RESULT)
			take_index(r, stage_start, thread_start, op_index);
		else if ((types & ARG_TYPE_MASK) == ARG_UNKNOWN)
			refuse(r, "an argument of unknown type");
	}
}

static void take_data(struct reader *r, struct op *op)
{
	op->data = take_bytes(r, op->data_len);
	if (op->data && op->code == KHX_OPEN && (!op->data_len || op->data[op->data_len - 1]))
		refuse(r, "a path without its terminating NUL");
}

static void take_op(struct reader *r, struct program *p, uint32_t stage_start, uint32_t thread_start)
{
	/* The result of an operation that never runs must not be taken for file descriptor 0. */
	struct op op = { .last = -1 }, *ops;

	op.code = take_u16(r);
	op.types = take_u16(r);
	op.data_len = take_u32(r);
	if (r->bad.reason)
		return;
	if (!op.code || op.code >= KHX_CODE_END) {
		refuse(r, "an operation of unknown code");
		return;
	}
	if (op.data_len && !shapes[op.code].takes_data) {
		refuse(r, "an operation with data that it does not take");
		return;
	}
	take_args(r, &op, stage_start, thread_start, p->op_count);
	take_data(r, &op);
	if (r->bad.reason)
		return;
	ops = grow(p->ops, p->op_count, sizeof(op));
	if (!ops) {
		refuse(r, "no memory for the program");
		return;
	}
	p->ops = ops;
	p->ops[p->op_count++] = op;
}

static void take_thread(struct reader *r, struct program *p, uint32_t stage_start)
{
	struct thread t = { .program = p, .first_op = p->op_count }, *threads;

	t.repeat = take_u32(r);
	t.op_count = take_u32(r);
	if (r->bad.reason)
		return;
	if ((uint64_t)t.repeat * t.op_count > KHX_MAX_RESULTS - p->result_count) {
		refuse(r, "more results than an answer may hold");
		return;
	}
	p->result_count += (uint64_t)t.repeat * t.op_count;
	for (uint32_t i = 0; i < t.op_count && !r->bad.reason; i++)
		take_op(r, p, stage_start, t.first_op);
	threads = grow(p->threads, p->thread_count, sizeof(t));
	if (!threads) {
		refuse(r, "no memory for the program");
		return;
	}
	p->threads = threads;
	p->threads[p->thread_count++] = t;
}

static void take_stage(struct reader *r, struct program *p)
{
	struct stage s = { .first_thread = p->thread_count }, *stages;
	uint32_t stage_start = p->op_count;

	s.thread_count = take_u32(r);
	s.forked = take_u32(r);
	if (s.forked > 1)
		refuse(r, "a stage with unknown flags");
	if (r->bad.reason)
		return;
	if (!s.thread_count || s.thread_count > KHX_MAX_THREADS) {
		refuse(r, "a stage with no thread or with too many");
		return;
	}
	if (s.forked && s.thread_count > 1) {
		refuse(r, "a forked child with several threads");
		return;
	}
	for (uint32_t i = 0; i < s.thread_count && !r->bad.reason; i++)
		take_thread(r, p, stage_start);
	stages = grow(p->stages, p->stage_count, sizeof(s));
	if (!stages) {
		refuse(r, "no memory for the program");
		return;
	}
	p->stages = stages;
	p->stages[p->stage_count++] = s;
}

static void *take_scratch(struct reader *r, struct program *p, uint32_t offset, size_t length)
{
	if (r->bad.reason)
		return NULL;
	if (offset > p->scratch_size || p->scratch_size - offset < length) {
		refuse(r, "contents outside of the scratch memory");
		return NULL;
	}
	return p->scratch + offset;
}

static void take_chunk(struct reader *r, struct program *p)
{
	uint32_t offset = take_u32(r), length = take_u32(r);
	void *to = take_scratch(r, p, offset, length);
	const uint8_t *bytes = take_bytes(r, length);

	if (to && bytes && length)
		memcpy(to, bytes, length);
}

static void take_pointer(struct reader *r, struct program *p)
{
	uint32_t offset = take_u32(r), zero = take_u32(r);
	uint8_t *at = take_scratch(r, p, offset, sizeof(uint64_t));
	uint64_t value;

	if (zero)
		refuse(r, "a field that must be zero is not");
	if (!at)
		return;
	memcpy(&value, at, sizeof(value));
	value += (uint64_t)(uintptr_t)p->scratch;
	memcpy(at, &value, sizeof(value));
}

static void map_scratch(struct reader *r, struct program *p)
{
	if (p->scratch_size > KHX_MAX_SCRATCH)
		refuse(r, "more scratch memory than allowed");
	if (r->bad.reason || !p->scratch_size)
		return;
	p->scratch = mmap(NULL, p->scratch_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->scratch == MAP_FAILED) {
		p->scratch = NULL;
		refuse(r, "no memory for the program");
	}
}

static void take_contents(struct reader *r, struct program *p)
{
	uint32_t chunks = take_u32(r), pointers = take_u32(r);

	map_scratch(r, p);
	for (uint32_t i = 0; i < chunks && !r->bad.reason; i++)
		take_chunk(r, p);
	for (uint32_t i = 0; i < pointers && !r->bad.reason; i++)
		take_pointer(r, p);
}

static void take_program(struct reader *r, struct program *p)
{
	uint32_t stages;

	if (r->length > KHX_MAX_REQUEST)
		refuse(r, "the request is too long");
	if (take_u32(r) != KHX_MAGIC)
		refuse(r, "the request does not begin with the magic KHX1");
	if (take_u16(r) != KHX_VERSION)
		refuse(r, "another version of the wire format");
	if (take_u16(r) != 1)
		refuse(r, "a request of unknown kind");
	p->deadline_ms = take_u32(r);
	p->scratch_size = take_u32(r);
	stages = take_u32(r);
	p->serial = take_u32(r);
	if (!p->deadline_ms)
		refuse(r, "a deadline of zero");
	take_contents(r, p);
	for (uint32_t i = 0; i < stages && !r->bad.reason; i++)
		take_stage(r, p);
	if (!r->bad.reason && r->at != r->length)
		refuse(r, "bytes after the program's end");
}

struct malformed read_program(struct program *p, const uint8_t *request, size_t length)
{
	struct reader r = { .base = request, .length = length };

	take_program(&r, p);
	return r.bad;
}
