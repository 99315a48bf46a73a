// SPDX-License-Identifier: GPL-2.0-only
/* Runs a request body and creates its answer body; see executor.h. */
#define _GNU_SOURCE
#include "program.h"

#include <stdlib.h>
#include <sys/mman.h>

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
	struct program p = { 0 };
	struct malformed bad = read_program(&p, request, length);
	int ret;

	if (!bad.reason)
		bad.reason = prepare(&p) ? "no memory for the program" : run_program(&p);
	ret = bad.reason ? answer_refusal(p.serial, bad, answer, answer_length) : answer_results(&p, answer, answer_length);
	drop(&p);
	return ret;
}

void executor_free(uint8_t *answer)
{
	free(answer);
}
