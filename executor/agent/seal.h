/*
 * seal.h - what a helper does with checkpoints: judge and digest them, verify the one to resume from, remove
 * old ones
 *
 * Each function is the work of a helper (helper.h): it reads as much as it must, and answers with records of
 * the protocol, each as soon as it is known.
 */
#ifndef EXECUTOR_AGENT_SEAL_H
#define EXECUTOR_AGENT_SEAL_H

#include "executor/agent/entry.h"
#include "executor/protocol.h"

/* --- new ones: RECORD_CHECKPOINT each, COMPLETE or IGNORED ---------------------------------------------- */

struct seal_request {
	const char *entry;
	int64_t mtime_ns;
	bool must_prove; /* its layout must show it whole; `how` its step ended */
	const char *how;
};

struct seal_job {
	int dir;
	const struct seal_request *requests;
	size_t count;
};

void seal_work(void *job, int out);

/* --- old ones: RECORD_CHECKPOINT each, REMOVED ---------------------------------------------------------- */

struct seal_removal {
	int dir;
	const char *const *entries;
	size_t count;
};

void seal_removal_work(void *removal, int out);

/*
 * --- resuming: RECORD_CHECKPOINT for what is broken, ignored or adopted, then RECORD_STARTED with the choice
 */

struct seal_known {
	const char *entry;
	uint64_t hash; /* of its signature */
};

struct seal_resume {
	int dir;
	const struct spec *spec;
	const struct seal_known *baseline; /* what lay there before and is still as it was does not count */
	size_t baseline_count;
};

void seal_resume_work(void *resume, int out);

/* The entries of a folder, each once. */
size_t seal_list(int dir, struct arena *arena, const char ***entries_out);

/* Whether the scheduler knows it as a recorded checkpoint. */
bool seal_is_candidate(const struct spec *spec, const char *entry);

/* Whether `known` holds this entry in this very state. */
bool seal_is_known(const struct seal_known *known, size_t count, const char *entry, uint64_t hash);

#endif
