#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/view.h"

static int ask(const char *run_name, const char *task, json_t **out, struct err *err)
{
	autostore struct store *store = NULL;
	uint64_t run;
	uint32_t step = 0;
	int rc = command_open_reader(&store, err);

	if (rc == 0)
		rc = command_find_run(store, run_name, &run, err);
	if (rc == 0 && task != NULL)
		rc = view_find_task(store, run, task, &step, err);
	return rc < 0 ? rc : view_why(store, run, task == NULL ? -1 : (int)step, out, err);
}

static void print_answer(const json_t *answer)
{
	autobuf struct buf out = { 0 };

	terminal_escape(&out, listing_text(answer, "why"));
	buf_append_text(&out, ".\n");
	fwrite(out.data, 1, out.bytes, stdout);
}

static int why(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	autojson json_t *answer = NULL;
	bool json = false;
	struct err err;
	int option;

	while ((option = command_option(&command_why, argc, argv, "", options)) != -1) {
		if (option == '?')
			return COMMAND_USAGE;
		json = true;
	}
	if (argc - optind != 1 && argc - optind != 2)
		return command_usage(&command_why, "which run, or which task of it? As in: digits/3 train");
	if (ask(argv[optind], argv[optind + 1], &answer, &err) < 0)
		return command_fail(&err);
	if (json)
		listing_print_json(answer);
	else
		print_answer(answer);
	return command_end_output();
}

const struct command command_why = {
	.name = "why",
	.synopsis = "RUN [TASK] [--json]",
	.summary = "why a run or a task is in its state, in one sentence",
	.help = "Says what a run or a task waits for and who holds it, why and when it is tried again, where "
		"it\n"
		"resumed, or the first cause of its failure with the last line of the log.\n"
		"\n"
		"      --json   for scripts\n",
	.main = why,
};
