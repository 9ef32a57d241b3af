/*
 * desk_parts.h - what the files of the desk share with each other, and with nobody else
 *
 * desk.c takes a request to the function that serves it; desk_trigger.c makes runs; desk_run.c changes those there are;
 * desk_dag.c is about DAGs and workers.
 */
#ifndef SCHEDULER_DESK_PARTS_H
#define SCHEDULER_DESK_PARTS_H

#include "scheduler/desk.h"

struct desk {
	struct desk_parts parts;
};

/* Somebody waits for an answer. */
struct asker {
	char *actor;
	char *origin;
	web_done *done;
	void *context;
};

struct asker asker_of(const struct web_caller *caller, web_done *done, void *context);

/* Answers and lets go; `answer` is taken over. */
void asker_answer(struct asker *asker, json_t *answer);
void asker_refuse(struct asker *asker, const struct err *err);

/* The text of an argument, or NULL. */
const char *desk_text(const json_t *arguments, const char *key);

/* The parameters that were given, {"lr": 0.1}, as assignments: "lr=0.1". NULL: none. */
int desk_assignments(const json_t *params, struct arena *arena, const char ***list_out, size_t *count_out,
		     struct err *err);

/* {"run": name, "state": state} */
json_t *desk_run_answer(const char *name, const char *state);

void desk_trigger(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker);
void desk_cancel(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker);
void desk_retry(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker);
void desk_pause(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker);
void desk_unpause(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker);
void desk_backfill(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker);
void desk_drain(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker);
void desk_undrain(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker);
void desk_reload(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker);

#endif
