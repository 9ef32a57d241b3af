#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "executor/boot.h"

static const struct deploy deploy = {
	.agents = { { .machine = "x86_64", .digest = "0123456789abcdef", .bytes = 1000 },
		    { .machine = "aarch64", .digest = "fedcba9876543210", .bytes = 2000 } },
	.count = 2,
};

#define MARK "stoker-boot-000000000000002a "

static struct boot boot;

static int set_up(void **state)
{
	(void)state;
	boot_init(&boot, "~/.stoker", &deploy, 42);
	return 0;
}

/* All of it, going on where the caller has something to do. Answers how much was not taken. */
static size_t feed(const char *text, size_t n)
{
	while (n > 0 && boot.state != BOOT_READY && boot.state != BOOT_FAILED) {
		size_t used;

		boot_feed(&boot, (const uint8_t *)text, n, &used);
		assert_true(used > 0 && used <= n);
		text += used;
		n -= used;
	}
	return n;
}

static void expect_fault(const char *text, enum fault fault, const char *part)
{
	boot_init(&boot, "~/.stoker", &deploy, 42);
	feed(text, strlen(text));
	assert_int_equal(boot.state, BOOT_FAILED);
	assert_int_equal(boot.fault, fault);
	if (strstr(boot.why, part) == NULL)
		fail_msg("'%s' is not in '%s'", part, boot.why);
}

static void an_agent_that_is_there_starts_at_once(void **state)
{
	const char text[] = "\n" MARK "ready\nframes";

	(void)state;
	assert_int_equal(feed(text, strlen(text)), strlen("frames"));
	assert_int_equal(boot.state, BOOT_READY);
}

static void noise_is_passed_over_and_lines_may_come_cut(void **state)
{
	const char text[] = "Welcome!\r\nstoker-boot-0000000000000001 ready\n" MARK "\n" MARK "what\nx " MARK
			    "ready\n"
			    "\x1b[31mred\x1b[0m\n" MARK "send aarch64 2000\r\n" MARK "ready\nframes";

	(void)state;
	for (size_t i = 0; text[i] != '\0' && boot.state != BOOT_READY; i++) {
		assert_int_equal(feed(&text[i], 1), 0);
		if (boot.state == BOOT_SENDING)
			assert_ptr_equal(boot.agent, &deploy.agents[1]);
	}
	assert_int_equal(boot.state, BOOT_READY);
}

static void too_much_noise_is_a_fault_of_the_shell(void **state)
{
	char noise[BOOT_NOISE_BYTES + 10];

	(void)state;
	memset(noise, 'x', sizeof noise);
	feed(noise, sizeof noise);
	assert_int_equal(boot.state, BOOT_FAILED);
	assert_int_equal(boot.fault, FAULT_SHELL);
	/* Without a single newline that is one line, of which the beginning is kept. */
	assert_true(boot.line_bytes < sizeof boot.line);
}

static void each_error_has_its_fault_and_its_remedy(void **state)
{
	(void)state;
	expect_fault(MARK "error home /nonexistent\n", FAULT_SHELL, "no home folder /nonexistent");
	expect_fault(MARK "error proc\n", FAULT_DEPLOY, "/proc");
	expect_fault(MARK "error machine Linux riscv64\n", FAULT_DEPLOY, "'Linux riscv64', and stoker's agent");
	expect_fault(MARK "error machine Darwin arm64\n", FAULT_DEPLOY, "cannot be a worker");
	expect_fault(MARK "error machine Linux aarch64\n", FAULT_DEPLOY, "gcc-aarch64-linux-gnu");
	expect_fault(MARK "send sparc64 10\n", FAULT_DEPLOY, "cannot be a worker");
	expect_fault(MARK "error root mkdir: cannot create directory: Read-only file system\n", FAULT_DEPLOY,
		     "read-only");
	expect_fault(MARK "error write head: error writing: No space left on device\n", FAULT_DEPLOY,
		     "make room");
	expect_fault(MARK "error write touch: Disk quota exceeded\n", FAULT_DEPLOY, "quota");
	expect_fault(MARK "error exec /bin/sh: 1: x: Permission denied\n", FAULT_DEPLOY, "noexec");
	expect_fault(MARK "error exec Illegal instruction\n", FAULT_DEPLOY, "does not run");
	expect_fault(MARK "error short 17\n", FAULT_BROKEN, "17");
	expect_fault(MARK "error \n", FAULT_DEPLOY, "~/.stoker");
	expect_fault(MARK "error\n", FAULT_DEPLOY, "~/.stoker");
}

static void what_was_said_last_is_told_without_control_characters(void **state)
{
	const char text[] = "first\n\x1b[2Jlast words";

	(void)state;
	feed(text, strlen(text));
	boot_give_up(&boot, false, "");
	assert_int_equal(boot.fault, FAULT_SHELL);
	assert_non_null(strstr(boot.why, "'[2Jlast words'"));
	boot_init(&boot, "~/.stoker", &deploy, 42);
	boot_give_up(&boot, true, "from its stderr");
	assert_non_null(strstr(boot.why, "in time"));
	assert_non_null(strstr(boot.why, "from its stderr"));
}

static void an_upload_that_is_cut_can_be_mended_by_time(void **state)
{
	const char text[] = MARK "send x86_64 1000\n";

	(void)state;
	feed(text, strlen(text));
	assert_int_equal(boot.state, BOOT_SENDING);
	boot_give_up(&boot, false, "");
	assert_int_equal(boot.fault, FAULT_BROKEN);
	assert_false(fault_needs_person(boot.fault));
}

static void the_command_has_nothing_that_a_shell_would_stumble_over(void **state)
{
	struct buf command = { 0 };
	const char *text, *end;

	(void)state;
	boot_command(&boot, &command);
	text = buf_text(&command);
	assert_memory_equal(text, "exec /bin/sh -c '", 17);
	end = strchr(text + 17, '\'');
	assert_ptr_equal(end, text + command.bytes - 1);
	assert_null(strpbrk(text, "\n\\!"));
	assert_non_null(strstr(text, "\"Linux aarch64\") g=fedcba9876543210; n=2000;;"));
	buf_fini(&command);
}

static void a_root_that_a_shell_could_misread_is_refused(void **state)
{
	(void)state;
	assert_null(boot_root_fault("~/.stoker"));
	assert_null(boot_root_fault("/data/a b/stoker"));
	for (const char *const *bad = (const char *const[]){ "", "relative", "~", "~bob/x", "/a'b", "/a\"b",
							     "/a$b", "/a`b", "/a\\b", "/a!b", "/a\nb", NULL };
	     *bad != NULL; bad++)
		assert_non_null(boot_root_fault(*bad));
}

static void no_garbage_leads_astray(void **state)
{
	static const char alphabet[] = "stoker-boot-000000000000002a readysenderror\n\n  \x01\xff";
	struct rng rng = rng_seeded(7);

	(void)state;
	for (int round = 0; round < 2000; round++) {
		char text[200];

		boot_init(&boot, "~/.stoker", &deploy, 42);
		for (size_t i = 0; i < sizeof text; i++)
			text[i] = alphabet[rng_below(&rng, sizeof alphabet - 1)];
		feed(text, sizeof text);
		if (boot.state == BOOT_WAITING)
			boot_give_up(&boot, false, "");
		assert_true(boot.state == BOOT_FAILED);
	}
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_agent_that_is_there_starts_at_once),
		TEST(noise_is_passed_over_and_lines_may_come_cut),
		TEST(too_much_noise_is_a_fault_of_the_shell),
		TEST(each_error_has_its_fault_and_its_remedy),
		TEST(what_was_said_last_is_told_without_control_characters),
		TEST(an_upload_that_is_cut_can_be_mended_by_time),
		TEST(the_command_has_nothing_that_a_shell_would_stumble_over),
		TEST(a_root_that_a_shell_could_misread_is_refused),
		TEST(no_garbage_leads_astray),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
