#include "scheduler/client.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/libcurl.h"

enum { CONNECT_MS = 5000, REQUEST_MS = 120000, ANSWER_BYTES_MAX = 256 * 1024 * 1024 };

struct client {
	const struct libcurl *curl;
	CURL *easy;
	int64_t wait_ms;
	int folder;   /* of the socket */
	char path[64]; /* of the socket, by way of its folder: the system takes no long one */
};

/* An answer on its way. */
struct answer {
	struct client *client;
	struct buf body;
	bool (*taker)(void *context, const void *bytes, size_t n); /* NULL: all of it goes to `body` */
	void *context;
	bool stopped; /* by `taker` */
};

/* --- the socket ------------------------------------------------------------------------------------------- */

static int denied(const char *path, struct err *err)
{
	struct stat st;
	struct passwd *user = stat(path, &st) == 0 ? getpwuid(st.st_uid) : NULL;

	return err_set(err, ERR_DENIED,
		       "you are not allowed to use the daemon's socket %s%s%s; its owner can share one: 'shared' below"
		       " 'web' in stoker.yaml, and STOKER_SOCKET for you",
		       path, user == NULL ? "" : ", which belongs to ", user == NULL ? "" : user->pw_name);
}

static int unreachable(const char *path, struct err *err)
{
	int reason = errno;

	if (reason == EACCES || reason == EPERM)
		return denied(path, err);
	if (reason == ENOENT || reason == ENOTDIR || reason == ECONNREFUSED)
		return err_set(err, ERR_NOT_FOUND, "no daemon answers on %s; start one with: stoker serve", path);
	errno = reason;
	return err_errno(err, "connect to the daemon on %s", path);
}

static int open_folder(struct client *client, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	autofree char *folder = NULL;

	if (slash == NULL || slash == path)
		return err_set(err, ERR_INVALID, "STOKER_SOCKET is an absolute path, not '%s'", path);
	folder = mem_strndup(path, (size_t)(slash - path));
	client->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (client->folder < 0)
		return unreachable(path, err);
	if ((size_t)snprintf(client->path, sizeof client->path, "/proc/self/fd/%d%s", client->folder, slash) >=
	    sizeof client->path)
		return err_set(err, ERR_INVALID, "the name of the socket %s is too long", path);
	return 0;
}

static int try_socket(const struct client *client, const char *path, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_errno(err, "make a socket");
	memcpy(address.sun_path, client->path, sizeof client->path);
	return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? unreachable(path, err) : 0;
}

int client_open(const char *home, struct client **client_out, struct err *err)
{
	const char *named = getenv("STOKER_SOCKET");
	autofree char *path = named != NULL && named[0] != '\0' ? mem_strdup(named)
								 : mem_printf("%s/control.sock", home);
	autoclient struct client *client = mem_zalloc(sizeof *client);

	client->folder = -1;
	client->wait_ms = REQUEST_MS;
	if (open_folder(client, path, err) < 0 || try_socket(client, path, err) < 0)
		return err->code;
	client->curl = libcurl_load(err);
	if (client->curl == NULL)
		return err->code == ERR_NOT_FOUND ? err_set(err, ERR_IO, "%s", strdupa(err->text)) : err->code;
	client->easy = client->curl->easy_init();
	*client_out = take(client);
	return 0;
}

void client_close(struct client *client)
{
	if (client == NULL)
		return;
	if (client->easy != NULL)
		client->curl->easy_cleanup(client->easy);
	scope_close(&client->folder);
	free(client);
}

int client_connect(struct client **client_out)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const char *home;
	struct err err;
	int rc = store_home(&arena, &home, &err);

	if (rc < 0)
		return command_fail(&err);
	rc = client_open(home, client_out, &err);
	if (rc == 0)
		return 0;
	command_fail(&err);
	return rc == ERR_NOT_FOUND ? COMMAND_UNREACHABLE : COMMAND_FAILED;
}

/* --- requests --------------------------------------------------------------------------------------------- */

static bool succeeded(const struct client *client)
{
	long status = 0;

	client->curl->easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
	return status >= 200 && status < 300;
}

/* What is no success is kept, as the problem it tells. */
static size_t on_bytes(char *bytes, size_t size, size_t count, void *context)
{
	struct answer *answer = context;
	size_t n = size * count;

	if (answer->taker == NULL || !succeeded(answer->client)) {
		buf_append(&answer->body, bytes, n);
		return answer->body.overflow ? 0 : n;
	}
	if (answer->taker(answer->context, bytes, n))
		return n;
	answer->stopped = true;
	return 0;
}

static enum err_code code_of(const char *name)
{
	static const struct {
		const char *name;
		enum err_code code;
	} codes[] = {
		{ "invalid", ERR_INVALID }, { "not_found", ERR_NOT_FOUND }, { "exists", ERR_EXISTS },
		{ "busy", ERR_BUSY },	    { "full", ERR_FULL },	    { "denied", ERR_DENIED },
		{ "corrupt", ERR_CORRUPT }, { "version", ERR_VERSION },	    { "limit", ERR_LIMIT },
	};

	for (size_t i = 0; i < COUNT_OF(codes); i++)
		if (strcmp(codes[i].name, name) == 0)
			return codes[i].code;
	return ERR_IO;
}

static int read_problem(const struct buf *body, struct err *err)
{
	json_t *problem = json_loadb(buf_text(body), body->bytes, 0, NULL);
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	const char *code = json_string_value(json_object_get(problem, "code"));
	int rc;

	if (detail == NULL || code == NULL)
		rc = err_set(err, ERR_IO, "the daemon's answer cannot be read: is it another version of stoker?");
	else
		rc = err_set(err, code_of(code), "%s", detail);
	json_decref(problem);
	return rc;
}

static int perform(struct client *client, struct answer *answer, struct err *err)
{
	CURLcode code = client->curl->easy_perform(client->easy);

	if (answer->body.overflow)
		return err_set(err, ERR_LIMIT, "the daemon's answer is larger than %d MiB", ANSWER_BYTES_MAX >> 20);
	if (code != CURLE_OK && !answer->stopped)
		return err_set(err, ERR_IO, "talk to the daemon: %s", client->curl->easy_strerror(code));
	return succeeded(client) ? 0 : read_problem(&answer->body, err);
}

/* `text`: of the body; NULL: there is none, and it is a GET. */
static int request(struct client *client, const char *path, const char *text, struct answer *answer, struct err *err)
{
	const struct libcurl *curl = client->curl;
	autofree char *url = mem_printf("http://localhost%s", path);
	struct curl_slist *header = curl->slist_append(NULL, "Content-Type: application/json");
	int rc;

	answer->client = client;
	buf_init(&answer->body, ANSWER_BYTES_MAX);
	curl->easy_reset(client->easy);
	curl->easy_setopt(client->easy, CURLOPT_UNIX_SOCKET_PATH, client->path);
	curl->easy_setopt(client->easy, CURLOPT_URL, url);
	curl->easy_setopt(client->easy, CURLOPT_PATH_AS_IS, 1L);
	curl->easy_setopt(client->easy, CURLOPT_PROXY, "");
	curl->easy_setopt(client->easy, CURLOPT_NOSIGNAL, 1L);
	curl->easy_setopt(client->easy, CURLOPT_USERAGENT, "stoker");
	curl->easy_setopt(client->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	if (answer->taker == NULL)
		curl->easy_setopt(client->easy, CURLOPT_TIMEOUT_MS, (long)client->wait_ms);
	curl->easy_setopt(client->easy, CURLOPT_WRITEFUNCTION, on_bytes);
	curl->easy_setopt(client->easy, CURLOPT_WRITEDATA, answer);
	if (text != NULL) {
		curl->easy_setopt(client->easy, CURLOPT_HTTPHEADER, header);
		curl->easy_setopt(client->easy, CURLOPT_POST, 1L);
		curl->easy_setopt(client->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(text));
		curl->easy_setopt(client->easy, CURLOPT_POSTFIELDS, text);
	}
	rc = perform(client, answer, err);
	curl->slist_free_all(header);
	return rc;
}

static int request_json(struct client *client, const char *path, const char *text, json_t **out, struct err *err)
{
	struct answer answer = { 0 };
	json_t *json = NULL;
	int rc = request(client, path, text, &answer, err);

	if (rc == 0)
		json = json_loadb(buf_text(&answer.body), answer.body.bytes, 0, NULL);
	if (rc == 0 && json == NULL)
		rc = err_set(err, ERR_IO, "the daemon's answer cannot be read: is it another version of stoker?");
	buf_fini(&answer.body);
	if (rc < 0)
		return rc;
	*out = json;
	return 0;
}

void client_limit(struct client *client, int64_t wait_ms)
{
	client->wait_ms = wait_ms;
}

int client_get(struct client *client, const char *path, json_t **out, struct err *err)
{
	return request_json(client, path, NULL, out, err);
}

int client_post(struct client *client, const char *path, const json_t *body, json_t **out, struct err *err)
{
	autofree char *text = body == NULL ? mem_strdup("{}") : json_dumps(body, JSON_COMPACT);

	if (text == NULL)
		return err_set(err, ERR_INVALID, "what is to be sent holds text that is no UTF-8");
	return request_json(client, path, text, out, err);
}

int client_fetch(struct client *client, const char *path, struct buf *out, struct err *err)
{
	struct answer answer = { 0 };
	int rc = request(client, path, NULL, &answer, err);

	if (rc == 0)
		buf_append(out, answer.body.data, answer.body.bytes);
	buf_fini(&answer.body);
	return rc;
}

int client_stream(struct client *client, const char *path, bool (*taker)(void *context, const void *bytes, size_t n),
		  void *context, struct err *err)
{
	struct answer answer = { .taker = taker, .context = context };
	int rc = request(client, path, NULL, &answer, err);

	buf_fini(&answer.body);
	return rc;
}

int client_try(const char *home, const char *path, const json_t *body, json_t **out, struct err *err)
{
	autoclient struct client *client = NULL;
	int rc = client_open(home, &client, err);

	if (rc == ERR_NOT_FOUND)
		return 0;
	if (rc == 0)
		rc = client_post(client, path, body, out, err);
	return rc < 0 ? rc : 1;
}

/* --- paths ------------------------------------------------------------------------------------------------ */

/* "." and ".." are no parts of a path: their dots are escaped too. */
const char *client_escape(struct arena *arena, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	autobuf struct buf out = { 0 };

	for (; *text != '\0'; text++) {
		if (strchr(plain, *text) != NULL || (*text == '.' && out.bytes > 0))
			buf_append_byte(&out, (uint8_t)*text);
		else
			buf_printf(&out, "%%%02X", (unsigned char)*text);
	}
	return arena_strdup(arena, buf_text(&out));
}

const char *client_run_path(struct arena *arena, const char *run, const char *rest)
{
	const char *slash = strrchr(run, '/');
	const char *dag = slash == NULL ? run : arena_strndup(arena, run, (size_t)(slash - run));

	return arena_printf(arena, "/api/v1/runs/%s/%s%s", client_escape(arena, dag),
			    client_escape(arena, slash == NULL ? "0" : slash + 1), rest);
}
