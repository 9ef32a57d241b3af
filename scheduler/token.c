#include "scheduler/token.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "dag/suggest.h"
#include "scheduler/store_parts.h"
#include "scheduler/view.h"
#include "scheduler/view_rows.h"
#include "web/auth.h"

/* --- making and revoking ---------------------------------------------------------------------------------- */

/* The row of the one in force by that name; 0: there is none. */
static int find_live(struct store *store, const char *name, int64_t *id_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_find_live_token);
	int rc;

	*id_out = 0;
	store_bind_text(stmt, 1, name);
	rc = store_step_row(store, stmt, "look for a token", err);
	if (rc == 1) {
		*id_out = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	return rc < 0 ? rc : 0;
}

static int add_new(struct store *store, const struct token_row *row, const char *actor, const char *origin,
	       int64_t wall_ms, struct err *err)
{
	autofree char *detail = mem_printf("%s: %s", row->name, auth_role_name(row->role));
	sqlite3_stmt *stmt;
	int64_t id;
	int rc = find_live(store, row->name, &id, err);

	if (rc == 0 && id != 0)
		return err_set(err, ERR_EXISTS,
			       "there is a token called %s already; revoke it first, or take another name", row->name);
	if (rc < 0)
		return rc;
	stmt = store_statement(store, STMT_add_token);
	store_bind_text(stmt, 1, row->digest);
	store_bind_text(stmt, 2, row->name);
	store_bind_text(stmt, 3, auth_role_name(row->role));
	sqlite3_bind_int64(stmt, 4, wall_ms);
	store_bind_text(stmt, 5, actor);
	sqlite3_bind_int64(stmt, 6, row->expires_wall_ms);
	rc = store_step_done(store, stmt, "save a token", err);
	return rc < 0 ? rc : store_put_event(store, 0, "token.created", actor, origin, detail, wall_ms, err);
}

int token_add(struct store *store, const struct token_row *row, const char *actor, const char *origin,
	      int64_t wall_ms, struct err *err)
{
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = add_new(store, row, actor, origin, wall_ms, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

static int no_such_token(struct store *store, const char *name, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct suggest near = suggest_for(name);
	sqlite3_stmt *stmt = store_statement(store, STMT_tokens);

	while (view_next(store, stmt, err) == 1)
		if (sqlite3_column_int64(stmt, 5) == 0)
			suggest_offer(&near, arena_strdup(&arena, view_text(stmt, 0)), NULL);
	if (suggest_best(&near) != NULL)
		return err_set(err, ERR_NOT_FOUND, "no token in force is called %s; did you mean %s?", name,
			       suggest_best(&near));
	return err_set(err, ERR_NOT_FOUND, "no token in force is called %s; `stoker token list` shows them", name);
}

static int revoke_live(struct store *store, const char *name, const char *actor, const char *origin, int64_t wall_ms,
		  struct err *err)
{
	sqlite3_stmt *stmt;
	int64_t id;
	int rc = find_live(store, name, &id, err);

	if (rc == 0 && id == 0)
		return no_such_token(store, name, err);
	if (rc < 0)
		return rc;
	stmt = store_statement(store, STMT_revoke_token);
	sqlite3_bind_int64(stmt, 1, id);
	sqlite3_bind_int64(stmt, 2, wall_ms);
	rc = store_step_done(store, stmt, "revoke a token", err);
	return rc < 0 ? rc : store_put_event(store, 0, "token.revoked", actor, origin, name, wall_ms, err);
}

int token_revoke(struct store *store, const char *name, const char *actor, const char *origin, int64_t wall_ms,
		 struct err *err)
{
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = revoke_live(store, name, actor, origin, wall_ms, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

/* --- reading ---------------------------------------------------------------------------------------------- */

static bool has_expired(int64_t expires_wall_ms, int64_t wall_ms)
{
	return expires_wall_ms != 0 && expires_wall_ms <= wall_ms;
}

int token_find(struct store *store, const char *digest, int64_t wall_ms, struct web_token *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_find_token);
	struct web_token token = { .role = WEB_NOBODY };
	int rc;

	sqlite3_bind_text(stmt, 1, digest, -1, SQLITE_STATIC);
	rc = view_next(store, stmt, err);
	if (rc != 1)
		return rc < 0 ? rc : err_set(err, ERR_NOT_FOUND, "there is no such token");
	snprintf(token.name, sizeof token.name, "%s", view_text(stmt, 0));
	if (sqlite3_column_int64(stmt, 3) == 0 && !has_expired(sqlite3_column_int64(stmt, 2), wall_ms))
		token.role = auth_role_of(view_text(stmt, 1));
	sqlite3_reset(stmt);
	*out = token;
	return 0;
}

int token_exists(struct store *store, int64_t wall_ms, bool *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_have_token);
	int rc;

	sqlite3_bind_int64(stmt, 1, wall_ms);
	rc = view_next(store, stmt, err);
	if (rc < 0)
		return rc;
	*out = rc == 1;
	sqlite3_reset(stmt);
	return 0;
}

int token_list(struct store *store, int64_t wall_ms, json_t **out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_tokens);
	json_t *list = json_array();
	int rc;

	while ((rc = view_next(store, stmt, err)) == 1) {
		json_t *token = json_object();
		bool revoked = sqlite3_column_int64(stmt, 5) != 0;

		view_set_text(token, "token", view_text(stmt, 0));
		view_set_text(token, "role", view_text(stmt, 1));
		view_set_text(token, "state",
			      revoked ? "revoked"
			      : has_expired(sqlite3_column_int64(stmt, 4), wall_ms) ? "expired"
										      : "in force");
		view_set_time(token, "created", sqlite3_column_int64(stmt, 2));
		view_set_text(token, "created_by", view_text(stmt, 3));
		view_set_time(token, "expires", sqlite3_column_int64(stmt, 4));
		view_set_time(token, "revoked", sqlite3_column_int64(stmt, 5));
		json_array_append_new(list, token);
	}
	if (rc < 0) {
		json_decref(list);
		return rc;
	}
	*out = json_pack("{s:o}", "tokens", list);
	return 0;
}
