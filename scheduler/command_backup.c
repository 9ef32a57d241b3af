#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/backup.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/moment.h"
#include "scheduler/view.h"

struct arguments {
	const char *path;
	bool force;
	bool json;
	bool restore;
	bool verify;
};

static volatile bool stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = true;
}

/* --- what is told --------------------------------------------------------------------------------------- */

static void print_facts(const struct arguments *arguments, const struct backup_facts *facts, const char *kept)
{
	autobuf struct buf size = { 0 };
	char at[MOMENT_BYTES], rfc[CLOCK_RFC3339_BYTES];

	if (arguments->json) {
		autojson json_t *answer =
			json_pack("{s:s, s:I, s:i, s:I}", "file", facts->path, "bytes", (json_int_t)facts->bytes,
				  "schema", facts->version, "runs", (json_int_t)facts->runs);

		json_object_set_new(answer, "latest",
				    facts->latest_wall_ms == 0 ? json_null()
							       : json_string(clock_rfc3339(facts->latest_wall_ms, rfc)));
		if (arguments->restore)
			json_object_set_new(answer, "kept", kept == NULL ? json_null() : json_string(kept));
		listing_print_json(answer);
		return;
	}
	listing_append_bytes(&size, (int64_t)facts->bytes);
	printf("%s: %s, %" PRIu64 " %s, up to %s; %s\n", facts->path, buf_text(&size), facts->runs,
	       facts->runs == 1 ? "run" : "runs", moment_local(facts->latest_wall_ms, clock_wall_ms(), at),
	       arguments->restore ? "restored" : "checked: all of it can be read");
	if (kept != NULL)
		printf("what was there before is kept as %s\n", kept);
}

/* --- the work ------------------------------------------------------------------------------------------- */

static int restore(const struct arguments *arguments, const char *home, struct arena *arena)
{
	struct backup_facts facts;
	const char *kept = NULL;
	struct err err;

	if (backup_restore(home, arguments->path, clock_wall_ms(), arena, &kept, &facts, &err) < 0)
		return command_fail(&err);
	print_facts(arguments, &facts, kept);
	return command_end_output();
}

static int verify(const struct arguments *arguments, struct arena *arena)
{
	struct backup_facts facts;
	struct err err;

	if (backup_verify(arguments->path, arena, &facts, &err) < 0)
		return command_fail(&err);
	print_facts(arguments, &facts, NULL);
	return command_end_output();
}

static int make(const struct arguments *arguments, const char *home, struct arena *arena)
{
	bool to_stdout = strcmp(arguments->path, "-") == 0;
	const struct backup_plan plan = { .home = home,
					  .path = to_stdout ? NULL : arguments->path,
					  .out = stdout,
					  .force = arguments->force,
					  .now_wall_ms = clock_wall_ms(),
					  .stop = &stop };
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct backup_facts facts;
	struct err err;

	for (size_t i = 0; i < COUNT_OF(signals); i++)
		signal(signals[i], on_signal);
	if (backup_make(&plan, arena, &facts, &err) < 0)
		return command_fail(&err);
	if (!to_stdout)
		print_facts(arguments, &facts, NULL);
	return command_end_output();
}

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'f' },   { "json", no_argument, NULL, 'j' },
		{ "restore", no_argument, NULL, 'r' }, { "verify", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = command_option(&command_backup, argc, argv, "f", options)) != -1) {
		if (option == 'f')
			out->force = true;
		else if (option == 'j')
			out->json = true;
		else if (option == 'r')
			out->restore = true;
		else if (option == 'v')
			out->verify = true;
		else
			return COMMAND_USAGE;
	}
	if (argc - optind != 1)
		return command_usage(&command_backup, optind == argc ? "which file?" : "one file at a time");
	out->path = argv[optind];
	if (out->restore && out->verify)
		return command_usage(&command_backup, "--restore verifies too: one of both");
	if (out->force && (out->restore || out->verify))
		return command_usage(&command_backup, "--force is for making one");
	return 0;
}

static int backup(int argc, char **argv)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct arguments arguments = { 0 };
	int status = read_arguments(argc, argv, &arguments);
	const char *home;
	struct err err;

	if (status != 0)
		return status;
	if (arguments.verify)
		return verify(&arguments, &arena);
	if (store_home(&arena, &home, &err) < 0)
		return command_fail(&err);
	return arguments.restore ? restore(&arguments, home, &arena) : make(&arguments, home, &arena);
}

const struct command command_backup = {
	.name = "backup",
	.synopsis = "FILE|FOLDER|- [-f] [--json] | --verify FILE | --restore FILE",
	.summary = "a checked copy of the database, while stoker works; and back",
	.help = "Copies the database as it is at one moment; whoever writes to it goes on. The copy is checked, and\n"
		"either whole or not there. In a FOLDER it gets a name with the time; - is standard output.\n"
		"Logs (runs/), snapshots of sources (parcels/) and checkpoints are not in it: copy them after it.\n"
		"\n"
		"  -f, --force     overwrite FILE\n"
		"      --verify    read all of a backup and say whether it is sound\n"
		"      --restore   put it in the place of the database; no stoker may be at work, and what was\n"
		"                  there is kept. Numbers of runs go on after the greatest that has a folder.\n"
		"      --json      for scripts\n",
	.main = backup,
};
