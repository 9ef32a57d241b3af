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
#include "scheduler/registry.h"

struct folder {
	char path[64];
	uv_loop_t loop;
	struct registry *registry;
	int changes;
	const char *remembered; /* what recall knows; NULL: nothing */
};

static void on_changed(void *context)
{
	((struct folder *)context)->changes++;
}

static struct dag *recall(void *context, const char *path)
{
	struct folder *folder = context;
	autodiagnostics struct diagnostics diagnostics;
	struct dag *dag = NULL;

	diagnostics_init(&diagnostics);
	if (folder->remembered != NULL)
		assert_int_equal(dag_parse(path, folder->remembered, strlen(folder->remembered), &dag, &diagnostics), 0);
	return dag;
}

static const struct registry_handler handler = { .on_changed = on_changed, .recall = recall };

static void put(const struct folder *folder, const char *name, const char *text)
{
	autofree char *path = mem_printf("%s/%s", folder->path, name), *temporary = mem_printf("%s.tmp", path);
	FILE *file = fopen(temporary, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(rename(temporary, path), 0);
}

static void take_away(const struct folder *folder, const char *name)
{
	autofree char *path = mem_printf("%s/%s", folder->path, name);

	assert_int_equal(unlink(path), 0);
}

static int set_up(void **state)
{
	struct folder *folder = mem_zalloc(sizeof *folder);

	snprintf(folder->path, sizeof folder->path, "/tmp/stoker-registry-XXXXXX");
	if (mkdtemp(folder->path) == NULL)
		return -1;
	uv_loop_init(&folder->loop);
	folder->registry = registry_new(&folder->loop, &handler, folder);
	*state = folder;
	return 0;
}

static int tear_down(void **state)
{
	struct folder *folder = *state;
	autofree char *command = mem_printf("rm -rf %s", folder->path);

	registry_stop(folder->registry);
	uv_run(&folder->loop, UV_RUN_DEFAULT);
	uv_loop_close(&folder->loop);
	registry_free(folder->registry);
	free(folder);
	return system(command);
}

static void start(struct folder *folder)
{
	const char *places[] = { folder->path };

	registry_start(folder->registry, places, 1);
}

static const struct registry_file *only_file(const struct folder *folder)
{
	size_t count;
	const struct registry_file *files = registry_files(folder->registry, &count);

	assert_int_equal(count, 1);
	return files;
}

static const char good[] = "name: night\nsteps:\n  a: {run: 'true'}\n";
static const char other[] = "name: night\nsteps:\n  b: {run: 'true'}\n";
static const char broken[] = "name: night\nsteps:\n  a: {runn: 'true'}\n";

static void files_of_the_folder_are_in_force(void **state)
{
	struct folder *folder = *state;

	put(folder, "night.yaml", good);
	put(folder, "notes.txt", "no DAG");
	put(folder, ".hidden.yaml", broken);
	start(folder);
	assert_string_equal(only_file(folder)->good->dag->name, "night");
	assert_null(only_file(folder)->error);
	assert_non_null(registry_find(folder->registry, "night"));
	assert_null(registry_find(folder->registry, "day"));
	assert_int_equal(folder->changes, 1);
}

static void a_broken_file_leaves_its_last_good_version_in_force(void **state)
{
	struct folder *folder = *state;

	put(folder, "night.yaml", good);
	start(folder);
	put(folder, "night.yaml", broken);
	registry_reload(folder->registry);
	assert_string_equal(only_file(folder)->good->dag->steps[0].name, "a");
	assert_non_null(strstr(only_file(folder)->error, "did you mean 'run'?"));
	assert_non_null(strstr(only_file(folder)->error, "night.yaml:3:7: error"));
	put(folder, "night.yaml", other);
	registry_reload(folder->registry);
	assert_string_equal(only_file(folder)->good->dag->steps[0].name, "b");
	assert_null(only_file(folder)->error);
}

static void a_version_in_use_outlives_its_replacement(void **state)
{
	struct folder *folder = *state;
	struct registry_dag *held;

	put(folder, "night.yaml", good);
	start(folder);
	held = registry_hold(registry_find(folder->registry, "night"));
	put(folder, "night.yaml", other);
	registry_reload(folder->registry);
	assert_string_equal(held->dag->steps[0].name, "a");
	registry_release(held);
}

static void what_an_earlier_daemon_knew_stays_in_force(void **state)
{
	struct folder *folder = *state;

	folder->remembered = good;
	put(folder, "night.yaml", broken);
	start(folder);
	assert_string_equal(only_file(folder)->good->dag->steps[0].name, "a");
	assert_non_null(only_file(folder)->error);
}

static void a_file_that_is_gone_is_out_of_force(void **state)
{
	struct folder *folder = *state;

	put(folder, "night.yaml", good);
	start(folder);
	take_away(folder, "night.yaml");
	registry_reload(folder->registry);
	assert_null(registry_find(folder->registry, "night"));
	assert_int_equal(folder->changes, 2);
}

static void of_two_files_with_one_name_the_first_wins_until_it_goes(void **state)
{
	struct folder *folder = *state;
	const struct registry_file *files;
	size_t count;

	put(folder, "a.yaml", good);
	put(folder, "b.yaml", other);
	start(folder);
	files = registry_files(folder->registry, &count);
	assert_int_equal(count, 2);
	assert_null(files[0].error);
	assert_non_null(strstr(files[1].error, "is defined by"));
	assert_null(files[1].good);
	assert_string_equal(registry_find(folder->registry, "night")->dag->steps[0].name, "a");
	take_away(folder, "a.yaml");
	registry_reload(folder->registry);
	assert_null(only_file(folder)->error);
	assert_string_equal(registry_find(folder->registry, "night")->dag->steps[0].name, "b");
}

static void a_change_is_noticed_by_itself(void **state)
{
	struct folder *folder = *state;

	start(folder);
	assert_int_equal(folder->changes, 0);
	put(folder, "night.yaml", good);
	while (folder->changes == 0)
		uv_run(&folder->loop, UV_RUN_ONCE);
	assert_non_null(registry_find(folder->registry, "night"));
}

static void nothing_changes_while_nothing_changes(void **state)
{
	struct folder *folder = *state;

	put(folder, "night.yaml", good);
	put(folder, "broken.yaml", broken);
	start(folder);
	registry_start(folder->registry, (const char *[]){ folder->path }, 1);
	assert_int_equal(folder->changes, 2); /* a start reads all again */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files_of_the_folder_are_in_force, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_broken_file_leaves_its_last_good_version_in_force, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_version_in_use_outlives_its_replacement, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_an_earlier_daemon_knew_stays_in_force, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_that_is_gone_is_out_of_force, set_up, tear_down),
		cmocka_unit_test_setup_teardown(of_two_files_with_one_name_the_first_wins_until_it_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_change_is_noticed_by_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_changes_while_nothing_changes, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
