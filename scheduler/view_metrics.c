/*
 * view_metrics.c - the curves of a task, over all its attempts
 */
#include <string.h>

#include "common/scope.h"
#include "scheduler/view.h"
#include "scheduler/view_dags.h"
#include "scheduler/view_rows.h"

enum { POINTS_MAX = 10000, ATTEMPTS_MAX = 100 };

/* What is read of one attempt. */
struct curve {
	int64_t run, step, attempt;
	json_t *list;
};

/* The numbers of a line; what else it holds is no curve. NULL when it holds none. */
static json_t *numbers_of(const char *text)
{
	autojson json_t *line = json_loads(text, 0, NULL);
	json_t *values = json_object(), *value;
	const char *key;

	json_object_foreach(line, key, value) {
		if (json_is_number(value))
			json_object_set(values, key, value);
	}
	if (json_object_size(values) > 0)
		return values;
	json_decref(values);
	return NULL;
}

static void add_point(struct curve *curve, sqlite3_stmt *stmt)
{
	json_t *values = numbers_of(view_text(stmt, 2)), *point;

	if (values == NULL)
		return;
	point = json_object();
	view_set_number(point, "attempt", curve->attempt);
	view_set_time(point, "at", sqlite3_column_int64(stmt, 1));
	json_object_set_new(point, "values", values);
	json_array_append_new(curve->list, point);
}

static sqlite3_stmt *bind_curve(struct store *store, enum store_statement which, const struct curve *curve)
{
	sqlite3_stmt *stmt = store_statement(store, which);

	sqlite3_bind_int64(stmt, 1, curve->run);
	sqlite3_bind_int64(stmt, 2, curve->step);
	sqlite3_bind_int64(stmt, 3, curve->attempt);
	return stmt;
}

/* One row from an offset on: where it was, -1: there is none. */
static int read_point(struct store *store, struct curve *curve, int64_t from, int64_t *at_out, struct err *err)
{
	sqlite3_stmt *stmt = bind_curve(store, STMT_web_metrics, curve);
	int rc;

	sqlite3_bind_int64(stmt, 4, from);
	sqlite3_bind_int(stmt, 5, 1);
	rc = view_next(store, stmt, err);
	*at_out = -1;
	if (rc == 1) {
		*at_out = sqlite3_column_int64(stmt, 0);
		add_point(curve, stmt);
		sqlite3_reset(stmt);
	}
	return rc < 0 ? rc : 0;
}

static int read_all(struct store *store, struct curve *curve, int limit, struct err *err)
{
	sqlite3_stmt *stmt = bind_curve(store, STMT_web_metrics, curve);
	int rc;

	sqlite3_bind_int64(stmt, 4, 0);
	sqlite3_bind_int(stmt, 5, limit);
	while ((rc = view_next(store, stmt, err)) == 1)
		add_point(curve, stmt);
	return rc;
}

static int read_number(struct store *store, sqlite3_stmt *stmt, int64_t *out, struct err *err)
{
	int rc = view_next(store, stmt, err);

	*out = 0;
	if (rc == 1) {
		*out = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	return rc < 0 ? rc : 0;
}

/* The first, the last, and in between those that follow evenly distributed places of the journal. */
static int read_thinned(struct store *store, struct curve *curve, int limit, struct err *err)
{
	int64_t last, at = -1, from = 0;
	int rc = read_number(store, bind_curve(store, STMT_web_metric_last, curve), &last, err);

	for (int i = 1; rc == 0 && i <= limit; i++) {
		rc = read_point(store, curve, from, &at, err);
		if (at < 0 || at >= last)
			break;
		from = last / limit * i;
		if (from <= at)
			from = at + 1;
		if (i == limit - 1)
			from = last;
	}
	return rc;
}

static int read_curve(struct store *store, struct curve *curve, int limit, bool *thinned_out, struct err *err)
{
	sqlite3_stmt *stmt = bind_curve(store, STMT_web_metric_count, curve);
	int64_t count;
	int rc;

	sqlite3_bind_int(stmt, 4, limit + 1);
	rc = read_number(store, stmt, &count, err);
	if (rc < 0)
		return rc;
	if (count <= limit)
		return read_all(store, curve, limit, err);
	*thinned_out = true;
	return read_thinned(store, curve, limit, err);
}

/* The latest attempts, oldest first. */
static int read_attempts(struct store *store, uint64_t run, uint32_t step, int64_t attempts[ATTEMPTS_MAX],
			 size_t *count_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_metric_attempts);
	size_t count = 0;
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, step);
	sqlite3_bind_int(stmt, 3, ATTEMPTS_MAX);
	while ((rc = view_next(store, stmt, err)) == 1 && count < ATTEMPTS_MAX)
		attempts[count++] = sqlite3_column_int64(stmt, 0);
	for (size_t i = 0; i < count / 2; i++) {
		int64_t other = attempts[i];

		attempts[i] = attempts[count - 1 - i];
		attempts[count - 1 - i] = other;
	}
	*count_out = count;
	return rc;
}

static int set_names(struct store *store, uint64_t run, uint32_t step, json_t *answer, struct err *err)
{
	autojson json_t *row = NULL;
	sqlite3_stmt *stmt = store_statement(store, STMT_view_task_state);
	int rc = view_run_alone(store, run, &row, err);

	if (rc < 0)
		return rc;
	json_object_set(answer, "run", json_object_get(row, "run"));
	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, step);
	rc = view_next(store, stmt, err);
	if (rc != 1)
		return rc < 0 ? rc : err_set(err, ERR_NOT_FOUND, "the run has no such task");
	view_set_text(answer, "task", view_text(stmt, 0));
	sqlite3_reset(stmt);
	return 0;
}

int view_metrics(struct store *store, uint64_t run, uint32_t step, int limit, json_t **out, struct err *err)
{
	autojson json_t *answer = json_object();
	struct curve curve = { .run = (int64_t)run, .step = step, .list = json_array() };
	int64_t attempts[ATTEMPTS_MAX];
	bool thinned = false;
	size_t count = 0;
	int rc = view_begin(store, err), each;

	json_object_set_new(answer, "metrics", curve.list);
	if (rc == 0)
		rc = set_names(store, run, step, answer, err);
	if (rc == 0)
		rc = read_attempts(store, run, step, attempts, &count, err);
	limit = limit < 2 ? 2 : limit > POINTS_MAX ? POINTS_MAX : limit;
	each = count == 0 ? limit : limit / (int)count;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		curve.attempt = attempts[i];
		rc = read_curve(store, &curve, each < 2 ? 2 : each, &thinned, err);
	}
	view_end(store);
	json_object_set_new(answer, "thinned", json_boolean(thinned));
	if (rc == 0)
		*out = take(answer);
	return rc;
}
