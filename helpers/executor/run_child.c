// SPDX-License-Identifier: GPL-2.0-only
/* Runs a thread's list in a forked child, which sends each result through a pipe. */
#define _GNU_SOURCE
#include "program.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* After the deadline each wait takes 5 ms.  After this many waits, a child that SIGKILL does not end is left behind. */
#define MOST_WAITS 40

static int move(ssize_t (*call)(int, void *, size_t), int fd, void *at, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t moved = call(fd, (uint8_t *)at + done, n - done);

		if (!moved || (moved < 0 && (errno != EINTR || deadline_passed())))
			return -1;
		done += moved < 0 ? 0 : moved;
	}
	return 0;
}

static ssize_t put(int fd, void *at, size_t n)
{
	return write(fd, at, n);
}

/* The child does not inherit the timer of the deadline. At the deadline, the parent kills the child. */
static void child_main(struct thread *t, int to)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint32_t i = 0; i < t->repeat; i++)
		for (uint32_t k = 0; k < t->op_count; k++) {
			struct result res = { 0 };

			run_op(t->program, &t->program->ops[t->first_op + k], &res);
			if (move(put, to, &res, sizeof(res)) || (res.data && move(put, to, res.data, res.data_len)))
				_exit(1);
			free(res.data);
		}
	_exit(0);
}

static int receive(struct program *p, int from, struct result *res)
{
	struct result sent;

	if (move(read, from, &sent, sizeof(sent)))
		return -1;
	/* The child's pointer shows only that the data follow. */
	if (sent.data) {
		sent.data = malloc(sent.data_len);
		if (!sent.data || move(read, from, sent.data, sent.data_len)) {
			free(sent.data);
			return -1;
		}
		atomic_fetch_add(&p->data_total, sent.data_len);
	}
	*res = sent;
	return 0;
}

/* Results of operations that the child did not reach stay as they are: not run. */
static void receive_all(struct thread *t, int from)
{
	struct result *res = t->results;

	for (uint32_t i = 0; t->op_count && i < t->repeat; i++)
		for (uint32_t k = 0; k < t->op_count; k++, res++) {
			if (receive(t->program, from, res))
				return;
			t->program->ops[t->first_op + k].last = res->ret;
		}
}

/* Waits for a limited time, because a child in a call that ignores SIGKILL must not delay the answer. */
static void end_child(pid_t child)
{
	int waits = 0;

	if (deadline_passed())
		kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR && waits < MOST_WAITS)
		if (deadline_passed() && !waits++)
			kill(child, SIGKILL);
}

int run_in_child(struct thread *t)
{
	int ends[2];
	pid_t child;

	if (pipe(ends))
		return -1;
	child = fork();
	if (!child) {
		close(ends[0]);
		child_main(t, ends[1]);
	}
	close(ends[1]);
	if (child > 0) {
		receive_all(t, ends[0]);
		end_child(child);
	}
	close(ends[0]);
	return child < 0 ? -1 : 0;
}
