#include "scheduler/handover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/client.h"
#include "scheduler/command.h"
#include "scheduler/onlooker.h"
#include "scheduler/view.h"

/* What is asked about a run: POST <run>/<verb>. */
static int ask_about(const char *home, const char *run, const char *verb, const json_t *body, json_t **answer_out,
		     struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };

	return client_try(home, client_run_path(&arena, run, verb), body, answer_out, err);
}

/* {"file": path} where there is such a file, else {"dag": name}. */
static json_t *target_body(const char *target)
{
	autofree char *path = realpath(target, NULL);

	return path != NULL ? json_pack("{s:s}", "file", path) : json_pack("{s:s}", "dag", target);
}

static int add_params(json_t *body, const char *const *assignments, size_t count, struct err *err)
{
	json_t *params = json_object();

	json_object_set_new(body, "params", params);
	for (size_t i = 0; i < count; i++) {
		const char *equals = strchr(assignments[i], '=');
		autofree char *name = equals == NULL ? NULL : mem_strndup(assignments[i], (size_t)(equals - assignments[i]));
		json_t *value = equals == NULL ? NULL : json_string(equals + 1);

		if (value == NULL || json_object_get(params, name) != NULL ||
		    json_object_set_new(params, name, value) < 0)
			return err_set(err, ERR_INVALID, "a parameter is NAME=VALUE, in UTF-8, and set once; not '%.100s'",
				       assignments[i]);
	}
	return 0;
}

static void say_notes(const json_t *answer)
{
	const json_t *notes = json_object_get(answer, "notes");

	for (size_t i = 0; i < json_array_size(notes); i++)
		fprintf(stderr, "stoker: source: %s\n", json_string_value(json_array_get(notes, i)));
}

int handover_run(const char *home, const char *target, const char *const *assignments, size_t count,
		 struct arena *arena, const char **run_out, struct err *err)
{
	autojson json_t *body = target_body(target), *answer = NULL;
	int rc = add_params(body, assignments, count, err);

	if (rc == 0)
		rc = client_try(home, "/api/v1/runs", body, &answer, err);
	if (rc != 1)
		return rc;
	say_notes(answer);
	*run_out = arena_strdup(arena, json_string_value(json_object_get(answer, "run")));
	return 1;
}

int handover_cancel(const char *home, const char *run, bool now, struct err *err)
{
	autojson json_t *body = json_pack("{s:b}", "now", now), *answer = NULL;

	return ask_about(home, run, "/cancel", body, &answer, err);
}

int handover_retry(const char *home, const char *run, const char *from, bool dry_run, json_t **answer_out,
		   struct err *err)
{
	autojson json_t *body = json_pack("{s:s?, s:b}", "from", from, "dry_run", dry_run);

	return ask_about(home, run, "/retry", body, answer_out, err);
}

/* --- watching ------------------------------------------------------------------------------------------- */

struct watched {
	const char *home;
	const char *run;
};

static int cancel_watched(void *context, bool now, struct err *err)
{
	const struct watched *watched = context;
	int rc = handover_cancel(watched->home, watched->run, now, err);

	return rc == 0 ? err_set(err, ERR_IO, "the daemon is gone: the run goes on without it") : rc < 0 ? rc : 0;
}

int handover_watch(const char *home, const char *run)
{
	struct watched watched = { .home = home, .run = run };
	autostore struct store *store = NULL;
	struct err err;
	uint64_t id;

	if (store_open_reader(home, &store, &err) < 0 || view_find_run(store, run, &id, &err) < 0)
		return command_fail(&err);
	return onlooker_watch(store, id, &(struct onlooker){ .cancel = cancel_watched, .context = &watched });
}
