#include "scheduler/notice.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/scope.h"
#include "common/utf8.h"
#include "scheduler/view.h"
#include "scheduler/view_rows.h"

enum { WHY_BYTES_MAX = 2000 };

static const struct {
	unsigned event;
	const char *word;
	const char *title; /* behind the name of the run, or of the DAG */
} words[] = {
	{ DAG_ON_SUCCEEDED, "succeeded", "succeeded" },
	{ DAG_ON_FAILED, "failed", "failed" },
	{ DAG_ON_CANCELED, "canceled", "was canceled" },
	{ DAG_ON_RECOVERED, "recovered", "succeeded again" },
	{ DAG_ON_LATE, "late", "is late" },
	{ DAG_ON_MISSED, "missed", "missed a due time" },
};

static size_t word_of(unsigned event)
{
	size_t at = 0;

	while (at + 1 < COUNT_OF(words) && words[at].event != event)
		at++;
	return at;
}

const char *notice_event_name(unsigned event)
{
	return words[word_of(event)].word;
}

/* --- the facts ------------------------------------------------------------------------------------------ */

static void set_word(json_t *object, const char *key, const char *text)
{
	view_set_word(object, key, text == NULL ? "" : text);
}

static const char *dump(json_t *object, struct arena *arena)
{
	autofree char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);

	json_decref(object);
	return arena_strdup(arena, text);
}

/* A message of a step can be long; what is told is for a small screen. */
static const char *cut(const char *text, struct arena *arena)
{
	size_t bytes = text == NULL ? 0 : strlen(text);

	if (bytes <= WHY_BYTES_MAX)
		return text == NULL ? "" : text;
	bytes = WHY_BYTES_MAX;
	while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80)
		bytes--;
	return arena_printf(arena, "%.*s...", (int)bytes, text);
}

static const char *text_of(const struct notice *notice, const char *title, struct arena *arena)
{
	const char *why = cut(notice->why, arena);
	const char *text = why[0] == '\0' ? title : why;

	if (notice->event == DAG_ON_RECOVERED)
		text = arena_printf(arena, "%s, again after a failure", text);
	if (notice->canceled_by != NULL)
		text = arena_printf(arena, "%s, as %s asked", text, notice->canceled_by);
	if (notice->last_line != NULL)
		text = arena_printf(arena, "%s; the last line of its log is \"%s\"", text, notice->last_line);
	return text;
}

const char *notice_json(const struct notice *notice, struct arena *arena)
{
	json_t *object = json_object();
	const char *run = notice->run == 0 ? NULL
					   : arena_printf(arena, "%s/%" PRIu64, notice->dag, notice->number);
	const char *title = arena_printf(arena, "%s %s", run == NULL ? notice->dag : run,
					 words[word_of(notice->event)].title);

	view_set_text(object, "event", notice_event_name(notice->event));
	view_set_text(object, "dag", notice->dag);
	set_word(object, "run", run);
	set_word(object, "state", notice->state);
	set_word(object, "trigger", notice->trigger);
	set_word(object, "actor", notice->actor);
	view_set_text(object, "title", title);
	view_set_text(object, "text", text_of(notice, title, arena));
	set_word(object, "why", cut(notice->why, arena));
	set_word(object, "task", notice->task);
	set_word(object, "last_line", notice->last_line);
	set_word(object, "canceled_by", notice->canceled_by);
	view_set_time(object, "at", notice->at_wall_ms);
	view_set_time(object, "due", notice->due_wall_ms);
	view_set_time(object, "started", notice->started_wall_ms);
	view_set_time(object, "ended", notice->ended_wall_ms);
	set_word(object, "url",
		 notice->page == NULL ? NULL
		 : run == NULL	      ? arena_printf(arena, "%s/#/dags/%s", notice->page, notice->dag)
				      : arena_printf(arena, "%s/#/runs/%s", notice->page, run));
	return dump(object, arena);
}

/* --- the receivers -------------------------------------------------------------------------------------- */

const struct dag_notify *notice_receivers(const struct notice_terms *terms, const struct dag *dag, size_t *count_out)
{
	bool own = dag->notify_given || terms == NULL;

	*count_out = own ? dag->notify_count : terms->receivers_count;
	return own ? dag->notify : terms->receivers;
}

static json_t *secret_json(const struct dag_secret *secret)
{
	json_t *object = json_object();

	if (secret->text != NULL)
		view_set_text(object, "text", secret->text);
	else if (secret->env != NULL)
		view_set_text(object, "env", secret->env);
	else
		view_set_text(object, "file", secret->file);
	return object;
}

static void add_webhook(json_t *object, const struct dag_notify *receiver)
{
	json_t *headers = json_object();

	view_set_text(object, "webhook", receiver->webhook);
	view_set_text(object, "format", receiver->format == DAG_NOTIFY_SLACK ? "slack" : "json");
	if (receiver->secret.env != NULL || receiver->secret.file != NULL)
		json_object_set_new(object, "secret", secret_json(&receiver->secret));
	for (size_t i = 0; i < receiver->headers_count; i++)
		json_object_set_new_nocheck(headers, receiver->headers[i].name,
					    secret_json(&receiver->headers[i].value));
	json_object_set_new(object, "headers", headers);
}

const char *notice_receiver_json(const struct dag_notify *receiver, const char *dir, struct arena *arena)
{
	json_t *object = json_object(), *mail;

	if (receiver->webhook != NULL) {
		add_webhook(object, receiver);
	} else if (receiver->run != NULL) {
		view_set_text(object, "run", receiver->run);
		set_word(object, "dir", dir);
	} else {
		mail = json_array();
		for (size_t i = 0; i < receiver->mail_count; i++)
			json_array_append_new(mail, view_string(receiver->mail[i]));
		json_object_set_new(object, "mail", mail);
	}
	return dump(object, arena);
}

static const char *get_text(const json_t *object, const char *key, struct arena *arena)
{
	return arena_strdup_if(arena, json_string_value(json_object_get(object, key)));
}

static struct dag_secret read_secret(const json_t *object, struct arena *arena)
{
	return (struct dag_secret){ .text = get_text(object, "text", arena),
				    .env = get_text(object, "env", arena),
				    .file = get_text(object, "file", arena) };
}

static void read_headers(json_t *object, struct arena *arena, struct dag_notify *out)
{
	const char *name;
	json_t *value;

	out->headers = arena_alloc(arena, (json_object_size(object) + 1) * sizeof *out->headers);
	json_object_foreach (object, name, value)
		out->headers[out->headers_count++] = (struct dag_header){ arena_strdup(arena, name),
									  read_secret(value, arena) };
}

static void read_mail(const json_t *list, struct arena *arena, struct dag_notify *out)
{
	out->mail = arena_alloc(arena, (json_array_size(list) + 1) * sizeof *out->mail);
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_is_string(json_array_get(list, i)))
			out->mail[out->mail_count++] =
				arena_strdup(arena, json_string_value(json_array_get(list, i)));
}

int notice_read_receiver(const char *json, struct arena *arena, struct dag_notify *out, const char **dir_out,
			 struct err *err)
{
	autojson json_t *object = json_loads(json, 0, NULL);
	const char *format = json_string_value(json_object_get(object, "format"));

	*out = (struct dag_notify){ .webhook = get_text(object, "webhook", arena),
				    .run = get_text(object, "run", arena),
				    .secret = read_secret(json_object_get(object, "secret"), arena) };
	out->format = format != NULL && strcmp(format, "slack") == 0 ? DAG_NOTIFY_SLACK : DAG_NOTIFY_JSON;
	read_headers(json_object_get(object, "headers"), arena, out);
	read_mail(json_object_get(object, "mail"), arena, out);
	*dir_out = get_text(object, "dir", arena);
	if (out->webhook == NULL && out->run == NULL && out->mail_count == 0)
		return err_set(err, ERR_CORRUPT, "the stored receiver cannot be read: %.200s", json);
	return 0;
}

void notice_list(const struct notice_terms *terms, const struct dag *dag, unsigned events, struct arena *arena,
		 struct notice_list *out)
{
	size_t count;
	const struct dag_notify *receivers = notice_receivers(terms, dag, &count);
	const char *dir = receivers == dag->notify ? dag->dir : terms->dir;

	*out = (struct notice_list){ 0 };
	for (size_t i = 0; i < count; i++) {
		if ((receivers[i].on & events) == 0)
			continue;
		if (out->receivers == NULL) {
			out->receivers = arena_alloc(arena, count * sizeof *out->receivers);
			out->on = arena_alloc(arena, count * sizeof *out->on);
		}
		out->receivers[out->count] = notice_receiver_json(&receivers[i], dir, arena);
		out->on[out->count++] = receivers[i].on & events;
	}
}
