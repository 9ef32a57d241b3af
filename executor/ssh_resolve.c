#include "executor/ssh_resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scope.h"

extern char **environ;

enum { PORT_DEFAULT = 22, PASSWD_BYTES = 4096, COMPLAINT_BYTES = 512 };

/* Who we are, as ssh sees it: by the user database and not by $HOME. */
struct self {
	const char *home;
	const char *user;
};

/* --- a destination -------------------------------------------------------------------------------------- */

static int parse_port(const char *text, int *port_out)
{
	char *end;
	long port = strtol(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || port < 1 || port > 65535)
		return -1;
	*port_out = (int)port;
	return 0;
}

int ssh_destination_parse(struct arena *arena, const char *text, struct ssh_destination *out, struct err *err)
{
	struct ssh_destination destination = { .port = 0 };
	const char *whole = text, *at, *colon;

	if (strncmp(text, "ssh://", 6) == 0)
		text += 6;
	at = strrchr(text, '@');
	if (at != NULL) {
		destination.user = arena_strndup(arena, text, (size_t)(at - text));
		text = at + 1;
	}
	colon = strchr(text, ':');
	if (text[0] == '[') {
		const char *bracket = strchr(text, ']');

		if (bracket == NULL || (bracket[1] != ':' && bracket[1] != '\0'))
			return err_set(err, ERR_INVALID, "'%s': an address in brackets is [address]:port",
				       whole);
		destination.host = arena_strndup(arena, text + 1, (size_t)(bracket - text - 1));
		colon = bracket[1] == ':' ? bracket + 1 : NULL;
	} else if (colon != NULL && strchr(colon + 1, ':') != NULL) {
		destination.host = text; /* IPv6 */
		colon = NULL;
	} else {
		destination.host = colon == NULL ? text : arena_strndup(arena, text, (size_t)(colon - text));
	}
	destination.host = arena_strdup(arena, destination.host);
	if (colon != NULL && parse_port(colon + 1, &destination.port) < 0)
		return err_set(err, ERR_INVALID, "'%s': '%s' is no port (1 to 65535)", whole, colon + 1);
	if (destination.host[0] == '\0' || (destination.user != NULL && destination.user[0] == '\0'))
		return err_set(err, ERR_INVALID, "'%s' is not of the form [user@]host[:port]", whole);
	if (destination.host[0] == '-' || (destination.user != NULL && destination.user[0] == '-'))
		return err_set(err, ERR_INVALID, "'%s': neither host nor user begins with '-'", whole);
	for (at = whole; *at != '\0'; at++)
		if ((unsigned char)*at <= ' ' || *at == 127)
			return err_set(err, ERR_INVALID, "'%s': white space has no place in it", whole);
	*out = destination;
	return 0;
}

/* --- running ssh -G ------------------------------------------------------------------------------------- */

bool ssh_is_installed(void)
{
	const char *path = getenv("PATH");
	char file[1024];

	if (path == NULL)
		path = "/usr/bin:/bin";
	for (const char *end; path != NULL; path = end == NULL ? NULL : end + 1) {
		end = strchr(path, ':');
		snprintf(file, sizeof file, "%.*s/ssh",
			 (int)(end == NULL ? strlen(path) : (size_t)(end - path)), path);
		if (access(file, X_OK) == 0)
			return true;
	}
	return false;
}

/* A child in a session of its own (it asks nobody anything), with its output in two pipes. */
static int spawn_ssh(char **argv, const int out[2], const int complaint[2], pid_t *pid_out)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t signals;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	posix_spawn_file_actions_adddup2(&actions, complaint[1], 2);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes,
				 POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	sigemptyset(&signals);
	posix_spawnattr_setsigmask(&attributes, &signals);
	sigaddset(&signals, SIGPIPE);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	rc = posix_spawnp(pid_out, argv[0], &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

/* Appends what is there; false at the end of the pipe. */
static bool read_some(int fd, struct buf *out)
{
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof bytes);

	if (n > 0)
		buf_append(out, bytes, (size_t)n);
	return n > 0 || (n < 0 && errno == EINTR);
}

/* Until both pipes end: 0, or ERR_LIMIT. */
static int gather(int out_fd, int complaint_fd, struct buf *out, struct buf *complaint, struct err *err)
{
	struct pollfd fds[2] = { { .fd = out_fd, .events = POLLIN },
				 { .fd = complaint_fd, .events = POLLIN } };
	struct buf *bufs[2] = { out, complaint };
	int64_t until_ms = clock_mono_ms() + SSH_RESOLVE_MS;

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		int64_t left_ms = until_ms - clock_mono_ms();
		int ready = left_ms <= 0 ? 0 : poll(fds, 2, (int)left_ms);

		if (ready < 0 && errno != EINTR)
			return err_errno(err, "wait for ssh -G");
		if (ready == 0)
			return err_set(err, ERR_LIMIT,
				       "ssh -G did not answer in %d s: does 'Match exec' in the ssh "
				       "configuration run"
				       " a command that hangs?",
				       SSH_RESOLVE_MS / 1000);
		for (int i = 0; i < 2 && ready > 0; i++)
			if (fds[i].fd >= 0 && fds[i].revents != 0 && !read_some(fds[i].fd, bufs[i]))
				fds[i].fd = -1;
	}
	return 0;
}

static int run_ssh(char **argv, struct buf *out, struct buf *complaint, struct err *err)
{
	int out_pipe[2] = { -1, -1 }, complaint_pipe[2] = { -1, -1 };
	int rc = 0, status = 0;
	pid_t pid = -1;

	if (pipe2(out_pipe, O_CLOEXEC) < 0 || pipe2(complaint_pipe, O_CLOEXEC) < 0) {
		rc = err_errno(err, "make a pipe for ssh -G");
	} else {
		errno = spawn_ssh(argv, out_pipe, complaint_pipe, &pid);
		if (errno != 0)
			rc = err_errno(err, "run ssh -G");
	}
	for (int i = 0; i < 2; i++)
		if ((i == 0 ? out_pipe : complaint_pipe)[1] >= 0)
			close((i == 0 ? out_pipe : complaint_pipe)[1]);
	if (rc == 0)
		rc = gather(out_pipe[0], complaint_pipe[0], out, complaint, err);
	if (pid > 0) {
		if (rc < 0)
			kill(-pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	for (int i = 0; i < 2; i++)
		if ((i == 0 ? out_pipe : complaint_pipe)[0] >= 0)
			close((i == 0 ? out_pipe : complaint_pipe)[0]);
	if (rc == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
		char *text = (char *)complaint->data;

		if (text != NULL)
			text[strcspn(text, "\r\n")] = '\0';
		rc = err_set(err, ERR_INVALID, "ssh -G refuses it: %.300s",
			     text == NULL || text[0] == '\0' ? "it says nothing" : text);
	}
	return rc;
}

static int ask_ssh(struct arena *arena, const struct ssh_target *target,
		   const struct ssh_destination *destination, struct buf *out, struct err *err)
{
	autobuf struct buf complaint = { .limit_bytes = COMPLAINT_BYTES };
	const char *argv[12];
	size_t n = 0;

	argv[n++] = "ssh";
	argv[n++] = "-G";
	if (target->config_file != NULL) {
		argv[n++] = "-F";
		argv[n++] = target->config_file;
	}
	if (destination->user != NULL) {
		argv[n++] = "-l";
		argv[n++] = destination->user;
	}
	if (destination->port != 0) {
		argv[n++] = "-p";
		argv[n++] = arena_printf(arena, "%d", destination->port);
	}
	argv[n++] = "--";
	argv[n++] = destination->host;
	argv[n] = NULL;
	out->limit_bytes = SSH_ANSWER_BYTES_MAX;
	return run_ssh((char **)(void *)argv, out, &complaint, err);
}

/* --- its answer ----------------------------------------------------------------------------------------- */

static void add_word(struct ssh_words *words, const char *word)
{
	if (words->count < SSH_WORDS_MAX)
		words->words[words->count++] = word;
}

static void add_words(struct arena *arena, struct ssh_words *words, const char *text)
{
	while (*text != '\0') {
		size_t n = strcspn(text, " ");

		if (n > 0 && !(n == 4 && memcmp(text, "none", 4) == 0))
			add_word(words, arena_strndup(arena, text, n));
		text += n + strspn(text + n, " ");
	}
}

/* "~" and the tokens of IdentityFile: ssh_config(5), TOKENS. */
static const char *expand(struct arena *arena, const char *path, const struct ssh_host *host,
			  const struct self *self)
{
	autobuf struct buf out = { 0 };

	if (path[0] == '~' && (path[1] == '/' || path[1] == '\0')) {
		buf_append_text(&out, self->home);
		path++;
	}
	for (; *path != '\0'; path++) {
		if (*path != '%' || path[1] == '\0') {
			buf_append_byte(&out, (uint8_t)*path);
			continue;
		}
		switch (*++path) {
		case 'd':
			buf_append_text(&out, self->home);
			break;
		case 'h':
			buf_append_text(&out, host->host);
			break;
		case 'k':
			buf_append_text(&out, host->alias != NULL ? host->alias : host->host);
			break;
		case 'n':
			buf_append_text(&out, host->name);
			break;
		case 'p':
			buf_printf(&out, "%d", host->port);
			break;
		case 'r':
			buf_append_text(&out, host->user);
			break;
		case 'u':
			buf_append_text(&out, self->user);
			break;
		case '%':
			buf_append_byte(&out, '%');
			break;
		default:
			buf_append_byte(&out, '%');
			buf_append_byte(&out, (uint8_t)*path);
			break;
		}
	}
	return arena_strdup(arena, buf_text(&out));
}

static bool is_none(const char *value)
{
	return value[0] == '\0' || strcasecmp(value, "none") == 0;
}

/* What the answer says beside the fields of a host. */
struct raw {
	struct ssh_words identities;
	const char *agent;
	bool has_agent;
	const char *proxy_command;
};

static void take_line(struct arena *arena, struct ssh_host *host, struct raw *raw, const char *key,
		      const char *value)
{
	/* What asks for abilities that only openssh has. */
	static const struct {
		const char *key, *reason;
	} beyond[] = {
		{ "certificatefile", "CertificateFile" },
		{ "pkcs11provider", "PKCS11Provider" },
		{ "bindaddress", "BindAddress" },
		{ "bindinterface", "BindInterface" },
		{ "knownhostscommand", "KnownHostsCommand" },
		{ "revokedhostkeys", "RevokedHostKeys" },
	};

	for (size_t i = 0; i < COUNT_OF(beyond); i++)
		if (strcmp(key, beyond[i].key) == 0 && !is_none(value))
			host->openssh_reason = beyond[i].reason;
	if (strcmp(key, "hostname") == 0)
		host->host = value;
	else if (strcmp(key, "port") == 0)
		parse_port(value, &host->port);
	else if (strcmp(key, "user") == 0)
		host->user = value;
	else if (strcmp(key, "hostkeyalias") == 0 && !is_none(value))
		host->alias = value;
	else if (strcmp(key, "identityfile") == 0 && !is_none(value))
		add_word(&raw->identities, value);
	else if (strcmp(key, "identitiesonly") == 0)
		host->identities_only = strcmp(value, "yes") == 0;
	else if (strcmp(key, "identityagent") == 0) {
		raw->agent = value;
		raw->has_agent = true;
	} else if (strcmp(key, "userknownhostsfile") == 0) {
		size_t before = host->known_hosts.count;

		add_words(arena, &host->known_hosts, value);
		if (host->known_hosts.count > before)
			host->own_known_hosts = host->known_hosts.words[before];
	} else if (strcmp(key, "globalknownhostsfile") == 0)
		add_words(arena, &host->known_hosts, value);
	else if (strcmp(key, "proxyjump") == 0 && !is_none(value))
		host->jump = value;
	else if (strcmp(key, "proxycommand") == 0 && !is_none(value))
		raw->proxy_command = value;
	else if (strcmp(key, "addressfamily") == 0)
		host->address_family = strcmp(value, "inet") == 0    ? AF_INET
				       : strcmp(value, "inet6") == 0 ? AF_INET6
								     : AF_UNSPEC;
}

/* IdentityAgent: "none", "SSH_AUTH_SOCK", "$VARIABLE", or a path. */
static const char *agent_of(struct arena *arena, const struct raw *raw, const struct ssh_host *host,
			    const struct self *self)
{
	const char *value = raw->has_agent ? raw->agent : "SSH_AUTH_SOCK";

	if (strcasecmp(value, "none") == 0)
		return NULL;
	if (strcmp(value, "SSH_AUTH_SOCK") == 0)
		value = getenv("SSH_AUTH_SOCK");
	else if (value[0] == '$')
		value = getenv(value + 1);
	else
		value = expand(arena, value, host, self);
	return value == NULL || value[0] == '\0' ? NULL : arena_strdup(arena, value);
}

int ssh_resolve_answer(struct arena *arena, const char *answer, const struct ssh_destination *destination,
		       const char *home, const char *local_user, struct ssh_host *host_out, struct err *err)
{
	struct ssh_host host = { .name = destination->host, .host = destination->host, .port = PORT_DEFAULT };
	const struct self self = { home, local_user };
	struct raw raw = { .agent = NULL };

	host.user = local_user;
	while (*answer != '\0') {
		size_t n = strcspn(answer, "\n");
		char *line = arena_strndup(arena, answer, n);
		char *space = strchr(line, ' ');

		if (space != NULL) {
			*space = '\0';
			take_line(arena, &host, &raw, line, space + 1);
		}
		answer += n + (answer[n] == '\n');
	}
	if (host.host[0] == '\0' || host.user[0] == '\0')
		return err_set(err, ERR_INVALID, "ssh -G names no host or no user");
	for (size_t i = 0; i < raw.identities.count; i++)
		add_word(&host.identities, expand(arena, raw.identities.words[i], &host, &self));
	host.agent = agent_of(arena, &raw, &host, &self);
	if (raw.proxy_command != NULL && host.jump == NULL && host.openssh_reason == NULL)
		host.openssh_reason = "ProxyCommand";
	else if (host.jump != NULL && strchr(host.jump, ',') != NULL)
		host.openssh_reason = "several jump hosts";
	*host_out = host;
	return 0;
}

/* --- all of it ------------------------------------------------------------------------------------------ */

static struct self find_self(struct arena *arena)
{
	struct self self = { "/", "root" };
	char *buffer = arena_alloc(arena, PASSWD_BYTES);
	const char *home = getenv("HOME");
	struct passwd entry, *found = NULL;

	if (getpwuid_r(geteuid(), &entry, buffer, PASSWD_BYTES, &found) == 0 && found != NULL) {
		self.home = found->pw_dir;
		self.user = found->pw_name;
	} else if (home != NULL) {
		self.home = arena_strdup(arena, home);
	}
	return self;
}

/* With no ssh to ask: its defaults. */
static const char *default_answer(struct arena *arena, const struct ssh_destination *destination,
				  const struct self *self)
{
	return arena_printf(
		arena,
		"hostname %s\nport %d\nuser %s\n"
		"identityfile ~/.ssh/id_rsa\nidentityfile ~/.ssh/id_ecdsa\nidentityfile ~/.ssh/id_ed25519\n"
		"userknownhostsfile %s/.ssh/known_hosts %s/.ssh/known_hosts2\n"
		"globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2\n",
		destination->host, destination->port != 0 ? destination->port : PORT_DEFAULT,
		destination->user != NULL ? destination->user : self->user, self->home, self->home);
}

/* Default identities are many, and most are not there. */
static bool are_defaults(const struct ssh_words *identities)
{
	return identities->count > 1 && strstr(identities->words[0], "/.ssh/id_rsa") != NULL;
}

static int resolve(struct arena *arena, const struct ssh_target *target, const char *destination_text,
		   struct ssh_host *host_out, struct err *err)
{
	struct self self = find_self(arena);
	struct ssh_destination destination;
	autobuf struct buf answer = { 0 };
	const char *text;
	int rc = ssh_destination_parse(arena, destination_text, &destination, err);

	if (rc < 0)
		return rc;
	if (ssh_is_installed()) {
		rc = ask_ssh(arena, target, &destination, &answer, err);
		if (rc < 0)
			return rc;
		text = buf_text(&answer);
	} else {
		text = default_answer(arena, &destination, &self);
	}
	rc = ssh_resolve_answer(arena, text, &destination, self.home, self.user, host_out, err);
	if (rc < 0)
		return rc;
	host_out->identities_named = !are_defaults(&host_out->identities);
	if (target->known_hosts != NULL) {
		host_out->known_hosts.count = 0;
		add_word(&host_out->known_hosts, expand(arena, target->known_hosts, host_out, &self));
		host_out->own_known_hosts = host_out->known_hosts.words[0];
	}
	if (host_out->own_known_hosts != NULL && strcmp(host_out->own_known_hosts, "/dev/null") == 0)
		host_out->own_known_hosts = NULL;
	return 0;
}

int ssh_resolve(struct arena *arena, const struct ssh_target *target, struct ssh_host *host_out,
		struct err *err)
{
	struct ssh_host host;
	struct self self = find_self(arena);
	int rc = resolve(arena, target, target->destination, &host, err);

	if (rc < 0)
		return rc;
	if (target->identities_count > 0) {
		host.identities.count = 0;
		host.identities_only = host.identities_named = true;
		for (size_t i = 0; i < target->identities_count; i++)
			add_word(&host.identities, expand(arena, target->identities[i], &host, &self));
	}
	if (target->jump != NULL) {
		host.jump = is_none(target->jump) ? NULL : target->jump;
		if (host.openssh_reason != NULL && strcmp(host.openssh_reason, "ProxyCommand") == 0)
			host.openssh_reason = NULL;
		if (host.jump != NULL && strchr(host.jump, ',') != NULL)
			host.openssh_reason = "several jump hosts";
	}
	*host_out = host;
	return 0;
}

int ssh_resolve_jump(struct arena *arena, const struct ssh_target *target, const char *jump,
		     struct ssh_host *host_out, struct err *err)
{
	struct ssh_host host;
	struct self self = find_self(arena);
	int rc = resolve(arena, target, jump, &host, err);

	if (rc < 0)
		return rc;
	/* Its own keys first; then those that were named for the worker behind it. */
	for (size_t i = 0; i < target->identities_count; i++)
		add_word(&host.identities, expand(arena, target->identities[i], &host, &self));
	if (host.jump != NULL)
		host.openssh_reason = "several jump hosts";
	*host_out = host;
	return 0;
}
