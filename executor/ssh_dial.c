#include "executor/ssh_dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/openssh.h"
#include "executor/ssh_cipher.h"
#include "executor/ssh_login.h"
#include "executor/ssh_program.h"
#include "executor/ssh_resolve.h"

enum {
	STACK_BYTES = 1024 * 1024,
	KEEPALIVE_IDLE_S = 15,
	KEEPALIVE_INTERVAL_S = 5,
	KEEPALIVE_COUNT = 4,
	USER_TIMEOUT_MS = 30000, /* sent and not acknowledged for so long: the connection is dead */
	UNSENT_BYTES = 256 * 1024,
};

struct ssh_dial {
	struct arena arena;
	struct ssh_target *target;
	const char *command;
	const char *learned;
	int cancel_fd; /* -1: none */
	struct ssh_dial_result result;
	bool by_program; /* only looking: the ssh program shows the keys */

	pthread_mutex_t mutex; /* of what follows */
	uv_async_t *async;     /* NULL: given up */
	bool done;
};

/* --- outcomes ------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int fail(struct ssh_dial *dial, enum fault fault,
						      const char *format, ...)
{
	va_list args;

	dial->result.outcome = SSH_DIAL_FAILED;
	dial->result.fault = fault;
	va_start(args, format);
	vsnprintf(dial->result.why, sizeof dial->result.why, format, args);
	va_end(args);
	return -1;
}

/* With libssh2 it cannot be done, for this reason: with openssh, or not at all. */
static int need_openssh(struct ssh_dial *dial, enum fault fault, const char *reason)
{
	if (dial->target->choice != SSH_LIBSSH2 && ssh_program_is_installed()) {
		dial->result.outcome = SSH_DIAL_OPENSSH;
		snprintf(dial->result.reason, sizeof dial->result.reason, "%s", reason);
		return -1;
	}
	return fail(dial, fault, "libssh2 %s cannot connect to it (%s): %s", ssh_session_library(), reason,
		    dial->target->choice == SSH_LIBSSH2 ? "set 'transport: auto' or 'openssh'"
		    : fault == FAULT_AUTH
			    ? "install the ssh program (openssh-client), or use a plain ed25519 key"
			    : "install the ssh program (openssh-client)");
}

/* --- connecting ----------------------------------------------------------------------------------------- */

static void set_options(int fd)
{
	const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS },
		/* What waits for the network waits in our queue, where urgent frames still come first. */
		{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES },
	};

	for (size_t i = 0; i < COUNT_OF(options); i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value);
}

/* 0, or the errno of why not; ECANCELED when the dial was given up. */
static int connect_to(struct ssh_dial *dial, const struct addrinfo *address, int64_t until_ms, int *fd_out)
{
	autoclose int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int failed = 0;
	socklen_t failed_bytes = sizeof failed;

	if (fd < 0)
		return errno;
	set_options(fd);
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)
		return errno;
	for (;;) {
		struct pollfd fds[2] = { { .fd = fd, .events = POLLOUT },
					 { .fd = dial->cancel_fd, .events = POLLIN } };
		int64_t left_ms = until_ms - clock_mono_ms();
		int rc = left_ms <= 0 ? 0 : poll(fds, 2, (int)left_ms);

		if (rc == 0)
			return ETIMEDOUT;
		if (rc > 0 && fds[1].revents != 0)
			return ECANCELED;
		if (rc > 0)
			break;
		if (errno != EINTR)
			return errno;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &failed_bytes) < 0)
		return errno;
	if (failed == 0)
		*fd_out = take_fd(fd);
	return failed;
}

static int refuse_connection(struct ssh_dial *dial, const struct ssh_host *host, int failed)
{
	switch (failed) {
	case ECANCELED:
		return fail(dial, FAULT_BROKEN, "given up");
	case ECONNREFUSED:
		return fail(dial, FAULT_REFUSED,
			    "%s refuses connections to port %d: is sshd running there, and on that port?",
			    host->host, host->port);
	case ETIMEDOUT:
		return fail(dial, FAULT_UNREACHABLE,
			    "%s does not answer on port %d within %d s: is the machine up, or does a "
			    "firewall drop"
			    " what is sent there?",
			    host->host, host->port, (int)(dial->target->connect_timeout_ms / 1000));
	case ENETUNREACH:
	case EHOSTUNREACH:
		return fail(dial, FAULT_UNREACHABLE, "there is no way to %s: %s", host->host,
			    strerror(failed));
	default:
		return fail(dial, FAULT_UNREACHABLE, "connect to %s port %d: %s", host->host, host->port,
			    strerror(failed));
	}
}

static void keep_address(struct ssh_dial *dial, const struct addrinfo *address)
{
	getnameinfo(address->ai_addr, address->ai_addrlen, dial->result.facts.address,
		    sizeof dial->result.facts.address, NULL, 0, NI_NUMERICHOST);
}

/* Tries each address; they share the time. */
static int connect_host(struct ssh_dial *dial, const struct ssh_host *host, int *fd_out)
{
	struct addrinfo hints = { .ai_family = host->address_family, .ai_socktype = SOCK_STREAM };
	int64_t until_ms = clock_mono_ms() + dial->target->connect_timeout_ms;
	struct addrinfo *addresses = NULL;
	int failed = 0, left = 0, rc;
	char port[16];

	snprintf(port, sizeof port, "%d", host->port);
	rc = getaddrinfo(host->host, port, &hints, &addresses);
	if (rc != 0)
		return fail(dial, FAULT_NAME, "the host name '%s' cannot be looked up: %s", host->host,
			    rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	for (const struct addrinfo *at = addresses; at != NULL; at = at->ai_next)
		left++;
	for (const struct addrinfo *at = addresses; at != NULL; at = at->ai_next, left--) {
		int64_t now_ms = clock_mono_ms();
		int refused = connect_to(dial, at, now_ms + (until_ms - now_ms) / left, fd_out);

		if (refused == 0)
			keep_address(dial, at);
		/* Of several causes the first that is more than silence. */
		if (failed == 0 || failed == ETIMEDOUT || refused == 0 || refused == ECANCELED)
			failed = refused;
		if (refused == 0 || refused == ECANCELED)
			break;
	}
	freeaddrinfo(addresses);
	return failed == 0 ? 0 : refuse_connection(dial, host, failed);
}

/* --- the host's key ------------------------------------------------------------------------------------- */

static struct hostkey_place place_of(const struct ssh_host *host)
{
	return (struct hostkey_place){
		.files = host->known_hosts.words,
		.files_count = host->known_hosts.count,
		.host = host->host,
		.port = host->port,
		.alias = host->alias,
	};
}

static int refuse_handshake(struct ssh_dial *dial, const struct ssh_host *host, struct ssh_session *session,
			    const struct err *err)
{
	const char *heard = ssh_session_heard(session);

	switch (err->code) {
	case ERR_BUSY:
		return fail(dial, FAULT_BROKEN, "given up");
	case ERR_VERSION:
		return need_openssh(dial, FAULT_PROTOCOL,
				    "no algorithm in common, as with a host that has RSA host keys only");
	default:
		break;
	}
	if (heard[0] != '\0' && strncmp(heard, "SSH-", 4) != 0)
		return fail(dial, FAULT_PROTOCOL, "what listens at %s port %d is no ssh server; it says '%s'",
			    host->host, host->port, heard);
	if (err->code == ERR_LIMIT)
		return fail(dial, FAULT_PROTOCOL,
			    "%s port %d takes the connection but %s within %d s: is it an ssh server, and "
			    "not frozen?",
			    host->host, host->port,
			    heard[0] == '\0' ? "says nothing" : "does not agree on keys",
			    SSH_LOGIN_MS / 1000);
	if (heard[0] == '\0')
		return fail(dial, FAULT_PROTOCOL,
			    "%s port %d takes the connection and hangs up at once: no ssh server, or one "
			    "that has too"
			    " many at the time (MaxStartups) or bars this address",
			    host->host, host->port);
	return fail(dial, FAULT_PROTOCOL, "the key exchange with %s failed: %s", host->host, err->text);
}

static int refuse_host(struct ssh_dial *dial, const struct hostkey_place *place,
		       const struct hostkey_finding *found)
{
	autobuf struct buf name = { 0 };
	const char *worker = dial->target->worker;

	hostkey_name(place, &name);
	switch (found->answer) {
	case HOSTKEY_REVOKED:
		return fail(dial, FAULT_HOSTKEY_REVOKED, "the key of %s is marked as revoked in %s:%d: %s %s",
			    buf_text(&name), found->file, found->line, found->type, found->fingerprint);
	case HOSTKEY_CHANGED:
		return fail(
			dial, FAULT_HOSTKEY_CHANGED,
			"the key of %s has changed: it shows %s %s, but %s:%d has %s. Either it was "
			"installed anew, or somebody else answers in its place. When you are sure: stoker "
			"workers trust %s --replace",
			buf_text(&name), found->type, found->fingerprint, found->file, found->line,
			found->old_fingerprint, worker);
	default:
		if (!ssh_session_can_rsa() && strstr(found->other_types, "ssh-rsa") != NULL)
			return need_openssh(dial, FAULT_HOSTKEY_UNKNOWN, "it is known by its RSA key only");
		return fail(dial, FAULT_HOSTKEY_UNKNOWN,
			    "the key of %s is not known: %s %s%s%s. Compare it with the machine's, then: "
			    "stoker workers"
			    " trust %s",
			    buf_text(&name), found->type, found->fingerprint,
			    found->other_types[0] == '\0' ? "" : "; known of it are other types: ",
			    found->other_types, worker);
	}
}

/* The types that are known first, then the rest: the answer must not depend on what a library likes best. */
static void order_types(const char *known, struct buf *out)
{
	static const char *const types[] = { "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
					     "ecdsa-sha2-nistp521" };

	for (int wanted = 1; wanted >= 0; wanted--) {
		for (size_t i = 0; i < COUNT_OF(types); i++)
			if ((strstr(known, types[i]) != NULL) == wanted)
				buf_printf(out, "%s%s", out->bytes > 0 ? "," : "", types[i]);
		if ((strstr(known, "ssh-rsa") != NULL) == wanted && ssh_session_can_rsa())
			buf_printf(out, "%srsa-sha2-512,rsa-sha2-256", out->bytes > 0 ? "," : "");
	}
}

static int greet(struct ssh_dial *dial, const struct ssh_host *host, struct ssh_session *session,
		 const struct ssh_wait *wait)
{
	struct hostkey_place place = place_of(host);
	autobuf struct buf types = { 0 };
	struct hostkey_finding found;
	char known[HOSTKEY_TYPES_BYTES];
	const uint8_t *key;
	struct err err;
	size_t n;

	if (hostkey_types(&place, known, &err) < 0)
		return fail(dial, FAULT_CONFIG, "%s", err.text);
	order_types(known, &types);
	if (ssh_session_handshake(session, buf_text(&types), wait, &err) < 0)
		return refuse_handshake(dial, host, session, &err);
	key = ssh_session_hostkey(session, &n);
	if (hostkey_check(&place, key, n, &found, &err) < 0)
		return fail(dial, FAULT_CONFIG, "%s", err.text);
	snprintf(dial->result.facts.host_key, sizeof dial->result.facts.host_key, "%s %s", found.type,
		 found.fingerprint);
	if (found.answer != HOSTKEY_KNOWN)
		return refuse_host(dial, &place, &found);
	return 0;
}

/* --- logging in ----------------------------------------------------------------------------------------- */

static int login(struct ssh_dial *dial, const struct ssh_host *host, struct ssh_session *session,
		 const struct ssh_wait *wait)
{
	struct err err;

	switch (ssh_login(session, host, wait, dial->result.facts.key, &err)) {
	case 0:
		return 0;
	case ERR_VERSION:
		return need_openssh(dial, FAULT_AUTH, err.text);
	case ERR_DENIED:
		return fail(dial, FAULT_AUTH, "%s", err.text);
	case ERR_LIMIT:
		return fail(dial, FAULT_UNREACHABLE, "%s", err.text);
	default:
		return fail(dial, FAULT_BROKEN, "%s", err.text);
	}
}

/* --- the whole way -------------------------------------------------------------------------------------- */

static void describe_host(const struct ssh_host *host, char *text, size_t bytes)
{
	snprintf(text, bytes, "%s@%s:%d", host->user, host->host, host->port);
}

static struct ssh_wait login_wait(const struct ssh_dial *dial)
{
	return (struct ssh_wait){ clock_mono_ms() + SSH_LOGIN_MS, dial->cancel_fd };
}

/* A session at the jump host, with a tunnel to the host behind it. */
static struct ssh_session *dial_jump(struct ssh_dial *dial, const struct ssh_host *jump,
				     const struct ssh_host *host)
{
	struct ssh_session *session;
	struct ssh_wait wait;
	struct err err;
	int fd;

	describe_host(jump, dial->result.facts.jump, sizeof dial->result.facts.jump);
	if (connect_host(dial, jump, &fd) < 0)
		return NULL;
	session = ssh_session_new(fd);
	wait = login_wait(dial);
	if (greet(dial, jump, session, &wait) == 0 && login(dial, jump, session, &wait) == 0) {
		wait.until_ms = clock_mono_ms() + dial->target->connect_timeout_ms;
		if (ssh_session_tunnel(session, host->host, host->port, &wait, &err) == 0)
			return ssh_session_through(session);
		fail(dial, err.code == ERR_BUSY ? FAULT_BROKEN : FAULT_UNREACHABLE,
		     "the jump host %s cannot connect to %s port %d: %s", jump->host, host->host, host->port,
		     err.text);
	}
	ssh_session_free(session);
	return NULL;
}

/* Where it is, and through what: with `jump` filled in when there is one. */
static int find_host(struct ssh_dial *dial, struct ssh_host *host, struct ssh_host *jump)
{
	struct err err;

	if (ssh_resolve(&dial->arena, dial->target, dial->cancel_fd, host, &err) < 0)
		return fail(dial, err.code == ERR_BUSY ? FAULT_BROKEN : FAULT_CONFIG, "%s", err.text);
	describe_host(host, dial->result.facts.host, sizeof dial->result.facts.host);
	if (host->jump != NULL)
		snprintf(dial->result.jump, sizeof dial->result.jump, "%s", host->jump);
	if (host->settled != NULL)
		dial->result.settled = mem_strdup(host->settled);
	if (host->ciphers != NULL)
		dial->result.ciphers = mem_strdup(host->ciphers);
	if (host->jump != NULL && host->openssh_reason == NULL) {
		if (ssh_resolve_jump(&dial->arena, dial->target, host->jump, dial->cancel_fd, jump, &err) < 0)
			return fail(dial, err.code == ERR_BUSY ? FAULT_BROKEN : FAULT_CONFIG,
				    "the jump host: %s", err.text);
		host->openssh_reason = jump->openssh_reason;
	}
	if (dial->target->choice == SSH_OPENSSH)
		return need_openssh(dial, FAULT_CONFIG, "it is set");
	if (host->openssh_reason != NULL)
		return need_openssh(dial, FAULT_CONFIG, host->openssh_reason);
	if (dial->learned[0] != '\0')
		return need_openssh(dial, FAULT_CONFIG, dial->learned);
	return 0;
}

/* A session with nothing said yet; NULL: it failed. */
static struct ssh_session *reach_host(struct ssh_dial *dial, const struct ssh_host *host,
				      const struct ssh_host *jump)
{
	int fd;

	if (host->jump != NULL)
		return dial_jump(dial, jump, host);
	if (connect_host(dial, host, &fd) < 0)
		return NULL;
	return ssh_session_new(fd);
}

static int dial_host(struct ssh_dial *dial)
{
	struct ssh_dial_result *result = &dial->result;
	struct ssh_session *session;
	struct ssh_host host, jump;
	struct ssh_wait wait;
	struct err err;

	if (find_host(dial, &host, &jump) < 0)
		return -1;
	session = reach_host(dial, &host, &jump);
	if (session == NULL)
		return -1;
	wait = login_wait(dial);
	if (greet(dial, &host, session, &wait) < 0 || login(dial, &host, session, &wait) < 0) {
		ssh_session_free(session);
		return -1;
	}
	if (ssh_session_exec(session, dial->command, &wait, &err) < 0) {
		ssh_session_free(session);
		return fail(dial, err.code == ERR_DENIED ? FAULT_SHELL : FAULT_BROKEN,
			    "%s lets us in but runs no command for us: %s (MaxSessions, or no login shell?)",
			    host.host, err.text);
	}
	snprintf(result->facts.ciphers, sizeof result->facts.ciphers, "%s", ssh_session_ciphers(session));
	result->session = session;
	result->outcome = SSH_DIAL_CONNECTED;
	return 0;
}

/* --- the thread ----------------------------------------------------------------------------------------- */

static void free_dial(struct ssh_dial *dial)
{
	close(dial->cancel_fd);
	pthread_mutex_destroy(&dial->mutex);
	arena_fini(&dial->arena);
	free(dial);
}

static void free_result(struct ssh_dial *dial)
{
	ssh_session_free(dial->result.session);
	free(dial->result.settled);
	free(dial->result.ciphers);
}

static void *run_dial(void *context)
{
	struct ssh_dial *dial = context;
	bool given_up;

	ssh_cipher_use();
	dial_host(dial);
	pthread_mutex_lock(&dial->mutex);
	dial->done = true;
	given_up = dial->async == NULL;
	if (!given_up)
		uv_async_send(dial->async);
	pthread_mutex_unlock(&dial->mutex);
	if (given_up) {
		free_result(dial);
		free_dial(dial);
	}
	return NULL;
}

struct ssh_dial *ssh_dial_start(const struct ssh_target *target, const char *command, const char *learned,
				uv_async_t *async)
{
	struct ssh_dial *dial = mem_zalloc(sizeof *dial);
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int rc;

	arena_init(&dial->arena);
	dial->target = ssh_target_copy(&dial->arena, target);
	dial->command = arena_strdup(&dial->arena, command);
	dial->learned = arena_strdup(&dial->arena, learned);
	dial->async = async;
	dial->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&dial->mutex, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	/* Signals are for the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = dial->cancel_fd < 0 ? errno : pthread_create(&thread, &attributes, run_dial, dial);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (rc != 0) {
		fail(dial, FAULT_BROKEN, "start to connect: %s", strerror(rc));
		dial->done = true;
		uv_async_send(async);
	}
	return dial;
}

void ssh_dial_take(struct ssh_dial *dial, struct ssh_dial_result *result_out)
{
	/* The mutex was held when the async was sent: wait for the thread to let go of it. */
	pthread_mutex_lock(&dial->mutex);
	pthread_mutex_unlock(&dial->mutex);
	*result_out = dial->result;
	free_dial(dial);
}

void ssh_dial_give_up(struct ssh_dial *dial)
{
	bool done;

	pthread_mutex_lock(&dial->mutex);
	done = dial->done;
	dial->async = NULL;
	if (!done)
		eventfd_write(dial->cancel_fd, 1);
	pthread_mutex_unlock(&dial->mutex);
	if (done) {
		free_result(dial);
		free_dial(dial);
	}
}

/* --- only looking --------------------------------------------------------------------------------------- */

/* One host on the way: how it was named, what that means, and the one before it. */
struct hop {
	struct ssh_target target;
	struct ssh_host host;
	struct hop *before; /* NULL: it is reached directly, or by what ssh knows of */
};

/* 1: it showed a key, 0: it has none of these types, negative: it could not be asked. */
static int see_by_libssh2(struct ssh_dial *dial, const struct hop *hop, const char *types, struct buf *key)
{
	struct ssh_session *session =
		reach_host(dial, &hop->host, hop->before == NULL ? NULL : &hop->before->host);
	struct ssh_wait wait = login_wait(dial);
	const uint8_t *shown = NULL;
	struct err err;
	int rc = -1;
	size_t n;

	if (session == NULL)
		return -1;
	if (ssh_session_handshake(session, types, &wait, &err) == 0)
		shown = ssh_session_hostkey(session, &n);
	else if (err.code == ERR_VERSION)
		rc = 0;
	else
		refuse_handshake(dial, &hop->host, session, &err);
	if (shown != NULL) {
		buf_append(key, shown, n);
		rc = 1;
	}
	ssh_session_free(session);
	return rc;
}

static int see_by_program(struct ssh_dial *dial, const struct hop *hop, const char *types, struct buf *key)
{
	enum fault fault;
	struct err err;
	int rc = openssh_meet(&hop->target, hop->host.jump, types, key, &fault, &err);

	if (rc == ERR_VERSION)
		return 0;
	return rc == 0 ? 1 : fail(dial, fault, "%s", err.text);
}

static int keep_key(struct ssh_dial *dial, struct ssh_look *look, const struct buf *key)
{
	struct ssh_shown *shown = &look->keys[look->keys_count];
	struct err err;

	if (key->bytes > sizeof shown->key)
		return fail(dial, FAULT_PROTOCOL, "the key of %s is too long", look->place.host);
	for (size_t i = 0; i < look->keys_count; i++)
		if (look->keys[i].key_bytes == key->bytes &&
		    memcmp(look->keys[i].key, key->data, key->bytes) == 0)
			return 0;
	if (hostkey_check(&look->place, key->data, key->bytes, &shown->finding, &err) < 0)
		return fail(dial, FAULT_CONFIG, "%s", err.text);
	memcpy(shown->key, key->data, key->bytes);
	shown->key_bytes = key->bytes;
	look->keys_count++;
	return 0;
}

static bool is_known(const struct ssh_look *look)
{
	bool known = false;

	for (size_t i = 0; i < look->keys_count; i++) {
		if (look->keys[i].finding.answer > HOSTKEY_KNOWN)
			return false;
		known |= look->keys[i].finding.answer == HOSTKEY_KNOWN;
	}
	return known;
}

/* One handshake for each type of key that hosts usually have: more of them would look like an attack. */
static int look_at(struct ssh_dial *dial, const struct hop *hop, struct ssh_look *look)
{
	static const char *const types[] = { "ssh-ed25519", "ecdsa-sha2-nistp256",
					     "rsa-sha2-512,rsa-sha2-256" };
	autobuf struct buf all = { 0 };

	order_types("", &all);
	look->place = place_of(&hop->host);
	look->file = hop->host.own_known_hosts;
	look->keys_count = 0;
	for (size_t i = 0; i <= COUNT_OF(types); i++) {
		bool last = i == COUNT_OF(types); /* whatever it has, if it has none of the usual ones */
		const char *wanted = last ? buf_text(&all) : types[i];
		autobuf struct buf key = { 0 };
		int rc;

		if (last ? look->keys_count > 0 : i == 2 && !dial->by_program && !ssh_session_can_rsa())
			continue;
		rc = dial->by_program ? see_by_program(dial, hop, last ? NULL : wanted, &key)
				      : see_by_libssh2(dial, hop, wanted, &key);
		if (rc == 1)
			rc = keep_key(dial, look, &key);
		if (rc < 0)
			return rc;
	}
	if (look->keys_count > 0)
		return 0;
	if (!dial->by_program)
		return need_openssh(dial, FAULT_PROTOCOL, "no algorithm in common");
	return fail(dial, FAULT_PROTOCOL, "ssh and %s have no algorithm in common", hop->host.host);
}

/* The jump host right before it, as ssh goes: those before that one are given, or are its configuration's. */
static int find_before(struct ssh_dial *dial, struct hop *hop)
{
	const char *jump = hop->host.jump, *last = jump == NULL ? NULL : strrchr(jump, ',');
	struct hop *before;
	struct err err;
	int rc;

	if (jump == NULL)
		return 0;
	before = arena_alloc(&dial->arena, sizeof *before);
	*before = (struct hop){ .target = hop->target };
	before->target.destination = last == NULL ? jump : last + 1;
	before->target.jump = NULL;
	rc = ssh_resolve_jump(&dial->arena, dial->target, before->target.destination, -1, &before->host, &err);
	if (rc < 0)
		return fail(dial, FAULT_CONFIG, "the jump host: %s", err.text);
	if (last != NULL)
		before->host.jump = arena_strndup(&dial->arena, jump, (size_t)(last - jump));
	hop->before = before;
	return 0;
}

/* The first one on the way that is not known, or the last: nobody behind a stranger is asked. */
static int look_along(struct ssh_dial *dial, struct hop *hop, int hops, struct ssh_look *out)
{
	if (hops == SSH_HOPS_MAX)
		return fail(dial, FAULT_CONFIG, "it is behind more than %d jump hosts", SSH_HOPS_MAX - 1);
	if (find_before(dial, hop) < 0)
		return -1;
	if (hop->before != NULL && look_along(dial, hop->before, hops + 1, out) < 0)
		return -1;
	if (hop->before != NULL && !is_known(out))
		return 0;
	out->is_jump = hops > 0;
	return look_at(dial, hop, out);
}

/* With libssh2, if it gets there: one connection a key, and no child. */
static int look(struct ssh_dial *dial, struct ssh_look *out)
{
	struct hop *hop = arena_alloc(&dial->arena, sizeof *hop); /* what is found points into it */
	struct ssh_host jump;
	int rc;

	*hop = (struct hop){ .target = *dial->target };
	rc = find_host(dial, &hop->host, &jump);
	if (rc == 0)
		rc = look_along(dial, hop, 0, out);
	if (rc == 0 || dial->result.outcome != SSH_DIAL_OPENSSH)
		return rc;
	dial->by_program = true;
	return look_along(dial, hop, 0, out);
}

int ssh_dial_look(struct arena *arena, const struct ssh_target *target, struct ssh_look *look_out,
		  enum fault *fault_out, struct err *err)
{
	struct ssh_dial dial = { .cancel_fd = -1, .learned = "", .arena = *arena };
	int rc;

	dial.target = ssh_target_copy(&dial.arena, target);
	*look_out = (struct ssh_look){ .file = NULL };
	rc = look(&dial, look_out);
	free_result(&dial);
	*arena = dial.arena;
	if (rc == 0)
		return 0;
	*fault_out = dial.result.fault;
	return err_set(err, fault_needs_person(dial.result.fault) ? ERR_INVALID : ERR_IO, "%s",
		       dial.result.why);
}
