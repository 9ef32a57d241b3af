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
#include "dag/diagnostic.h"
#include "scheduler/store.h"

static char home[64];
static const char yaml[] = "name: t\nsteps:\n  a: {run: 'true'}\n  b: {needs: [a], run: 'true'}\n";

static int set_up(void **state)
{
	(void)state;
	snprintf(home, sizeof home, "/tmp/stoker-store-XXXXXX");
	return mkdtemp(home) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	char command[256];

	(void)state;
	snprintf(command, sizeof command, "chmod -R u+w %s && rm -rf %s", home, home);
	return system(command);
}

static struct store *open_it(void)
{
	struct store *store;
	struct err err;

	if (store_open(home, &store, &err) < 0)
		fail_msg("%s", err.text);
	return store;
}

static uint64_t create_run(struct store *store)
{
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
	if (store_create_run(store, &new_run, &run, &err) < 0)
		fail_msg("%s", err.text);
	dag_free(dag);
	return run;
}

static int exec(struct store *store, const char *sql)
{
	return sqlite3_exec(store->db, sql, NULL, NULL, NULL);
}

static void every_statement_prepares(void **state)
{
	struct store *store = open_it();

	(void)state;
	for (int i = 0; i < STMT_COUNT; i++)
		if (store_statement(store, (enum store_statement)i) == NULL)
			fail_msg("statement %d: %s", i, sqlite3_errmsg(store->db));
	store_close(store);
}

static void runs_are_numbered_within_their_dag(void **state)
{
	struct store *store = open_it();
	uint64_t id;
	struct err err;

	(void)state;
	create_run(store);
	create_run(store);
	assert_int_equal(store_find_run(store, "t/2", &id, &err), 0);
	assert_int_equal(store_find_run(store, "t/3", &id, &err), ERR_NOT_FOUND);
	assert_int_equal(store_find_run(store, "t", &id, &err), ERR_INVALID);
	assert_int_equal(store_find_run(store, "t/-1", &id, &err), ERR_INVALID);
	assert_int_equal(store_find_run(store, "t/1x", &id, &err), ERR_INVALID);
	store_close(store);
}

static void a_run_is_loaded_as_it_was_stored(void **state)
{
	struct store *store = open_it();
	uint64_t id = create_run(store);
	struct run *run;
	struct err err;

	(void)state;
	store_close(store);
	store = open_it();
	assert_int_equal(store_load_run(store, id, &run, &err), 0);
	assert_string_equal(run->row.dag, "t");
	assert_string_equal(run->row.actor, "ada");
	assert_int_equal(run->dag->steps_count, 2);
	assert_int_equal(run->tasks[0].row.state, TASK_READY);
	assert_int_equal(run->tasks[1].row.state, TASK_WAITING);
	assert_string_equal(run->dag->dir, "/x");
	run_free(run);
	store_close(store);
}

static void an_ended_attempt_is_not_written_again(void **state)
{
	struct store *store = open_it();
	uint64_t id = create_run(store);
	struct action action = { .kind = SAVE_ATTEMPT };
	sqlite3_stmt *stmt;
	struct err err;

	(void)state;
	action.attempt = (struct attempt_row){
		.id = { id, 0, 1 }, .state = ATTEMPT_LOST, .worker = "w", .exit_code = -1
	};
	assert_int_equal(store_apply(store, &action, 1, &err), 0);
	action.attempt.state = ATTEMPT_SUCCEEDED;
	assert_int_equal(store_apply(store, &action, 1, &err), 0);
	assert_int_equal(sqlite3_prepare_v2(store->db, "SELECT state FROM attempt", -1, &stmt, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_string_equal(sqlite3_column_text(stmt, 0), "lost");
	sqlite3_finalize(stmt);
	store_close(store);
}

static void a_batch_is_stored_whole_or_not_at_all(void **state)
{
	struct store *store = open_it();
	uint64_t id = create_run(store);
	struct action actions[2] = { { .kind = SAVE_TASK }, { .kind = SAVE_ATTEMPT } };
	struct run *run;
	struct err err;

	(void)state;
	actions[0].task = (struct task_row){ .run = id, .step = 0, .state = TASK_STARTING };
	actions[1].attempt = (struct attempt_row){ .id = { id, 77, 1 }, .worker = "w" }; /* no such task */
	assert_true(store_apply(store, actions, 2, &err) < 0);
	assert_int_equal(store_load_run(store, id, &run, &err), 0);
	assert_int_equal(run->tasks[0].row.state, TASK_READY);
	run_free(run);
	assert_int_equal(store_apply(store, actions, 1, &err), 0); /* and the store goes on working */
	store_close(store);
}

static void epochs_grow_across_processes(void **state)
{
	struct store *store = open_it(), *other = open_it();
	uint64_t a, b;

	(void)state;
	assert_int_equal(store_next_epoch(store, "local", &a, NULL), 0);
	assert_int_equal(store_next_epoch(other, "local", &b, NULL), 0);
	assert_true(b > a);
	store_close(store);
	store_close(other);
}

static void events_are_append_only(void **state)
{
	struct store *store = open_it();

	(void)state;
	create_run(store);
	assert_int_equal(exec(store, "UPDATE event SET actor = 'nobody'"), SQLITE_CONSTRAINT_TRIGGER);
	store_close(store);
}

static void a_newer_database_is_refused_by_name(void **state)
{
	struct store *store = open_it();
	struct err err;

	(void)state;
	assert_int_equal(exec(store, "PRAGMA user_version = 99"), SQLITE_OK);
	store_close(store);
	assert_int_equal(store_open(home, &store, &err), ERR_VERSION);
	assert_non_null(strstr(err.text, "newer stoker"));
	assert_int_equal(store_open_reader(home, &store, &err), ERR_VERSION);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
	char path[128];
	struct store *store;
	struct err err;
	FILE *file;

	(void)state;
	snprintf(path, sizeof path, "%s/stoker.db", home);
	file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		fputs("this is not a database ", file);
	fclose(file);
	assert_int_equal(store_open(home, &store, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.text, "damaged"));
}

static void a_reader_makes_nothing(void **state)
{
	struct store *store;
	struct err err;
	char path[128];

	(void)state;
	assert_int_equal(store_open_reader(home, &store, &err), ERR_NOT_FOUND);
	snprintf(path, sizeof path, "%s/stoker.db", home);
	assert_int_equal(access(path, F_OK), -1);
}

static void a_journal_removed_beneath_us_is_noticed(void **state)
{
	struct store *store = open_it();
	char path[128];
	uint64_t epoch;
	struct err err;

	(void)state;
	assert_int_equal(store_next_epoch(store, "local", &epoch, &err), 0);
	snprintf(path, sizeof path, "%s/stoker.db-wal", home);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(store_next_epoch(store, "local", &epoch, &err), ERR_CORRUPT);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_statement_prepares, set_up, tear_down),
		cmocka_unit_test_setup_teardown(runs_are_numbered_within_their_dag, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_run_is_loaded_as_it_was_stored, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_ended_attempt_is_not_written_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_batch_is_stored_whole_or_not_at_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(epochs_grow_across_processes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(events_are_append_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_newer_database_is_refused_by_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_that_is_no_database_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_reader_makes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_journal_removed_beneath_us_is_noticed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
