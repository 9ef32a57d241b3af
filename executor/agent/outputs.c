#include "executor/agent/outputs.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "executor/agent/files.h"
#include "executor/protocol.h"

enum { FILE_BYTES_MAX = 24 * 1024 * 1024, BAD_LINES_TOLD = 5 };

struct outputs {
	struct record_output items[OUTPUTS_MAX];
	size_t count;
	int bad;
	struct buf *journal;
};

static bool is_key(const char *key)
{
	if (!isalpha((unsigned char)key[0]) && key[0] != '_')
		return false;
	for (const char *at = key; *at != '\0'; at++)
		if (!isalnum((unsigned char)*at) && strchr("_.-", *at) == NULL)
			return false;
	return strlen(key) <= OUTPUTS_KEY_MAX;
}

static void complain(struct outputs *outputs, int number, const char *why)
{
	char text[200];

	if (outputs->bad++ >= BAD_LINES_TOLD)
		return;
	snprintf(text, sizeof text, "output line %d was left out: %s", number, why);
	protocol_put_note(outputs->journal, RECORD_NOTE,
			  &(struct frame_note){ .warning = true, .text = text });
}

static struct record_output *find(struct outputs *outputs, const char *key)
{
	for (size_t i = 0; i < outputs->count; i++)
		if (strcmp(outputs->items[i].key, key) == 0)
			return &outputs->items[i];
	return NULL;
}

static void take_line(struct outputs *outputs, char *line, size_t n, int number)
{
	char *equals = memchr(line, '=', n);
	struct record_output *item;

	if (n > 0 && line[n - 1] == '\r')
		line[--n] = '\0';
	if (n == 0)
		return;
	if (memchr(line, '\0', n) != NULL) {
		complain(outputs, number, "it holds a zero byte");
		return;
	}
	if (equals == NULL) {
		complain(outputs, number, "it has no '=': expected key=value");
		return;
	}
	*equals = '\0';
	if (!is_key(line)) {
		complain(outputs, number,
			 "its key is not a letter followed by letters, digits, '_', '.' or '-'");
		return;
	}
	if (n - (size_t)(equals + 1 - line) > OUTPUTS_VALUE_MAX) {
		complain(outputs, number, "its value is longer than 64 KiB");
		return;
	}
	item = find(outputs, line);
	if (item == NULL && outputs->count == OUTPUTS_MAX) {
		complain(outputs, number, "there are 256 outputs already");
		return;
	}
	if (item == NULL)
		item = &outputs->items[outputs->count++];
	*item = (struct record_output){ .key = line, .value = equals + 1 };
}

void outputs_parse(char *text, size_t n, struct buf *journal)
{
	struct outputs outputs = { .journal = journal };
	char *stop = text + n;
	int number = 1;

	for (char *line = text; line < stop; number++) {
		char *newline = memchr(line, '\n', (size_t)(stop - line));
		char *end = newline == NULL ? stop : newline;

		*end = '\0'; /* At the very end this is the byte a buf keeps behind its contents. */
		take_line(&outputs, line, (size_t)(end - line), number);
		line = end + 1;
	}
	for (size_t i = 0; i < outputs.count; i++)
		protocol_put_output(journal, &outputs.items[i]);
	if (outputs.bad > BAD_LINES_TOLD) {
		char told[96];

		snprintf(told, sizeof told, "%d more output lines were left out",
			 outputs.bad - BAD_LINES_TOLD);
		protocol_put_note(journal, RECORD_NOTE,
				  &(struct frame_note){ .warning = true, .text = told });
	}
}

void outputs_read(int dir, struct buf *journal)
{
	struct buf text = { 0 };

	if (files_read(dir, "output", FILE_BYTES_MAX, &text) == 0)
		outputs_parse((char *)text.data, text.bytes, journal);
	else if (errno != ENOENT)
		protocol_put_note(
			journal, RECORD_NOTE,
			&(struct frame_note){ .warning = true,
					      .text = errno == EFBIG
							      ? "the outputs were not read: more than 24 MiB"
							      : "the outputs could not be read" });
	buf_fini(&text);
}
