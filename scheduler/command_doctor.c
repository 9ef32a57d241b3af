#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/doctor.h"
#include "scheduler/findings.h"
#include "scheduler/listing.h"
#include "scheduler/view.h"

static void on_finding(void *context, const struct frame_finding *finding)
{
	findings_add(context, finding);
}

static int end(struct findings *findings)
{
	int status;

	if (findings->steps != NULL) {
		autojson json_t *answer = json_pack("{s:b, s:i, s:i, s:o}", "ok", findings->problems == 0, "problems",
						    findings->problems, "warnings", findings->warnings, "checks",
						    findings->steps);

		listing_print_json(answer);
	} else if (findings->problems > 0) {
		printf("%d problem%s\n", findings->problems, findings->problems == 1 ? "" : "s");
	} else {
		printf("all is well%s\n", findings->warnings > 0 ? ", with what is said above in mind" : "");
	}
	status = command_end_output();
	return status != COMMAND_DONE ? status : findings->problems > 0 ? COMMAND_FAILED : COMMAND_DONE;
}

static int doctor_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'C' },
		{ "json", no_argument, NULL, 'j' },
		{ "workers", no_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct doctor_plan plan = { .now_wall_ms = clock_wall_ms() };
	struct findings findings;
	bool json = false;
	struct err err;
	int option;

	while ((option = command_option(&command_doctor, argc, argv, "", options)) != -1) {
		if (option == 'C')
			plan.config = optarg;
		else if (option == 'j')
			json = true;
		else if (option == 'w')
			plan.workers = true;
		else
			return COMMAND_USAGE;
	}
	if (optind != argc)
		return command_usage(&command_doctor, "doctor takes no names; of one machine: stoker workers check NAME");
	if (store_home(&arena, &plan.home, &err) < 0)
		return command_fail(&err);
	findings_init(&findings, json);
	doctor_run(&plan, on_finding, &findings);
	return end(&findings);
}

const struct command command_doctor = {
	.name = "doctor",
	.synopsis = "[--workers] [--json] [--config FILE]",
	.summary = "whether the night will go well, and how to mend what is wrong",
	.help = "Looks at the state folder, the room on its disk, the database, clocks and zones, settings, DAGs and\n"
		"their schedules, workers as they were seen last, runs that nobody drives or that hang. Nothing is\n"
		"changed.\n"
		"\n"
		"      --workers       connect to each worker and try it, as `stoker workers check` does\n"
		"      --json          for scripts\n"
		"      --config FILE   the settings, in place of the usual stoker.yaml\n"
		"\n"
		"Exits with 0 when there is no problem, else with 1; a warning is none.\n",
	.main = doctor_main,
};
