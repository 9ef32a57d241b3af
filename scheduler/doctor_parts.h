/*
 * doctor_parts.h - what the files of the doctor share with each other, and with nobody else
 *
 * doctor_state.c looks at the state folder and the database, doctor_work.c at what is to be done, doctor_plans.c at
 * settings and DAGs.
 */
#ifndef SCHEDULER_DOCTOR_PARTS_H
#define SCHEDULER_DOCTOR_PARTS_H

#include "common/arena.h"
#include "scheduler/doctor.h"
#include "scheduler/settings.h"
#include "scheduler/store.h"

struct doctor {
	const struct doctor_plan *plan;
	doctor_tell *tell;
	void *context;
	struct arena arena;
	struct store *store;	   /* NULL: there is no state, or it cannot be read */
	struct settings *settings; /* NULL: they are not valid */
	bool daemon;		   /* one is up */
	size_t schedules;	   /* of the DAGs in the folders */
};

void doctor_say(struct doctor *doctor, const char *name, enum finding_verdict verdict, const char *remedy,
		const char *format, ...) __attribute__((format(printf, 5, 6)));

void doctor_check_folder(struct doctor *doctor);
void doctor_check_room(struct doctor *doctor);
void doctor_check_daemon(struct doctor *doctor);
void doctor_check_database(struct doctor *doctor);
void doctor_check_leftovers(struct doctor *doctor);
void doctor_check_limits(struct doctor *doctor);

void doctor_check_clock(struct doctor *doctor);
void doctor_check_runs(struct doctor *doctor);
void doctor_check_troubles(struct doctor *doctor);
void doctor_check_retention(struct doctor *doctor);
void doctor_check_workers(struct doctor *doctor);

void doctor_check_agent(struct doctor *doctor);
void doctor_check_settings(struct doctor *doctor);
void doctor_check_zones(struct doctor *doctor);
void doctor_check_dags(struct doctor *doctor);

#endif
