/*
 * control_parts.h - what the files of control share with each other, and with nobody else
 */
#ifndef SCHEDULER_CONTROL_PARTS_H
#define SCHEDULER_CONTROL_PARTS_H

#include "scheduler/control.h"
#include "scheduler/histogram.h"
#include "scheduler/run.h"
#include "scheduler/view_dags.h"
#include "scheduler/view_due.h"
#include "scheduler/zones.h"

enum { CONTROL_REASONS = 32 };

/* Runs of a DAG that ended since the daemon was started. */
struct control_ended {
	char *dag;
	uint64_t counts[RUN_STATES];
};

/* What is told from the database and the files is told from these. */
struct look {
	struct store *store;
	struct zones *zones;
	struct view_dag_facts *facts; /* by name */
	size_t count;
};

/* Whether the files matter to it: without, `facts` may be left out. */
bool look_wants_files(enum web_read what, const struct web_query *query);

int look_read(const struct look *look, enum web_read what, const struct web_query *query, json_t **out,
	      struct err *err);

/* The thread's, while there is something for it to read. */
struct control_aside {
	struct look look;
	struct arena arena;
	struct registry_dag **held;
	size_t held_count;
	struct view_dags_kept *dags; /* the list, as it was told last */
	bool timezone_changed;
};

struct control {
	struct web_source source;
	struct store *reader;
	struct store *aside_reader;
	struct control_aside aside;
	struct view_events_kept *events; /* the latest, as they were told last */
	const struct settings *settings;
	const struct registry *registry;
	struct zones *zones; /* each is read once, and not for each DAG of a list */
	const struct control_desk *desk;
	int64_t last_event; /* that was counted */
	/* control_version.c */
	int64_t last_move;	 /* the newest event of a run or a DAG as a whole */
	int64_t pictured_commit; /* of which `picture` is */
	uint64_t picture;
	int64_t lists; /* the version of the lists */
	uint16_t files; /* how often the files, or the zones, became others */
	struct control_ended *ended; /* by the name of the DAG */
	size_t ended_count, ended_room;
	uint64_t attempts[ATTEMPT_STATES][CONTROL_REASONS];
	struct histogram queued, due, start;
};

/* What the registry knows, sorted by name, in memory of the arena. */
size_t control_facts(const struct control *control, struct arena *arena, struct view_dag_facts **out);

/* The only number of the only row; `argument` for ?1, if there is one. 0 when it cannot be read. */
int64_t control_number(struct store *store, enum store_statement which, int64_t argument);

int64_t control_version(void *context, enum web_read what); /* of struct web_source */

int control_metrics(void *context, struct metrics *out, struct err *err);

/* How busy a worker is, as the desk knows. */
bool control_find_load(const struct control *control, const char *worker, struct load *out, int64_t *wall_ms_out);

#endif
