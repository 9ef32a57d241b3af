/*
 * doctor_state.c - the state folder, the room on its disk, the database
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/doctor_parts.h"
#include "scheduler/listing.h"
#include "scheduler/owner.h"
#include "scheduler/paths.h"
#include "scheduler/store_parts.h"

#define MIB (INT64_C(1) << 20)
#define DAY_MS (INT64_C(24) * 3600 * 1000)

enum {
	FILES_WANTED = 4096,
	DAYS_AHEAD = 14,
	DAYS_LOOKED_AT = 7,
	INODES_LEAST = 10000,
};

static const char *describe_bytes(struct doctor *doctor, int64_t bytes)
{
	autobuf struct buf text = { 0 };

	listing_append_bytes(&text, bytes);
	return arena_strdup(&doctor->arena, buf_text(&text));
}

/* --- the folder ----------------------------------------------------------------------------------------- */

void doctor_check_folder(struct doctor *doctor)
{
	const char *home = doctor->plan->home;
	struct stat st;
	struct err err;

	if (stat(home, &st) < 0) {
		if (errno == ENOENT)
			doctor_say(doctor, "state", FINDING_OK, "", "nothing has run here yet: there is no %s", home);
		else
			doctor_say(doctor, "state", FINDING_PROBLEM, "set STOKER_HOME to a folder of yours", "%s: %s", home,
				   strerror(errno));
	} else if (!S_ISDIR(st.st_mode)) {
		doctor_say(doctor, "state", FINDING_PROBLEM, "move it away", "%s is no folder", home);
	} else if (st.st_uid != geteuid()) {
		doctor_say(doctor, "state", FINDING_PROBLEM, "run stoker as its owner, or chown -R it",
			   "%s belongs to uid %u, and this is uid %u", home, (unsigned)st.st_uid, (unsigned)geteuid());
	} else if ((st.st_mode & 077) != 0) {
		doctor_say(doctor, "state", FINDING_PROBLEM, arena_printf(&doctor->arena, "chmod 700 %s", home),
			   "others can look into %s (mode %03o): logs and parameters may hold what is not for them", home,
			   (unsigned)(st.st_mode & 0777));
	} else if (access(home, W_OK | X_OK) < 0) {
		doctor_say(doctor, "state", FINDING_PROBLEM, "check its mode, and that its file system is not read-only",
			   "%s cannot be written", home);
	} else if (store_make_home(home, &err) < 0) {
		doctor_say(doctor, "state", FINDING_PROBLEM, "", "%s", err.text);
	} else {
		doctor_say(doctor, "state", FINDING_OK, "", "%s, on a local file system", home);
	}
}

/* --- room ----------------------------------------------------------------------------------------------- */

/* Of logs, by what the last days brought; 0: not known. */
static int64_t bytes_a_day(struct doctor *doctor)
{
	autofree char *database = mem_printf("%s/stoker.db", doctor->plan->home);
	sqlite3_stmt *stmt;
	int64_t bytes = 0;

	if (access(database, F_OK) < 0 ||
	    (doctor->store == NULL && store_open_reader(doctor->plan->home, &doctor->store, NULL) < 0))
		return 0;
	stmt = store_statement(doctor->store, STMT_doctor_growth);
	sqlite3_bind_int64(stmt, 1, doctor->plan->now_wall_ms - DAYS_LOOKED_AT * DAY_MS);
	if (store_step_row(doctor->store, stmt, "look", NULL) == 1)
		bytes = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return bytes / DAYS_LOOKED_AT;
}

/* The nearest folder above that is there, for a state that is not made yet. */
static const char *existing(struct doctor *doctor, const char *path)
{
	char *at = arena_strdup(&doctor->arena, path);

	while (access(at, F_OK) < 0 && strrchr(at, '/') != at && strrchr(at, '/') != NULL)
		*strrchr(at, '/') = '\0';
	return access(at, F_OK) < 0 ? "/" : at;
}

void doctor_check_room(struct doctor *doctor)
{
	static const char remedy[] = "free some space, or let `retention` in stoker.yaml keep less and run stoker gc";
	const char *place = existing(doctor, doctor->plan->home);
	struct statvfs fs;
	int64_t bytes, a_day = bytes_a_day(doctor);

	if (statvfs(place, &fs) < 0) {
		doctor_say(doctor, "room", FINDING_PROBLEM, "", "%s: %s", place, strerror(errno));
		return;
	}
	bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
	if (fs.f_flag & ST_RDONLY)
		doctor_say(doctor, "room", FINDING_PROBLEM, "mount it for writing", "the file system of %s is read-only", place);
	else if (bytes < 100 * MIB)
		doctor_say(doctor, "room", FINDING_PROBLEM, remedy, "%s are free", describe_bytes(doctor, bytes));
	else if (bytes < 1024 * MIB)
		doctor_say(doctor, "room", FINDING_WARNING, remedy, "%s are free", describe_bytes(doctor, bytes));
	else if (a_day > 0 && bytes / a_day < DAYS_AHEAD)
		doctor_say(doctor, "room", FINDING_WARNING, remedy,
			   "%s are free: %" PRId64 " days, when logs grow as they did this week",
			   describe_bytes(doctor, bytes), bytes / a_day);
	else if (fs.f_files > 0 && fs.f_favail < INODES_LEAST)
		doctor_say(doctor, "room", FINDING_WARNING, remedy, "only %llu more files can be made",
			   (unsigned long long)fs.f_favail);
	else
		doctor_say(doctor, "room", FINDING_OK, "", "%s are free", describe_bytes(doctor, bytes));
}

/* --- processes ------------------------------------------------------------------------------------------ */

void doctor_check_daemon(struct doctor *doctor)
{
	int64_t pid = 0;

	doctor->daemon = owner_daemon_is_alive(doctor->plan->home, &pid);
	if (doctor->daemon)
		doctor_say(doctor, "daemon", FINDING_OK, "", "runs, as process %" PRId64, pid);
	else
		doctor_say(doctor, "daemon", FINDING_OK, "", "does not run");
}

/* Each connection to a worker and each log that is written takes one or a few. */
void doctor_check_limits(struct doctor *doctor)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max >= FILES_WANTED)
		doctor_say(doctor, "limits", FINDING_OK, "", "a process may open enough files");
	else
		doctor_say(doctor, "limits", FINDING_WARNING, "raise it: ulimit -Hn, or LimitNOFILE= of the unit",
			   "a process may open %llu files; with many steps at a time that is few",
			   (unsigned long long)limit.rlim_max);
}

/* --- the database --------------------------------------------------------------------------------------- */

static bool is_sound(struct doctor *doctor, const char **text_out)
{
	sqlite3_stmt *stmt = store_statement(doctor->store, STMT_doctor_pages);
	int rc = store_step_row(doctor->store, stmt, "look", NULL);

	*text_out = rc == 1 ? store_column_text(stmt, 0, &doctor->arena) : "it cannot be read";
	sqlite3_reset(stmt);
	if (strcmp(*text_out, "ok") != 0)
		return false;
	stmt = store_statement(doctor->store, STMT_doctor_references);
	if (store_step_row(doctor->store, stmt, "look", NULL) == 0)
		return true;
	*text_out = arena_printf(&doctor->arena, "rows of %s refer to what is not there",
				 store_column_text(stmt, 0, &doctor->arena));
	sqlite3_reset(stmt);
	return false;
}

static int64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : (int64_t)st.st_size;
}

void doctor_check_database(struct doctor *doctor)
{
	const char *path = arena_printf(&doctor->arena, "%s/stoker.db", doctor->plan->home);
	int64_t journal = size_of(arena_printf(&doctor->arena, "%s-wal", path));
	const char *text;
	struct err err;

	if (access(path, F_OK) < 0)
		return; /* which `state` told */
	if (doctor->store == NULL && store_open_reader(doctor->plan->home, &doctor->store, &err) < 0) {
		doctor_say(doctor, "database", FINDING_PROBLEM, "", "%s", err.text);
		return;
	}
	if (!is_sound(doctor, &text))
		doctor_say(doctor, "database", FINDING_PROBLEM,
			   "stop all of stoker and restore a backup: stoker backup --restore FILE", "%s is damaged: %s",
			   path, text);
	else if (journal > 256 * MIB)
		doctor_say(doctor, "database", FINDING_WARNING,
			   "a process reads for a long time: look for one with `fuser stoker.db`, and end it",
			   "sound, but its journal holds %s", describe_bytes(doctor, journal));
	else
		doctor_say(doctor, "database", FINDING_OK, "", "sound: %s, version %d",
			   describe_bytes(doctor, size_of(path)), STORE_SCHEMA_VERSION);
}

/* --- leftovers ------------------------------------------------------------------------------------------ */

static size_t count_leftovers(const char *folder)
{
	DIR *dir = opendir(folder);
	size_t count = 0;

	for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
		count += entry->d_name[0] == '.' && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	if (dir != NULL)
		closedir(dir);
	return count;
}

static int64_t count_marked(struct doctor *doctor)
{
	sqlite3_stmt *stmt;
	int64_t count = 0;

	if (doctor->store == NULL)
		return 0;
	stmt = store_statement(doctor->store, STMT_doctor_marked);
	if (store_step_row(doctor->store, stmt, "look", NULL) == 1)
		count = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return count;
}

void doctor_check_leftovers(struct doctor *doctor)
{
	size_t count = count_leftovers(paths_parcels(&doctor->arena, doctor->plan->home));
	int64_t marked = count_marked(doctor);

	if (access(arena_printf(&doctor->arena, "%s/.restore", doctor->plan->home), F_OK) == 0)
		doctor_say(doctor, "leftovers", FINDING_WARNING, "run it again",
			   "a `stoker backup --restore` was killed; the state is as it was before");
	else if (count > 0 || marked > 0)
		doctor_say(doctor, "leftovers", FINDING_WARNING, "stoker gc",
			   "%zu temporary files and %" PRId64 " runs that a gc did not get done with, unless it is at work",
			   count, marked);
}
