/*
 * parts.h - what the files of the server share with each other, and with nobody else
 *
 *   connection   one, from accept to close
 *   exchange     a request on it and its answer; `answer` holds what is to be sent until web.c sends it
 *
 *   READING ---> ASKING ---> ANSWERED       READING: header and body come in; ASKING: it is suspended until the
 *       +-----------------------^           source has decided or was read aside, or until a delay is over
 *
 * An exchange that is asked for when the server closes is answered with 503 and forgotten by its change
 * (`change_unlink`); what the source says afterwards goes nowhere.
 */
#ifndef WEB_PARTS_H
#define WEB_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/list.h"
#include "web/auth.h"
#include "web/cache.h"
#include "web/library.h"
#include "web/request.h"
#include "web/stream.h"
#include "web/web.h"

struct change;
struct aside;
struct answer_made;
struct answer_press;

struct listener {
	struct web *web;
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	uv_timer_t timer;
	int fd;
	int port; /* 0: a unix socket */
	bool local;
	bool at_home; /* only this machine can reach it */
	bool started; /* its handles are the loop's */
	bool left;    /* a connection was closed in this turn of the library */
	const char *path; /* of a unix socket; NULL: it listens on TCP */
	ino_t inode;
	bool shared;
};

struct connection {
	struct list link;
	struct listener *listener;
	int fd;
	char address[64]; /* of the peer; "uid 1000" over the control socket */
	bool at_home;	  /* the peer is this machine */
	int64_t deadline_mono_ms; /* 0: none */
	/* over the control socket */
	char user[WEB_NAME_BYTES];
	enum web_role role;
};

enum exchange_state { EXCHANGE_READING, EXCHANGE_ASKING, EXCHANGE_ANSWERED };

struct exchange {
	struct list link; /* among those that are suspended */
	struct connection *connection;
	struct MHD_Connection *mhd;
	enum exchange_state state;
	char *uri; /* NULL: it was too long */
	char *(*problem_page)(const char *title, const char *detail); /* NULL: problems are told as JSON */
	struct request request;
	struct web_caller caller;
	char origin[160];
	char actor[WEB_NAME_BYTES];
	bool by_cookie;
	struct buf body;
	size_t body_bytes; /* of all that came, also past the limit */
	struct MHD_Response *answer;
	bool answer_is_kept; /* the cache's too: its reference stays */
	size_t answer_bytes; /* of JSON */
	char answer_tag[CACHE_TAG_BYTES];
	unsigned status;
	struct change *change;
	struct answer_made *made; /* by aside.c: it becomes the answer when it is taken up again; held */
	int64_t made_version;	  /* of the source */
	int64_t delayed_until_mono_ms;
	bool last;    /* its connection is closed behind the answer, whatever else came */
	bool endless; /* the answer has no end of its own: no deadline */
};

struct web {
	uv_loop_t *loop;
	const struct web_settings *settings; /* in `arena` */
	struct arena arena;
	const struct web_source *source;
	struct listener *listeners;
	size_t listeners_count;
	int handles; /* that the loop has not closed yet */
	uv_timer_t sweep; /* deadlines and delays */
	struct list connections;
	struct list asking; /* exchanges that wait for the source */
	struct list delayed; /* exchanges whose answer is held back */
	size_t delayed_count;
	size_t remote_count; /* connections over TCP */
	int64_t warned_mono_ms;
	struct auth auth;
	struct cache cache;
	/* What the source said in this turn of the library: many ask at once, and each question is a transaction. */
	bool in_turn;
	bool version_known[WEB_READS];
	int64_t versions[WEB_READS];
	struct answer_press *press;
	struct aside *aside;
	struct stream stream;
	size_t streams; /* live streams and followed logs */
	uint64_t answers[6]; /* by the first digit of their status */
	struct list follows;
	uv_timer_t follow_timer;
	gid_t shared_gid;
	uid_t known_uid; /* whose name the last peer had */
	char known_user[WEB_NAME_BYTES];
};

/* Of the source (web_source.version); negative: it has none. Within a turn it is asked once, and after each change. */
int64_t web_version(struct web *web, enum web_read what);
void web_changed(struct web *web);

/* A response is ready, or has become so: the library is to look at its connections soon. */
void web_kick(struct listener *listener);

/* Takes a suspended exchange up again; its answer is set. */
void web_resume(struct exchange *exchange);

const char *exchange_header(const struct exchange *exchange, const char *name); /* NULL: none */

#endif
