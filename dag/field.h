/*
 * field.h - reading a map of the document into a struct, by a table of its keys
 *
 * Each level of the file (the file itself, a step, its `retry`, ...) is a table: a key, the function that
 * reads its value, and the member it goes to. What is common to all is here: an unknown key is reported with
 * the nearest known one, and with where it would be valid.
 *
 *   static const struct field retry_fields[] = {
 *           { "max", value_int, AT(struct dag_retry, max), .example = "2", .min = 0, .max = 1000 },
 *           { "backoff", value_duration, AT(struct dag_retry, backoff_ms), .example = "30s" },
 *   };
 *
 * Errors: each mistake is one diagnostic; the member then keeps what it had, so that one mistake does not
 * become two.
 */
#ifndef DAG_FIELD_H
#define DAG_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "dag/dag.h"
#include "dag/diagnostic.h"
#include "dag/document.h"
#include "dag/param.h"

struct field;
struct spec;

/* Reads `value` into `member`, which lies `field->offset` behind the struct's begin; value.h has some. */
typedef void field_reader(struct spec *spec, const struct field *field, const struct node *value,
			  void *member);

struct field {
	const char *key;
	field_reader *read;
	size_t offset;
	const char *example; /* of a value */
	int64_t min, max;    /* of numbers, durations and sizes; both 0: any */
	const char *const *words; /* value_choice: what may stand, NULL at the end; the member is an enum */
	bool defaultable;         /* a key of a step that may also stand in `defaults` */
};

#define AT(type, member) offsetof(type, member)

struct field_level {
	const char *title; /* "step", "'retry'" */
	const struct field *fields;
	size_t count;
	bool defaults_only; /* only those of the table that are `defaultable` */
};

/* A text that may hold references, to be checked when all parameters and steps are known. */
struct reference_site {
	const struct node *node;
	size_t step; /* whose it is; SIZE_MAX: none's, it holds for all */
	enum param_context in;
};

/* What is at hand while one file is read; everything in `scratch` dies with it. */
struct spec {
	struct dag *dag;
	const struct document *document;
	struct diagnostics *diagnostics;
	struct arena scratch;
	const struct field_level *const *levels; /* all there are, to tell where a misplaced key belongs */
	size_t levels_count;
	size_t step;                         /* index of the step at hand; SIZE_MAX: none */
	const char *step_name;               /* NULL: none */
	const char *step_word;               /* what it is the name of; NULL: a step */
	const struct node *defaults, *steps; /* read when the rest is known */
	const struct node *expect_by;
	struct dag_step default_step;
	const struct node **step_bodies;       /* of each step */
	const struct node *const **step_needs; /* the names, as they were written; as many as needs_count */
	struct reference_site *sites;
	size_t sites_count, sites_room;
	size_t env_total; /* entries of all steps' env */
};

void field_read_map(struct spec *spec, const struct field_level *level, const struct node *map, void *target);

void field_error(struct spec *spec, const struct node *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void field_error_at(struct spec *spec, struct dag_position at, uint32_t width, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void field_warning(struct spec *spec, const struct node *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void field_remedy(struct spec *spec, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
