/*
 * bound.c - what this machine can do at best: the lower bounds that `make bench` sets stoker beside
 *
 *   bound spawn N IN_FLIGHT WORD...   posix_spawn and wait of WORD... N times, IN_FLIGHT at once
 *   bound commit N FILE               N transactions of one small row each: SQLite, WAL, synchronous=FULL
 *   bound copy BYTES FROM TO          makes FROM, then copies it to TO as cat does: read and write in turn
 *   bound print BYTES [BYTES_PER_S]   prints lines as fast as the reader takes them, or slower; a talkative step
 *   bound run WORD...                 runs WORD...; its parent is small, so the peak of memory is its own
 *   bound ask PORT PATH N ROUNDS PAUSE_MS
 *                                     N connections to this machine ask for PATH at once, ROUNDS times. It goes before
 *                                     all usual work (SCHED_RR), where it may: those who ask are elsewhere, with a
 *                                     processor of their own, and do not wait for one of this machine
 *   bound answer PORT BYTES           a server that has as many bytes for whatever is asked, until it is ended
 *   bound library PORT BYTES          the same, made with libmicrohttpd: what the library takes with nothing behind it
 *
 * Each but print, answer and library writes one JSON object to the file that $BOUND_REPORT names, else to standard output:
 *   {"seconds": 1.25, "count": 1000, "rss_peak_bytes": 0, "status": 0}
 * and ask adds "p50_ms" and "p99_ms", from a request to the last byte of its answer, and "first": whether it goes first.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum {
	COPY_BYTES = 128 * 1024,
	PRINT_BYTES = 256 * 1024,
	ASKERS_MAX = 200,
	ASK_ROUNDS_MAX = 10000,
	ASK_HEADER_BYTES = 4096,
	ASK_READ_BYTES = 1024 * 1024,
	ASK_PATIENCE_MS = 30000,
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("bound: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

static double now_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t parse_number(const char *text)
{
	char *end;
	uint64_t number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || number == 0)
		die("'%s' is not a number above 0", text);
	return number;
}

/* `more`: further members, each with a comma before it. */
static void report_more(double seconds, uint64_t count, uint64_t rss_peak_bytes, int status, const char *more)
{
	const char *path = getenv("BOUND_REPORT");
	FILE *file = path != NULL ? fopen(path, "we") : stdout;

	if (file == NULL)
		die("create %s: %s", path, strerror(errno));
	fprintf(file, "{\"seconds\": %.6f, \"count\": %" PRIu64, seconds, count);
	fprintf(file, ", \"rss_peak_bytes\": %" PRIu64 ", \"status\": %d%s}\n", rss_peak_bytes, status, more);
	if (fflush(file) != 0)
		die("write the report: %s", strerror(errno));
}

static void report(double seconds, uint64_t count, uint64_t rss_peak_bytes, int status)
{
	report_more(seconds, count, rss_peak_bytes, status, "");
}

static pid_t spawn(char *const argv[])
{
	pid_t pid;
	int rc = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

	if (rc != 0)
		die("spawn %s: %s", argv[0], strerror(rc));
	return pid;
}

static void bound_spawn(uint64_t n, uint64_t in_flight_max, char *const argv[])
{
	uint64_t started = 0, in_flight = 0, ended = 0;
	double begin = now_seconds();

	while (ended < n) {
		int status;

		for (; started < n && in_flight < in_flight_max; started++, in_flight++)
			spawn(argv);
		if (wait(&status) < 0)
			die("wait: %s", strerror(errno));
		if (status != 0)
			die("%s ended with status %#x", argv[0], (unsigned)status);
		in_flight--;
		ended++;
	}
	report(now_seconds() - begin, n, 0, 0);
}

static void sql(sqlite3 *db, const char *text)
{
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		die("%s: %s", text, sqlite3_errmsg(db));
}

static void bound_commit(uint64_t n, const char *path)
{
	sqlite3 *db;
	sqlite3_stmt *insert;
	double begin;

	if (sqlite3_open(path, &db) != SQLITE_OK)
		die("open %s: %s", path, sqlite3_errmsg(db));
	sql(db, "PRAGMA journal_mode=WAL");
	sql(db, "PRAGMA synchronous=FULL");
	sql(db,
	    "CREATE TABLE move (id INTEGER PRIMARY KEY, task INTEGER, state TEXT, wall_ms INTEGER) STRICT");
	if (sqlite3_prepare_v2(
		    db, "INSERT INTO move (task, state, wall_ms) VALUES (?1, 'running', 1700000000000)", -1,
		    &insert, NULL) != SQLITE_OK)
		die("prepare: %s", sqlite3_errmsg(db));

	begin = now_seconds();
	for (uint64_t i = 0; i < n; i++) {
		sqlite3_bind_int64(insert, 1, (sqlite3_int64)i);
		if (sqlite3_step(insert) != SQLITE_DONE)
			die("insert: %s", sqlite3_errmsg(db));
		sqlite3_reset(insert);
	}
	report(now_seconds() - begin, n, 0, 0);
	sqlite3_finalize(insert);
	sqlite3_close(db);
}

static void write_all(int fd, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t written = write(fd, bytes, n);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			die("write: %s", strerror(errno));
		bytes += written;
		n -= (size_t)written;
	}
}

/* Whole lines of 100 bytes, so that whoever reads them has lines to find. */
static void write_lines(int fd, uint64_t bytes, uint64_t bytes_per_s)
{
	static char block[PRINT_BYTES];
	double begin = now_seconds();
	uint64_t written = 0;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = i % 100 == 99 ? '\n' : (char)('a' + i % 26);
	while (written < bytes) {
		size_t n = bytes - written < sizeof(block) ? (size_t)(bytes - written) : sizeof(block);

		while (bytes_per_s > 0 && (double)written > (now_seconds() - begin) * (double)bytes_per_s)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		write_all(fd, block, n);
		written += n;
	}
}

static int open_new(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		die("create %s: %s", path, strerror(errno));
	return fd;
}

static void bound_copy(uint64_t bytes, const char *from, const char *to)
{
	static char block[COPY_BYTES];
	int source = open_new(from), target;
	double begin;
	ssize_t n;

	write_lines(source, bytes, 0);
	close(source);
	source = open(from, O_RDONLY | O_CLOEXEC);
	if (source < 0)
		die("open %s: %s", from, strerror(errno));

	begin = now_seconds();
	target = open_new(to);
	while ((n = read(source, block, sizeof(block))) > 0)
		write_all(target, block, (size_t)n);
	if (n < 0)
		die("read %s: %s", from, strerror(errno));
	close(target);
	report(now_seconds() - begin, bytes, 0, 0);
	close(source);
}

static void bound_run(char *const argv[])
{
	double begin = now_seconds();
	struct rusage usage;
	pid_t pid;
	int status;

	pid = spawn(argv);
	while (wait4(pid, &status, 0, &usage) < 0)
		if (errno != EINTR)
			die("wait: %s", strerror(errno));
	report(now_seconds() - begin, 1, (uint64_t)usage.ru_maxrss * 1024,
	       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* One that asks. */
struct asker {
	int fd;
	double asked;	 /* when */
	size_t header_n; /* of `header`; until its end has come */
	uint64_t left;	 /* of the body; 0: all is there */
	char header[ASK_HEADER_BYTES];
};

static int connect_to(uint64_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
		die("connect to port %" PRIu64 ": %s", port, strerror(errno));
	return fd;
}

/* The length of the body, and of the header before it; false: the header is not complete. */
static bool read_header(const char *text, size_t *header_out, uint64_t *body_out)
{
	const char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\nContent-Length:");

	if (end == NULL)
		return false;
	if (strncmp(text, "HTTP/1.1 200 ", 13) != 0 || length == NULL || length > end)
		die("not the answer that was expected: %.200s", text);
	*header_out = (size_t)(end + 4 - text);
	*body_out = strtoull(length + 17, NULL, 10);
	return true;
}

/* Whether the answer is complete. What comes after its header is not looked at, and not even copied. */
static bool hear(struct asker *asker)
{
	bool in_body = asker->left > 0;
	ssize_t n = in_body ? recv(asker->fd, NULL, ASK_READ_BYTES, MSG_TRUNC)
			    : recv(asker->fd, asker->header + asker->header_n,
				   sizeof asker->header - asker->header_n - 1, 0);
	size_t header_bytes;

	if (n <= 0)
		die("an answer is cut");
	if (in_body) {
		asker->left -= (uint64_t)n;
		return asker->left == 0;
	}
	asker->header_n += (size_t)n;
	asker->header[asker->header_n] = '\0';
	if (!read_header(asker->header, &header_bytes, &asker->left))
		return false;
	asker->left -= asker->header_n - header_bytes;
	return asker->left == 0;
}

/* One round. */
static void ask_once(int epoll, struct asker *askers, size_t count, const char *request, double *took_out)
{
	struct epoll_event events[ASKERS_MAX];
	size_t waiting = count, length = strlen(request);

	for (size_t i = 0; i < count; i++) {
		askers[i].header_n = 0;
		askers[i].asked = now_seconds();
		write_all(askers[i].fd, request, length);
	}
	while (waiting > 0) {
		int n = epoll_wait(epoll, events, ASKERS_MAX, ASK_PATIENCE_MS);

		if (n <= 0)
			die("no answer within %d s", ASK_PATIENCE_MS / 1000);
		for (int i = 0; i < n; i++) {
			struct asker *asker = events[i].data.ptr;

			if (!hear(asker))
				continue;
			*took_out++ = now_seconds() - asker->asked;
			waiting--;
		}
	}
}

static int by_size(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void bound_ask(uint64_t port, const char *path, uint64_t count, uint64_t rounds, uint64_t pause_ms)
{
	static struct asker askers[ASKERS_MAX];
	double *took, begin = now_seconds();
	char request[1000], more[100];
	size_t n = count * rounds;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	bool first = sched_setscheduler(0, SCHED_RR, &(struct sched_param){ .sched_priority = 1 }) == 0;

	if (count > ASKERS_MAX || rounds > ASK_ROUNDS_MAX)
		die("at most %d connections, and %d rounds", ASKERS_MAX, ASK_ROUNDS_MAX);
	took = calloc(n, sizeof *took);
	snprintf(request, sizeof request,
		 "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n", path);
	for (size_t i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &askers[i] };

		askers[i].fd = connect_to(port);
		epoll_ctl(epoll, EPOLL_CTL_ADD, askers[i].fd, &event);
	}
	for (size_t i = 0; i < rounds; i++) {
		ask_once(epoll, askers, count, request, took + i * count);
		nanosleep(&(struct timespec){ .tv_sec = (time_t)(pause_ms / 1000),
					      .tv_nsec = (long)(pause_ms % 1000) * 1000000 },
			  NULL);
	}
	qsort(took, n, sizeof *took, by_size);
	snprintf(more, sizeof more, ", \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"first\": %s", took[n / 2] * 1000,
		 took[n * 99 / 100] * 1000, first ? "true" : "false");
	report_more(now_seconds() - begin, n, 0, 0, more);
	free(took);
}

/* --- a server that has nothing to do -------------------------------------------------------------------- */

static void take_client(int epoll, int listener)
{
	struct epoll_event event = { .events = EPOLLIN };

	event.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (event.data.fd < 0)
		die("accept: %s", strerror(errno));
	setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
}

/* A request comes whole, and is not looked at. */
static void answer_client(int fd, const char *answer, size_t n)
{
	char request[4096];

	if (read(fd, request, sizeof request) <= 0)
		close(fd);
	else
		write_all(fd, answer, n);
}

static void bound_answer(uint64_t port, uint64_t bytes)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[ASKERS_MAX], event = { .events = EPOLLIN, .data.fd = listener };
	char *answer = calloc(1, (size_t)bytes + ASK_HEADER_BYTES);
	size_t n = (size_t)snprintf(answer, ASK_HEADER_BYTES,
				    "HTTP/1.1 200 OK\r\nContent-Length: %" PRIu64 "\r\n\r\n", bytes);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(listener, (const struct sockaddr *)&address, sizeof address) < 0 ||
	    listen(listener, ASKERS_MAX) < 0)
		die("listen on port %" PRIu64 ": %s", port, strerror(errno));
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int count = epoll_wait(epoll, events, ASKERS_MAX, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				take_client(epoll, listener);
			else
				answer_client(events[i].data.fd, answer, n + (size_t)bytes);
		}
	}
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
				  const char *version, const char *body, size_t *body_bytes, void **exchange)
{
	(void)url, (void)method, (void)version, (void)body, (void)body_bytes;
	if (*exchange == NULL) { /* only the header is there */
		*exchange = context;
		return MHD_YES;
	}
	return MHD_queue_response(connection, MHD_HTTP_OK, context);
}

/* On a loop of somebody else's, as in stoker: by its epoll descriptor. */
static void bound_library(uint64_t port, uint64_t bytes)
{
	char *body = calloc(1, (size_t)bytes);
	struct MHD_Response *answer =
		MHD_create_response_from_buffer((size_t)bytes, body, MHD_RESPMEM_PERSISTENT);
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct MHD_Daemon *daemon =
		MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, answer, MHD_OPTION_SOCK_ADDR, &address,
				 MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U, MHD_OPTION_END);
	struct epoll_event event = { .events = EPOLLIN };
	int loop = epoll_create1(EPOLL_CLOEXEC);

	if (daemon == NULL)
		die("listen on port %" PRIu64, port);
	epoll_ctl(loop, EPOLL_CTL_ADD, MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, &event);
	for (;;) {
		epoll_wait(loop, &event, 1, -1);
		MHD_run(daemon);
	}
}

int main(int argc, char *argv[])
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "spawn") == 0 && argc > 4)
		bound_spawn(parse_number(argv[2]), parse_number(argv[3]), argv + 4);
	else if (strcmp(what, "commit") == 0 && argc == 4)
		bound_commit(parse_number(argv[2]), argv[3]);
	else if (strcmp(what, "copy") == 0 && argc == 5)
		bound_copy(parse_number(argv[2]), argv[3], argv[4]);
	else if (strcmp(what, "print") == 0 && (argc == 3 || argc == 4))
		write_lines(STDOUT_FILENO, parse_number(argv[2]), argc == 4 ? parse_number(argv[3]) : 0);
	else if (strcmp(what, "run") == 0 && argc > 2)
		bound_run(argv + 2);
	else if (strcmp(what, "ask") == 0 && argc == 7)
		bound_ask(parse_number(argv[2]), argv[3], parse_number(argv[4]), parse_number(argv[5]),
			  parse_number(argv[6]));
	else if (strcmp(what, "answer") == 0 && argc == 4)
		bound_answer(parse_number(argv[2]), parse_number(argv[3]));
	else if (strcmp(what, "library") == 0 && argc == 4)
		bound_library(parse_number(argv[2]), parse_number(argv[3]));
	else
		die("usage: bound spawn N IN_FLIGHT WORD... | commit N FILE | copy BYTES FROM TO | "
		    "print BYTES [BYTES_PER_S] | run WORD... | ask PORT PATH N ROUNDS PAUSE_MS | answer PORT "
		    "BYTES | library PORT BYTES");
	return 0;
}
