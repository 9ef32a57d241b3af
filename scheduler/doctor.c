#include "scheduler/doctor.h"

#include <stdarg.h>
#include <stdlib.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/doctor_parts.h"

/* Settings before what they are about, and the state before what stands in it. */
static void (*const checks[])(struct doctor *doctor) = {
	doctor_check_folder,   doctor_check_room,     doctor_check_daemon,   doctor_check_database,
	doctor_check_leftovers, doctor_check_limits,  doctor_check_clock,    doctor_check_zones,
	doctor_check_agent,    doctor_check_settings, doctor_check_dags,     doctor_check_workers,
	doctor_check_runs,     doctor_check_troubles, doctor_check_retention,
};

void doctor_say(struct doctor *doctor, const char *name, enum finding_verdict verdict, const char *remedy,
		const char *format, ...)
{
	struct frame_finding finding = { .name = name, .verdict = verdict, .remedy = remedy };
	autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = mem_vprintf(format, args);
	va_end(args);
	finding.text = text;
	doctor->tell(doctor->context, &finding);
}

void doctor_run(const struct doctor_plan *plan, doctor_tell *tell, void *context)
{
	struct doctor doctor = { .plan = plan, .tell = tell, .context = context };

	arena_init(&doctor.arena);
	for (size_t i = 0; i < COUNT_OF(checks); i++)
		checks[i](&doctor);
	store_close(doctor.store);
	settings_free(doctor.settings);
	arena_fini(&doctor.arena);
}
