#include "scheduler/checkup.h"

#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/link.h"
#include "executor/local.h"
#include "executor/ssh.h"
#include "executor/ssh_program.h"
#include "executor/ssh_resolve.h"
#include "scheduler/engine.h"
#include "scheduler/listing.h"

enum {
	FINDINGS_MS = 60000, /* for the agent, which has a shorter limit of its own */
	CLOCKS_APART_MS = 2000,
};

/* The way to a worker, in the order in which it is gone. */
enum stage {
	STAGE_ADDRESS,
	STAGE_NAME,
	STAGE_CONNECTION,
	STAGE_HOST_KEY,
	STAGE_LOGIN,
	STAGE_SHELL,
	STAGE_AGENT,
	STAGES
};

static const char *const stage_names[STAGES] = {
	[STAGE_ADDRESS] = "address",   [STAGE_NAME] = "name",	[STAGE_CONNECTION] = "connection",
	[STAGE_HOST_KEY] = "host key", [STAGE_LOGIN] = "login", [STAGE_SHELL] = "login shell",
	[STAGE_AGENT] = "agent",
};

struct checkup {
	const struct checkup_plan *plan;
	checkup_tell *tell;
	void *context;
	uv_loop_t loop;
	uv_timer_t limit;
	struct deploy deploy;
	struct transport *transport;
	struct link *link;
	bool tried;
	bool good;
};

__attribute__((format(printf, 5, 6))) static void tell(struct checkup *checkup, const char *name,
						       enum finding_verdict verdict, const char *remedy,
						       const char *format, ...)
{
	struct frame_finding finding = { .name = name, .verdict = verdict, .remedy = remedy };
	char text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	finding.text = text;
	checkup->good &= verdict != FINDING_PROBLEM;
	checkup->tell(checkup->context, &finding);
}

static void finish(struct checkup *checkup)
{
	if (uv_is_closing((uv_handle_t *)&checkup->limit))
		return;
	uv_close((uv_handle_t *)&checkup->limit, NULL);
	link_close(checkup->link, NULL, NULL);
}

/* --- the way there -------------------------------------------------------------------------------------- */

static void tell_settings(struct checkup *checkup)
{
	const struct checkup_plan *plan = checkup->plan;
	const struct settings_worker *worker = plan->worker;
	autobuf struct buf text = { 0 };

	if (!worker->terms.remote)
		buf_append_text(&text, "this machine");
	else
		buf_printf(&text, "ssh %s",
			   worker->target.destination == NULL ? worker->name : worker->target.destination);
	for (size_t i = 0; i < worker->terms.labels_count; i++)
		buf_printf(&text, "%s%s", i == 0 ? ", labels " : " ", worker->terms.labels[i]);
	if (worker->terms.slots > 0)
		buf_printf(&text, ", %d slots", worker->terms.slots);
	buf_printf(&text, " (%s)", plan->settings->path == NULL ? "no settings file" : plan->settings->path);
	tell(checkup, "settings", FINDING_OK, "", "%s", buf_text(&text));
}

/* What was found at a stage that was passed; empty: nothing is known of it. */
static const char *describe_stage(const struct checkup *checkup, enum stage stage, char text[700])
{
	const struct ssh_facts *facts = ssh_facts(checkup->transport);
	const char *by = ssh_program_is_installed() ? "as `ssh -G` resolves it"
					    : "ssh is not installed, so as the settings say";

	text[0] = '\0';
	switch (stage) {
	case STAGE_ADDRESS:
		if (facts->jump[0] != '\0')
			snprintf(text, 700, "%s, through %s (%s)", facts->host, facts->jump, by);
		else if (facts->host[0] != '\0')
			snprintf(text, 700, "%s (%s)", facts->host, by);
		break;
	case STAGE_NAME:
		if (facts->address[0] != '\0' && facts->jump[0] != '\0')
			snprintf(text, 700, "the jump host is %s", facts->address);
		else if (facts->address[0] != '\0')
			snprintf(text, 700, "%s", facts->address);
		break;
	case STAGE_CONNECTION:
		if (facts->address[0] != '\0')
			snprintf(text, 700, "an ssh server answers%s%s",
				 ssh_describe(checkup->transport)[0] == '\0' ? "" : "; ",
				 ssh_describe(checkup->transport));
		else if (ssh_describe(checkup->transport)[0] != '\0')
			snprintf(text, 700, "%s", ssh_describe(checkup->transport));
		break;
	case STAGE_HOST_KEY:
		if (facts->host_key[0] != '\0')
			snprintf(text, 700, "%s, known", facts->host_key);
		break;
	case STAGE_LOGIN:
		if (facts->key[0] != '\0')
			snprintf(text, 700, "%.*s, with %s", (int)strcspn(facts->host, "@"), facts->host,
				 facts->key);
		break;
	default:
		break;
	}
	return text;
}

static void tell_passed(struct checkup *checkup, enum stage end)
{
	char text[700];

	for (enum stage stage = STAGE_ADDRESS; stage < end; stage++)
		if (describe_stage(checkup, stage, text)[0] != '\0')
			tell(checkup, stage_names[stage], FINDING_OK, "", "%s", text);
}

static enum stage stage_of(enum fault fault, bool remote)
{
	if (!remote)
		return STAGE_AGENT;
	switch (fault) {
	case FAULT_CONFIG:
		return STAGE_ADDRESS;
	case FAULT_NAME:
		return STAGE_NAME;
	case FAULT_REFUSED:
	case FAULT_UNREACHABLE:
	case FAULT_PROTOCOL:
		return STAGE_CONNECTION;
	case FAULT_HOSTKEY_UNKNOWN:
	case FAULT_HOSTKEY_CHANGED:
	case FAULT_HOSTKEY_REVOKED:
		return STAGE_HOST_KEY;
	case FAULT_AUTH:
		return STAGE_LOGIN;
	case FAULT_SHELL:
		return STAGE_SHELL;
	default:
		return STAGE_AGENT;
	}
}

/* --- the agent's greeting ------------------------------------------------------------------------------- */

static void tell_agent(struct checkup *checkup, const struct frame_welcome *welcome)
{
	const struct deploy_agent *agent = deploy_for(&checkup->deploy, welcome->machine);

	if (!checkup->plan->worker->terms.remote)
		tell(checkup, "agent", FINDING_OK, "", "it answers, on %s (%s)", welcome->host,
		     welcome->machine);
	else
		tell(checkup, "agent", FINDING_OK, "", "%s%s, on %s (%s), in %s",
		     ssh_uploaded(checkup->transport) ? "put there now, version " : "there already, version ",
		     agent == NULL ? "unknown" : agent->digest, welcome->host, welcome->machine,
		     welcome->root);
}

static void tell_clock(struct checkup *checkup, const struct frame_welcome *welcome)
{
	int64_t ahead_ms = welcome->wall_ms - clock_wall_ms();
	int64_t apart_ms = ahead_ms < 0 ? -ahead_ms : ahead_ms;
	char span[CLOCK_SPAN_BYTES];

	if (apart_ms > CLOCKS_APART_MS)
		tell(checkup, "clock", FINDING_WARNING,
		     "let both follow a time server (chrony, systemd-timesyncd): times of checkpoints and "
		     "metrics are"
		     " those of the worker",
		     "%s %s of this machine's", clock_span(apart_ms, span),
		     ahead_ms > 0 ? "ahead" : "behind");
	else
		tell(checkup, "clock", FINDING_OK, "", "as here, within %s",
		     clock_span(apart_ms < 100 ? 100 : apart_ms, span));
}

static void tell_resources(struct checkup *checkup, const struct frame_welcome *welcome)
{
	const struct worker_terms *terms = &checkup->plan->worker->terms;
	autobuf struct buf text = { 0 }, wrong = { 0 };

	buf_printf(&text, "%g cpus, ", (double)welcome->cpus_milli / 1000);
	listing_append_bytes(&text, welcome->memory_bytes);
	buf_printf(&text, ", %zu gpus", welcome->devices_count);
	if (terms->most.cpus_milli > welcome->cpus_milli)
		buf_printf(&wrong, "%g cpus", (double)terms->most.cpus_milli / 1000);
	if (terms->most.memory_bytes > welcome->memory_bytes) {
		buf_append_text(&wrong, wrong.bytes > 0 ? ", " : "");
		listing_append_bytes(&wrong, terms->most.memory_bytes);
	}
	if (terms->gpus_set && (size_t)terms->most.gpus > welcome->devices_count)
		buf_printf(&wrong, "%s%d gpus", wrong.bytes > 0 ? ", " : "", terms->most.gpus);
	if (wrong.bytes > 0)
		tell(checkup, "resources", FINDING_WARNING, "mend `resources` of the worker, or the machine",
		     "%s were found, but the settings give out %s", buf_text(&text), buf_text(&wrong));
	else
		tell(checkup, "resources", FINDING_OK, "", "%s", buf_text(&text));
}

/* --- what the link hears -------------------------------------------------------------------------------- */

static void on_wanted(void *context, struct link *link)
{
	struct checkup *checkup = context;

	if (checkup->tried)
		return;
	checkup->tried = true;
	link_connect(link, 1);
}

static void on_limit(uv_timer_t *timer)
{
	struct checkup *checkup = timer->data;

	tell(checkup, "check", FINDING_PROBLEM, "", "the agent does not tell what it finds");
	finish(checkup);
}

static void on_up(void *context, struct link *link, const struct frame_welcome *welcome)
{
	struct checkup *checkup = context;

	if (checkup->plan->worker->terms.remote) {
		tell_passed(checkup, STAGE_SHELL);
		tell(checkup, stage_names[STAGE_SHELL], FINDING_OK, "", "it runs our command");
	}
	tell_agent(checkup, welcome);
	if (checkup->plan->worker->terms.remote)
		tell_clock(checkup, welcome);
	tell_resources(checkup, welcome);
	uv_timer_start(&checkup->limit, on_limit, FINDINGS_MS, 0);
	link_check(link);
	link_flush(link);
}

static void fail(struct checkup *checkup, enum stage stage, const char *why)
{
	if (checkup->plan->worker->terms.remote)
		tell_passed(checkup, stage);
	tell(checkup, stage_names[stage], FINDING_PROBLEM, "", "%s", why);
	finish(checkup);
}

static void on_down(void *context, struct link *link, const char *why)
{
	struct checkup *checkup = context;

	(void)link;
	tell(checkup, "check", FINDING_PROBLEM, "", "the connection broke: %s", why);
	finish(checkup);
}

static void on_failed(void *context, struct link *link, enum fault fault, const char *why, int64_t retry_ms)
{
	struct checkup *checkup = context;

	(void)link;
	(void)retry_ms; /* a person waits: there is one try */
	fail(checkup, stage_of(fault, checkup->plan->worker->terms.remote), why);
}

static void on_finding(void *context, struct link *link, const struct frame_finding *finding)
{
	struct checkup *checkup = context;

	(void)link;
	if (finding->name[0] != '\0') {
		checkup->good &= finding->verdict != FINDING_PROBLEM;
		checkup->tell(checkup->context, finding);
	}
	if (finding->last)
		finish(checkup);
}

/* What it warns of when it is greeted is among its findings too. */
static void on_note(void *context, struct link *link, const struct frame_note *note)
{
	(void)context;
	(void)link;
	(void)note;
}

/* Nothing is claimed, so nothing else is said. */
static const struct link_handler handler = {
	.on_wanted = on_wanted,
	.on_up = on_up,
	.on_down = on_down,
	.on_failed = on_failed,
	.on_note = on_note,
	.on_finding = on_finding,
};

/* --- all of it ------------------------------------------------------------------------------------------ */

static int open_transport(struct checkup *checkup, struct err *err)
{
	const struct checkup_plan *plan = checkup->plan;
	autofree char *root = mem_printf("%s/local", plan->home);
	char agent[PATH_MAX];

	if (engine_find_agent(agent, sizeof agent, err) < 0)
		return err->code;
	if (deploy_find(&checkup->deploy, agent, err) < 0)
		return err->code;
	checkup->transport = plan->worker->terms.remote
				     ? ssh_new(&checkup->loop, &plan->worker->target, &checkup->deploy)
				     : local_new(&checkup->loop, agent, root);
	return 0;
}

int checkup_run(const struct checkup_plan *plan, checkup_tell *tell_one, void *context, bool *good_out,
		struct err *err)
{
	struct checkup checkup = { .plan = plan, .tell = tell_one, .context = context, .good = true };
	char host[64] = "", scheduler[128];
	int rc;

	signal(SIGPIPE, SIG_IGN); /* an ssh or an agent that died is an answer, too */
	uv_loop_init(&checkup.loop);
	rc = open_transport(&checkup, err);
	if (rc == 0) {
		gethostname(host, sizeof host - 1);
		snprintf(scheduler, sizeof scheduler, "stoker workers check on %s (pid %d)", host,
			 (int)getpid());
		checkup.link = link_new(&checkup.loop, plan->worker->name, checkup.transport, plan->home_name,
					scheduler, &handler, &checkup);
		uv_timer_init(&checkup.loop, &checkup.limit);
		checkup.limit.data = &checkup;
		tell_settings(&checkup);
		link_start(checkup.link);
		uv_run(&checkup.loop, UV_RUN_DEFAULT);
		*good_out = checkup.good;
	}
	deploy_fini(&checkup.deploy);
	uv_loop_close(&checkup.loop);
	return rc;
}
