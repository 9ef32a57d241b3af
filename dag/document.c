#include "dag/document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/err.h"
#include "dag/scalar.h"
#include "dag/tree.h"
#include "common/utf8.h"
#include "dag/yaml_problem.h"

enum {
	DIRECTIVES_MAX = 8, /* libyaml compares each %TAG with all others */
	MESSAGE_BYTES = 600,
};

static struct dag_position position_of(const yaml_mark_t *mark)
{
	return (struct dag_position){ (uint32_t)mark->line + 1, (uint32_t)mark->column + 1 };
}

static int refuse(struct tree *tree, struct dag_position at, const char *message)
{
	document_report(tree->document, tree->diagnostics, DIAGNOSTIC_ERROR, at, 1, "%s", message);
	return ERR_INVALID;
}

/* What follows the first document may be blank, a comment, or its end mark. */
static int check_rest(struct tree *tree, size_t offset)
{
	const struct source *source = &tree->document->source;

	while (offset < source->bytes) {
		const char *rest = source->text + offset;
		size_t left = source->bytes - offset;

		if (memchr(" \t\r\n", *rest, 4) != NULL) {
			offset++;
		} else if (*rest == '#') {
			const char *end = memchr(rest, '\n', left);

			offset = end == NULL ? source->bytes : (size_t)(end - source->text);
		} else if (left >= 3 && memcmp(rest, "...", 3) == 0) {
			offset += 3;
		} else {
			return refuse(tree, source_position(source, offset),
				      left >= 3 && memcmp(rest, "---", 3) == 0
					  ? "a file holds one document, here a second begins"
					  : "this stands outside the document");
		}
	}
	return 0;
}

static int read_events(struct tree *tree, yaml_parser_t *parser)
{
	for (;;) {
		yaml_event_t event;
		yaml_event_type_t type;
		struct dag_position end;
		int rc;

		if (!yaml_parser_parse(parser, &event)) {
			yaml_problem_report(parser, tree->document, tree->diagnostics);
			return ERR_INVALID;
		}
		type = event.type;
		end = position_of(&event.end_mark);
		rc = tree_add(tree, &event);
		yaml_event_delete(&event);
		if (rc < 0)
			return rc;
		if (type == YAML_DOCUMENT_END_EVENT)
			return check_rest(tree, source_offset(&tree->document->source, end));
		if (type == YAML_STREAM_END_EVENT)
			return 0; /* nothing but comments */
	}
}

/* Before libyaml sees it: it reports no position for bytes that are no text, and is slow with many
 * directives. */
static int check_text(struct tree *tree, bool clean, size_t wrong)
{
	const struct source *source = &tree->document->source;
	size_t directives = 0;

	if (!clean) {
		struct dag_position at = source_position(source, wrong);
		const char *text = source->text + wrong;
		uint32_t code = 0;
		bool character = utf8_decode(text, source->bytes - wrong, &code) > 0;

		document_report(tree->document, tree->diagnostics, DIAGNOSTIC_ERROR, at, 1,
				character ? "the character U+%04X may not stand in a file"
					  : "byte 0x%02x is no valid UTF-8",
				character ? code : (unsigned char)*text);
		diagnostics_remedy(tree->diagnostics,
				   character ? "write it as an escape in a quoted string, or remove it"
					     : "save the file as UTF-8");
		return ERR_INVALID;
	}
	for (size_t line = 1; line <= source->lines_count; line++) {
		size_t bytes;
		const char *text = source_line(source, (uint32_t)line, &bytes);

		if (bytes == 0 || *text == '#')
			continue;
		if (*text != '%')
			break;
		if (++directives > DIRECTIVES_MAX)
			return refuse(tree, (struct dag_position){ (uint32_t)line, 1 },
				      "too many directives");
	}
	return 0;
}

static int parse(struct tree *tree)
{
	const struct source *source = &tree->document->source;
	yaml_parser_t parser;
	int rc;

	if (!yaml_parser_initialize(&parser))
		abort(); /* Out of memory; see mem.h. */
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)source->text, source->bytes);
	rc = read_events(tree, &parser);
	yaml_parser_delete(&parser);
	return rc;
}

int document_parse(struct document *document, struct arena *texts, const char *path, const char *text,
		   size_t bytes, struct diagnostics *diagnostics)
{
	struct tree tree;
	size_t wrong = 0;
	bool clean;
	int rc;

	*document = (struct document){ .texts = texts };
	arena_init(&document->arena);
	tree_init(&tree, document, diagnostics);
	if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3; /* The byte order mark that some editors write. */
		bytes -= 3;
	}
	clean = source_init(&document->source, &document->arena, path, text, bytes, &wrong);
	rc = check_text(&tree, clean, wrong);
	if (rc == 0)
		rc = parse(&tree);
	if (rc == 0)
		document->root = tree_root(&tree);
	tree_fini(&tree);
	return rc;
}

void document_fini(struct document *document)
{
	arena_fini(&document->arena);
	*document = (struct document){ 0 };
}

const struct node *node_get(const struct node *map, const char *key)
{
	if (map == NULL || map->kind != NODE_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++) {
		if (strcmp(map->entries[i].key->text, key) == 0)
			return map->entries[i].value;
	}
	return NULL;
}

bool node_is_null(const struct node *node)
{
	return node == NULL ||
	       (node->kind == NODE_SCALAR && node->plain && scalar_kind(node->text) == SCALAR_NULL);
}

uint32_t node_width(const struct node *node)
{
	if (node->kind != NODE_SCALAR || node->end.line != node->at.line ||
	    node->end.column <= node->at.column)
		return 1;
	return node->end.column - node->at.column;
}

struct dag_position node_position(const struct document *document, const struct node *node, const char *mark,
				  size_t ordinal)
{
	const struct source *source = &document->source;
	size_t from = source_offset(source, node->at), to = source_offset(source, node->end);

	for (;; from += strlen(mark), ordinal--) {
		const char *found =
		    from < to ? memmem(source->text + from, to - from, mark, strlen(mark)) : NULL;

		if (found == NULL)
			return node->at;
		from = (size_t)(found - source->text);
		if (ordinal == 0)
			return source_position(source, from);
	}
}

struct dag_position node_inside(const struct node *node, size_t offset)
{
	size_t characters = utf8_count(node->text, node->count);
	size_t quotes = node->plain ? 0 : 1;
	struct dag_position at = node->at;

	/* As many characters in the file as in the text (and the quotes): nothing was escaped or folded. */
	if (node->end.line == at.line && node->end.column - at.column == characters + 2 * quotes)
		at.column += (uint32_t)(quotes + utf8_count(node->text, offset));
	return at;
}

void document_report(const struct document *document, struct diagnostics *diagnostics,
		     enum diagnostic_severity severity, struct dag_position at, uint32_t width,
		     const char *format, ...)
{
	va_list args;

	va_start(args, format);
	document_vreport(document, diagnostics, severity, at, width, format, args);
	va_end(args);
}

void document_vreport(const struct document *document, struct diagnostics *diagnostics,
		      enum diagnostic_severity severity, struct dag_position at, uint32_t width,
		      const char *format, va_list args)
{
	struct diagnostic diagnostic = {
		.severity = severity,
		.path = document->source.path,
		.at = at,
		.width = width,
		.kind = format,
	};
	char message[MESSAGE_BYTES] = "";

	if (!diagnostics_full(diagnostics, severity)) /* Else it is only counted. */
		vsnprintf(message, sizeof message, format, args);
	diagnostic.message = message;
	diagnostic.source = source_line(&document->source, at.line, &diagnostic.source_bytes);
	if (diagnostic.source != NULL && diagnostic.source_bytes == 0)
		diagnostic.source = "";
	diagnostics_add(diagnostics, &diagnostic);
}
