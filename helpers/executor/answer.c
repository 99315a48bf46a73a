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
#define RECORD_SIZE 24
#define WORD_SIZE 8

/* Kinds of results.  The kinds between the first two are errnos. */
enum { KIND_PLAIN, KIND_WORD = 254, KIND_RECORD };

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

static size_t padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

static const void *data_of(const struct result *res)
{
	return res->data ? res->data : (const void *)&res->word;
}

static uint8_t kind_of(const struct result *res)
{
	if (res->state && !res->ret && !res->err && !res->data_len)
		return KIND_PLAIN;
	if (res->state && res->ret == -1 && res->err && res->err < KIND_WORD && !res->data_len)
		return res->err;
	if (res->state && !res->ret && !res->err && res->data_len == WORD_SIZE)
		return KIND_WORD;
	return KIND_RECORD;
}

static uint8_t *put_record(uint8_t *to, const struct result *res)
{
	uint32_t zero = 0;

	to = put(to, &res->ret, 8);
	to = put(to, &res->err, 4);
	to = put(to, &res->state, 4);
	to = put(to, &res->data_len, 4);
	to = put(to, &zero, 4);
	put(to, data_of(res), res->data_len);
	return to + padded(res->data_len);
}

int answer_results(const struct program *p, uint8_t **answer, size_t *length)
{
	const struct result *res = p->results, *end = res + p->result_count;
	size_t words = 0, records = 0;
	uint8_t *kind, *word, *record;

	for (; res < end; res++) {
		uint8_t k = kind_of(res);

		words += k == KIND_WORD ? WORD_SIZE : 0;
		records += k == KIND_RECORD ? RECORD_SIZE + padded(res->data_len) : 0;
	}
	*length = HEAD_SIZE + padded(p->result_count) + words + records;
	*answer = calloc(1, *length);
	if (!*answer)
		return -1;
	kind = put_head(*answer, 0, p->serial, p->expired, p->result_count);
	word = kind + padded(p->result_count);
	record = word + words;
	for (res = p->results; res < end; res++, kind++) {
		*kind = kind_of(res);
		if (*kind == KIND_WORD)
			word = put(word, data_of(res), WORD_SIZE);
		else if (*kind == KIND_RECORD)
			record = put_record(record, res);
	}
	return 0;
}
