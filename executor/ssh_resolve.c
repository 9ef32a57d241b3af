#include "executor/ssh_resolve.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/scope.h"
#include "executor/ssh_program.h"

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

/* --- asking ssh ----------------------------------------------------------------------------------------- */

/* Its answer, or why there is none. */
static int judge_answer(const struct ssh_program_end *end, struct buf *complaint, struct err *err)
{
	char *text = (char *)complaint->data;

	if (end->cancelled)
		return err_set(err, ERR_BUSY, "given up");
	if (end->too_late)
		return err_set(err, ERR_LIMIT,
			       "ssh -G did not answer in %d s: does 'Match exec' in the ssh configuration run"
			       " a command that hangs?",
			       SSH_RESOLVE_MS / 1000);
	if (WIFEXITED(end->status) && WEXITSTATUS(end->status) == 0)
		return 0;
	if (text != NULL)
		text[strcspn(text, "\r\n")] = '\0';
	return err_set(err, ERR_INVALID, "ssh -G refuses it: %.300s",
		       text == NULL || text[0] == '\0' ? "it says nothing" : text);
}

static int ask_ssh(struct arena *arena, const struct ssh_target *target,
		   const struct ssh_destination *destination, int cancel_fd, struct buf *out, struct err *err)
{
	autobuf struct buf complaint = { .limit_bytes = COMPLAINT_BYTES };
	struct ssh_program_end end;
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
	if (ssh_program_run(argv, SSH_RESOLVE_MS, cancel_fd, out, &complaint, &end, err) < 0)
		return err->code;
	return judge_answer(&end, &complaint, err);
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
	struct ssh_words known_hosts; /* the machine's, which come after the user's */
	const char *agent;
	bool has_agent;
	const char *proxy_command;
	struct buf settled;
};

/* What is settled without the keys: the way there, who is there, how to log in. */
static bool is_settled(const char *key)
{
	static const char *const keys[] = {
		"addressfamily",
		"bindaddress",
		"bindinterface",
		"casignaturealgorithms",
		"certificatefile",
		"ciphers",
		"compression",
		"globalknownhostsfile",
		"gssapiauthentication",
		"gssapidelegatecredentials",
		"gssapikeyexchange",
		"gssapikexalgorithms",
		"hostbasedacceptedalgorithms",
		"hostbasedauthentication",
		"hostkeyalgorithms",
		"hostkeyalias",
		"hostname",
		"identityagent",
		"kexalgorithms",
		"knownhostscommand",
		"macs",
		"pkcs11provider",
		"port",
		"preferredauthentications",
		"proxycommand",
		"proxyjump",
		"pubkeyacceptedalgorithms",
		"pubkeyacceptedkeytypes",
		"pubkeyauthentication",
		"rekeylimit",
		"requiredrsasize",
		"revokedhostkeys",
		"securitykeyprovider",
		"sendenv",
		"setenv",
		"user",
		"userknownhostsfile",
		"verifyhostkeydns",
	};

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

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
	if (is_settled(key))
		buf_printf(&raw->settled, "%s %s\n", key, value);
	if (strcmp(key, "hostname") == 0)
		host->host = value;
	else if (strcmp(key, "ciphers") == 0)
		host->ciphers = value;
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
	} else if (strcmp(key, "userknownhostsfile") == 0)
		add_words(arena, &host->known_hosts, value);
	else if (strcmp(key, "globalknownhostsfile") == 0)
		add_words(arena, &raw->known_hosts, value);
	else if (strcmp(key, "gssapiauthentication") == 0)
		host->gssapi = strcmp(value, "yes") == 0;
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
	host.settled = arena_strdup(arena, buf_text(&raw.settled));
	buf_fini(&raw.settled);
	if (host.host[0] == '\0' || host.user[0] == '\0')
		return err_set(err, ERR_INVALID, "ssh -G names no host or no user");
	for (size_t i = 0; i < raw.identities.count; i++)
		add_word(&host.identities, expand(arena, raw.identities.words[i], &host, &self));
	for (size_t i = 0; i < raw.known_hosts.count; i++)
		add_word(&host.known_hosts, raw.known_hosts.words[i]);
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
		   int cancel_fd, struct ssh_host *host_out, struct err *err)
{
	struct self self = find_self(arena);
	struct ssh_destination destination;
	autobuf struct buf answer = { 0 };
	const char *text;
	int rc = ssh_destination_parse(arena, destination_text, &destination, err);

	if (rc < 0)
		return rc;
	if (ssh_program_is_installed()) {
		rc = ask_ssh(arena, target, &destination, cancel_fd, &answer, err);
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
	}
	if (host_out->known_hosts.count > 0 && strcmp(host_out->known_hosts.words[0], "/dev/null") != 0)
		host_out->own_known_hosts = host_out->known_hosts.words[0];
	return 0;
}

int ssh_resolve(struct arena *arena, const struct ssh_target *target, int cancel_fd,
		struct ssh_host *host_out, struct err *err)
{
	struct ssh_host host;
	struct self self = find_self(arena);
	int rc = resolve(arena, target, target->destination, cancel_fd, &host, err);

	if (rc < 0)
		return rc;
	if (target->identities_count == 0 || !host.identities_named || host.identities.count == 0)
		host.settled = NULL;
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

int ssh_resolve_jump(struct arena *arena, const struct ssh_target *target, const char *jump, int cancel_fd,
		     struct ssh_host *host_out, struct err *err)
{
	struct ssh_host host;
	struct self self = find_self(arena);
	int rc = resolve(arena, target, jump, cancel_fd, &host, err);

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
