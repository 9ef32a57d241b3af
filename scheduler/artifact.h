/*
 * artifact.h - what a task left for those that need it: where it lies, and as which parcel it can be had
 *
 * The files stay where the step made them, on its worker; a dependent that starts there finds them. One that
 * starts elsewhere is sent the parcel first (launch.h names it in the spec, the engine knows where it is).
 */
#ifndef SCHEDULER_ARTIFACT_H
#define SCHEDULER_ARTIFACT_H

#include <stdint.h>

struct artifact_row {
	uint64_t run;
	uint32_t step; /* of the DAG */
	uint32_t attempt;
	const char *digest; /* of the parcel; NULL: nothing was left (yet) */
	uint64_t bytes;	    /* of the parcel */
	uint64_t files;
	const char *worker;
};

#endif
