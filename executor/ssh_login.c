#include "executor/ssh_login.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/ssh_agent.h"
#include "executor/ssh_keyfile.h"

enum { TOO_MANY_KEYS = 3 }; /* sshd's default is 6, and it hangs up when they are used up */

struct login {
	struct ssh_session *session;
	const struct ssh_host *host;
	const struct ssh_wait *wait;
	struct ssh_keyfile files[SSH_WORDS_MAX]; /* of the identities, by their number */
	bool readable[SSH_WORDS_MAX];
	int agent_fd;
	struct ssh_agent_keys held;
	bool used[SSH_AGENT_KEYS_MAX]; /* by their number in `held`: tried, or not to be tried */
	char *key_out;
	struct buf tried; /* "; <key>: <why not>" for each */
	size_t refused;	  /* by the host */
	char beyond[256]; /* what the ssh program could use and libssh2 cannot; "" when there is nothing */
};

enum { GO_ON = 1 }; /* beside 0, which means that we are in, and the errors */

/* --- what can be used ----------------------------------------------------------------------------------- */

static void note_beyond(struct login *login, const char *name, const char *why)
{
	if (login->beyond[0] == '\0')
		snprintf(login->beyond, sizeof login->beyond, "the key %.150s %s", name, why);
	buf_printf(&login->tried, "; %s %s", name, why);
}

/* False when libssh2 has no use for that type of key, which is noted. */
static bool can_use(struct login *login, const char *name, const char *type)
{
	if (strstr(type, "-cert-v01@") != NULL)
		note_beyond(login, name, "is a certificate, which libssh2 cannot use");
	else if (strncmp(type, "sk-", 3) == 0)
		note_beyond(login, name, "is of a security key, which libssh2 cannot use");
	else if (strcmp(type, "ssh-rsa") == 0 && !ssh_session_can_rsa())
		note_beyond(login, name,
			    "is RSA, which libssh2 before 1.11 only signs as servers of today refuse");
	else if (strcmp(type, "ssh-dss") == 0)
		buf_printf(&login->tried, "; %s is DSA, which servers of today refuse", name);
	else
		return true;
	return false;
}

/* What came of a key that was tried: on with the next one, or not. */
static int judge_try(struct login *login, int rc, const char *name, struct err *err)
{
	if (rc == 0) {
		snprintf(login->key_out, SSH_LOGIN_KEY_BYTES, "%s", name);
		return 0;
	}
	if (rc == ERR_DENIED || rc == ERR_INVALID) {
		login->refused += rc == ERR_DENIED;
		buf_printf(&login->tried, "; %s: %s", name, err->text);
		return GO_ON;
	}
	return rc;
}

/* --- keys of ssh-agent ---------------------------------------------------------------------------------- */

struct signing {
	struct login *login;
	const struct buf *key;
	struct err err;
};

static struct ssh_wait shorten(const struct ssh_wait *wait, int64_t limit_ms)
{
	int64_t until_ms = clock_mono_ms() + limit_ms;

	return (struct ssh_wait){ until_ms < wait->until_ms ? until_ms : wait->until_ms, wait->cancel_fd };
}

/* One that did not answer might still: its next answer would be taken for another one's. */
static void close_agent(struct login *login)
{
	if (login->agent_fd >= 0)
		close(login->agent_fd);
	login->agent_fd = -1;
}

static int sign(void *context, const uint8_t *data, size_t n, struct buf *out)
{
	struct signing *signing = context;
	struct login *login = signing->login;
	struct ssh_wait wait = shorten(login->wait, SSH_AGENT_SIGN_MS);
	int rc = ssh_agent_sign(login->agent_fd, &wait, signing->key, data, n, out, &signing->err);

	if (rc < 0 && rc != ERR_DENIED)
		close_agent(login);
	return rc < 0 ? -1 : 0;
}

static int try_held(struct login *login, size_t number, const char *file, struct err *err)
{
	struct signing signing = { .login = login, .key = &login->held.keys[number].key };
	const char *comment = login->held.keys[number].comment;
	char type[HOSTKEY_TYPE_BYTES], name[SSH_LOGIN_KEY_BYTES];
	int rc;

	login->used[number] = true;
	if (login->agent_fd < 0 || !hostkey_type(signing.key->data, signing.key->bytes, type))
		return GO_ON;
	snprintf(name, sizeof name, "%.150s (%s, by ssh-agent)",
		 file != NULL	      ? file
		 : comment[0] != '\0' ? comment
				      : "a key without a name",
		 type);
	if (!can_use(login, name, type))
		return GO_ON;
	rc = ssh_session_login_key(login->session, login->host->user, signing.key->data, signing.key->bytes,
				   sign, &signing, login->wait, err);
	if (signing.err.code == ERR_BUSY)
		return err_set(err, ERR_BUSY, "given up");
	if (rc == ERR_DENIED && signing.err.code != 0) {
		buf_printf(&login->tried, "; %s: ssh-agent does not sign: %s", name, signing.err.text);
		return GO_ON;
	}
	return judge_try(login, rc, name, err);
}

/* Asks what it holds. Without an answer of its it is gone without. */
static int open_agent(struct login *login, struct err *err)
{
	struct ssh_wait wait = shorten(login->wait, SSH_AGENT_LIST_MS);
	const char *path = login->host->agent;
	struct err why;

	if (path == NULL)
		return 0;
	login->agent_fd = ssh_agent_open(path, &wait, &why);
	if (login->agent_fd >= 0 && ssh_agent_list(login->agent_fd, &wait, &login->held, &why) == 0)
		return 0;
	close_agent(login);
	if (why.code == ERR_BUSY)
		return err_set(err, ERR_BUSY, "given up");
	buf_printf(&login->tried, "; ssh-agent at %s: %s", path, why.text);
	return 0;
}

/* --- identity files ------------------------------------------------------------------------------------- */

static void read_files(struct login *login)
{
	const struct ssh_host *host = login->host;

	for (size_t i = 0; i < host->identities.count; i++) {
		const char *path = host->identities.words[i];
		struct err err;
		int rc = ssh_keyfile_read(path, &login->files[i], &err);

		login->readable[i] = rc == 0;
		/* Of those that are only looked for by default, most are not there. */
		if (rc < 0 && (host->identities_named || rc != ERR_NOT_FOUND))
			buf_printf(&login->tried, "; %s: %s", path, err.text);
	}
}

/* The number of the key that the agent holds for this file; or `count`. */
static size_t find_held(const struct login *login, const struct ssh_keyfile *file)
{
	const struct ssh_agent_keys *held = &login->held;

	for (size_t i = 0; i < held->count; i++)
		if (file->public_key.bytes > 0 && held->keys[i].key.bytes == file->public_key.bytes &&
		    memcmp(held->keys[i].key.data, file->public_key.data, file->public_key.bytes) == 0)
			return i;
	return held->count;
}

static int try_file(struct login *login, size_t number, struct err *err)
{
	const struct ssh_keyfile *file = &login->files[number];
	const char *path = login->host->identities.words[number];
	int rc;

	if (file->public_only) {
		buf_printf(&login->tried, "; %s: it is a public key, and no ssh-agent holds the other half",
			   path);
		return GO_ON;
	}
	if (!can_use(login, path, file->type))
		return GO_ON;
	if (file->encrypted) {
		buf_printf(&login->tried, "; %s is encrypted: put it into ssh-agent (ssh-add %s)%s", path,
			   path,
			   login->host->agent == NULL ? ", of which none is known here (SSH_AUTH_SOCK)" : "");
		return GO_ON;
	}
	rc = ssh_session_login_file(login->session, login->host->user, path, login->wait, err);
	rc = judge_try(login, rc, path, err);
	if (rc == GO_ON && file->certified)
		note_beyond(login, path, "has a certificate, which libssh2 cannot use");
	return rc;
}

/* --- all of them ---------------------------------------------------------------------------------------- */

static int try_keys(struct login *login, struct err *err)
{
	size_t files = login->host->identities.count;
	bool done[SSH_WORDS_MAX] = { false };
	int rc = open_agent(login, err);

	if (rc < 0)
		return rc;
	rc = GO_ON;
	for (size_t i = 0; i < files && rc == GO_ON; i++) {
		size_t number = login->readable[i] ? find_held(login, &login->files[i]) : login->held.count;

		done[i] = number < login->held.count;
		if (done[i] && !login->used[number])
			rc = try_held(login, number, login->host->identities.words[i], err);
	}
	for (size_t i = 0; i < login->held.count && rc == GO_ON && !login->host->identities_only; i++)
		if (!login->used[i])
			rc = try_held(login, i, NULL, err);
	for (size_t i = 0; i < files && rc == GO_ON; i++)
		if (login->readable[i] && !done[i])
			rc = try_file(login, i, err);
	return rc;
}

static int refuse(struct login *login, const char *methods, struct err *err)
{
	const struct ssh_host *host = login->host;
	bool keys = strstr(methods, "publickey") != NULL;
	const char *tried = buf_text(&login->tried);

	if (!keys && host->gssapi && strstr(methods, "gssapi") != NULL)
		return err_set(err, ERR_VERSION, "it asks for GSSAPI (Kerberos)");
	if (keys && login->beyond[0] != '\0')
		return err_set(err, ERR_VERSION, "%s", login->beyond);
	if (keys && host->gssapi && strstr(methods, "gssapi") != NULL)
		return err_set(err, ERR_VERSION, "it takes GSSAPI (Kerberos), and none of our keys");
	if (!keys)
		return err_set(err, ERR_DENIED,
			       "%s lets %s in by %s only: allow keys there (PubkeyAuthentication)",
			       host->host, host->user, methods);
	return err_set(err, ERR_DENIED, "%s lets %s in with none of our keys (it takes: %s)%s", host->host,
		       host->user, methods,
		       tried[0] != '\0'	     ? tried
		       : host->agent == NULL ? "; there is no key file, and no ssh-agent (SSH_AUTH_SOCK)"
					     : "; there is no key file, and ssh-agent holds no key");
}

static int log_in(struct login *login, struct err *err)
{
	autobuf struct buf methods = { 0 };
	const struct ssh_host *host = login->host;
	int rc = ssh_session_methods(login->session, host->user, login->wait, &methods, err);

	if (rc < 0)
		return err_wrap(err, "log in as %s at %s", host->user, host->host);
	if (methods.bytes == 0)
		return 0; /* It asks for nothing. */
	read_files(login);
	rc = strstr(buf_text(&methods), "publickey") == NULL ? GO_ON : try_keys(login, err);
	if (rc == GO_ON)
		return refuse(login, buf_text(&methods), err);
	if (rc == ERR_IO && login->refused >= TOO_MANY_KEYS)
		return err_set(err, ERR_DENIED,
			       "%s hung up after %zu keys of ours (MaxAuthTries): name the right one in"
			       " 'identity'%s",
			       host->host, login->refused, buf_text(&login->tried));
	return rc < 0 ? err_wrap(err, "log in as %s at %s", host->user, host->host) : 0;
}

int ssh_login(struct ssh_session *session, const struct ssh_host *host, const struct ssh_wait *wait,
	      char key_out[SSH_LOGIN_KEY_BYTES], struct err *err)
{
	struct login *login = mem_zalloc(sizeof *login);
	int rc;

	login->session = session;
	login->host = host;
	login->wait = wait;
	login->agent_fd = -1;
	login->key_out = key_out;
	key_out[0] = '\0';
	rc = log_in(login, err);
	close_agent(login);
	ssh_agent_keys_fini(&login->held);
	for (size_t i = 0; i < host->identities.count; i++)
		ssh_keyfile_fini(&login->files[i]);
	buf_fini(&login->tried);
	free(login);
	return rc;
}
