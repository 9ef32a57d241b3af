#include "web/auth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "common/digest.h"
#include "common/scope.h"

enum { RANDOM_BYTES = 32, FAILURES_FREE = 3, FAILURES_FORGOTTEN_MS = 10 * 60 * 1000 };

static const char *const role_names[] = {
	[WEB_NOBODY] = "nobody", [WEB_VIEWER] = "viewer", [WEB_OPERATOR] = "operator", [WEB_ADMIN] = "admin"
};

const char *auth_role_name(enum web_role role)
{
	return role_names[role];
}

enum web_role auth_role_of(const char *name)
{
	for (size_t i = WEB_VIEWER; i < COUNT_OF(role_names); i++)
		if (strcmp(role_names[i], name) == 0)
			return (enum web_role)i;
	return WEB_NOBODY;
}

/* --- secrets ---------------------------------------------------------------------------------------------- */

int auth_make_secret(const char *prefix, char secret_out[AUTH_SECRET_BYTES], struct err *err)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t random[RANDOM_BYTES];
	size_t at = strlen(prefix), bits = 0;
	uint32_t held = 0;

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return err_errno(err, "get random numbers");
	memcpy(secret_out, prefix, at);
	for (size_t i = 0; i < sizeof random; i++) {
		held = held << 8 | random[i];
		for (bits += 8; bits >= 6; bits -= 6)
			secret_out[at++] = digits[held >> (bits - 6) & 63];
	}
	secret_out[at++] = digits[held << (6 - bits) & 63];
	secret_out[at] = '\0';
	return 0;
}

const char *auth_digest(const char *secret, char digest_out[WEB_DIGEST_BYTES])
{
	uint8_t bytes[DIGEST_BYTES];
	struct digest digest;

	digest_init(&digest);
	digest_add(&digest, secret, strlen(secret));
	digest_end(&digest, bytes);
	return digest_hex(bytes, digest_out);
}

/* --- where a request came from ------------------------------------------------------------------------------ */

/* What follows the name: nothing, or a port. */
static bool is_port(const char *text)
{
	size_t digits;

	if (*text == '\0')
		return true;
	if (*text++ != ':')
		return false;
	digits = strspn(text, "0123456789");
	return digits <= 5 && text[digits] == '\0';
}

bool auth_host_name(const char *host, char name_out[256])
{
	bool bracket = host[0] == '[';
	size_t bytes = bracket ? strcspn(host, "]") : strcspn(host, ":");
	const char *rest = host + bytes;

	if (bracket) {
		if (*rest++ != ']')
			return false;
		host++;
		bytes--;
	}
	if (bytes == 0 || bytes > 255 || !is_port(rest))
		return false;
	for (size_t i = 0; i < bytes; i++)
		if (host[i] <= ' ' || host[i] == 0x7f || strchr("/\\@?#", host[i]) != NULL)
			return false;
	memcpy(name_out, host, bytes);
	name_out[bytes] = '\0';
	if (!bracket && name_out[bytes - 1] == '.')
		name_out[bytes - 1] = '\0'; /* a name may end with the root's dot */
	return name_out[0] != '\0';
}

bool auth_is_loopback(const char *name)
{
	struct in_addr four;
	struct in6_addr six;

	if (strcasecmp(name, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, name, &four) == 1)
		return (ntohl(four.s_addr) >> 24) == 127;
	if (inet_pton(AF_INET6, name, &six) != 1)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&six))
		return six.s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&six);
}

bool auth_host_is_ours(const char *host, const char *const *hosts, size_t count)
{
	char name[256];

	if (host == NULL || !auth_host_name(host, name))
		return false;
	if (auth_is_loopback(name))
		return true;
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(hosts[i], name) == 0)
			return true;
	return false;
}

bool auth_is_foreign(const char *host, const char *origin, const char *fetch_site)
{
	const char *authority;

	if (fetch_site != NULL && strcmp(fetch_site, "same-origin") != 0 && strcmp(fetch_site, "none") != 0)
		return true;
	if (origin == NULL)
		return false;
	if (strncmp(origin, "http://", 7) == 0)
		authority = origin + 7;
	else if (strncmp(origin, "https://", 8) == 0)
		authority = origin + 8;
	else
		return true; /* also "null", the origin of a page in a sandbox */
	return host == NULL || strcasecmp(authority, host) != 0;
}

/* --- sessions --------------------------------------------------------------------------------------------- */

int auth_add_session(struct auth *auth, const char *token_digest, int64_t now_mono_ms,
		     char secret_out[AUTH_SECRET_BYTES], struct err *err)
{
	struct auth_session *place = &auth->sessions[0];

	if (auth_make_secret("", secret_out, err) < 0)
		return err->code;
	for (size_t i = 0; i < AUTH_SESSIONS_MAX; i++) {
		struct auth_session *session = &auth->sessions[i];

		if (session->digest[0] == '\0' || session->until_mono_ms < place->until_mono_ms)
			place = session;
		if (place->digest[0] == '\0')
			break;
	}
	auth_digest(secret_out, place->digest);
	snprintf(place->token_digest, sizeof place->token_digest, "%s", token_digest);
	place->until_mono_ms = now_mono_ms + AUTH_SESSION_MS_MAX;
	return 0;
}

static struct auth_session *find_session(struct auth *auth, const char *secret)
{
	char digest[WEB_DIGEST_BYTES];

	auth_digest(secret, digest);
	for (size_t i = 0; i < AUTH_SESSIONS_MAX; i++)
		if (strcmp(auth->sessions[i].digest, digest) == 0)
			return &auth->sessions[i];
	return NULL;
}

const char *auth_find_session(struct auth *auth, const char *secret, int64_t now_mono_ms)
{
	struct auth_session *session = find_session(auth, secret);

	if (session == NULL || session->until_mono_ms < now_mono_ms)
		return NULL;
	return session->token_digest;
}

void auth_end_session(struct auth *auth, const char *secret)
{
	struct auth_session *session = find_session(auth, secret);

	if (session != NULL)
		memset(session, 0, sizeof *session);
}

bool auth_read_cookie(const char *header, char secret_out[AUTH_SECRET_BYTES])
{
	static const char name[] = AUTH_COOKIE "=";

	while (header != NULL && *header != '\0') {
		size_t bytes;

		header += strspn(header, " ;");
		bytes = strcspn(header, ";");
		if (bytes >= sizeof name && strncmp(header, name, sizeof name - 1) == 0 &&
		    bytes - (sizeof name - 1) < AUTH_SECRET_BYTES) {
			memcpy(secret_out, header + sizeof name - 1, bytes - (sizeof name - 1));
			secret_out[bytes - (sizeof name - 1)] = '\0';
			return true;
		}
		header += bytes;
	}
	return false;
}

/* --- failures ----------------------------------------------------------------------------------------------- */

/* The entry of an address, or the one that was quiet for longest. */
static struct auth_failure *find_failure(struct auth *auth, const char *address)
{
	struct auth_failure *oldest = &auth->failures[0];

	for (size_t i = 0; i < AUTH_FAILURES; i++) {
		if (strcmp(auth->failures[i].address, address) == 0)
			return &auth->failures[i];
		if (auth->failures[i].last_mono_ms < oldest->last_mono_ms)
			oldest = &auth->failures[i];
	}
	return oldest;
}

int64_t auth_failure_delay_ms(struct auth *auth, const char *address, int64_t now_mono_ms)
{
	struct auth_failure *failure = find_failure(auth, address);
	int64_t delay_ms = 250;

	if (strcmp(failure->address, address) != 0 || now_mono_ms - failure->last_mono_ms > FAILURES_FORGOTTEN_MS)
		failure->count = 0;
	snprintf(failure->address, sizeof failure->address, "%s", address);
	failure->last_mono_ms = now_mono_ms;
	failure->count++;
	for (int i = FAILURES_FREE; i < failure->count && delay_ms < AUTH_DELAY_MS_MAX; i++)
		delay_ms *= 2;
	return failure->count <= FAILURES_FREE ? 0 : delay_ms > AUTH_DELAY_MS_MAX ? AUTH_DELAY_MS_MAX : delay_ms;
}

void auth_forget_failures(struct auth *auth, const char *address)
{
	struct auth_failure *failure = find_failure(auth, address);

	if (strcmp(failure->address, address) == 0)
		memset(failure, 0, sizeof *failure);
}
