#include "scheduler/view_dags.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "dag/diagnostic.h"
#include "scheduler/run.h"
#include "scheduler/store_due.h"
#include "scheduler/view.h"
#include "scheduler/view_due.h"
#include "scheduler/view_rows.h"
#include "scheduler/view_summary.h"

/* 0 stands for none. */
static json_t *number_or_null(int64_t number)
{
	return number == 0 ? json_null() : json_integer(number);
}

/* --- the list --------------------------------------------------------------------------------------------- */

/* Of an entry, and what it is the text of. */
struct kept {
	char *name;
	uint8_t digest[DIGEST_BYTES];
	char *text;
	size_t bytes;
};

/* A list, as it was told the last time. */
struct told {
	int runs;	/* of each DAG */
	uint64_t telling; /* which one it was; 0: it was never told */
	struct view_histories *histories;
	struct kept *items; /* by name */
	size_t count;
};

/* One for each number of runs that is asked for: the page's, the one without JavaScript, and the API's without a word. */
enum { LISTS_KEPT = 3 };

struct view_dags_kept {
	struct told lists[LISTS_KEPT];
	uint64_t tellings;
};

static void free_items(struct kept *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(items[i].name);
		free(items[i].text);
	}
	free(items);
}

struct view_dags_kept *view_dags_kept_new(void)
{
	struct view_dags_kept *kept = mem_zalloc(sizeof *kept);

	for (size_t i = 0; i < LISTS_KEPT; i++)
		kept->lists[i].histories = view_histories_new();
	return kept;
}

void view_dags_kept_free(struct view_dags_kept *kept)
{
	if (kept == NULL)
		return;
	for (size_t i = 0; i < LISTS_KEPT; i++) {
		free_items(kept->lists[i].items, kept->lists[i].count);
		view_histories_free(kept->lists[i].histories);
	}
	free(kept);
}

/* The one with so many runs, else that which was not told for longest. */
static struct told *list_of(struct view_dags_kept *kept, int runs)
{
	struct told *oldest = &kept->lists[0];

	for (size_t i = 0; i < LISTS_KEPT; i++) {
		if (kept->lists[i].telling > 0 && kept->lists[i].runs == runs)
			return &kept->lists[i];
		if (kept->lists[i].telling < oldest->telling)
			oldest = &kept->lists[i];
	}
	return oldest;
}

static void make_text(const struct view_summary *summary, struct zones *zones, struct kept *out)
{
	json_t *object = view_summary_object(summary, zones);

	out->text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
	if (out->text == NULL)
		out->text = mem_strdup("null");
	out->bytes = strlen(out->text);
	json_decref(object);
}

/* Both are sorted: what the last list had of the same name is next, if it is there. */
static void update(struct told *list, const struct view_summary *summaries, size_t count, struct zones *zones)
{
	struct kept *items = mem_array(count + 1, sizeof *items);
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		struct kept *item = &items[i];

		*item = (struct kept){ .name = mem_strdup(summaries[i].name) };
		view_summary_digest(&summaries[i], zones, item->digest);
		while (at < list->count && strcmp(list->items[at].name, item->name) < 0)
			at++;
		if (at < list->count && strcmp(list->items[at].name, item->name) == 0 &&
		    memcmp(list->items[at].digest, item->digest, sizeof item->digest) == 0) {
			item->bytes = list->items[at].bytes;
			item->text = take(list->items[at].text);
		} else {
			make_text(&summaries[i], zones, item);
		}
	}
	free_items(list->items, list->count);
	list->items = items;
	list->count = count;
}

static char *join(const struct told *list)
{
	static const char begin[] = "{\"dags\":[", end[] = "]}";
	size_t room = sizeof begin + sizeof end;
	struct buf text = { 0 };

	for (size_t i = 0; i < list->count; i++)
		room += list->items[i].bytes + 1;
	buf_reserve(&text, room);
	buf_append_text(&text, begin);
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			buf_append_byte(&text, ',');
		buf_append(&text, list->items[i].text, list->items[i].bytes);
	}
	buf_append_text(&text, end);
	return buf_take(&text);
}

/* --- one DAG ---------------------------------------------------------------------------------------------- */

static json_t *params_array(const struct dag *dag)
{
	json_t *list = json_array();

	for (size_t i = 0; i < dag->params_count; i++) {
		const struct dag_param *param = &dag->params[i];
		json_t *choices = param->choices_count == 0 ? json_null() : json_array();

		for (size_t k = 0; k < param->choices_count; k++)
			json_array_append_new(choices, view_string(param->choices[k]));
		json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "name",
						      view_string(param->name), "type", dag_param_type_words[param->type], "default",
						      view_string_or_null(param->fallback), "min",
						      param->has_min ? json_real(param->min) : json_null(), "max",
						      param->has_max ? json_real(param->max) : json_null(), "choices",
						      choices, "description", view_string_or_null(param->description)));
	}
	return list;
}

static json_t *step_object(const struct dag *dag, const struct dag_step *step)
{
	json_t *needs = json_array(), *run = json_array();

	for (size_t i = 0; i < step->needs_count; i++)
		json_array_append_new(needs, view_string(dag->steps[step->needs[i]].name));
	for (size_t i = 0; i < step->argc; i++)
		json_array_append_new(run, view_string(step->argv[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o}", "step",
			 view_string(step->name), "description", view_string_or_null(step->description), "needs", needs, "run",
			 run, "shell", step->shell, "worker", view_string_or_null(step->worker), "pool",
			 view_string_or_null(step->pool), "timeout_ms", number_or_null(step->timeout_ms), "stall_ms",
			 number_or_null(step->stall_ms), "retries", step->retry.max, "cpus",
			 step->resources.cpus_milli == 0 ? json_null()
							 : json_real((double)step->resources.cpus_milli / 1000),
			 "memory_bytes", number_or_null(step->resources.memory_bytes), "gpus",
			 number_or_null(step->resources.gpus));
}

static json_t *after_array(const struct dag *dag)
{
	json_t *list = json_array();

	for (size_t i = 0; i < dag->after_count; i++)
		json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "dag", view_string(dag->after[i].dag), "state",
						      dag_after_words[dag->after[i].state], "within_ms",
						      number_or_null(dag->after[i].within_ms)));
	return list;
}

static void add_definition(json_t *object, const struct dag *dag)
{
	json_t *steps = json_array();

	for (size_t i = 0; dag != NULL && i < dag->steps_count; i++)
		json_array_append_new(steps, step_object(dag, &dag->steps[i]));
	json_object_set_new(object, "params", dag == NULL ? json_array() : params_array(dag));
	json_object_set_new(object, "steps", steps);
	json_object_set_new(object, "after", dag == NULL ? json_array() : after_array(dag));
	json_object_set_new(object, "text", dag == NULL ? json_null() : view_string(dag->text));
}

/* The version that ran last; NULL when there is none, or this stoker cannot read it any more. */
static int read_last_version(struct store *store, int64_t dag, struct dag **out, struct err *err)
{
	autodiagnostics struct diagnostics diagnostics;
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dag_text);
	int rc;

	*out = NULL;
	diagnostics_init(&diagnostics);
	sqlite3_bind_int64(stmt, 1, dag);
	rc = view_next(store, stmt, err);
	if (rc != 1)
		return rc;
	dag_parse(view_text(stmt, 0), view_text(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1), out, &diagnostics);
	sqlite3_reset(stmt);
	return 0;
}

/* --- without a daemon ------------------------------------------------------------------------------------- */

/* What the database remembers of the files; `dags` are to be freed. */
static int read_facts(struct store *store, struct arena *arena, struct view_dag_facts **facts_out, struct dag ***dags_out,
		      size_t *count_out, struct err *err)
{
	struct store_dag_file *files;
	int rc = store_load_dag_files(store, arena, &files, count_out, err);

	if (rc < 0)
		return rc;
	*facts_out = arena_alloc(arena, (*count_out + 1) * sizeof **facts_out);
	*dags_out = mem_array(*count_out + 1, sizeof **dags_out);
	for (size_t i = 0; i < *count_out; i++) {
		(*dags_out)[i] = NULL;
		if (files[i].digest[0] != '\0')
			store_load_dag(store, files[i].name, &(*dags_out)[i], NULL);
		(*facts_out)[i] = (struct view_dag_facts){
			.name = files[i].name,
			.path = files[i].path,
			.dag = (*dags_out)[i],
			.problem = files[i].error[0] == '\0' ? NULL : files[i].error,
		};
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct view_dag_facts *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	return order != 0 ? order : strcmp(left->path, right->path);
}

/* ---------------------------------------------------------------------------------------------------------- */

size_t view_dag_facts_sort(struct view_dag_facts *facts, size_t count)
{
	size_t kept = 0;

	if (count > 1)
		qsort(facts, count, sizeof *facts, by_name);
	for (size_t i = 0; i < count; i++) {
		struct view_dag_facts *last = kept == 0 ? NULL : &facts[kept - 1];
		const char *problem = facts[i].problem;

		if (last == NULL || strcmp(last->name, facts[i].name) != 0) {
			facts[kept++] = facts[i];
			continue;
		}
		if (last->problem != NULL)
			problem = last->problem;
		if (last->dag == NULL)
			*last = facts[i];
		last->problem = problem;
	}
	return kept;
}

int view_dags(struct store *store, struct zones *zones, const struct view_dag_facts *facts, size_t count, int runs,
	      int64_t now_wall_ms, json_t **out, struct err *err)
{
	const struct view_listing listing = { zones, facts, count, runs, now_wall_ms };
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct view_summary *summaries;
	json_t *list;
	int rc = view_summaries(store, &listing, NULL, &arena, &summaries, &count, err);

	if (rc < 0)
		return rc;
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, view_summary_object(&summaries[i], zones));
	*out = json_pack("{s:o}", "dags", list);
	return 0;
}

int view_dags_text(struct store *store, const struct view_listing *listing, struct view_dags_kept *kept, char **out,
		   struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct told *list = list_of(kept, listing->runs);
	struct view_summary *summaries;
	size_t count;
	int rc = view_summaries(store, listing, list->histories, &arena, &summaries, &count, err);

	if (rc < 0)
		return rc;
	list->runs = listing->runs;
	list->telling = ++kept->tellings;
	update(list, summaries, count, listing->zones);
	*out = join(list);
	return 0;
}

int view_dags_known(struct store *store, struct zones *zones, int runs, int64_t now_wall_ms, json_t **out,
		    struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct view_dag_facts *facts;
	struct dag **dags;
	size_t count;
	int rc = read_facts(store, &arena, &facts, &dags, &count, err);

	if (rc < 0)
		return rc;
	rc = view_dags(store, zones, facts, view_dag_facts_sort(facts, count), runs, now_wall_ms, out, err);
	for (size_t i = 0; i < count; i++)
		dag_free(dags[i]);
	free(dags);
	return rc;
}

int view_dag(struct store *store, struct zones *zones, const char *name, const struct view_dag_facts *facts, int runs,
	     int64_t now_wall_ms, json_t **out, struct err *err)
{
	const struct view_listing listing = { zones, facts, facts != NULL, runs, now_wall_ms };
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	autodag struct dag *last = NULL;
	struct view_summary summary;
	int rc = view_begin(store, err);

	if (rc == 0)
		rc = view_summary_read(store, &listing, name, facts, &arena, &summary, err);
	if (rc == 0 && summary.id == 0 && facts == NULL)
		rc = view_find_dag(store, name, err);
	if (rc == 0 && summary.id != 0 && (facts == NULL || facts->dag == NULL))
		rc = read_last_version(store, summary.id, &last, err);
	view_end(store);
	if (rc < 0)
		return rc;
	*out = view_summary_object(&summary, zones);
	add_definition(*out, facts != NULL && facts->dag != NULL ? facts->dag : last);
	return 0;
}
