// SPDX-License-Identifier: GPL-2.0-only
/* Runs a program: its stages, their threads behind a barrier, and the deadline. */
#define _GNU_SOURCE
#include "program.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Repeats the deadline's signal: one that arrives between the check and the call would be lost. */
#define REKICK_NS (5 * 1000 * 1000)

enum gate { GATE_SHUT, GATE_OPEN, GATE_ABANDONED };

static atomic_int expired;
static struct thread *_Atomic running;	/* the threads of a concurrent stage, for the handler */
static atomic_uint running_count;
static pthread_t main_thread;

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

static void run_list(struct thread *t)
{
	struct result *res = t->results;

	for (uint32_t i = 0; i < t->repeat; i++)
		for (uint32_t k = 0; k < t->op_count; k++, res++)
			if (!atomic_load(&expired))
				run_op(t->program, &t->program->ops[t->first_op + k], res);
}

static long futex(atomic_uint *word, int operation, unsigned value)
{
	return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Sleeps, so that real-time threads may meet here too. At the deadline those who wait for one that will not come go on. */
int64_t wait_for_threads(struct program *p)
{
	unsigned turn = atomic_load(&p->turn);

	if (atomic_fetch_add(&p->arrived, 1) + 1 == p->started) {
		atomic_store(&p->arrived, 0);
		atomic_store(&p->turn, turn + 1);
		futex(&p->turn, FUTEX_WAKE, INT_MAX);
	}
	while (atomic_load(&p->turn) == turn && !atomic_load(&expired))
		futex(&p->turn, FUTEX_WAIT, turn);
	return 0;
}

/* Spins, because a gate that sleeps wakes its threads one after another, which spoils the race. */
static void *thread_main(void *arg)
{
	struct thread *t = arg;
	int gate;

	atomic_fetch_add(&t->program->arrived, 1);
	while ((gate = atomic_load(&t->program->gate)) == GATE_SHUT)
		sched_yield();
	if (gate == GATE_OPEN)
		run_list(t);
	atomic_fetch_add(&t->program->finished, 1);
	futex(&t->program->finished, FUTEX_WAKE, 1);
	return NULL;
}

/* Joined only when the handler no longer knows them: a signal to a thread that is gone is a stray access. */
static void end_threads(struct program *p, struct thread *t, uint32_t count, int gate)
{
	unsigned finished;

	atomic_store(&p->gate, gate);
	while ((finished = atomic_load(&p->finished)) < count)
		futex(&p->finished, FUTEX_WAIT, finished);
	atomic_store(&running, NULL);
	for (uint32_t i = 0; i < count; i++)
		pthread_join(t[i].id, NULL);
}

static int run_threads(struct program *p, struct thread *t, uint32_t count)
{
	atomic_store(&p->gate, GATE_SHUT);
	atomic_store(&p->finished, 0);
	for (uint32_t i = 0; i < count; i++) {
		if (pthread_create(&t[i].id, NULL, thread_main, &t[i])) {
			end_threads(p, t, i, GATE_ABANDONED);
			return -1;
		}
	}
	atomic_store(&running_count, count);
	atomic_store(&running, t);
	while (atomic_load(&p->arrived) < count)
		sched_yield();
	atomic_store(&p->arrived, 0);
	end_threads(p, t, count, GATE_OPEN);
	return 0;
}

static int run_stage(struct program *p, const struct stage *s)
{
	struct thread *t = &p->threads[s->first_thread];

	p->started = s->thread_count;
	atomic_store(&p->arrived, 0);
	if (s->thread_count > 1)
		return run_threads(p, t, s->thread_count);
	run_list(t);
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

static const char *run_stages(struct program *p)
{
	const char *lack = NULL;
	timer_t timer;

	if (arm_deadline(&timer, p->deadline_ms))
		return "no timer for the deadline";
	for (uint32_t i = 0; i < p->stage_count && !lack; i++)
		if (run_stage(p, &p->stages[i]))
			lack = "no threads for a concurrent stage";
	timer_delete(timer);
	return lack;
}

const char *run_program(struct program *p)
{
	struct sigaction deadline = { .sa_handler = on_deadline }, memory = { .sa_handler = on_memory_fault };
	struct sigaction old[3];
	const char *lack;

	atomic_store(&expired, 0);
	main_thread = pthread_self();
	sigaction(SIGRTMIN + 5, &deadline, &old[0]);
	sigaction(SIGSEGV, &memory, &old[1]);
	sigaction(SIGBUS, &memory, &old[2]);
	lack = run_stages(p);
	sigaction(SIGBUS, &old[2], NULL);
	sigaction(SIGSEGV, &old[1], NULL);
	sigaction(SIGRTMIN + 5, &old[0], NULL);
	p->expired = atomic_load(&expired);
	return lack;
}
