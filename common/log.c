#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"

enum { LOG_BUFFER_BYTES = 16 * 1024 };

static const char *const level_names[] = { "debug", "info", "warn", "error" };

static struct {
	int fd;
	bool open;
	bool to_stderr; /* or to a descriptor of our own of what that is */
	bool gathers;
	bool json;
	bool is_file; /* it takes all at once */
	enum log_level least;
	struct buf pending;
	uint64_t dropped; /* lines, since the last that was kept */
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

/* --- writing ---------------------------------------------------------------------------------------------- */

/*
 * A descriptor on which no write blocks. Standard error is shared with a shell and with children, which expect theirs to
 * block, so O_NONBLOCK is set on another one, of the same pipe or terminal. Sockets can do without, and so must whoever
 * may not open it: what is_ready says is true of a pipe, and mostly of a terminal.
 */
static int open_stderr(mode_t type)
{
	int fd = S_ISREG(type) || S_ISSOCK(type)
			 ? -1
			 : open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	return fd < 0 ? STDERR_FILENO : fd;
}

static bool is_ready(int timeout_ms)
{
	struct pollfd ready = { .fd = sink.fd, .events = POLLOUT };

	return sink.is_file || poll(&ready, 1, timeout_ms) == 1;
}

/* To a pipe or a socket that is ready, so much can be written at once. Cut between lines. */
static size_t next_bytes(const uint8_t *text, size_t bytes)
{
	const uint8_t *newline;

	if (sink.is_file || bytes <= PIPE_BUF)
		return bytes;
	newline = memrchr(text, '\n', PIPE_BUF);
	return newline == NULL ? PIPE_BUF : (size_t)(newline - text) + 1;
}

/* How many bytes are done with; 0: they are to be offered again. */
static size_t write_some(const uint8_t *text, size_t bytes)
{
	ssize_t n;

	do
		n = write(sink.fd, text, next_bytes(text, bytes));
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return (size_t)n;
	return n < 0 && errno == EAGAIN ? 0 : bytes; /* else they cannot be written */
}

static void offer(int timeout_ms)
{
	size_t done = 0, n = 1;

	while (n > 0 && done < sink.pending.bytes && is_ready(timeout_ms))
		done += n = write_some(sink.pending.data + done, sink.pending.bytes - done);
	if (done > 0)
		buf_consume(&sink.pending, done);
}

/* ---------------------------------------------------------------------------------------------------------- */

int log_open(const char *path, enum log_level least, bool json)
{
	int fd = path == NULL ? STDERR_FILENO : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	struct stat status = { 0 };

	if (fd < 0)
		return -1;
	log_close();
	fstat(fd, &status);
	sink.fd = path == NULL ? open_stderr(status.st_mode) : fd;
	sink.open = true;
	sink.to_stderr = path == NULL;
	sink.json = json;
	sink.is_file = S_ISREG(status.st_mode);
	sink.least = least;
	return 0;
}

void log_flush(void)
{
	if (sink.open && sink.pending.bytes > 0)
		offer(0);
}

void log_close(void)
{
	int64_t end_mono_ms = clock_mono_ms() + LOG_PATIENCE_MS, left_ms = LOG_PATIENCE_MS;

	if (!sink.open)
		return;
	for (; sink.pending.bytes > 0 && left_ms > 0; left_ms = end_mono_ms - clock_mono_ms())
		offer((int)left_ms);
	buf_fini(&sink.pending);
	if (sink.fd != STDERR_FILENO)
		close(sink.fd);
	sink.open = sink.gathers = false;
	sink.dropped = 0;
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
	struct buf *out = &sink.pending;

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

static bool has_room(void)
{
	if (sink.pending.bytes >= LOG_HELD_BYTES_MAX)
		log_flush();
	return sink.pending.bytes < LOG_HELD_BYTES_MAX;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, int count)
{
	if (!has_room()) {
		sink.dropped++;
		return;
	}
	if (sink.dropped > 0)
		put_line(LOG_WARN, "log.dropped", LOG_FIELDS(NUMBER("lines", sink.dropped)), 1);
	sink.dropped = 0;
	put_line(level, event, fields, count);
	if (level >= LOG_WARN || (sink.to_stderr && !sink.gathers) ||
	    sink.pending.bytes >= LOG_BUFFER_BYTES)
		log_flush();
}
