#include "executor/link.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/machine.h"
#include "common/mem.h"
#include "common/rng.h"
#include "executor/collect.h"

static const struct machine_state link_states[LINK_STATES] = {
	[LINK_IDLE] = { "idle", TO(LINK_CONNECTING) | TO(LINK_CLOSING) },
	[LINK_CONNECTING] = { "connecting", TO(LINK_GREETING) | TO(LINK_BACKOFF) | TO(LINK_CLOSING) },
	[LINK_GREETING] = { "greeting", TO(LINK_READY) | TO(LINK_BACKOFF) | TO(LINK_CLOSING) },
	[LINK_READY] = { "ready", TO(LINK_BACKOFF) | TO(LINK_CLOSING) },
	[LINK_BACKOFF] = { "backoff", TO(LINK_CONNECTING) | TO(LINK_CLOSING) },
	[LINK_CLOSING] = { "closing", 0 },
};

struct link {
	uv_loop_t *loop;
	char *name;
	struct transport *transport;
	const char *home;
	const char *scheduler;
	const struct link_handler *handler;
	void *context;
	enum link_state state;
	bool transport_open; /* link_broken has not come yet */
	char dropped[160];   /* why we broke it ourselves; "": we did not */
	uint64_t epoch;
	uint32_t failures; /* in a row, without having been ready */
	struct rng rng;
	uv_timer_t timer; /* greeting, ping, backoff: what the state waits for */
	uv_timer_t log_timer;
	uv_timer_t room_timer; /* runs while room is wanted */
	bool filling;	       /* on_room is at it */
	int64_t heard_ms;
	uint64_t pings;
	struct buf in;
	struct buf out;
	struct collect_table table;
	size_t syncing; /* logs on their way to the disk */
	int handles;
	void (*on_closed)(void *context);
	void *closed_context;
};

struct sync {
	uv_fs_t request;
	struct link *link;
	struct attempt_id id;
};

static void link_move(struct link *link, enum link_state to, const char *why)
{
	machine_check("link", link_states, link->state, to);
	log_debug("link.moved", TEXT("worker", link->name), TEXT("from", link_states[link->state].name),
		  TEXT("to", link_states[to].name), TEXT("why", why));
	link->state = to;
}

/* --- sending -------------------------------------------------------------------------------------------- */

void link_flush(struct link *link)
{
	if (link->out.bytes == 0)
		return;
	if (link->state == LINK_READY || link->state == LINK_GREETING)
		link->transport->ops->send(link->transport, link->out.data, link->out.bytes);
	buf_clear(&link->out);
}

/* --- life and death of a connection --------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct link *link = handle->data;

	if (--link->handles > 0)
		return;
	link->transport->ops->free(link->transport);
	collect_table_fini(&link->table);
	buf_fini(&link->in);
	buf_fini(&link->out);
	free(link->name);
	if (link->on_closed != NULL)
		link->on_closed(link->closed_context);
	free(link);
}

/* Everything that could still call back has done so. */
static void finish_closing(struct link *link)
{
	if (link->transport_open || link->syncing > 0 || uv_is_closing((uv_handle_t *)&link->timer))
		return;
	uv_close((uv_handle_t *)&link->timer, on_handle_closed);
	uv_close((uv_handle_t *)&link->log_timer, on_handle_closed);
	uv_close((uv_handle_t *)&link->room_timer, on_handle_closed);
}

static void on_backoff_over(uv_timer_t *timer)
{
	struct link *link = timer->data;

	link->handler->on_wanted(link->context, link);
}

static int64_t next_backoff_ms(struct link *link, enum fault fault)
{
	int64_t max_ms = fault_needs_person(fault) ? LINK_BACKOFF_PERSON_MS : LINK_BACKOFF_MAX_MS;
	int64_t delay_ms = LINK_BACKOFF_MS;

	for (uint32_t i = 1; i < link->failures && delay_ms < max_ms; i++)
		delay_ms *= 2;
	if (delay_ms > max_ms || fault_needs_person(fault))
		delay_ms = max_ms;
	return delay_ms / 2 + (int64_t)rng_below(&link->rng, (uint64_t)delay_ms / 2 + 1);
}

void link_broken(struct link *link, enum fault fault, const char *why)
{
	enum link_state was = link->state;
	int64_t delay_ms;

	if (link->dropped[0] != '\0')
		why = link->dropped; /* the transport only knows that it was closed */
	link->transport_open = false;
	uv_timer_stop(&link->room_timer);
	buf_clear(&link->in);
	buf_clear(&link->out);
	if (was == LINK_CLOSING) {
		finish_closing(link);
		return;
	}
	if (was == LINK_READY)
		link->handler->on_down(link->context, link, why);
	else if (was == LINK_BACKOFF) /* it was dropped by us, and on_down told */
		return;
	if (link->state == LINK_CLOSING) { /* the handler gave the link up */
		finish_closing(link);
		return;
	}
	link->failures++;
	delay_ms = next_backoff_ms(link, fault);
	link_move(link, LINK_BACKOFF, why);
	if (was != LINK_READY)
		link->handler->on_failed(link->context, link, fault, why, delay_ms);
	uv_timer_start(&link->timer, on_backoff_over, (uint64_t)delay_ms, 0);
}

static void drop(struct link *link, const char *why)
{
	if (link->transport_open) {
		log_info("link.dropped", TEXT("worker", link->name), TEXT("why", why));
		snprintf(link->dropped, sizeof link->dropped, "%s", why);
		link->transport->ops->close(link->transport, true);
	}
}

/* --- logs ----------------------------------------------------------------------------------------------- */

static void acknowledge(struct link *link, struct collect *collect, bool at_once)
{
	uint64_t news = collect->log_stored - collect->log_told;

	if (news == 0 || (!at_once && news < PROTOCOL_WINDOW_BYTES / 8))
		return;
	collect->log_told = collect->log_stored;
	protocol_put_stored(&link->out,
			    &(struct frame_stored){ .id = collect->id, .log_offset = collect->log_stored });
}

static void on_synced(uv_fs_t *request)
{
	struct sync *sync = request->data;
	struct link *link = sync->link;
	struct collect *collect = collect_find(&link->table, &sync->id);
	bool failed = request->result < 0;

	uv_fs_req_cleanup(request);
	link->syncing--;
	if (link->state == LINK_CLOSING) {
		finish_closing(link);
	} else if (collect != NULL && failed) {
		collect->reported = false; /* the next on_ping_due tries again */
		link->handler->on_log_trouble(link->context, link, &sync->id,
					      uv_strerror((int)request->result));
	} else if (collect != NULL && collect->reported) {
		link->handler->on_collected(link->context, link, &sync->id);
	}
	free(sync);
}

/*
 * Once the exit is known and the log is whole: onto the disk with it, since the worker's copy is removed
 * then.
 */
static void report_if_collected(struct link *link, struct collect *collect)
{
	struct sync *sync;

	if (!collect->exited || collect->reported || collect->log_stored < collect->log_total)
		return;
	collect->reported = true;
	if (collect->log_fd < 0) {
		link->handler->on_collected(link->context, link, &collect->id);
		return;
	}
	sync = mem_zalloc(sizeof *sync);
	sync->link = link;
	sync->id = collect->id;
	sync->request.data = sync;
	link->syncing++;
	uv_fs_fdatasync(link->loop, &sync->request, collect->log_fd, on_synced);
}

/* Writes what had to wait, and reports what is whole by now. */
static void retry_logs(struct link *link)
{
	bool waiting = false;

	for (size_t i = 0; i < COLLECT_BUCKETS; i++) {
		list_each (at, &link->table.buckets[i]) {
			struct collect *collect = list_entry(at, struct collect, link);

			if (collect->log_waiting.bytes > 0)
				collect_retry_log(collect, NULL);
			waiting |= collect->log_waiting.bytes > 0;
			acknowledge(link, collect, true);
			report_if_collected(link, collect);
		}
	}
	if (!waiting)
		uv_timer_stop(&link->log_timer);
}

static void on_log_retry_due(uv_timer_t *timer)
{
	struct link *link = timer->data;

	retry_logs(link);
	link_flush(link);
}

static void on_greeting_late(uv_timer_t *timer)
{
	drop(timer->data, "the agent did not answer");
}

static void send_ping(struct link *link)
{
	protocol_put_ping(&link->out, FRAME_PING, &(struct frame_ping){ .number = ++link->pings });
}

static void on_ping_due(uv_timer_t *timer)
{
	struct link *link = timer->data;

	if (clock_mono_ms() - link->heard_ms > LINK_SILENCE_MS) {
		drop(link, "the agent fell silent");
		return;
	}
	retry_logs(link);
	send_ping(link);
	link_flush(link);
}

void link_connect(struct link *link, uint64_t epoch)
{
	if (link->state != LINK_IDLE && link->state != LINK_BACKOFF)
		return;
	link_move(link, LINK_CONNECTING, "wanted");
	link->epoch = epoch;
	link->dropped[0] = '\0';
	link->transport_open = true;
	link->transport->ops->open(link->transport);
}

void link_opened(struct link *link)
{
	if (link->state != LINK_CONNECTING)
		return;
	link_move(link, LINK_GREETING, "open");
	uv_timer_start(&link->timer, on_greeting_late, LINK_GREETING_MS, 0);
	protocol_put_hello(&link->out, &(struct frame_hello){ .version = PROTOCOL_VERSION,
							      .home = link->home,
							      .scheduler = link->scheduler });
	link_flush(link);
}

void link_renew(struct link *link, const char *why)
{
	drop(link, why);
}

/* --- log bytes -----------------------------------------------------------------------------------------------------------*/

static void on_log_bytes(struct link *link, struct collect *collect, const struct frame_data *data)
{
	struct err err = { .code = ERR_OK };
	bool blocked;

	if (collect_log(collect, data->offset, data->bytes, data->n, &blocked, &err) < 0) {
		drop(link, err.text);
		return;
	}
	if (blocked) {
		if (!uv_is_active((uv_handle_t *)&link->log_timer))
			link->handler->on_log_trouble(link->context, link, &collect->id, err.text);
		uv_timer_start(&link->log_timer, on_log_retry_due, LINK_LOG_RETRY_MS, LINK_LOG_RETRY_MS);
	}
	if (collect->log_fd >= 0)
		early_written(&collect->log_early, link->loop, collect->log_fd, collect->log_stored);
	acknowledge(link, collect, false);
	report_if_collected(link, collect);
}

/* --- journal -------------------------------------------------------------------------------------------- */

static void on_journal_bytes(struct link *link, struct collect *collect, const struct frame_data *data)
{
	uint64_t have = collect->journal_offset + collect->journal.bytes;
	struct attempt_id id = collect->id;
	struct frame record;
	struct err err;
	int rc;

	if (data->offset > have) {
		drop(link, "journal bytes were left out");
		return;
	}
	if (data->offset + data->n <= have)
		return;
	buf_append(&collect->journal, data->bytes + (have - data->offset),
		   data->n - (size_t)(have - data->offset));
	while ((rc = protocol_next(collect->journal.data, collect->journal.bytes, &record, &err)) == 1) {
		collect->journal_offset += record.whole_bytes;
		link->handler->on_record(link->context, link, &id, &record, collect->journal_offset);
		buf_consume(&collect->journal, record.whole_bytes);
	}
	if (rc < 0 || collect->journal.overflow)
		drop(link, "a journal is damaged");
}

static void on_data(struct link *link, const struct frame *frame)
{
	struct frame_data data;
	struct collect *collect;

	if (protocol_get_data(frame, &data) < 0) {
		drop(link, "malformed data");
		return;
	}
	collect = collect_find(&link->table, &data.id);
	if (collect == NULL)
		return; /* forgotten meanwhile */
	if (data.stream == STREAM_LOG)
		on_log_bytes(link, collect, &data);
	else
		on_journal_bytes(link, collect, &data);
}

/* --- frames --------------------------------------------------------------------------------------------- */

static void on_welcome(struct link *link, const struct frame *frame)
{
	struct frame_welcome welcome;
	struct arena arena;

	if (link->state != LINK_GREETING)
		return;
	arena_init(&arena);
	if (protocol_get_welcome(frame, &arena, &welcome) < 0) {
		drop(link, "a malformed welcome");
	} else if (welcome.version != PROTOCOL_VERSION) {
		drop(link, "the agent speaks another version of the protocol");
	} else {
		link_move(link, LINK_READY, "welcomed");
		link->failures = 0;
		uv_timer_start(&link->timer, on_ping_due, LINK_PING_MS, LINK_PING_MS);
		link->handler->on_up(link->context, link, &welcome);
		send_ping(link); /* what its answer tells is not waited for so long */
	}
	arena_fini(&arena);
}

static void on_exited(struct link *link, const struct frame *frame)
{
	struct frame_exited exited;
	struct collect *collect;
	struct arena arena;

	arena_init(&arena);
	if (protocol_get_exited(frame, &arena, &exited) < 0) {
		drop(link, "a malformed exit");
	} else if ((collect = collect_find(&link->table, &exited.id)) != NULL && !collect->exited) {
		collect->exited = true;
		collect->log_total = exited.exit.log_bytes;
		link->handler->on_exited(link->context, link, &exited);
		acknowledge(link, collect, true);
		report_if_collected(link, collect);
	}
	arena_fini(&arena);
}

static void on_claim_answer(struct link *link, const struct frame *frame)
{
	struct frame_claim claim;
	struct arena arena;

	arena_init(&arena);
	if (protocol_get_claim(frame, &arena, &claim) < 0)
		drop(link, "a malformed inventory");
	else
		link->handler->on_inventory(link->context, link, &claim);
	arena_fini(&arena);
}

static void on_note(struct link *link, const struct frame *frame)
{
	struct frame_note note;
	struct arena arena;

	arena_init(&arena);
	if (protocol_get_note(frame, &arena, &note) == 0)
		link->handler->on_note(link->context, link, &note);
	arena_fini(&arena);
}

static void on_pong(struct link *link, const struct frame *frame)
{
	struct frame_pong pong;

	if (link->state == LINK_READY && link->handler->on_load != NULL &&
	    protocol_get_pong(frame, &pong) == 0)
		link->handler->on_load(link->context, link, &pong.load);
}

static void on_finding(struct link *link, const struct frame *frame)
{
	struct frame_finding finding;
	struct arena arena;

	arena_init(&arena);
	if (protocol_get_finding(frame, &arena, &finding) < 0)
		drop(link, "a malformed finding");
	else if (link->handler->on_finding != NULL)
		link->handler->on_finding(link->context, link, &finding);
	arena_fini(&arena);
}

static void on_want(struct link *link, const struct frame *frame)
{
	struct frame_want want;
	struct arena arena;

	arena_init(&arena);
	if (protocol_get_want(frame, &arena, &want) < 0)
		drop(link, "a malformed want");
	else
		link->handler->on_want(link->context, link, &want);
	arena_fini(&arena);
}

static void on_parcel(struct link *link, const struct frame *frame)
{
	struct frame_parcel parcel;
	struct arena arena;

	arena_init(&arena);
	if (protocol_get_parcel(frame, &arena, &parcel) < 0)
		drop(link, "a malformed parcel");
	else
		link->handler->on_parcel(link->context, link, &parcel);
	arena_fini(&arena);
}

/* First the one who decides hears of it, then the worker: what is granted was never forgotten. */
static void on_lease_ask(struct link *link, const struct frame *frame)
{
	struct frame_ping ask;

	if (link->state != LINK_READY || protocol_get_ping(frame, &ask) < 0)
		return;
	link->handler->on_lease(link->context, link, ask.number);
	if (link->state == LINK_READY)
		protocol_put_ping(&link->out, FRAME_LEASE_GRANT, &ask);
}

static void on_left(struct link *link, const struct frame *frame)
{
	struct frame_claim left;
	struct arena arena;

	arena_init(&arena);
	if (link->handler->on_left != NULL && protocol_get_claim(frame, &arena, &left) == 0)
		link->handler->on_left(link->context, link, &left);
	arena_fini(&arena);
}

static void on_frame(struct link *link, const struct frame *frame)
{
	struct frame_present present;

	switch ((int)frame->type) {
	case FRAME_WELCOME:
		on_welcome(link, frame);
		break;
	case FRAME_PRESENT:
		if (protocol_get_present(frame, &present) == 0)
			link->handler->on_present(link->context, link, &present);
		break;
	case FRAME_INVENTORY:
		on_claim_answer(link, frame);
		break;
	case FRAME_LEFT:
		on_left(link, frame);
		break;
	case FRAME_DATA:
		on_data(link, frame);
		break;
	case FRAME_EXITED:
		on_exited(link, frame);
		break;
	case FRAME_PONG:
		on_pong(link, frame);
		break;
	case FRAME_NOTE:
		on_note(link, frame);
		break;
	case FRAME_FINDING:
		on_finding(link, frame);
		break;
	case FRAME_WANT:
		on_want(link, frame);
		break;
	case FRAME_PARCEL_BACK:
		on_parcel(link, frame);
		break;
	case FRAME_LEASE_ASK:
		on_lease_ask(link, frame);
		break;
	default:
		break; /* something a newer agent says */
	}
}

/* Handles the whole frames at the front; `used_out` says how many bytes they have. Negative: dropped. */
static int take_frames(struct link *link, const uint8_t *bytes, size_t n, size_t *used_out)
{
	struct frame frame;
	struct err err;
	int rc = 0;

	*used_out = 0;
	while (link->transport_open && (rc = protocol_next(bytes + *used_out, n - *used_out, &frame, &err)) == 1) {
		on_frame(link, &frame);
		*used_out += frame.whole_bytes;
	}
	if (rc < 0)
		drop(link, err.text);
	return rc < 0 || !link->transport_open ? -1 : 0;
}

/* The beginning of a frame was kept: only what belongs to it is put behind it. All else is taken where it is. */
static int complete_frame(struct link *link, const uint8_t **bytes, size_t *n)
{
	while (link->in.bytes > 0 && *n > 0) {
		size_t part = protocol_missing_bytes(link->in.data, link->in.bytes), used;

		part = part < *n ? part : *n;
		buf_append(&link->in, *bytes, part);
		*bytes += part;
		*n -= part;
		if (take_frames(link, link->in.data, link->in.bytes, &used) < 0)
			return -1;
		buf_consume(&link->in, used);
	}
	return 0;
}

void link_received(struct link *link, const uint8_t *bytes, size_t n)
{
	size_t used;

	if (link->state != LINK_GREETING && link->state != LINK_READY)
		return;
	link->heard_ms = clock_mono_ms();
	if (complete_frame(link, &bytes, &n) < 0 || take_frames(link, bytes, n, &used) < 0)
		return;
	if (used < n)
		buf_append(&link->in, bytes + used, n - used);
	link_flush(link);
}

/* --- orders --------------------------------------------------------------------------------------------- */

void link_claim(struct link *link, uint64_t run, uint64_t epoch, int64_t lease_ms)
{
	if (link->state == LINK_READY)
		protocol_put_claim(
			&link->out, FRAME_CLAIM,
			&(struct frame_claim){ .run = run, .epoch = epoch, .lease_ms = lease_ms });
}

void link_release(struct link *link, uint64_t run, uint64_t epoch, bool keep)
{
	if (link->state == LINK_READY)
		protocol_put_claim(&link->out, FRAME_RELEASE,
				   &(struct frame_claim){ .run = run, .epoch = epoch, .keep = keep });
}

static struct collect *add_collect(struct link *link, const struct attempt_id *id)
{
	char path[4096];
	bool wanted = link->handler->log_path(link->context, id, path, sizeof path);

	return collect_add(&link->table, id, wanted ? mem_strdup(path) : NULL);
}

void link_start_attempt(struct link *link, const struct attempt_id *id, const uint8_t *frame, size_t bytes)
{
	if (link->state != LINK_READY)
		return;
	collect_rewind(add_collect(link, id), 0);
	buf_append(&link->out, frame, bytes);
}

void link_stop_attempt(struct link *link, const struct attempt_id *id, enum reason reason, int64_t grace_ms)
{
	if (link->state == LINK_READY)
		protocol_put_stop(&link->out,
				  &(struct frame_stop){ .id = *id, .reason = reason, .grace_ms = grace_ms });
}

void link_attach(struct link *link, const struct attempt_id *id, uint64_t journal_offset, bool renew)
{
	struct collect *collect;
	struct err err;

	if (link->state != LINK_READY)
		return;
	collect = add_collect(link, id);
	if (collect_open_log(collect, &err) < 0)
		link->handler->on_log_trouble(link->context, link, id, err.text);
	collect->exited = false;
	collect_rewind(collect, journal_offset);
	protocol_put_attach(&link->out, &(struct frame_attach){ .id = *id,
								.journal_offset = journal_offset,
								.log_offset = collect->log_stored,
								.renew = renew });
}

void link_forget(struct link *link, const struct attempt_id *id)
{
	const struct frame_attempt frame = { .id = *id }; /* `id` may lie in what is removed */
	struct collect *collect = collect_find(&link->table, id);

	if (collect != NULL)
		collect_remove(&link->table, collect);
	if (link->state == LINK_READY)
		protocol_put_forget(&link->out, &frame);
}

void link_check(struct link *link)
{
	if (link->state == LINK_READY)
		protocol_put_check(&link->out);
}

void link_send_get(struct link *link, const struct frame_get *get)
{
	if (link->state != LINK_READY)
		return;
	protocol_put_get(&link->out, get);
	link_flush(link);
}

/* --- bulk ----------------------------------------------------------------------------------------------- */

bool link_has_room(const struct link *link)
{
	return link->state == LINK_READY && link->transport_open &&
	       link->out.bytes + link->transport->ops->queued_bytes(link->transport) < LINK_BULK_BYTES;
}

void link_send_parcel(struct link *link, const struct frame_parcel *parcel)
{
	if (link->state != LINK_READY)
		return;
	protocol_put_parcel(&link->out, FRAME_PARCEL, parcel);
	link_flush(link);
}

void link_drained(struct link *link)
{
	/* Sending may drain at once: that is not a call of its own. */
	if (link->filling || !uv_is_active((uv_handle_t *)&link->room_timer) || !link_has_room(link))
		return;
	link->filling = true;
	link->handler->on_room(link->context, link);
	link->filling = false;
}

static void on_room_due(uv_timer_t *timer)
{
	link_drained(timer->data);
}

void link_ask_room(struct link *link, bool wanted)
{
	if (!wanted)
		uv_timer_stop(&link->room_timer);
	else if (link->state == LINK_READY && !uv_is_active((uv_handle_t *)&link->room_timer))
		uv_timer_start(&link->room_timer, on_room_due, 0, LINK_ROOM_MS);
}

/* --- making and closing --------------------------------------------------------------------------------- */

struct link *link_new(uv_loop_t *loop, const char *name, struct transport *transport, const char *home,
		      const char *scheduler, const struct link_handler *handler, void *context)
{
	struct link *link = mem_zalloc(sizeof *link);

	link->loop = loop;
	link->name = mem_strdup(name);
	link->transport = transport;
	link->home = home;
	link->scheduler = scheduler;
	link->handler = handler;
	link->context = context;
	link->rng = rng_seeded((uint64_t)clock_mono_us());
	transport->link = link;
	collect_table_init(&link->table);
	uv_timer_init(loop, &link->timer);
	uv_timer_init(loop, &link->log_timer);
	uv_timer_init(loop, &link->room_timer);
	link->timer.data = link->log_timer.data = link->room_timer.data = link;
	link->handles = 3;
	return link;
}

const char *link_name(const struct link *link)
{
	return link->name;
}

enum link_state link_state(const struct link *link)
{
	return link->state;
}

uint64_t link_epoch(const struct link *link)
{
	return link->epoch;
}

void link_start(struct link *link)
{
	link->handler->on_wanted(link->context, link);
}

void link_close(struct link *link, void (*on_closed)(void *context), void *context)
{
	if (link->state == LINK_CLOSING)
		return;
	link_flush(link);
	link->on_closed = on_closed;
	link->closed_context = context;
	link_move(link, LINK_CLOSING, "given up");
	uv_timer_stop(&link->timer);
	uv_timer_stop(&link->log_timer);
	uv_timer_stop(&link->room_timer);
	if (link->transport_open)
		link->transport->ops->close(link->transport, false);
	else
		finish_closing(link);
}
