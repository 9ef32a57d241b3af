#include "web/aside.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "web/answer.h"
#include "web/plain.h"

enum { REST_MS_MIN = 50, REST_MS_MAX = 500 };

/* One read, for all who asked for it before it began. */
struct job {
	struct list link; /* among those that are queued */
	struct list waiters; /* exchanges */
	struct arena arena;
	char *key;
	const struct route *route;
	struct web_query query; /* in `arena` */
	bool may_compress;
	int64_t version;
	void *prepared;
	/* the thread's, until it is done */
	int rc;
	struct answer_made *made;
	struct err err;
	int64_t took_ms;
};

struct aside {
	struct web *web;
	struct list queued;
	struct job *current; /* with the thread */
	bool started;
	uv_thread_t thread;
	uv_mutex_t mutex;
	uv_cond_t changed;
	uv_async_t done;
	uv_timer_t rest;
	struct answer_press *press; /* the thread's */
	/* under the mutex */
	struct job *handed;
	struct job *returned;
	bool ending;
};

static enum web_read what_of(const struct route *route)
{
	return route->kind == ROUTE_PLAIN ? plain_reads((enum plain_page)route->what) : (enum web_read)route->what;
}

/* --- the thread ------------------------------------------------------------------------------------------- */

static int make_json(const struct web_aside *source, struct job *job, char **text_out)
{
	enum web_read what = (enum web_read)job->route->what;
	json_t *answer;
	int rc = source->text == NULL ? 0 : source->text(job->prepared, what, &job->query, text_out, &job->err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = source->read(job->prepared, what, &job->query, &answer, &job->err);
	if (rc < 0)
		return rc;
	*text_out = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(answer);
	return *text_out != NULL ? 0 : err_set(&job->err, ERR_CORRUPT, "the answer cannot be written as JSON");
}

static int make_page(const struct web_aside *source, struct job *job, char **text_out)
{
	return plain_make((enum plain_page)job->route->what, &job->query, source->read, job->prepared, text_out,
			  &job->err);
}

static void make(struct aside *aside, struct job *job)
{
	const struct web_aside *source = aside->web->source->aside;
	int64_t began_ms = clock_mono_ms();
	bool page = job->route->kind == ROUTE_PLAIN;
	char *text = NULL;

	job->rc = page ? make_page(source, job, &text) : make_json(source, job, &text);
	if (job->rc == 0) {
		job->made = answer_make(text, strlen(text), page ? PLAIN_TYPE : "application/json");
		answer_finish(job->made, job->may_compress ? aside->press : NULL);
	}
	job->took_ms = clock_mono_ms() - began_ms;
}

static void work(void *context)
{
	struct aside *aside = context;

	uv_mutex_lock(&aside->mutex);
	while (!aside->ending) {
		struct job *job = aside->handed;

		if (job == NULL) {
			uv_cond_wait(&aside->changed, &aside->mutex);
			continue;
		}
		aside->handed = NULL;
		uv_mutex_unlock(&aside->mutex);
		make(aside, job);
		uv_mutex_lock(&aside->mutex);
		aside->returned = job;
		uv_async_send(&aside->done);
	}
	uv_mutex_unlock(&aside->mutex);
}

/* --- the loop --------------------------------------------------------------------------------------------- */

static void free_job(struct job *job)
{
	answer_release(job->made);
	arena_fini(&job->arena);
	free(job->key);
	free(job);
}

static void hand_over(struct aside *aside)
{
	const struct web_source *source = aside->web->source;
	struct job *job;

	if (aside->current != NULL || list_empty(&aside->queued) || uv_is_active((uv_handle_t *)&aside->rest))
		return;
	job = list_entry(aside->queued.next, struct job, link);
	list_remove(&job->link);
	aside->current = job;
	job->version = web_version(aside->web, what_of(job->route));
	job->query.now_wall_ms = clock_wall_ms();
	job->prepared = source->aside->prepare(source->context, what_of(job->route), &job->query);
	uv_mutex_lock(&aside->mutex);
	aside->handed = job;
	uv_cond_signal(&aside->changed);
	uv_mutex_unlock(&aside->mutex);
}

static void on_rested(uv_timer_t *timer)
{
	hand_over(timer->data);
}

static void answer_waiters(struct job *job)
{
	list_each (at, &job->waiters) {
		struct exchange *exchange = list_entry(at, struct exchange, link);

		list_remove(&exchange->link);
		if (job->rc < 0) {
			answer_error(exchange, &job->err);
		} else {
			job->made->holders++;
			exchange->made = job->made;
			exchange->made_version = job->version;
		}
		web_resume(exchange);
	}
}

static void on_done(uv_async_t *async)
{
	struct aside *aside = async->data;
	struct job *job;

	uv_mutex_lock(&aside->mutex);
	job = aside->returned;
	aside->returned = NULL;
	uv_mutex_unlock(&aside->mutex);
	if (job == NULL)
		return;
	aside->web->source->aside->forget(job->prepared);
	aside->current = NULL;
	answer_waiters(job);
	if (job->took_ms >= REST_MS_MIN)
		uv_timer_start(&aside->rest, on_rested,
			       (uint64_t)(job->took_ms < REST_MS_MAX ? job->took_ms : REST_MS_MAX), 0);
	free_job(job);
	hand_over(aside);
}

/* --- asking ----------------------------------------------------------------------------------------------- */

bool aside_wants(const struct exchange *exchange)
{
	const struct web_aside *source = exchange->connection->listener->web->source->aside;

	return source != NULL && exchange->connection->listener->web->aside->started &&
	       source->wants(what_of(exchange->request.route), &exchange->request.query);
}

/* What the thread has begun will do too, if nothing has changed since. */
static struct job *find_job(const struct aside *aside, const char *key, int64_t version)
{
	if (version >= 0 && aside->current != NULL && aside->current->version == version &&
	    strcmp(aside->current->key, key) == 0)
		return aside->current;
	list_each (at, &aside->queued) {
		struct job *job = list_entry(at, struct job, link);

		if (strcmp(job->key, key) == 0)
			return job;
	}
	return NULL;
}

bool aside_makes(const struct aside *aside, const char *key, int64_t version)
{
	return find_job(aside, key, version) != NULL;
}

static struct job *new_job(const struct exchange *exchange, const char *key)
{
	const struct web_query *query = &exchange->request.query;
	struct job *job = mem_zalloc(sizeof *job);

	arena_init(&job->arena);
	list_init(&job->waiters);
	job->key = mem_strdup(key);
	job->route = exchange->request.route;
	job->may_compress = answer_may_compress(exchange);
	job->query = *query;
	job->query.dag = arena_strdup_if(&job->arena, query->dag);
	job->query.run = arena_strdup_if(&job->arena, query->run);
	job->query.task = arena_strdup_if(&job->arena, query->task);
	job->query.worker = arena_strdup_if(&job->arena, query->worker);
	job->query.state = arena_strdup_if(&job->arena, query->state);
	job->query.from = arena_strdup_if(&job->arena, query->from);
	job->query.to = arena_strdup_if(&job->arena, query->to);
	return job;
}

void aside_ask(struct exchange *exchange, const char *key, int64_t version)
{
	struct aside *aside = exchange->connection->listener->web->aside;
	struct job *job = find_job(aside, key, version);

	if (job == NULL) {
		job = new_job(exchange, key);
		list_append(&aside->queued, &job->link);
	}
	list_append(&job->waiters, &exchange->link);
	exchange->state = EXCHANGE_ASKING;
	http->suspend_connection(exchange->mhd);
	hand_over(aside);
}

/* --- life ------------------------------------------------------------------------------------------------- */

struct aside *aside_new(struct web *web)
{
	struct aside *aside = mem_zalloc(sizeof *aside);

	aside->web = web;
	list_init(&aside->queued);
	aside->press = answer_press_new();
	uv_mutex_init(&aside->mutex);
	uv_cond_init(&aside->changed);
	uv_async_init(web->loop, &aside->done, on_done);
	uv_timer_init(web->loop, &aside->rest);
	aside->done.data = aside->rest.data = aside;
	aside->started = uv_thread_create(&aside->thread, work, aside) == 0;
	return aside;
}

static void turn_away(struct job *job)
{
	list_each (at, &job->waiters) {
		struct exchange *exchange = list_entry(at, struct exchange, link);

		list_remove(&exchange->link);
		answer_problem(exchange, 503, ERR_BUSY, "stoker is ending");
		web_resume(exchange);
	}
	free_job(job);
}

void aside_end(struct aside *aside)
{
	uv_mutex_lock(&aside->mutex);
	aside->ending = true;
	uv_cond_signal(&aside->changed);
	uv_mutex_unlock(&aside->mutex);
	if (aside->started)
		uv_thread_join(&aside->thread);
	if (aside->current != NULL) {
		aside->web->source->aside->forget(aside->current->prepared);
		turn_away(aside->current);
	}
	list_each (at, &aside->queued) {
		struct job *job = list_entry(at, struct job, link);

		list_remove(&job->link);
		turn_away(job);
	}
}

uv_handle_t *aside_handle(struct aside *aside, int which)
{
	return which == 0 ? (uv_handle_t *)&aside->done : (uv_handle_t *)&aside->rest;
}

void aside_free(struct aside *aside)
{
	if (aside == NULL)
		return;
	uv_cond_destroy(&aside->changed);
	uv_mutex_destroy(&aside->mutex);
	answer_press_free(aside->press);
	free(aside);
}
