/*
 * value.h - reading single values: numbers, durations, sizes, words, texts
 *
 * Each reader fits a table of fields (field.h). A value of the wrong type is told what it is, what it must
 * be, and shown an example; where one of YAML's traps is behind it, that is named.
 */
#ifndef DAG_VALUE_H
#define DAG_VALUE_H

#include "common/err.h"
#include "dag/field.h"

/* "<subject> <text>"; what follows the text's first "; " is the remedy. `offset`: where in the value. */
void value_error_from(struct spec *spec, const char *subject, const struct node *value, size_t offset,
		      const struct err *err);

/* "'KEY' must be <what>, found ...", with an example. */
void value_wrong_type(struct spec *spec, const char *key, const struct node *value, const char *what,
		      const char *example);

enum { VALUE_FOUND_BYTES = 96 };

/* "a list", "the number 5", "the string \"x\"". */
const char *value_found(const struct node *node, char text[VALUE_FOUND_BYTES]);

/* Each tells whether the value is one, and reports when it is not. */
bool value_is_text(struct spec *spec, const char *key, const struct node *value, const char *what,
		   const char *example);
bool value_is_map(struct spec *spec, const char *key, const struct node *value, const char *example);
bool value_has_no_reference(struct spec *spec, const char *key, const struct node *value);
bool value_is_name(struct spec *spec, const char *what, const struct node *value);

/* Readers for tables, with the type of their member. */
field_reader value_int;       /* int */
field_reader value_bool;      /* bool */
field_reader value_duration;  /* int64_t, milliseconds */
field_reader value_size;      /* int64_t, bytes */
field_reader value_choice;    /* an enum */
field_reader value_text;      /* const char *: any text */
field_reader value_path;      /* const char *: not empty, no reference */
field_reader value_name;      /* const char *: of a DAG, worker, pool */
field_reader value_referable; /* const char *: not empty; ${{ ... }} is replaced when the step starts */
field_reader value_keep;      /* const struct node *: for a reader that needs several at once */

/* Remembers a text that holds references, to be checked when everything is known. */
void value_note_site(struct spec *spec, const struct node *value, enum param_context in);

#endif
