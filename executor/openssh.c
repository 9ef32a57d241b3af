#include "executor/openssh.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "executor/hostkey.h"
#include "executor/ssh_program.h"
#include "executor/ssh_resolve.h"

enum {
	READ_BYTES = 256 * 1024,
	COMPLAINT_BYTES = 4096,
	WORDS_MAX = 256,
	LAST_WORDS_MS = 300, /* for what its end leaves in the pipes */
	ALIVE_INTERVAL_S = 10,
	ALIVE_COUNT = 3,
};

/* --- its command line ----------------------------------------------------------------------------------- */

struct words {
	struct arena *arena;
	const char *words[WORDS_MAX];
	size_t count;
};

static void add(struct words *words, const char *word)
{
	if (words->count + 1 < WORDS_MAX)
		words->words[words->count++] = word;
}

static void add_option(struct words *words, const char *option)
{
	add(words, "-o");
	add(words, option);
}

/* `strict`: only known hosts, which are looked up where ssh or the target say. */
static void add_options(struct words *words, const struct ssh_target *target, bool strict)
{
	static const char *const always[] = {
		"BatchMode=yes",      "ConnectionAttempts=1", "ControlMaster=no",  "ControlPath=none",
		"ForwardAgent=no",    "ForwardX11=no",	      "RequestTTY=no",	   "PermitLocalCommand=no",
		"RemoteCommand=none", "UpdateHostKeys=no",    "AddKeysToAgent=no", "Tunnel=no",
		"LogLevel=INFO",      "EscapeChar=none",      "VisualHostKey=no",
	};

	add(words, "-T");
	if (target->config_file != NULL) {
		add(words, "-F");
		add(words, target->config_file);
	}
	for (size_t i = 0; i < COUNT_OF(always); i++)
		add_option(words, always[i]);
	add_option(words, arena_printf(words->arena, "ConnectTimeout=%d",
				       (int)((target->connect_timeout_ms + 999) / 1000)));
	add_option(words, arena_printf(words->arena, "ServerAliveInterval=%d", ALIVE_INTERVAL_S));
	add_option(words, arena_printf(words->arena, "ServerAliveCountMax=%d", ALIVE_COUNT));
	if (strict)
		add_option(words, "StrictHostKeyChecking=yes");
	if (strict && target->known_hosts != NULL) {
		add_option(words,
			   arena_printf(words->arena, "UserKnownHostsFile=\"%s\"", target->known_hosts));
		add_option(words, "GlobalKnownHostsFile=/dev/null");
	}
	for (size_t i = 0; i < target->identities_count; i++) {
		add(words, "-i");
		add(words, target->identities[i]);
	}
}

static void add_destination(struct words *words, const char *text)
{
	struct ssh_destination destination = { .host = text };

	/* One that makes no sense was refused when it was resolved. */
	ssh_destination_parse(words->arena, text, &destination, NULL);
	if (destination.user != NULL) {
		add(words, "-l");
		add(words, destination.user);
	}
	if (destination.port != 0) {
		add(words, "-p");
		add(words, arena_printf(words->arena, "%d", destination.port));
	}
	add(words, "--");
	add(words, destination.host);
}

/* For a shell, within an option in which ssh expands '%'. */
static void quote(struct buf *out, const char *word)
{
	buf_append_byte(out, '\'');
	for (; *word != '\0'; word++) {
		if (*word == '\'')
			buf_append_text(out, "'\\''");
		else if (*word == '%')
			buf_append_text(out, "%%");
		else
			buf_append_byte(out, (uint8_t)*word);
	}
	buf_append_byte(out, '\'');
}

/*
 * ssh's own ProxyJump tells its child nothing of the options it was given itself. So the last jump host is
 * told here what holds for it too: keys and known hosts; those before it are left to ssh.
 */
static void add_jump(struct words *words, const struct ssh_target *target, const char *jump)
{
	struct words inner = { .arena = words->arena };
	autobuf struct buf command = { 0 };
	const char *last = strrchr(jump, ',');

	add_options(&inner, target, true);
	if (last != NULL)
		add_option(&inner, arena_printf(words->arena, "ProxyJump=%.*s", (int)(last - jump), jump));
	add_destination(&inner, last == NULL ? jump : last + 1);
	buf_append_text(&command, "ProxyCommand=ssh -W '[%h]:%p'");
	for (size_t i = 0; i < inner.count; i++) {
		buf_append_byte(&command, ' ');
		quote(&command, inner.words[i]);
	}
	add_option(words, arena_strdup(words->arena, buf_text(&command)));
}

static void add_way(struct words *words, const struct ssh_target *target, const char *jump)
{
	if (jump != NULL)
		add_jump(words, target, jump);
	else if (target->jump != NULL)
		add_option(words, "ProxyJump=none");
	if (target->identities_count > 0)
		add_option(words, "IdentitiesOnly=yes");
}

/*
 * After all other options, of which the first on a matter counts; but of -F the last. An `identity` is to be
 * the only key, and ssh has no word that takes the keys of its configuration away: so it is given the rest.
 */
static void add_settled(struct words *words, const char *settled)
{
	add(words, "-F");
	add(words, "none");
	while (*settled != '\0') {
		size_t n = strcspn(settled, "\n");
		char *option = arena_strndup(words->arena, settled, n);

		option[strcspn(option, " ")] = '=';
		add_option(words, option);
		settled += n + 1;
	}
}

static bool is_gcm(const char *cipher, size_t n)
{
	static const char end[] = "-gcm@openssh.com";

	return n >= strlen(end) && memcmp(cipher + n - strlen(end), end, strlen(end)) == 0;
}

/* Those that are, or those that are not. */
static void put_ciphers(struct buf *out, const char *ciphers, bool gcm)
{
	size_t n;

	for (; *ciphers != '\0'; ciphers += n + (ciphers[n] == ',')) {
		n = strcspn(ciphers, ",");
		if (is_gcm(ciphers, n) == gcm)
			buf_printf(out, "%s%.*s", out->bytes > 0 ? "," : "", (int)n, ciphers);
	}
}

const char *openssh_order(struct arena *arena, const char *ciphers)
{
	autobuf struct buf order = { 0 };

	if (strncmp(ciphers, "chacha20-", strlen("chacha20-")) != 0)
		return NULL;
	put_ciphers(&order, ciphers, true);
	if (order.bytes == 0)
		return NULL;
	put_ciphers(&order, ciphers, false);
	return arena_strdup(arena, buf_text(&order));
}

static bool has_aes_instructions(void)
{
#if defined(__x86_64__)
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_AES) != 0;
#elif defined(__aarch64__)
	return (getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#else
	return false;
#endif
}

static void add_ciphers(struct words *words, const char *ciphers)
{
	const char *order = has_aes_instructions() ? openssh_order(words->arena, ciphers) : NULL;

	if (order != NULL)
		add_option(words, arena_printf(words->arena, "Ciphers=%s", order));
}

/* --- what it says --------------------------------------------------------------------------------------- */

/* In the order in which they are looked for: what a jump host's ssh says comes before what follows from it. */
static const struct saying {
	const char *said;
	enum fault fault;
	const char *means; /* of destination and worker */
	const char *line;  /* a line with this is quoted; NULL: the one with `said` */
} sayings[] = {
	{ "REVOKED HOST KEY", FAULT_HOSTKEY_REVOKED, "the key of %s is marked as revoked", "revoked" },
	{ "is marked as revoked", FAULT_HOSTKEY_REVOKED, "the key of %s is marked as revoked", NULL },
	{ "IDENTIFICATION HAS CHANGED", FAULT_HOSTKEY_CHANGED,
	  "the key of %s has changed: either it was installed anew, or somebody else answers in its place. "
	  "When "
	  "you are sure: stoker workers trust %s --replace",
	  "Offending" },
	{ "Host key verification failed", FAULT_HOSTKEY_UNKNOWN,
	  "the key of %s, or of its jump host, is not known; see it, and compare it with the machine's: "
	  "stoker "
	  "workers trust %s",
	  "host key is known" },
	{ "Bad configuration option", FAULT_CONFIG, "the ssh configuration is not understood by ssh" },
	{ "bad configuration options", FAULT_CONFIG, "the ssh configuration is not understood by ssh" },
	{ "Bad owner or permissions on", FAULT_CONFIG, "the ssh configuration is not accepted by ssh" },
	{ "Can't open user config file", FAULT_CONFIG, "the ssh configuration is not there" },
	{ "Could not resolve hostname", FAULT_NAME, "the name of %s cannot be looked up" },
	{ "Permission denied (", FAULT_AUTH, "%s lets us in with none of our keys" },
	{ "Too many authentication failures", FAULT_AUTH,
	  "%s hung up after too many keys (MaxAuthTries): name the right one in 'identity'" },
	{ "Connection refused", FAULT_REFUSED,
	  "%s refuses connections: is sshd running there, and on that port?" },
	{ "stdio forwarding failed", FAULT_UNREACHABLE, "the jump host cannot connect to %s", "open failed" },
	{ "open failed", FAULT_SHELL,
	  "%s lets us in but runs no command for us (MaxSessions, or no login shell?)" },
	{ "No route to host", FAULT_UNREACHABLE, "there is no way to %s" },
	{ "Network is unreachable", FAULT_UNREACHABLE, "there is no way to %s" },
	{ "timed out during banner exchange", FAULT_PROTOCOL,
	  "%s takes the connection but does not say that it is an ssh server: is it one, and not frozen?" },
	{ "Connection timed out", FAULT_UNREACHABLE,
	  "%s does not answer: is the machine up, or does a firewall drop what is sent there?" },
	{ "Operation timed out", FAULT_UNREACHABLE,
	  "%s does not answer: is the machine up, or does a firewall drop what is sent there?" },
	{ "Unable to negotiate", FAULT_PROTOCOL, "ssh and %s have no algorithm in common" },
	{ "Protocol major versions differ", FAULT_PROTOCOL, "what listens there is no ssh server of today" },
	{ "invalid format", FAULT_PROTOCOL, "what listens there is no ssh server" },
	{ "invalid characters", FAULT_PROTOCOL, "what listens there is no ssh server" },
	{ "banner line too long", FAULT_PROTOCOL, "what listens there is no ssh server" },
	{ "exchange_identification", FAULT_PROTOCOL,
	  "%s takes the connection and hangs up at once: no ssh server, or one that has too many at the time "
	  "(MaxStartups) or bars this address" },
	{ "Connection closed by", FAULT_PROTOCOL, "%s hung up before we were let in" },
	{ "Connection reset by", FAULT_PROTOCOL, "%s hung up before we were let in" },
};

/* The line that holds `part`, without control characters; nothing when there is none. */
static void put_line(struct buf *out, const char *before, const char *text, const char *part)
{
	const char *at = strstr(text, part);

	if (at == NULL)
		return;
	while (at > text && at[-1] != '\n')
		at--;
	at += strncmp(at, "ssh: ", 5) == 0 ? 5 : strspn(at, " ");
	buf_append_text(out, before);
	for (; *at != '\0' && *at != '\n'; at++)
		if ((unsigned char)*at >= ' ' && *at != 127)
			buf_append_byte(out, (uint8_t)*at);
}

bool openssh_judge(const struct ssh_target *target, const char *complaint, enum fault *fault_out,
		   struct buf *why_out)
{
	for (size_t i = 0; i < COUNT_OF(sayings); i++) {
		const struct saying *saying = &sayings[i];

		if (strstr(complaint, saying->said) == NULL)
			continue;
		*fault_out = saying->fault;
		buf_printf(why_out, saying->means, target->destination, target->worker);
		if (saying->fault == FAULT_HOSTKEY_CHANGED) /* which stands on a line of its own */
			put_line(why_out, "; it shows ", complaint, "SHA256:");
		buf_append_text(why_out, " (ssh: ");
		put_line(why_out, "", complaint,
			 saying->line != NULL && strstr(complaint, saying->line) != NULL ? saying->line
											 : saying->said);
		buf_append_text(why_out, ")");
		return true;
	}
	return false;
}

/* --- the child ------------------------------------------------------------------------------------------ */

struct openssh {
	struct stream stream; /* first */
	uv_process_t process;
	uv_pipe_t in, out, err;
	uv_timer_t last_words;
	uv_write_t write;
	uv_shutdown_t shutdown;
	struct buf queue; /* waits for the write in flight */
	struct buf flying;
	bool write_busy;
	bool finishing; /* an end of file is to follow what is queued */
	bool exited;
	bool out_ended, err_ended;
	bool patient; /* the time for its last words is over, and what lies in the pipes is read once more */
	bool told;    /* on_end */
	bool closing; /* nothing is handed on any more */
	int handles;  /* not closed yet */
	char why[200];
	uint8_t *buffer; /* READ_BYTES, lent to one read at a time */
};

static struct openssh *openssh_of(struct stream *stream)
{
	return (struct openssh *)(void *)stream;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct openssh *openssh = handle->data;

	if (--openssh->handles > 0)
		return;
	openssh->stream.handler->on_closed(openssh->stream.context);
	buf_fini(&openssh->queue);
	buf_fini(&openssh->flying);
	free(openssh->buffer);
	free(openssh);
}

/* The child must have been reaped, or it would stay a zombie. */
static void close_handles(struct openssh *openssh)
{
	uv_close((uv_handle_t *)&openssh->process, on_handle_closed);
	uv_close((uv_handle_t *)&openssh->in, on_handle_closed);
	uv_close((uv_handle_t *)&openssh->out, on_handle_closed);
	uv_close((uv_handle_t *)&openssh->err, on_handle_closed);
	uv_close((uv_handle_t *)&openssh->last_words, on_handle_closed);
}

static void tell_end(struct openssh *openssh)
{
	if (openssh->told || openssh->closing)
		return;
	openssh->told = true;
	openssh->stream.handler->on_end(openssh->stream.context, openssh->why);
}

/* On a busy machine all of that time may have passed before the pipes were looked at. */
static void on_last_words_over(uv_timer_t *timer)
{
	struct openssh *openssh = timer->data;

	if (openssh->patient)
		tell_end(openssh);
	else
		uv_timer_start(timer, on_last_words_over, 1, 0);
	openssh->patient = true;
}

/* It ended, and all that it said was heard. */
static void check_end(struct openssh *openssh)
{
	if (openssh->exited && openssh->out_ended && openssh->err_ended)
		tell_end(openssh);
}

static void on_child_exit(uv_process_t *process, int64_t status, int signal)
{
	struct openssh *openssh = process->data;

	openssh->exited = true;
	if (signal != 0)
		snprintf(openssh->why, sizeof openssh->why, "ssh was killed by signal %d", signal);
	else if (status == 255)
		snprintf(openssh->why, sizeof openssh->why, "the connection broke (ssh ended with code 255)");
	else
		snprintf(openssh->why, sizeof openssh->why, "the agent ended with code %d", (int)status);
	if (openssh->closing) {
		close_handles(openssh);
		return;
	}
	/* What it left behind may hold its pipes open. */
	uv_timer_start(&openssh->last_words, on_last_words_over, LAST_WORDS_MS, 0);
	check_end(openssh);
}

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct openssh *openssh = handle->data;

	(void)suggested;
	*buf = uv_buf_init((char *)openssh->buffer, READ_BYTES);
}

static void on_out(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct openssh *openssh = stream->data;

	if (openssh->closing || openssh->told)
		return;
	if (n > 0) {
		openssh->stream.handler->on_bytes(openssh->stream.context, (const uint8_t *)buf->base,
						  (size_t)n);
	} else if (n < 0) {
		openssh->out_ended = true;
		uv_read_stop(stream);
		check_end(openssh);
	}
}

static void on_err(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct openssh *openssh = stream->data;

	if (openssh->closing || openssh->told)
		return;
	if (n > 0) {
		openssh->stream.handler->on_complaint(openssh->stream.context, buf->base, (size_t)n);
	} else if (n < 0) {
		openssh->err_ended = true;
		uv_read_stop(stream);
		check_end(openssh);
	}
}

static void flush(struct openssh *openssh);

static void on_written(uv_write_t *write, int status)
{
	struct openssh *openssh = write->data;

	openssh->write_busy = false;
	buf_clear(&openssh->flying);
	/* When it takes no more, its end says why. */
	if (openssh->closing || openssh->told)
		return;
	if (status < 0) {
		buf_clear(&openssh->queue);
		return;
	}
	flush(openssh);
	openssh->stream.handler->on_drained(openssh->stream.context);
}

static void flush(struct openssh *openssh)
{
	uv_stream_t *in = (uv_stream_t *)&openssh->in;
	struct buf swap = openssh->flying;
	uv_buf_t buf;

	if (openssh->write_busy || openssh->exited)
		return;
	if (openssh->queue.bytes == 0) {
		if (openssh->finishing && uv_is_writable(in))
			uv_shutdown(&openssh->shutdown, in, NULL);
		return;
	}
	openssh->flying = openssh->queue;
	openssh->queue = swap;
	buf = uv_buf_init((char *)openssh->flying.data, (unsigned)openssh->flying.bytes);
	openssh->write_busy = uv_write(&openssh->write, in, &buf, 1, on_written) == 0;
	if (!openssh->write_busy)
		buf_clear(&openssh->flying);
}

static void openssh_send(struct stream *stream, const uint8_t *bytes, size_t n)
{
	struct openssh *openssh = openssh_of(stream);

	if (openssh->closing || openssh->exited || openssh->finishing)
		return;
	buf_append(&openssh->queue, bytes, n);
	flush(openssh);
}

static size_t openssh_queued_bytes(struct stream *stream)
{
	const struct openssh *openssh = openssh_of(stream);

	return openssh->queue.bytes + openssh->flying.bytes;
}

static void openssh_finish(struct stream *stream)
{
	struct openssh *openssh = openssh_of(stream);

	if (openssh->closing || openssh->finishing)
		return;
	openssh->finishing = true;
	flush(openssh);
}

/* What it started (a ProxyCommand, say) is in its session, and goes with it. */
static void openssh_close(struct stream *stream)
{
	struct openssh *openssh = openssh_of(stream);

	if (openssh->closing)
		return;
	openssh->closing = true;
	if (openssh->exited)
		close_handles(openssh);
	else if (kill(-openssh->process.pid, SIGKILL) < 0)
		uv_process_kill(&openssh->process, SIGKILL); /* it has no session of its own yet */
}

static const struct stream_ops openssh_ops = {
	.send = openssh_send,
	.queued_bytes = openssh_queued_bytes,
	.finish = openssh_finish,
	.close = openssh_close,
};

static int spawn(struct openssh *openssh, uv_loop_t *loop, const char **words)
{
	uv_stdio_container_t stdio[3] = {
		{ .flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_READABLE_PIPE),
		  .data.stream = (uv_stream_t *)&openssh->in },
		{ .flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE),
		  .data.stream = (uv_stream_t *)&openssh->out },
		{ .flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE),
		  .data.stream = (uv_stream_t *)&openssh->err },
	};
	uv_process_options_t options = {
		.exit_cb = on_child_exit,
		.file = words[0],
		.args = (char **)(void *)words,
		.flags = UV_PROCESS_DETACHED,
		.stdio = stdio,
		.stdio_count = 3,
	};

	return uv_spawn(loop, &openssh->process, &options);
}

struct stream *openssh_new(uv_loop_t *loop, const struct ssh_target *target, const struct openssh_way *way,
			   const char *command, const struct stream_handler *handler, void *context)
{
	struct openssh *openssh = mem_zalloc(sizeof *openssh);
	struct arena arena;
	struct words words = { .arena = &arena };
	int rc;

	arena_init(&arena);
	openssh->stream = (struct stream){ &openssh_ops, handler, context };
	openssh->buffer = mem_alloc(READ_BYTES);
	uv_pipe_init(loop, &openssh->in, 0);
	uv_pipe_init(loop, &openssh->out, 0);
	uv_pipe_init(loop, &openssh->err, 0);
	uv_timer_init(loop, &openssh->last_words);
	openssh->process.data = openssh->in.data = openssh->out.data = openssh->err.data =
		openssh->last_words.data = openssh->write.data = openssh;
	openssh->handles = 5;
	add(&words, "ssh");
	add_options(&words, target, true);
	add_way(&words, target, way->jump);
	if (way->ciphers != NULL)
		add_ciphers(&words, way->ciphers);
	if (way->settled != NULL)
		add_settled(&words, way->settled);
	add_destination(&words, target->destination);
	add(&words, command);
	add(&words, NULL);
	rc = spawn(openssh, loop, words.words);
	if (rc < 0) {
		openssh->exited = true;
		snprintf(openssh->why, sizeof openssh->why, "start ssh: %s", uv_strerror(rc));
		uv_timer_start(&openssh->last_words, on_last_words_over, 0, 0);
	} else {
		uv_read_start((uv_stream_t *)&openssh->out, lend_buffer, on_out);
		uv_read_start((uv_stream_t *)&openssh->err, lend_buffer, on_err);
	}
	arena_fini(&arena);
	return &openssh->stream;
}

/* --- who is it? ----------------------------------------------------------------------------------------- */

static int run_meeting(const struct ssh_target *target, const char *jump, const char *types, const char *file,
		       struct buf *complaint, struct err *err)
{
	autobuf struct buf out = { .limit_bytes = 1 };
	int64_t limit_ms = target->connect_timeout_ms + SSH_LOGIN_MS;
	struct ssh_program_end end;
	struct arena arena;
	struct words words = { .arena = &arena };
	int rc;

	arena_init(&arena);
	add(&words, "ssh");
	/* Before what the target says of known hosts: the first word on something counts. */
	add_option(&words, arena_printf(&arena, "UserKnownHostsFile=\"%s\"", file));
	add_option(&words, "GlobalKnownHostsFile=/dev/null");
	add_option(&words, "StrictHostKeyChecking=accept-new");
	add_option(&words, "HashKnownHosts=no");
	add_option(&words, "PreferredAuthentications=none");
	if (types != NULL)
		add_option(&words, arena_printf(&arena, "HostKeyAlgorithms=%s", types));
	add_options(&words, target, false);
	add_way(&words, target, jump);
	add_destination(&words, target->destination);
	add(&words, "true");
	add(&words, NULL);
	rc = ssh_program_run(words.words, limit_ms, -1, &out, complaint, &end, err);
	if (rc == 0 && end.too_late)
		rc = err_set(err, ERR_LIMIT, "%s does not say who it is within %d s", target->destination,
			     (int)(limit_ms / 1000));
	arena_fini(&arena);
	return rc;
}

int openssh_meet(const struct ssh_target *target, const char *jump, const char *types, struct buf *key_out,
		 enum fault *fault_out, struct err *err)
{
	autobuf struct buf complaint = { .limit_bytes = COMPLAINT_BYTES }, why = { 0 };
	char folder[] = "/tmp/stoker-meet-XXXXXX", file[sizeof folder + 16];
	int rc;

	*fault_out = FAULT_BROKEN;
	if (mkdtemp(folder) == NULL)
		return err_errno(err, "make a folder %s", folder);
	snprintf(file, sizeof file, "%s/known", folder);
	rc = run_meeting(target, jump, types, file, &complaint, err);
	if (rc == 0)
		rc = hostkey_first(file, key_out, err);
	if (rc == ERR_NOT_FOUND && strstr(buf_text(&complaint), "no matching host key type") != NULL)
		rc = err_set(err, ERR_VERSION, "%s has no key of the types asked for", target->destination);
	else if (rc == ERR_NOT_FOUND && openssh_judge(target, buf_text(&complaint), fault_out, &why))
		err_set(err, ERR_NOT_FOUND, "%s", buf_text(&why));
	else if (rc == ERR_NOT_FOUND)
		err_set(err, ERR_NOT_FOUND, "%s shows no key: %s", target->destination, buf_text(&complaint));
	else if (rc == ERR_LIMIT)
		*fault_out = FAULT_UNREACHABLE;
	unlink(file);
	rmdir(folder);
	return rc;
}
