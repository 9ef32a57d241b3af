#include "executor/boot.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/machine.h"

static const struct machine_state boot_states[BOOT_STATES] = {
	[BOOT_WAITING] = { "waiting", TO(BOOT_SENDING) | TO(BOOT_READY) | TO(BOOT_FAILED) },
	[BOOT_SENDING] = { "sending", TO(BOOT_READY) | TO(BOOT_FAILED) },
	[BOOT_READY] = { "ready", 0 },
	[BOOT_FAILED] = { "failed", 0 },
};

static void boot_move(struct boot *boot, enum boot_state to)
{
	machine_check("boot", boot_states, boot->state, to);
	boot->state = to;
}

/* --- the command ---------------------------------------------------------------------------------------- */

const char *boot_root_fault(const char *root)
{
	if (root[0] != '/' && strncmp(root, "~/", 2) != 0)
		return "it must begin with '/' or '~/'";
	if (strlen(root) > 512)
		return "it is longer than 512 bytes";
	for (const char *at = root; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 127 || strchr("'\"`$\\!", *at) != NULL)
			return "it holds a quote, '$', '!', '`', '\\' or a control character";
	return NULL;
}

void boot_init(struct boot *boot, const char *root, const struct deploy *deploy, uint64_t nonce)
{
	*boot = (struct boot){ .deploy = deploy, .root = root };
	snprintf(boot->mark, sizeof boot->mark, "stoker-boot-%016" PRIx64, nonce);
}

/*
 * Its own messages in English (LC_ALL=C), because they are understood here; but no exported variable and no
 * umask: both would reach the steps. Every step of it stands for one kind of error.
 */
void boot_command(const struct boot *boot, struct buf *out)
{
	const char *root = boot->root;
	bool home = strncmp(root, "~/", 2) == 0;

	assert(boot_root_fault(root) == NULL);
	buf_printf(out, "exec /bin/sh -c 'k=%s; e() { echo \"$k error $*\"; exit 1; }; echo; ", boot->mark);
	if (home)
		buf_append_text(out, "test -d \"$HOME\" || e home \"$HOME\"; ");
	buf_append_text(out, "test -r /proc/self/stat || e proc; m=$(uname -sm); case $m in ");
	for (size_t i = 0; i < boot->deploy->count; i++) {
		const struct deploy_agent *agent = &boot->deploy->agents[i];

		buf_printf(out, "\"Linux %s\") g=%s; n=%zu;; ", agent->machine, agent->digest, agent->bytes);
	}
	buf_printf(out,
		   "*) e machine \"$m\";; esac; "
		   "r=\"%s%s\"; b=\"$r/bin\"; a=\"$b/stoker-agent-$g\"; "
		   "if test -x \"$a\" && \"$a\" --version </dev/null >/dev/null 2>&1; then :; else "
		   "w=$(umask 077; LC_ALL=C mkdir -p \"$b\" 2>&1) || e root \"$w\"; "
		   /* What others left there who were killed. */
		   "find \"$b\" -name \"*.stoker-boot-*\" -mmin +60 -exec rm -f {} + 2>/dev/null; "
		   /* When the channel is gone, the next word to it kills the shell: not before it has cleaned up. */
		   "t=\"$a.$k\"; d() { rm -f \"$t\"; }; trap d EXIT; trap \"exit 1\" HUP PIPE TERM; "
		   "w=$(umask 077; LC_ALL=C touch \"$t\" 2>&1) || e write \"$w\"; "
		   "echo \"$k send ${m#* } $n\"; "
		   "w=$(LC_ALL=C head -c $n 2>&1 >\"$t\") || e write \"$w\"; "
		   "c=$(wc -c <\"$t\"); test \"$c\" -eq $n || e short \"$c\"; "
		   "w=$(LC_ALL=C chmod 700 \"$t\" 2>&1) || e write \"$w\"; "
		   "w=$(\"$t\" --version 2>&1 </dev/null) || e exec \"$w\"; "
		   "w=$(LC_ALL=C mv -f \"$t\" \"$a\" 2>&1) || e write \"$w\"; trap - EXIT HUP PIPE TERM; fi; "
		   "echo \"$k ready\"; exec \"$a\" --root \"$r\"'",
		   home ? "$HOME" : "", home ? root + 1 : root);
}

/* --- what went wrong ------------------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) static void fail(struct boot *boot, enum fault fault,
						       const char *format, ...)
{
	va_list args;

	boot_move(boot, BOOT_FAILED);
	boot->fault = fault;
	va_start(args, format);
	vsnprintf(boot->why, sizeof boot->why, format, args);
	va_end(args);
}

/* What the system says of a place, and what helps. */
static const struct trouble {
	const char *said;
	const char *is;
	const char *remedy;
} troubles[] = {
	{ "No space left on device", "the disk is full", "make room there, or set another 'root'" },
	{ "Disk quota exceeded", "the quota is used up", "make room there, or set another 'root'" },
	{ "Read-only file system", "it is read-only", "set 'root' to a folder on another file system" },
	{ "Permission denied", "permission denied", "set 'root' to a folder that this user may write to" },
	{ "Not a directory", "a part of that path is no folder", "remove it, or set another 'root'" },
	{ "File exists", "a part of that path is no folder", "remove it, or set another 'root'" },
	{ "No such file or directory", "it is not there", "set 'root' to a folder that can be made" },
	{ "Input/output error", "the disk has errors", "see to the disk, or set another 'root'" },
	{ "Stale file handle", "the network file system went away",
	  "see to its mount, or set another 'root'" },
};

static const struct trouble *find_trouble(const char *said)
{
	for (size_t i = 0; i < sizeof troubles / sizeof troubles[0]; i++)
		if (strstr(said, troubles[i].said) != NULL)
			return &troubles[i];
	return NULL;
}

static void fail_at_root(struct boot *boot, const char *text)
{
	const struct trouble *trouble = find_trouble(text);

	if (trouble != NULL)
		fail(boot, FAULT_DEPLOY, "the agent cannot be put into %s there: %s; %s (%s)", boot->root,
		     trouble->is, trouble->remedy, text);
	else
		fail(boot, FAULT_DEPLOY, "the agent cannot be put into %s there: %s", boot->root, text);
}

static void fail_to_run(struct boot *boot, const char *text)
{
	if (strstr(text, "ermission denied") != NULL)
		fail(boot, FAULT_DEPLOY,
		     "no program can be run in %s there (mounted noexec?): set 'root' to a folder on a file"
		     " system without noexec (%s)",
		     boot->root, text);
	else
		fail(boot, FAULT_DEPLOY, "the agent does not run there: %s", text);
}

/* `text` is what uname -sm said. */
static void fail_by_machine(struct boot *boot, const char *text)
{
	const char *compiler = strncmp(text, "Linux ", 6) == 0 ? deploy_compiler(text + 6) : NULL;
	char have[120] = "";

	for (size_t i = 0; i < boot->deploy->count; i++)
		snprintf(have + strlen(have), sizeof have - strlen(have), "%s%s", i > 0 ? " and " : "",
			 boot->deploy->agents[i].machine);
	if (compiler != NULL)
		fail(boot, FAULT_DEPLOY,
		     "the machine is '%s', and this stoker was built with agents for %s only: build it where a"
		     " cross compiler for that type is installed (on Debian: %s)",
		     text, have, compiler);
	else
		fail(boot, FAULT_DEPLOY,
		     "the machine is '%s', and stoker's agent is for Linux on x86_64 or aarch64: it cannot be a"
		     " worker",
		     text);
}

static void on_error_line(struct boot *boot, const char *kind, const char *text)
{
	if (strcmp(kind, "home") == 0)
		fail(boot, FAULT_SHELL,
		     "there is no home folder%s%s: make one, or set 'root' to a folder elsewhere",
		     text[0] == '\0' ? "" : " ", text);
	else if (strcmp(kind, "proc") == 0)
		fail(boot, FAULT_DEPLOY,
		     "/proc is not mounted there, and stoker's agent needs it: mount -t proc proc /proc");
	else if (strcmp(kind, "machine") == 0)
		fail_by_machine(boot, text);
	else if (strcmp(kind, "exec") == 0)
		fail_to_run(boot, text);
	else if (strcmp(kind, "short") == 0)
		fail(boot, FAULT_BROKEN, "the upload of the agent was cut short after %s bytes", text);
	else
		fail_at_root(boot, text);
}

/* --- lines ---------------------------------------------------------------------------------------------- */

/* Splits the first word off; the rest follows it. */
static char *split_word(char *text)
{
	char *space = strchr(text, ' ');

	if (space == NULL)
		return text + strlen(text);
	*space = '\0';
	return space + 1;
}

static void on_mark(struct boot *boot, char *text)
{
	char *rest = split_word(text);

	if (strcmp(text, "ready") == 0) {
		boot_move(boot, BOOT_READY);
	} else if (strcmp(text, "send") == 0 && boot->state == BOOT_WAITING) {
		split_word(rest);
		boot->agent = deploy_for(boot->deploy, rest);
		if (boot->agent == NULL)
			fail_by_machine(boot, rest);
		else
			boot_move(boot, BOOT_SENDING);
	} else if (strcmp(text, "error") == 0) {
		char *why = split_word(rest);

		on_error_line(boot, rest, why);
	}
}

/* For people: no control characters, which a terminal might obey. */
static void keep_said(struct boot *boot)
{
	size_t n = 0;

	for (size_t i = 0; i < boot->line_bytes && n + 1 < sizeof boot->said; i++) {
		unsigned char c = (unsigned char)boot->line[i];

		if (c >= ' ' && c != 127)
			boot->said[n++] = (char)c;
	}
	if (n > 0)
		boot->said[n] = '\0';
}

static void on_line(struct boot *boot)
{
	size_t mark_bytes = strlen(boot->mark);

	while (boot->line_bytes > 0 && boot->line[boot->line_bytes - 1] == '\r')
		boot->line_bytes--;
	boot->line[boot->line_bytes] = '\0';
	if (boot->line_bytes > mark_bytes && memcmp(boot->line, boot->mark, mark_bytes) == 0 &&
	    boot->line[mark_bytes] == ' ')
		on_mark(boot, boot->line + mark_bytes + 1);
	else
		keep_said(boot);
	boot->line_bytes = 0;
}

enum boot_state boot_feed(struct boot *boot, const uint8_t *bytes, size_t n, size_t *used_out)
{
	size_t used = 0;

	while (used < n && (boot->state == BOOT_WAITING || boot->state == BOOT_SENDING)) {
		uint8_t byte = bytes[used++];

		if (++boot->heard_bytes > BOOT_NOISE_BYTES) {
			fail(boot, FAULT_SHELL,
			     "the login shell prints more than %d KiB before it runs our command, lastly "
			     "'%s': its"
			     " start-up files must print nothing where there is no terminal",
			     BOOT_NOISE_BYTES / 1024, boot->said);
		} else if (byte == '\n') {
			enum boot_state before = boot->state;

			on_line(boot);
			if (boot->state != before)
				break; /* The caller has something to do. */
		} else if (boot->line_bytes + 1 < sizeof boot->line) {
			boot->line[boot->line_bytes++] = (char)byte;
		}
	}
	*used_out = used;
	return boot->state;
}

void boot_give_up(struct boot *boot, bool late, const char *complaint)
{
	const char *said;

	if (boot->line_bytes > 0) {
		boot->line[boot->line_bytes] = '\0';
		keep_said(boot);
	}
	said = complaint[0] != '\0' ? complaint : boot->said;
	if (boot->state == BOOT_SENDING)
		fail(boot, FAULT_BROKEN, "the connection %s while the agent was uploaded%s%s",
		     late ? "stood still" : "ended", said[0] == '\0' ? "" : ": ", said);
	else if (late)
		fail(boot, FAULT_SHELL,
		     "the login shell did not run our command in time%s%s%s: look at its start-up files"
		     " (do they wait for input, or start another program?)",
		     said[0] == '\0' ? "" : "; it said '", said, said[0] == '\0' ? "" : "'");
	else if (said[0] == '\0')
		fail(boot, FAULT_SHELL,
		     "the login shell ended without running our command and said nothing: is it nologin, or"
		     " does the server force another command?");
	else
		fail(boot, FAULT_SHELL, "the login shell ended without running our command; it said '%s'",
		     said);
}

enum fault boot_fault_of(const char *complaint)
{
	return find_trouble(complaint) != NULL ? FAULT_DEPLOY : FAULT_BROKEN;
}
