#include "executor/agent/survive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/scope.h"
#include "executor/agent/ask.h"
#include "executor/agent/awake.h"
#include "executor/agent/files.h"
#include "executor/agent/process.h"

enum {
	LOGIND_MS = 3000,
	LINGER_MS = 5000,
	MOVE_MS = 5000,
	MOVED_MS = 3000, /* from the answer to the order until it is carried out */
	MOVED_LOOK_MS = 10,
	FILE_BYTES_MAX = 64 * 1024,
	CONF_FILES_MAX = 64,
};

static const char cache_path[] = "survive";

/* --- files of the system -------------------------------------------------------------------------------- */

static const char *system_path(struct arena *arena, const char *path)
{
	const char *root = getenv("STOKER_AGENT_SYSTEM");

	return root == NULL || root[0] == '\0' ? path : arena_printf(arena, "%s%s", root, path);
}

static const char *read_text(struct arena *arena, const char *path)
{
	autobuf struct buf text = { 0 };

	return files_read(AT_FDCWD, path, FILE_BYTES_MAX, &text) < 0 ? ""
								     : arena_strdup(arena, buf_text(&text));
}

static const char *own_group(struct arena *arena)
{
	return read_text(arena, system_path(arena, "/proc/self/cgroup"));
}

/*
 * By its environment, which sshd set: the agent is linked statically and cannot ask for accounts.
 */
static const char *own_name(void)
{
	const char *user = getenv("USER");

	if (getuid() == 0)
		return "root";
	return user != NULL && user[0] != '\0' ? user : getenv("LOGNAME") != NULL ? getenv("LOGNAME") : "";
}

/* --- where a process belongs ---------------------------------------------------------------------------- */

/* The part of a path that begins with `head` and ends with `tail`, somewhere in the text. */
static bool has_part(const char *text, const char *head, const char *tail)
{
	size_t tail_bytes = strlen(tail);

	for (const char *at = text; (at = strstr(at, head)) != NULL; at++) {
		size_t n = strcspn(at + 1, "/\n") + 1;

		if (n > tail_bytes && memcmp(at + n - tail_bytes, tail, tail_bytes) == 0)
			return true;
	}
	return false;
}

enum survive_place survive_place_of(const char *cgroup)
{
	if (has_part(cgroup, "/user@", ".service"))
		return SURVIVE_IN_MANAGER;
	return has_part(cgroup, "/session-", ".scope") ? SURVIVE_IN_SESSION : SURVIVE_ELSEWHERE;
}

/* --- what logind does ----------------------------------------------------------------------------------- */

struct settings {
	int kills; /* -1: not known */
	bool only; /* there are KillOnlyUsers */
	bool only_us;
	bool spares_us;
};

static enum survive_kills judge(const struct settings *settings)
{
	if (settings->kills < 0)
		return SURVIVE_KILLS_UNKNOWN;
	if (settings->kills == 0 || settings->spares_us || (settings->only && !settings->only_us))
		return SURVIVE_SPARES;
	return SURVIVE_KILLS;
}

/* Whether one of the words, which may be quoted, is `user`; *any_out: there is one at all. */
static bool names_user(const char *words, const char *user, bool *any_out)
{
	bool found = false;

	*any_out = false;
	for (const char *at = words + strspn(words, " \t\""); *at != '\0' && *at != '\n';) {
		size_t n = strcspn(at, " \t\"\n");

		*any_out = true;
		found |= n == strlen(user) && memcmp(at, user, n) == 0;
		at += n + strspn(at + n, " \t\"");
	}
	return found;
}

/* Lines "b true", "as 1 \"root\"", "as 0", in the order in which they were asked for. */
enum survive_kills survive_parse_busctl(const char *answer, const char *user)
{
	struct settings settings = { .kills = -1 };
	bool any;

	for (int line = 0; line < 3 && *answer != '\0'; line++) {
		const char *words = answer + strcspn(answer, " \n");
		int count = atoi(words);

		if (line == 0)
			settings.kills = strncmp(answer, "b true", 6) == 0    ? 1
					 : strncmp(answer, "b false", 7) == 0 ? 0
									      : -1;
		else if (strncmp(answer, "as ", 3) != 0 || count < 0)
			break;
		else if (line == 1)
			settings.only_us = names_user(words + 1 + strcspn(words + 1, " \n"), user,
						      &settings.only);
		else
			settings.spares_us = names_user(words + 1 + strcspn(words + 1, " \n"), user, &any);
		answer += strcspn(answer, "\n");
		answer += *answer == '\n';
	}
	return judge(&settings);
}

static int parse_bool(const char *value)
{
	static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off",
										       "0" };
	size_t n = strcspn(value, " \t\r\n");

	for (size_t i = 0; i < COUNT_OF(yes); i++) {
		if (n == strlen(yes[i]) && memcmp(value, yes[i], n) == 0)
			return 1;
		if (n == strlen(no[i]) && memcmp(value, no[i], n) == 0)
			return 0;
	}
	return -1;
}

static const char *value_of(const char *line, const char *key)
{
	size_t n = strlen(key);

	line += strspn(line, " \t");
	if (strncmp(line, key, n) != 0)
		return NULL;
	line += n + strspn(line + n, " \t");
	return *line == '=' ? line + 1 + strspn(line + 1, " \t") : NULL;
}

enum survive_kills survive_parse_lines(const char *lines, const char *user)
{
	/* What counts where nothing is said; for KillUserProcesses that is for the distribution to choose. */
	struct settings settings = { .kills = -1, .spares_us = strcmp(user, "root") == 0 };

	while (*lines != '\0') {
		const char *value;
		bool any;

		if ((value = value_of(lines, "KillUserProcesses")) != NULL)
			settings.kills = parse_bool(value);
		else if ((value = value_of(lines, "KillOnlyUsers")) != NULL)
			settings.only_us = names_user(value, user, &settings.only);
		else if ((value = value_of(lines, "KillExcludeUsers")) != NULL)
			settings.spares_us = names_user(value, user, &any);
		lines += strcspn(lines, "\n");
		lines += *lines == '\n';
	}
	return judge(&settings);
}

static enum survive_kills ask_busctl(struct arena *arena, const char *user)
{
	const char *words[] = { ask_find(arena, "busctl"),
				"get-property",
				"org.freedesktop.login1",
				"/org/freedesktop/login1",
				"org.freedesktop.login1.Manager",
				"KillUserProcesses",
				"KillOnlyUsers",
				"KillExcludeUsers",
				NULL };
	autobuf struct buf answer = { .limit_bytes = ASK_ANSWER_BYTES_MAX };

	if (words[0] == NULL || ask_program(words, LOGIND_MS, &answer) != ASK_DONE)
		return SURVIVE_KILLS_UNKNOWN;
	return survive_parse_busctl(buf_text(&answer), user);
}

static enum survive_kills ask_loginctl(struct arena *arena, const char *user)
{
	const char *words[] = { ask_find(arena, "loginctl"),	"show-session",
				"--property=KillUserProcesses", "--property=KillOnlyUsers",
				"--property=KillExcludeUsers",	NULL };
	autobuf struct buf answer = { .limit_bytes = ASK_ANSWER_BYTES_MAX };

	if (words[0] == NULL || ask_program(words, LOGIND_MS, &answer) != ASK_DONE)
		return SURVIVE_KILLS_UNKNOWN;
	return survive_parse_lines(buf_text(&answer), user);
}

/* Drop-ins count in the order of their names, whatever folder they are in. */
static int compare_drop_ins(const void *a, const void *b)
{
	const char *left = *(const char *const *)a, *right = *(const char *const *)b;

	return strcmp(strrchr(left, '/'), strrchr(right, '/'));
}

static size_t find_drop_ins(struct arena *arena, const char *files[CONF_FILES_MAX])
{
	static const char *const folders[] = { "/usr/lib/systemd/logind.conf.d", "/run/systemd/logind.conf.d",
					       "/etc/systemd/logind.conf.d" };
	size_t count = 0;

	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		const char *folder = system_path(arena, folders[i]);
		DIR *dir = opendir(folder);

		for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
			if (count < CONF_FILES_MAX && strlen(entry->d_name) > 5 &&
			    strcmp(entry->d_name + strlen(entry->d_name) - 5, ".conf") == 0)
				files[count++] = arena_printf(arena, "%s/%s", folder, entry->d_name);
		if (dir != NULL)
			closedir(dir);
	}
	qsort(files, count, sizeof *files, compare_drop_ins);
	return count;
}

static enum survive_kills read_conf(struct arena *arena, const char *user)
{
	const char *files[CONF_FILES_MAX];
	size_t count = find_drop_ins(arena, files);
	autobuf struct buf text = { 0 };

	buf_append_text(&text, read_text(arena, system_path(arena, "/etc/systemd/logind.conf")));
	for (size_t i = 0; i < count; i++)
		buf_printf(&text, "\n%s", read_text(arena, files[i]));
	return survive_parse_lines(buf_text(&text), user);
}

static enum survive_kills find_kills(struct arena *arena)
{
	const char *user = own_name();
	enum survive_kills kills = ask_busctl(arena, user);

	if (kills == SURVIVE_KILLS_UNKNOWN)
		kills = ask_loginctl(arena, user);
	return kills != SURVIVE_KILLS_UNKNOWN ? kills : read_conf(arena, user);
}

/* --- lingering ------------------------------------------------------------------------------------------ */

static bool is_lingering(struct arena *arena)
{
	const char *path = arena_printf(arena, "/var/lib/systemd/linger/%s", own_name());
	const char *words[] = { ask_find(arena, "loginctl"), "show-user",
				arena_printf(arena, "%d", (int)getuid()), "--property=Linger", NULL };
	autobuf struct buf answer = { .limit_bytes = ASK_ANSWER_BYTES_MAX };

	if (access(system_path(arena, path), F_OK) == 0)
		return true;
	return words[0] != NULL && ask_program(words, LOGIND_MS, &answer) == ASK_DONE &&
	       strstr(buf_text(&answer), "Linger=yes") != NULL;
}

/* Everybody may do that for himself, unless the administrator says otherwise. */
static bool make_linger(struct arena *arena, struct survive *out)
{
	const char *words[] = { ask_find(arena, "loginctl"), "--no-ask-password", "enable-linger", NULL };
	autobuf struct buf answer = { .limit_bytes = ASK_ANSWER_BYTES_MAX };

	if (is_lingering(arena))
		return true;
	if (words[0] == NULL || ask_program(words, LINGER_MS, &answer) != ASK_DONE)
		return false;
	out->lingers_now = is_lingering(arena);
	return out->lingers_now;
}

/* --- moving --------------------------------------------------------------------------------------------- */

static bool wait_moved(struct arena *arena)
{
	int64_t until_ms = awake_ms() + MOVED_MS;

	while (survive_place_of(own_group(arena)) == SURVIVE_IN_SESSION) {
		if (awake_ms() >= until_ms)
			return false;
		poll(NULL, 0, MOVED_LOOK_MS);
	}
	return true;
}

/*
 * As systemd-run --user --scope does it, but for a process that runs already: should it fail, the agent is
 * still there to say so.
 */
static bool move_to_scope(struct arena *arena)
{
	const char *pid = arena_printf(arena, "%d", (int)getpid());
	const char *words[] = { ask_find(arena, "busctl"), "--user", "call", "org.freedesktop.systemd1",
				"/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
				"StartTransientUnit", "ssa(sv)a(sa(sv))",
				arena_printf(arena, "stoker-agent-%s-%" PRId64 ".scope", pid, awake_ms()),
				"fail",
				/* two properties */
				"2", "PIDs", "au", "1", pid, "Description", "s", "steps that stoker runs",
				/* no further units */
				"0", NULL };
	const char *runtime = arena_printf(arena, "/run/user/%d", (int)getuid());
	autobuf struct buf answer = { .limit_bytes = ASK_ANSWER_BYTES_MAX };

	if (words[0] == NULL)
		return false;
	if (getenv("XDG_RUNTIME_DIR") == NULL && access(system_path(arena, runtime), X_OK) == 0)
		setenv("XDG_RUNTIME_DIR", runtime, 1);
	return ask_program(words, MOVE_MS, &answer) == ASK_DONE && wait_moved(arena);
}

/* --- what was found out in this boot --------------------------------------------------------------------- */

static bool is_cached(struct arena *arena, const char *verdict)
{
	const char *boot_id = process_boot_id();

	return boot_id[0] != '\0' &&
	       strcmp(read_text(arena, cache_path), arena_printf(arena, "%s %s\n", boot_id, verdict)) == 0;
}

static void cache(struct arena *arena, const char *verdict)
{
	const char *text = arena_printf(arena, "%s %s\n", process_boot_id(), verdict);

	if (process_boot_id()[0] != '\0')
		files_replace(AT_FDCWD, cache_path, text, strlen(text), false);
}

/* --- verdicts ------------------------------------------------------------------------------------------- */

static void conclude(struct survive *out, enum survive_verdict verdict, const char *text, const char *remedy)
{
	out->verdict = verdict;
	out->text = text;
	out->remedy = remedy;
}

static void conclude_not(struct arena *arena, struct survive *out, const char *text)
{
	conclude(out, SURVIVE_NOT, text,
		 arena_printf(arena,
			      "ask the administrator of the machine for `loginctl enable-linger %s`, or for"
			      " KillUserProcesses=no in /etc/systemd/logind.conf",
			      own_name()));
}

static void conclude_killed(struct arena *arena, struct survive *out)
{
	conclude_not(arena, out,
		     "steps die when the connection ends: logind kills what is left of a login session"
		     " (KillUserProcesses)");
}

static void conclude_unmanaged(struct arena *arena, struct survive *out)
{
	conclude_not(
		arena, out,
		"steps die at the last logout: they run under the user's service manager, and the user does"
		" not linger");
}

static void conclude_scope(struct survive *out)
{
	conclude(out, SURVIVE_SCOPE,
		 "steps survive a logout: in a scope of the user's service manager, which lingers", "");
}

static void conclude_allowed(struct survive *out)
{
	conclude(out, SURVIVE_ALLOWED, "steps survive a logout: logind lets them live", "");
}

/* Without logind, or outside of its sessions, nothing else needs to be asked: false then. */
static bool is_looked_after(struct arena *arena, struct survive *out, enum survive_place *place_out)
{
	*out = (struct survive){ .text = "", .remedy = "" };
	if (access(system_path(arena, "/run/systemd/system"), F_OK) < 0) {
		conclude(out, SURVIVE_DETACHED, "steps survive a logout: no logind here that would end them",
			 "");
		return false;
	}
	*place_out = survive_place_of(own_group(arena));
	if (*place_out == SURVIVE_ELSEWHERE)
		conclude(out, SURVIVE_DETACHED, "steps survive a logout: they belong to no login session",
			 "");
	return *place_out != SURVIVE_ELSEWHERE;
}

static void conclude_kills(struct arena *arena, enum survive_kills kills, struct survive *out)
{
	if (kills == SURVIVE_SPARES)
		conclude_allowed(out);
	else if (kills == SURVIVE_KILLS)
		conclude_killed(arena, out);
	else
		conclude(out, SURVIVE_UNKNOWN,
			 "whether steps survive a logout is not known: logind does not tell its "
			 "KillUserProcesses",
			 "see whether `loginctl show-session -p KillUserProcesses` answers there");
}

void survive_look(struct arena *arena, struct survive *out)
{
	enum survive_place place;

	if (!is_looked_after(arena, out, &place))
		return;
	if (place == SURVIVE_IN_SESSION)
		conclude_kills(arena, find_kills(arena), out);
	else if (is_lingering(arena))
		conclude_scope(out);
	else
		conclude_unmanaged(arena, out);
}

static void leave_session(struct arena *arena, struct survive *out)
{
	if (make_linger(arena, out) && move_to_scope(arena)) {
		conclude_scope(out);
		cache(arena, "scope");
	} else {
		conclude_killed(arena, out);
	}
}

void survive_settle(struct arena *arena, struct survive *out)
{
	enum survive_place place;

	if (!is_looked_after(arena, out, &place))
		return;
	if (place == SURVIVE_IN_MANAGER) {
		if (make_linger(arena, out))
			conclude_scope(out);
		else
			conclude_unmanaged(arena, out);
		return;
	}
	if (is_cached(arena, "allowed")) {
		conclude_allowed(out);
		return;
	}
	if (!is_cached(arena, "scope")) {
		conclude_kills(arena, find_kills(arena), out);
		if (out->verdict == SURVIVE_ALLOWED)
			cache(arena, "allowed");
		if (out->verdict != SURVIVE_NOT)
			return;
	}
	leave_session(arena, out);
}
