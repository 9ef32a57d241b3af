#include "scheduler/view_rows.h"

#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/scope.h"
#include "common/utf8.h"
#include "scheduler/view.h"

int view_clamp_limit(int limit)
{
	return limit < 1 ? 1 : limit > VIEW_LIMIT_MAX ? VIEW_LIMIT_MAX : limit;
}

int view_next(struct store *store, sqlite3_stmt *stmt, struct err *err)
{
	int rc = stmt == NULL ? SQLITE_ERROR : sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		rc = store_error(store, err, "read");
	else
		rc = 0;
	if (stmt != NULL)
		sqlite3_reset(stmt);
	return rc;
}

int view_begin(struct store *store, struct err *err)
{
	return view_next(store, store_statement(store, STMT_view_begin), err);
}

void view_end(struct store *store)
{
	if (sqlite3_get_autocommit(store->db) == 0)
		view_next(store, store_statement(store, STMT_view_end), NULL);
}

const char *view_text(sqlite3_stmt *stmt, int column)
{
	const unsigned char *text = sqlite3_column_text(stmt, column);

	return text == NULL ? "" : (const char *)text;
}

json_t *view_string(const char *text)
{
	size_t bytes = strlen(text);
	autobuf struct buf valid = { 0 };

	if (utf8_valid(text, bytes))
		return json_stringn_nocheck(text, bytes);
	while (bytes > 0) {
		uint32_t code;
		size_t n = utf8_decode(text, bytes, &code);

		if (n > 0)
			buf_append(&valid, text, n);
		else
			buf_append_text(&valid, "\xef\xbf\xbd");
		text += n > 0 ? n : 1;
		bytes -= n > 0 ? n : 1;
	}
	return json_stringn_nocheck(buf_text(&valid), valid.bytes);
}

json_t *view_string_or_null(const char *text)
{
	return text == NULL ? json_null() : view_string(text);
}

void view_set_text(json_t *object, const char *key, const char *text)
{
	json_object_set_new_nocheck(object, key, view_string(text));
}

void view_set_word(json_t *object, const char *key, const char *text)
{
	json_object_set_new_nocheck(object, key, text[0] == '\0' ? json_null() : view_string(text));
}

void view_set_number(json_t *object, const char *key, int64_t number)
{
	json_object_set_new_nocheck(object, key, json_integer(number));
}

void view_set_time(json_t *object, const char *key, int64_t wall_ms)
{
	char text[CLOCK_RFC3339_BYTES];

	json_object_set_new_nocheck(
		object, key, wall_ms == 0 ? json_null() : json_string_nocheck(clock_rfc3339(wall_ms, text)));
}
