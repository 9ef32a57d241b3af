#include "scheduler/notice_format.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/scope.h"
#include "executor/base64.h"
#include "scheduler/moment.h"
#include "scheduler/view.h"

enum { SECRET_BYTES_MAX = 4096, MAIL_LINE_BYTES = 76, WORD_BYTES = 42 };

static const char *get(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text == NULL ? "" : text;
}

/* --- posts ---------------------------------------------------------------------------------------------- */

/* Slack's three characters of markup; without this a line of a log could call everybody in the channel. */
static void append_escaped(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '&')
			buf_append_text(out, "&amp;");
		else if (*text == '<')
			buf_append_text(out, "&lt;");
		else if (*text == '>')
			buf_append_text(out, "&gt;");
		else
			buf_append_byte(out, (uint8_t)*text);
	}
}

static json_t *slack_of(const json_t *notice)
{
	autobuf struct buf text = { 0 };
	json_t *object = json_object();

	append_escaped(&text, get(notice, "text"));
	if (get(notice, "url")[0] != '\0')
		buf_printf(&text, "\n<%s>", get(notice, "url"));
	json_object_set_new_nocheck(object, "text", json_string_nocheck(buf_text(&text)));
	return object;
}

const char *notice_post(const char *json, const char *id, enum dag_notify_format format, struct arena *arena)
{
	autojson json_t *notice = json_loads(json, 0, NULL);
	autojson json_t *slack = NULL;
	autofree char *text = NULL;

	if (format == DAG_NOTIFY_SLACK)
		slack = slack_of(notice);
	else
		json_object_set_new(notice, "id", json_string(id));
	text = json_dumps(slack == NULL ? notice : slack, JSON_COMPACT | JSON_SORT_KEYS);
	return text == NULL ? "{}" : arena_strdup(arena, text);
}

const char *notice_signature(const char *secret, const char *body, struct arena *arena)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned bytes = 0;
	char hex[DIGEST_HEX_BYTES];

	HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)body, strlen(body), mac, &bytes);
	return arena_printf(arena, "sha256=%s", digest_hex(mac, hex));
}

/* --- commands ------------------------------------------------------------------------------------------- */

const char **notice_variables(const char *json, const char *id, struct arena *arena)
{
	static const char *const fields[][2] = {
		{ "EVENT", "event" },	{ "DAG", "dag" },     { "RUN", "run" },	   { "STATE", "state" },
		{ "TITLE", "title" },	{ "TEXT", "text" },   { "WHY", "why" },	   { "TASK", "task" },
		{ "TRIGGER", "trigger" }, { "ACTOR", "actor" }, { "URL", "url" }, { "SCHEDULED_FOR", "due" },
	};
	autojson json_t *notice = json_loads(json, 0, NULL);
	const char **out = arena_alloc(arena, (COUNT_OF(fields) + 2) * sizeof *out);
	size_t count = 0;

	out[count++] = arena_printf(arena, "STOKER_NOTICE=%s", id);
	for (size_t i = 0; i < COUNT_OF(fields); i++)
		out[count++] = arena_printf(arena, "STOKER_%s=%s", fields[i][0], get(notice, fields[i][1]));
	return out;
}

/* --- mail ----------------------------------------------------------------------------------------------- */

static bool is_plain(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			return false;
	return true;
}

/* As long a part of it as fits an encoded word, whole characters. */
static size_t word_bytes(const char *text)
{
	size_t n = strlen(text);

	if (n <= WORD_BYTES)
		return n;
	n = WORD_BYTES;
	while (n > 1 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	return n;
}

/* RFC 2047: what is no plain ASCII becomes words of at most 75 characters; a line break can't get through. */
static void append_subject(struct buf *out, const char *text)
{
	buf_append_text(out, "Subject: ");
	if (is_plain(text) && strlen(text) < 200 && strstr(text, "=?") == NULL) {
		buf_printf(out, "%s\n", text);
		return;
	}
	for (bool first = true; *text != '\0'; first = false) {
		size_t n = word_bytes(text);

		buf_append_text(out, first ? "=?UTF-8?B?" : "\n =?UTF-8?B?");
		base64_encode(out, text, n, true);
		buf_append_text(out, "?=");
		text += n;
	}
	buf_append_byte(out, '\n');
}

/* In the C locale's words, whatever the process speaks. */
static void append_date(struct buf *out, int64_t wall_ms)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t seconds = wall_ms / 1000;
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL || wall_ms == 0)
		return;
	buf_printf(out, "Date: %.3s, %d %.3s %d %02d:%02d:%02d +0000\n", days + 3 * tm.tm_wday, tm.tm_mday,
		   months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void append_to(struct buf *out, const char *const *to, size_t count)
{
	buf_append_text(out, "To: ");
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s%s", i == 0 ? "" : ",\n ", to[i]);
	buf_append_byte(out, '\n');
}

static void append_line(struct buf *out, const char *name, const char *value)
{
	if (value[0] != '\0')
		buf_printf(out, "%-9s %s\n", name, value);
}

static void write_text(const json_t *notice, struct buf *out)
{
	buf_printf(out, "%s\n\n", get(notice, "text"));
	append_line(out, "Run:", get(notice, "run"));
	append_line(out, "DAG:", get(notice, "dag"));
	append_line(out, "Due:", get(notice, "due"));
	append_line(out, "Started:", get(notice, "started"));
	append_line(out, "Ended:", get(notice, "ended"));
	append_line(out, "Trigger:", get(notice, "trigger"));
	append_line(out, "Page:", get(notice, "url"));
	if (get(notice, "run")[0] != '\0' && get(notice, "url")[0] == '\0')
		buf_printf(out, "\nstoker why %s\n", get(notice, "run"));
}

/* Base64: no line is too long, none begins with a dot, and every character gets through. */
static void append_encoded(struct buf *out, const struct buf *text)
{
	autobuf struct buf encoded = { 0 };

	base64_encode(&encoded, text->data, text->bytes, true);
	for (size_t at = 0; at < encoded.bytes; at += MAIL_LINE_BYTES) {
		size_t n = encoded.bytes - at;

		buf_append(out, encoded.data + at, n < MAIL_LINE_BYTES ? n : MAIL_LINE_BYTES);
		buf_append_byte(out, '\n');
	}
}

const char *notice_mail(const char *json, const char *id, const char *from, const char *const *to, size_t to_count,
			const char *host, struct arena *arena)
{
	autojson json_t *notice = json_loads(json, 0, NULL);
	autobuf struct buf out = { 0 }, text = { 0 };

	if (from != NULL)
		buf_printf(&out, "From: %s\n", from);
	append_to(&out, to, to_count);
	append_subject(&out, get(notice, "title"));
	append_date(&out, moment_parse(get(notice, "at")));
	buf_printf(&out, "Message-ID: <stoker.%s@%s>\n", id, host);
	buf_append_text(&out, "Auto-Submitted: auto-generated\n" /* RFC 3834: nobody's holiday answers it */
			      "MIME-Version: 1.0\n"
			      "Content-Type: text/plain; charset=utf-8\n"
			      "Content-Transfer-Encoding: base64\n\n");
	write_text(notice, &text);
	append_encoded(&out, &text);
	return arena_strdup(arena, buf_text(&out));
}

/* --- secrets -------------------------------------------------------------------------------------------- */

static int read_file(const char *path, struct arena *arena, const char **value_out, struct err *err)
{
	const char *home = getenv("HOME");
	char bytes[SECRET_BYTES_MAX + 1];
	autoclose int fd = -1;
	ssize_t n;

	if (strncmp(path, "~/", 2) == 0 && home != NULL)
		path = arena_printf(arena, "%s%s", home, path + 1);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
	if (n < 0)
		return err_errno(err, "read the secret in %s", path);
	if (n > SECRET_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "the secret in %s is longer than %d bytes", path, SECRET_BYTES_MAX);
	while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
		n--;
	*value_out = arena_strndup(arena, bytes, (size_t)n);
	return 0;
}

int notice_secret(const struct dag_secret *secret, struct arena *arena, const char **value_out, struct err *err)
{
	const char *value = secret->text;

	if (secret->env != NULL) {
		value = getenv(secret->env);
		if (value == NULL)
			return err_set(err, ERR_NOT_FOUND, "the variable %s is not set in stoker's environment",
				       secret->env);
	} else if (secret->file != NULL && read_file(secret->file, arena, &value, err) < 0) {
		return err->code;
	}
	if (value == NULL || value[0] == '\0')
		return err_set(err, ERR_INVALID, "the secret in %s is empty",
			       secret->env != NULL ? secret->env : secret->file);
	for (const char *at = value; *at != '\0'; at++)
		if (iscntrl((unsigned char)*at) && *at != '\t')
			return err_set(err, ERR_INVALID, "the secret in %s holds a line break or a control character",
				       secret->env != NULL ? secret->env : secret->file);
	*value_out = value;
	return 0;
}
