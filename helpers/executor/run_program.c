// SPDX-License-Identifier: GPL-2.0-only
/* Runs a program: its stages, their threads behind a barrier, the deadline, and the signals. */
#define _GNU_SOURCE
#include "program.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define DEADLINE_SIGNAL (SIGRTMIN + 5)

/* The deadline's signal is repeated, because one that arrives between the check and the call has no effect. */
#define REKICK_NS (5 * 1000 * 1000)

/* About a millisecond, at most. */
#define BARRIER_SPINS 100000

enum gate { GATE_SHUT, GATE_READY, GATE_OPEN, GATE_ABANDONED };

static atomic_flag busy = ATOMIC_FLAG_INIT;	/* the handlers and what they read belong to one program */
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

int deadline_passed(void)
{
	return atomic_load(&expired);
}

static void run_list(struct thread *t)
{
	struct result *res = t->results;

	/* Skip an empty list, because four billion repetitions of it would take seconds. */
	for (uint32_t i = 0; t->op_count && i < t->repeat; i++)
		for (uint32_t k = 0; k < t->op_count && !atomic_load(&expired); k++)
			run_op(t->program, &t->program->ops[t->first_op + k], res++);
}

static long futex(atomic_uint *word, int operation, unsigned value)
{
	return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/*
 * Waits at a barrier. It sleeps, so that real-time threads can wait too, and the deadline interrupts it. If each thread
 * reached the last barrier on a separate processor, it spins first, because a woken thread starts later than its waker.
 */
int64_t wait_for_threads(struct program *p)
{
	unsigned turn = atomic_load(&p->turn);

	atomic_fetch_or(&p->processors, 1ULL << (sched_getcpu() % 64));
	if (atomic_fetch_add(&p->arrived, 1) + 1 == p->started) {
		atomic_store(&p->apart, __builtin_popcountll(atomic_exchange(&p->processors, 0)) == (int)p->started);
		atomic_store(&p->arrived, 0);
		atomic_store(&p->turn, turn + 1);
		futex(&p->turn, FUTEX_WAKE, INT_MAX);
	}
	for (int i = 0; i < BARRIER_SPINS && atomic_load(&p->apart) && atomic_load(&p->turn) == turn; i++)
		;
	while (atomic_load(&p->turn) == turn) {
		if (atomic_load(&expired)) {
			errno = EINTR;
			return -1;
		}
		futex(&p->turn, FUTEX_WAIT, turn);
	}
	return 0;
}

static void set_gate(struct program *p, unsigned gate)
{
	atomic_store(&p->gate, gate);
	futex(&p->gate, FUTEX_WAKE, INT_MAX);
}

/* Whether each thread can have a separate processor. If not, a spinning thread would delay the others. */
static int all_can_spin(uint32_t count)
{
	cpu_set_t allowed;

	return sched_getaffinity(0, sizeof(allowed), &allowed) || (uint32_t)CPU_COUNT(&allowed) >= count;
}

/* Spins, because the kernel would wake sleeping threads one after another, too late for the race. */
static void spin(struct program *p)
{
	atomic_fetch_add(&p->arrived, 1);
	while (atomic_load(&p->gate) == GATE_READY)
		sched_yield();
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	struct program *p = t->program;

	/* Sleeps until all threads exist. */
	while (atomic_load(&p->gate) == GATE_SHUT)
		futex(&p->gate, FUTEX_WAIT, GATE_SHUT);
	if (atomic_load(&p->gate) == GATE_READY)
		spin(p);
	if (atomic_load(&p->gate) == GATE_OPEN)
		run_list(t);
	atomic_fetch_add(&p->finished, 1);
	futex(&p->finished, FUTEX_WAKE, 1);
	return NULL;
}

/* Joins the threads, after hiding them from the signal handler: a signal to a joined thread would use freed memory. */
static void end_threads(struct program *p, struct thread *t, uint32_t count, unsigned gate)
{
	unsigned finished;

	set_gate(p, gate);
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
	if (all_can_spin(count)) {
		set_gate(p, GATE_READY);
		while (atomic_load(&p->arrived) < count)
			sched_yield();
		atomic_store(&p->arrived, 0);
	}
	end_threads(p, t, count, GATE_OPEN);
	return 0;
}

static int run_stage(struct program *p, const struct stage *s)
{
	struct thread *t = &p->threads[s->first_thread];

	p->started = s->thread_count;
	atomic_store(&p->apart, 0);
	atomic_store(&p->processors, 0);
	atomic_store(&p->arrived, 0);
	if (s->forked)
		return run_in_child(t);
	if (s->thread_count > 1)
		return run_threads(p, t, s->thread_count);
	run_list(t);
	return 0;
}

static int arm_deadline(timer_t *timer, uint32_t ms)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = DEADLINE_SIGNAL };
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
	const char *reason = NULL;
	timer_t timer;

	if (arm_deadline(&timer, p->deadline_ms))
		return "no timer for the deadline";
	for (uint32_t i = 0; i < p->stage_count && !reason; i++)
		if (run_stage(p, &p->stages[i]))
			reason = p->stages[i].forked ? "no child process" : "no threads for a concurrent stage";
	timer_delete(timer);
	return reason;
}

/* If a program blocked them, its deadline would have no effect, and a PEEK of unmapped memory would be fatal. */
void unblock_own_signals(void)
{
	sigset_t own;

	sigemptyset(&own);
	sigaddset(&own, DEADLINE_SIGNAL);
	sigaddset(&own, SIGSEGV);
	sigaddset(&own, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &own, NULL);
}

/* Removes the pending signals that MASK does not block. Returns the signals among them that other processes sent. */
static sigset_t take_pending(const sigset_t *mask)
{
	const struct timespec now = { 0 };
	sigset_t pending, foreign;
	siginfo_t info;
	int signal;

	sigpending(&pending);
	for (signal = 1; signal <= SIGRTMAX; signal++)
		if (sigismember(mask, signal))
			sigdelset(&pending, signal);
	sigemptyset(&foreign);
	while ((signal = sigtimedwait(&pending, &info, &now)) > 0 || errno == EINTR)
		if (signal > 0 && info.si_pid != getpid())
			sigaddset(&foreign, signal);
	return foreign;
}

/* Restores the signal mask. Discards signals that the program sent to itself: they would end the process. */
static void restore_mask(const sigset_t *mask)
{
	sigset_t foreign = take_pending(mask);

	pthread_sigmask(SIG_SETMASK, mask, NULL);
	for (int signal = 1; signal <= SIGRTMAX; signal++)
		if (sigismember(&foreign, signal))
			kill(getpid(), signal);
}

static const char *run_with_handlers(struct program *p)
{
	struct sigaction deadline = { .sa_handler = on_deadline };
	struct sigaction memory = { .sa_handler = on_memory_fault, .sa_flags = SA_NODEFER };
	struct sigaction old[3];
	const char *reason;
	sigset_t mask;

	atomic_store(&expired, 0);
	main_thread = pthread_self();
	sigaction(DEADLINE_SIGNAL, &deadline, &old[0]);
	sigaction(SIGSEGV, &memory, &old[1]);
	sigaction(SIGBUS, &memory, &old[2]);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	unblock_own_signals();
	reason = run_stages(p);
	/* Before the handlers are removed, because a late signal of the deadline would then end the process. */
	restore_mask(&mask);
	sigaction(SIGBUS, &old[2], NULL);
	sigaction(SIGSEGV, &old[1], NULL);
	sigaction(DEADLINE_SIGNAL, &old[0], NULL);
	p->expired = atomic_load(&expired);
	return reason;
}

/* Raises the limit only while a program runs, because this process may call select(2) at other times. */
static void raise_file_limit(const struct rlimit *before)
{
	const struct rlimit raised = { before->rlim_max, before->rlim_max };

	setrlimit(RLIMIT_NOFILE, &raised);
}

const char *run_program(struct program *p)
{
	struct rlimit files;
	const char *reason;

	if (atomic_flag_test_and_set(&busy))
		return "another program still runs in this process";
	getrlimit(RLIMIT_NOFILE, &files);
	raise_file_limit(&files);
	reason = run_with_handlers(p);
	setrlimit(RLIMIT_NOFILE, &files);
	atomic_flag_clear(&busy);
	return reason;
}
