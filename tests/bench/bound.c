/*
 * bound.c - what this machine can do at best: the lower bounds that `make bench` sets stoker beside
 *
 *   bound spawn N IN_FLIGHT WORD...   posix_spawn and wait of WORD... N times, IN_FLIGHT at once
 *   bound commit N FILE               N transactions of one small row each: SQLite, WAL, synchronous=FULL
 *   bound copy BYTES FROM TO          makes FROM, then copies it to TO as cat does: read and write in turn
 *   bound print BYTES [BYTES_PER_S]   prints lines as fast as the reader takes them, or slower; a talkative step
 *   bound run WORD...                 runs WORD...; its parent is small, so the peak of memory is its own
 *
 * Each but print writes one JSON object to the file that $BOUND_REPORT names, else to standard output:
 *   {"seconds": 1.25, "count": 1000, "rss_peak_bytes": 0, "status": 0}
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { COPY_BYTES = 128 * 1024, PRINT_BYTES = 256 * 1024 };

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

static void report(double seconds, uint64_t count, uint64_t rss_peak_bytes, int status)
{
	const char *path = getenv("BOUND_REPORT");
	FILE *file = path != NULL ? fopen(path, "we") : stdout;

	if (file == NULL)
		die("create %s: %s", path, strerror(errno));
	fprintf(file, "{\"seconds\": %.6f, \"count\": %" PRIu64, seconds, count);
	fprintf(file, ", \"rss_peak_bytes\": %" PRIu64 ", \"status\": %d}\n", rss_peak_bytes, status);
	if (fflush(file) != 0)
		die("write the report: %s", strerror(errno));
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
	else
		die("usage: bound spawn N IN_FLIGHT WORD... | commit N FILE | copy BYTES FROM TO | "
		    "print BYTES [BYTES_PER_S] | run WORD...");
	return 0;
}
