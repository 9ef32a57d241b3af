#include "scheduler/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/pack.h"
#include "common/scope.h"
#include "common/unpack.h"
#include "dag/duration.h"
#include "scheduler/listing.h"
#include "scheduler/paths.h"

enum {
	LIST_BYTES_MAX = 64 * 1024 * 1024,
	PIECE_BYTES = 256 * 1024,
	TRIES_MAX = 3,
	LARGEST_MAX = 5,
	NOTES_MAX = 5,
	COMMAND_NOT_FOUND = 127,
};

struct snapshot {
	const char *folder;
	const char *home;
	struct arena *arena;
	struct source *out;
	struct pack pack;
	struct err *err;
	const char *own; /* the state folder as a path below `folder`; NULL: it is elsewhere */
};

__attribute__((format(printf, 2, 3))) static void note(struct snapshot *s, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = mem_vprintf(format, args);
	va_end(args);
	s->out->notes[s->out->notes_count++] = arena_strdup(s->arena, text);
	free(text);
}

/* --- what git says -------------------------------------------------------------------------------------- */

static bool is_in_work_tree(const char *folder)
{
	autofree char *at = mem_strdup(folder);

	for (;;) {
		autofree char *git = mem_printf("%s/.git", at);
		char *slash = strrchr(at, '/');

		if (access(git, F_OK) == 0)
			return true;
		if (slash == NULL)
			return false;
		*slash = '\0';
	}
}

static _Noreturn void become_git(const char *folder, int out, int complaints)
{
	/* stoker may have been started by a hook of git's, for another repository. */
	static const char *const foreign[] = { "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX" };

	for (size_t i = 0; i < COUNT_OF(foreign); i++)
		unsetenv(foreign[i]);
	setenv("LC_ALL", "C", 1);
	if (chdir(folder) == 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(complaints, STDERR_FILENO) >= 0)
		execlp("git", "git", "ls-files", "-co", "--exclude-standard", "-z", (char *)NULL);
	_exit(COMMAND_NOT_FOUND);
}

static int read_all(int fd, struct buf *out)
{
	uint8_t piece[16 * 1024];
	ssize_t n;

	while ((n = read(fd, piece, sizeof piece)) != 0) {
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			buf_append(out, piece, (size_t)n);
	}
	return 0;
}

/* Its exit status, or an error. */
static int run_git(struct snapshot *s, struct buf *list, char complaint[200])
{
	autofclose FILE *complaints = tmpfile();
	int ends[2], status = 0;
	pid_t pid;

	if (complaints == NULL || pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(s->err, "run git");
	pid = fork();
	if (pid == 0)
		become_git(s->folder, ends[1], fileno(complaints));
	close(ends[1]);
	if (pid < 0 || read_all(ends[0], list) < 0) {
		close(ends[0]);
		return err_errno(s->err, "run git");
	}
	close(ends[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	rewind(complaints);
	if (fgets(complaint, 200, complaints) == NULL)
		complaint[0] = '\0';
	complaint[strcspn(complaint, "\n")] = '\0';
	return WIFEXITED(status) ? WEXITSTATUS(status) : COMMAND_NOT_FOUND;
}

static bool skip(void *context, const char *path)
{
	const struct snapshot *s = context;
	const char *slash = strrchr(path, '/');

	if (strcmp(slash == NULL ? path : slash + 1, ".git") == 0)
		return true;
	return s->own != NULL && strncmp(path, s->own, strlen(s->own)) == 0 &&
	       (path[strlen(s->own)] == '\0' || path[strlen(s->own)] == '/');
}

static int add_listed(struct snapshot *s, const struct buf *list)
{
	const char *stop = buf_text(list) + list->bytes;

	for (const char *at = buf_text(list); at < stop; at += strlen(at) + 1) {
		size_t n = strlen(at);
		char *path = arena_strndup(s->arena, at, n > 0 && at[n - 1] == '/' ? n - 1 : n);
		struct stat st;

		/* A tracked file that was removed is not there, and that is what the snapshot says too. */
		if (skip(s, path) || (fstatat(s->pack.dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT))
			continue;
		if (pack_add(&s->pack, path, false, s->err) < 0)
			return s->err->code;
	}
	return 0;
}

/* 1: git named what is to go; 0: it has nothing to say here. */
static int add_by_git(struct snapshot *s)
{
	autobuf struct buf list = { .limit_bytes = LIST_BYTES_MAX };
	char complaint[200];
	int status;

	if (!is_in_work_tree(s->folder))
		return 0;
	status = run_git(s, &list, complaint);
	if (status < 0)
		return status;
	if (status == COMMAND_NOT_FOUND) {
		note(s, "git is not installed: all of %s is taken, also what .gitignore names", s->folder);
		return 0;
	}
	if (status != 0)
		return err_set(s->err, ERR_IO, "git ls-files ended with %d: %s", status, complaint);
	if (list.overflow)
		return err_set(s->err, ERR_LIMIT, "git lists too many files");
	if (list.bytes == 0)
		return 0; /* The folder itself is one that git ignores. */
	return add_listed(s, &list) < 0 ? s->err->code : 1;
}

/* --- how large it may be -------------------------------------------------------------------------------- */

struct share {
	const char *name;
	size_t name_bytes;
	uint64_t bytes;
	bool is_folder;
};

/* As in a parcel, but all of a folder together: "a", "a/c", "a-b". */
static int by_folder(const void *a, const void *b)
{
	const unsigned char *left = (const void *)((const struct parcel_entry *)a)->path;
	const unsigned char *right = (const void *)((const struct parcel_entry *)b)->path;

	while (*left != '\0' && *left == *right)
		left++, right++;
	return (*left == '/' ? 1 : *left) - (*right == '/' ? 1 : *right);
}

static int largest_first(const void *a, const void *b)
{
	uint64_t left = ((const struct share *)a)->bytes, right = ((const struct share *)b)->bytes;

	return left < right ? 1 : left > right ? -1 : 0;
}

/* "data/ 1.2 GiB, model.bin 300.0 MiB": what stands at the top of the folder, with all that is in it. */
static const char *describe_largest(struct snapshot *s)
{
	struct pack *pack = &s->pack;
	autofree struct share *shares = mem_array(pack->count, sizeof *shares);
	autobuf struct buf text = { 0 };
	size_t count = 0;

	if (pack->count > 0)
		qsort(pack->entries, pack->count, sizeof *pack->entries, by_folder);
	for (size_t i = 0; i < pack->count; i++) {
		const char *path = pack->entries[i].path;
		size_t n = strcspn(path, "/");

		if (count == 0 || shares[count - 1].name_bytes != n ||
		    memcmp(shares[count - 1].name, path, n) != 0)
			shares[count++] = (struct share){ .name = path, .name_bytes = n };
		shares[count - 1].bytes += pack->entries[i].bytes;
		shares[count - 1].is_folder |= path[n] == '/' || pack->entries[i].type == PARCEL_FOLDER;
	}
	qsort(shares, count, sizeof *shares, largest_first);
	for (size_t i = 0; i < count && i < LARGEST_MAX; i++) {
		buf_printf(&text, "%s%.*s%s ", i > 0 ? ", " : "", (int)shares[i].name_bytes, shares[i].name,
			   shares[i].is_folder ? "/" : "");
		listing_append_bytes(&text, (int64_t)shares[i].bytes);
	}
	return arena_strdup(s->arena, buf_text(&text));
}

static int read_limit(int64_t *out, struct err *err)
{
	const char *given = getenv("STOKER_SOURCE_MAX");

	*out = SOURCE_BYTES_MAX;
	if (given == NULL || given[0] == '\0')
		return 0;
	return size_parse(given, out, NULL, err) < 0 ? err_wrap(err, "STOKER_SOURCE_MAX") : 0;
}

static int check_size(struct snapshot *s)
{
	autobuf struct buf size = { 0 };
	char most[DURATION_TEXT_BYTES];
	int64_t limit;

	if (read_limit(&limit, s->err) < 0)
		return s->err->code;
	if (s->pack.bytes <= (uint64_t)limit)
		return 0;
	listing_append_bytes(&size, (int64_t)s->pack.bytes);
	return err_set(s->err, ERR_LIMIT,
		       "%s holds %s, and %s is the most that is sent to workers. The largest: %.600s. Name in"
		       " .gitignore what the steps do not need, or raise STOKER_SOURCE_MAX",
		       s->folder, buf_text(&size), size_text(limit, most), describe_largest(s));
}

static int gather(struct snapshot *s)
{
	int rc = add_by_git(s);

	if (rc == 0)
		rc = pack_add_all(&s->pack, s->err);
	if (rc == ERR_LIMIT)
		return err_set(s->err, ERR_LIMIT, "%s holds more than %d files. The largest: %.600s", s->folder,
			       PARCEL_ENTRIES_MAX, describe_largest(s));
	return rc < 0 ? rc : check_size(s);
}

/* --- storing it ----------------------------------------------------------------------------------------- */

/*
 * Whether it is there already, and of the right size; then it is younger than it was. The gc takes an old one out of the
 * way before it looks at its age once more: one of us sees what the other did.
 */
static bool is_stored(const char *path, const struct parcel *parcel)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size == parcel->bytes &&
	       futimens(fd, NULL) == 0 && access(path, F_OK) == 0;
}

static int write_piece(int fd, const uint8_t *bytes, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, bytes, n);

		if (done < 0 && errno != EINTR)
			return -1;
		bytes += done > 0 ? done : 0;
		n -= done > 0 ? (size_t)done : 0;
	}
	return 0;
}

/* What is written is verified on the way: ERR_BUSY or ERR_CORRUPT when a file changed since it was read. */
static int copy(struct snapshot *s, const struct parcel *parcel, int fd)
{
	autofree uint8_t *piece = mem_alloc(PIECE_BYTES);
	struct pack_reader reader;
	struct unpack check;
	uint64_t offset = 0;
	ssize_t n = 0;
	int rc = 0;

	pack_reader_init(&reader, parcel, s->pack.dir);
	unpack_init(&check, -1, parcel->digest);
	while (rc == 0 && (n = pack_read(&reader, offset, piece, PIECE_BYTES, s->err)) > 0) {
		rc = unpack_feed(&check, piece, (size_t)n, s->err);
		if (rc == 0 && write_piece(fd, piece, (size_t)n) < 0)
			rc = err_errno(s->err, "write the snapshot");
		offset += (uint64_t)n;
	}
	if (rc == 0)
		rc = n < 0 ? (int)n : unpack_end(&check, s->err);
	unpack_fini(&check);
	pack_reader_fini(&reader);
	return rc;
}

static int sync_folder(const char *folder, struct err *err)
{
	autoclose int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? err_errno(err, "sync %s", folder) : 0;
}

/* On the disk before its run is. */
static int store(struct snapshot *s, const struct parcel *parcel)
{
	const char *folder = paths_parcels(s->arena, s->home);
	const char *path = arena_printf(s->arena, "%s/%s", folder, parcel->digest);
	const char *making = arena_printf(s->arena, "%s/.new-%d", folder, (int)getpid());
	autoclose int fd = -1;
	int rc;

	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return err_errno(s->err, "make %s", folder);
	if (is_stored(path, parcel))
		return 0;
	fd = open(making, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(s->err, "make %s", making);
	rc = copy(s, parcel, fd);
	if (rc == 0 && fsync(fd) < 0)
		rc = err_errno(s->err, "sync %s", making);
	if (rc == 0 && rename(making, path) < 0)
		rc = err_errno(s->err, "rename %s", making);
	if (rc < 0) {
		unlink(making);
		return rc;
	}
	return sync_folder(folder, s->err);
}

/* --- all of it ------------------------------------------------------------------------------------------ */

static void tell_left_out(struct snapshot *s)
{
	const struct pack *pack = &s->pack;

	for (size_t i = 0; i < pack->left_out_count && i < NOTES_MAX; i++)
		note(s, "%s is left out: %s", pack->left_out[i].path, pack->left_out[i].why);
	if (pack->left_out_count > NOTES_MAX)
		note(s, "and %zu more are left out", pack->left_out_count - NOTES_MAX);
}

static int take_once(struct snapshot *s)
{
	struct parcel parcel;
	int rc;

	*s->out = (struct source){ .notes = arena_alloc(s->arena, (NOTES_MAX + 2) * sizeof(char *)) };
	rc = gather(s);
	if (rc == 0)
		rc = pack_seal(&s->pack, &parcel, s->err);
	if (rc < 0)
		return rc;
	rc = store(s, &parcel);
	if (rc == 0) {
		memcpy(s->out->digest, parcel.digest, sizeof s->out->digest);
		s->out->bytes = parcel.bytes;
		s->out->files = parcel.files;
		tell_left_out(s);
	}
	parcel_fini(&parcel);
	return rc;
}

/* The state folder, when it lies inside. */
static const char *find_own(const char *folder, const char *home, struct arena *arena)
{
	autofree char *real = realpath(home, NULL);
	size_t n = strlen(folder);

	if (real == NULL || strncmp(real, folder, n) != 0 || (real[n] != '/' && n > 1))
		return NULL;
	return arena_strdup(arena, real + n + (real[n] == '/'));
}

int source_take(const char *folder, const char *home, struct arena *arena, struct source *out,
		struct err *err)
{
	autofree char *real = realpath(folder, NULL);
	autoclose int dir = real == NULL ? -1 : open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct snapshot s = { .folder = real, .home = home, .arena = arena, .out = out, .err = err };
	int rc = ERR_BUSY;

	if (dir < 0)
		return err_errno(err, "source: open %s", folder);
	s.own = find_own(real, home, arena);
	/* A file that is being written just now is another one a moment later. */
	for (int i = 0; i < TRIES_MAX && (rc == ERR_BUSY || rc == ERR_CORRUPT); i++) {
		pack_init(&s.pack, dir);
		s.pack.skip = skip;
		s.pack.context = &s;
		rc = take_once(&s);
		pack_fini(&s.pack);
	}
	return rc < 0 ? err_wrap(err, "source") : 0;
}
