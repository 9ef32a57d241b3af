/*
 * view_events.c - what happened: a page of events, and the newest ones as text
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/view.h"
#include "scheduler/view_rows.h"

/* Of the newest, and one more that says whether there are older ones. */
enum { KEPT_MAX = VIEW_EVENTS_KEPT + 1 };

static json_t *event_object(sqlite3_stmt *stmt)
{
	json_t *event = json_object();
	int64_t attempt = sqlite3_column_int64(stmt, 8);

	view_set_number(event, "id", sqlite3_column_int64(stmt, 0));
	view_set_time(event, "at", sqlite3_column_int64(stmt, 1));
	view_set_text(event, "kind", view_text(stmt, 2));
	view_set_text(event, "actor", view_text(stmt, 3));
	view_set_text(event, "origin", view_text(stmt, 4));
	json_object_set_new(event, "run",
			    sqlite3_column_type(stmt, 5) == SQLITE_NULL
				    ? json_null()
				    : json_sprintf("%s/%" JSON_INTEGER_FORMAT, view_text(stmt, 5),
						   (json_int_t)sqlite3_column_int64(stmt, 6)));
	view_set_word(event, "task", view_text(stmt, 7));
	json_object_set_new(event, "attempt", attempt == 0 ? json_null() : json_integer(attempt));
	view_set_text(event, "detail", view_text(stmt, 9));
	return event;
}

/* Of the latest there is one more in the list than was asked for, when there are older ones: where they begin. */
static json_t *leave_older_out(json_t *list, size_t limit)
{
	if (json_array_size(list) <= limit)
		return json_null();
	json_array_remove(list, 0);
	return json_incref(json_object_get(json_array_get(list, 0), "id"));
}

int view_events(struct store *store, const struct view_events *events, json_t **out, struct err *err)
{
	bool latest = events->after < 0;
	enum store_statement which = events->run == 0 ? latest ? STMT_view_events_latest : STMT_view_events
				     : latest	      ? STMT_view_events_latest_of_run
						      : STMT_view_events_of_run;
	sqlite3_stmt *stmt = store_statement(store, which);
	autojson json_t *answer = json_object();
	json_t *list = json_array();
	int limit = view_clamp_limit(events->limit), rc;

	json_object_set_new(answer, "events", list);
	if (!latest)
		sqlite3_bind_int64(stmt, 1, events->after);
	sqlite3_bind_int(stmt, 2, latest ? limit + 1 : limit);
	if (events->run != 0)
		sqlite3_bind_int64(stmt, 3, (int64_t)events->run);
	sqlite3_bind_int64(stmt, 4, events->before <= 0 ? INT64_MAX : events->before);
	while ((rc = view_next(store, stmt, err)) == 1)
		json_array_append_new(list, event_object(stmt));
	if (rc < 0)
		return rc;
	json_object_set_new(answer, "next", latest ? leave_older_out(list, (size_t)limit) : json_null());
	*out = take(answer);
	return 0;
}

/* --- as text ---------------------------------------------------------------------------------------------- */

/* An event never changes. */
struct kept_event {
	int64_t id;
	char *text;
};

struct view_events_kept {
	struct kept_event items[KEPT_MAX]; /* the newest that there are, oldest first */
	size_t count;
};

struct view_events_kept *view_events_kept_new(void)
{
	return mem_zalloc(sizeof(struct view_events_kept));
}

static void drop_oldest(struct view_events_kept *kept, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(kept->items[i].text);
	kept->count -= n;
	memmove(kept->items, kept->items + n, kept->count * sizeof *kept->items);
}

void view_events_kept_free(struct view_events_kept *kept)
{
	if (kept == NULL)
		return;
	drop_oldest(kept, kept->count);
	free(kept);
}

/* What gc has removed since is at their beginning. */
static int drop_removed(struct store *store, struct view_events_kept *kept, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_first_event);
	int rc = view_next(store, stmt, err);
	size_t n = 0;

	if (rc != 1)
		return rc;
	while (n < kept->count && kept->items[n].id < sqlite3_column_int64(stmt, 0))
		n++;
	sqlite3_reset(stmt);
	drop_oldest(kept, n);
	return 0;
}

static void add_event(struct view_events_kept *kept, sqlite3_stmt *stmt)
{
	json_t *event = event_object(stmt);

	if (kept->count == KEPT_MAX)
		drop_oldest(kept, 1);
	kept->items[kept->count++] = (struct kept_event){
		.id = sqlite3_column_int64(stmt, 0),
		.text = json_dumps(event, JSON_COMPACT | JSON_PRESERVE_ORDER),
	};
	json_decref(event);
}

/* The newest that came since; where these are all that can be kept, there may be others between. */
static int add_news(struct store *store, struct view_events_kept *kept, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_events_news);
	int rc;

	sqlite3_bind_int64(stmt, 1, kept->count == 0 ? 0 : kept->items[kept->count - 1].id);
	sqlite3_bind_int(stmt, 2, KEPT_MAX);
	while ((rc = view_next(store, stmt, err)) == 1)
		add_event(kept, stmt);
	return rc;
}

static char *join(const struct view_events_kept *kept, size_t limit)
{
	bool older = kept->count > limit;
	size_t first = older ? kept->count - limit : 0;
	struct buf text = { 0 };

	buf_append_text(&text, "{\"events\":[");
	for (size_t i = first; i < kept->count; i++) {
		if (i > first)
			buf_append_byte(&text, ',');
		buf_append_text(&text, kept->items[i].text);
	}
	if (older)
		buf_printf(&text, "],\"next\":%" PRId64 "}", kept->items[first].id);
	else
		buf_append_text(&text, "],\"next\":null}");
	return buf_take(&text);
}

int view_events_text(struct store *store, int limit, struct view_events_kept *kept, char **out, struct err *err)
{
	int rc = view_begin(store, err);

	if (rc < 0)
		return rc;
	rc = drop_removed(store, kept, err);
	if (rc == 0)
		rc = add_news(store, kept, err);
	view_end(store);
	if (rc == 0)
		*out = join(kept, (size_t)view_clamp_limit(limit));
	return rc;
}
