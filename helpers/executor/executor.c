// SPDX-License-Identifier: GPL-2.0-only
/* Reads, checks and runs one program; see executor.h for the wire format. */
#define _GNU_SOURCE
#include "executor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum arg_type { ARG_VALUE, ARG_RESULT, ARG_SCRATCH };

#define MAX_ARGS 6
/* Repeats the deadline's signal: one that arrives between the check and the call would be lost. */
#define REKICK_NS (5 * 1000 * 1000)

struct arg {
	uint32_t type, index;
	uint64_t value;
};

struct op {
	uint16_t code, arg_count;
	uint32_t data_len;
	struct arg args[MAX_ARGS];
	const uint8_t *data;
	int64_t last;
};

struct result {
	int64_t ret;
	uint32_t err, state, data_len;
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
	uint32_t first_thread, thread_count;
};

struct program {
	uint32_t deadline_ms, scratch_size, stage_count;
	uint32_t op_count, thread_count;
	uint64_t result_count;
	struct op *ops;
	struct thread *threads;
	struct stage *stages;
	struct result *results;
	uint8_t *scratch;
	pthread_barrier_t barrier;
	atomic_size_t data_total;
};

struct reader {
	const uint8_t *base;
	size_t length, at;
	const char *fault;
	size_t fault_at;
};

static const struct {
	uint8_t arg_count, takes_data;
} shapes[KHX_CODE_END] = {
	[KHX_OPEN] = { 2, 1 },	 [KHX_CLOSE] = { 1, 0 }, [KHX_IOCTL] = { 3, 0 },
	[KHX_MMAP] = { 6, 0 },	 [KHX_MUNMAP] = { 2, 0 }, [KHX_PEEK] = { 2, 0 },
	[KHX_POKE] = { 1, 1 },	 [KHX_READ] = { 2, 0 },  [KHX_WRITE] = { 1, 1 },
	[KHX_POKE_VALUE] = { 2, 0 }, [KHX_CLOCK] = { 1, 0 },
};

/* --- reading the request --------------------------------------------------- */

static int fault(struct reader *r, const char *text)
{
	if (!r->fault) {
		r->fault = text;
		r->fault_at = r->at;
	}
	return -1;
}

static int take(struct reader *r, void *to, size_t n)
{
	if (r->fault)
		return -1;
	if (r->length - r->at < n)
		return fault(r, "the request ends before its contents do");
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

/* The arrays grow by doubling; `count` elements are in use. */
static void *grow(void *array, uint32_t count, size_t size)
{
	if (count & (count - 1))
		return array;
	return realloc(array, (count ? count * 2 : 1) * size);
}

static void take_arg(struct reader *r, struct arg *arg, uint32_t stage_start,
		     uint32_t thread_start, uint32_t op_index)
{
	arg->type = take_u32(r);
	arg->index = take_u32(r);
	take(r, &arg->value, sizeof(arg->value));
	if (r->fault)
		return;
	if (arg->type > ARG_SCRATCH)
		fault(r, "an argument of unknown type");
	else if (arg->type == ARG_RESULT && arg->index >= op_index)
		fault(r, "an argument refers to an operation that is not earlier");
	else if (arg->type == ARG_RESULT && arg->index >= stage_start && arg->index < thread_start)
		fault(r, "an argument refers to a thread that runs at the same time");
}

static void take_data(struct reader *r, struct op *op)
{
	size_t padded = ((size_t)op->data_len + 7) & ~(size_t)7;

	if (r->fault)
		return;
	if (r->length - r->at < padded) {
		fault(r, "the request ends before its contents do");
		return;
	}
	op->data = r->base + r->at;
	if (op->code == KHX_OPEN && (!op->data_len || op->data[op->data_len - 1]))
		fault(r, "a path without its terminating NUL");
	r->at += padded;
}

static void take_op(struct reader *r, struct program *p, uint32_t stage_start, uint32_t thread_start)
{
	struct op op = { 0 }, *ops;

	op.code = take_u16(r);
	op.arg_count = take_u16(r);
	op.data_len = take_u32(r);
	if (r->fault)
		return;
	if (!op.code || op.code >= KHX_CODE_END) {
		fault(r, "an operation of unknown code");
		return;
	}
	if (op.arg_count != shapes[op.code].arg_count || (op.data_len && !shapes[op.code].takes_data)) {
		fault(r, "an operation with the wrong number of arguments or with data it does not take");
		return;
	}
	for (int i = 0; i < op.arg_count; i++)
		take_arg(r, &op.args[i], stage_start, thread_start, p->op_count);
	take_data(r, &op);
	if (r->fault)
		return;
	ops = grow(p->ops, p->op_count, sizeof(op));
	if (!ops) {
		fault(r, "no memory for the program");
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
	if (r->fault)
		return;
	if ((uint64_t)t.repeat * t.op_count > KHX_MAX_RESULTS - p->result_count) {
		fault(r, "more results than an answer may hold");
		return;
	}
	p->result_count += (uint64_t)t.repeat * t.op_count;
	for (uint32_t i = 0; i < t.op_count && !r->fault; i++)
		take_op(r, p, stage_start, t.first_op);
	threads = grow(p->threads, p->thread_count, sizeof(t));
	if (!threads) {
		fault(r, "no memory for the program");
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
	if (take_u32(r))
		fault(r, "a field that must be zero is not");
	if (r->fault)
		return;
	if (!s.thread_count || s.thread_count > KHX_MAX_THREADS) {
		fault(r, "a stage with no thread or with too many");
		return;
	}
	for (uint32_t i = 0; i < s.thread_count && !r->fault; i++)
		take_thread(r, p, stage_start);
	stages = grow(p->stages, p->stage_count, sizeof(s));
	if (!stages) {
		fault(r, "no memory for the program");
		return;
	}
	p->stages = stages;
	p->stages[p->stage_count++] = s;
}

static void take_program(struct reader *r, struct program *p)
{
	uint32_t stages;

	if (r->length > KHX_MAX_REQUEST)
		fault(r, "the request is too long");
	if (take_u32(r) != KHX_MAGIC)
		fault(r, "the request does not begin with the magic KHX1");
	if (take_u16(r) != KHX_VERSION)
		fault(r, "another version of the wire format");
	if (take_u16(r) != 1)
		fault(r, "a request of unknown kind");
	p->deadline_ms = take_u32(r);
	p->scratch_size = take_u32(r);
	stages = take_u32(r);
	if (take_u32(r))
		fault(r, "a field that must be zero is not");
	if (p->scratch_size > KHX_MAX_SCRATCH)
		fault(r, "more scratch memory than allowed");
	if (!p->deadline_ms)
		fault(r, "a deadline of zero");
	for (uint32_t i = 0; i < stages && !r->fault; i++)
		take_stage(r, p);
	if (!r->fault && r->at != r->length)
		fault(r, "bytes after the program's end");
}

/* --- running ---------------------------------------------------------------- */

static atomic_int expired;
static struct thread *_Atomic running;	/* the threads of a concurrent stage, for the handler */
static atomic_uint running_count;
static pthread_t main_thread;
static __thread sigjmp_buf fault_return;
static __thread volatile sig_atomic_t fault_expected;

static void on_deadline(int signal)
{
	struct thread *t;

	if (!pthread_equal(pthread_self(), main_thread))
		return;
	atomic_store(&expired, 1);
	t = atomic_load(&running);
	for (unsigned i = 0; t && i < atomic_load(&running_count); i++)
		pthread_kill(t[i].id, signal);
}

static void on_fault(int signal)
{
	if (fault_expected)
		siglongjmp(fault_return, 1);
	/* A fault of our own: let it kill us as it would have. */
	struct sigaction plain = { .sa_handler = SIG_DFL };

	sigaction(signal, &plain, NULL);
}

/* memcpy that answers -1 and EFAULT for memory that is not there. */
static int64_t copy(void *to, const void *from, size_t n)
{
	if (sigsetjmp(fault_return, 1)) {
		fault_expected = 0;
		errno = EFAULT;
		return -1;
	}
	fault_expected = 1;
	memcpy(to, from, n);
	fault_expected = 0;
	return 0;
}

static uint64_t value_of(const struct program *p, const struct arg *arg)
{
	switch (arg->type) {
	case ARG_RESULT:
		return (uint64_t)p->ops[arg->index].last + arg->value;
	case ARG_SCRATCH:
		return (uint64_t)(uintptr_t)p->scratch + arg->value;
	default:
		return arg->value;
	}
}

/* Room for the bytes that PEEK or READ answers; NULL and ENOMEM past the limit. */
static uint8_t *answer_room(struct program *p, uint64_t n)
{
	if (n > KHX_MAX_DATA || atomic_fetch_add(&p->data_total, n) + n > KHX_MAX_DATA) {
		errno = ENOMEM;
		return NULL;
	}
	return calloc(1, n ? n : 1);
}

static int64_t get_bytes(struct program *p, struct result *res, uint16_t code, const uint64_t *a)
{
	int64_t ret;

	res->data = answer_room(p, a[1]);
	if (!res->data)
		return -1;
	if (code == KHX_PEEK) {
		ret = copy(res->data, (void *)(uintptr_t)a[0], a[1]);
		res->data_len = ret < 0 ? 0 : a[1];
	} else {
		ret = read(a[0], res->data, a[1]);
		res->data_len = ret < 0 ? 0 : ret;
	}
	return ret;
}

static int64_t clock_ns(uint64_t id)
{
	struct timespec now;

	if (clock_gettime((clockid_t)id, &now))
		return -1;
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t call(struct program *p, const struct op *op, struct result *res, const uint64_t *a)
{
	switch (op->code) {
	case KHX_OPEN:
		return open((const char *)op->data, a[0], a[1]);
	case KHX_CLOSE:
		return close(a[0]);
	case KHX_IOCTL:
		return syscall(SYS_ioctl, a[0], a[1], a[2]);
	case KHX_MMAP:
		return (int64_t)(intptr_t)mmap((void *)(uintptr_t)a[0], a[1], a[2], a[3], a[4], a[5]);
	case KHX_MUNMAP:
		return munmap((void *)(uintptr_t)a[0], a[1]);
	case KHX_POKE:
		return copy((void *)(uintptr_t)a[0], op->data, op->data_len);
	case KHX_CLOCK:
		return clock_ns(a[0]);
	case KHX_POKE_VALUE:
		return copy((void *)(uintptr_t)a[0], &a[1], sizeof(a[1]));
	case KHX_WRITE:
		return write(a[0], op->data, op->data_len);
	default:
		return get_bytes(p, res, op->code, a);
	}
}

static void run_op(struct program *p, struct op *op, struct result *res)
{
	uint64_t a[MAX_ARGS] = { 0 };

	for (int i = 0; i < op->arg_count; i++)
		a[i] = value_of(p, &op->args[i]);
	errno = 0;
	res->ret = call(p, op, res, a);
	res->err = res->ret == -1 ? errno : 0;
	res->state = 1;
	op->last = res->ret;
}

static void run_list(struct thread *t)
{
	struct result *res = t->results;

	for (uint32_t i = 0; i < t->repeat; i++)
		for (uint32_t k = 0; k < t->op_count; k++, res++)
			if (!atomic_load(&expired))
				run_op(t->program, &t->program->ops[t->first_op + k], res);
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	pthread_barrier_wait(&t->program->barrier);
	run_list(t);
	return NULL;
}

/* A thread that cannot be created would leave the others at the barrier for ever: give up before it. */
static int start_threads(struct program *p, const struct stage *s)
{
	struct thread *t = &p->threads[s->first_thread];

	if (pthread_barrier_init(&p->barrier, NULL, s->thread_count + 1))
		return -1;
	for (uint32_t i = 0; i < s->thread_count; i++) {
		if (pthread_create(&t[i].id, NULL, thread_main, &t[i])) {
			while (i--) {
				pthread_cancel(t[i].id);
				pthread_detach(t[i].id);
			}
			return -1;
		}
	}
	return 0;
}

static int run_stage(struct program *p, const struct stage *s)
{
	struct thread *t = &p->threads[s->first_thread];

	if (s->thread_count == 1) {
		run_list(t);
		return 0;
	}
	if (start_threads(p, s))
		return -1;
	atomic_store(&running_count, s->thread_count);
	atomic_store(&running, t);
	pthread_barrier_wait(&p->barrier);
	for (uint32_t i = 0; i < s->thread_count; i++)
		pthread_join(t[i].id, NULL);
	atomic_store(&running, NULL);
	pthread_barrier_destroy(&p->barrier);
	return 0;
}

static int arm_deadline(timer_t *timer, uint32_t ms)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 5 };
	struct itimerspec when = {
		.it_value = { ms / 1000, (long)(ms % 1000) * 1000000 },
		.it_interval = { 0, REKICK_NS },
	};

	ev.sigev_notify_thread_id = syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &ev, timer))
		return -1;
	return timer_settime(*timer, 0, &when, NULL);
}

static const char *run_program(struct program *p)
{
	struct sigaction deadline = { .sa_handler = on_deadline }, memory = { .sa_handler = on_fault };
	struct sigaction old[3];
	const char *failure = NULL;
	timer_t timer;

	atomic_store(&expired, 0);
	main_thread = pthread_self();
	sigaction(SIGRTMIN + 5, &deadline, &old[0]);
	sigaction(SIGSEGV, &memory, &old[1]);
	sigaction(SIGBUS, &memory, &old[2]);
	if (arm_deadline(&timer, p->deadline_ms))
		failure = "no timer for the deadline";
	for (uint32_t i = 0; i < p->stage_count && !failure; i++)
		if (run_stage(p, &p->stages[i]))
			failure = "no threads for a concurrent stage";
	if (!failure || strcmp(failure, "no timer for the deadline"))
		timer_delete(timer);
	sigaction(SIGBUS, &old[2], NULL);
	sigaction(SIGSEGV, &old[1], NULL);
	sigaction(SIGRTMIN + 5, &old[0], NULL);
	return failure;
}

static int prepare(struct program *p)
{
	struct result *next;

	p->results = calloc(p->result_count ? p->result_count : 1, sizeof(*p->results));
	if (!p->results)
		return -1;
	next = p->results;
	for (uint32_t i = 0; i < p->thread_count; i++) {
		p->threads[i].results = next;
		next += (size_t)p->threads[i].repeat * p->threads[i].op_count;
	}
	if (!p->scratch_size)
		return 0;
	p->scratch = mmap(NULL, p->scratch_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->scratch == MAP_FAILED) {
		p->scratch = NULL;
		return -1;
	}
	return 0;
}

/* --- the answer ------------------------------------------------------------- */

static uint8_t *put(uint8_t *to, const void *from, size_t n)
{
	if (n)
		memcpy(to, from, n);
	return to + n;
}

static uint8_t *put_head(uint8_t *to, uint16_t status, uint32_t first, uint32_t second)
{
	uint32_t magic = KHX_MAGIC;
	uint16_t version = KHX_VERSION;

	to = put(to, &magic, 4);
	to = put(to, &version, 2);
	to = put(to, &status, 2);
	to = put(to, &first, 4);
	return put(to, &second, 4);
}

static int answer_fault(const char *text, size_t at, uint8_t **answer, size_t *length)
{
	size_t n = strlen(text);

	*length = 16 + n;
	*answer = malloc(*length);
	if (!*answer)
		return -1;
	put(put_head(*answer, 1, at, n), text, n);
	return 0;
}

static int answer_results(const struct program *p, uint8_t **answer, size_t *length)
{
	uint32_t zero = 0;
	uint8_t *to;

	*length = 16;
	for (uint64_t i = 0; i < p->result_count; i++)
		*length += 24 + (((size_t)p->results[i].data_len + 7) & ~(size_t)7);
	*answer = to = calloc(1, *length);
	if (!to)
		return -1;
	to = put_head(to, 0, atomic_load(&expired), p->result_count);
	for (uint64_t i = 0; i < p->result_count; i++) {
		const struct result *res = &p->results[i];

		to = put(to, &res->ret, 8);
		to = put(to, &res->err, 4);
		to = put(to, &res->state, 4);
		to = put(to, &res->data_len, 4);
		to = put(to, &zero, 4);
		put(to, res->data, res->data_len);
		to += (res->data_len + 7) & ~7u;
	}
	return 0;
}

static void drop(struct program *p)
{
	for (uint64_t i = 0; p->results && i < p->result_count; i++)
		free(p->results[i].data);
	if (p->scratch)
		munmap(p->scratch, p->scratch_size);
	free(p->results);
	free(p->ops);
	free(p->threads);
	free(p->stages);
}

int executor_run(const uint8_t *request, size_t length, uint8_t **answer, size_t *answer_length)
{
	struct reader r = { .base = request, .length = length };
	struct program p = { 0 };
	const char *failure;
	int ret;

	take_program(&r, &p);
	if (r.fault)
		failure = r.fault;
	else if (prepare(&p))
		failure = "no memory for the program";
	else
		failure = run_program(&p);
	ret = failure ? answer_fault(failure, r.fault ? r.fault_at : 0, answer, answer_length)
		      : answer_results(&p, answer, answer_length);
	drop(&p);
	return ret;
}

void executor_free(uint8_t *answer)
{
	free(answer);
}
