#include "executor/collect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

static struct list *bucket_of(struct collect_table *table, const struct attempt_id *id)
{
	uint64_t hash = (id->run * 31 + id->task) * 0x9e3779b97f4a7c15ULL + id->number;

	return &table->buckets[(hash >> 32 ^ hash) % COLLECT_BUCKETS];
}

void collect_table_init(struct collect_table *table)
{
	for (size_t i = 0; i < COLLECT_BUCKETS; i++)
		list_init(&table->buckets[i]);
	table->count = 0;
}

void collect_table_fini(struct collect_table *table)
{
	for (size_t i = 0; i < COLLECT_BUCKETS; i++)
		while (!list_empty(&table->buckets[i]))
			collect_remove(table, list_entry(table->buckets[i].next, struct collect, link));
}

struct collect *collect_find(struct collect_table *table, const struct attempt_id *id)
{
	list_each (at, bucket_of(table, id)) {
		struct collect *collect = list_entry(at, struct collect, link);

		if (collect->id.run == id->run && collect->id.task == id->task &&
		    collect->id.number == id->number)
			return collect;
	}
	return NULL;
}

struct collect *collect_add(struct collect_table *table, const struct attempt_id *id, char *log_path)
{
	struct collect *collect = collect_find(table, id);

	if (collect != NULL) {
		free(log_path);
		return collect;
	}
	collect = mem_zalloc(sizeof *collect);
	collect->id = *id;
	collect->log_path = log_path;
	collect->log_fd = -1;
	buf_init(&collect->journal, PROTOCOL_FRAME_BYTES_MAX);
	buf_init(&collect->log_waiting, PROTOCOL_WINDOW_BYTES + PROTOCOL_FRAME_BYTES_MAX);
	list_init(&collect->link);
	list_append(bucket_of(table, id), &collect->link);
	table->count++;
	return collect;
}

void collect_remove(struct collect_table *table, struct collect *collect)
{
	list_remove(&collect->link);
	table->count--;
	early_fini(&collect->log_early);
	if (collect->log_fd >= 0)
		close(collect->log_fd);
	buf_fini(&collect->journal);
	buf_fini(&collect->log_waiting);
	free(collect->log_path);
	free(collect);
}

void collect_rewind(struct collect *collect, uint64_t journal_offset)
{
	buf_clear(&collect->journal);
	buf_clear(&collect->log_waiting);
	collect->journal_offset = journal_offset;
	collect->log_told = collect->log_stored;
	collect->reported = false;
}

static int open_log(struct collect *collect, int flags, struct err *err)
{
	struct stat st;

	if (collect->log_fd >= 0 || collect->log_path == NULL)
		return 0;
	collect->log_fd = open(collect->log_path, O_WRONLY | O_CLOEXEC | flags, 0600);
	if (collect->log_fd < 0)
		return errno == ENOENT && flags == 0 ? 0
						     : err_errno(err, "open the log %s", collect->log_path);
	if (fstat(collect->log_fd, &st) < 0)
		return err_errno(err, "look at the log %s", collect->log_path);
	collect->log_stored = (uint64_t)st.st_size;
	return 0;
}

int collect_open_log(struct collect *collect, struct err *err)
{
	return open_log(collect, 0, err);
}

/* Writes at the end of the file; returns how much could be written, and in `err` why not all. */
static size_t write_log(struct collect *collect, const uint8_t *bytes, size_t n, struct err *err)
{
	size_t done = 0;

	if (collect->log_path == NULL) { /* nobody wants it */
		collect->log_stored += n;
		return n;
	}
	if (open_log(collect, O_CREAT, err) < 0)
		return 0;
	while (done < n) {
		ssize_t wrote = pwrite(collect->log_fd, bytes + done, n - done, (off_t)collect->log_stored);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0) {
			err_errno(err, "write the log %s", collect->log_path);
			break;
		}
		done += (size_t)wrote;
		collect->log_stored += (uint64_t)wrote;
	}
	return done;
}

int collect_log(struct collect *collect, uint64_t offset, const uint8_t *bytes, size_t n, bool *blocked_out,
		struct err *err)
{
	uint64_t have = collect->log_stored + collect->log_waiting.bytes;
	size_t done;

	*blocked_out = false;
	if (offset > have)
		return err_set(err, ERR_CORRUPT, "log bytes %llu to %llu were left out",
			       (unsigned long long)have, (unsigned long long)offset);
	if (offset + n <= have)
		return 0;
	bytes += have - offset;
	n -= (size_t)(have - offset);
	done = collect->log_waiting.bytes > 0 ? 0 : write_log(collect, bytes, n, err);
	if (done < n) {
		*blocked_out = true;
		buf_append(&collect->log_waiting, bytes + done, n - done);
		if (collect->log_waiting.overflow)
			return err_set(err, ERR_LIMIT, "more log came than was asked for");
	}
	return 0;
}

int collect_retry_log(struct collect *collect, struct err *err)
{
	size_t done = write_log(collect, collect->log_waiting.data, collect->log_waiting.bytes, err);

	buf_consume(&collect->log_waiting, done);
	return collect->log_waiting.bytes == 0 ? 0 : ERR_IO;
}
