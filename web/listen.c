#include "web/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/scope.h"

enum { BACKLOG = 512, PATH_BYTES = 4096 };

/* --- the control socket ----------------------------------------------------------------------------------- */

/* Where a socket lies: its folder, open, and its name in there. */
struct place {
	int folder;
	const char *name;
};

static int open_folder(const char *path, struct place *out, struct err *err)
{
	char folder[PATH_BYTES];
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path || slash[1] == '\0' || (size_t)(slash - path) >= sizeof folder)
		return err_set(err, ERR_INVALID, "control socket %s: an absolute path is needed", path);
	memcpy(folder, path, (size_t)(slash - path));
	folder[slash - path] = '\0';
	out->name = slash + 1;
	out->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return out->folder < 0 ? err_errno(err, "open the folder of the control socket, %s", folder) : 0;
}

/* By way of its folder's descriptor, a name of any folder is short. */
static int address_of(const struct place *place, const char *name, struct sockaddr_un *out, struct err *err)
{
	int n;

	memset(out, 0, sizeof *out);
	out->sun_family = AF_UNIX;
	n = snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%s", place->folder, name);
	if (n < 0 || (size_t)n >= sizeof out->sun_path)
		return err_set(err, ERR_INVALID, "control socket: the name %s is too long", name);
	return 0;
}

static int check_nobody_answers(const struct place *place, const char *path, struct err *err)
{
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	if (fd < 0)
		return err_errno(err, "make a socket");
	if (address_of(place, place->name, &address, err) < 0)
		return err->code;
	/* EAGAIN: its backlog is full, so it is there. */
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN)
		return err_set(err, ERR_BUSY, "another stoker answers on %s", path);
	if (errno != ENOENT && errno != ECONNREFUSED)
		return err_errno(err, "look who answers on %s", path);
	return 0;
}

static int open_to(const struct place *place, const char *name, gid_t group, struct err *err)
{
	bool shared = group != (gid_t)-1;

	if (shared && fchownat(place->folder, name, (uid_t)-1, group, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "give the control socket to the group %ld (its owner must be a member)",
				 (long)group);
	if (fchmodat(place->folder, name, shared ? 0660 : 0600, 0) < 0)
		return err_errno(err, "set the mode of the control socket");
	return 0;
}

static int bind_and_move(const struct place *place, int fd, const char *path, gid_t group, struct err *err)
{
	char name[64];
	struct sockaddr_un address;
	mode_t before;
	int rc;

	snprintf(name, sizeof name, ".control.%ld", (long)getpid());
	if (address_of(place, name, &address, err) < 0)
		return err->code;
	unlinkat(place->folder, name, 0);
	before = umask(0177);
	rc = bind(fd, (struct sockaddr *)&address, sizeof address);
	umask(before);
	if (rc < 0)
		return err_errno(err, "bind the control socket %s", path);
	if (open_to(place, name, group, err) == 0) {
		if (listen(fd, BACKLOG) < 0)
			err_errno(err, "listen on %s", path);
		else if (renameat(place->folder, name, place->folder, place->name) < 0)
			err_errno(err, "put the control socket at %s", path);
		else
			return 0;
	}
	unlinkat(place->folder, name, 0);
	return err->code;
}

int listen_control(const char *path, gid_t group, int *fd_out, struct err *err)
{
	autoclose int fd = -1, folder = -1;
	struct place place = { .folder = -1 };
	int rc = open_folder(path, &place, err);

	folder = place.folder;
	if (rc == 0)
		rc = check_nobody_answers(&place, path, err);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, "make a socket");
	if (bind_and_move(&place, fd, path, group, err) < 0)
		return err->code;
	*fd_out = take_fd(fd);
	return 0;
}

/* --- addresses -------------------------------------------------------------------------------------------- */

static bool read_port(const char *text, int *out)
{
	int port = 0;

	if (*text == '\0' || strlen(text) > 5)
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		port = port * 10 + (*text - '0');
	}
	*out = port;
	return port <= 65535;
}

static void set_four(struct listen_address *out, struct in_addr address)
{
	struct sockaddr_in *four = (struct sockaddr_in *)&out->address;

	four->sin_family = AF_INET;
	four->sin_port = htons((uint16_t)out->port);
	four->sin_addr = address;
	out->bytes = sizeof *four;
	out->loopback = (ntohl(address.s_addr) >> 24) == 127;
}

static void set_six(struct listen_address *out, const struct in6_addr *address)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&out->address;

	six->sin6_family = AF_INET6;
	six->sin6_port = htons((uint16_t)out->port);
	six->sin6_addr = *address;
	out->bytes = sizeof *six;
	out->loopback = IN6_IS_ADDR_LOOPBACK(address);
}

int listen_parse(const char *text, struct listen_address *out, struct err *err)
{
	struct listen_address parsed = { 0 };
	const char *colon = strrchr(text, ':');
	size_t bytes = colon == NULL ? 0 : (size_t)(colon - text);
	bool brackets = bytes >= 2 && text[0] == '[' && text[bytes - 1] == ']';
	struct in_addr four;
	struct in6_addr six;

	if (brackets)
		bytes -= 2;
	if (bytes > 0 && bytes < sizeof parsed.host && read_port(colon + 1, &parsed.port)) {
		memcpy(parsed.host, text + brackets, bytes);
		if (strcmp(parsed.host, "localhost") == 0)
			snprintf(parsed.host, sizeof parsed.host, "127.0.0.1");
		if (!brackets && inet_pton(AF_INET, parsed.host, &four) == 1)
			set_four(&parsed, four);
		else if (brackets && inet_pton(AF_INET6, parsed.host, &six) == 1)
			set_six(&parsed, &six);
	}
	if (parsed.bytes == 0)
		return err_set(err, ERR_INVALID,
			       "'%.80s' is no address to listen on; as in 127.0.0.1:8765 or [::1]:8765", text);
	*out = parsed;
	return 0;
}

int listen_tcp(const struct listen_address *address, int *fd_out, int *port_out, struct err *err)
{
	bool six = address->address.ss_family == AF_INET6;
	autoclose int fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;
	struct sockaddr_storage bound;
	socklen_t bytes = sizeof bound;

	if (fd < 0)
		return err_errno(err, "make a socket for %s", address->host);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (six)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(fd, (const struct sockaddr *)&address->address, address->bytes) < 0 || listen(fd, BACKLOG) < 0)
		return err_errno(err, "listen on %s%s%s:%d", six ? "[" : "", address->host, six ? "]" : "",
				 address->port);
	if (getsockname(fd, (struct sockaddr *)&bound, &bytes) < 0)
		return err_errno(err, "ask for the port of %s", address->host);
	*port_out = ntohs(six ? ((struct sockaddr_in6 *)&bound)->sin6_port : ((struct sockaddr_in *)&bound)->sin_port);
	*fd_out = take_fd(fd);
	return 0;
}
