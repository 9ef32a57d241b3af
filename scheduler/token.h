/*
 * token.h - the tokens that open the API from elsewhere, as they are stored
 *
 * Only the SHA-256 of a token is kept (see schema_2.sql). Making and revoking one stands in the audit trail. A token
 * that was revoked stays in the list; its name is free again.
 *
 * Errors: ERR_EXISTS: one of that name is in force; ERR_NOT_FOUND.
 */
#ifndef SCHEDULER_TOKEN_H
#define SCHEDULER_TOKEN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "scheduler/store.h"
#include "web/source.h"

struct token_row {
	const char *digest; /* auth_digest of the secret */
	const char *name;
	enum web_role role;
	int64_t expires_wall_ms; /* 0: never */
};

int token_add(struct store *store, const struct token_row *row, const char *actor, const char *origin,
	      int64_t wall_ms, struct err *err);
int token_revoke(struct store *store, const char *name, const char *actor, const char *origin, int64_t wall_ms,
		 struct err *err);

/* out->role is WEB_NOBODY for one that was revoked or has expired. */
int token_find(struct store *store, const char *digest, int64_t wall_ms, struct web_token *out, struct err *err);

/* Whether any is in force. */
int token_exists(struct store *store, int64_t wall_ms, bool *out, struct err *err);

/*
 * {"tokens":[{"token":"ci", "role":"operator", "state":"in force|expired|revoked", "created":..., "created_by":...,
 *  "expires":... or null, "revoked":...}...newest first]}
 */
int token_list(struct store *store, int64_t wall_ms, json_t **out, struct err *err);

#endif
