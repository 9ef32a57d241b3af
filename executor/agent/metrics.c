#include "executor/agent/metrics.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "executor/protocol.h"

enum {
	PIECE_BYTES = 64 * 1024,
	LOOK_BYTES_MAX = 8 * 1024 * 1024,
	LAST_BYTES_MAX = 64 * 1024 * 1024,
	LINE_COST = 1000
};

void metrics_open(struct metrics *metrics, int dir, int64_t now_ms)
{
	*metrics = (struct metrics){ .dir = dir, .fd = -1, .credited_ms = now_ms };
	metrics->credit = (int64_t)METRICS_BURST * LINE_COST;
}

void metrics_close(struct metrics *metrics)
{
	if (metrics->fd >= 0)
		close(metrics->fd);
	metrics->fd = -1;
	buf_fini(&metrics->line);
	buf_fini(&metrics->newest);
}

static bool looks_like_object(const struct buf *line)
{
	size_t first = 0, last = line->bytes;

	while (first < last && line->data[first] <= ' ')
		first++;
	while (last > first && line->data[last - 1] <= ' ')
		last--;
	return last - first >= 2 && line->data[first] == '{' && line->data[last - 1] == '}' &&
	       memchr(line->data, '\0', line->bytes) == NULL;
}

static void put(const struct buf *line, struct buf *journal)
{
	struct record_metric record = { .wall_ms = clock_wall_ms(), .json = buf_text(line) };

	protocol_put_metric(journal, &record);
}

static void add_credit(struct metrics *metrics, int64_t now_ms)
{
	metrics->credit += (now_ms - metrics->credited_ms) * METRICS_PER_SECOND;
	if (metrics->credit > (int64_t)METRICS_BURST * LINE_COST)
		metrics->credit = (int64_t)METRICS_BURST * LINE_COST;
	metrics->credited_ms = now_ms;
}

static bool pay(struct metrics *metrics)
{
	if (metrics->credit < LINE_COST)
		return false;
	metrics->credit -= LINE_COST;
	return true;
}

static void end_line(struct metrics *metrics, struct buf *journal)
{
	struct buf *line = &metrics->line;

	if (metrics->skipping || !looks_like_object(line)) {
		metrics->malformed += metrics->skipping || line->bytes > 0;
	} else if (pay(metrics)) {
		if (metrics->newest.bytes > 0) {
			metrics->thinned++; /* The one that waited is older than this: its turn is over. */
			buf_clear(&metrics->newest);
		}
		put(line, journal);
	} else {
		metrics->thinned += metrics->newest.bytes > 0;
		buf_clear(&metrics->newest);
		buf_append(&metrics->newest, line->data, line->bytes);
	}
	buf_clear(line);
	metrics->skipping = false;
}

static void add_part(struct metrics *metrics, const uint8_t *bytes, size_t n)
{
	if (metrics->skipping)
		return;
	if (metrics->line.bytes + n > METRICS_LINE_MAX) {
		metrics->skipping = true;
		buf_clear(&metrics->line);
		return;
	}
	buf_append(&metrics->line, bytes, n);
}

uint64_t metrics_feed(struct metrics *metrics, const uint8_t *bytes, size_t n, int64_t now_ms,
		      struct buf *journal)
{
	const uint8_t *stop = bytes + n, *newline;
	uint64_t lines = 0;

	add_credit(metrics, now_ms);
	if (metrics->newest.bytes > 0 && pay(metrics)) {
		put(&metrics->newest, journal);
		buf_clear(&metrics->newest);
	}
	while (bytes < stop && (newline = memchr(bytes, '\n', (size_t)(stop - bytes))) != NULL) {
		add_part(metrics, bytes, (size_t)(newline - bytes));
		end_line(metrics, journal);
		bytes = newline + 1;
		lines++;
	}
	if (bytes < stop)
		add_part(metrics, bytes, (size_t)(stop - bytes));
	return lines;
}

static bool is_there(struct metrics *metrics)
{
	struct stat st;

	if (metrics->fd >= 0)
		return true;
	metrics->fd = openat(metrics->dir, "metrics", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (metrics->fd >= 0 && (fstat(metrics->fd, &st) < 0 || !S_ISREG(st.st_mode))) {
		close(metrics->fd);
		metrics->fd = -1;
	}
	return metrics->fd >= 0;
}

static uint64_t read_more(struct metrics *metrics, int64_t now_ms, uint64_t max, struct buf *journal)
{
	uint8_t piece[PIECE_BYTES];
	uint64_t lines = 0;

	if (!is_there(metrics))
		return 0;
	for (uint64_t done = 0; done < max;) {
		ssize_t n = pread(metrics->fd, piece, sizeof piece, (off_t)metrics->offset);

		if (n <= 0)
			break;
		lines += metrics_feed(metrics, piece, (size_t)n, now_ms, journal);
		metrics->offset += (uint64_t)n;
		done += (uint64_t)n;
	}
	if (metrics->newest.bytes > 0)
		metrics_feed(metrics, piece, 0, now_ms, journal);
	return lines;
}

uint64_t metrics_read(struct metrics *metrics, int64_t now_ms, struct buf *journal)
{
	return read_more(metrics, now_ms, LOOK_BYTES_MAX, journal);
}

static void put_note(struct buf *journal, const char *text)
{
	protocol_put_note(journal, RECORD_NOTE, &(struct frame_note){ .warning = true, .text = text });
}

void metrics_finish(struct metrics *metrics, int64_t now_ms, struct buf *journal)
{
	char text[160];
	struct stat st;

	read_more(metrics, now_ms, LAST_BYTES_MAX, journal);
	if (metrics->line.bytes > 0)
		end_line(metrics, journal);
	if (metrics->newest.bytes > 0) {
		put(&metrics->newest, journal);
		buf_clear(&metrics->newest);
	}
	if (metrics->thinned > 0) {
		snprintf(text, sizeof text, "%" PRIu64 " metric lines were left out: more than %d a second",
			 metrics->thinned, METRICS_PER_SECOND);
		put_note(journal, text);
	}
	if (metrics->malformed > 0) {
		snprintf(text, sizeof text,
			 "%" PRIu64 " metric lines were no JSON objects of at most %d bytes",
			 metrics->malformed, METRICS_LINE_MAX);
		put_note(journal, text);
	}
	if (metrics->fd >= 0 && fstat(metrics->fd, &st) == 0 && (uint64_t)st.st_size > metrics->offset) {
		snprintf(text, sizeof text,
			 "the last %" PRIu64 " bytes of metrics were not read: too many at once",
			 (uint64_t)st.st_size - metrics->offset);
		put_note(journal, text);
	}
}
