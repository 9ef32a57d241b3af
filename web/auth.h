/*
 * auth.h - who asks, and whether they may
 *
 * What a request is judged by:
 *   - over the control socket, the kernel's word (SO_PEERCRED): the owner of the server and root may everything,
 *     over the shared one members of its group are operators, everybody else is refused;
 *   - `Authorization: Bearer stoker_...`: a token, looked up by its SHA-256. (A token is 256 random bits, so nobody
 *     guesses it, and a slow hash would protect nothing; it is hashed so that a copy of the database opens no door.)
 *   - a session's cookie, which a browser got for a token. Sessions live in memory, point to their token, and are
 *     worth what that is worth at the moment: a revoked token ends them;
 *   - from this machine, and without a proxy in front: reading.
 * A browser may have been sent by somebody else's page. So over TCP the Host must be one of ours (else a name of the
 * attacker's that points here would do: DNS rebinding), what Origin or Sec-Fetch-Site call another site is refused,
 * and a change by cookie needs the header X-Stoker-Request, which no foreign page can send without asking first
 * (CORS, which is never granted).
 *
 * Failed tokens are logged, and answered later and later (auth_failure_delay_ms); that holds up who tries, and not who
 * has a good one.
 *
 * Pure but for random numbers: times and facts come from the caller.
 */
#ifndef WEB_AUTH_H
#define WEB_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "web/source.h"

enum {
	AUTH_SESSIONS_MAX = 256,
	AUTH_SESSION_MS_MAX = 12 * 3600 * 1000,
	AUTH_SECRET_BYTES = 64, /* text of a token or a session, with its NUL */
	AUTH_FAILURES = 64,
	AUTH_DELAY_MS_MAX = 8000,
};

#define AUTH_TOKEN_PREFIX  "stoker_"
#define AUTH_COOKIE	   "stoker_session"
#define AUTH_CHANGE_HEADER "X-Stoker-Request"

const char *auth_role_name(enum web_role role); /* "viewer" */

/* WEB_NOBODY: no such role. */
enum web_role auth_role_of(const char *name);

/* --- secrets ---------------------------------------------------------------------------------------------- */

/* A new one: the prefix and 256 random bits. 0 or ERR_IO. */
int auth_make_secret(const char *prefix, char secret_out[AUTH_SECRET_BYTES], struct err *err);

/* What is stored of it. */
const char *auth_digest(const char *secret, char digest_out[WEB_DIGEST_BYTES]);

/* --- where a request came from ------------------------------------------------------------------------------ */

/* The name in a Host header, without its port and brackets; false when it is malformed. */
bool auth_host_name(const char *host, char name_out[256]);

/* localhost, 127.0.0.0/8 and ::1 */
bool auth_is_loopback(const char *name);

/* Whether a Host header is one of ours; `hosts` are names besides those of this machine. */
bool auth_host_is_ours(const char *host, const char *const *hosts, size_t count);

/* Whether a browser says that another site's page sent this. `host`, `origin`, `fetch_site` may be NULL. */
bool auth_is_foreign(const char *host, const char *origin, const char *fetch_site);

/* --- sessions --------------------------------------------------------------------------------------------- */

struct auth_session {
	char digest[WEB_DIGEST_BYTES];	     /* of its secret; "": free */
	char token_digest[WEB_DIGEST_BYTES]; /* of the token that it was made for */
	int64_t until_mono_ms;
};

/* Of one address, remembered a while. */
struct auth_failure {
	char address[64];
	int count;
	int64_t last_mono_ms;
};

struct auth {
	struct auth_session sessions[AUTH_SESSIONS_MAX];
	struct auth_failure failures[AUTH_FAILURES];
};

/* The oldest goes when there are too many. */
int auth_add_session(struct auth *auth, const char *token_digest, int64_t now_mono_ms,
		     char secret_out[AUTH_SECRET_BYTES], struct err *err);

/* The digest of the token that a session is worth; NULL: there is no such session. */
const char *auth_find_session(struct auth *auth, const char *secret, int64_t now_mono_ms);

void auth_end_session(struct auth *auth, const char *secret);

/* Of the cookies in a Cookie header, the session's; false when it has none. */
bool auth_read_cookie(const char *header, char secret_out[AUTH_SECRET_BYTES]);

/* --- failures ----------------------------------------------------------------------------------------------- */

/* Notes a failed token; how long its answer is to be held back. */
int64_t auth_failure_delay_ms(struct auth *auth, const char *address, int64_t now_mono_ms);

void auth_forget_failures(struct auth *auth, const char *address);

#endif
