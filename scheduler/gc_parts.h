/*
 * gc_parts.h - what the files of the gc share with each other, and with nobody else
 *
 * gc.c says what comes after what; gc_rows.c has its turns with the store, gc_files.c those with the files.
 */
#ifndef SCHEDULER_GC_PARTS_H
#define SCHEDULER_GC_PARTS_H

#include <dirent.h>

#include "common/arena.h"
#include "scheduler/gc.h"

enum {
	GC_HAND_MAX = 32,     /* runs at a time: as many locks are held */
	GC_ROWS_MAX = 250,    /* changed by a transaction */
	GC_FILES_MAX = 256,   /* looked at in one turn */
	GC_MARK_LOGS = 1,
	GC_MARK_METRICS = 2,
	GC_MARK_GONE = 128,
};

/* In this order; the parts for each DAG are gone through for one DAG after the other. */
enum gc_step {
	GC_TAKE_LEFT,	   /* runs that were marked before */
	GC_NEXT_DAG,
	GC_PICK_OLD,
	GC_PICK_EXCESS,
	GC_DROP_ROWS,	   /* of the runs at hand */
	GC_CONFIRM,	   /* that they are gone, for good */
	GC_REMOVE_FOLDERS,
	GC_PICK_LOGS,
	GC_REMOVE_LOGS,
	GC_MARK_RUNS,
	GC_PICK_METRICS,
	GC_THIN_METRICS,
	GC_DROP_EVENTS,
	GC_DROP_REMOVED,
	GC_DROP_NOTICES,
	GC_DROP_VERSIONS,
	GC_LIST_FOLDERS,   /* that may have no run any more */
	GC_JUDGE_FOLDERS,
	GC_REMOVE_STRAYS,
	GC_LIST_SOURCES,
	GC_JUDGE_SOURCES,
	GC_REMOVE_SOURCES,
	GC_READ_ARTIFACTS, /* that live runs fetch */
	GC_REMOVE_FETCHED, /* and old backups, and leftovers */
	GC_GIVE_BACK,	   /* room in the database */
	GC_END,
};

/* A run that is being dealt with, or a file that a run may need. */
struct gc_item {
	uint64_t run;
	const char *dag; /* also: the name of a file */
	uint64_t number;
	int64_t ended_ms;
	int64_t swept;
	int owner; /* the lock; -1: none */
	bool goes;
};

struct gc {
	struct gc_plan plan;
	struct retention retention;
	enum gc_step step;
	enum gc_step then; /* after the runs at hand */
	struct gc_report report;
	/* the DAG at hand */
	int64_t dag;
	char *dag_name;
	int64_t beyond_keep, beyond_most, beyond_logs; /* up to this number they are so many newer ones away */
	int64_t last_ms, last_swept, last_run;	       /* the one looked at last */
	/* at hand; texts are in the arena */
	struct arena arena;
	struct gc_item items[GC_FILES_MAX];
	size_t count;
	size_t at;
	/* where the walk through runs/ is */
	DIR *dags, *numbers;
	char *walked;
	DIR *parcels;
	const char **needed; /* digests that live runs fetch, sorted; in the arena */
	size_t needed_count;
};

/* Of each: a turn of gc_store, in a transaction. */
int gc_take_left(struct gc *gc, struct store *store, struct err *err);
int gc_next_dag(struct gc *gc, struct store *store, struct err *err);
int gc_pick_old(struct gc *gc, struct store *store, struct err *err);
int gc_pick_excess(struct gc *gc, struct store *store, struct err *err);
int gc_drop_rows(struct gc *gc, struct store *store, struct err *err);
int gc_confirm(struct gc *gc, struct store *store, struct err *err);
int gc_pick_logs(struct gc *gc, struct store *store, struct err *err);
int gc_mark_runs(struct gc *gc, struct store *store, struct err *err);
int gc_pick_metrics(struct gc *gc, struct store *store, struct err *err);
int gc_thin_metrics(struct gc *gc, struct store *store, struct err *err);
int gc_drop_events(struct gc *gc, struct store *store, struct err *err);
int gc_drop_removed(struct gc *gc, struct store *store, struct err *err);
int gc_drop_notices(struct gc *gc, struct store *store, struct err *err);
int gc_drop_versions(struct gc *gc, struct store *store, struct err *err);
int gc_judge_folders(struct gc *gc, struct store *store, struct err *err);
int gc_judge_sources(struct gc *gc, struct store *store, struct err *err);
int gc_read_artifacts(struct gc *gc, struct store *store, struct err *err);
int gc_give_back(struct gc *gc, struct store *store, struct err *err);

/* Of each: a turn of gc_files. */
void gc_remove_folders(struct gc *gc);
void gc_remove_logs(struct gc *gc);
void gc_list_folders(struct gc *gc);
void gc_remove_strays(struct gc *gc);
void gc_list_sources(struct gc *gc);
void gc_remove_sources(struct gc *gc);
void gc_remove_fetched(struct gc *gc);

/* Lets go of what is at hand, with its locks. */
void gc_put_down(struct gc *gc);

#endif
