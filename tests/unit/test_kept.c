/*
 * Copies of checkpoints of runs that have ended are kept within limits, and the ledger says what is there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "dag/diagnostic.h"
#include "scheduler/kept.h"
#include "scheduler/store.h"

enum { FILE_BYTES = 8192 };

static char home[64];
static struct store *store;

static void create_run(void)
{
	static const char yaml[] = "name: t\nsteps:\n  a: {run: 'true'}\n";
	struct store_new_run new_run = {
		.params = "{}", .trigger = "manual", .actor = "ada", .origin = "test", .wall_ms = 1000
	};
	struct diagnostics diagnostics;
	struct dag *dag;
	struct err err;
	uint64_t run;

	diagnostics_init(&diagnostics);
	assert_int_equal(dag_parse("/x/t.yaml", yaml, strlen(yaml), &dag, &diagnostics), 0);
	diagnostics_fini(&diagnostics);
	new_run.dag = dag;
	assert_int_equal(store_create_run(store, &new_run, &run, &err), 0);
	dag_free(dag);
}

__attribute__((format(printf, 1, 2))) static void exec(const char *format, ...)
{
	va_list args;
	char *sql;

	va_start(args, format);
	sql = sqlite3_vmprintf(format, args);
	va_end(args);
	assert_int_equal(sqlite3_exec(store->db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_free(sql);
}

static bool is_there(const char *name)
{
	autofree char *path = mem_printf("%s/%s", home, name);

	return access(path, F_OK) == 0;
}

static void make_file(const char *name)
{
	autofree char *path = mem_printf("%s/%s", home, name);
	static char bytes[FILE_BYTES];
	FILE *file;

	for (char *slash = strchr(path + strlen(home) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fwrite(bytes, 1, sizeof bytes, file);
	fclose(file);
}

/* Run t/N ended in that state at that time, and has a copy of its checkpoint. */
static void end_run(int number, const char *state, int64_t ended_ms)
{
	autofree char *name = mem_printf("checkpoints/t/%d/a.1", number);

	create_run();
	exec("UPDATE run SET state = '%s', ended_ms = %lld WHERE id = %d", state, (long long)ended_ms, number);
	exec("INSERT INTO checkpoint (run, step, seq, name, digest, bytes, at_step, format, attempt, state, created_ms,"
	     " copy, copy_bytes) VALUES (%d, 0, 1, 'e1', 'd', 1, 1, 'file', 1, 'good', 1, 'p', %d)",
	     number, FILE_BYTES);
	make_file(name);
}

static int count_copies(void)
{
	sqlite3_stmt *stmt;
	int count;

	sqlite3_prepare_v2(store->db, "SELECT count(*) FROM checkpoint WHERE copy <> '' AND copy_bytes > 0", -1, &stmt,
			   NULL);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	count = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return count;
}

static void tidy(int64_t bytes_max)
{
	struct err err;

	if (kept_tidy(store, bytes_max, &err) < 0)
		fail_msg("%s", err.text);
}

static int set_up(void **state)
{
	struct err err;

	(void)state;
	snprintf(home, sizeof home, "/tmp/stoker-kept-XXXXXX");
	return mkdtemp(home) == NULL ? -1 : store_open(home, &store, &err);
}

static int tear_down(void **state)
{
	char command[256];

	(void)state;
	store_close(store);
	snprintf(command, sizeof command, "rm -rf %s", home);
	return system(command);
}

static void copies_of_the_runs_that_ended_first_go(void **state)
{
	(void)state;
	end_run(1, "failed", 3000);
	end_run(2, "canceled", 1000);
	end_run(3, "running", 0);
	end_run(4, "failed", 2000);
	tidy(3 * FILE_BYTES);
	assert_int_equal(count_copies(), 4);
	tidy(2 * FILE_BYTES);
	assert_false(is_there("checkpoints/t/2/a.1"));
	assert_int_equal(count_copies(), 3);
	tidy(0);
	assert_false(is_there("checkpoints/t/1/a.1"));
	assert_false(is_there("checkpoints/t/4/a.1"));
	assert_true(is_there("checkpoints/t/3/a.1"));
	assert_int_equal(count_copies(), 1);
}

static void nothing_is_there_and_nothing_happens(void **state)
{
	(void)state;
	tidy(0);
	assert_int_equal(count_copies(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(copies_of_the_runs_that_ended_first_go),
		TEST(nothing_is_there_and_nothing_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
