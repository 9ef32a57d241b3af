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
#include "scheduler/store.h"
#include "scheduler/writer.h"

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

static void a_reader_that_comes_while_it_is_made_is_told(void **state)
{
	struct store *store = open_it();
	struct err err = { 0 };

	(void)state;
	assert_int_equal(sqlite3_exec(store->db, "DELETE FROM home", NULL, NULL, NULL), SQLITE_OK);
	store_close(store);
	assert_int_equal(store_open_reader(home, &store, &err), ERR_NOT_FOUND);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "nothing has run here yet"));
	store_close(open_it()); /* who may write, completes it */
	assert_int_equal(store_open_reader(home, &store, &err), 0);
	store_close(store);
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

/* --- whether somebody has written --- */

static void commit(struct store *store)
{
	uint64_t epoch;
	struct err err;

	assert_int_equal(store_next_epoch(store, "local", &epoch, &err), 0);
}

static void each_commit_of_somebody_else_is_seen(void **state)
{
	struct store *one = open_it(), *other = open_it(), *reader;
	struct err err;
	int64_t version;

	(void)state;
	assert_int_equal(store_open_reader(home, &reader, &err), 0);
	assert_true(store_has_changed(reader));
	for (int i = 0; i < 3000; i++) {
		version = store_version(reader);
		assert_true(version > 0);
		assert_int_equal(store_version(reader), version);
		assert_false(i > 0 && store_has_changed(reader));
		commit(i % 3 == 0 ? one : other);
		if (i % 100 == 0) /* the journal begins anew */
			assert_int_equal(sqlite3_wal_checkpoint_v2(one->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
					 SQLITE_OK);
		assert_int_not_equal(store_version(reader), version);
		assert_true(store_has_changed(reader));
	}
	/* What is asked within a transaction is of its beginning, and hides nothing afterwards. */
	assert_int_equal(sqlite3_exec(reader->db, "BEGIN; SELECT * FROM event LIMIT 1", NULL, NULL, NULL), SQLITE_OK);
	version = store_version(reader);
	commit(one);
	assert_int_equal(store_version(reader), version);
	assert_int_equal(sqlite3_exec(reader->db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	assert_int_not_equal(store_version(reader), version);
	version = store_version(one);
	commit(one);
	assert_int_equal(store_version(one), version);
	commit(other);
	assert_int_not_equal(store_version(one), version);
	store_close(reader);
	store_close(other);
	store_close(one);
}

/* The last who closes the database removes the journal and its index. */
static void a_journal_that_was_made_anew_is_another_one(void **state)
{
	struct store *store = open_it(), *reader;
	struct err err;
	int64_t version;

	(void)state;
	commit(store);
	assert_int_equal(store_open_reader(home, &reader, &err), 0);
	for (int i = 0; i < 20; i++) {
		version = store_version(reader);
		store_close(store);
		store = open_it();
		assert_int_equal(store_version(reader), store_version(reader));
		commit(store);
		assert_int_not_equal(store_version(reader), version);
	}
	store_close(reader);
	store_close(store);
}

/* --- transactions within transactions --- */

static int count_events(struct store *store)
{
	sqlite3_stmt *stmt;
	int count;

	sqlite3_prepare_v2(store->db, "SELECT count(*) FROM event", -1, &stmt, NULL);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	count = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return count;
}

static void a_part_that_fails_takes_only_itself_back(void **state)
{
	struct store *store = open_it();
	struct err err;

	(void)state;
	assert_int_equal(store_begin(store, &err), 0);
	assert_int_equal(store_trust_worker(store, "gpu1", "k", "ada", "test", 1, &err), 0);
	assert_int_equal(store_begin(store, &err), 0);
	assert_int_equal(store_trust_worker(store, "gpu2", "k", "ada", "test", 1, &err), 0);
	assert_int_equal(store_undo(store, -1), -1);
	assert_int_equal(store_commit(store, &err), 0);
	assert_int_equal(count_events(store), 1);
	assert_int_equal(store_begin(store, &err), 0);
	assert_int_equal(store_trust_worker(store, "gpu3", "k", "ada", "test", 1, &err), 0);
	store_undo(store, -1);
	assert_int_equal(count_events(store), 1);
	store_close(store);
}

/* --- the writer's jobs --- */

struct job_story {
	struct writer_job job;
	const char *worker; /* NULL: fails after it has written */
	int told;
	struct err err;
};

static int write_job(struct store *store, void *context, struct err *err)
{
	struct job_story *story = context;
	int rc = store_trust_worker(store, story->worker == NULL ? "?" : story->worker, "k", "ada", "test", 1, err);

	return rc == 0 && story->worker == NULL ? err_set(err, ERR_INVALID, "no such worker") : rc;
}

static void job_done(void *context, const struct err *err)
{
	struct job_story *story = context;

	story->told++;
	story->err = *err;
}

static void no_batch(void *context, const struct err *err)
{
	(void)context;
	fail_msg("%s", err->text);
}

static void jobs_are_told_of_their_own_outcome(void **state)
{
	struct job_story stories[3] = { { .worker = "gpu1" }, { .worker = NULL }, { .worker = "gpu3" } };
	struct store *store = open_it();
	struct writer *writer;
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	writer = writer_start(&loop, store, no_batch, NULL);
	for (int i = 0; i < 3; i++) {
		stories[i].job = (struct writer_job){ .write = write_job, .done = job_done, .context = &stories[i] };
		writer_add(writer, &stories[i].job);
	}
	while (stories[0].told + stories[1].told + stories[2].told < 3)
		uv_run(&loop, UV_RUN_ONCE);
	writer_stop(writer);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	assert_int_equal(stories[0].err.code, ERR_OK);
	assert_int_equal(stories[1].err.code, ERR_INVALID);
	assert_string_equal(stories[1].err.text, "no such worker");
	assert_int_equal(stories[2].err.code, ERR_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(stories[i].told, 1);
	assert_int_equal(count_events(store), 2);
	store_close(store);
}

/* --- databases of older versions --- */

static void a_database_of_version_1_is_brought_forward(void **state)
{
	autofree char *schema = mem_printf("%s/scheduler/schema.sql", getenv("STOKER_SOURCE"));
	autofree char *path = mem_printf("%s/stoker.db", home), *backup = mem_printf("%s.v1.backup", path);
	autofree char *sql = mem_zalloc(65536);
	autofclose FILE *file = fopen(schema, "r");
	struct store *store;
	sqlite3 *db;

	(void)state;
	assert_non_null(file);
	assert_true(fread(sql, 1, 65535, file) > 0);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA application_id = 1400138610; PRAGMA user_version = 1;"
					  "INSERT INTO dag (id, name, last_number) VALUES (1, 't', 7)",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	store = open_it();
	create_run(store); /* number 8: what was there is there */
	assert_int_equal(exec(store, "UPDATE schedule SET gone_ms = 1"), SQLITE_OK);
	store_close(store);
	assert_int_equal(access(backup, F_OK), 0);
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
		cmocka_unit_test_setup_teardown(a_reader_that_comes_while_it_is_made_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_journal_removed_beneath_us_is_noticed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_commit_of_somebody_else_is_seen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_journal_that_was_made_anew_is_another_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_part_that_fails_takes_only_itself_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(jobs_are_told_of_their_own_outcome, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_database_of_version_1_is_brought_forward, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
