#include "scheduler/webhook.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"

#include "common/clock.h"
#include "common/list.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/libcurl.h"

enum { ANSWER_BYTES_MAX = 1024 * 1024, HEADER_BYTES_MAX = 512 };

struct webhooks {
	uv_loop_t *loop;
	const struct libcurl *curl;
	CURLM *multi;
	uv_timer_t timer;
	struct list requests;
	size_t open; /* handles of libuv */
	bool closing;
	bool leaked; /* a request could not be dropped: what it needs is left for the end of the process */
};

struct watch {
	struct webhooks *webhooks;
	uv_poll_t poll;
	curl_socket_t socket;
};

struct webhook {
	struct webhooks *webhooks;
	CURL *easy; /* NULL: dropped */
	struct curl_slist *headers;
	uv_timer_t limit;
	struct buf said;
	size_t answer_bytes;
	char retry_after[HEADER_BYTES_MAX], location[HEADER_BYTES_MAX];
	char error[CURL_ERROR_SIZE];
	bool resolved; /* its name was found, or there was none to look for */
	bool told;
	void (*done)(void *context, const struct webhook_answer *answer);
	void *context;
	struct list link;
};

/* --- the end of a request ------------------------------------------------------------------------------- */

static void free_when_closed(struct webhooks *webhooks)
{
	if (!webhooks->closing || webhooks->open > 0)
		return;
	if (!webhooks->leaked)
		webhooks->curl->multi_cleanup(webhooks->multi);
	free(webhooks);
}

static void on_limit_closed(uv_handle_t *handle)
{
	struct webhook *webhook = handle->data;
	struct webhooks *webhooks = webhook->webhooks;

	if (!webhooks->leaked || webhook->easy == NULL) {
		buf_fini(&webhook->said);
		free(webhook);
	}
	webhooks->open--;
	free_when_closed(webhooks);
}

static void drop(struct webhook *webhook)
{
	const struct libcurl *curl = webhook->webhooks->curl;

	list_remove(&webhook->link);
	curl->multi_remove_handle(webhook->webhooks->multi, webhook->easy);
	curl->easy_cleanup(webhook->easy);
	curl->slist_free_all(webhook->headers);
	webhook->easy = NULL;
	uv_close((uv_handle_t *)&webhook->limit, on_limit_closed);
}

static void tell(struct webhook *webhook, int status, const char *trouble)
{
	struct webhook_answer answer = {
		.status = status,
		.trouble = trouble,
		.said = buf_text(&webhook->said),
		.retry_after = webhook->retry_after,
		.location = webhook->location,
	};

	if (webhook->told)
		return;
	webhook->told = true;
	webhook->done(webhook->context, &answer);
}

static void on_limit(uv_timer_t *timer)
{
	struct webhook *webhook = timer->data;
	char trouble[128], span[CLOCK_SPAN_BYTES];
	long status = 0;

	/* One that has answered and does not come to its end has answered. */
	webhook->webhooks->curl->easy_getinfo(webhook->easy, CURLINFO_RESPONSE_CODE, &status);
	snprintf(trouble, sizeof trouble, "%s within %s",
		 webhook->resolved ? "no answer" : "the name of its host was not found", clock_span(WEBHOOK_LIMIT_MS, span));
	tell(webhook, (int)status, status > 0 ? "" : trouble);
	if (webhook->resolved && webhook->easy != NULL)
		drop(webhook);
}

static void on_finished(struct webhook *webhook, CURLcode code)
{
	const struct libcurl *curl = webhook->webhooks->curl;
	long status = 0;

	curl->easy_getinfo(webhook->easy, CURLINFO_RESPONSE_CODE, &status);
	/* A body that was cut short is no reason to send again what was accepted. */
	if (status > 0 && (code == CURLE_OK || code == CURLE_WRITE_ERROR || code == CURLE_PARTIAL_FILE ||
			   code == CURLE_RECV_ERROR))
		tell(webhook, (int)status, "");
	else
		tell(webhook, 0, webhook->error[0] != '\0' ? webhook->error : curl->easy_strerror(code));
	if (webhook->easy != NULL) /* whoever was told may have closed all */
		drop(webhook);
}

static void collect(struct webhooks *webhooks)
{
	CURLMsg *message;
	int left;

	while (!webhooks->closing && (message = webhooks->curl->multi_info_read(webhooks->multi, &left)) != NULL) {
		char *webhook = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		webhooks->curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &webhook);
		on_finished((struct webhook *)(void *)webhook, message->data.result);
	}
}

/* --- between libcurl and the loop ----------------------------------------------------------------------- */

static void on_socket(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = poll->data;
	struct webhooks *webhooks = watch->webhooks;
	int flags = (status < 0 ? CURL_CSELECT_ERR : 0) | ((events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0) |
		    ((events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0);
	int running;

	webhooks->curl->multi_socket_action(webhooks->multi, watch->socket, flags, &running);
	collect(webhooks);
}

static void on_watch_closed(uv_handle_t *handle)
{
	struct watch *watch = handle->data;
	struct webhooks *webhooks = watch->webhooks;

	free(watch);
	webhooks->open--;
	free_when_closed(webhooks);
}

static int on_interest(CURL *easy, curl_socket_t socket, int what, void *context, void *known)
{
	struct webhooks *webhooks = context;
	struct watch *watch = known;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watch != NULL) {
			uv_poll_stop(&watch->poll);
			webhooks->curl->multi_assign(webhooks->multi, socket, NULL);
			uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
		}
		return 0;
	}
	if (watch == NULL) {
		watch = mem_zalloc(sizeof *watch);
		watch->webhooks = webhooks;
		watch->socket = socket;
		watch->poll.data = watch;
		if (uv_poll_init_socket(webhooks->loop, &watch->poll, socket) < 0) {
			free(watch);
			return -1;
		}
		webhooks->open++;
		webhooks->curl->multi_assign(webhooks->multi, socket, watch);
	}
	uv_poll_start(&watch->poll,
		      ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) | ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0),
		      on_socket);
	return 0;
}

static void on_timer(uv_timer_t *timer)
{
	struct webhooks *webhooks = timer->data;
	int running;

	webhooks->curl->multi_socket_action(webhooks->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(webhooks);
}

static int on_timeout_wanted(CURLM *multi, long timeout_ms, void *context)
{
	struct webhooks *webhooks = context;

	(void)multi;
	if (webhooks->closing)
		return 0;
	if (timeout_ms < 0)
		uv_timer_stop(&webhooks->timer);
	else
		uv_timer_start(&webhooks->timer, on_timer, (uint64_t)timeout_ms, 0);
	return 0;
}

/* --- what libcurl asks of a request --------------------------------------------------------------------- */

static size_t on_body(char *bytes, size_t size, size_t n, void *context)
{
	struct webhook *webhook = context;

	webhook->answer_bytes += size * n;
	if (webhook->said.bytes + size * n <= WEBHOOK_SAID_BYTES_MAX)
		buf_append(&webhook->said, bytes, size * n);
	else if (webhook->said.bytes < WEBHOOK_SAID_BYTES_MAX)
		buf_append(&webhook->said, bytes, WEBHOOK_SAID_BYTES_MAX - webhook->said.bytes);
	return webhook->answer_bytes > ANSWER_BYTES_MAX ? 0 : size * n;
}

static void take_header(const char *line, size_t bytes, const char *name, char value[HEADER_BYTES_MAX])
{
	size_t n = strlen(name);

	if (bytes <= n || strncasecmp(line, name, n) != 0)
		return;
	for (; n < bytes && (line[n] == ' ' || line[n] == '\t');)
		n++;
	while (bytes > n && (line[bytes - 1] == '\r' || line[bytes - 1] == '\n'))
		bytes--;
	snprintf(value, HEADER_BYTES_MAX, "%.*s", (int)(bytes - n), line + n);
}

static size_t on_header(char *line, size_t size, size_t n, void *context)
{
	struct webhook *webhook = context;

	take_header(line, size * n, "Retry-After:", webhook->retry_after);
	take_header(line, size * n, "Location:", webhook->location);
	return size * n;
}

/* Called when the name is found. One whose time is over by then goes no further. */
static curl_socket_t on_socket_wanted(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct webhook *webhook = context;

	(void)purpose;
	webhook->resolved = true;
	if (webhook->told)
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
}

/* The newer way is known to the library at hand, or is not; the older one is deprecated in its header. */
static void set_protocols(const struct libcurl *curl, CURL *easy)
{
	enum { PROTOCOLS = 181, PROTOCOLS_STR = 10318, HTTP_AND_HTTPS = 3 };

	if (curl->easy_setopt(easy, (CURLoption)PROTOCOLS_STR, "http,https") != CURLE_OK)
		curl->easy_setopt(easy, (CURLoption)PROTOCOLS, (long)HTTP_AND_HTTPS);
}

/* No time limit of its own: see webhook.h. */
static CURL *make_easy(struct webhook *webhook, const char *url, const char *body)
{
	const struct libcurl *curl = webhook->webhooks->curl;
	CURL *easy = curl->easy_init();

	if (easy == NULL)
		abort(); /* out of memory */
	set_protocols(curl, easy);
	curl->easy_setopt(easy, CURLOPT_URL, url);
	curl->easy_setopt(easy, CURLOPT_PRIVATE, webhook);
	curl->easy_setopt(easy, CURLOPT_POST, 1L);
	curl->easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
	curl->easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body);
	curl->easy_setopt(easy, CURLOPT_HTTPHEADER, webhook->headers);
	curl->easy_setopt(easy, CURLOPT_USERAGENT, "stoker/" PACKAGE_VERSION);
	curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl->easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	curl->easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	curl->easy_setopt(easy, CURLOPT_ERRORBUFFER, webhook->error);
	curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl->easy_setopt(easy, CURLOPT_WRITEDATA, webhook);
	curl->easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl->easy_setopt(easy, CURLOPT_HEADERDATA, webhook);
	curl->easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket_wanted);
	curl->easy_setopt(easy, CURLOPT_OPENSOCKETDATA, webhook);
	return easy;
}

/* --- life ----------------------------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *handle)
{
	struct webhooks *webhooks = handle->data;

	webhooks->open--;
	free_when_closed(webhooks);
}

/* One that still looks for its name is not waited for: it is left to the end of the process. */
static void let_go(struct webhook *webhook)
{
	enum { QUICK_EXIT = 322 };
	const struct libcurl *curl = webhook->webhooks->curl;

	if (webhook->resolved) {
		drop(webhook);
		return;
	}
	if (curl->easy_setopt(webhook->easy, (CURLoption)QUICK_EXIT, 1L) == CURLE_OK) {
		drop(webhook);
		return;
	}
	webhook->webhooks->leaked = true; /* a library from before 7.87 */
	list_remove(&webhook->link);
	uv_close((uv_handle_t *)&webhook->limit, on_limit_closed);
}

struct webhooks *webhooks_open(uv_loop_t *loop, struct err *err)
{
	const struct libcurl *curl = libcurl_load(err);
	struct webhooks *webhooks;

	if (curl == NULL)
		return NULL;
	webhooks = mem_zalloc(sizeof *webhooks);
	webhooks->loop = loop;
	webhooks->curl = curl;
	webhooks->multi = curl->multi_init();
	if (webhooks->multi == NULL)
		abort(); /* out of memory */
	list_init(&webhooks->requests);
	uv_timer_init(loop, &webhooks->timer);
	webhooks->timer.data = webhooks;
	webhooks->open = 1;
	curl->multi_setopt(webhooks->multi, CURLMOPT_SOCKETFUNCTION, on_interest);
	curl->multi_setopt(webhooks->multi, CURLMOPT_SOCKETDATA, webhooks);
	curl->multi_setopt(webhooks->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted);
	curl->multi_setopt(webhooks->multi, CURLMOPT_TIMERDATA, webhooks);
	return webhooks;
}

struct webhook *webhook_post(struct webhooks *webhooks, const char *url, const char *const *headers,
			     size_t headers_count, const char *body,
			     void (*done)(void *context, const struct webhook_answer *answer), void *context)
{
	struct webhook *webhook = mem_zalloc(sizeof *webhook);

	webhook->webhooks = webhooks;
	webhook->done = done;
	webhook->context = context;
	for (size_t i = 0; i < headers_count; i++)
		webhook->headers = webhooks->curl->slist_append(webhook->headers, headers[i]);
	webhook->headers = webhooks->curl->slist_append(webhook->headers, "Expect:"); /* no asking whether a body may come */
	webhook->easy = make_easy(webhook, url, body);
	uv_timer_init(webhooks->loop, &webhook->limit);
	webhook->limit.data = webhook;
	webhooks->open++;
	uv_timer_start(&webhook->limit, on_limit, WEBHOOK_LIMIT_MS, 0);
	list_append(&webhooks->requests, &webhook->link);
	webhooks->curl->multi_add_handle(webhooks->multi, webhook->easy);
	return webhook;
}

void webhooks_close(struct webhooks *webhooks)
{
	if (webhooks == NULL || webhooks->closing)
		return;
	webhooks->closing = true;
	list_each (at, &webhooks->requests)
		let_go(list_entry(at, struct webhook, link));
	uv_close((uv_handle_t *)&webhooks->timer, on_timer_closed);
}
