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

#include "executor/agent/survive.h"
#include "tests/unit/agent_fixture.h"

#define SESSION "0::/user.slice/user-1000.slice/session-3.scope\n"
#define MANAGER "0::/user.slice/user-1000.slice/user@1000.service/app.slice/stoker-agent-7.scope\n"

static char start_folder[4096], start_path[16384];

/* --- a machine with fake services ----------------------------------------------------------------------- */

static void put_program(const char *name, const char *script)
{
	char path[128];

	snprintf(path, sizeof path, "bin/%s", name);
	put_text_file(path, script);
	assert_int_equal(fchmodat(folder, path, 0700, 0), 0);
}

/* logind kills or does not; the service manager takes a process in by writing where it is. */
static void put_busctl(const char *kills)
{
	char script[1000];

	snprintf(script, sizeof script,
		 "#!/bin/sh\n"
		 "case $1 in\n"
		 "get-property) echo asked >>$STOKER_AGENT_SYSTEM/asked\n"
		 "  printf 'b %s\\nas 0\\nas 0\\n' ;;\n"
		 "--user) echo \"$@\" >>$STOKER_AGENT_SYSTEM/moved\n"
		 "  printf '%%s' '%s' >$STOKER_AGENT_SYSTEM/proc/self/cgroup ;;\n"
		 "esac\n",
		 kills, MANAGER);
	put_program("busctl", script);
}

static void put_loginctl(const char *enable)
{
	char script[1000];

	snprintf(script, sizeof script,
		 "#!/bin/sh\n"
		 "case $* in\n"
		 "*enable-linger*) %s ;;\n"
		 "show-user*) if test -e $STOKER_AGENT_SYSTEM/lingers; then echo Linger=yes; else echo "
		 "Linger=no; fi ;;\n"
		 "*) exit 1 ;;\n"
		 "esac\n",
		 enable);
	put_program("loginctl", script);
}

#define LINGERS "touch $STOKER_AGENT_SYSTEM/lingers"

static int set_up(void **state)
{
	static const char *const folders[] = { "bin",
					       "root",
					       "proc",
					       "proc/self",
					       "run",
					       "run/systemd",
					       "run/systemd/system",
					       "etc",
					       "etc/systemd",
					       "etc/systemd/logind.conf.d" };
	char path[17000];

	if (set_up_folder(state) < 0 || getcwd(start_folder, sizeof start_folder) == NULL)
		return -1;
	for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
		if (mkdirat(folder, folders[i], 0700) < 0)
			return -1;
	snprintf(start_path, sizeof start_path, "%s", getenv("PATH"));
	snprintf(path, sizeof path, "%s/bin:%s", folder_path, start_path);
	setenv("PATH", path, 1);
	setenv("STOKER_AGENT_SYSTEM", folder_path, 1);
	put_text_file("proc/self/cgroup", SESSION);
	snprintf(path, sizeof path, "%s/root", folder_path);
	return chdir(path);
}

static int tear_down(void **state)
{
	setenv("PATH", start_path, 1);
	unsetenv("STOKER_AGENT_SYSTEM");
	if (chdir(start_folder) < 0)
		return -1;
	return tear_down_folder(state);
}

static bool is_there(const char *path)
{
	return faccessat(folder, path, F_OK, 0) == 0;
}

static struct survive settle(struct arena *arena)
{
	struct survive survive;

	arena_init(arena);
	survive_settle(arena, &survive);
	return survive;
}

static enum survive_verdict settle_verdict(void)
{
	struct arena arena;
	enum survive_verdict verdict = settle(&arena).verdict;

	arena_fini(&arena);
	return verdict;
}

/* --- tests ---------------------------------------------------------------------------------------------- */

static void places_are_told_by_the_control_group(void **state)
{
	(void)state;
	assert_int_equal(survive_place_of(SESSION), SURVIVE_IN_SESSION);
	assert_int_equal(survive_place_of(MANAGER), SURVIVE_IN_MANAGER);
	assert_int_equal(survive_place_of("0::/system.slice/ssh.service\n"), SURVIVE_ELSEWHERE);
	assert_int_equal(survive_place_of("0::/\n"), SURVIVE_ELSEWHERE);
	assert_int_equal(survive_place_of(""), SURVIVE_ELSEWHERE);
	assert_int_equal(
		survive_place_of("4:memory:/\n1:name=systemd:/user.slice/user-0.slice/session-c1.scope\n"),
		SURVIVE_IN_SESSION);
	assert_int_equal(survive_place_of("0::/my.slice/session-x/a.scope\n"), SURVIVE_ELSEWHERE);
}

static void what_busctl_says_is_judged_for_the_user(void **state)
{
	(void)state;
	assert_int_equal(survive_parse_busctl("b false\nas 0\nas 1 \"root\"\n", "ann"), SURVIVE_SPARES);
	assert_int_equal(survive_parse_busctl("b true\nas 0\nas 1 \"root\"\n", "ann"), SURVIVE_KILLS);
	assert_int_equal(survive_parse_busctl("b true\nas 0\nas 1 \"root\"\n", "root"), SURVIVE_SPARES);
	assert_int_equal(survive_parse_busctl("b true\nas 0\nas 2 \"root\" \"ann\"\n", "ann"),
			 SURVIVE_SPARES);
	assert_int_equal(survive_parse_busctl("b true\nas 1 \"bob\"\nas 0\n", "ann"), SURVIVE_SPARES);
	assert_int_equal(survive_parse_busctl("b true\nas 2 \"bob\" \"ann\"\nas 0\n", "ann"), SURVIVE_KILLS);
	assert_int_equal(survive_parse_busctl("Failed to get property\n", "ann"), SURVIVE_KILLS_UNKNOWN);
	assert_int_equal(survive_parse_busctl("", "ann"), SURVIVE_KILLS_UNKNOWN);
}

static void what_files_say_is_judged_for_the_user(void **state)
{
	(void)state;
	assert_int_equal(
		survive_parse_lines("KillUserProcesses=no\nKillOnlyUsers=\nKillExcludeUsers=root\n", "ann"),
		SURVIVE_SPARES);
	assert_int_equal(survive_parse_lines("[Login]\n#KillUserProcesses=no\n", "ann"),
			 SURVIVE_KILLS_UNKNOWN);
	assert_int_equal(survive_parse_lines("KillUserProcesses=no\nKillUserProcesses = yes\n", "ann"),
			 SURVIVE_KILLS);
	assert_int_equal(survive_parse_lines("KillUserProcesses=yes\n", "root"), SURVIVE_SPARES);
	assert_int_equal(survive_parse_lines("KillUserProcesses=yes\nKillExcludeUsers=bob ann\n", "ann"),
			 SURVIVE_SPARES);
	assert_int_equal(survive_parse_lines("KillUserProcesses=yes\nKillOnlyUsers=bob\n", "ann"),
			 SURVIVE_SPARES);
}

static void nothing_is_asked_where_nobody_looks_after_logins(void **state)
{
	(void)state;
	put_busctl("true");
	assert_int_equal(unlinkat(folder, "run/systemd/system", AT_REMOVEDIR), 0);
	assert_int_equal(settle_verdict(), SURVIVE_DETACHED);
	assert_int_equal(mkdirat(folder, "run/systemd/system", 0700), 0);
	put_text_file("proc/self/cgroup", "0::/system.slice/ssh.service\n");
	assert_int_equal(settle_verdict(), SURVIVE_DETACHED);
	assert_false(is_there("asked"));
	assert_false(is_there("root/survive"));
}

static void a_logind_that_spares_is_asked_once_in_a_boot(void **state)
{
	(void)state;
	put_busctl("false");
	assert_int_equal(settle_verdict(), SURVIVE_ALLOWED);
	assert_true(is_there("asked"));
	assert_int_equal(unlinkat(folder, "asked", 0), 0);
	assert_int_equal(settle_verdict(), SURVIVE_ALLOWED);
	assert_false(is_there("asked"));
	assert_false(is_there("moved"));
	put_text_file("root/survive", "another-boot allowed\n");
	assert_int_equal(settle_verdict(), SURVIVE_ALLOWED);
	assert_true(is_there("asked"));
}

static void one_who_would_be_killed_moves_and_lingers(void **state)
{
	struct survive survive;
	struct arena arena;

	(void)state;
	put_busctl("true");
	put_loginctl(LINGERS);
	survive = settle(&arena);
	assert_int_equal(survive.verdict, SURVIVE_SCOPE);
	assert_true(survive.lingers_now);
	arena_fini(&arena);

	/* The next connection begins in a session again, and knows what to do. */
	put_text_file("proc/self/cgroup", SESSION);
	assert_int_equal(unlinkat(folder, "asked", 0), 0);
	survive = settle(&arena);
	assert_int_equal(survive.verdict, SURVIVE_SCOPE);
	assert_false(survive.lingers_now);
	assert_false(is_there("asked"));
	arena_fini(&arena);

	arena_init(&arena);
	survive_look(&arena, &survive);
	assert_int_equal(survive.verdict, SURVIVE_SCOPE);
	arena_fini(&arena);
}

static void one_who_may_not_linger_is_told(void **state)
{
	struct survive survive;
	struct arena arena;

	(void)state;
	put_busctl("true");
	put_loginctl("exit 1");
	survive = settle(&arena);
	assert_int_equal(survive.verdict, SURVIVE_NOT);
	assert_non_null(strstr(survive.text, "die when the connection ends"));
	assert_non_null(strstr(survive.remedy, "enable-linger"));
	arena_fini(&arena);

	/* It is not kept: once somebody mended it, it is good. */
	assert_false(is_there("root/survive"));
	put_text_file("lingers", "");
	assert_int_equal(settle_verdict(), SURVIVE_SCOPE);
}

static void a_manager_that_does_not_answer_is_told(void **state)
{
	(void)state;
	put_program("busctl", "#!/bin/sh\ntest $1 = get-property && printf 'b true\\nas 0\\nas 0\\n'\n");
	put_loginctl(LINGERS);
	assert_int_equal(settle_verdict(), SURVIVE_NOT);
}

static void below_the_manager_one_has_to_linger(void **state)
{
	(void)state;
	put_text_file("proc/self/cgroup", MANAGER);
	put_loginctl("exit 1");
	assert_int_equal(settle_verdict(), SURVIVE_NOT);
	put_loginctl(LINGERS);
	assert_int_equal(settle_verdict(), SURVIVE_SCOPE);
}

static void files_answer_where_no_service_does(void **state)
{
	(void)state;
	put_program("busctl", "#!/bin/sh\nexit 1\n");
	put_loginctl("exit 1");
	assert_int_equal(settle_verdict(), SURVIVE_UNKNOWN);
	put_text_file("etc/systemd/logind.conf", "[Login]\nKillUserProcesses=no\n");
	assert_int_equal(settle_verdict(), SURVIVE_ALLOWED);
	assert_int_equal(unlinkat(folder, "root/survive", 0), 0);
	put_text_file("etc/systemd/logind.conf.d/local.conf",
		      "[Login]\nKillUserProcesses=yes\nKillExcludeUsers=\n");
	assert_int_equal(settle_verdict(), SURVIVE_NOT);
}

int main(void)
{
#define WITH_MACHINE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_told_by_the_control_group),
		cmocka_unit_test(what_busctl_says_is_judged_for_the_user),
		cmocka_unit_test(what_files_say_is_judged_for_the_user),
		WITH_MACHINE(nothing_is_asked_where_nobody_looks_after_logins),
		WITH_MACHINE(a_logind_that_spares_is_asked_once_in_a_boot),
		WITH_MACHINE(one_who_would_be_killed_moves_and_lingers),
		WITH_MACHINE(one_who_may_not_linger_is_told),
		WITH_MACHINE(a_manager_that_does_not_answer_is_told),
		WITH_MACHINE(below_the_manager_one_has_to_linger),
		WITH_MACHINE(files_answer_where_no_service_does),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
