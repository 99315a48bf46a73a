// SPDX-License-Identifier: GPL-2.0-only
/* Writes the answer. */
#include "program.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *put(uint8_t *to, const void *from, size_t n)
{
	if (n)
		memcpy(to, from, n);
	return to + n;
}

#define HEAD_SIZE 20

static uint8_t *put_head(uint8_t *to, uint16_t status, uint32_t serial, uint32_t first, uint32_t second)
{
	uint32_t magic = KHX_MAGIC;
	uint16_t version = KHX_VERSION;

	to = put(to, &magic, 4);
	to = put(to, &version, 2);
	to = put(to, &status, 2);
	to = put(to, &serial, 4);
	to = put(to, &first, 4);
	return put(to, &second, 4);
}

int answer_refusal(uint32_t serial, struct malformed bad, uint8_t **answer, size_t *length)
{
	size_t n = strlen(bad.reason);

	*length = HEAD_SIZE + n;
	*answer = malloc(*length);
	if (!*answer)
		return -1;
	put(put_head(*answer, 1, serial, bad.at, n), bad.reason, n);
	return 0;
}

int answer_results(const struct program *p, uint8_t **answer, size_t *length)
{
	uint32_t zero = 0;
	uint8_t *to;

	*length = HEAD_SIZE;
	for (uint64_t i = 0; i < p->result_count; i++)
		*length += 24 + (((size_t)p->results[i].data_len + 7) & ~(size_t)7);
	*answer = to = calloc(1, *length);
	if (!to)
		return -1;
	to = put_head(to, 0, p->serial, p->expired, p->result_count);
	for (uint64_t i = 0; i < p->result_count; i++) {
		const struct result *res = &p->results[i];

		to = put(to, &res->ret, 8);
		to = put(to, &res->err, 4);
		to = put(to, &res->state, 4);
		to = put(to, &res->data_len, 4);
		to = put(to, &zero, 4);
	}
	for (uint64_t i = 0; i < p->result_count; i++) {
		put(to, p->results[i].data, p->results[i].data_len);
		to += (p->results[i].data_len + 7) & ~7u;
	}
	return 0;
}
