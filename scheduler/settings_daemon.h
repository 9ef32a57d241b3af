/*
 * settings_daemon.h - what stoker.yaml says of the daemon itself
 *
 *   dags: [~/churn/dags, ~/digits/digits.yaml]
 *   max_active_runs: 64
 *   realtime: false
 *
 * A relative place is relative to the folder of stoker.yaml. Without `dags` it is the folder `dags` beside that file,
 * or ~/.config/stoker/dags where there is none.
 *
 * Errors: as diagnostics, like all of settings.h.
 */
#ifndef SCHEDULER_SETTINGS_DAEMON_H
#define SCHEDULER_SETTINGS_DAEMON_H

#include "dag/field.h"

struct settings;

/* Readers for the table of the file; the member is a struct settings *. */
field_reader settings_read_dags;
field_reader settings_read_max_active_runs;
field_reader settings_read_realtime;

/* Once the file is read, if there is one: makes the places absolute, or puts the usual one there. */
void settings_place_dags(struct settings *settings);

#endif
