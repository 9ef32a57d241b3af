#include "web/routes.h"

#include <stdio.h>
#include <string.h>

#include "common/scope.h"
#include "web/plain.h"

const char *const route_segments[SEGMENTS] = { "dag", "number", "task", "attempt", "worker" };

const struct route_parameter route_options[OPTIONS] = {
	[OPTION_LIMIT] = { "limit", TYPE_NUMBER, 1, 1000, "at most so many" },
	[OPTION_BEFORE] = { "before", TYPE_NUMBER, 1, INT64_MAX, "the page that follows: \"next\" of the one before" },
	[OPTION_AFTER] = { "after", TYPE_NUMBER, 0, INT64_MAX, "only what has a greater id" },
	[OPTION_DAG] = { "dag", TYPE_NAME, 0, 0, "only of this DAG" },
	[OPTION_RUN] = { "run", TYPE_RUN, 0, 0, "only of this run, as in digits/3" },
	[OPTION_STATE] = { "state", TYPE_STATE, 0, 0, "only those in this state" },
	[OPTION_FROM] = { "from", TYPE_TIME, 0, 0, "from this time on: RFC 3339, or a date" },
	[OPTION_TO] = { "to", TYPE_TIME, 0, 0, "up to this time: RFC 3339, or a date" },
	[OPTION_OFFSET] = { "offset", TYPE_NUMBER, 0, INT64_MAX, "begin at this byte" },
	[OPTION_TAIL] = { "tail", TYPE_NUMBER, 1, INT64_MAX, "only the last so many bytes" },
	[OPTION_AGAIN] = { "again", TYPE_FLAG, 0, 0, "also those that succeeded already" },
	[OPTION_FOLLOW] = { "follow", TYPE_FLAG, 0, 0, "go on with what comes until the attempt has ended" },
};

#define WITH(option)   (1u << OPTION_##option)
#define PAGED	       (WITH(LIMIT) | WITH(BEFORE))
#define API(path)      "/api/v1" path
#define RUN_PATH(path) API("/runs/{dag}/{number}" path)
#define READ(what_)    .method = "GET", .kind = ROUTE_READ, .what = (what_), .role = WEB_VIEWER
#define CHANGE(what_)  .method = "POST", .kind = ROUTE_CHANGE, .what = (what_), .role = WEB_OPERATOR
#define PLAIN(what_)	     .method = "GET", .kind = ROUTE_PLAIN, .what = (what_), .role = WEB_VIEWER
#define PARAMS_FIELD                                                                                       \
	{                                                                                                  \
		"params", TYPE_TEXTS, false, false, 0, 0, "values of parameters, as texts"                 \
	}

const struct route routes[] = {
	{ READ(WEB_DAGS), .path = API("/dags"), .options = WITH(LIMIT), .limit = 7, .name = "listDags",
	  .summary = "every DAG, its latest runs (as many as `limit`), what it waits for", .schema = "Dags" },
	{ READ(WEB_DAG), .path = API("/dags/{dag}"), .options = WITH(LIMIT), .limit = 50, .name = "getDag",
	  .summary = "one DAG: graph, schedules, parameters, file and what is wrong with it", .schema = "DagDetail" },
	{ READ(WEB_OCCURRENCES), .path = API("/dags/{dag}/occurrences"),
	  .options = PAGED | WITH(FROM) | WITH(TO), .limit = 50, .name = "listOccurrences",
	  .summary = "the due times of its schedules: those to come, and what became of those that passed",
	  .schema = "Occurrences" },
	{ CHANGE(WEB_PAUSE), .path = API("/dags/{dag}/pause"), .name = "pauseDag",
	  .summary = "its schedules start nothing until it is unpaused", .schema = "PauseAnswer" },
	{ CHANGE(WEB_UNPAUSE), .path = API("/dags/{dag}/unpause"), .name = "unpauseDag",
	  .summary = "its schedules are in force again", .schema = "PauseAnswer" },
	{ READ(WEB_BACKFILL_PLAN), .path = API("/dags/{dag}/backfill"),
	  .options = WITH(FROM) | WITH(TO) | WITH(AGAIN) | WITH(LIMIT), .needed = WITH(FROM) | WITH(TO), .limit = 100,
	  .name = "planBackfill", .summary = "what a backfill would do now, its due times oldest first",
	  .schema = "BackfillPlan" },
	{ CHANGE(WEB_BACKFILL), .path = API("/dags/{dag}/backfill"), .name = "backfillDag",
	  .summary = "makes runs for due times that passed", .schema = "BackfillAnswer",
	  .fields = { { "from", TYPE_TIME, true, false, 0, 0, "the first: a date or an RFC 3339 time" },
		      { "to", TYPE_TIME, true, false, 0, 0, "the end: a date or an RFC 3339 time" },
		      { "max_active", TYPE_NUMBER, false, false, 1, 100, "so many at a time" },
		      { "again", TYPE_FLAG, false, false, 0, 0, "also for those that succeeded already" },
		      PARAMS_FIELD } },

	{ READ(WEB_BACKFILLS), .path = API("/backfills"), .options = WITH(LIMIT) | WITH(DAG), .limit = 50,
	  .name = "listBackfills", .summary = "backfills with their runs by state, newest first",
	  .schema = "Backfills" },

	{ READ(WEB_RUNS), .path = API("/runs"), .options = PAGED | WITH(DAG) | WITH(STATE), .limit = 50,
	  .name = "listRuns", .summary = "runs, newest first", .schema = "Runs" },
	{ CHANGE(WEB_TRIGGER), .path = API("/runs"), .name = "triggerRun",
	  .summary = "makes a run: it is on disk when this is answered", .schema = "TriggerAnswer",
	  .fields = { { "dag", TYPE_NAME, false, false, 0, 0, "the DAG's name" },
		      { "file", TYPE_TEXT, false, true, 0, 0, "in its place: a DAG file (control socket only)" },
		      PARAMS_FIELD } },
	{ READ(WEB_RUN), .path = RUN_PATH(""), .name = "getRun", .summary = "one run with its tasks and attempts",
	  .schema = "RunDetail" },
	{ READ(WEB_RUN_WHY), .path = RUN_PATH("/why"), .name = "whyRun",
	  .summary = "in one sentence why it is in its state", .schema = "Why" },
	{ CHANGE(WEB_CANCEL), .path = RUN_PATH("/cancel"), .name = "cancelRun",
	  .summary = "asks its steps to stop, then ends them", .schema = "CancelAnswer",
	  .fields = { { "now", TYPE_FLAG, false, false, 0, 0, "without grace" } } },
	{ CHANGE(WEB_RETRY), .path = RUN_PATH("/retry"), .name = "retryRun",
	  .summary = "runs again what did not succeed, or a step and what needs it", .schema = "RetryAnswer",
	  .fields = { { "from", TYPE_NAME, false, false, 0, 0, "the step to begin with" },
		      { "dry_run", TYPE_FLAG, false, false, 0, 0, "only tells what it would do" } } },
	{ READ(WEB_TASK), .path = RUN_PATH("/tasks/{task}"), .name = "getTask",
	  .summary = "one task with its attempts", .schema = "Task" },
	{ READ(WEB_TASK_WHY), .path = RUN_PATH("/tasks/{task}/why"), .name = "whyTask",
	  .summary = "in one sentence why it is in its state", .schema = "Why" },
	{ READ(WEB_CHECKPOINTS), .path = RUN_PATH("/tasks/{task}/checkpoints"), .options = WITH(LIMIT), .limit = 1000,
	  .name = "listCheckpoints", .summary = "its ledger of checkpoints, in the order of recording",
	  .schema = "Checkpoints" },
	{ READ(WEB_METRICS), .path = RUN_PATH("/tasks/{task}/metrics"), .options = WITH(LIMIT), .limit = 1000,
	  .name = "listMetrics", .summary = "what its attempts reported, thinned out to `limit` lines",
	  .schema = "Metrics" },
	{ .method = "GET", .kind = ROUTE_LOG, .role = WEB_VIEWER,
	  .path = RUN_PATH("/tasks/{task}/attempts/{attempt}/log"),
	  .options = WITH(OFFSET) | WITH(LIMIT) | WITH(TAIL) | WITH(FOLLOW), .name = "getLog",
	  .summary = "the log of an attempt (0: the latest), byte for byte; with `Range`, or by `offset` and `limit`" },

	{ READ(WEB_WORKERS), .path = API("/workers"), .name = "listWorkers",
	  .summary = "the machines: reachable or since when not, what they have and what they run",
	  .schema = "Workers" },
	{ CHANGE(WEB_DRAIN), .path = API("/workers/{worker}/drain"), .name = "drainWorker",
	  .summary = "nothing new is started there", .schema = "DrainAnswer" },
	{ CHANGE(WEB_UNDRAIN), .path = API("/workers/{worker}/undrain"), .name = "undrainWorker",
	  .summary = "it may be used again", .schema = "DrainAnswer" },
	{ READ(WEB_POOLS), .path = API("/pools"), .name = "listPools", .summary = "the pools and who holds them",
	  .schema = "Pools" },
	{ READ(WEB_EVENTS), .path = API("/events"), .options = PAGED | WITH(AFTER) | WITH(RUN), .limit = 50,
	  .name = "listEvents", .summary = "the audit trail: the latest, or those after an id; oldest first",
	  .schema = "Events" },
	{ READ(WEB_STATUS), .path = API("/status"), .options = WITH(LIMIT), .limit = 10, .name = "getStatus",
	  .summary = "what goes on and what happened last", .schema = "Status" },
	{ .method = "POST", .kind = ROUTE_CHANGE, .what = WEB_RELOAD, .role = WEB_ADMIN, .path = API("/reload"), .name = "reload",
	  .summary = "reads the settings and the DAG files again", .schema = "ReloadAnswer" },

	{ .method = "GET", .kind = ROUTE_STREAM, .role = WEB_VIEWER, .path = API("/stream"),
	  .options = WITH(DAG) | WITH(RUN), .name = "stream",
	  .summary = "live changes as server-sent events; `Last-Event-ID` resumes, an event `reset` says that it could"
		     " not" },
	{ .method = "GET", .kind = ROUTE_OPENAPI, .role = WEB_NOBODY, .path = API("/openapi.json"), .name = "openapi",
	  .summary = "this description" },
	{ .method = "GET", .kind = ROUTE_SESSION, .role = WEB_NOBODY, .path = API("/session"), .name = "getSession",
	  .summary = "who asks, and what they may", .schema = "Session" },
	{ .method = "POST", .kind = ROUTE_LOGIN, .role = WEB_NOBODY, .path = API("/session"), .name = "login",
	  .summary = "a cookie for the page, for a token", .schema = "Session",
	  .fields = { { "token", TYPE_TEXT, true, false, 0, 0, "as `stoker token create` printed it" } } },
	{ .method = "DELETE", .kind = ROUTE_LOGOUT, .role = WEB_NOBODY, .path = API("/session"), .name = "logout",
	  .summary = "ends the session of the cookie", .schema = "Session" },
	{ .method = "GET", .kind = ROUTE_HEALTH, .role = WEB_NOBODY, .path = "/healthz", .what = WEB_HEALTH,
	  .name = "health", .summary = "200 when the loop passes and the database can be written, else 503",
	  .schema = "Health" },
	{ .method = "GET", .kind = ROUTE_SAMPLES, .role = WEB_VIEWER, .path = "/metrics", .name = "samples",
	  .summary = "for Prometheus, in its text format" },

	{ PLAIN(PLAIN_DAGS), .path = "/plain", .limit = 14, .name = "plainDags",
	  .summary = "the page without JavaScript: the DAGs" },
	{ PLAIN(PLAIN_DAG), .path = "/plain/dags/{dag}", .limit = 50, .name = "plainDag", .summary = "a DAG" },
	{ PLAIN(PLAIN_RUNS), .path = "/plain/runs", .options = PAGED | WITH(DAG) | WITH(STATE), .limit = 100,
	  .name = "plainRuns", .summary = "runs, newest first" },
	{ PLAIN(PLAIN_RUN), .path = "/plain/runs/{dag}/{number}", .name = "plainRun", .summary = "a run with its tasks" },
	{ PLAIN(PLAIN_TASK), .path = "/plain/runs/{dag}/{number}/{task}", .name = "plainTask",
	  .summary = "a task with its attempts and checkpoints" },
	{ PLAIN(PLAIN_WORKERS), .path = "/plain/workers", .name = "plainWorkers", .summary = "the machines" },
	{ PLAIN(PLAIN_EVENTS), .path = "/plain/events", .options = PAGED, .limit = 200, .name = "plainEvents",
	  .summary = "what happened last" },
};

const size_t routes_count = COUNT_OF(routes);

enum route_segment route_segment_of(const char *text, size_t bytes)
{
	if (bytes < 2 || text[0] != '{')
		return SEGMENT_LITERAL;
	for (int i = 0; i < SEGMENTS; i++)
		if (strlen(route_segments[i]) == bytes - 2 && memcmp(route_segments[i], text + 1, bytes - 2) == 0)
			return (enum route_segment)i;
	return SEGMENT_UNKNOWN;
}

/* How long the part of the table's path is that `segment` is, word for word; 0: it is another one. */
static size_t same_bytes(const char *path, const char *segment)
{
	size_t n = 0;

	while (segment[n] != '\0' && segment[n] == path[n] && path[n] != '/')
		n++;
	return segment[n] == '\0' && (path[n] == '\0' || path[n] == '/') ? n : 0;
}

static bool matches(const char *path, const char *const *segments, size_t count, struct route_match *match)
{
	size_t at = 0;

	memset(match, 0, sizeof *match);
	while (*path == '/' && at < count) {
		size_t bytes = *++path == '{' ? strcspn(path, "/") : same_bytes(path, segments[at]);

		if (bytes == 0)
			return false;
		if (*path == '{')
			match->values[route_segment_of(path, bytes)] = segments[at];
		path += bytes;
		at++;
	}
	return *path == '\0' && at == count;
}

/* HEAD is GET without the body, which the library leaves out. */
static bool is_method(const char *asked, const char *method)
{
	return strcmp(asked, method) == 0 || (strcmp(asked, "HEAD") == 0 && strcmp(method, "GET") == 0);
}

static void add_allowed(char *text, size_t bytes, const char *method)
{
	size_t used = strlen(text);

	snprintf(text + used, bytes - used, "%s%s", used == 0 ? "" : ", ",
		 strcmp(method, "GET") == 0 ? "GET, HEAD" : method);
}

bool route_find(const char *method, const char *const *segments, size_t count, struct route_match *out,
		char *allowed_out, size_t allowed_bytes)
{
	struct route_match match;

	allowed_out[0] = '\0';
	for (size_t i = 0; i < routes_count; i++) {
		if (!matches(routes[i].path, segments, count, &match))
			continue;
		if (is_method(method, routes[i].method)) {
			match.route = &routes[i];
			*out = match;
			return true;
		}
		add_allowed(allowed_out, allowed_bytes, routes[i].method);
	}
	return false;
}
