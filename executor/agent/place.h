/*
 * place.h - names below the agent's root
 *
 *   attempts/<home>-<run>-<task>-<number>   an attempt; the name is also its cookie, $STOKER_ATTEMPT_ID
 *   attempts/.new-*  attempts/.spare-*      one being made, one that is over and to be used again
 *   tasks/<home>-<run>-<task>               a task: its checkpoints and what its own folder held before
 *   tasks/.spare-*                          an empty one, to be used again
 *   epochs/<home>  epochs/<home>.<run>      who may start attempts
 *
 * `home` is 12 hexadecimal digits and all else are numbers, so no name can lead out of its folder.
 */
#ifndef EXECUTOR_AGENT_PLACE_H
#define EXECUTOR_AGENT_PLACE_H

#include <stdbool.h>

#include "executor/protocol.h"

enum { PLACE_HOME_CHARS = 12, PLACE_NAME_BYTES = 96 };

bool place_home_valid(const char *home);

const char *place_attempt(char name[PLACE_NAME_BYTES], const char *home, const struct attempt_id *id);
const char *place_task(char name[PLACE_NAME_BYTES], const char *home, const struct attempt_id *id);

/* The attempt of `home` that is called `name`: false when it is none of its attempts. */
bool place_parse(const char *name, const char *home, struct attempt_id *id_out);

#endif
