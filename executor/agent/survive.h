/*
 * survive.h - does what is left running outlive the end of its login session? And what makes it so
 *
 * A session of its own (setsid) is enough on most machines. Where systemd's logind looks after logins, a
 * process stays in the control group of its session, and with KillUserProcesses all of that is killed when
 * the session ends. There the agent moves itself, before it starts anything, into a scope of the user's own
 * service manager, which goes on when nobody is logged in once the user "lingers". What it starts is born
 * there, so no start takes any longer for it.
 *
 * What logind said is kept in the file `survive` of the agent's root, for this boot, when it was good; what
 * is bad is asked again at each connection, so that it is noticed when somebody mends it.
 *
 * $STOKER_AGENT_SYSTEM, for tests, is a folder that stands for the / of the files looked at here.
 *
 * Ownership: texts are in the arena given.
 * Sources:   logind.conf(5), loginctl(1), org.freedesktop.systemd1(5) StartTransientUnit, systemd.scope(5).
 */
#ifndef EXECUTOR_AGENT_SURVIVE_H
#define EXECUTOR_AGENT_SURVIVE_H

#include <stdbool.h>

#include "common/arena.h"

enum survive_verdict {
	SURVIVE_DETACHED, /* nobody looks after logins here, or this process belongs to none: setsid is enough */
	SURVIVE_ALLOWED, /* logind lets it live */
	SURVIVE_SCOPE,	 /* it runs under the user's service manager, and the user lingers */
	SURVIVE_NOT,	 /* it is killed at logout */
	SURVIVE_UNKNOWN, /* logind does not tell */
};

struct survive {
	enum survive_verdict verdict;
	const char *text;   /* what was found */
	const char *remedy; /* "": none is needed */
	bool lingers_now;   /* it was brought about that the user lingers */
};

/* Only looks. */
void survive_look(struct arena *arena, struct survive *out);

/* Looks, and does what can be done; the current folder is the agent's root. */
void survive_settle(struct arena *arena, struct survive *out);

/* Where a process belongs, by the text of its /proc/PID/cgroup. Pure. */
enum survive_place {
	SURVIVE_ELSEWHERE,
	SURVIVE_IN_SESSION, /* .../session-3.scope */
	SURVIVE_IN_MANAGER, /* .../user@1000.service/... */
};
enum survive_place survive_place_of(const char *cgroup);

/* Does logind kill what is left of the sessions of `user`? By what it answers about its settings. */
enum survive_kills { SURVIVE_KILLS_UNKNOWN, SURVIVE_KILLS, SURVIVE_SPARES };

/* Pure: the answer of busctl get-property for KillUserProcesses KillOnlyUsers KillExcludeUsers. */
enum survive_kills survive_parse_busctl(const char *answer, const char *user);

/* Pure: the same, as lines NAME=VALUE; a later one replaces an earlier one, as in logind.conf. */
enum survive_kills survive_parse_lines(const char *lines, const char *user);

#endif
