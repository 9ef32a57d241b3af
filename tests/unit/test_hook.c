#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scheduler/hook.h"

static uv_loop_t loop;
static struct hook_end end;
static char said[9000];
static int told;

static void on_done(void *context, const struct hook_end *seen)
{
	(void)context;
	end = *seen;
	snprintf(said, sizeof said, "%s", seen->said);
	told++;
}

static struct hook *start(const char *script, const char *input, int64_t limit_ms)
{
	const char *const argv[] = { "/bin/sh", "-e", "-c", script, NULL };
	const char *const env[] = { "PATH=/usr/bin:/bin", "WORD=hello", NULL };
	struct hook_task task = { .argv = argv, .env = env, .input = input, .limit_ms = limit_ms, .done = on_done };

	told = 0;
	uv_loop_init(&loop);
	return hook_start(&loop, &task);
}

static void run_out(void)
{
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void it_is_fed_and_heard(void **state)
{
	(void)state;
	start("echo \"$WORD\"; cat; pwd >&2; exit 3", "line\n", 20000);
	run_out();
	assert_int_equal(told, 1);
	assert_int_equal(end.status, 3);
	assert_string_equal(end.why, "exit code 3");
	assert_string_equal(said, "hello\nline");
}

static void one_that_does_not_read_is_no_failure(void **state)
{
	char *input = calloc(1, 300001);

	(void)state;
	memset(input, 'x', 300000);
	start("exec <&-; true", input, 20000);
	free(input);
	run_out();
	assert_int_equal(end.status, 0);
}

static void only_the_end_of_much_output_is_kept(void **state)
{
	(void)state;
	start("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done", "", 20000);
	run_out();
	assert_int_equal(end.status, 0);
	assert_true(strlen(said) <= 8192);
	assert_string_equal(said + strlen(said) - 10, "line 19999");
}

/* The script's own child would sleep on: the group goes with it. */
static void it_is_killed_at_its_limit_with_all_it_started(void **state)
{
	int pid;

	(void)state;
	start("sleep 600 & echo $!; wait", "", 2000);
	run_out();
	assert_int_equal(end.status, -1);
	assert_string_equal(end.why, "killed after 2.0s");
	pid = atoi(said);
	assert_true(pid > 1);
	for (int i = 0; i < 1000 && kill(pid, 0) == 0; i++) {
		char path[64], name = 'Z';
		FILE *file;

		snprintf(path, sizeof path, "/proc/%d/stat", pid);
		file = fopen(path, "r");
		if (file != NULL) {
			if (fscanf(file, "%*d %*s %c", &name) != 1)
				name = 'Z';
			fclose(file);
		}
		if (name == 'Z')
			return; /* whoever adopted it has not looked yet */
		usleep(10000);
	}
	assert_int_equal(kill(pid, 0), -1);
}

static void what_it_leaves_behind_keeps_nobody(void **state)
{
	(void)state;
	start("sleep 600 & echo started", "", 20000);
	run_out();
	assert_int_equal(end.status, 0);
	assert_string_equal(said, "started");
}

static void one_that_cannot_be_started_says_why(void **state)
{
	const char *const argv[] = { "/no/such/program", NULL };
	const char *const env[] = { NULL };
	struct hook_task task = { .argv = argv, .env = env, .input = "x", .limit_ms = 1000, .done = on_done };

	(void)state;
	told = 0;
	uv_loop_init(&loop);
	hook_start(&loop, &task);
	assert_int_equal(told, 0);
	run_out();
	assert_int_equal(told, 1);
	assert_int_equal(end.status, -1);
	assert_string_equal(end.why, "cannot be started: no such file or directory");
}

static void one_that_is_abandoned_tells_nobody(void **state)
{
	struct hook *hook = start("sleep 600", "x", 20000);

	(void)state;
	hook_abandon(hook);
	run_out();
	assert_int_equal(told, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_fed_and_heard),
		cmocka_unit_test(one_that_does_not_read_is_no_failure),
		cmocka_unit_test(only_the_end_of_much_output_is_kept),
		cmocka_unit_test(it_is_killed_at_its_limit_with_all_it_started),
		cmocka_unit_test(what_it_leaves_behind_keeps_nobody),
		cmocka_unit_test(one_that_cannot_be_started_says_why),
		cmocka_unit_test(one_that_is_abandoned_tells_nobody),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
