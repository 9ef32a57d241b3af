/*
 * document.h - a YAML text as a tree that knows where each value stands
 *
 * Scalars keep their exact text; what a text means (a number, a duration) is for the reader of the tree to
 * say. An alias is the very node it names, so a tree can have shared branches but no circle. `<<` has been
 * merged: a map's own keys first, then what it took over. Keys of a map are unique scalars.
 *
 *   source --libyaml--> events --shift, reduce--> nodes
 *
 * Ownership: the tree lies in the document's arena, the texts of its scalars in an arena of the caller's:
 *            what is built from the tree may point to them and needs no copies. The file's text is borrowed.
 * Limits:    DAG_DEPTH_MAX levels (counted through aliases), DOCUMENT_NODES_MAX values (each alias counts
 *            with all that it stands for). Both are checked event by event: libyaml itself has neither, and
 *            its scanner is quadratic in the depth.
 * Errors:    as diagnostics. No tree is made when the text is no YAML or past a limit; the other mistakes
 *            (duplicate keys, tags) leave a tree that can be read on, to find more of them.
 */
#ifndef DAG_DOCUMENT_H
#define DAG_DOCUMENT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "dag/dag.h"
#include "dag/diagnostic.h"
#include "dag/source.h"

enum { DOCUMENT_NODES_MAX = 200 * 1000 };

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node;

struct node_entry {
	const struct node *key; /* always a scalar */
	const struct node *value;
};

struct node {
	enum node_kind kind;
	bool plain;     /* a scalar without quotes or block mark: the only kind that can be a number */
	bool open;      /* while reading: its end was not yet seen */
	uint8_t height; /* levels beneath it; 0 for a scalar */
	uint32_t size;  /* values in it, itself included */
	uint32_t count; /* bytes of a scalar; items of a list; entries of a map */
	struct dag_position at;
	struct dag_position end; /* just behind it */
	union {
		const char *text; /* NUL-terminated, without NUL inside */
		const struct node *const *items;
		const struct node_entry *entries;
	};
};

struct document {
	struct arena arena;
	struct arena *texts;
	struct source source;
	const struct node *root;
};

/*
 * 0 with a tree, which may come with errors, or (root NULL) with nothing where the text holds nothing;
 * negative without. document_fini in both cases.
 */
int document_parse(struct document *document, struct arena *texts, const char *path, const char *text,
		   size_t bytes, struct diagnostics *diagnostics);
void document_fini(struct document *document);

#define autodocument __attribute__((cleanup(document_fini)))

/* The value of `key`, or NULL, also when `map` is none: node_get(node_get(root, "a"), "b") is safe. */
const struct node *node_get(const struct node *map, const char *key);

/* Nothing was written, or `~` or `null`. */
bool node_is_null(const struct node *node);

/* Characters to underline: the whole of a value on one line, else its first character. */
uint32_t node_width(const struct node *node);

/*
 * Where the `ordinal`-th occurrence (from 0) of `mark` in a scalar stands in the file; the scalar's own
 * position when it cannot be told, because it was written with escapes.
 */
struct dag_position node_position(const struct document *document, const struct node *node, const char *mark,
				  size_t ordinal);

/* Where the character at `offset` of a scalar's text stands; its begin when it was written with escapes. */
struct dag_position node_inside(const struct node *node, size_t offset);

/* Adds a diagnostic with its source line. The format is its kind. */
void document_report(const struct document *document, struct diagnostics *diagnostics,
		     enum diagnostic_severity severity, struct dag_position at, uint32_t width,
		     const char *format, ...) __attribute__((format(printf, 6, 7)));
void document_vreport(const struct document *document, struct diagnostics *diagnostics,
		      enum diagnostic_severity severity, struct dag_position at, uint32_t width,
		      const char *format, va_list args) __attribute__((format(printf, 6, 0)));

#endif
