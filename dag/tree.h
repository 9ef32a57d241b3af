/*
 * tree.h - events of libyaml become the nodes of a document
 *
 * Nodes wait on one stack until their collection ends; then they are moved into it as a block:
 *
 *   pending  [ key ] [ list ] [ item ] [ item ]        ']' comes: the two items become the list's,
 *   frames     map     list ----^                       the list stays pending as the value of `key`
 *
 * Here are the limits on depth and values, aliases, `<<` and duplicate keys; document.h says what they are.
 *
 * Source: `<<` as YAML's type repository has it, yaml.org/type/merge.html.
 */
#ifndef DAG_TREE_H
#define DAG_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "dag/document.h"
#include "dag/names.h"

struct tree_frame {
	struct node *node;
	size_t first; /* its first child among the pending nodes */
};

struct tree {
	struct document *document;
	struct diagnostics *diagnostics;
	struct tree_frame frames[DAG_DEPTH_MAX];
	size_t depth;
	struct node **pending;
	size_t pending_count;
	size_t pending_room;
	struct arena scratch;
	struct names anchors; /* to an index in `anchored` */
	struct node **anchored;
	size_t anchored_room;
	size_t values; /* all of them, those behind aliases counted again */
	bool shared;   /* an alias or a merge was used */
};

void tree_init(struct tree *tree, struct document *document, struct diagnostics *diagnostics);
void tree_fini(struct tree *tree);

/* Negative when the document cannot be read on. */
int tree_add(struct tree *tree, const yaml_event_t *event);

/* After the document's end. */
const struct node *tree_root(const struct tree *tree);

#endif
