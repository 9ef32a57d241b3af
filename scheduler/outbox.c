#include "scheduler/outbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/hook.h"
#include "scheduler/notice_format.h"
#include "scheduler/resend.h"
#include "scheduler/store_outbox.h"
#include "scheduler/webhook.h"

enum { HOLD_MS = OUTBOX_CLAIM_MS / 3, AGAIN_MS = 2000, ERROR_BYTES = 600, HOST_BYTES = 64 };

/*
 * One notice on its way:
 *
 *   SENDING --> WRITING --> (freed)        the verdict is there; it is being written
 *       |
 *       +-----> (freed)                    cut off by outbox_stop
 */
struct delivery {
	struct outbox *outbox;
	struct arena arena;
	struct outbox_row row;
	struct dag_notify receiver;
	const char *dir;
	const char *id; /* "3f09...-17" */
	struct hook *hook; /* while it runs */
	int64_t started_ms;
	enum resend_verdict verdict;
	int64_t asked_ms; /* by Retry-After; -1: not */
	int64_t next_wall_ms;
	char error[ERROR_BYTES];
	struct writer_job job;
	struct list link; /* in outbox->sending, or in none */
};

struct taking {
	struct arena arena;
	struct outbox_row rows[OUTBOX_TAKEN_MAX];
	size_t most, count;
	struct writer_job job;
};

struct holding {
	uint64_t ids[OUTBOX_TAKEN_MAX];
	size_t count;
	struct writer_job job;
};

struct outbox {
	uv_loop_t *loop;
	struct writer *writer;
	struct store *reader;
	const struct notice_terms *terms;
	void (*on_change)(void *context);
	void *context;
	struct webhooks *webhooks; /* opened with the first of them */
	struct rng rng;
	char host[HOST_BYTES];
	uv_timer_t wake, hold;
	struct list sending;
	size_t under_way; /* sending and writing */
	struct taking taking;
	bool is_taking, is_holding;
	struct holding holding;
	bool stopping;
};

/* --- the end of a delivery ------------------------------------------------------------------------------ */

static void free_delivery(struct delivery *delivery)
{
	list_remove(&delivery->link);
	arena_fini(&delivery->arena);
	free(delivery);
}

static int write_verdict(struct store *store, void *context, struct err *err)
{
	struct delivery *delivery = context;
	uint64_t id = delivery->row.id;

	switch (delivery->verdict) {
	case RESEND_DONE:
		return store_sent_notice(store, id, clock_wall_ms(), err);
	case RESEND_LATER:
		return store_postpone_notice(store, id, delivery->next_wall_ms, delivery->error, err);
	default:
		return store_failed_notice(store, &delivery->row, delivery->error, clock_wall_ms(), err);
	}
}

/* What could not be written is another's, or ours again, when the claim has run out. */
static void on_verdict_written(void *context, const struct err *err)
{
	struct delivery *delivery = context;
	struct outbox *outbox = delivery->outbox;

	if (err->code != ERR_OK && !outbox->stopping)
		log_error("notice.blocked", NUMBER("notice", delivery->row.id), TEXT("err", err->text));
	free_delivery(delivery);
	outbox->under_way--;
	if (outbox->stopping)
		return;
	if (outbox->on_change != NULL)
		outbox->on_change(outbox->context);
	outbox_look(outbox);
}

static void log_verdict(const struct delivery *delivery)
{
	const char *event = delivery->verdict == RESEND_DONE	? "notice.sent"
			    : delivery->verdict == RESEND_LATER ? "notice.postponed"
								: "notice.failed";

	log_info(event, TEXT("dag", delivery->row.dag), TEXT("event", delivery->row.event), TEXT("notice", delivery->id),
		 NUMBER("attempt", delivery->row.attempts), TEXT("err", delivery->error),
		 NUMBER("dur_ms", clock_mono_ms() - delivery->started_ms));
}

static bool is_over(const struct delivery *delivery, int64_t next_wall_ms)
{
	if (delivery->receiver.run != NULL && delivery->row.attempts >= RESEND_COMMAND_TRIES)
		return true;
	return next_wall_ms > delivery->row.created_wall_ms + RESEND_END_MS;
}

__attribute__((format(printf, 3, 4))) static void conclude(struct delivery *delivery, enum resend_verdict verdict,
							   const char *format, ...)
{
	struct outbox *outbox = delivery->outbox;
	int64_t delay_ms = resend_delay_ms(delivery->row.attempts, &outbox->rng);
	va_list args;

	va_start(args, format);
	vsnprintf(delivery->error, sizeof delivery->error, format, args);
	va_end(args);
	if (delivery->asked_ms > delay_ms)
		delay_ms = delivery->asked_ms;
	delivery->next_wall_ms = clock_wall_ms() + delay_ms;
	delivery->verdict = verdict == RESEND_LATER && is_over(delivery, delivery->next_wall_ms) ? RESEND_NEVER : verdict;
	log_verdict(delivery);
	list_remove(&delivery->link);
	delivery->job = (struct writer_job){ .write = write_verdict, .done = on_verdict_written, .context = delivery };
	writer_add(outbox->writer, &delivery->job);
}

/* --- holding what takes long ---------------------------------------------------------------------------- */

static int write_holding(struct store *store, void *context, struct err *err)
{
	struct holding *holding = &((struct outbox *)context)->holding;
	int64_t now_ms = clock_wall_ms();

	for (size_t i = 0; i < holding->count; i++)
		if (store_hold_notice(store, holding->ids[i], now_ms, err) < 0)
			return err->code;
	return 0;
}

static void on_held(void *context, const struct err *err)
{
	(void)err; /* then it may come twice: the receiver knows it by its id */
	((struct outbox *)context)->is_holding = false;
}

static void on_hold_due(uv_timer_t *timer)
{
	struct outbox *outbox = timer->data;
	struct holding *holding = &outbox->holding;

	if (list_empty(&outbox->sending))
		uv_timer_stop(&outbox->hold);
	if (outbox->is_holding || list_empty(&outbox->sending))
		return;
	holding->count = 0;
	list_each (at, &outbox->sending)
		if (holding->count < OUTBOX_TAKEN_MAX)
			holding->ids[holding->count++] = list_entry(at, struct delivery, link)->row.id;
	holding->job = (struct writer_job){ .write = write_holding, .done = on_held, .context = outbox };
	outbox->is_holding = true;
	writer_add(outbox->writer, &holding->job);
}

/* --- sending -------------------------------------------------------------------------------------------- */

/* The first line of what a receiver said, for people. */
static int first_line(const char *said)
{
	int n = (int)strcspn(said, "\r\n");

	return n > 200 ? 200 : n;
}

static const char *last_line(const char *said)
{
	const char *line = strrchr(said, '\n');

	line = line == NULL ? said : line + 1;
	return strlen(line) > 200 ? line + strlen(line) - 200 : line;
}

static void on_answer(void *context, const struct webhook_answer *answer)
{
	struct delivery *delivery = context;
	enum resend_verdict verdict = answer->status == 0 ? RESEND_LATER : resend_of_status(answer->status);

	if (answer->retry_after[0] != '\0')
		delivery->asked_ms = resend_asked_ms(answer->retry_after, clock_wall_ms());
	if (verdict == RESEND_DONE)
		conclude(delivery, verdict, "%s", "");
	else if (answer->status == 0)
		conclude(delivery, verdict, "%s", answer->trouble);
	else if (answer->status >= 300 && answer->status < 400)
		conclude(delivery, verdict, "answered %d: it redirects to %.200s, which is not followed: name that URL",
			 answer->status, answer->location);
	else
		conclude(delivery, verdict, "answered %d%s%.*s", answer->status, answer->said[0] == '\0' ? "" : ": ",
			 first_line(answer->said), answer->said);
}

static int add_headers(struct delivery *delivery, const char *body, const char **headers, size_t *count, struct err *err)
{
	const struct dag_notify *receiver = &delivery->receiver;
	struct arena *arena = &delivery->arena;
	const char *value;

	headers[(*count)++] = "Content-Type: application/json";
	headers[(*count)++] = arena_printf(arena, "X-Stoker-Event: %s", delivery->row.event);
	headers[(*count)++] = arena_printf(arena, "X-Stoker-Delivery: %s", delivery->id);
	if (receiver->secret.env != NULL || receiver->secret.file != NULL) {
		if (notice_secret(&receiver->secret, arena, &value, err) < 0)
			return err->code;
		headers[(*count)++] = arena_printf(arena, "X-Stoker-Signature: %s",
						   notice_signature(value, body, arena));
	}
	for (size_t i = 0; i < receiver->headers_count; i++) {
		if (notice_secret(&receiver->headers[i].value, arena, &value, err) < 0)
			return err_wrap(err, "header %s", receiver->headers[i].name);
		headers[(*count)++] = arena_printf(arena, "%s: %s", receiver->headers[i].name, value);
	}
	return 0;
}

static void send_webhook(struct delivery *delivery)
{
	struct outbox *outbox = delivery->outbox;
	const char *body = notice_post(delivery->row.body, delivery->id, delivery->receiver.format, &delivery->arena);
	const char **headers = arena_alloc(&delivery->arena, (delivery->receiver.headers_count + 8) * sizeof *headers);
	size_t count = 0;
	struct err err;

	if (outbox->webhooks == NULL)
		outbox->webhooks = webhooks_open(outbox->loop, &err);
	if (outbox->webhooks == NULL || add_headers(delivery, body, headers, &count, &err) < 0) {
		conclude(delivery, RESEND_LATER, "%s", err.text);
		return;
	}
	webhook_post(outbox->webhooks, delivery->receiver.webhook, headers, count, body, on_answer, delivery);
}

/* What a command is given of stoker's own environment; a list, as for steps. */
static size_t add_environment(const char **env, struct arena *arena)
{
	static const char *const names[] = { "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR" };
	const char *path = getenv("PATH");
	size_t count = 0;

	env[count++] = arena_printf(arena, "PATH=%s", path != NULL ? path : "/usr/local/bin:/usr/bin:/bin");
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (getenv(names[i]) != NULL)
			env[count++] = arena_printf(arena, "%s=%s", names[i], getenv(names[i]));
	return count;
}

static void on_hook_end(void *context, const struct hook_end *end)
{
	struct delivery *delivery = context;
	enum resend_verdict verdict = delivery->receiver.run != NULL ? resend_of_exit(end->status)
								     : resend_of_mail(end->status);

	delivery->hook = NULL;
	if (end->said[0] != '\0')
		log_info("notice.said", TEXT("notice", delivery->id), TEXT("text", end->said));
	if (verdict == RESEND_DONE)
		conclude(delivery, verdict, "%s", "");
	else
		conclude(delivery, verdict, "%s: %s%s%s",
			 delivery->receiver.run != NULL ? "the command" : "sendmail", end->why,
			 end->said[0] == '\0' ? "" : ": ", last_line(end->said));
}

static void start_hook(struct delivery *delivery, const char *const *argv, const char *const *env, const char *dir,
		       const char *input, int64_t limit_ms)
{
	struct hook_task task = { .argv = argv,
				  .env = env,
				  .dir = dir,
				  .input = input,
				  .limit_ms = limit_ms,
				  .done = on_hook_end,
				  .context = delivery };

	delivery->hook = hook_start(delivery->outbox->loop, &task);
}

static void send_command(struct delivery *delivery)
{
	const char *const argv[] = { "/bin/sh", "-e", "-c", delivery->receiver.run, NULL };
	const char **variables = notice_variables(delivery->row.body, delivery->id, &delivery->arena);
	const char *env[64];
	size_t count = add_environment(env, &delivery->arena);

	for (size_t i = 0; variables[i] != NULL && count + 1 < COUNT_OF(env); i++)
		env[count++] = variables[i];
	env[count] = NULL;
	start_hook(delivery, argv, env, delivery->dir,
		   notice_post(delivery->row.body, delivery->id, DAG_NOTIFY_JSON, &delivery->arena), OUTBOX_COMMAND_MS);
}

static void send_mail(struct delivery *delivery)
{
	const struct notice_terms *terms = delivery->outbox->terms;
	const char *argv[] = { terms->sendmail != NULL ? terms->sendmail : NOTICE_SENDMAIL, "-t", "-i", NULL, NULL, NULL };
	const char *env[64];
	size_t count = add_environment(env, &delivery->arena);

	env[count] = NULL;
	if (terms->mail_from != NULL) {
		argv[3] = "-f";
		argv[4] = terms->mail_from;
	}
	start_hook(delivery, argv, env, NULL,
		   notice_mail(delivery->row.body, delivery->id, terms->mail_from, delivery->receiver.mail,
			       delivery->receiver.mail_count, delivery->outbox->host, &delivery->arena),
		   OUTBOX_MAIL_MS);
}

static void deliver(struct outbox *outbox, const struct outbox_row *row)
{
	struct delivery *delivery = mem_zalloc(sizeof *delivery);
	struct err err;

	delivery->outbox = outbox;
	delivery->row = *row;
	delivery->row.receiver = arena_strdup(&delivery->arena, row->receiver);
	delivery->row.body = arena_strdup(&delivery->arena, row->body);
	delivery->row.dag = arena_strdup(&delivery->arena, row->dag);
	delivery->row.event = arena_strdup(&delivery->arena, row->event);
	delivery->id = arena_printf(&delivery->arena, "%s-%" PRIu64, outbox->reader->name, row->id);
	delivery->asked_ms = -1;
	delivery->started_ms = clock_mono_ms();
	list_append(&outbox->sending, &delivery->link);
	outbox->under_way++;
	if (!uv_is_active((uv_handle_t *)&outbox->hold))
		uv_timer_start(&outbox->hold, on_hold_due, HOLD_MS, HOLD_MS);
	if (notice_read_receiver(delivery->row.receiver, &delivery->arena, &delivery->receiver, &delivery->dir, &err) < 0)
		conclude(delivery, RESEND_NEVER, "%s", err.text);
	else if (delivery->receiver.webhook != NULL)
		send_webhook(delivery);
	else if (delivery->receiver.run != NULL)
		send_command(delivery);
	else
		send_mail(delivery);
}

/* --- taking what is due --------------------------------------------------------------------------------- */

static int write_taking(struct store *store, void *context, struct err *err)
{
	struct taking *taking = &((struct outbox *)context)->taking;

	return store_take_notices(store, clock_wall_ms(), taking->most, &taking->arena, taking->rows, &taking->count,
				  err);
}

static void on_wake(uv_timer_t *timer)
{
	outbox_look(timer->data);
}

static void wake_in(struct outbox *outbox, int64_t wait_ms)
{
	if (wait_ms > OUTBOX_POLL_MS)
		wait_ms = OUTBOX_POLL_MS;
	uv_timer_start(&outbox->wake, on_wake, wait_ms > 0 ? (uint64_t)wait_ms : 1, 0);
}

static void on_taken(void *context, const struct err *err)
{
	struct outbox *outbox = context;
	struct taking *taking = &outbox->taking;
	size_t count = err->code == ERR_OK ? taking->count : 0;

	outbox->is_taking = false;
	for (size_t i = 0; i < count && !outbox->stopping; i++)
		deliver(outbox, &taking->rows[i]);
	arena_reset(&taking->arena);
	if (outbox->stopping)
		return;
	if (count > 0) {
		outbox_look(outbox);
		return;
	}
	/* Something is due all the same: its receiver is busy, or the disk is full. */
	wake_in(outbox, err->code == ERR_OK ? AGAIN_MS : OUTBOX_POLL_MS);
	if (outbox->on_change != NULL)
		outbox->on_change(outbox->context);
}

/* --- life ----------------------------------------------------------------------------------------------- */

/* For the right side of an address; a name with anything else in it is left out. */
static void find_host(char host[HOST_BYTES])
{
	if (gethostname(host, HOST_BYTES) < 0 || host[0] == '\0')
		strcpy(host, "localhost");
	host[HOST_BYTES - 1] = '\0';
	if (strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != strlen(host))
		strcpy(host, "localhost");
}

struct outbox *outbox_open(uv_loop_t *loop, struct writer *writer, struct store *reader,
			   const struct notice_terms *terms, void (*on_change)(void *context), void *context)
{
	struct outbox *outbox = mem_zalloc(sizeof *outbox);

	outbox->loop = loop;
	outbox->writer = writer;
	outbox->reader = reader;
	outbox->terms = terms;
	outbox->on_change = on_change;
	outbox->context = context;
	outbox->rng = rng_seeded((uint64_t)clock_mono_us() ^ (uint64_t)getpid() << 32);
	find_host(outbox->host);
	list_init(&outbox->sending);
	uv_timer_init(loop, &outbox->wake);
	uv_timer_init(loop, &outbox->hold);
	outbox->wake.data = outbox->hold.data = outbox;
	return outbox;
}

void outbox_set_terms(struct outbox *outbox, const struct notice_terms *terms)
{
	outbox->terms = terms;
}

void outbox_look(struct outbox *outbox)
{
	int64_t next_ms, now_ms = clock_wall_ms();

	if (outbox->stopping || outbox->is_taking || outbox->under_way >= OUTBOX_TAKEN_MAX)
		return;
	if (store_next_notice(outbox->reader, now_ms, &next_ms, NULL) < 0)
		next_ms = INT64_MAX;
	if (next_ms > now_ms) {
		wake_in(outbox, next_ms == INT64_MAX ? OUTBOX_POLL_MS : next_ms - now_ms);
		return;
	}
	outbox->is_taking = true;
	outbox->taking.most = OUTBOX_TAKEN_MAX - outbox->under_way;
	outbox->taking.job = (struct writer_job){ .write = write_taking, .done = on_taken, .context = outbox };
	writer_add(outbox->writer, &outbox->taking.job);
}

void outbox_stop(struct outbox *outbox)
{
	if (outbox == NULL || outbox->stopping)
		return;
	outbox->stopping = true;
	uv_close((uv_handle_t *)&outbox->wake, NULL);
	uv_close((uv_handle_t *)&outbox->hold, NULL);
	webhooks_close(outbox->webhooks);
	list_each (at, &outbox->sending) {
		struct delivery *delivery = list_entry(at, struct delivery, link);

		if (delivery->hook != NULL)
			hook_abandon(delivery->hook);
		outbox->under_way--;
		free_delivery(delivery);
	}
}

void outbox_free(struct outbox *outbox)
{
	if (outbox == NULL)
		return;
	arena_fini(&outbox->taking.arena);
	free(outbox);
}
