#include "web/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "web/answer.h"
#include "web/parts.h"

enum { BLOCK_BYTES = 64 * 1024, LINE_BYTES_MAX = 64 * 1024 };

static const char type[] = "text/plain; charset=utf-8";

/* A log that somebody follows. */
struct follow {
	struct list link;
	struct web *web;
	struct listener *listener;
	struct MHD_Connection *mhd;
	int client_fd;
	int fd; /* -1: the attempt, or its log, is not there yet */
	uint64_t offset;
	char *run, *task;
	uint32_t attempt; /* 0: the first that there will be */
	bool suspended;
	bool ended;
	int64_t asked_mono_ms;
};

static void say_number(struct exchange *exchange, const char *name, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, number);
	answer_header(exchange, name, text);
}

static void say_facts(struct exchange *exchange, const struct web_log *log, uint64_t offset, uint64_t size)
{
	say_number(exchange, "Stoker-Attempt", log->attempt);
	say_number(exchange, "Stoker-Offset", offset);
	say_number(exchange, "Stoker-Size", size);
	answer_header(exchange, "Stoker-Growing", log->growing ? "true" : "false");
	answer_header(exchange, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
}

/* 0 also when there is no log yet: *fd_out is -1 then. */
static int open_log(const char *path, int *fd_out, uint64_t *size_out, struct err *err)
{
	autoclose int fd = path[0] == '\0' ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st = { 0 };

	if (path[0] != '\0' && fd < 0 && errno != ENOENT)
		return err_errno(err, "open the log");
	if (fd >= 0 && fstat(fd, &st) < 0)
		return err_errno(err, "look at the log");
	if (fd >= 0 && !S_ISREG(st.st_mode))
		return err_set(err, ERR_CORRUPT, "the log is no file");
	*size_out = (uint64_t)st.st_size;
	*fd_out = take_fd(fd);
	return 0;
}

/* --- what there is ---------------------------------------------------------------------------------------- */

/* The tail begins with a line, unless that is longer than LINE_BYTES_MAX. */
static uint64_t line_after(int fd, uint64_t offset, uint64_t size)
{
	uint64_t bytes = size - offset < LINE_BYTES_MAX ? size - offset : LINE_BYTES_MAX;
	autofree char *text = mem_alloc((size_t)bytes + 1);
	ssize_t n = offset == 0 ? 0 : pread(fd, text, (size_t)bytes, (off_t)offset - 1);
	const char *line = n <= 0 ? NULL : memchr(text, '\n', (size_t)n);

	return line == NULL ? offset : offset + (uint64_t)(line - text);
}

/* By offset and limit, or by tail. */
static void place_by_options(const struct request *request, int fd, uint64_t size, uint64_t *first_out,
			     uint64_t *bytes_out)
{
	uint64_t first = (uint64_t)request->offset;

	if (request->tail_bytes > 0) {
		first = (uint64_t)request->tail_bytes >= size ? 0 : size - (uint64_t)request->tail_bytes;
		first = line_after(fd, first, size);
	}
	if (first > size)
		first = size;
	*first_out = first;
	*bytes_out = size - first;
	if (request->limit_bytes > 0 && (uint64_t)request->limit_bytes < *bytes_out)
		*bytes_out = (uint64_t)request->limit_bytes;
}

static void answer_outside(struct exchange *exchange, const struct web_log *log, uint64_t size)
{
	char text[40];

	answer_problem(exchange, 416, ERR_INVALID, "the log has no such bytes yet");
	snprintf(text, sizeof text, "bytes */%" PRIu64, size);
	answer_header(exchange, MHD_HTTP_HEADER_CONTENT_RANGE, text);
	say_facts(exchange, log, 0, size);
}

static void answer_part(struct exchange *exchange, const struct web_log *log, int fd, uint64_t size)
{
	const char *range = exchange_header(exchange, MHD_HTTP_HEADER_IF_RANGE) != NULL
				    ? NULL /* we give no validator that it could name */
				    : exchange_header(exchange, MHD_HTTP_HEADER_RANGE);
	uint64_t first = 0, bytes = 0;
	enum request_range how = exchange->request.options != 0 ? RANGE_NONE
								: request_range_of(range, size, &first, &bytes);
	char text[80];

	if (how == RANGE_OUTSIDE) {
		answer_outside(exchange, log, size);
		close(fd);
		return;
	}
	if (how == RANGE_NONE)
		place_by_options(&exchange->request, fd, size, &first, &bytes);
	answer_response(exchange, how == RANGE_GIVEN ? 206 : 200,
			http->create_response_from_fd_at_offset64(bytes, fd, first), type, "no-cache");
	if (how == RANGE_GIVEN) {
		snprintf(text, sizeof text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, first + bytes - 1, size);
		answer_header(exchange, MHD_HTTP_HEADER_CONTENT_RANGE, text);
	}
	say_facts(exchange, log, first, size);
	exchange->endless = true; /* a gigabyte may take as long as it takes; silence is the library's to end */
}

static void answer_nothing(struct exchange *exchange, const struct web_log *log)
{
	answer_bytes(exchange, 200, type, "", 0, NULL, "no-cache");
	say_facts(exchange, log, 0, 0);
}

/* --- what comes ------------------------------------------------------------------------------------------- */

static void resume(struct follow *follow)
{
	follow->suspended = false;
	http->resume_connection(follow->mhd);
	web_kick(follow->listener);
}

static bool has_more(const struct follow *follow)
{
	struct stat st;

	return follow->fd >= 0 && fstat(follow->fd, &st) == 0 && (uint64_t)st.st_size > follow->offset;
}

/* Of an offset that is no file's, the system would not say "nothing there" but that it is wrong. */
static ssize_t on_read(void *context, uint64_t position, char *out, size_t room)
{
	struct follow *follow = context;
	ssize_t n = !has_more(follow) ? 0 : pread(follow->fd, out, room, (off_t)follow->offset);

	(void)position;
	if (n < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n > 0) {
		follow->offset += (uint64_t)n;
		return n;
	}
	if (follow->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	follow->suspended = true;
	http->suspend_connection(follow->mhd);
	return 0;
}

static void on_free(void *context)
{
	struct follow *follow = context;

	list_remove(&follow->link);
	if (list_empty(&follow->web->follows))
		uv_timer_stop(&follow->web->follow_timer);
	follow->web->streams--;
	scope_close(&follow->fd);
	free(follow->run);
	free(follow->task);
	free(follow);
}

/* What was written before the answer "it has ended" is there when it is looked for after it. */
static void ask(struct follow *follow)
{
	const struct web_source *source = follow->web->source;
	const struct web_query query = { .run = follow->run, .task = follow->task, .attempt = follow->attempt,
					 .after = -1 };
	struct web_log log = { 0 };
	uint64_t size;
	struct err err;

	if (source->log(source->context, &query, &log, &err) < 0) {
		follow->ended = true;
		return;
	}
	follow->attempt = log.attempt;
	follow->ended = !log.growing;
	if (follow->fd < 0 && open_log(log.path, &follow->fd, &size, &err) < 0)
		follow->ended = true;
}

static void look(struct follow *follow, int64_t now_mono_ms)
{
	char byte;

	if (!has_more(follow) && now_mono_ms - follow->asked_mono_ms >= LOGS_ASK_MS) {
		follow->asked_mono_ms = now_mono_ms;
		ask(follow);
		if (recv(follow->client_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
			follow->ended = true; /* it hung up */
	}
	if (follow->ended || has_more(follow))
		resume(follow);
}

static void on_timer(uv_timer_t *timer)
{
	struct web *web = timer->data;
	int64_t now_mono_ms = clock_mono_ms();

	list_each (at, &web->follows) {
		struct follow *follow = list_entry(at, struct follow, link);

		if (follow->suspended)
			look(follow, now_mono_ms);
	}
}

static void answer_follow(struct exchange *exchange, const struct web_log *log, int fd, uint64_t size)
{
	struct web *web = exchange->connection->listener->web;
	struct follow *follow;
	uint64_t bytes;

	if (web->streams >= WEB_STREAMS_MAX) {
		scope_close(&fd);
		answer_problem(exchange, 503, ERR_LIMIT, "there are too many live streams already; try again later");
		return;
	}
	web->streams++;
	follow = mem_zalloc(sizeof *follow);
	follow->web = web;
	follow->listener = exchange->connection->listener;
	follow->mhd = exchange->mhd;
	follow->client_fd = exchange->connection->fd;
	follow->fd = fd;
	follow->run = mem_strdup(exchange->request.query.run);
	follow->task = mem_strdup(exchange->request.query.task);
	follow->attempt = log->attempt;
	follow->ended = !log->growing;
	place_by_options(&exchange->request, fd, size, &follow->offset, &bytes);
	if (exchange->request.tail_bytes == 0)
		follow->offset = (uint64_t)exchange->request.offset; /* also one that is not there yet */
	list_append(&web->follows, &follow->link);
	uv_timer_start(&web->follow_timer, on_timer, LOGS_LOOK_MS, LOGS_LOOK_MS);
	exchange->endless = true;
	answer_response(exchange, 200,
			http->create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_read, follow, on_free),
			type, "no-store");
	say_facts(exchange, log, follow->offset, size);
	answer_header(exchange, "X-Accel-Buffering", "no");
}

/* --- the request ------------------------------------------------------------------------------------------ */

void logs_start(struct web *web)
{
	list_init(&web->follows);
	uv_timer_init(web->loop, &web->follow_timer);
	web->follow_timer.data = web;
	web->handles++;
}

void logs_answer(struct exchange *exchange)
{
	const struct web_source *source = exchange->connection->listener->web->source;
	struct web_log log = { 0 };
	uint64_t size;
	struct err err;
	int fd;

	if (source->log(source->context, &exchange->request.query, &log, &err) < 0 ||
	    open_log(log.path, &fd, &size, &err) < 0)
		answer_error(exchange, &err);
	else if (exchange->request.follow)
		answer_follow(exchange, &log, fd, size);
	else if (fd < 0)
		answer_nothing(exchange, &log);
	else
		answer_part(exchange, &log, fd, size);
}

void logs_end(struct web *web)
{
	list_each (at, &web->follows) {
		struct follow *follow = list_entry(at, struct follow, link);

		follow->ended = true;
		if (follow->suspended) {
			follow->suspended = false;
			http->resume_connection(follow->mhd);
		}
	}
}
