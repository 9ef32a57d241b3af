#include "common/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/outlet.h"

enum { LOG_BUFFER_BYTES = 16 * 1024 };

static const char *const level_names[] = { "debug", "info", "warn", "error" };

static struct {
	int fd;
	bool open;
	bool gathers;
	bool json;
	enum log_level least;
	struct outlet outlet;
} sink = { .fd = -1 };

static bool is_plain(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
		if ((unsigned char)*text <= ' ' || *text == '"' || *text == '=' || *text == '\\' ||
		    *text == 0x7f)
			return false;
	return true;
}

static void put_quoted(struct buf *out, const char *text)
{
	buf_append_byte(out, '"');
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c == '\n')
			buf_append_text(out, "\\n");
		else if (c < ' ' || c == 0x7f)
			buf_printf(out, "\\u%04x", c);
		else
			buf_append_byte(out, c);
	}
	buf_append_byte(out, '"');
}

static void put_text(struct buf *out, const char *key, const char *text)
{
	if (sink.json) {
		buf_printf(out, "%s\"%s\":", out->data[out->bytes - 1] == '{' ? "" : ",", key);
		put_quoted(out, text);
		return;
	}
	buf_printf(out, " %s=", key);
	if (is_plain(text))
		buf_append_text(out, text);
	else
		put_quoted(out, text);
}

int log_open(const char *path, enum log_level least, bool json)
{
	int fd = path == NULL ? STDERR_FILENO : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	log_close();
	outlet_open(&sink.outlet, fd);
	sink.fd = fd;
	sink.open = true;
	sink.json = json;
	sink.least = least;
	return 0;
}

void log_flush(void)
{
	if (sink.open)
		outlet_flush(&sink.outlet);
}

void log_close(void)
{
	if (!sink.open)
		return;
	outlet_drain(&sink.outlet, LOG_PATIENCE_MS);
	outlet_close(&sink.outlet);
	if (sink.fd != STDERR_FILENO)
		close(sink.fd);
	sink.open = sink.gathers = false;
}

void log_gather(void)
{
	sink.gathers = true;
}

bool log_enabled(enum log_level level)
{
	return sink.open && level >= sink.least;
}

static void put_line(enum log_level level, const char *event, const struct log_field *fields, int count)
{
	char ts[CLOCK_RFC3339_BYTES];
	struct buf *out = &sink.outlet.pending;

	clock_rfc3339(clock_wall_ms(), ts);
	if (sink.json)
		buf_printf(out, "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", ts, level_names[level],
			   event);
	else
		buf_printf(out, "ts=%s level=%s event=%s", ts, level_names[level], event);
	for (int i = 0; i < count; i++) {
		if (fields[i].text != NULL)
			put_text(out, fields[i].key, fields[i].text);
		else
			buf_printf(out, sink.json ? ",\"%s\":%" PRId64 : " %s=%" PRId64, fields[i].key,
				   fields[i].number);
	}
	buf_append_text(out, sink.json ? "}\n" : "\n");
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, int count)
{
	uint64_t dropped;

	if (!outlet_has_room(&sink.outlet, LOG_HELD_BYTES_MAX))
		return;
	dropped = outlet_left_out(&sink.outlet);
	if (dropped > 0)
		put_line(LOG_WARN, "log.dropped", LOG_FIELDS(NUMBER("lines", dropped)), 1);
	put_line(level, event, fields, count);
	if (level >= LOG_WARN || (sink.fd == STDERR_FILENO && !sink.gathers) ||
	    sink.outlet.pending.bytes >= LOG_BUFFER_BYTES)
		log_flush();
}
