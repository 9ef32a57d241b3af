#include "dag/tree.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

enum { FEW_ENTRIES = 8 }; /* up to so many keys are compared one by one */

static struct dag_position position_of(const yaml_mark_t *mark)
{
	return (struct dag_position){ (uint32_t)mark->line + 1, (uint32_t)mark->column + 1 };
}

static int count_values(struct tree *tree, size_t more, struct dag_position at)
{
	tree->values += more;
	if (tree->values <= DOCUMENT_NODES_MAX)
		return 0;
	document_report(tree->document, tree->diagnostics, DIAGNOSTIC_ERROR, at, 1,
			tree->shared ? "aliases and merges make more than %d values of this file"
				     : "more than %d values in one file",
			DOCUMENT_NODES_MAX);
	return ERR_LIMIT;
}

static int check_depth(struct tree *tree, size_t depth, struct dag_position at)
{
	if (depth <= DAG_DEPTH_MAX)
		return 0;
	document_report(tree->document, tree->diagnostics, DIAGNOSTIC_ERROR, at, 1,
			"nested deeper than %d levels", DAG_DEPTH_MAX);
	return ERR_LIMIT;
}

static void push(struct tree *tree, struct node *node)
{
	mem_grow(&tree->pending, &tree->pending_room, tree->pending_count, sizeof *tree->pending);
	tree->pending[tree->pending_count++] = node;
}

static struct node *new_node(struct tree *tree, enum node_kind kind, const yaml_event_t *event)
{
	struct node *node = arena_alloc(&tree->document->arena, sizeof *node);

	node->kind = kind;
	node->size = 1;
	node->at = position_of(&event->start_mark);
	node->end = position_of(&event->end_mark);
	return node;
}

static void remember_anchor(struct tree *tree, const yaml_char_t *anchor, struct node *node)
{
	const char *name = (const char *)anchor;
	uint32_t index = (uint32_t)tree->anchors.count;

	if (name == NULL)
		return;
	mem_grow(&tree->anchored, &tree->anchored_room, index, sizeof(struct node *));
	/* YAML lets a later anchor of the same name take over. */
	if (names_add(&tree->anchors, arena_strdup(&tree->scratch, name), index, &index))
		index = (uint32_t)tree->anchors.count - 1;
	tree->anchored[index] = node;
}

static void check_tag(struct tree *tree, const yaml_char_t *tag, const yaml_event_t *event)
{
	static const char core[] = "tag:yaml.org,2002:"; /* What libyaml makes of "!!". */
	const char *name = (const char *)tag;
	bool is_core = name != NULL && strncmp(name, core, sizeof core - 1) == 0;

	if (name == NULL)
		return;
	document_report(tree->document, tree->diagnostics, DIAGNOSTIC_ERROR, position_of(&event->start_mark),
			1, "tags such as '%s%.40s' are not part of a DAG file", is_core ? "!!" : "",
			is_core ? name + sizeof core - 1 : name);
	diagnostics_remedy(tree->diagnostics, "leave it out; quote a value that shall be a string");
}

static int on_scalar(struct tree *tree, const yaml_event_t *event)
{
	struct node *node = new_node(tree, NODE_SCALAR, event);
	const char *text = (const char *)event->data.scalar.value;
	size_t bytes = event->data.scalar.length;

	check_tag(tree, event->data.scalar.tag, event);
	if (memchr(text, '\0', bytes) != NULL) {
		document_report(tree->document, tree->diagnostics, DIAGNOSTIC_ERROR, node->at,
				node_width(node), "a value may hold no NUL character");
		bytes = strlen(text);
	}
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->text = arena_strndup(tree->document->texts, text, bytes);
	node->count = (uint32_t)bytes;
	remember_anchor(tree, event->data.scalar.anchor, node);
	push(tree, node);
	return count_values(tree, 1, node->at);
}

static int on_start(struct tree *tree, enum node_kind kind, const yaml_char_t *anchor, const yaml_char_t *tag,
		    const yaml_event_t *event)
{
	struct node *node = new_node(tree, kind, event);
	int rc = check_depth(tree, tree->depth + 1, node->at);

	if (rc < 0)
		return rc;
	check_tag(tree, tag, event);
	node->open = true;
	remember_anchor(tree, anchor, node);
	push(tree, node);
	tree->frames[tree->depth++] = (struct tree_frame){ node, tree->pending_count };
	return count_values(tree, 1, node->at);
}

static int on_alias(struct tree *tree, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	struct dag_position at = position_of(&event->start_mark);
	uint32_t width = (uint32_t)strlen(name) + 1;
	struct node *node;
	uint32_t index;
	int rc;

	if (!names_find(&tree->anchors, name, &index)) {
		document_report(tree->document, tree->diagnostics, DIAGNOSTIC_ERROR, at, width,
				"alias '*%.60s' names no anchor above it", name);
		diagnostics_remedy(tree->diagnostics,
				   "write &%.60s before the value it shall stand for, or quote it", name);
		return ERR_INVALID;
	}
	node = tree->anchored[index];
	if (node->open) {
		document_report(tree->document, tree->diagnostics, DIAGNOSTIC_ERROR, at, width,
				"alias '*%.60s' stands inside the value it names", name);
		return ERR_INVALID;
	}
	tree->shared = true;
	rc = check_depth(tree, tree->depth + node->height, at);
	if (rc < 0)
		return rc;
	push(tree, node);
	return count_values(tree, node->size, at);
}

static void include_child(struct node *parent, const struct node *child)
{
	parent->size = parent->size + child->size < parent->size ? UINT32_MAX : parent->size + child->size;
	if (child->height + 1 > parent->height)
		parent->height = (uint8_t)(child->height + 1);
}

static void end_list(struct tree *tree, struct node *list, size_t first)
{
	list->count = (uint32_t)(tree->pending_count - first);
	list->items =
	    arena_memdup(&tree->document->arena, tree->pending + first, list->count * sizeof(struct node *));
	for (size_t i = 0; i < list->count; i++)
		include_child(list, list->items[i]);
}

/* The entries of a map while they are gathered, with the keys they have. */
struct gathering {
	struct node_entry *entries;
	size_t count;
	bool indexed;
	struct names names;
};

static const struct node_entry *find_entry(const struct gathering *gathering, const char *key)
{
	uint32_t index;

	if (gathering->indexed)
		return names_find(&gathering->names, key, &index) ? &gathering->entries[index] : NULL;
	for (size_t i = 0; i < gathering->count; i++) {
		if (strcmp(gathering->entries[i].key->text, key) == 0)
			return &gathering->entries[i];
	}
	return NULL;
}

static void add_entry(struct gathering *gathering, struct node_entry entry)
{
	if (gathering->indexed)
		names_add(&gathering->names, entry.key->text, (uint32_t)gathering->count, NULL);
	gathering->entries[gathering->count++] = entry;
}

static bool is_merge_key(const struct node *key)
{
	return key->kind == NODE_SCALAR && key->plain && strcmp(key->text, "<<") == 0;
}

/* True when there is a `<<` among the keys. */
static bool take_own_entries(struct tree *tree, struct gathering *gathering, struct node **pending,
			     size_t count)
{
	bool has_merge = false;

	for (size_t i = 0; i + 1 < count; i += 2) {
		const struct node *key = pending[i], *value = pending[i + 1];
		const struct node_entry *twin;

		if (is_merge_key(key)) {
			has_merge = true;
			continue;
		}
		if (key->kind != NODE_SCALAR) {
			document_report(tree->document, tree->diagnostics, DIAGNOSTIC_ERROR, key->at,
					node_width(key), "a key must be a word, this is a %s",
					key->kind == NODE_LIST ? "list" : "map");
			diagnostics_remedy(tree->diagnostics, "quote a value that begins with '[' or '{'");
			continue;
		}
		twin = find_entry(gathering, key->text);
		if (twin == NULL) {
			add_entry(gathering, (struct node_entry){ key, value });
			continue;
		}
		document_report(tree->document, tree->diagnostics, DIAGNOSTIC_ERROR, key->at, node_width(key),
				"duplicate key '%.60s'", key->text);
		diagnostics_remedy(tree->diagnostics, "it was given first in line %u, column %u",
				   twin->key->at.line, twin->key->at.column);
	}
	return has_merge;
}

static bool can_be_merged(const struct node *value)
{
	if (value->kind == NODE_MAP)
		return true;
	for (size_t i = 0; value->kind == NODE_LIST && i < value->count; i++) {
		if (value->items[i]->kind != NODE_MAP)
			return false;
	}
	return value->kind == NODE_LIST;
}

static size_t count_merged(struct node *const *pending, size_t count)
{
	size_t entries = 0;

	for (size_t i = 0; i + 1 < count; i += 2) {
		const struct node *value = pending[i + 1];

		if (!is_merge_key(pending[i]) || !can_be_merged(value))
			continue;
		for (size_t j = 0; value->kind == NODE_LIST && j < value->count; j++)
			entries += value->items[j]->count;
		entries += value->kind == NODE_MAP ? value->count : 0;
	}
	return entries;
}

/* What the map has already, its own or from an earlier merge, stays. */
static void merge(struct gathering *gathering, const struct node *from)
{
	for (size_t i = 0; i < from->count; i++) {
		if (from->kind == NODE_LIST)
			merge(gathering, from->items[i]);
		else if (find_entry(gathering, from->entries[i].key->text) == NULL)
			add_entry(gathering, from->entries[i]);
	}
}

static void take_merged_entries(struct tree *tree, struct gathering *gathering, struct node **pending,
				size_t count)
{
	for (size_t i = 0; i + 1 < count; i += 2) {
		const struct node *value = pending[i + 1];

		if (!is_merge_key(pending[i]))
			continue;
		if (can_be_merged(value)) {
			tree->shared = true;
			merge(gathering, value);
			continue;
		}
		document_report(tree->document, tree->diagnostics, DIAGNOSTIC_ERROR, pending[i]->at, 2,
				"'<<' merges a map or a list of maps, this is neither");
		diagnostics_remedy(tree->diagnostics,
				   "for example: <<: *name, where &name stands before a map");
	}
}

static int end_map(struct tree *tree, struct node *map, size_t first)
{
	struct node **pending = tree->pending + first;
	size_t count = tree->pending_count - first, merged = count_merged(pending, count);
	struct gathering gathering = { 0 };
	bool has_merge;
	int rc = count_values(tree, merged, map->at); /* Before they are made. */

	if (rc < 0)
		return rc;
	gathering.entries =
	    arena_alloc(&tree->document->arena, (count / 2 + merged) * sizeof *gathering.entries);
	gathering.indexed = count / 2 + merged > FEW_ENTRIES;
	if (gathering.indexed)
		names_init(&gathering.names, &tree->scratch, count / 2 + merged);
	has_merge = take_own_entries(tree, &gathering, pending, count);
	if (has_merge)
		take_merged_entries(tree, &gathering, pending, count);
	map->entries = gathering.entries;
	map->count = (uint32_t)gathering.count;
	for (size_t i = 0; i < map->count; i++) {
		include_child(map, map->entries[i].value);
		map->size += map->size < UINT32_MAX;
	}
	return 0;
}

/*
 * libyaml puts a value that was left out behind the colon, or even at the next line's key. The key is where a
 * reader looks for it.
 */
static void place_empty_values(struct tree *tree, size_t first)
{
	for (size_t i = first; i + 1 < tree->pending_count; i += 2) {
		const struct node *key = tree->pending[i];
		struct node *value = tree->pending[i + 1];

		if (value->kind == NODE_SCALAR && value->plain && value->count == 0) {
			value->at = key->at;
			value->end = key->end;
		}
	}
}

static int on_end(struct tree *tree, const yaml_event_t *event)
{
	struct tree_frame *frame = &tree->frames[--tree->depth];
	struct node *node = frame->node;
	int rc = 0;

	node->open = false;
	node->end = position_of(&event->end_mark);
	if (node->kind == NODE_MAP) {
		place_empty_values(tree, frame->first);
		rc = end_map(tree, node, frame->first);
	} else {
		end_list(tree, node, frame->first);
	}
	tree->pending_count = frame->first;
	return rc;
}

void tree_init(struct tree *tree, struct document *document, struct diagnostics *diagnostics)
{
	*tree = (struct tree){ .document = document, .diagnostics = diagnostics };
	arena_init(&tree->scratch);
	names_init(&tree->anchors, &tree->scratch, 0);
}

void tree_fini(struct tree *tree)
{
	arena_fini(&tree->scratch);
	free(tree->pending);
	free(tree->anchored);
}

int tree_add(struct tree *tree, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(tree, event);
	case YAML_ALIAS_EVENT:
		return on_alias(tree, event);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(tree, NODE_LIST, event->data.sequence_start.anchor,
				event->data.sequence_start.tag, event);
	case YAML_MAPPING_START_EVENT:
		return on_start(tree, NODE_MAP, event->data.mapping_start.anchor,
				event->data.mapping_start.tag, event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_end(tree, event);
	default:
		return 0;
	}
}

const struct node *tree_root(const struct tree *tree)
{
	return tree->pending_count == 0 ? NULL : tree->pending[0];
}
