#include "scheduler/leftover.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/arena.h"
#include "common/list.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/paths.h"
#include "scheduler/run.h"

struct leftovers {
	struct store *store;
	struct list all;
};

struct leftover {
	struct list all;
	struct link *link;
	uint64_t run;
	uint64_t epoch; /* that it was claimed with before */
	bool keep;      /* it did not succeed, so it may be taken up again: some of it stays for some days */
	bool listed;    /* all its attempts were named */
	size_t open;    /* attempts that are not collected yet */
};

static struct leftover *find(const struct leftovers *set, uint64_t run, const struct link *link)
{
	list_each (at, &set->all) {
		struct leftover *one = list_entry(at, struct leftover, all);

		if (one->run == run && (link == NULL || one->link == link))
			return one;
	}
	return NULL;
}

static void drop(struct leftover *one)
{
	list_remove(&one->all);
	free(one);
}

static void release_when_empty(struct leftover *one)
{
	if (!one->listed || one->open > 0)
		return;
	log_info("leftover.released", TEXT("worker", link_name(one->link)), NUMBER("run", one->run));
	link_release(one->link, one->run, one->epoch, one->keep);
	drop(one);
}

struct leftovers *leftovers_new(struct store *store)
{
	struct leftovers *set = mem_zalloc(sizeof *set);

	set->store = store;
	list_init(&set->all);
	return set;
}

void leftovers_free(struct leftovers *set)
{
	if (set == NULL)
		return;
	list_each (at, &set->all)
		drop(list_entry(at, struct leftover, all));
	free(set);
}

void leftovers_on_left(struct leftovers *set, struct link *link, const struct frame_claim *left)
{
	struct leftover *one;
	enum run_state state;
	struct err err;

	if (store_run_state(set->store, left->run, &state, &err) < 0) {
		if (err.code != ERR_NOT_FOUND)
			log_warn("leftover.failed", TEXT("worker", link_name(link)), TEXT("err", err.text));
		return;
	}
	if (!machine_ended(run_states, state) || find(set, left->run, link) != NULL)
		return;
	log_info("leftover.found", TEXT("worker", link_name(link)), NUMBER("run", left->run));
	one = mem_zalloc(sizeof *one);
	one->link = link;
	one->run = left->run;
	one->epoch = left->epoch > 0 ? left->epoch : link_epoch(link); /* 0: half removed, nobody's */
	one->keep = state != RUN_SUCCEEDED;
	list_append(&set->all, &one->all);
	link_claim(link, one->run, one->epoch, 0);
}

bool leftovers_on_present(struct leftovers *set, struct link *link, const struct frame_present *present)
{
	struct leftover *one = find(set, present->id.run, link);

	if (one == NULL)
		return false;
	one->open++;
	/* As far as the store knows it has ended: its log is collected, not heeded. */
	link_attach(link, &present->id, 0, false);
	if (present->state == PRESENT_RUNNING)
		link_stop_attempt(link, &present->id, REASON_CANCELED, 0);
	return true;
}

bool leftovers_on_inventory(struct leftovers *set, struct link *link, const struct frame_claim *claim)
{
	struct leftover *one = find(set, claim->run, link);

	if (one == NULL || one->epoch != claim->epoch)
		return false;
	if (claim->refused) {
		drop(one);
		return true;
	}
	one->listed = true;
	release_when_empty(one);
	return true;
}

bool leftovers_on_collected(struct leftovers *set, struct link *link, const struct attempt_id *id)
{
	struct leftover *one = find(set, id->run, link);

	if (one == NULL)
		return false;
	link_forget(link, id);
	one->open -= one->open > 0;
	release_when_empty(one);
	return true;
}

bool leftovers_has(const struct leftovers *set, uint64_t run)
{
	return find(set, run, NULL) != NULL;
}

bool leftovers_log_path(struct leftovers *set, const struct attempt_id *id, char *path, size_t path_bytes)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const char *dag, *step;
	uint64_t number;
	struct err err;

	if (store_name_run(set->store, id->run, &arena, &dag, &number, &err) < 0 ||
	    store_name_step(set->store, id->run, id->task, &arena, &step, &err) < 0)
		return false;
	return (size_t)snprintf(path, path_bytes, "%s",
				paths_log(&arena, set->store->home, dag, number, step, id->number)) <
	       path_bytes;
}

void leftovers_drop_link(struct leftovers *set, const struct link *link)
{
	list_each (at, &set->all) {
		struct leftover *one = list_entry(at, struct leftover, all);

		if (one->link == link)
			drop(one);
	}
}

void leftovers_drop_run(struct leftovers *set, uint64_t run)
{
	struct leftover *one;

	while ((one = find(set, run, NULL)) != NULL)
		drop(one);
}
