#include "executor/ssh.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "common/machine.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/boot.h"
#include "executor/link.h"
#include "executor/openssh.h"
#include "executor/ssh_channel.h"

enum {
	CLOSE_PATIENCE_MS = 2000,
	COMPLAINT_BYTES = 2000, /* what is kept of the other side's stderr: its end */
};

enum ssh_state {
	SSH_CLOSED,
	SSH_DIALING,
	SSH_BOOTING,
	SSH_OPEN,
	SSH_ENDING, /* what was sent is delivered first */
	SSH_BREAKING,
	SSH_STATES
};

static const struct machine_state ssh_states[SSH_STATES] = {
	[SSH_CLOSED] = { "closed", TO(SSH_DIALING) },
	[SSH_DIALING] = { "dialing", TO(SSH_BOOTING) | TO(SSH_BREAKING) },
	[SSH_BOOTING] = { "booting", TO(SSH_OPEN) | TO(SSH_BREAKING) },
	[SSH_OPEN] = { "open", TO(SSH_ENDING) | TO(SSH_BREAKING) },
	[SSH_ENDING] = { "ending", TO(SSH_BREAKING) },
	[SSH_BREAKING] = { "breaking", TO(SSH_CLOSED) },
};

struct ssh {
	struct transport transport; /* first */
	uv_loop_t *loop;
	struct arena arena; /* of the target */
	struct ssh_target *target;
	const struct deploy *deploy;
	enum ssh_state state;
	uv_async_t dialed;
	uv_timer_t timer; /* what the state waits for */
	int handles;	  /* not closed yet, the stream counted as one */
	struct ssh_dial *dial;
	struct stream *stream;
	struct boot boot;
	size_t upload_left; /* when it was last looked at */
	bool uploaded;
	bool by_program;   /* the stream is the ssh program */
	char learned[200]; /* why it had to be that the last time, when that worked; else "" */
	char reason[200];  /* why it is that this time */
	char complaint[COMPLAINT_BYTES];
	size_t complaint_bytes;
	enum fault fault;
	char why[1000];
	char description[240];
	struct ssh_facts facts;
};

static struct ssh *ssh_of(struct transport *transport)
{
	return (struct ssh *)(void *)transport;
}

static void ssh_move(struct ssh *ssh, enum ssh_state to, const char *why)
{
	machine_check("ssh", ssh_states, ssh->state, to);
	log_debug("ssh.moved", TEXT("worker", ssh->target->worker), TEXT("from", ssh_states[ssh->state].name),
		  TEXT("to", ssh_states[to].name), TEXT("why", why));
	ssh->state = to;
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void on_one_closed(struct ssh *ssh)
{
	if (--ssh->handles > 0)
		return;
	ssh->stream = NULL;
	ssh_move(ssh, SSH_CLOSED, "all is closed");
	link_broken(ssh->transport.link, ssh->fault, ssh->why);
}

static void on_handle_closed(uv_handle_t *handle)
{
	on_one_closed(handle->data);
}

static void on_stream_closed(void *context)
{
	on_one_closed(context);
}

static void break_down(struct ssh *ssh, enum fault fault, const char *why)
{
	if (ssh->state == SSH_BREAKING || ssh->state == SSH_CLOSED)
		return;
	ssh_move(ssh, SSH_BREAKING, why);
	ssh->fault = fault;
	snprintf(ssh->why, sizeof ssh->why, "%s", why);
	if (ssh->dial != NULL)
		ssh_dial_give_up(take(ssh->dial));
	if (ssh->stream != NULL)
		ssh->stream->ops->close(ssh->stream);
	uv_close((uv_handle_t *)&ssh->dialed, on_handle_closed);
	uv_close((uv_handle_t *)&ssh->timer, on_handle_closed);
}

/* The last line of the other side's stderr, without control characters. */
static const char *last_complaint(struct ssh *ssh)
{
	char *text = ssh->complaint, *line;

	text[ssh->complaint_bytes] = '\0';
	while (ssh->complaint_bytes > 0 && (unsigned char)text[ssh->complaint_bytes - 1] <= ' ')
		text[--ssh->complaint_bytes] = '\0';
	line = strrchr(text, '\n');
	line = line == NULL ? text : line + 1;
	for (char *at = line; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 127)
			*at = ' ';
	return line;
}

/* --- the agent's start ---------------------------------------------------------------------------------- */

static void on_boot_late(uv_timer_t *timer);

/* True when it was ssh itself that failed, and not what it was to run. */
static bool blame_program(struct ssh *ssh)
{
	autobuf struct buf why = { 0 };
	enum fault fault;

	ssh->complaint[ssh->complaint_bytes] = '\0';
	if (!ssh->by_program || ssh->boot.heard_bytes > 0 ||
	    !openssh_judge(ssh->target, ssh->complaint, &fault, &why))
		return false;
	break_down(ssh, fault, buf_text(&why));
	return true;
}

static void give_up_boot(struct ssh *ssh, bool late)
{
	if (blame_program(ssh))
		return;
	boot_give_up(&ssh->boot, late, last_complaint(ssh));
	break_down(ssh, ssh->boot.fault, ssh->boot.why);
}

static void on_boot_late(uv_timer_t *timer)
{
	struct ssh *ssh = timer->data;
	size_t left = ssh->stream->ops->queued_bytes(ssh->stream);

	if (ssh->boot.state == BOOT_SENDING && left < ssh->upload_left) {
		ssh->upload_left = left; /* it moves on */
		uv_timer_start(timer, on_boot_late, SSH_BOOT_MS, 0);
		return;
	}
	give_up_boot(ssh, true);
}

static void send_agent(struct ssh *ssh)
{
	const struct deploy_agent *agent = ssh->boot.agent;

	log_info("agent.uploaded", TEXT("worker", ssh->target->worker), TEXT("machine", agent->machine),
		 TEXT("digest", agent->digest), NUMBER("bytes", agent->bytes));
	ssh->uploaded = true;
	ssh->stream->ops->send(ssh->stream, agent->data, agent->bytes);
	ssh->upload_left = ssh->stream->ops->queued_bytes(ssh->stream);
	uv_timer_start(&ssh->timer, on_boot_late, SSH_BOOT_MS, 0);
}

static void on_ready(struct ssh *ssh)
{
	uv_timer_stop(&ssh->timer);
	ssh->complaint_bytes = 0; /* the login shell's, which does not matter any more */
	if (ssh->by_program)
		snprintf(ssh->learned, sizeof ssh->learned, "%s", ssh->reason);
	log_info("ssh.opened", TEXT("worker", ssh->target->worker), TEXT("host", ssh->facts.host),
		 TEXT("address", ssh->facts.address), TEXT("by", ssh->description));
	ssh_move(ssh, SSH_OPEN, "the agent listens");
	link_opened(ssh->transport.link);
}

/* Returns how many of the bytes it took. */
static size_t feed_boot(struct ssh *ssh, const uint8_t *bytes, size_t n)
{
	size_t used;

	switch (boot_feed(&ssh->boot, bytes, n, &used)) {
	case BOOT_SENDING:
		if (!ssh->uploaded)
			send_agent(ssh);
		break;
	case BOOT_READY:
		on_ready(ssh);
		break;
	case BOOT_FAILED:
		break_down(ssh, ssh->boot.fault, ssh->boot.why);
		break;
	default:
		break;
	}
	return used;
}

static void on_bytes(void *context, const uint8_t *bytes, size_t n)
{
	struct ssh *ssh = context;

	while (n > 0 && ssh->state == SSH_BOOTING) {
		size_t used = feed_boot(ssh, bytes, n);

		bytes += used;
		n -= used;
	}
	if (n > 0 && (ssh->state == SSH_OPEN || ssh->state == SSH_ENDING))
		link_received(ssh->transport.link, bytes, n);
}

static void on_complaint(void *context, const char *bytes, size_t n)
{
	struct ssh *ssh = context;
	size_t room = sizeof ssh->complaint - 1;

	if (n > room) {
		bytes += n - room;
		n = room;
	}
	if (ssh->complaint_bytes + n > room) {
		size_t drop = ssh->complaint_bytes + n - room;

		memmove(ssh->complaint, ssh->complaint + drop, ssh->complaint_bytes - drop);
		ssh->complaint_bytes -= drop;
	}
	memcpy(ssh->complaint + ssh->complaint_bytes, bytes, n);
	ssh->complaint_bytes += n;
	if (ssh->state == SSH_OPEN)
		log_warn("agent.complained", TEXT("worker", ssh->target->worker),
			 TEXT("text", last_complaint(ssh)));
}

static void on_drained(void *context)
{
	struct ssh *ssh = context;

	if (ssh->state == SSH_OPEN)
		link_drained(ssh->transport.link);
}

static void on_end(void *context, const char *why)
{
	struct ssh *ssh = context;
	const char *complaint = last_complaint(ssh);

	if (ssh->state == SSH_BOOTING)
		give_up_boot(ssh, false);
	else if (ssh->state == SSH_ENDING)
		break_down(ssh, FAULT_BROKEN, "closed");
	else
		break_down(ssh, boot_fault_of(complaint), complaint[0] == '\0' ? why : complaint);
}

static const struct stream_handler stream_handler = {
	.on_bytes = on_bytes,
	.on_complaint = on_complaint,
	.on_drained = on_drained,
	.on_end = on_end,
	.on_closed = on_stream_closed,
};

static void boot_over(struct ssh *ssh, struct stream *stream, int64_t limit_ms)
{
	ssh->stream = stream;
	ssh->handles++;
	ssh_move(ssh, SSH_BOOTING, ssh->description);
	uv_timer_start(&ssh->timer, on_boot_late, (uint64_t)limit_ms, 0);
}

static void boot_by_program(struct ssh *ssh, const struct ssh_dial_result *result)
{
	const struct ssh_target *target = ssh->target;
	const struct openssh_way way = { result->jump[0] == '\0' ? NULL : result->jump, result->settled,
					 result->ciphers };
	autobuf struct buf command = { 0 };

	snprintf(ssh->description, sizeof ssh->description, "openssh: %s", result->reason);
	snprintf(ssh->reason, sizeof ssh->reason, "%s", result->reason);
	ssh->learned[0] = '\0'; /* unless it works again */
	boot_command(&ssh->boot, &command);
	ssh->by_program = true;
	boot_over(ssh,
		  openssh_new(ssh->loop, target, &way, buf_text(&command), &stream_handler, ssh),
		  target->connect_timeout_ms + SSH_LOGIN_MS + SSH_BOOT_MS);
}

/* --- the beginning -------------------------------------------------------------------------------------- */

static void on_dialed(uv_async_t *async)
{
	struct ssh *ssh = async->data;
	struct ssh_dial_result result;

	if (ssh->dial == NULL)
		return;
	ssh_dial_take(take(ssh->dial), &result);
	ssh->facts = result.facts;
	switch (result.outcome) {
	case SSH_DIAL_CONNECTED:
		snprintf(ssh->description, sizeof ssh->description, "libssh2 %s (%s)", ssh_session_library(),
			 result.facts.ciphers);
		boot_over(ssh, ssh_channel_new(ssh->loop, result.session, &stream_handler, ssh), SSH_BOOT_MS);
		break;
	case SSH_DIAL_OPENSSH:
		boot_by_program(ssh, &result);
		break;
	default:
		break_down(ssh, result.fault, result.why);
		break;
	}
	free(result.settled);
	free(result.ciphers);
}

static uint64_t random_nonce(void)
{
	uint64_t nonce = 0;

	if (getrandom(&nonce, sizeof nonce, GRND_NONBLOCK) != sizeof nonce)
		nonce = uv_hrtime();
	return nonce;
}

static void on_dial_late(uv_timer_t *timer)
{
	struct ssh *ssh = timer->data;

	break_down(ssh, FAULT_UNREACHABLE,
		   "connecting hangs: does the look-up of the host's name, or ssh-agent, not answer?");
}

/* The thread keeps its own limits; this is for what it cannot limit: a name look-up. */
static uint64_t dial_limit_ms(const struct ssh *ssh)
{
	return (uint64_t)(2 * SSH_RESOLVE_MS + 3 * ssh->target->connect_timeout_ms + 2 * SSH_LOGIN_MS);
}

static void ssh_open(struct transport *transport)
{
	struct ssh *ssh = ssh_of(transport);
	const char *fault = boot_root_fault(ssh->target->root);
	autobuf struct buf command = { 0 };

	ssh_move(ssh, SSH_DIALING, "wanted");
	ssh->complaint_bytes = 0;
	ssh->uploaded = ssh->by_program = false;
	uv_async_init(ssh->loop, &ssh->dialed, on_dialed);
	uv_timer_init(ssh->loop, &ssh->timer);
	ssh->dialed.data = ssh->timer.data = ssh;
	ssh->handles = 2;
	if (fault != NULL) {
		char why[400];

		snprintf(why, sizeof why, "'root: %.200s' is of no use: %s", ssh->target->root, fault);
		break_down(ssh, FAULT_CONFIG, why);
		return;
	}
	boot_init(&ssh->boot, ssh->target->root, ssh->deploy, random_nonce());
	boot_command(&ssh->boot, &command);
	ssh->dial = ssh_dial_start(ssh->target, buf_text(&command), ssh->learned, &ssh->dialed);
	uv_timer_start(&ssh->timer, on_dial_late, dial_limit_ms(ssh), 0);
}

static void ssh_send(struct transport *transport, const uint8_t *bytes, size_t n)
{
	struct ssh *ssh = ssh_of(transport);

	if (ssh->state == SSH_OPEN)
		ssh->stream->ops->send(ssh->stream, bytes, n);
}

static size_t ssh_queued_bytes(const struct transport *transport)
{
	const struct ssh *ssh = (const void *)transport;

	return ssh->stream == NULL ? 0 : ssh->stream->ops->queued_bytes(ssh->stream);
}

static void on_patience_over(uv_timer_t *timer)
{
	break_down(timer->data, FAULT_BROKEN, "closed");
}

/* Its stdin ends behind what was sent: the agent reads that, and exits. */
static void ssh_close(struct transport *transport, bool at_once)
{
	struct ssh *ssh = ssh_of(transport);

	if (at_once || ssh->state != SSH_OPEN) {
		if (ssh->state != SSH_ENDING || at_once)
			break_down(ssh, FAULT_BROKEN, "closed");
		return;
	}
	ssh_move(ssh, SSH_ENDING, "closed");
	uv_timer_start(&ssh->timer, on_patience_over, CLOSE_PATIENCE_MS, 0);
	ssh->stream->ops->finish(ssh->stream);
}

static void ssh_free(struct transport *transport)
{
	struct ssh *ssh = ssh_of(transport);

	assert(ssh->state == SSH_CLOSED);
	arena_fini(&ssh->arena);
	free(ssh);
}

static const struct transport_ops ssh_ops = {
	.open = ssh_open,
	.send = ssh_send,
	.queued_bytes = ssh_queued_bytes,
	.close = ssh_close,
	.free = ssh_free,
};

struct transport *ssh_new(uv_loop_t *loop, const struct ssh_target *target, const struct deploy *deploy)
{
	struct ssh *ssh = mem_zalloc(sizeof *ssh);

	ssh->transport.ops = &ssh_ops;
	ssh->loop = loop;
	arena_init(&ssh->arena);
	ssh->target = ssh_target_copy(&ssh->arena, target);
	ssh->deploy = deploy;
	return &ssh->transport;
}

const char *ssh_describe(const struct transport *transport)
{
	return ((const struct ssh *)(const void *)transport)->description;
}

const struct ssh_facts *ssh_facts(const struct transport *transport)
{
	return &((const struct ssh *)(const void *)transport)->facts;
}

bool ssh_uploaded(const struct transport *transport)
{
	return ((const struct ssh *)(const void *)transport)->uploaded;
}
