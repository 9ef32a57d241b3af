/*
 * settings.h - stoker.yaml: the machines that work, how they are reached, and what limits their work
 *
 * Looked for in this order: a file that is named (--config, $STOKER_CONFIG), which must be there then;
 * $XDG_CONFIG_HOME/stoker/stoker.yaml (~/.config/stoker/stoker.yaml); /etc/stoker/stoker.yaml. Without any,
 * there is one worker: `local`, this machine. configs/stoker.yaml says what every key means.
 *
 * Ownership: everything lies in the arena of the settings; settings_free frees all of it.
 * Errors:    as diagnostics of the same quality as a DAG's; a file that is not valid gives no settings.
 */
#ifndef SCHEDULER_SETTINGS_H
#define SCHEDULER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/arena.h"
#include "dag/diagnostic.h"
#include "executor/ssh_target.h"
#include "scheduler/notice.h"
#include "scheduler/retention.h"
#include "scheduler/terms.h"

struct settings_worker {
	const char *name;
	struct worker_terms terms;
	struct ssh_target target; /* terms.remote only */
};

/* The daemon itself. */
struct settings_daemon {
	const char **places; /* of DAG files: folders and files, absolute */
	size_t places_count;
	int active_max; /* runs at a time, of all DAGs; 0: nothing was said */
	bool realtime_off; /* its loop has no precedence (precedence.h) */
};

/* Limits how many attempts of its steps are alive at a time, over all runs (pool.h). */
struct settings_pool {
	const char *name;
	int slots;               /* 0: closed, nothing of it starts */
	const char *description; /* NULL: none */
};

/* The page and the API: settings_web.h. */
struct settings_web {
	bool off; /* the control socket only */
	bool listen_given;
	const char **listen;
	size_t listen_count;
	const char **hosts;
	size_t hosts_count;
	const char *certificate_path, *key_path; /* NULL: without TLS */
	bool behind_proxy;
	const char *shared_path, *shared_group; /* NULL: there is no shared socket */
};

struct settings {
	struct arena arena;
	const char *path; /* NULL: there is no file */
	struct settings_worker *workers; /* `local` last, unless it is switched off */
	size_t workers_count;
	struct settings_daemon daemon;
	const struct settings_pool *pools;
	size_t pools_count;
	const char *timezone; /* of schedules that name none; NULL: this machine's */
	struct notice_terms notices;
	struct settings_web web;
	struct retention retention;
};

/* `named` may be NULL. 0, or a negative code after at least one error was reported. */
int settings_load(const char *named, struct settings **settings_out, struct diagnostics *diagnostics);
void settings_free(struct settings *settings); /* NULL is harmless */

/* By name; NULL: there is none. */
const struct settings_worker *settings_find(const struct settings *settings, const char *name);
const struct settings_pool *settings_find_pool(const struct settings *settings, const char *name);

/* The same terms; the same way to get there. */
bool settings_same_terms(const struct settings_worker *a, const struct settings_worker *b);
bool settings_same_target(const struct settings_worker *a, const struct settings_worker *b);

static inline void scope_settings_free(struct settings **settings)
{
	settings_free(*settings);
}

#define autosettings __attribute__((cleanup(scope_settings_free)))

#endif
