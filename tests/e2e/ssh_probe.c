/*
 * ssh_probe.c - drives the ssh transport by itself: connects, greets the agent, and says how it went
 *
 * Prints one line of key=value for each thing that happens; exit 0 when an agent welcomed us, 1 on a fault.
 * It takes the place of the link: the three functions that a transport calls are here.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scope.h"
#include "executor/link.h"
#include "executor/protocol.h"
#include "executor/ssh.h"

struct link {
	struct transport *transport;
	struct buf in;
	int64_t opened_ms;
	int status;
	int rounds;    /* connections still to be made */
	bool stubborn; /* goes on when one failed */
	uv_timer_t closer;
	int close_after_ms; /* -1: when all is well */
	int close_step_ms;  /* later each time, until all is well */
};

static void on_close_due(uv_timer_t *timer)
{
	struct link *link = timer->data;

	link->transport->ops->close(link->transport, true);
}

static void open_next(struct link *link)
{
	link->opened_ms = clock_mono_ms();
	link->transport->ops->open(link->transport);
	if (link->close_after_ms < 0)
		return;
	uv_timer_start(&link->closer, on_close_due, (uint64_t)link->close_after_ms, 0);
	link->close_after_ms += link->close_step_ms;
}

static void greet(struct link *link)
{
	autobuf struct buf frame = { 0 };

	protocol_put_hello(&frame, &(struct frame_hello){ .version = PROTOCOL_VERSION,
							  .home = "0123456789ab",
							  .scheduler = "ssh_probe" });
	link->transport->ops->send(link->transport, frame.data, frame.bytes);
}

void link_opened(struct link *link)
{
	printf("opened by='%s' host=%s address=%s jump=%s host_key='%s' key='%s' uploaded=%d ms=%d\n",
	       ssh_describe(link->transport), ssh_facts(link->transport)->host,
	       ssh_facts(link->transport)->address, ssh_facts(link->transport)->jump,
	       ssh_facts(link->transport)->host_key, ssh_facts(link->transport)->key,
	       ssh_uploaded(link->transport), (int)(clock_mono_ms() - link->opened_ms));
	greet(link);
}

void link_received(struct link *link, const uint8_t *bytes, size_t n)
{
	struct frame_welcome welcome;
	struct arena arena;
	struct frame frame;
	struct err err;
	int rc;

	buf_append(&link->in, bytes, n);
	rc = protocol_next(link->in.data, link->in.bytes, &frame, &err);
	if (rc == 0)
		return;
	arena_init(&arena);
	if (rc == 1 && frame.type == FRAME_WELCOME && protocol_get_welcome(&frame, &arena, &welcome) == 0) {
		printf("welcome machine=%s root='%s'\n", welcome.machine, welcome.root);
		link->status = 0;
		link->transport->ops->close(link->transport, false);
	} else {
		printf("garbage\n");
		link->transport->ops->close(link->transport, true);
	}
	arena_fini(&arena);
	buf_clear(&link->in);
}

void link_drained(struct link *link)
{
	(void)link;
}

void link_broken(struct link *link, enum fault fault, const char *why)
{
	printf("broken fault=%s by='%s' why='%s'\n", fault_names[fault], ssh_describe(link->transport), why);
	buf_clear(&link->in);
	uv_timer_stop(&link->closer);
	if (--link->rounds > 0 && (link->status == 0 ? link->close_step_ms == 0 : link->stubborn))
		open_next(link);
	else
		uv_close((uv_handle_t *)&link->closer, NULL);
}

/* Says who the host is, or the first one on the way to it that is not known; with `trust` it is believed. */
static int meet(const struct ssh_target *target, bool trust)
{
	static const char *const answers[] = { "unknown", "known", "changed", "revoked" };
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	autobuf struct buf name = { 0 };
	struct ssh_look look;
	enum fault fault;
	struct err err;

	if (ssh_dial_look(&arena, target, &look, &fault, &err) < 0) {
		printf("failed fault=%s why='%s'\n", fault_names[fault], err.text);
		return 1;
	}
	hostkey_name(&look.place, &name);
	for (size_t i = 0; i < look.keys_count; i++) {
		const struct ssh_shown *shown = &look.keys[i];

		printf("met host=%s %s key='%s %s' file=%s\n", buf_text(&name),
		       answers[shown->finding.answer], shown->finding.type, shown->finding.fingerprint,
		       look.file == NULL ? "" : look.file);
		if (trust && hostkey_add(look.file, &look.place, shown->key, shown->key_bytes, &err) < 0) {
			printf("failed why='%s'\n", err.text);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "agent", required_argument, NULL, 'a' },
		{ "worker", required_argument, NULL, 'w' },
		{ "root", required_argument, NULL, 'r' },
		{ "jump", required_argument, NULL, 'j' },
		{ "config", required_argument, NULL, 'F' },
		{ "known-hosts", required_argument, NULL, 'k' },
		{ "identity", required_argument, NULL, 'i' },
		{ "transport", required_argument, NULL, 't' },
		{ "timeout", required_argument, NULL, 'T' },
		{ "rounds", required_argument, NULL, 'n' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "meet", no_argument, NULL, 'm' },
		{ "trust", no_argument, NULL, 'M' },
		{ "close-after", required_argument, NULL, 'c' },
		{ "close-step", required_argument, NULL, 's' },
		{ "stubborn", no_argument, NULL, 'S' },
		{ NULL, 0, NULL, 0 },
	};
	const char *identities[16], *agent = NULL;
	struct ssh_target target = { .identities = identities };
	struct link link = { .status = 1, .rounds = 1, .close_after_ms = -1 };
	struct deploy deploy;
	struct err err;
	uv_loop_t loop;
	int option, meeting = 0;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			agent = optarg;
			break;
		case 'w':
			target.worker = optarg;
			break;
		case 'r':
			target.root = optarg;
			break;
		case 'j':
			target.jump = optarg;
			break;
		case 'F':
			target.config_file = optarg;
			break;
		case 'k':
			target.known_hosts = optarg;
			break;
		case 'i':
			if (target.identities_count < COUNT_OF(identities))
				identities[target.identities_count++] = optarg;
			break;
		case 't':
			target.choice = strcmp(optarg, "libssh2") == 0	 ? SSH_LIBSSH2
					: strcmp(optarg, "openssh") == 0 ? SSH_OPENSSH
									 : SSH_AUTO;
			break;
		case 'T':
			target.connect_timeout_ms = atoi(optarg);
			break;
		case 'n':
			link.rounds = atoi(optarg);
			break;
		case 'c':
			link.close_after_ms = atoi(optarg);
			break;
		case 's':
			link.close_step_ms = atoi(optarg);
			break;
		case 'S':
			link.stubborn = true;
			break;
		case 'm':
		case 'M':
			meeting = option;
			break;
		case 'v':
			log_open(NULL, LOG_DEBUG, false);
			break;
		default:
			return 2;
		}
	}
	if (optind + 1 == argc)
		target.destination = argv[optind];
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (meeting != 0 && target.destination != NULL)
		return meet(&target, meeting == 'M');
	if (target.destination == NULL || agent == NULL) {
		fprintf(stderr, "usage: ssh_probe --agent FILE [OPTION]... DESTINATION\n");
		return 2;
	}
	if (deploy_find(&deploy, agent, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN); /* as stoker does */
	uv_loop_init(&loop);
	link.transport = ssh_new(&loop, &target, &deploy);
	link.transport->link = &link;
	uv_timer_init(&loop, &link.closer);
	link.closer.data = &link;
	open_next(&link);
	uv_run(&loop, UV_RUN_DEFAULT);
	link.transport->ops->free(link.transport);
	uv_loop_close(&loop);
	buf_fini(&link.in);
	deploy_fini(&deploy);
	log_close();
	return link.status;
}
