#include "scheduler/command.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/scope.h"
#include "dag/suggest.h"
#include "scheduler/terminal.h"
#include "scheduler/view.h"

enum { USER_BYTES = 4096 };

/* --- messages ------------------------------------------------------------------------------------------- */

/* What a message quotes may come from anywhere, so it is made harmless for the terminal. */
static void say(const char *before, const char *text)
{
	autobuf struct buf line = { 0 };

	buf_append_text(&line, before);
	terminal_escape(&line, text);
	buf_append_byte(&line, '\n');
	fflush(stdout);
	fwrite(line.data, 1, line.bytes, stderr);
}

int command_usage(const struct command *command, const char *format, ...)
{
	char text[1000];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	say("stoker: ", text);
	fprintf(stderr, "usage: stoker %s %s\n", command->name, command->synopsis);
	return COMMAND_USAGE;
}

int command_run_status(enum run_state state)
{
	switch (state) {
	case RUN_SUCCEEDED:
		return COMMAND_DONE;
	case RUN_CANCELED:
		return COMMAND_CANCELED;
	default:
		return COMMAND_FAILED;
	}
}

int command_status_of(enum err_code code)
{
	switch (code) {
	case ERR_OK:
		return COMMAND_DONE;
	case ERR_INVALID:
	case ERR_LIMIT:
		return COMMAND_USAGE;
	case ERR_NOT_FOUND:
		return COMMAND_NOT_FOUND;
	default:
		return COMMAND_FAILED;
	}
}

int command_fail(const struct err *err)
{
	say("stoker: ", err->text);
	return err->code == ERR_OK ? COMMAND_FAILED : command_status_of(err->code); /* what failed never ends well */
}

int command_load_settings(const char *named, struct settings **settings_out)
{
	struct diagnostics diagnostics;
	int rc;

	diagnostics_init(&diagnostics);
	rc = settings_load(named, settings_out, &diagnostics);
	diagnostics_print(&diagnostics, stderr, command_color(stderr));
	diagnostics_fini(&diagnostics);
	return rc < 0 ? COMMAND_USAGE : 0;
}

/* --- arguments ------------------------------------------------------------------------------------------ */

static int refuse_option(const struct command *command, const char *word, const struct option *options)
{
	size_t bytes = strcspn(word, "=");
	autofree char *name = strndup(word, bytes);
	struct suggest suggest = suggest_for(name);
	const char *best;

	for (; options->name != NULL; options++)
		suggest_offer(&suggest, options->name, NULL);
	best = suggest_best(&suggest);
	if (best != NULL)
		return command_usage(command, "%s has no option --%s; did you mean --%s?", command->name,
				     name, best);
	return command_usage(command, "%s has no option --%s", command->name, name);
}

int command_option(const struct command *command, int argc, char **argv, const char *letters,
		   const struct option *options)
{
	char short_options[40];
	const char *word;
	int option;

	opterr = 0; /* its messages are in no format of ours, and looking for translations takes time */
	snprintf(short_options, sizeof short_options, ":%s", letters);
	option = getopt_long(argc, argv, short_options, options, NULL);
	if (option != '?' && option != ':')
		return option;
	word = argv[optind - 1];
	if (option == ':')
		command_usage(command, "%s needs a value", word);
	else if (optopt != 0 && strncmp(word, "--", 2) == 0)
		command_usage(command, "%.*s takes no value", (int)strcspn(word, "="), word);
	else if (optopt != 0)
		command_usage(command, "%s has no option -%c", command->name, optopt);
	else
		refuse_option(command, word + 2, options);
	return '?';
}

bool command_number(const char *text, int64_t min, int64_t max, int64_t *number_out)
{
	char *end;
	long long number;

	if (text[strspn(text, "-0123456789")] != '\0' || text[0] == '\0')
		return false; /* strtoll takes blanks and a plus too */
	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || number < min || number > max)
		return false;
	*number_out = number;
	return true;
}

/* --- the state ------------------------------------------------------------------------------------------ */

int command_open_reader(struct store **store_out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const char *home;
	int rc = store_home(&arena, &home, err);

	return rc < 0 ? rc : store_open_reader(home, store_out, err);
}

int command_find_run(struct store *store, const char *name, uint64_t *run_out, struct err *err)
{
	return view_find_run(store, name, run_out, err);
}

/* --- who asks ------------------------------------------------------------------------------------------- */

const char *command_actor(struct arena *arena)
{
	char bytes[USER_BYTES];
	struct passwd user, *found = NULL;

	if (getpwuid_r(getuid(), &user, bytes, sizeof bytes, &found) == 0 && found != NULL)
		return arena_strdup(arena, user.pw_name);
	return arena_printf(arena, "uid %lu", (unsigned long)getuid());
}

const char *command_origin(struct arena *arena)
{
	char host[256] = "";

	gethostname(host, sizeof host - 1);
	return arena_printf(arena, "cli %s", host);
}

/* --- output --------------------------------------------------------------------------------------------- */

bool command_color(FILE *out)
{
	return terminal_of(out).color;
}

int command_end_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return COMMAND_DONE;
	if (errno == EPIPE)
		return COMMAND_DONE;
	fprintf(stderr, "stoker: write the output: %s\n", strerror(errno));
	return COMMAND_FAILED;
}
