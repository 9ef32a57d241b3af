#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/owner.h"
#include "scheduler/paths.h"

static char home[] = "/tmp/stoker-owner-XXXXXX";

static int set_up(void **state)
{
	(void)state;
	strcpy(home, "/tmp/stoker-owner-XXXXXX");
	return mkdtemp(home) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	static const char *const left[] = { "/runs/d/1/owner", "/runs/d/1", "/runs/d", "/runs", "" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(left); i++) {
		autofree char *path = mem_printf("%s%s", home, left[i]);

		if (unlink(path) < 0)
			rmdir(path);
	}
	return 0;
}

static void a_run_has_one_owner_at_a_time(void **state)
{
	autofree char *expected = mem_printf("run d/1 is driven by pid %d", (int)getpid());
	int first = -1, second = -1;
	struct err err;
	int64_t pid = 0;

	(void)state;
	assert_false(owner_is_alive(home, "d", 1, NULL));
	assert_int_equal(owner_take(home, "d", 1, &first, &err), 0);
	assert_int_equal(owner_take(home, "d", 1, &second, &err), ERR_BUSY);
	assert_string_equal(err.text, expected);
	assert_int_equal(second, -1);
	assert_true(owner_is_alive(home, "d", 1, &pid));
	assert_int_equal(pid, getpid());
	close(first);
	assert_false(owner_is_alive(home, "d", 1, NULL));
	assert_int_equal(owner_take(home, "d", 1, &second, &err), 0);
	close(second);
}

static void looking_never_stands_in_the_way_of_taking(void **state)
{
	struct err err;
	int fd = -1;
	pid_t child;

	(void)state;
	assert_int_equal(owner_take(home, "d", 1, &fd, &err), 0);
	close(fd);
	child = fork();
	if (child == 0)
		for (;;)
			owner_is_alive(home, "d", 1, NULL);
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(owner_take(home, "d", 1, &fd, &err), 0);
		close(fd);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* A child that owns d/1 when this returns, and goes on with `then`. */
static pid_t start_owner(void (*then)(void))
{
	int ready[2], fd;
	char byte;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		if (owner_take(home, "d", 1, &fd, NULL) == 0 && write(ready[1], "x", 1) == 1)
			then();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return child;
}

static void stay(void)
{
	pause();
}

static void leave_a_child_for_a_moment(void)
{
	if (fork() == 0)
		usleep(200000);
}

static void an_owner_that_is_killed_owns_no_more(void **state)
{
	pid_t child = start_owner(stay);

	(void)state;
	assert_true(owner_is_alive(home, "d", 1, NULL));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_false(owner_is_alive(home, "d", 1, NULL));
}

/* As when it is killed in the middle of starting a program. */
static void what_it_was_making_lets_go_of_it_in_a_moment(void **state)
{
	struct err err;
	int fd = -1;

	(void)state;
	waitpid(start_owner(leave_a_child_for_a_moment), NULL, 0);
	assert_int_equal(owner_take_over(home, "d", 1, &fd, &err), 0);
	/* One that lives is not waited for. */
	assert_int_equal(owner_take_over(home, "d", 1, &fd, &err), ERR_BUSY);
	close(fd);
}

static void folders_are_private(void **state)
{
	struct arena arena = { 0 };
	struct stat st;
	struct err err;
	int fd = -1;

	(void)state;
	assert_int_equal(owner_take(home, "d", 1, &fd, &err), 0);
	assert_int_equal(stat(paths_run_dir(&arena, home, "d", 1), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(paths_owner(&arena, home, "d", 1), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	close(fd);
	arena_fini(&arena);
}

static void a_state_folder_that_cannot_be_written_is_named(void **state)
{
	struct err err;
	int fd = -1;

	(void)state;
	assert_true(owner_take("/proc/nowhere", "d", 1, &fd, &err) < 0);
	assert_non_null(strstr(err.text, "/proc/nowhere"));
	assert_int_equal(fd, -1);
}

static void logs_lie_beside_their_run(void **state)
{
	struct arena arena = { 0 };

	(void)state;
	assert_string_equal(paths_log(&arena, "/home", "d", 12, "train", 3), "/home/runs/d/12/train.3.log");
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_run_has_one_owner_at_a_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(looking_never_stands_in_the_way_of_taking, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_owner_that_is_killed_owns_no_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_it_was_making_lets_go_of_it_in_a_moment, set_up, tear_down),
		cmocka_unit_test_setup_teardown(folders_are_private, set_up, tear_down),
		cmocka_unit_test(a_state_folder_that_cannot_be_written_is_named),
		cmocka_unit_test(logs_lie_beside_their_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
