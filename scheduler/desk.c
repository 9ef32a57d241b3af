#include "scheduler/desk.h"

#include <stdlib.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/desk_parts.h"

struct asker asker_of(const struct web_caller *caller, web_done *done, void *context)
{
	return (struct asker){
		.actor = mem_strdup(caller->actor),
		.origin = mem_strdup(caller->origin),
		.done = done,
		.context = context,
	};
}

static void let_go(struct asker *asker)
{
	free(take(asker->actor));
	free(take(asker->origin));
}

void asker_answer(struct asker *asker, json_t *answer)
{
	asker->done(asker->context, answer, &(struct err){ .code = ERR_OK });
	let_go(asker);
}

void asker_refuse(struct asker *asker, const struct err *err)
{
	asker->done(asker->context, NULL, err);
	let_go(asker);
}

const char *desk_text(const json_t *arguments, const char *key)
{
	return json_string_value(json_object_get(arguments, key));
}

json_t *desk_run_answer(const char *name, const char *state)
{
	return json_pack("{s:s, s:s}", "run", name, "state", state);
}

int desk_assignments(const json_t *params, struct arena *arena, const char ***list_out, size_t *count_out,
			    struct err *err)
{
	size_t count = 0;
	const char **list = arena_alloc(arena, (json_object_size(params) + 1) * sizeof *list);
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)params, key, value) {
		autofree char *number = json_is_number(value) ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
		const char *text = json_is_string(value)    ? json_string_value(value)
				   : json_is_boolean(value) ? (json_is_true(value) ? "true" : "false")
							    : number;

		if (text == NULL)
			return err_set(err, ERR_INVALID, "parameter '%.100s' is neither a text, a number nor a truth value",
				       key);
		list[count++] = arena_printf(arena, "%s=%s", key, text);
	}
	*list_out = list;
	*count_out = count;
	return 0;
}

typedef void desk_verb(struct desk *desk, const json_t *arguments, const struct web_caller *caller,
		       struct asker asker);

static desk_verb *const verbs[WEB_VERBS] = {
	[WEB_TRIGGER] = desk_trigger,
	[WEB_CANCEL] = desk_cancel,
	[WEB_RETRY] = desk_retry,
	[WEB_PAUSE] = desk_pause,
	[WEB_UNPAUSE] = desk_unpause,
	[WEB_BACKFILL] = desk_backfill,
	[WEB_DRAIN] = desk_drain,
	[WEB_UNDRAIN] = desk_undrain,
	[WEB_RELOAD] = desk_reload,
};

struct desk *desk_new(const struct desk_parts *parts)
{
	struct desk *desk = mem_zalloc(sizeof *desk);

	desk->parts = *parts;
	return desk;
}

void desk_use(struct desk *desk, const struct settings *settings)
{
	desk->parts.settings = settings;
}

void desk_free(struct desk *desk)
{
	free(desk);
}

void desk_change(struct desk *desk, enum web_verb verb, const json_t *arguments, const struct web_caller *caller,
		 web_done *done, void *done_context)
{
	verbs[verb](desk, arguments, caller, asker_of(caller, done, done_context));
}
