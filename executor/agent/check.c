#include "executor/agent/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scope.h"
#include "executor/agent/ask.h"
#include "executor/agent/devices.h"
#include "executor/agent/files.h"
#include "executor/agent/place.h"
#include "executor/agent/process.h"
#include "executor/agent/root.h"
#include "executor/agent/survive.h"

enum {
	FREE_BYTES_MIN = 64 * 1024 * 1024, /* below: a log and a journal hardly fit */
	FREE_BYTES_FEW = 1024 * 1024 * 1024,
	FREE_INODES_MIN = 100,
	FREE_INODES_FEW = 10000,
	FILES_FEW = 1024,
	PROCESSES_FEW = 1024,
	WATCHES_FEW = 8192,
	INSTANCES_FEW = 128,
	STALE_DAYS = 30,
	PYTHON_MS = 8000,
	OTHERS_MAX = 64,
	DAY_MS = 24 * 60 * 60 * 1000,
};

struct checker {
	const struct check *check;
	struct arena arena;
	int out;
};

__attribute__((format(printf, 5, 6))) static void tell(struct checker *checker, const char *name,
						       enum finding_verdict verdict, const char *remedy,
						       const char *format, ...)
{
	autobuf struct buf frame = { 0 };
	struct frame_finding finding = { .name = name, .verdict = verdict, .remedy = remedy };
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	finding.text = text;
	protocol_put_finding(&frame, &finding);
	files_write(checker->out, frame.data, frame.bytes);
}

static const char *describe_bytes(struct arena *arena, uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < COUNT_OF(units)) {
		value /= 1024;
		unit++;
	}
	return arena_printf(arena, value < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

/* --- the root folder ------------------------------------------------------------------------------------ */

struct file_system {
	unsigned long magic;
	const char *name;
	bool remote;
};

/* statfs(2) and linux/magic.h */
static const struct file_system file_systems[] = {
	{ 0xEF53, "ext4", false },	{ 0x58465342, "xfs", false },	  { 0x9123683E, "btrfs", false },
	{ 0x01021994, "tmpfs", false }, { 0x794C7630, "overlay", false }, { 0x2FC12FC1, "zfs", false },
	{ 0xF2F52010, "f2fs", false },	{ 0x6969, "nfs", true },	  { 0xFF534D42, "cifs", true },
	{ 0xFE534D42, "smb2", true },	{ 0x517B, "smb", true },	  { 0x00C36400, "ceph", true },
	{ 0x0BD00BD0, "lustre", true }, { 0x01021997, "9p", true },	  { 0x65735546, "fuse", false },
	{ 0x47504653, "gpfs", true },	{ 0x19830326, "beegfs", true },	  { 0xAAD7AAEA, "panfs", true },
	{ 0x7461636F, "ocfs2", true },	{ 0x01161970, "gfs2", true },	  { 0x5346414F, "afs", true },
};

static struct file_system file_system_of(struct arena *arena, const struct statfs *st)
{
	unsigned long magic = (unsigned long)st->f_type & 0xFFFFFFFF;

	for (size_t i = 0; i < COUNT_OF(file_systems); i++)
		if (file_systems[i].magic == magic)
			return file_systems[i];
	return (struct file_system){ magic, arena_printf(arena, "type %#lx", magic), false };
}

static void check_root(struct checker *checker)
{
	const char *root = checker->check->root;
	struct file_system found;
	struct statfs st;

	if (statfs(".", &st) < 0) {
		tell(checker, "root folder", FINDING_PROBLEM, "name another folder with `root:`", "%s: %s",
		     root, strerror(errno));
		return;
	}
	found = file_system_of(&checker->arena, &st);
	if (found.remote)
		tell(checker, "root folder", FINDING_WARNING,
		     "name a folder on a disk of the machine itself with `root:`; where several workers "
		     "share this"
		     " one, each must have a folder of its own",
		     "%s, writable, on a network file system (%s): slow, and seen from other machines too",
		     root, found.name);
	else if (strcmp(found.name, "tmpfs") == 0)
		tell(checker, "root folder", FINDING_WARNING, "name a folder on a disk with `root:`",
		     "%s, writable, in memory (tmpfs): logs and checkpoints are gone after a reboot", root);
	else
		tell(checker, "root folder", FINDING_OK, "", "%s, writable, %s", root, found.name);
}

static void check_disk(struct checker *checker)
{
	const char *remedy = "make room there, or name a folder on another disk with `root:`";
	struct statfs st;
	uint64_t bytes, inodes;
	const char *text;
	bool counted; /* some file systems have no fixed number of inodes */

	if (statfs(".", &st) < 0)
		return;
	bytes = (uint64_t)st.f_bavail * (uint64_t)st.f_bsize;
	inodes = (uint64_t)st.f_ffree;
	counted = st.f_files > 0;
	text = arena_printf(&checker->arena, "%s of %s free", describe_bytes(&checker->arena, bytes),
			    describe_bytes(&checker->arena, (uint64_t)st.f_blocks * (uint64_t)st.f_bsize));
	if (counted)
		text = arena_printf(&checker->arena, "%s, %" PRIu64 " inodes free", text, inodes);
	if (bytes < FREE_BYTES_MIN || (counted && inodes < FREE_INODES_MIN))
		tell(checker, "disk", FINDING_PROBLEM, remedy, "full: %s", text);
	else if (bytes < FREE_BYTES_FEW || (counted && inodes < FREE_INODES_FEW))
		tell(checker, "disk", FINDING_WARNING, remedy, "nearly full: %s", text);
	else
		tell(checker, "disk", FINDING_OK, "", "%s", text);
}

/* --- the system ----------------------------------------------------------------------------------------- */

static void check_proc(struct checker *checker)
{
	struct process self;

	if (!process_read(getpid(), &self))
		tell(checker, "/proc", FINDING_PROBLEM, "mount it: mount -t proc proc /proc",
		     "not there: no process can be told from another");
	else if (process_boot_id()[0] == '\0')
		tell(checker, "/proc", FINDING_WARNING, "make /proc/sys/kernel/random/boot_id readable",
		     "the boot has no name: a reboot would not be noticed");
	else
		tell(checker, "/proc", FINDING_OK, "", "there");
}

static int64_t read_number(const char *path)
{
	autobuf struct buf text = { 0 };

	return files_read(AT_FDCWD, path, 64, &text) < 0 ? -1 : strtoll(buf_text(&text), NULL, 10);
}

static void check_inotify(struct checker *checker)
{
	int64_t watches = read_number("/proc/sys/fs/inotify/max_user_watches");
	int64_t instances = read_number("/proc/sys/fs/inotify/max_user_instances");
	autoclose int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0 || inotify_add_watch(fd, "attempts", IN_CREATE) < 0)
		tell(checker, "inotify", FINDING_WARNING,
		     "raise fs.inotify.max_user_instances and max_user_watches (sysctl)",
		     "not to be had (%s): checkpoints and ends are looked for five times a second instead",
		     strerror(errno));
	else if ((watches >= 0 && watches < WATCHES_FEW) || (instances >= 0 && instances < INSTANCES_FEW))
		tell(checker, "inotify", FINDING_WARNING,
		     "raise fs.inotify.max_user_instances and max_user_watches (sysctl)",
		     "few: %" PRId64 " watches, %" PRId64 " instances for each user", watches, instances);
	else
		tell(checker, "inotify", FINDING_OK, "",
		     "%" PRId64 " watches, %" PRId64 " instances for each user", watches, instances);
}

static void check_pidfd(struct checker *checker)
{
	autoclose int fd = process_open(getpid(), process_start_ticks(getpid()));

	if (fd < 0)
		tell(checker, "pidfd", FINDING_WARNING, "a kernel of 5.3 or later has it",
		     "not to be had (%s): ends of steps are looked for five times a second instead",
		     strerror(errno));
	else
		tell(checker, "pidfd", FINDING_OK, "", "there");
}

static const char *describe_limit(struct arena *arena, rlim_t limit)
{
	return limit == RLIM_INFINITY ? "unlimited" : arena_printf(arena, "%" PRIu64, (uint64_t)limit);
}

/* Limits that end a step, or make it fail, in the middle of the night. */
static void check_limits(struct checker *checker)
{
	static const struct {
		int resource;
		const char *option, *what;
		rlim_t few; /* 0: any limit at all is worth a word */
	} limits[] = {
		{ RLIMIT_NPROC, "-u", "processes and threads of the user", PROCESSES_FEW },
		{ RLIMIT_NOFILE, "-n", "open files of a process", FILES_FEW },
		{ RLIMIT_CPU, "-t", "seconds of processor time, after which a step is killed", 0 },
		{ RLIMIT_FSIZE, "-f", "bytes of a file, at which a step is killed", 0 },
		{ RLIMIT_AS, "-v", "bytes of address space, in which CUDA hardly fits", 0 },
	};
	struct arena *arena = &checker->arena;
	const char *text = "";
	struct rlimit limit;

	for (size_t i = 0; i < COUNT_OF(limits); i++) {
		if (getrlimit((__typeof__(RLIMIT_CPU))limits[i].resource, &limit) < 0 ||
		    limit.rlim_cur == RLIM_INFINITY || (limits[i].few > 0 && limit.rlim_cur >= limits[i].few))
			continue;
		text = arena_printf(arena, "%s%sonly %s %s (ulimit %s)", text, text[0] == '\0' ? "" : "; ",
				    describe_limit(arena, limit.rlim_cur), limits[i].what, limits[i].option);
	}
	if (text[0] != '\0') {
		tell(checker, "limits", FINDING_WARNING, "raise them in /etc/security/limits.conf there",
		     "%s", text);
		return;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	text = describe_limit(arena, limit.rlim_cur);
	getrlimit(RLIMIT_NPROC, &limit);
	tell(checker, "limits", FINDING_OK, "", "%s open files, %s processes", text,
	     describe_limit(arena, limit.rlim_cur));
}

/* --- what else a step may want -------------------------------------------------------------------------- */

static void check_python(struct checker *checker)
{
	const char *words[] = { ask_find(&checker->arena, "python3"), "--version", NULL };
	autobuf struct buf answer = { .limit_bytes = ASK_ANSWER_BYTES_MAX };
	char *version;

	if (words[0] == NULL) {
		tell(checker, "python3", FINDING_WARNING, "install it, or set PATH in the step's `env`",
		     "not found in PATH (%s): only steps that need none can run",
		     getenv("PATH") == NULL ? "" : getenv("PATH"));
		return;
	}
	if (ask_program(words, PYTHON_MS, &answer) != ASK_DONE) {
		tell(checker, "python3", FINDING_WARNING, "see what `python3 --version` does there",
		     "%s does not tell its version", words[0]);
		return;
	}
	version = arena_strdup(&checker->arena, buf_text(&answer));
	version[strcspn(version, "\r\n")] = '\0';
	tell(checker, "python3", FINDING_OK, "", "%s (%s)", version, words[0]);
}

static void check_gpus(struct checker *checker)
{
	struct arena *arena = &checker->arena;
	bool driver = access("/dev/nvidiactl", F_OK) == 0 || access("/proc/driver/nvidia/version", F_OK) == 0;
	struct devices devices;
	const char *text = "";

	devices_find(arena, &devices);
	for (size_t i = 0; i < devices.gpus_count; i++)
		text = arena_printf(arena, "%s%s%s, %s", text, i == 0 ? "" : "; ", devices.gpus[i].name,
				    describe_bytes(arena, (uint64_t)devices.gpus[i].memory_bytes));
	if (devices.text[0] != '\0')
		tell(checker, "gpus", FINDING_WARNING, "see what `nvidia-smi` says there", "%s",
		     devices.text);
	else if (devices.gpus_count > 0)
		tell(checker, "gpus", FINDING_OK, "", "%zu: %s", devices.gpus_count, text);
	else if (driver)
		tell(checker, "gpus", FINDING_WARNING, "install nvidia-smi, or see what it says there",
		     "there is a driver of NVIDIA's, but nvidia-smi names no GPU");
	else
		tell(checker, "gpus", FINDING_OK, "", "none (nvidia-smi is not there)");
}

/* --- what lies there ------------------------------------------------------------------------------------ */

struct left {
	size_t own;
	size_t others; /* attempts of other schedulers, */
	size_t homes_count;
	char homes[OTHERS_MAX][PLACE_HOME_CHARS + 1];
	int64_t oldest_wall_ms; /* of those */
};

static void count_home(struct left *left, const char *home)
{
	for (size_t i = 0; i < left->homes_count; i++)
		if (strcmp(left->homes[i], home) == 0)
			return;
	if (left->homes_count < OTHERS_MAX)
		strcpy(left->homes[left->homes_count++], home);
}

static void count_attempt(struct left *left, const char *name, const char *own_home)
{
	char home[PLACE_HOME_CHARS + 1], path[PLACE_NAME_BYTES + 16];
	struct attempt_id id;
	struct stat st;

	snprintf(home, sizeof home, "%.*s", PLACE_HOME_CHARS, name);
	if (!place_home_valid(home) || !place_parse(name, home, &id))
		return;
	if (strcmp(home, own_home) == 0) {
		left->own++;
		return;
	}
	left->others++;
	count_home(left, home);
	snprintf(path, sizeof path, "attempts/%.*s", PLACE_NAME_BYTES, name);
	if (stat(path, &st) == 0 && (left->oldest_wall_ms == 0 || st.st_mtime * 1000 < left->oldest_wall_ms))
		left->oldest_wall_ms = st.st_mtime * 1000;
}

static void check_left(struct checker *checker)
{
	struct left left = { 0 };
	char **names, span[CLOCK_SPAN_BYTES];
	size_t count = root_list(&checker->arena, "attempts", "", &names);
	int64_t age_ms;

	for (size_t i = 0; i < count; i++)
		count_attempt(&left, names[i], checker->check->home);
	if (left.others == 0) {
		tell(checker, "attempts", FINDING_OK, "", "%zu lie there, none of another scheduler",
		     left.own);
		return;
	}
	age_ms = clock_wall_ms() - left.oldest_wall_ms;
	tell(checker, "attempts", age_ms > (int64_t)STALE_DAYS * DAY_MS ? FINDING_WARNING : FINDING_OK,
	     age_ms > (int64_t)STALE_DAYS * DAY_MS
		     ? arena_printf(&checker->arena,
				    "when that scheduler is no more, remove what is its: %s/*/%s-*",
				    checker->check->root, left.homes[0])
		     : "",
	     "%zu lie there, and %zu of %zu other scheduler%s (the oldest for %s)", left.own, left.others,
	     left.homes_count, left.homes_count == 1 ? "" : "s", clock_span(age_ms, span));
}

static void check_survival(struct checker *checker)
{
	struct survive survive;

	survive_look(&checker->arena, &survive);
	tell(checker, "logout",
	     survive.verdict == SURVIVE_NOT	  ? FINDING_PROBLEM
	     : survive.verdict == SURVIVE_UNKNOWN ? FINDING_WARNING
						  : FINDING_OK,
	     survive.remedy, "%s", survive.text);
}

void check_work(void *context, int out)
{
	struct checker checker = { .check = context, .out = out };

	arena_init(&checker.arena);
	check_root(&checker);
	check_disk(&checker);
	check_proc(&checker);
	check_inotify(&checker);
	check_pidfd(&checker);
	check_limits(&checker);
	check_survival(&checker);
	check_left(&checker);
	check_python(&checker);
	check_gpus(&checker);
	arena_fini(&checker.arena);
}
