#include "web/plain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/scope.h"
#include "web/answer.h"

enum { ROWS_MAX = 1000, TIME_BYTES = 20, LOG_TAIL_BYTES = 65536, GIB = 1 << 30 };

struct plain {
	struct buf html;
	const struct web_query *query;
	plain_read *read;
	void *context;
};

/* --- text ------------------------------------------------------------------------------------------------- */

static void put(struct plain *plain, const char *html)
{
	buf_append_text(&plain->html, html);
}

static void put_text(struct plain *plain, const char *text)
{
	for (; *text != '\0'; text++) {
		const char *name = *text == '&'	  ? "&amp;"
				   : *text == '<' ? "&lt;"
				   : *text == '>' ? "&gt;"
				   : *text == '"' ? "&quot;"
						  : NULL;

		if (name != NULL)
			put(plain, name);
		else
			buf_append_byte(&plain->html, (uint8_t)*text);
	}
}

/* One segment of an address: what a file is called need not be a name. */
static void put_segment(struct plain *plain, const char *text)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";

	for (; *text != '\0'; text++)
		if (strchr(unreserved, *text) != NULL)
			buf_append_byte(&plain->html, (uint8_t)*text);
		else
			buf_printf(&plain->html, "%%%02X", (unsigned)(uint8_t)*text);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text == NULL ? "" : text;
}

/* --- cells ------------------------------------------------------------------------------------------------ */

enum cell {
	CELL_ANY, /* text, numbers, lists and objects of them */
	CELL_TIME,
	CELL_STATE,
	CELL_DAG,
	CELL_RUN,
	CELL_NUMBER, /* of a run of this DAG */
	CELL_TASK,   /* of this run */
	CELL_LATEST, /* runs of the DAG of this row */
	CELL_LOG,    /* of the attempt of this number */
	CELL_HOLDERS,
	CELL_LOAD,
};

struct column {
	const char *head;
	const char *key;
	enum cell cell;
};

static void put_any(struct plain *plain, const json_t *value)
{
	const json_t *item;
	const char *key;
	size_t i;

	switch (value == NULL ? JSON_NULL : json_typeof(value)) {
	case JSON_STRING:
		put_text(plain, json_string_value(value));
		break;
	case JSON_INTEGER:
		buf_printf(&plain->html, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		buf_printf(&plain->html, "%.6g", json_real_value(value));
		break;
	case JSON_TRUE:
		put(plain, "yes");
		break;
	case JSON_FALSE:
		put(plain, "no");
		break;
	case JSON_ARRAY:
		json_array_foreach(value, i, item)
		{
			put(plain, i > 0 ? ", " : "");
			if (!json_is_array(item) && !json_is_object(item))
				put_any(plain, item);
		}
		break;
	case JSON_OBJECT:
		json_object_foreach((json_t *)(uintptr_t)value, key, item)
		{
			put_text(plain, key);
			put(plain, "=");
			if (!json_is_array(item) && !json_is_object(item))
				put_any(plain, item);
			put(plain, " ");
		}
		break;
	case JSON_NULL:
		break;
	}
}

static void put_time(struct plain *plain, const char *text)
{
	char shown[TIME_BYTES];

	if (text[0] == '\0')
		return;
	snprintf(shown, sizeof shown, "%s", text);
	if (strlen(shown) > 10)
		shown[10] = ' ';
	put(plain, "<time datetime=\"");
	put_text(plain, text);
	put(plain, "\">");
	put_text(plain, shown);
	put(plain, " UTC</time>");
}

/* The class is for its colour; what a state is called has letters and "_" only, else it gets none. */
static void put_state(struct plain *plain, const char *state)
{
	bool known = strspn(state, "abcdefghijklmnopqrstuvwxyz_") == strlen(state);

	if (state[0] == '\0')
		return;
	buf_printf(&plain->html, "<span class=\"badge is-%s\">", known ? state : "idle");
	put_text(plain, state);
	put(plain, "</span>");
}

static void put_link(struct plain *plain, const char *text, const char *folder, const char *first,
		     const char *second, const char *third)
{
	const char *const segments[] = { first, second, third };

	buf_printf(&plain->html, "<a href=\"/plain/%s", folder);
	for (size_t i = 0; i < COUNT_OF(segments) && segments[i] != NULL; i++) {
		put(plain, "/");
		put_segment(plain, segments[i]);
	}
	put(plain, "\">");
	put_text(plain, text);
	put(plain, "</a>");
}

/* "digits/3" */
static void put_run(struct plain *plain, const char *name, const char *task)
{
	const char *slash = strrchr(name, '/');
	char dag[WEB_NAME_BYTES];

	if (slash == NULL || (size_t)(slash - name) >= sizeof dag)
		return;
	snprintf(dag, sizeof dag, "%.*s", (int)(slash - name), name);
	put_link(plain, name, "runs", dag, slash + 1, task);
}

static void put_number(struct plain *plain, const char *dag, json_int_t number)
{
	char text[24];

	snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, number);
	put_link(plain, text, "runs", dag, text, NULL);
}

static void put_latest(struct plain *plain, const char *dag, const json_t *runs)
{
	const json_t *run;
	size_t i;

	json_array_foreach(runs, i, run)
	{
		put_number(plain, dag, json_integer_value(json_object_get(run, "number")));
		put(plain, " ");
		put_state(plain, text_of(run, "state"));
		put(plain, " ");
	}
}

static void put_holders(struct plain *plain, const json_t *holders)
{
	const json_t *holder;
	size_t i;

	json_array_foreach(holders, i, holder)
	{
		put_run(plain, text_of(holder, "run"), text_of(holder, "task"));
		put(plain, " ");
		put_text(plain, text_of(holder, "task"));
		put(plain, " ");
	}
}

static void put_share(struct plain *plain, const char *what, const json_t *part, const json_t *whole)
{
	if (!json_is_integer(part) || !json_is_integer(whole))
		return;
	buf_printf(&plain->html, "<div>%s: %.1f of %.1f GiB free</div>", what, json_number_value(part) / GIB,
		   json_number_value(whole) / GIB);
}

static void put_load(struct plain *plain, const json_t *load)
{
	const json_t *load1 = json_object_get(load, "load1");

	if (json_is_number(load1))
		buf_printf(&plain->html, "<div>%.2f</div>", json_number_value(load1));
	put_share(plain, "memory", json_object_get(load, "memory_available_bytes"),
		  json_object_get(load, "memory_bytes"));
	put_share(plain, "disk", json_object_get(load, "disk_free_bytes"),
		  json_object_get(load, "disk_bytes"));
}

/* The end of it, as plain text; the whole may be of any size. */
static void put_log(struct plain *plain, json_int_t attempt)
{
	buf_printf(&plain->html,
		   "<a href=\"/api/v1/runs/%s/tasks/%s/attempts/%" JSON_INTEGER_FORMAT
		   "/log?tail=%d\">its end</a>"
		   " <a href=\"/api/v1/runs/%s/tasks/%s/attempts/%" JSON_INTEGER_FORMAT "/log\">all</a>",
		   plain->query->run, plain->query->task, attempt, LOG_TAIL_BYTES, plain->query->run,
		   plain->query->task, attempt);
}

static const char *run_number(const struct plain *plain)
{
	return strrchr(plain->query->run, '/') + 1;
}

static void put_cell(struct plain *plain, const struct column *column, const json_t *object)
{
	const json_t *value = json_object_get(object, column->key);
	const char *text = text_of(object, column->key);

	switch (column->cell) {
	case CELL_ANY:
		put_any(plain, value);
		break;
	case CELL_TIME:
		put_time(plain, text);
		break;
	case CELL_STATE:
		put_state(plain, text);
		break;
	case CELL_DAG:
		put_link(plain, text, "dags", text, NULL, NULL);
		break;
	case CELL_RUN:
		put_run(plain, text, NULL);
		break;
	case CELL_NUMBER:
		put_number(plain, plain->query->dag, json_integer_value(value));
		break;
	case CELL_TASK:
		put_link(plain, text, "runs", plain->query->dag, run_number(plain), text);
		break;
	case CELL_LATEST:
		put_latest(plain, text_of(object, "dag"), value);
		break;
	case CELL_LOG:
		put_log(plain, json_integer_value(value));
		break;
	case CELL_HOLDERS:
		put_holders(plain, value);
		break;
	case CELL_LOAD:
		put_load(plain, value);
		break;
	}
}

/* --- tables ----------------------------------------------------------------------------------------------- */

static void put_row(struct plain *plain, const struct column *columns, size_t count, const json_t *object)
{
	put(plain, "<tr role=\"row\">");
	for (size_t i = 0; i < count; i++) {
		buf_printf(&plain->html,
			   i == 0 ? "<th scope=\"row\" role=\"rowheader\" data-head=\"%s\">"
				  : "<td role=\"cell\" data-head=\"%s\">",
			   columns[i].head);
		put_cell(plain, &columns[i], object);
		put(plain, i == 0 ? "</th>" : "</td>");
	}
	put(plain, "</tr>\n");
}

static void put_table(struct plain *plain, const char *title, const struct column *columns, size_t count,
		      const json_t *rows, bool newest_last)
{
	size_t all = json_array_size(rows), shown = all < ROWS_MAX ? all : ROWS_MAX;

	buf_printf(&plain->html, "<h2>%s</h2>\n", title);
	if (all == 0) {
		put(plain, "<p class=\"muted\">There are none.</p>\n");
		return;
	}
	buf_printf(&plain->html, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\">",
		   title);
	put(plain, "<table class=\"stacked\" role=\"table\"><thead role=\"rowgroup\"><tr role=\"row\">");
	for (size_t i = 0; i < count; i++)
		buf_printf(&plain->html, "<th scope=\"col\" role=\"columnheader\">%s</th>", columns[i].head);
	put(plain, "</tr></thead>\n<tbody role=\"rowgroup\">\n");
	for (size_t i = 0; i < shown; i++)
		put_row(plain, columns, count, json_array_get(rows, newest_last ? all - 1 - i : i));
	put(plain, "</tbody></table></div>\n");
	if (shown < all)
		buf_printf(&plain->html, "<p class=\"muted\">The first %zu of %zu; the API has all.</p>\n",
			   shown, all);
}

#define TABLE(title, columns, rows) put_table(plain, (title), (columns), COUNT_OF(columns), (rows), false)

static bool is_empty(const json_t *value)
{
	return value == NULL || json_is_null(value) ||
	       (json_is_array(value) && json_array_size(value) == 0) ||
	       (json_is_object(value) && json_object_size(value) == 0);
}

static void put_facts(struct plain *plain, const struct column *columns, size_t count, const json_t *object)
{
	put(plain, "<dl class=\"facts\">\n");
	for (size_t i = 0; i < count; i++) {
		const json_t *value = json_object_get(object, columns[i].key);

		if (is_empty(value))
			continue;
		buf_printf(&plain->html, "<div><dt>%s</dt><dd>", columns[i].head);
		put_cell(plain, &columns[i], object);
		put(plain, "</dd></div>\n");
	}
	put(plain, "</dl>\n");
}

#define FACTS(columns, object) put_facts(plain, (columns), COUNT_OF(columns), (object))

static void put_block(struct plain *plain, const char *title, const char *text)
{
	if (text[0] == '\0')
		return;
	buf_printf(&plain->html, "<h2>%s</h2>\n<pre class=\"file\">", title);
	put_text(plain, text);
	put(plain, "</pre>\n");
}

/* --- the frame -------------------------------------------------------------------------------------------- */

static void put_head(struct plain *plain, const char *title)
{
	put(plain, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
	put_text(plain, title);
	put(plain,
	    " · stoker</title>\n<link rel=\"icon\" href=\"/assets/icon.svg\" type=\"image/svg+xml\">\n"
	    "<link rel=\"stylesheet\" href=\"/assets/style.css\">\n</head>\n<body>\n<header class=\"top\">"
	    "<a class=\"name\" href=\"/plain\">stoker</a><nav aria-label=\"Pages\"><a "
	    "href=\"/plain\">Overview</a>"
	    "<a href=\"/plain/runs\">Runs</a><a href=\"/plain/workers\">Workers</a><a "
	    "href=\"/plain/events\">Events</a>"
	    "</nav><span class=\"state\"><a href=\"/\">with JavaScript</a></span></header>\n<main>\n<h1>");
	put_text(plain, title);
	put(plain, "</h1>\n");
}

static int ask(const struct plain *plain, enum web_read what, int limit, json_t **out, struct err *err)
{
	struct web_query query = *plain->query;

	query.limit = limit;
	return plain->read(plain->context, what, &query, out, err);
}

/* Why it is so: the sentence, and what to do next. */
static int put_why(struct plain *plain, enum web_read what, struct err *err)
{
	json_t *why;

	if (ask(plain, what, 1, &why, err) < 0)
		return err->code;
	put(plain, "<p class=\"why\">");
	put_state(plain, text_of(why, "state"));
	put(plain, " ");
	put_text(plain, text_of(why, "why"));
	put(plain, "</p>\n");
	if (text_of(why, "next")[0] != '\0') {
		put(plain, "<p class=\"muted\">On a command line: <code>");
		put_text(plain, text_of(why, "next"));
		put(plain, "</code></p>\n");
	}
	json_decref(why);
	return 0;
}

/* --- the pages -------------------------------------------------------------------------------------------- */

static const struct column run_columns[] = {
	{ "Run", "run", CELL_RUN },	      { "State", "state", CELL_STATE },
	{ "Reason", "reason", CELL_ANY },     { "Trigger", "trigger", CELL_ANY },
	{ "By", "actor", CELL_ANY },	      { "Created", "created", CELL_TIME },
	{ "Started", "started", CELL_TIME },  { "Ended", "ended", CELL_TIME },
	{ "Parameters", "params", CELL_ANY },
};

static const struct column event_columns[] = {
	{ "When", "at", CELL_TIME },  { "What", "kind", CELL_ANY },	{ "Run", "run", CELL_RUN },
	{ "Task", "task", CELL_ANY }, { "Detail", "detail", CELL_ANY }, { "Who", "actor", CELL_ANY },
};

static void dags_page(struct plain *plain, const json_t *answer)
{
	static const struct column columns[] = {
		{ "DAG", "dag", CELL_DAG },
		{ "Last runs", "latest", CELL_LATEST },
		{ "Next due", "next_due", CELL_TIME },
		{ "Last success", "last_success", CELL_TIME },
		{ "Late since", "late_since", CELL_TIME },
		{ "Paused by", "paused_by", CELL_ANY },
		{ "What is wrong", "problem", CELL_ANY },
	};

	put_head(plain, "Overview");
	TABLE("DAGs", columns, json_object_get(answer, "dags"));
}

static void dag_page(struct plain *plain, const json_t *answer)
{
	static const struct column facts[] = {
		{ "What it does", "description", CELL_ANY },
		{ "Next due", "next_due", CELL_TIME },
		{ "Last success", "last_success", CELL_TIME },
		{ "Going on", "active", CELL_ANY },
		{ "Paused by", "paused_by", CELL_ANY },
		{ "Paused since", "paused_since", CELL_TIME },
		{ "File", "file", CELL_ANY },
	};
	static const struct column schedules[] = {
		{ "Schedule", "cron", CELL_ANY },
		{ "Time zone", "timezone", CELL_ANY },
		{ "Catches up", "catchup", CELL_ANY },
		{ "On overlap", "overlap", CELL_ANY },
	};
	static const struct column params[] = {
		{ "Parameter", "name", CELL_ANY },  { "Type", "type", CELL_ANY },
		{ "Default", "default", CELL_ANY }, { "Least", "min", CELL_ANY },
		{ "Most", "max", CELL_ANY },	    { "One of", "choices", CELL_ANY },
	};
	static const struct column runs[] = {
		{ "Run", "number", CELL_NUMBER },    { "State", "state", CELL_STATE },
		{ "Trigger", "trigger", CELL_ANY },  { "Created", "created", CELL_TIME },
		{ "Started", "started", CELL_TIME }, { "Ended", "ended", CELL_TIME },
	};
	static const struct column steps[] = {
		{ "Step", "step", CELL_ANY },	    { "Needs", "needs", CELL_ANY },
		{ "Worker", "worker", CELL_ANY },   { "Pool", "pool", CELL_ANY },
		{ "Retries", "retries", CELL_ANY }, { "What it does", "description", CELL_ANY },
	};

	put_head(plain, plain->query->dag);
	FACTS(facts, answer);
	put_block(plain, "What is wrong with the file", text_of(answer, "problem"));
	TABLE("Schedules", schedules, json_object_get(answer, "schedules"));
	TABLE("Parameters", params, json_object_get(answer, "params"));
	TABLE("Runs", runs, json_object_get(answer, "latest"));
	TABLE("Steps", steps, json_object_get(answer, "steps"));
	put_block(plain, "YAML in force", text_of(answer, "text"));
}

static void put_filter(struct plain *plain, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buf_printf(&plain->html, "&amp;%s=", name);
	put_segment(plain, value);
}

/* To the page that follows, if there is one. */
static void put_older(struct plain *plain, const char *path, const json_t *answer)
{
	const json_t *next = json_object_get(answer, "next");

	if (!json_is_integer(next))
		return;
	buf_printf(&plain->html, "<p><a href=\"%s?before=%" JSON_INTEGER_FORMAT, path, json_integer_value(next));
	put_filter(plain, "dag", plain->query->dag);
	put_filter(plain, "state", plain->query->state);
	put(plain, "\">Older ones</a></p>\n");
}

static void runs_page(struct plain *plain, const json_t *answer)
{
	put_head(plain, "Runs");
	TABLE("Newest first", run_columns, json_object_get(answer, "runs"));
	put_older(plain, "/plain/runs", answer);
}

static int run_page(struct plain *plain, const json_t *answer, struct err *err)
{
	static const struct column tasks[] = {
		{ "Task", "task", CELL_TASK },	  { "State", "state", CELL_STATE },
		{ "Reason", "reason", CELL_ANY }, { "Message", "message", CELL_ANY },
		{ "Needs", "needs", CELL_ANY },	  { "Started", "started", CELL_TIME },
		{ "Ended", "ended", CELL_TIME },  { "Outputs", "outputs", CELL_ANY },
	};

	put_head(plain, plain->query->run);
	if (put_why(plain, WEB_RUN_WHY, err) < 0)
		return err->code;
	put_facts(plain, run_columns + 2, COUNT_OF(run_columns) - 2, answer);
	TABLE("Tasks", tasks, json_object_get(answer, "tasks"));
	return 0;
}

static int task_page(struct plain *plain, const json_t *answer, struct err *err)
{
	static const struct column facts[] = {
		{ "Started", "started", CELL_TIME },   { "Ended", "ended", CELL_TIME },
		{ "Needs", "needs", CELL_ANY },	       { "Outputs", "outputs", CELL_ANY },
		{ "Last metric", "metric", CELL_ANY },
	};
	static const struct column attempts[] = {
		{ "Attempt", "number", CELL_ANY },
		{ "State", "state", CELL_STATE },
		{ "Reason", "reason", CELL_ANY },
		{ "Exit code", "exit_code", CELL_ANY },
		{ "Signal", "signal", CELL_ANY },
		{ "Worker", "worker", CELL_ANY },
		{ "Started", "started", CELL_TIME },
		{ "Ended", "ended", CELL_TIME },
		{ "Resumed from", "resumed_from", CELL_ANY },
		{ "CPU, ms", "cpu_ms", CELL_ANY },
		{ "Memory, bytes", "rss_peak_bytes", CELL_ANY },
		{ "Message", "message", CELL_ANY },
		{ "Log", "number", CELL_LOG },
	};
	static const struct column checkpoints[] = {
		{ "Checkpoint", "name", CELL_ANY }, { "Step", "step", CELL_ANY },
		{ "State", "state", CELL_STATE },   { "Attempt", "attempt", CELL_ANY },
		{ "When", "created", CELL_TIME },   { "Bytes", "bytes", CELL_ANY },
		{ "Message", "message", CELL_ANY },
	};
	json_t *ledger;

	put_head(plain, plain->query->task);
	put(plain, "<p>A task of ");
	put_run(plain, plain->query->run, NULL);
	put(plain, "</p>\n");
	if (put_why(plain, WEB_TASK_WHY, err) < 0 || ask(plain, WEB_CHECKPOINTS, ROWS_MAX, &ledger, err) < 0)
		return err->code;
	FACTS(facts, answer);
	put_table(plain, "Attempts", attempts, COUNT_OF(attempts), json_object_get(answer, "attempts"), true);
	put_table(plain, "Checkpoints", checkpoints, COUNT_OF(checkpoints),
		  json_object_get(ledger, "checkpoints"), true);
	json_decref(ledger);
	return 0;
}

static void workers_page(struct plain *plain, const json_t *answer)
{
	static const struct column columns[] = {
		{ "Worker", "worker", CELL_ANY },   { "State", "state", CELL_ANY },
		{ "Trouble", "trouble", CELL_ANY }, { "Since", "trouble_since", CELL_TIME },
		{ "Set aside", "aside", CELL_ANY }, { "Drained by", "drained_by", CELL_ANY },
		{ "Slots", "slots", CELL_ANY },	    { "GPUs", "gpus", CELL_ANY },
		{ "CPUs", "cpus", CELL_ANY },	    { "Load", "load", CELL_LOAD },
		{ "Runs", "running", CELL_HOLDERS }, { "Seen", "seen", CELL_TIME },
	};

	put_head(plain, "Workers");
	TABLE("Machines", columns, json_object_get(answer, "workers"));
}

static void events_page(struct plain *plain, const json_t *answer)
{
	put_head(plain, "Events");
	put_table(plain, "Newest first", event_columns, COUNT_OF(event_columns),
		  json_object_get(answer, "events"), true);
	put_older(plain, "/plain/events", answer);
}

static int put_page(struct plain *plain, enum plain_page page, const json_t *answer, struct err *err)
{
	switch (page) {
	case PLAIN_DAGS:
		dags_page(plain, answer);
		return 0;
	case PLAIN_DAG:
		dag_page(plain, answer);
		return 0;
	case PLAIN_RUNS:
		runs_page(plain, answer);
		return 0;
	case PLAIN_RUN:
		return run_page(plain, answer, err);
	case PLAIN_TASK:
		return task_page(plain, answer, err);
	case PLAIN_WORKERS:
		workers_page(plain, answer);
		return 0;
	case PLAIN_EVENTS:
		events_page(plain, answer);
		return 0;
	}
	return 0;
}

/* --- the whole -------------------------------------------------------------------------------------------- */

enum web_read plain_reads(enum plain_page page)
{
	static const enum web_read reads[] = {
		[PLAIN_DAGS] = WEB_DAGS,     [PLAIN_DAG] = WEB_DAG,   [PLAIN_RUNS] = WEB_RUNS,
		[PLAIN_RUN] = WEB_RUN,	     [PLAIN_TASK] = WEB_TASK, [PLAIN_WORKERS] = WEB_WORKERS,
		[PLAIN_EVENTS] = WEB_EVENTS,
	};

	return reads[page];
}

bool plain_is_below(const char *uri)
{
	static const char root[] = "/plain";

	return strncmp(uri, root, strlen(root)) == 0 && strchr("/?", uri[strlen(root)]) != NULL; /* or its end */
}

char *plain_problem(const char *title, const char *detail)
{
	struct plain plain = { 0 };

	put_head(&plain, title);
	put(&plain, "<p class=\"problem\" role=\"alert\">");
	put_text(&plain, detail);
	put(&plain, "</p>\n<p><a href=\"/plain\">To the overview</a></p>\n</main>\n</body>\n</html>\n");
	return buf_take(&plain.html);
}

int plain_make(enum plain_page page, const struct web_query *query, plain_read *read, void *context, char **text_out,
	       struct err *err)
{
	struct plain plain = { .query = query, .read = read, .context = context };
	json_t *answer = NULL;
	int rc = ask(&plain, plain_reads(page), query->limit, &answer, err);

	if (rc == 0)
		rc = put_page(&plain, page, answer, err);
	if (rc == 0) {
		put(&plain, "</main>\n</body>\n</html>\n");
		*text_out = buf_take(&plain.html);
	}
	json_decref(answer);
	buf_fini(&plain.html);
	return rc;
}

void plain_answer(struct exchange *exchange)
{
	const struct web_source *source = exchange->connection->listener->web->source;
	struct err err;
	char *text;

	exchange->request.query.now_wall_ms = clock_wall_ms();
	if (plain_make((enum plain_page)exchange->request.route->what, &exchange->request.query, source->read,
		       source->context, &text, &err) < 0)
		answer_error(exchange, &err);
	else
		answer_text(exchange, 200, text, strlen(text), PLAIN_TYPE);
}
