/*
 * doctor.h - looks at all that a night depends on, and says how to mend what is wrong
 *
 * One finding a check, in a fixed order: a warning is something to know, a problem something that fails tonight. Nothing is
 * changed and nobody is connected to (but with `workers`, each as checkup.h does).
 */
#ifndef SCHEDULER_DOCTOR_H
#define SCHEDULER_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "executor/protocol.h"

struct doctor_plan {
	const char *home;   /* the state folder */
	const char *config; /* stoker.yaml by another name; NULL: the usual one */
	bool workers;	    /* connect to each */
	int64_t now_wall_ms;
};

/* Of each check, at once; texts are valid during the call. */
typedef void doctor_tell(void *context, const struct frame_finding *finding);

void doctor_run(const struct doctor_plan *plan, doctor_tell *tell, void *context);

#endif
