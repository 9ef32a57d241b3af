#include "scheduler/params.h"

#include <jansson.h>

#include "dag/param.h"

int params_json(const struct dag *dag, const char *const *assignments, size_t count, char **json_out,
		struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const char **values;
	json_t *object;
	int rc = param_bind(dag, assignments, count, &arena, &values, err);

	if (rc == ERR_NOT_FOUND && err != NULL) /* a parameter that the user made up */
		err->code = ERR_INVALID;
	if (rc < 0)
		return err == NULL ? rc : err->code;
	object = json_object();
	for (size_t i = 0; i < dag->params_count; i++)
		json_object_set_new(object, dag->params[i].name, json_string(values[i]));
	*json_out = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(object);
	return 0;
}
