#include "executor/ssh_session.h"

#include <assert.h>
#include <errno.h>
#include <libssh2.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/queue.h"
#include "executor/ssh_wire.h"

enum { FREE_TRIES = 1000, VERSION_WITH_RSA_SHA2 = 0x010b00 };

struct ssh_session {
	LIBSSH2_SESSION *handle;
	LIBSSH2_CHANNEL *channel;  /* the command's, or the tunnel of a session that is gone through */
	struct ssh_session *outer; /* NULL: on the socket itself */
	int fd;			   /* of the outermost one */
	struct queue plain;
	struct queue wire;
	size_t receive_budget; /* of the outermost one, as `heard` and `ended` */
	bool heard;	       /* something was received since this was last cleared */
	bool ended;	       /* nothing will come any more */
	int end_errno;
	uint64_t taken_bytes; /* by the system: of the outermost one */
	bool dead;	/* being freed: talks to nobody */
	bool finishing; /* an end of file is to follow what is queued */
	bool finished;
	bool held; /* the sink had no room: there may be more for it */
	bool more; /* the turn's budget ended before the queue did */
	char first[SSH_HEARD_BYTES];
	size_t first_bytes;
	char ciphers[120];
	ssh_sign *sign;
	void *sign_context;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

/* A thread that still connects when the process ends must not find its cryptography gone. */
static void init_library(void)
{
#ifdef OPENSSL_INIT_NO_ATEXIT
	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
#endif
	if (libssh2_init(0) != 0)
		abort();
}

const char *ssh_session_library(void)
{
	return libssh2_version(0);
}

bool ssh_session_can_rsa(void)
{
	return libssh2_version(VERSION_WITH_RSA_SHA2) != NULL;
}

/* --- beneath libssh2 ------------------------------------------------------------------------------------ */

static const struct ssh_session *outermost_of(const struct ssh_session *session)
{
	while (session->outer != NULL)
		session = session->outer;
	return session;
}

static struct ssh_session *outermost(struct ssh_session *session)
{
	while (session->outer != NULL)
		session = session->outer;
	return session;
}

/* First words of the other side, for a message when they are not those of ssh. */
static void keep_first(struct ssh_session *session, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n && session->first_bytes + 1 < sizeof session->first; i++) {
		unsigned char c = (unsigned char)bytes[i];

		session->first[session->first_bytes++] = c >= ' ' && c < 127 ? (char)c : ' ';
	}
}

static ssize_t receive_from_socket(struct ssh_session *session, char *buffer, size_t n)
{
	ssize_t got;

	if (session->ended || session->receive_budget == 0)
		return -EAGAIN;
	if (n > session->receive_budget)
		n = session->receive_budget;
	do
		got = recv(session->fd, buffer, n, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (got <= 0) {
		/* Not an error to libssh2: it would throw away what it holds and has not handed on. */
		session->ended = true;
		session->end_errno = got < 0 ? errno : 0;
		return -EAGAIN;
	}
	session->receive_budget -= (size_t)got;
	session->heard = true;
	return got;
}

static ssize_t receive_from_tunnel(struct ssh_session *session, char *buffer, size_t n)
{
	struct ssh_session *outer = session->outer;
	ssize_t got = libssh2_channel_read(outer->channel, buffer, n);

	if (got > 0)
		return got;
	if (got == 0 ? libssh2_channel_eof(outer->channel) == 1 : got != LIBSSH2_ERROR_EAGAIN)
		session->ended = true;
	return -EAGAIN;
}

static LIBSSH2_RECV_FUNC(on_receive)
{
	struct ssh_session *session = *abstract;
	ssize_t got;

	(void)socket;
	(void)flags;
	if (session->dead)
		return -ECONNRESET;
	got = session->outer == NULL ? receive_from_socket(session, buffer, length)
				     : receive_from_tunnel(session, buffer, length);
	if (got > 0)
		keep_first(session, buffer, (size_t)got);
	return got;
}

static LIBSSH2_SEND_FUNC(on_send)
{
	struct ssh_session *session = *abstract;

	(void)socket;
	(void)flags;
	if (!session->dead)
		queue_append(&session->wire, buffer, length);
	return (ssize_t)length;
}

static void flush_to_socket(struct ssh_session *session)
{
	while (queue_bytes(&session->wire) > 0 && !session->ended) {
		ssize_t n = send(session->fd, queue_front(&session->wire), queue_bytes(&session->wire),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			queue_take(&session->wire, (size_t)n);
			session->taken_bytes += (uint64_t)n;
		} else if (errno != EINTR) {
			/*
			 * What it sent before it went away is still to be received: the end is noticed
			 * there.
			 */
			if (errno != EAGAIN)
				queue_clear(&session->wire);
			return;
		}
	}
}

static void flush(struct ssh_session *session)
{
	struct ssh_session *outer = session->outer;

	if (outer == NULL) {
		flush_to_socket(session);
		return;
	}
	while (queue_bytes(&session->wire) > 0 && queue_bytes(&outer->wire) < SSH_WIRE_MARK_BYTES) {
		ssize_t n = libssh2_channel_write(outer->channel, (const char *)queue_front(&session->wire),
						  queue_bytes(&session->wire));

		if (n <= 0)
			break;
		queue_take(&session->wire, (size_t)n);
	}
	flush(outer);
}

/* --- first half ----------------------------------------------------------------------------------------- */

static bool has_ended(struct ssh_session *session)
{
	return session->ended || outermost(session)->ended;
}

static int set_ended(struct ssh_session *session, struct err *err)
{
	int end_errno = outermost(session)->end_errno;

	if (end_errno == 0)
		return err_set(err, ERR_IO, "the host closed the connection");
	return err_set(err, ERR_IO, "the connection broke: %s", strerror(end_errno));
}

/* After "call me again": 0 when it is worth it. */
static int wait_for_more(struct ssh_session *session, const struct ssh_wait *wait, struct err *err)
{
	struct ssh_session *bottom = outermost(session);
	struct pollfd fds[2] = { { .fd = bottom->fd, .events = POLLIN },
				 { .fd = wait->cancel_fd, .events = POLLIN } };
	int64_t left_ms = wait->until_ms - clock_mono_ms();
	int rc;

	bottom->heard = false;
	bottom->receive_budget = SIZE_MAX;
	flush(session);
	if (bottom->heard)
		return 0; /* Sending through a tunnel received something: poll would not tell. */
	if (has_ended(session))
		return set_ended(session, err);
	if (queue_bytes(&bottom->wire) > 0)
		fds[0].events |= POLLOUT;
	rc = left_ms <= 0 ? 0 : poll(fds, 2, (int)(left_ms > 3600000 ? 3600000 : left_ms));
	if (rc < 0 && errno != EINTR)
		return err_errno(err, "wait for the host");
	if (rc > 0 && fds[1].revents != 0)
		return err_set(err, ERR_BUSY, "given up");
	if (rc == 0)
		return err_set(err, ERR_LIMIT, "the host did not answer in time");
	return 0;
}

/* Calls until the answer is another one than "again", or the wait failed: then `rc` is EAGAIN still. */
#define CALL(rc, session, wait, err, call)                                                                   \
	while (((rc) = (call)) == LIBSSH2_ERROR_EAGAIN && wait_for_more((session), (wait), (err)) == 0)

static int library_error(struct ssh_session *session, enum err_code code, struct err *err, const char *what)
{
	char *text = NULL;
	int rc = libssh2_session_last_error(session->handle, &text, NULL, 0);

	return err_set(err, code, "%s: %s (libssh2 %d)", what, text == NULL ? "" : text, rc);
}

static void set_callbacks(LIBSSH2_SESSION *handle)
{
#if LIBSSH2_VERSION_NUM >= 0x010b01
	libssh2_session_callback_set2(handle, LIBSSH2_CALLBACK_RECV, (libssh2_cb_generic *)on_receive);
	libssh2_session_callback_set2(handle, LIBSSH2_CALLBACK_SEND, (libssh2_cb_generic *)on_send);
#else
	libssh2_session_callback_set(handle, LIBSSH2_CALLBACK_RECV, (void *)on_receive);
	libssh2_session_callback_set(handle, LIBSSH2_CALLBACK_SEND, (void *)on_send);
#endif
}

static struct ssh_session *new_session(int fd, struct ssh_session *outer)
{
	struct ssh_session *session = mem_zalloc(sizeof *session);

	pthread_once(&library_once, init_library);
	session->fd = fd;
	session->outer = outer;
	session->receive_budget = SIZE_MAX;
	session->handle = libssh2_session_init_ex(NULL, NULL, NULL, session);
	if (session->handle == NULL)
		abort(); /* out of memory: see mem.h */
	libssh2_session_set_blocking(session->handle, 0);
	set_callbacks(session->handle);
	return session;
}

struct ssh_session *ssh_session_new(int fd)
{
	return new_session(fd, NULL);
}

struct ssh_session *ssh_session_through(struct ssh_session *outer)
{
	assert(outer->channel != NULL);
	return new_session(outermost(outer)->fd, outer);
}

void ssh_session_free(struct ssh_session *session)
{
	if (session == NULL)
		return;
	if (!has_ended(session) && session->channel != NULL) {
		libssh2_session_disconnect(session->handle, "done");
		flush(session);
	}
	session->dead = true;
	for (int i = 0; i < FREE_TRIES; i++)
		if (libssh2_session_free(session->handle) != LIBSSH2_ERROR_EAGAIN)
			break;
	if (session->outer != NULL)
		ssh_session_free(session->outer);
	else
		close(session->fd);
	queue_fini(&session->plain);
	queue_fini(&session->wire);
	free(session);
}

int ssh_session_handshake(struct ssh_session *session, const char *hostkey_types, const struct ssh_wait *wait,
			  struct err *err)
{
	const char *cipher, *mac;
	int rc;

	if (hostkey_types[0] != '\0')
		/*
		 * With none of them known to the library it stays with its own list, and the check comes
		 * later.
		 */
		libssh2_session_method_pref(session->handle, LIBSSH2_METHOD_HOSTKEY, hostkey_types);
	CALL(rc, session, wait, err, libssh2_session_handshake(session->handle, outermost(session)->fd));
	switch (rc) {
	case 0:
		break;
	case LIBSSH2_ERROR_EAGAIN:
		return err->code;
	case LIBSSH2_ERROR_KEX_FAILURE:
	case LIBSSH2_ERROR_METHOD_NONE:
		return library_error(session, ERR_VERSION, err, "no common algorithms");
	default:
		return library_error(session, ERR_CORRUPT, err, "the key exchange failed");
	}
	cipher = libssh2_session_methods(session->handle, LIBSSH2_METHOD_CRYPT_SC);
	mac = libssh2_session_methods(session->handle, LIBSSH2_METHOD_MAC_SC);
	snprintf(session->ciphers, sizeof session->ciphers, "%s, %s", cipher == NULL ? "" : cipher,
		 mac == NULL ? "" : mac);
	return 0;
}

const uint8_t *ssh_session_hostkey(const struct ssh_session *session, size_t *n_out)
{
	int type;

	return (const uint8_t *)libssh2_session_hostkey(session->handle, n_out, &type);
}

const char *ssh_session_heard(const struct ssh_session *session)
{
	return session->first;
}

const char *ssh_session_ciphers(const struct ssh_session *session)
{
	return session->ciphers;
}

int ssh_session_methods(struct ssh_session *session, const char *user, const struct ssh_wait *wait,
			struct buf *methods_out, struct err *err)
{
	char *methods;

	while ((methods = libssh2_userauth_list(session->handle, user, (unsigned)strlen(user))) == NULL &&
	       libssh2_session_last_errno(session->handle) == LIBSSH2_ERROR_EAGAIN)
		if (wait_for_more(session, wait, err) < 0)
			return err->code;
	if (methods != NULL)
		buf_append_text(methods_out, methods);
	else if (!libssh2_userauth_authenticated(session->handle))
		return library_error(session, ERR_DENIED, err, "ask how to log in");
	return 0;
}

/* What came of a try to log in. */
static int login_outcome(struct ssh_session *session, int rc, struct err *err)
{
	switch (rc) {
	case 0:
		return 0;
	case LIBSSH2_ERROR_EAGAIN:
		return err->code;
	case LIBSSH2_ERROR_FILE:
	case LIBSSH2_ERROR_METHOD_NONE:
	case LIBSSH2_ERROR_METHOD_NOT_SUPPORTED:
		return library_error(session, ERR_INVALID, err, "libssh2 cannot use it");
	case LIBSSH2_ERROR_SOCKET_RECV:
	case LIBSSH2_ERROR_SOCKET_SEND:
	case LIBSSH2_ERROR_SOCKET_DISCONNECT:
		return library_error(session, ERR_IO, err, "the host hung up");
	case LIBSSH2_ERROR_AUTHENTICATION_FAILED:
	case LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED:
		return err_set(err, ERR_DENIED, "refused");
	default:
		return library_error(session, ERR_DENIED, err, "refused");
	}
}

int ssh_session_login_file(struct ssh_session *session, const char *user, const char *path,
			   const struct ssh_wait *wait, struct err *err)
{
	int rc;

	CALL(rc, session, wait, err,
	     libssh2_userauth_publickey_fromfile_ex(session->handle, user, (unsigned)strlen(user), NULL, path,
						    NULL));
	return login_outcome(session, rc, err);
}

static LIBSSH2_USERAUTH_PUBLICKEY_SIGN_FUNC(on_sign)
{
	struct ssh_session *own = *abstract;
	autobuf struct buf signature = { 0 };

	(void)session;
	if (own->sign(own->sign_context, data, data_len, &signature) < 0)
		return -1;
	*sig_len = signature.bytes;
	*sig = (unsigned char *)buf_take(&signature); /* libssh2 frees it */
	return 0;
}

int ssh_session_login_key(struct ssh_session *session, const char *user, const uint8_t *key, size_t n,
			  ssh_sign *sign, void *context, const struct ssh_wait *wait, struct err *err)
{
	void *own = session;
	int rc;

	session->sign = sign;
	session->sign_context = context;
	CALL(rc, session, wait, err,
	     libssh2_userauth_publickey(session->handle, user, key, n, on_sign, &own));
	return login_outcome(session, rc, err);
}

static int open_channel(struct ssh_session *session, const char *type, const struct buf *message,
			const struct ssh_wait *wait, struct err *err)
{
	while ((session->channel = libssh2_channel_open_ex(
			session->handle, type, (unsigned)strlen(type), SSH_WINDOW_BYTES,
			LIBSSH2_CHANNEL_PACKET_DEFAULT, message == NULL ? NULL : (const char *)message->data,
			message == NULL ? 0 : (unsigned)message->bytes)) == NULL) {
		if (libssh2_session_last_errno(session->handle) != LIBSSH2_ERROR_EAGAIN)
			return library_error(session, ERR_DENIED, err, "open a channel");
		if (wait_for_more(session, wait, err) < 0)
			return err->code;
	}
	return 0;
}

/* RFC 4254, section 7.2. libssh2's own function for it knows no other window than its default. */
int ssh_session_tunnel(struct ssh_session *session, const char *host, int port, const struct ssh_wait *wait,
		       struct err *err)
{
	autobuf struct buf message = { 0 };

	ssh_wire_put_string(&message, host, strlen(host));
	ssh_wire_put_u32(&message, (size_t)port);
	ssh_wire_put_string(&message, "127.0.0.1", 9);
	ssh_wire_put_u32(&message, 22);
	return open_channel(session, "direct-tcpip", &message, wait, err);
}

int ssh_session_exec(struct ssh_session *session, const char *command, const struct ssh_wait *wait,
		     struct err *err)
{
	int rc = open_channel(session, "session", NULL, wait, err);

	if (rc < 0)
		return rc;
	CALL(rc, session, wait, err,
	     libssh2_channel_process_startup(session->channel, "exec", 4, command,
					     (unsigned)strlen(command)));
	if (rc == LIBSSH2_ERROR_EAGAIN)
		return err->code;
	if (rc < 0)
		return library_error(session, ERR_DENIED, err, "run a command");
	return 0;
}

/* --- second half ---------------------------------------------------------------------------------------- */

/* Encrypts what waits, as long as the wire takes it. */
static int push(struct ssh_session *session, size_t *budget, struct err *err)
{
	session->more = false;
	while (queue_bytes(&session->plain) > 0) {
		ssize_t n;

		if (queue_bytes(&session->wire) >= SSH_WIRE_MARK_BYTES || *budget == 0) {
			session->more = true;
			return 0;
		}
		n = libssh2_channel_write(session->channel, (const char *)queue_front(&session->plain),
					  queue_bytes(&session->plain));
		if (n == LIBSSH2_ERROR_EAGAIN || n == 0)
			return 0; /* The host's window is used up; that it grew is received. */
		if (n < 0)
			return library_error(session, ERR_IO, err, "send");
		queue_take(&session->plain, (size_t)n);
		*budget -= (size_t)n < *budget ? (size_t)n : *budget;
	}
	if (session->finishing && !session->finished) {
		int rc = libssh2_channel_send_eof(session->channel);

		session->finished = rc != LIBSSH2_ERROR_EAGAIN;
	}
	return 0;
}

static int pull_complaints(struct ssh_session *session, const struct ssh_sink *sink, struct err *err)
{
	char text[SSH_COMPLAINT_BYTES];
	ssize_t n;

	while ((n = libssh2_channel_read_stderr(session->channel, text, sizeof text)) > 0)
		sink->on_complaint(sink->context, text, (size_t)n);
	return n < 0 && n != LIBSSH2_ERROR_EAGAIN ? library_error(session, ERR_IO, err, "receive") : 0;
}

/* Hands on what came, as long as the sink has room: the rest stays where it is. */
static int pull(struct ssh_session *session, const struct ssh_sink *sink, struct err *err)
{
	ssize_t n = 0;
	size_t room;
	char *at;

	if (pull_complaints(session, sink, err) < 0)
		return err->code;
	while ((at = (char *)sink->room(sink->context, &room)) != NULL &&
	       (n = libssh2_channel_read(session->channel, at, room)) > 0)
		sink->on_bytes(sink->context, (size_t)n);
	session->held = at == NULL;
	return n < 0 && n != LIBSSH2_ERROR_EAGAIN ? library_error(session, ERR_IO, err, "receive") : 0;
}

int ssh_session_fd(const struct ssh_session *session)
{
	return outermost_of(session)->fd;
}

bool ssh_session_wants_write(const struct ssh_session *session)
{
	return session->more || queue_bytes(&outermost_of(session)->wire) > 0;
}

int ssh_session_turn(struct ssh_session *session, const struct ssh_sink *sink, struct err *err)
{
	struct ssh_session *bottom = outermost(session);
	size_t send_budget = SSH_TURN_BYTES;

	bottom->receive_budget = SSH_TURN_BYTES;
	/*
	 * Anything received may be for any direction, and is told of only once: on until a pass hears
	 * nothing.
	 */
	do {
		bottom->heard = false;
		if (pull(session, sink, err) < 0 || push(session, &send_budget, err) < 0)
			return err->code;
		flush(session);
	} while (bottom->heard || (session->more && send_budget > 0 &&
				   queue_bytes(&session->wire) < SSH_WIRE_MARK_BYTES));
	if (session->held)
		return 0;
	if (has_ended(session))
		return set_ended(session, err);
	if (libssh2_channel_eof(session->channel) == 1)
		return err_set(err, ERR_IO, "the agent ended");
	return 0;
}

void ssh_session_send(struct ssh_session *session, const uint8_t *bytes, size_t n)
{
	queue_append(&session->plain, bytes, n);
}

size_t ssh_session_queued_bytes(const struct ssh_session *session)
{
	size_t bytes = queue_bytes(&session->plain);

	for (; session != NULL; session = session->outer)
		bytes += queue_bytes(&session->wire);
	return bytes;
}

uint64_t ssh_session_taken_bytes(const struct ssh_session *session)
{
	return outermost_of(session)->taken_bytes;
}

void ssh_session_finish(struct ssh_session *session)
{
	session->finishing = true;
}
