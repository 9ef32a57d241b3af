#include "web/web.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "web/answer.h"
#include "web/api.h"
#include "web/aside.h"
#include "web/identify.h"
#include "web/listen.h"
#include "web/logs.h"
#include "web/parts.h"

enum {
	IDLE_S = 30,	       /* silence on a connection */
	ANSWER_MS = 120000,    /* for an answer that has an end */
	SWEEP_MS = 500,
	DISCARDED_BYTES_MAX = 16 * WEB_BODY_BYTES_MAX,
	FILES_KEPT = 200,      /* of the limit of open files, for everything else */
	PEM_BYTES_MAX = 1024 * 1024,
	GROUP_BYTES = 16384,
};

/* --- the library on the loop ------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer);

static void run_library(struct listener *listener)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	if (listener->daemon == NULL)
		return;
	web_changed(listener->web); /* since the last turn */
	listener->web->in_turn = true;
	listener->left = false;
	http->run(listener->daemon);
	listener->web->in_turn = false;
	/*
	 * One that has as many connections as it may does not listen, and begins again only when it is run after some have
	 * gone: nobody else would wake it when these were all.
	 */
	if (listener->left)
		uv_timer_start(&listener->timer, on_timer, 0, 0);
	else if (http->get_timeout(listener->daemon, &timeout_ms) == MHD_YES)
		uv_timer_start(&listener->timer, on_timer, timeout_ms, 0);
	else
		uv_timer_stop(&listener->timer);
}

static void on_timer(uv_timer_t *timer)
{
	run_library(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	run_library(poll->data);
}

/* Not at once: this is called from within the library too. */
void web_kick(struct listener *listener)
{
	if (listener->daemon != NULL)
		uv_timer_start(&listener->timer, on_timer, 0, 0);
}

static void on_library_log(void *context, const char *format, va_list args)
{
	char text[500];

	(void)context;
	vsnprintf(text, sizeof text, format, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug("http.library", TEXT("text", text));
}

int64_t web_version(struct web *web, enum web_read what)
{
	if (web->source->version == NULL)
		return -1;
	if (!web->in_turn || !web->version_known[what])
		web->versions[what] = web->source->version(web->source->context, what);
	web->version_known[what] = true;
	return web->versions[what];
}

void web_changed(struct web *web)
{
	memset(web->version_known, 0, sizeof web->version_known);
}

/* --- connections ------------------------------------------------------------------------------------------ */

static bool is_loopback_address(const struct sockaddr *address)
{
	const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;

	if (address->sa_family == AF_INET)
		return (ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24) == 127;
	return address->sa_family == AF_INET6 &&
	       (IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127));
}

static void write_address(const struct sockaddr *address, char out[64])
{
	if (address->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, out, 64);
	else if (address->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, out, 64);
}

static void tell_refused(struct web *web, const char *address)
{
	int64_t now_mono_ms = clock_mono_ms();

	if (now_mono_ms - web->warned_mono_ms < 10000)
		return; /* once is enough: a flood must not fill the log */
	web->warned_mono_ms = now_mono_ms;
	log_warn("connection.refused", TEXT("address", address), NUMBER("open", web->remote_count));
}

/* One address must not take all the places. This machine's own are many clients, or a proxy in front. */
static enum MHD_Result on_accept(void *context, const struct sockaddr *address, socklen_t bytes)
{
	struct listener *listener = context;
	char text[64] = "";
	size_t same = 0;

	(void)bytes;
	if (listener->local || is_loopback_address(address))
		return MHD_YES;
	write_address(address, text);
	list_each (at, &listener->web->connections)
		same += strcmp(list_entry(at, struct connection, link)->address, text) == 0;
	if (same < WEB_CONNECTIONS_EACH_MAX)
		return MHD_YES;
	tell_refused(listener->web, text);
	return MHD_NO;
}

static int64_t request_ms(const struct web *web)
{
	return web->settings->request_ms > 0 ? web->settings->request_ms : WEB_REQUEST_MS;
}

static struct connection *open_connection(struct listener *listener, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *fd = http->get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	const union MHD_ConnectionInfo *peer = http->get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	struct connection *connection = mem_zalloc(sizeof *connection);

	connection->listener = listener;
	connection->fd = fd->connect_fd;
	connection->deadline_mono_ms = clock_mono_ms() + request_ms(listener->web);
	list_append(&listener->web->connections, &connection->link);
	if (listener->local) {
		identify_peer(connection);
	} else {
		write_address(peer->client_addr, connection->address);
		connection->at_home = is_loopback_address(peer->client_addr);
		listener->web->remote_count++;
	}
	return connection;
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct listener *listener = context;
	struct connection *connection = *socket_context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_context = open_connection(listener, mhd);
	} else if (connection != NULL) {
		listener->left = true;
		listener->web->remote_count -= !listener->local;
		list_remove(&connection->link);
		free(connection);
		*socket_context = NULL;
	}
}

/* --- exchanges -------------------------------------------------------------------------------------------- */

/* The first that is heard of a request: its line, as it came. */
static void *on_line(void *context, const char *uri, struct MHD_Connection *mhd)
{
	struct exchange *exchange = mem_zalloc(sizeof *exchange);

	(void)context;
	exchange->mhd = mhd;
	if (strlen(uri) <= REQUEST_URI_BYTES_MAX)
		exchange->uri = mem_strdup(uri);
	request_init(&exchange->request);
	buf_init(&exchange->body, WEB_BODY_BYTES_MAX);
	list_init(&exchange->link);
	exchange->caller.actor = exchange->caller.origin = "";
	return exchange;
}

/* The path is decoded by request.c, part by part; here it is to stay as it came. */
static size_t on_unescape(void *context, struct MHD_Connection *mhd, char *text)
{
	(void)context;
	(void)mhd;
	return strlen(text);
}

const char *exchange_header(const struct exchange *exchange, const char *name)
{
	return http->lookup_connection_value(exchange->mhd, MHD_HEADER_KIND, name);
}

static enum MHD_Result send_answer(struct exchange *exchange)
{
	struct connection *connection = exchange->connection;
	enum MHD_Result queued = http->queue_response(exchange->mhd, exchange->status, exchange->answer);

	connection->deadline_mono_ms = exchange->endless ? 0 : clock_mono_ms() + ANSWER_MS;
	connection->listener->web->answers[exchange->status / 100 % 6]++;
	if (!exchange->answer_is_kept)
		http->destroy_response(exchange->answer);
	exchange->answer = NULL;
	return queued;
}

/*
 * A client that is still sending its body may never see what it is told: closing before all has come resets the
 * connection. So a body that is not too large is read to its end before it is refused, unless the client waits for a word.
 */
static bool is_worth_reading(const struct exchange *exchange)
{
	const char *length = exchange_header(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return !exchange->last && length != NULL && strtoull(length, NULL, 10) <= DISCARDED_BYTES_MAX &&
	       exchange_header(exchange, MHD_HTTP_HEADER_EXPECT) == NULL;
}

static enum MHD_Result keep_body(struct exchange *exchange, const char *bytes, size_t *n)
{
	exchange->body_bytes += *n;
	if (exchange->body_bytes > DISCARDED_BYTES_MAX)
		return MHD_NO; /* it was told, or will never listen */
	if (exchange->answer == NULL && exchange->body_bytes <= WEB_BODY_BYTES_MAX)
		buf_append(&exchange->body, bytes, *n);
	*n = 0;
	return MHD_YES;
}

/* Called when the header is there, for each part of the body, and when all is there. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
				  const char *version, const char *upload, size_t *upload_bytes, void **request_context)
{
	struct exchange *exchange = *request_context;
	const union MHD_ConnectionInfo *info = http->get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	(void)context;
	(void)url;
	if (exchange->connection == NULL) {
		exchange->connection = info->socket_context;
		api_begin(exchange, method, version);
		if (exchange->state == EXCHANGE_ASKING)
			return MHD_YES;
		return exchange->answer != NULL && !is_worth_reading(exchange) ? send_answer(exchange) : MHD_YES;
	}
	if (*upload_bytes > 0)
		return keep_body(exchange, upload, upload_bytes);
	if (exchange->state == EXCHANGE_READING && exchange->answer == NULL) {
		exchange->connection->deadline_mono_ms = 0;
		api_finish(exchange);
	}
	if (exchange->state == EXCHANGE_ASKING)
		return MHD_YES; /* suspended, or taken up again already and called once more */
	if (exchange->made != NULL)
		api_take_made(exchange);
	return send_answer(exchange);
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **request_context,
			 enum MHD_RequestTerminationCode why)
{
	struct exchange *exchange = *request_context;

	(void)context;
	(void)mhd;
	(void)why;
	if (exchange == NULL)
		return;
	if (exchange->connection != NULL)
		exchange->connection->deadline_mono_ms = clock_mono_ms() + IDLE_S * 1000 + request_ms(exchange->connection->listener->web);
	api_forget(exchange);
	answer_release(exchange->made);
	if (exchange->answer != NULL && !exchange->answer_is_kept)
		http->destroy_response(exchange->answer);
	request_fini(&exchange->request);
	buf_fini(&exchange->body);
	free(exchange->uri);
	free(exchange);
	*request_context = NULL;
}

void web_resume(struct exchange *exchange)
{
	exchange->state = EXCHANGE_ANSWERED;
	http->resume_connection(exchange->mhd);
	web_kick(exchange->connection->listener);
}

/* --- deadlines -------------------------------------------------------------------------------------------- */

static void end_delays(struct web *web, int64_t now_mono_ms)
{
	list_each (at, &web->delayed) {
		struct exchange *exchange = list_entry(at, struct exchange, link);

		if (exchange->delayed_until_mono_ms > now_mono_ms)
			continue;
		list_remove(&exchange->link);
		web->delayed_count--;
		web_resume(exchange);
	}
}

static void on_sweep(uv_timer_t *timer)
{
	struct web *web = timer->data;
	int64_t now_mono_ms = clock_mono_ms();

	end_delays(web, now_mono_ms);
	list_each (at, &web->connections) {
		struct connection *connection = list_entry(at, struct connection, link);

		if (connection->deadline_mono_ms == 0 || connection->deadline_mono_ms > now_mono_ms)
			continue;
		connection->deadline_mono_ms = 0;
		shutdown(connection->fd, SHUT_RDWR); /* the library sees its end, and closes it */
	}
}

/* --- opening ---------------------------------------------------------------------------------------------- */

static int read_pem(const char *path, char **out, struct err *err)
{
	autofclose FILE *file = fopen(path, "re");
	autofree char *text = mem_zalloc(PEM_BYTES_MAX + 1);
	size_t n;

	if (file == NULL)
		return err_errno(err, "open %s", path);
	n = fread(text, 1, PEM_BYTES_MAX, file);
	if (ferror(file) || n == 0 || n == PEM_BYTES_MAX || strlen(text) != n)
		return err_set(err, ERR_INVALID, "%s is no certificate or key in PEM form", path);
	*out = take(text);
	return 0;
}

static unsigned connections_max(const struct listener *listener)
{
	struct rlimit limit = { .rlim_cur = 1024 };
	rlim_t room;

	if (listener->local)
		return WEB_CONTROL_CONNECTIONS_MAX;
	getrlimit(RLIMIT_NOFILE, &limit);
	room = limit.rlim_cur == RLIM_INFINITY ? WEB_CONNECTIONS_MAX + FILES_KEPT : limit.rlim_cur;
	room = room > 2 * FILES_KEPT ? room - FILES_KEPT : FILES_KEPT;
	return room < WEB_CONNECTIONS_MAX ? (unsigned)room : WEB_CONNECTIONS_MAX;
}

static int start_library(struct listener *listener, struct err *err)
{
	const struct web_settings *settings = listener->web->settings;
	bool tls = !listener->local && settings->certificate_path != NULL;
	autofree char *certificate = NULL, *key = NULL;
	struct MHD_OptionItem tls_options[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, NULL },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, NULL },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)"NORMAL:-VERS-TLS1.0:-VERS-TLS1.1" },
		{ MHD_OPTION_END, 0, NULL },
	};

	if (tls && (read_pem(settings->certificate_path, &certificate, err) < 0 ||
		    read_pem(settings->key_path, &key, err) < 0))
		return err->code;
	tls_options[0].ptr_value = certificate;
	tls_options[1].ptr_value = key;
	listener->daemon = http->start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0), 0, on_accept,
		listener, on_request, listener, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, listener->fd, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
		MHD_OPTION_CONNECTION_LIMIT, connections_max(listener), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)WEB_CONNECTION_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, on_line,
		listener, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
		listener, MHD_OPTION_NOTIFY_CONNECTION, on_connection, listener, MHD_OPTION_ARRAY,
		tls ? tls_options : &tls_options[3], MHD_OPTION_END);
	listener->fd = -1; /* the library's, also when it did not start */
	if (listener->daemon == NULL)
		return err_set(err, tls ? ERR_INVALID : ERR_IO,
			       tls ? "start TLS with the certificate %s and the key %s: they do not fit together, or"
				     " are damaged"
				   : "start the HTTP server",
			       settings->certificate_path, settings->key_path);
	return 0;
}

static int start_listener(struct listener *listener, struct err *err)
{
	const union MHD_DaemonInfo *info;
	struct web *web = listener->web;
	int rc = start_library(listener, err);

	if (rc < 0)
		return rc;
	info = http->get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	rc = uv_poll_init(web->loop, &listener->poll, info->epoll_fd);
	if (rc < 0)
		return err_set(err, ERR_IO, "watch the HTTP server: %s", uv_strerror(rc));
	uv_timer_init(web->loop, &listener->timer);
	listener->started = true;
	listener->poll.data = listener->timer.data = listener;
	web->handles += 2;
	uv_poll_start(&listener->poll, UV_READABLE, on_poll);
	return 0;
}

static int find_group(struct web *web, struct err *err)
{
	char bytes[GROUP_BYTES];
	struct group group, *found = NULL;
	const char *name = web->settings->shared_group;

	getgrnam_r(name, &group, bytes, sizeof bytes, &found);
	if (found == NULL)
		return err_set(err, ERR_INVALID, "'shared': there is no group '%s'", name);
	web->shared_gid = found->gr_gid;
	return 0;
}

static int open_local(struct listener *listener, const char *path, bool shared, struct err *err)
{
	struct web *web = listener->web;
	struct stat st;

	if (shared && find_group(web, err) < 0)
		return err->code;
	if (listen_control(path, shared ? web->shared_gid : (gid_t)-1, &listener->fd, err) < 0)
		return err->code;
	listener->local = listener->at_home = true;
	listener->shared = shared;
	listener->path = path;
	if (stat(path, &st) == 0)
		listener->inode = st.st_ino;
	return 0;
}

static int check_protected(const struct web_settings *settings, const struct listen_address *address,
			   const char *text, struct err *err)
{
	if (address->loopback)
		return 0;
	if (settings->certificate_path == NULL && !settings->behind_proxy)
		return err_set(err, ERR_INVALID,
			       "listening on %s would send tokens in the clear: give 'tls' a certificate and a key, or"
			       " say 'behind_proxy: true' when something in front does TLS",
			       text);
	if (!settings->have_tokens)
		return err_set(err, ERR_INVALID,
			       "listening on %s is of no use without a token: make one first, with `stoker token create"
			       " --role viewer`",
			       text);
	return 0;
}

static int open_remote(struct listener *listener, const char *text, struct err *err)
{
	struct listen_address address;
	int rc = listen_parse(text, &address, err);

	if (rc == 0)
		rc = check_protected(listener->web->settings, &address, text, err);
	if (rc < 0)
		return rc;
	listener->at_home = address.loopback;
	return listen_tcp(&address, &listener->fd, &listener->port, err);
}

static struct listener *add_listener(struct web *web)
{
	struct listener *listener = &web->listeners[web->listeners_count++];

	*listener = (struct listener){ .web = web, .fd = -1 };
	return listener;
}

static int open_listeners(struct web *web, struct err *err)
{
	const struct web_settings *settings = web->settings;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < settings->listen_count; i++) {
		rc = open_remote(add_listener(web), settings->listen[i], err);
		if (rc < 0 && err->sys_errno == EADDRINUSE && settings->listen_optional) {
			log_warn("page.left_out", TEXT("address", settings->listen[i]), TEXT("err", err->text));
			web->listeners_count--;
			rc = 0;
		}
	}
	if (rc == 0 && settings->control_path != NULL)
		rc = open_local(add_listener(web), settings->control_path, false, err);
	if (rc == 0 && settings->shared_path != NULL)
		rc = open_local(add_listener(web), settings->shared_path, true, err);
	/* Where everything can be listened on, all of it starts. */
	for (size_t i = 0; rc == 0 && i < web->listeners_count; i++)
		rc = start_listener(&web->listeners[i], err);
	return rc;
}

static const char *const *copy_list(struct arena *arena, const char *const *list, size_t count)
{
	const char **copy = arena_alloc(arena, (count + 1) * sizeof *copy);

	for (size_t i = 0; i < count; i++)
		copy[i] = arena_strdup(arena, list[i]);
	return copy;
}

static struct web_settings *copy_settings(struct arena *arena, const struct web_settings *settings)
{
	struct web_settings *copy = arena_memdup(arena, settings, sizeof *settings);

	copy->control_path = arena_strdup_if(arena, settings->control_path);
	copy->shared_path = arena_strdup_if(arena, settings->shared_path);
	copy->shared_group = arena_strdup_if(arena, settings->shared_group);
	copy->certificate_path = arena_strdup_if(arena, settings->certificate_path);
	copy->key_path = arena_strdup_if(arena, settings->key_path);
	copy->listen = copy_list(arena, settings->listen, settings->listen_count);
	copy->hosts = copy_list(arena, settings->hosts, settings->hosts_count);
	return copy;
}

int web_open(uv_loop_t *loop, const struct web_settings *settings, const struct web_source *source,
	     struct web **web_out, struct err *err)
{
	struct web *web;

	if (library_load(err) < 0)
		return err->code;
	web = mem_zalloc(sizeof *web);
	web->loop = loop;
	arena_init(&web->arena);
	web->settings = copy_settings(&web->arena, settings);
	web->source = source;
	web->listeners = mem_array(settings->listen_count + 2, sizeof *web->listeners);
	list_init(&web->connections);
	list_init(&web->asking);
	list_init(&web->delayed);
	web->warned_mono_ms = INT64_MIN / 2;
	web->press = answer_press_new();
	web->aside = aside_new(web);
	web->handles += 2;
	stream_start(web);
	logs_start(web);
	uv_timer_init(loop, &web->sweep);
	web->sweep.data = web;
	web->handles++;
	uv_timer_start(&web->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
	if (open_listeners(web, err) < 0) {
		web_close(web);
		return err->code;
	}
	*web_out = web;
	return 0;
}

void web_publish(struct web *web, const char *kind, json_t *event)
{
	stream_publish(web, kind, event);
}

bool web_is_followed(struct web *web)
{
	return stream_is_followed(&web->stream);
}

int web_port(const struct web *web, size_t index)
{
	return index < web->listeners_count ? web->listeners[index].port : 0;
}

/* --- closing ---------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
	struct web *web = handle->data;

	if (--web->handles > 0)
		return;
	aside_free(web->aside);
	answer_press_free(web->press);
	free(web->listeners);
	arena_fini(&web->arena);
	free(web);
}

static void close_handle(struct web *web, void *handle)
{
	((uv_handle_t *)handle)->data = web;
	uv_close(handle, on_closed);
}

/* What is being changed goes on; who asked is told that it will not hear of it here. */
static void answer_waiting(struct web *web)
{
	list_each (at, &web->asking) {
		struct exchange *exchange = list_entry(at, struct exchange, link);

		api_forget(exchange);
		answer_problem(exchange, 503, ERR_BUSY, "stoker is ending; whether this was done is told by what there is");
		web_resume(exchange);
	}
	end_delays(web, INT64_MAX);
}

/* The library stops only without suspended connections; running it once takes up what was resumed. */
static void stop_listener(struct listener *listener)
{
	struct stat st;

	if (listener->started) {
		close_handle(listener->web, &listener->poll);
		close_handle(listener->web, &listener->timer);
	}
	if (listener->daemon != NULL) {
		http->run(listener->daemon);
		http->stop_daemon(listener->daemon);
		listener->daemon = NULL;
	}
	scope_close(&listener->fd);
	/* Only our own: another server may have put its socket there. */
	if (listener->inode != 0 && stat(listener->path, &st) == 0 && st.st_ino == listener->inode)
		unlink(listener->path);
}

void web_close(struct web *web)
{
	if (web == NULL)
		return;
	aside_end(web->aside);
	answer_waiting(web);
	stream_end(web);
	logs_end(web);
	for (size_t i = 0; i < web->listeners_count; i++)
		stop_listener(&web->listeners[i]);
	stream_fini(web);
	cache_fini(&web->cache);
	close_handle(web, aside_handle(web->aside, 0));
	close_handle(web, aside_handle(web->aside, 1));
	close_handle(web, &web->stream.gather);
	close_handle(web, &web->stream.comment);
	close_handle(web, &web->follow_timer);
	close_handle(web, &web->sweep);
}
