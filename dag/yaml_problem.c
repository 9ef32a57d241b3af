#include "dag/yaml_problem.h"

#include <string.h>

#include "common/scope.h"

/* Where the caret goes: to the character libyaml stopped at, or to the begin of what it was reading. */
enum caret { AT_PROBLEM, AT_CONTEXT };

static const struct rule {
	const char *problem; /* how libyaml's words begin */
	const char *context; /* and its context; NULL: any */
	enum caret caret;
	const char *message;
	const char *remedy;
} rules[] = {
	{ "found character that cannot start any token", NULL, AT_PROBLEM,
	  "a value cannot begin with this character", "quote the value" },
	{ "found a tab character", NULL, AT_PROBLEM, "a tab is used for indentation", "use spaces" },
	{ "mapping values are not allowed", NULL, AT_PROBLEM, "this ':' makes a key where none can be",
	  "quote a value that holds ': ', or write it on lines of its own after '|'" },
	{ "could not find expected ':'", NULL, AT_CONTEXT, "this is neither a key nor part of a value",
	  "a key is followed by ':' and a blank; the lines of a longer value are indented deeper than its "
	  "key" },
	{ "did not find expected key", "while parsing a block mapping", AT_PROBLEM,
	  "this does not line up with the keys of its map",
	  "indent the keys of a map alike, with spaces; a list item begins with '- '" },
	{ "did not find expected '-' indicator", NULL, AT_PROBLEM,
	  "this does not line up with the items of its list",
	  "each item of a list begins with '- ', all in the same column" },
	{ "did not find expected ',' or ']'", NULL, AT_PROBLEM, "expected ',' or ']' in this list",
	  "the list must be closed by ']'; quote an item that holds one of , [ ] { }" },
	{ "did not find expected ',' or '}'", NULL, AT_PROBLEM, "expected ',' or '}' in this map",
	  "the map must be closed by '}'; quote a value that holds one of , [ ] { }, such as ${{ ... }}" },
	{ "found unexpected end of stream", "while scanning a quoted scalar", AT_CONTEXT,
	  "this quote is never closed", "close it with the same character" },
	{ "found unexpected document indicator", NULL, AT_CONTEXT,
	  "this quote is not closed before the document ends", "close it with the same character" },
	{ "found unknown escape character", NULL, AT_PROBLEM, "unknown escape in a \"quoted\" string",
	  "write \\\\ for a backslash, or use single quotes, in which nothing is escaped" },
	{ "did not find expected hexdecimal number", NULL, AT_PROBLEM, "this escape needs hexadecimal digits",
	  "\\x takes two, \\u four, \\U eight" },
	{ "block sequence entries are not allowed", NULL, AT_PROBLEM, "a list item cannot stand here",
	  "put the list on the lines after its key, or write [a, b]" },
	{ "block mapping", NULL, AT_PROBLEM, "a map cannot begin here", "put it on the lines after its key" },
	{ "mapping keys are not allowed", NULL, AT_PROBLEM, "a key cannot stand here",
	  "quote a value that begins with '? '" },
	{ "did not find expected alphabetic or numeric character", "while scanning an alias", AT_CONTEXT,
	  "a value that begins with '*' is an alias", "quote it, for example cron: \"* * * * *\"" },
	{ "did not find expected alphabetic or numeric character", "while scanning an anchor", AT_CONTEXT,
	  "a value that begins with '&' is an anchor", "quote it" },
	{ "did not find expected node content", NULL, AT_PROBLEM, "expected a value",
	  "quote it if it begins with one of , ] }" },
	{ "did not find expected <document start>", NULL, AT_PROBLEM, "this stands outside the document",
	  "a DAG file is one map; its keys begin in the same column" },
	{ "did not find expected comment or line break", NULL, AT_PROBLEM,
	  "nothing may follow the '|' or '>' on its line",
	  "begin the text on the next line, indented deeper than the key" },
	{ "found undefined tag handle", NULL, AT_PROBLEM, "tags are not part of a DAG file",
	  "quote a value that begins with '!'" },
	{ "found an indentation indicator equal to 0", NULL, AT_PROBLEM,
	  "the number after '|' or '>' is from 1 to 9",
	  "leave it out; the first line of the text says how deep it is indented" },
};

static const struct rule *find_rule(const yaml_parser_t *parser)
{
	const char *problem = parser->problem == NULL ? "" : parser->problem;
	const char *context = parser->context == NULL ? "" : parser->context;

	for (size_t i = 0; i < COUNT_OF(rules); i++) {
		if (strncmp(problem, rules[i].problem, strlen(rules[i].problem)) == 0 &&
		    (rules[i].context == NULL || strcmp(context, rules[i].context) == 0))
			return &rules[i];
	}
	return NULL;
}

/* The first tab of the line's indentation, at most at `at` itself; 0 when there is none. */
static uint32_t tab_column(const struct source *source, struct dag_position at)
{
	size_t bytes;
	const char *line = source_line(source, at.line, &bytes);

	for (size_t i = 0; line != NULL && i < bytes && i < at.column && (line[i] == ' ' || line[i] == '\t');
	     i++) {
		if (line[i] == '\t')
			return (uint32_t)i + 1;
	}
	return 0;
}

static struct dag_position position_of(const yaml_mark_t *mark)
{
	return (struct dag_position){ (uint32_t)mark->line + 1, (uint32_t)mark->column + 1 };
}

/* At the end of the file libyaml points behind the last line; what is missing is missing from that line. */
static struct dag_position within_text(const struct source *source, struct dag_position at)
{
	struct dag_position end = source_position(source, source->bytes);

	while (end.line > 1 && end.column == 1) {
		size_t bytes;
		const char *line = source_line(source, end.line - 1, &bytes);

		end.line--;
		end.column =
		    (uint32_t)(source_position(source, (size_t)(line - source->text) + bytes).column);
	}
	return at.line > end.line ? end : at;
}

/* A line that begins with the key in question: the line above is what went wrong. */
static bool begins_line(const struct source *source, struct dag_position at)
{
	size_t bytes, offset = source_offset(source, at);
	const char *line = source_line(source, at.line, &bytes);

	return line != NULL && memmem(line, offset - (size_t)(line - source->text), ": ", 2) == NULL;
}

static const char *remedy_of(const struct rule *rule, const struct source *source, struct dag_position at)
{
	if (strcmp(rule->problem, "mapping values are not allowed") == 0 && begins_line(source, at))
		return "the line above may lack its ':'; the keys of a map are indented alike";
	return rule->remedy;
}

void yaml_problem_report(const yaml_parser_t *parser, const struct document *document,
			 struct diagnostics *diagnostics)
{
	const struct rule *rule = find_rule(parser);
	bool context = rule != NULL && rule->caret == AT_CONTEXT && parser->context != NULL;
	struct dag_position at = position_of(context ? &parser->context_mark : &parser->problem_mark);
	uint32_t tab = tab_column(&document->source, at);

	at = within_text(&document->source, at);
	if (tab > 0) {
		at.column = tab;
		document_report(document, diagnostics, DIAGNOSTIC_ERROR, at, 1,
				"a tab is used for indentation");
		diagnostics_remedy(diagnostics, "use spaces");
	} else if (rule == NULL) {
		document_report(document, diagnostics, DIAGNOSTIC_ERROR, at, 1, "this is no YAML: %s",
				parser->problem == NULL ? "it cannot be read" : parser->problem);
	} else {
		document_report(document, diagnostics, DIAGNOSTIC_ERROR, at, 1, "%s", rule->message);
		diagnostics_remedy(diagnostics, "%s", remedy_of(rule, &document->source, at));
	}
}
