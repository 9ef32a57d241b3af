/*
 * param.h - values of parameters, and ${{ ... }} replaced by them
 *
 * A reference is `params.NAME`, `steps.STEP.outputs.KEY`, or one of `run.name run.number run.dag
 * run.scheduled_for`. In a shell script a value is put in only when each of its characters is safe in a shell
 * word under any quoting (letters, digits, and _ . / : = @ % + , -); any other value is an error that names
 * the environment variable holding the same value. In a list of words and in `env` any value may stand
 * (nothing interprets it there).
 *
 * Errors: text for people, with the name of the parameter and the value that was refused.
 */
#ifndef DAG_PARAM_H
#define DAG_PARAM_H

#include <stdbool.h>
#include <stddef.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "dag/dag.h"

/*
 * Checks `text` against type, range and choices. On success *value_out is its canonical text in `arena`
 * ("020" is refused for an int, " 7" too; "1e-3" stays "1e-3"; bool: true or false).
 */
int param_check(const struct dag_param *param, const char *text, struct arena *arena, const char **value_out,
		struct err *err);

/*
 * The values of a run: one for each parameter of `dag`, in its order, from `NAME=VALUE` assignments and
 * defaults. Unknown names (with a suggestion), values refused, a name given twice, and required parameters
 * left out are errors.
 */
int param_bind(const struct dag *dag, const char *const *assignments, size_t count, struct arena *arena,
	       const char ***values_out, struct err *err);

enum param_context {
	PARAM_IN_SCRIPT, /* only safe characters */
	PARAM_IN_WORD,   /* anything without NUL */
};

/*
 * Looks a reference up; `name` is what stands between the braces, trimmed. Returns the value, or NULL when
 * there is none (the expansion then fails). *variable_out names the environment variable with the same value,
 * or NULL.
 */
typedef const char *param_lookup(void *context, const char *name, const char **variable_out);

/* Appends `text` to `out` with every ${{ ... }} replaced. `$${{` stands for a literal `${{`. */
int param_expand(const char *text, enum param_context in, param_lookup *lookup, void *context,
		 struct buf *out, struct err *err);

/* The first character of a value that is not safe in a script; NULL when all are. */
const char *param_unsafe(const char *value);

/* True when `text` holds a ${{ ... }}, if only an escaped one: it is not to be used without param_expand. */
bool param_has_reference(const char *text);

/* STOKER_PARAM_<NAME>: upper case, '-' becomes '_'. */
const char *param_variable(struct arena *arena, const char *name);

#endif
