/*
 * outbox.h - delivers what is in the table of notices, on the loop, beside everything else
 *
 * What is due is claimed by a job on the writer's thread, sent (webhook.h, hook.h), and its end is written by another:
 * so a stoker that dies in between sends it again, under the same id, and two stokers on one state send it once.
 * One at a time goes to a receiver, OUTBOX_TAKEN_MAX at most in all, each with a time limit: a receiver that is dead
 * or slow holds up nothing but what it is to be told itself. What does not get through is tried again (resend.h) for a
 * day after its event, then given up with an event (notice.failed).
 *
 * Ownership: `writer`, `reader` and `terms` are the caller's and stay until outbox_stop, the writer's thread until the
 *            jobs that were begun are done (engine_stop sees to that). outbox_free when the loop has run out.
 */
#ifndef SCHEDULER_OUTBOX_H
#define SCHEDULER_OUTBOX_H

#include <uv.h>

#include "scheduler/notice.h"
#include "scheduler/store.h"
#include "scheduler/writer.h"

enum {
	OUTBOX_POLL_MS = 15 * 1000, /* for what others have written */
	OUTBOX_COMMAND_MS = 30 * 1000,
	OUTBOX_MAIL_MS = 60 * 1000,
};

struct outbox;

/* `on_change` (may be NULL) is called when something was delivered, was not, or there is nothing to do. */
struct outbox *outbox_open(uv_loop_t *loop, struct writer *writer, struct store *reader,
			   const struct notice_terms *terms, void (*on_change)(void *context), void *context);

/* Other settings are in force. */
void outbox_set_terms(struct outbox *outbox, const struct notice_terms *terms);

/* Something may be due now: call it once to begin with, and after a commit that may have brought a notice. */
void outbox_look(struct outbox *outbox);

/* Cuts off what is on its way; it is sent again by the next one. Before engine_stop. */
void outbox_stop(struct outbox *outbox); /* NULL is harmless */
void outbox_free(struct outbox *outbox);

#endif
