#include "executor/ssh_agent.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/ssh_wire.h"

enum {
	AGENTC_REQUEST_IDENTITIES = 11,
	AGENT_IDENTITIES_ANSWER = 12,
	AGENTC_SIGN_REQUEST = 13,
	AGENT_SIGN_RESPONSE = 14,
	AGENT_RSA_SHA2_256 = 2,
	AGENT_RSA_SHA2_512 = 4,
	CONNECT_RETRY_MS = 50,
};

/* --- waiting -------------------------------------------------------------------------------------------- */

/* Until `fd` (-1: none) is ready, but not longer than `limit_ms`, should that be sooner than the wait ends. */
static int wait_for(int fd, short events, int64_t limit_ms, const struct ssh_wait *wait, struct err *err)
{
	struct pollfd fds[2] = { { .fd = fd, .events = events },
				 { .fd = wait->cancel_fd, .events = POLLIN } };
	int64_t left_ms = wait->until_ms - clock_mono_ms();
	int rc;

	if (left_ms <= 0)
		return err_set(err, ERR_LIMIT, "it does not answer");
	rc = poll(fds, 2, (int)(left_ms < limit_ms ? left_ms : limit_ms));
	if (rc < 0 && errno != EINTR)
		return err_errno(err, "wait for it");
	if (rc > 0 && fds[1].revents != 0)
		return err_set(err, ERR_BUSY, "given up");
	return 0;
}

static int send_all(int fd, const struct buf *message, const struct ssh_wait *wait, struct err *err)
{
	for (size_t sent = 0; sent < message->bytes;) {
		ssize_t n = send(fd, message->data + sent, message->bytes - sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0)
			sent += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			return err_errno(err, "ask it");
		else if (wait_for(fd, POLLOUT, INT32_MAX, wait, err) < 0)
			return err->code;
	}
	return 0;
}

static int receive_all(int fd, struct buf *out, size_t bytes, const struct ssh_wait *wait, struct err *err)
{
	buf_reserve(out, bytes);
	while (out->bytes < bytes) {
		ssize_t n = recv(fd, out->data + out->bytes, bytes - out->bytes, MSG_DONTWAIT);

		if (n > 0)
			out->bytes += (size_t)n;
		else if (n == 0)
			return err_set(err, ERR_IO, "it hung up");
		else if (errno != EAGAIN && errno != EINTR)
			return err_errno(err, "hear its answer");
		else if (wait_for(fd, POLLIN, INT32_MAX, wait, err) < 0)
			return err->code;
	}
	return 0;
}

/* --- messages ------------------------------------------------------------------------------------------- */

/* Asks, and checks that the answer is of the type that is awaited; `answer_out` is what follows the type. */
static int ask(int fd, const struct buf *question, uint8_t type, const struct ssh_wait *wait,
	       struct buf *answer, struct ssh_wire *answer_out, struct err *err)
{
	autobuf struct buf head = { 0 }, framed = { 0 };
	struct ssh_wire wire;
	size_t bytes = 0;

	ssh_wire_put_string(&framed, question->data, question->bytes);
	if (send_all(fd, &framed, wait, err) < 0 || receive_all(fd, &head, 4, wait, err) < 0)
		return err->code;
	wire = (struct ssh_wire){ head.data, head.bytes };
	ssh_wire_take_u32(&wire, &bytes);
	if (bytes == 0 || bytes > SSH_AGENT_ANSWER_BYTES_MAX)
		return err_set(err, ERR_CORRUPT, "it gives an answer of %zu bytes", bytes);
	if (receive_all(fd, answer, bytes, wait, err) < 0)
		return err->code;
	if (answer->data[0] != type)
		return err_set(err, ERR_DENIED, "it refuses");
	*answer_out = (struct ssh_wire){ answer->data + 1, answer->bytes - 1 };
	return 0;
}

/* --- its keys ------------------------------------------------------------------------------------------- */

int ssh_agent_open(const char *path, const struct ssh_wait *wait, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	autoclose int fd = -1;

	if (strlen(path) >= sizeof address.sun_path)
		return err_set(err, ERR_INVALID, "the path of its socket is too long");
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, "make a socket");
	while (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
		/* EAGAIN: too many wait for it already, and poll would not tell when that changes. */
		if (errno != EAGAIN && errno != EINTR) {
			int code = errno;

			return err_set(err, err_code_of(code), "%s", strerror(code));
		}
		if (wait_for(-1, 0, CONNECT_RETRY_MS, wait, err) < 0)
			return err->code;
	}
	return take_fd(fd);
}

static void keep_comment(struct ssh_agent_key *key, const struct ssh_wire *comment)
{
	size_t used = 0;

	for (size_t i = 0; i < comment->left && used + 1 < sizeof key->comment; i++)
		if (comment->at[i] >= ' ' && comment->at[i] != 127)
			key->comment[used++] = (char)comment->at[i];
	key->comment[used] = '\0';
}

int ssh_agent_list(int fd, const struct ssh_wait *wait, struct ssh_agent_keys *keys_out, struct err *err)
{
	autobuf struct buf question = { 0 }, answer = { 0 };
	struct ssh_agent_keys keys = { .count = 0 };
	struct ssh_wire wire;
	size_t count;

	buf_append_byte(&question, AGENTC_REQUEST_IDENTITIES);
	if (ask(fd, &question, AGENT_IDENTITIES_ANSWER, wait, &answer, &wire, err) < 0)
		return err->code;
	if (!ssh_wire_take_u32(&wire, &count))
		return err_set(err, ERR_CORRUPT, "its answer is damaged");
	keys.keys = mem_array(SSH_AGENT_KEYS_MAX, sizeof *keys.keys);
	while (keys.count < count && keys.count < SSH_AGENT_KEYS_MAX) {
		struct ssh_agent_key *key = &keys.keys[keys.count];
		struct ssh_wire blob, comment;

		if (!ssh_wire_take_string(&wire, &blob) || !ssh_wire_take_string(&wire, &comment)) {
			ssh_agent_keys_fini(&keys);
			return err_set(err, ERR_CORRUPT, "its answer is damaged");
		}
		buf_append(&key->key, blob.at, blob.left);
		keep_comment(key, &comment);
		keys.count++;
	}
	*keys_out = keys;
	return 0;
}

void ssh_agent_keys_fini(struct ssh_agent_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		buf_fini(&keys->keys[i].key);
	free(keys->keys);
	*keys = (struct ssh_agent_keys){ .count = 0 };
}

/* --- signing -------------------------------------------------------------------------------------------- */

/* session id, USERAUTH_REQUEST, user, service, "publickey", true, algorithm, key */
static size_t find_flags(const uint8_t *data, size_t n)
{
	struct ssh_wire wire = { data, n }, skipped, algorithm;

	if (!ssh_wire_take_string(&wire, &skipped) || !ssh_wire_skip(&wire, 1))
		return 0;
	for (int i = 0; i < 3; i++)
		if (!ssh_wire_take_string(&wire, &skipped))
			return 0;
	if (!ssh_wire_skip(&wire, 1) || !ssh_wire_take_string(&wire, &algorithm) || algorithm.left != 12)
		return 0;
	return memcmp(algorithm.at, "rsa-sha2-512", 12) == 0   ? AGENT_RSA_SHA2_512
	       : memcmp(algorithm.at, "rsa-sha2-256", 12) == 0 ? AGENT_RSA_SHA2_256
							       : 0;
}

int ssh_agent_sign(int fd, const struct ssh_wait *wait, const struct buf *key, const uint8_t *data, size_t n,
		   struct buf *out, struct err *err)
{
	autobuf struct buf question = { 0 }, answer = { 0 };
	struct ssh_wire wire, whole, algorithm, signature;

	buf_append_byte(&question, AGENTC_SIGN_REQUEST);
	ssh_wire_put_string(&question, key->data, key->bytes);
	ssh_wire_put_string(&question, data, n);
	ssh_wire_put_u32(&question, find_flags(data, n));
	if (ask(fd, &question, AGENT_SIGN_RESPONSE, wait, &answer, &wire, err) < 0)
		return err->code;
	if (!ssh_wire_take_string(&wire, &whole) || !ssh_wire_take_string(&whole, &algorithm) ||
	    !ssh_wire_take_string(&whole, &signature))
		return err_set(err, ERR_CORRUPT, "its signature is damaged");
	buf_append(out, signature.at, signature.left);
	return 0;
}
