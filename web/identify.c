#include "web/identify.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "web/answer.h"

enum { DELAYED_MAX = 64, GROUPS_MAX = 1024, USER_BYTES = 4096 };

static struct web *web_of(const struct exchange *exchange)
{
	return exchange->connection->listener->web;
}

static void set_caller(struct exchange *exchange, enum web_role role, const char *actor)
{
	snprintf(exchange->actor, sizeof exchange->actor, "%s", actor);
	exchange->caller.actor = exchange->actor;
	exchange->caller.origin = exchange->origin;
	exchange->caller.role = role;
	exchange->caller.local = exchange->connection->listener->local;
}

/* --- refusing --------------------------------------------------------------------------------------------- */

static int refuse(struct exchange *exchange, unsigned status, const char *detail)
{
	answer_problem(exchange, status, ERR_DENIED, detail);
	if (status == 401)
		answer_header(exchange, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"stoker\"");
	return ERR_DENIED;
}

/* The answer is ready, and is held back. */
static void put_off(struct exchange *exchange, int64_t delay_ms)
{
	struct web *web = web_of(exchange);

	if (delay_ms == 0)
		return;
	if (web->delayed_count >= DELAYED_MAX) {
		refuse(exchange, 429, "too many wrong tokens at once; try again later");
		return;
	}
	exchange->delayed_until_mono_ms = clock_mono_ms() + delay_ms;
	exchange->state = EXCHANGE_ASKING;
	list_append(&web->delayed, &exchange->link);
	web->delayed_count++;
	http->suspend_connection(exchange->mhd);
}

static int refuse_secret(struct exchange *exchange, const char *detail)
{
	const char *address = exchange->connection->address;
	int64_t delay_ms = auth_failure_delay_ms(&web_of(exchange)->auth, address, clock_mono_ms());

	log_warn("login.failed", TEXT("address", address), NUMBER("delay_ms", delay_ms));
	refuse(exchange, 401, detail);
	put_off(exchange, delay_ms);
	return ERR_DENIED;
}

/* --- tokens and sessions ---------------------------------------------------------------------------------- */

/* WEB_NOBODY in *out: there is no such token, or none that is good any more. */
static int look_up(struct exchange *exchange, const char *digest, struct web_token *out)
{
	const struct web_source *source = web_of(exchange)->source;
	struct err err;
	int rc;

	memset(out, 0, sizeof *out);
	rc = source->token(source->context, digest, out, &err);
	if (rc == 0 || rc == ERR_NOT_FOUND)
		return 0;
	answer_error(exchange, &err);
	return rc;
}

static void take_token(struct exchange *exchange, const struct web_token *token)
{
	snprintf(exchange->origin, sizeof exchange->origin, "%s %s %s", exchange->connection->address,
		 exchange->by_cookie ? "page" : "token", token->name);
	set_caller(exchange, token->role, token->name);
}

static int take_secret(struct exchange *exchange, const char *secret)
{
	char digest[WEB_DIGEST_BYTES];
	struct web_token token;
	int rc = look_up(exchange, auth_digest(secret, digest), &token);

	if (rc < 0)
		return rc;
	if (token.role == WEB_NOBODY)
		return refuse_secret(exchange,
				     "this token is not known, has expired or was revoked; `stoker token list` shows"
				     " those that there are");
	auth_forget_failures(&web_of(exchange)->auth, exchange->connection->address);
	take_token(exchange, &token);
	return 0;
}

/* A cookie outlives its session now and then: then it counts for nothing. */
static int take_session(struct exchange *exchange, const char *secret)
{
	const char *digest = auth_find_session(&web_of(exchange)->auth, secret, clock_mono_ms());
	struct web_token token;

	if (digest == NULL)
		return 0;
	if (look_up(exchange, digest, &token) < 0)
		return ERR_IO;
	if (token.role == WEB_NOBODY)
		return 0;
	exchange->by_cookie = true;
	take_token(exchange, &token);
	return 0;
}

/* "Bearer x", in whatever case the scheme's name is; NULL: something else. */
static const char *bearer_of(const char *header)
{
	if (strncasecmp(header, "bearer", 6) != 0 || header[6] != ' ')
		return NULL;
	return header + 6 + strspn(header + 6, " ");
}

static int take_credentials(struct exchange *exchange)
{
	const char *authorization = exchange_header(exchange, MHD_HTTP_HEADER_AUTHORIZATION);
	char secret[AUTH_SECRET_BYTES];

	if (authorization != NULL) {
		const char *token = bearer_of(authorization);

		return token == NULL ? refuse(exchange, 401, "only Bearer tokens are taken: Authorization: Bearer"
							      " stoker_...")
				     : take_secret(exchange, token);
	}
	if (auth_read_cookie(exchange_header(exchange, MHD_HTTP_HEADER_COOKIE), secret))
		return take_session(exchange, secret);
	return 0;
}

/* --- over the control socket ------------------------------------------------------------------------------ */

static bool is_in_group(int fd, gid_t group)
{
	gid_t groups[GROUPS_MAX];
	socklen_t bytes = sizeof groups;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) < 0)
		return false;
	for (size_t i = 0; i < bytes / sizeof *groups; i++)
		if (groups[i] == group)
			return true;
	return false;
}

static void name_user(struct web *web, uid_t uid, char out[WEB_NAME_BYTES])
{
	char bytes[USER_BYTES];
	struct passwd user, *found = NULL;

	if (web->known_user[0] == '\0' || web->known_uid != uid) {
		if (getpwuid_r(uid, &user, bytes, sizeof bytes, &found) == 0 && found != NULL)
			snprintf(web->known_user, sizeof web->known_user, "%s", user.pw_name);
		else
			snprintf(web->known_user, sizeof web->known_user, "uid %lu", (unsigned long)uid);
		web->known_uid = uid;
	}
	memcpy(out, web->known_user, WEB_NAME_BYTES);
}

void identify_peer(struct connection *connection)
{
	struct web *web = connection->listener->web;
	struct ucred peer;
	socklen_t bytes = sizeof peer;

	if (getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
		return;
	name_user(web, peer.uid, connection->user);
	snprintf(connection->address, sizeof connection->address, "uid %lu", (unsigned long)peer.uid);
	if (peer.uid == geteuid() || peer.uid == 0)
		connection->role = WEB_ADMIN;
	else if (connection->listener->shared &&
		 (peer.gid == web->shared_gid || is_in_group(connection->fd, web->shared_gid)))
		connection->role = WEB_OPERATOR;
}

static int identify_local(struct exchange *exchange)
{
	const struct connection *connection = exchange->connection;
	char text[300], owner[WEB_NAME_BYTES];

	if (connection->role == WEB_NOBODY) {
		name_user(web_of(exchange), geteuid(), owner);
		snprintf(text, sizeof text,
			 "this stoker belongs to %s, and %s is not allowed to use it; others may over a socket of"
			 " their own: 'shared' below 'web' in stoker.yaml",
			 owner, connection->user[0] == '\0' ? "whoever asks" : connection->user);
		log_warn("control.refused", TEXT("user", connection->user));
		return refuse(exchange, 403, text);
	}
	snprintf(exchange->origin, sizeof exchange->origin, "control socket");
	set_caller(exchange, connection->role, connection->user);
	return 0;
}

/* --- over TCP --------------------------------------------------------------------------------------------- */

static int check_host(struct exchange *exchange, const char *host)
{
	const struct web_settings *settings = web_of(exchange)->settings;

	if (auth_host_is_ours(host, settings->hosts, settings->hosts_count))
		return 0;
	return refuse(exchange, 421,
		      "this server does not go by the name in the Host header; names besides those of this machine"
		      " are told by 'hosts' below 'web' in stoker.yaml");
}

static int check_change(struct exchange *exchange, bool changes)
{
	if (changes && exchange->by_cookie && exchange_header(exchange, AUTH_CHANGE_HEADER) == NULL)
		return refuse(exchange, 403,
			      "a change by a session needs the header " AUTH_CHANGE_HEADER ", which a foreign page"
			      " cannot send");
	return 0;
}

static int identify_remote(struct exchange *exchange, bool changes)
{
	const struct web_settings *settings = web_of(exchange)->settings;
	const char *host = exchange_header(exchange, MHD_HTTP_HEADER_HOST);

	if (check_host(exchange, host) < 0)
		return ERR_DENIED;
	if (auth_is_foreign(host, exchange_header(exchange, "Origin"), exchange_header(exchange, "Sec-Fetch-Site")))
		return refuse(exchange, 403, "this request was made by the page of another site");
	snprintf(exchange->origin, sizeof exchange->origin, "%s", exchange->connection->address);
	set_caller(exchange, exchange->connection->at_home && !settings->behind_proxy ? WEB_VIEWER : WEB_NOBODY, "");
	if (take_credentials(exchange) < 0)
		return ERR_DENIED;
	return check_change(exchange, changes);
}

int identify(struct exchange *exchange, bool changes)
{
	return exchange->connection->listener->local ? identify_local(exchange) : identify_remote(exchange, changes);
}

/* --- sessions --------------------------------------------------------------------------------------------- */

void identify_tell(struct exchange *exchange)
{
	const struct web_caller *caller = &exchange->caller;

	answer_json(exchange, 200,
		    json_pack("{s:s, s:s?, s:b}", "role", auth_role_name(caller->role), "name",
			      caller->actor[0] == '\0' ? NULL : caller->actor, "session", exchange->by_cookie));
}

static void set_cookie(struct exchange *exchange, const char *secret, int64_t seconds)
{
	const struct web_settings *settings = web_of(exchange)->settings;
	bool secure = settings->certificate_path != NULL || settings->behind_proxy;
	char text[256];

	snprintf(text, sizeof text, "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%lld%s", AUTH_COOKIE, secret,
		 (long long)seconds, secure ? "; Secure" : "");
	answer_header(exchange, MHD_HTTP_HEADER_SET_COOKIE, text);
}

void identify_login(struct exchange *exchange, const char *token)
{
	struct auth *auth = &web_of(exchange)->auth;
	char digest[WEB_DIGEST_BYTES], secret[AUTH_SECRET_BYTES];
	struct err err;

	exchange->by_cookie = true;
	if (take_secret(exchange, token) < 0)
		return;
	if (auth_add_session(auth, auth_digest(token, digest), clock_mono_ms(), secret, &err) < 0) {
		answer_error(exchange, &err);
		return;
	}
	log_info("session.opened", TEXT("token", exchange->actor), TEXT("address", exchange->connection->address));
	identify_tell(exchange);
	set_cookie(exchange, secret, AUTH_SESSION_MS_MAX / 1000);
}

void identify_logout(struct exchange *exchange)
{
	char secret[AUTH_SECRET_BYTES];

	if (auth_read_cookie(exchange_header(exchange, MHD_HTTP_HEADER_COOKIE), secret))
		auth_end_session(&web_of(exchange)->auth, secret);
	exchange->by_cookie = false;
	set_caller(exchange, WEB_NOBODY, "");
	identify_tell(exchange);
	set_cookie(exchange, "", 0);
}
