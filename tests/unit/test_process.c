#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor/agent/family.h"
#include "executor/agent/process.h"

static void names_with_brackets_and_blanks_are_read(void **state)
{
	struct process process;

	(void)state;
	assert_true(process_parse(
		"42 (a) b (c)) S 7 8 9 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 1 0 12345 99 10 1844", &process));
	assert_true(process.pid == 42 && process.state == 'S' && process.parent == 7);
	assert_true(process.group == 8 && process.session == 9 && process.start_ticks == 12345);
	assert_int_equal(process.cpu_ms, (50 + 60 + 7 + 8) * 1000 / sysconf(_SC_CLK_TCK));
	assert_int_equal(process.rss_bytes, 10 * sysconf(_SC_PAGESIZE));
	assert_false(process_parse("", &process));
	assert_false(process_parse("42 (cut", &process));
	assert_false(process_parse("42 (cut) S 1 2", &process));
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	return pid;
}

static void a_process_is_its_pid_and_its_start(void **state)
{
	pid_t pid = sleeper();
	uint64_t ticks = process_start_ticks(pid);
	int fd;

	(void)state;
	assert_true(ticks > 0);
	assert_true(process_lives(pid, ticks));
	assert_false(process_lives(pid, ticks + 1));
	assert_false(process_signal(pid, ticks + 1, SIGKILL));
	assert_false(process_signal(1, process_start_ticks(1), 0));
	assert_int_equal(process_open(pid, ticks + 1), -1);
	assert_int_equal(errno, ESRCH);
	fd = process_open(pid, ticks);
	assert_true(fd >= 0);
	close(fd);
	assert_true(process_signal(pid, ticks, SIGKILL));
	waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT);
	assert_false(process_lives(pid, ticks)); /* a zombie is dead */
	waitpid(pid, NULL, 0);
	assert_false(process_lives(pid, ticks));
	assert_int_equal(process_start_ticks(pid), 0);
}

static void offspring_is_found_over_generations(void **state)
{
	struct process_list list = { 0 };
	struct process items[] = {
		{ .pid = 10, .parent = 2 }, { .pid = 20, .parent = 10 }, { .pid = 5, .parent = 20 },
		{ .pid = 30, .parent = 2 }, { .pid = 40, .parent = 30 }, { .pid = 50, .parent = 3 },
	};
	pid_t except = 30;

	(void)state;
	list.items = malloc(sizeof items);
	memcpy(list.items, items, sizeof items);
	list.count = 6;
	process_mark_offspring(&list, 2, &except, 1);
	process_keep_marked(&list);
	assert_int_equal(list.count, 3);
	assert_true(list.items[0].pid == 10 && list.items[1].pid == 20 && list.items[2].pid == 5);
	process_list_fini(&list);
}

static void strays_are_found_by_their_cookie(void **state)
{
	char *argv[] = { (char[]){ "sleep" }, (char[]){ "1000" }, NULL };
	char assignment[64], *environment[] = { assignment, NULL };
	struct family family = { .cookie = assignment + strlen("STOKER_ATTEMPT_ID=") };
	struct process_list found = { 0 };
	pid_t pid;

	(void)state;
	snprintf(assignment, sizeof assignment, "STOKER_ATTEMPT_ID=unit-%d", (int)getpid());
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* or a test that fails leaves it, and who waits for its output */
		setsid();
		execve("/bin/sleep", argv, environment);
		_exit(1);
	}
	while (!process_has_variable(pid, environment[0]))
		usleep(1000);
	assert_false(process_has_variable(pid, "STOKER_ATTEMPT_ID=unit-"));
	family_find(&family, &found);
	assert_int_equal(found.count, 1);
	assert_int_equal(found.items[0].pid, pid);
	assert_int_equal(family_signal(&found, SIGKILL), 1);
	waitpid(pid, NULL, 0);
	process_list_fini(&found);
}

/* Makes a session with one member, which leads a group in it; both end when their descriptor is closed, or the test ends. */
static void make_session(int maker_until[2], int member_until[2], pid_t *maker_out, pid_t *member_out)
{
	int told[2];
	char byte;

	assert_true(pipe(maker_until) == 0 && pipe(member_until) == 0 && pipe(told) == 0);
	*maker_out = fork();
	if (*maker_out == 0) {
		pid_t member;

		close(maker_until[1]);
		close(member_until[1]);
		setsid();
		member = fork();
		if (member == 0)
			_exit(read(member_until[0], &byte, 1) < 0);
		setpgid(member, member);
		_exit(write(told[1], &member, sizeof member) < 0 || read(maker_until[0], &byte, 1) < 0);
	}
	assert_int_equal(read(told[0], member_out, sizeof *member_out), sizeof *member_out);
	close(told[0]);
	close(told[1]);
}

static size_t count_family(const struct family *family)
{
	struct process_list found = { 0 };
	size_t count;

	family_find(family, &found);
	count = found.count;
	process_list_fini(&found);
	return count;
}

static void a_session_counts_only_with_a_witness(void **state)
{
	struct family family = { .cookie = "nobody's" };
	int maker_until[2], member_until[2];
	pid_t maker, member;

	(void)state;
	make_session(maker_until, member_until, &maker, &member);
	family.session = maker;
	family.session_ticks = process_start_ticks(maker) + 1;
	family.group = member;
	assert_int_equal(count_family(&family), 0); /* its number has another owner now */
	family.session_ticks--;
	family.group = 0;
	assert_int_equal(count_family(&family), 2); /* who made it lives */
	close(maker_until[1]);
	waitpid(maker, NULL, 0);
	assert_int_equal(count_family(&family), 0);
	family.group = member;
	assert_int_equal(count_family(&family), 1);
	close(member_until[1]);
	close(maker_until[0]);
	close(member_until[0]);
}

static void open_files_tell_who_writes(void **state)
{
	char path[64], other[80];
	int fd;

	(void)state;
	snprintf(path, sizeof path, "/tmp/stoker-unit-writes-%d", (int)getpid());
	snprintf(other, sizeof other, "%s2", path);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(process_writes_below(getpid(), path));
	assert_true(process_writes_below(getpid(), "/tmp"));
	assert_false(process_writes_below(getpid(), "/tm"));
	assert_false(process_writes_below(getpid(), other));
	close(fd);
	fd = open(path, O_RDONLY);
	assert_false(process_writes_below(getpid(), path));
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_with_brackets_and_blanks_are_read),
		cmocka_unit_test(a_process_is_its_pid_and_its_start),
		cmocka_unit_test(offspring_is_found_over_generations),
		cmocka_unit_test(strays_are_found_by_their_cookie),
		cmocka_unit_test(a_session_counts_only_with_a_witness),
		cmocka_unit_test(open_files_tell_who_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
