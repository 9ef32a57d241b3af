#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/backup.h"
#include "scheduler/store.h"
#include "tests/unit/run_fixture.h"

static char folder[] = "/tmp/test_backup.XXXXXX";
static char *home, *path;
static struct arena arena;
static struct backup_facts facts;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	strcpy(folder + sizeof folder - 7, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	home = mem_printf("%s/state", folder);
	path = mem_printf("%s/copy.db", folder);
	return 0;
}

static int tear_down(void **state)
{
	autofree char *command = mem_printf("rm -rf %s", folder);

	(void)state;
	arena_fini(&arena);
	free(home);
	free(path);
	return system(command);
}

/* Makes runs of `night`; the id of the last. */
static uint64_t make_runs(int count)
{
	autodag struct dag *dag = fixture_dag("name: night\nsteps:\n  a: {run: x}\n");
	const struct store_new_run wanted = { .dag = dag, .params = "{}", .trigger = "manual", .actor = "ada",
					      .origin = "cli", .wall_ms = FIXTURE_NOW_MS };
	struct store *store;
	uint64_t run = 0;

	if (store_open(home, &store, &err) < 0)
		fail_msg("%s", err.text);
	for (int i = 0; i < count; i++)
		assert_int_equal(store_create_run(store, &wanted, &run, &err), 0);
	store_close(store);
	return run;
}

static int make(bool force)
{
	return backup_make(&(struct backup_plan){ .home = home, .path = path, .force = force,
						  .now_wall_ms = FIXTURE_NOW_MS },
			   &arena, &facts, &err);
}

static int restore(void)
{
	const char *kept;

	return backup_restore(home, path, FIXTURE_NOW_MS, &arena, &kept, &facts, &err);
}

static int files_in(const char *name)
{
	DIR *dir = opendir(name);
	int count = 0;

	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count - 2;
}

static void a_backup_holds_what_there_was(void **state)
{
	(void)state;
	make_runs(3);
	if (make(false) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(facts.runs, 3);
	assert_int_equal(facts.version, STORE_SCHEMA_VERSION);
	assert_int_equal(facts.latest_wall_ms, FIXTURE_NOW_MS);
	assert_int_equal(backup_verify(path, &arena, &facts, &err), 0);
	assert_int_equal(files_in(folder), 2); /* no journal, nothing half made */
}

static void it_overwrites_only_what_it_is_told_to(void **state)
{
	(void)state;
	make_runs(1);
	assert_int_equal(make(false), 0);
	assert_int_equal(make(false), ERR_EXISTS);
	make_runs(1);
	assert_int_equal(make(true), 0);
	assert_int_equal(facts.runs, 2);
	assert_int_equal(files_in(folder), 2);
}

static void in_a_folder_it_is_named_by_the_time(void **state)
{
	autofree char *wanted = mem_printf("%s/stoker-20270115-120000.db", folder);

	(void)state;
	make_runs(1);
	free(path);
	path = mem_strdup(folder);
	assert_int_equal(make(false), 0);
	assert_string_equal(facts.path, wanted);
	assert_int_equal(access(wanted, F_OK), 0);
}

static void what_cannot_be_written_leaves_nothing(void **state)
{
	(void)state;
	make_runs(1);
	free(path);
	path = mem_printf("%s/nowhere/copy.db", folder);
	assert_int_equal(make(false), ERR_NOT_FOUND);
	assert_int_equal(files_in(folder), 1);
}

static void damage_is_found(void **state)
{
	char garbage[200];
	int fd;

	(void)state;
	make_runs(50);
	assert_int_equal(make(false), 0);
	memset(garbage, 0x5a, sizeof garbage);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	for (int page = 2; page < 40; page++) /* wherever its rows are */
		assert_int_equal(pwrite(fd, garbage, sizeof garbage, 4096 * page), sizeof garbage);
	close(fd);
	assert_int_equal(backup_verify(path, &arena, &facts, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(restore(), ERR_CORRUPT);
	make_runs(1); /* the state is as it was */
}

static void any_other_file_is_refused(void **state)
{
	FILE *file = fopen(path, "w");

	(void)state;
	fputs("this is a text of more than a few bytes, which is no database at all", file);
	fclose(file);
	assert_int_equal(backup_verify(path, &arena, &facts, &err), ERR_CORRUPT);
	assert_int_equal(backup_verify("/nowhere/x.db", &arena, &facts, &err), ERR_NOT_FOUND);
}

/* The workers still know the ids of what came after the backup. */
static void a_restored_state_gives_nothing_out_twice(void **state)
{
	uint64_t before, epoch_before, epoch;
	autofree char *number = mem_printf("%s/runs/night/7", home), *night = mem_printf("%s/runs/night", home),
		      *runs = mem_printf("%s/runs", home);
	struct store *store;
	uint64_t run;

	(void)state;
	make_runs(2);
	assert_int_equal(make(false), 0);
	before = make_runs(5);
	assert_int_equal(store_open(home, &store, &err), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_next_epoch(store, "gpu1", &epoch_before, &err), 0);
	store_close(store);
	mkdir(runs, 0700);
	mkdir(night, 0700);
	mkdir(number, 0700);
	if (restore() < 0)
		fail_msg("%s", err.text);
	assert_true(make_runs(1) > before);
	assert_int_equal(store_open(home, &store, &err), 0);
	assert_int_equal(store_find_run(store, "night/8", &run, &err), 0);
	assert_int_equal(store_find_run(store, "night/7", &run, &err), ERR_NOT_FOUND);
	assert_int_equal(store_find_run(store, "night/2", &run, &err), 0);
	assert_int_equal(store_next_epoch(store, "gpu1", &epoch, &err), 0);
	assert_true(epoch > epoch_before);
	store_close(store);
}

static void nothing_is_restored_beneath_a_process_that_uses_the_state(void **state)
{
	struct store *store;
	uint64_t epoch;

	(void)state;
	make_runs(1);
	assert_int_equal(make(false), 0);
	assert_int_equal(store_open(home, &store, &err), 0);
	assert_int_equal(restore(), ERR_BUSY);
	assert_int_equal(store_next_epoch(store, "local", &epoch, &err), 0);
	store_close(store);
	assert_int_equal(restore(), 0);
}

static void a_state_is_made_where_there_was_none(void **state)
{
	autofree char *elsewhere = mem_printf("%s/a/b", folder);

	(void)state;
	make_runs(4);
	assert_int_equal(make(false), 0);
	free(home);
	home = take(elsewhere);
	assert_int_equal(restore(), 0);
	assert_int_equal(facts.runs, 4);
	assert_int_equal(files_in(home), 2); /* lock and database */
	make_runs(1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_backup_holds_what_there_was),
		TEST(it_overwrites_only_what_it_is_told_to),
		TEST(in_a_folder_it_is_named_by_the_time),
		TEST(what_cannot_be_written_leaves_nothing),
		TEST(damage_is_found),
		TEST(any_other_file_is_refused),
		TEST(a_restored_state_gives_nothing_out_twice),
		TEST(nothing_is_restored_beneath_a_process_that_uses_the_state),
		TEST(a_state_is_made_where_there_was_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
