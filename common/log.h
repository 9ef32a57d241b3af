/*
 * log.h - one line per event, from typed fields
 *
 *   log_info("attempt.exited", TEXT("run", "digits/3"), TEXT("task", "train"), NUMBER("exit_code", 137));
 *   ts=2026-11-23T02:30:00.125Z level=info event=attempt.exited run=digits/3 task=train exit_code=137
 *
 * Event names are noun.past_verb. Values are quoted where they need it and never hold secrets. Until log_open
 * nothing is written. Lines are gathered and written at LOG_BUFFER_BYTES or by log_flush; a failed write is
 * dropped: the log tells a story, the state is in the database.
 *
 * Nobody waits for whoever reads the log (outlet.h). Of more than LOG_HELD_BYTES_MAX that are not taken the newest lines are
 * left out, and their number is told (log.dropped) once there is room.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum { LOG_HELD_BYTES_MAX = 1024 * 1024, LOG_PATIENCE_MS = 2000 };

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
	const char *key;
	const char *text; /* NULL: number */
	int64_t number;
};

#define TEXT(key_, text_)     ((struct log_field){ .key = (key_), .text = (text_) == NULL ? "" : (text_) })
#define NUMBER(key_, number_) ((struct log_field){ .key = (key_), .number = (int64_t)(number_) })

/*
 * Appends to `path` (created 0600), or to standard error when NULL; `json` writes an object a line. 0 or -1,
 * errno.
 */
int log_open(const char *path, enum log_level least, bool json);
void log_flush(void);
void log_close(void); /* what is left is offered for LOG_PATIENCE_MS */

/* Lines for standard error wait for log_flush as those for a file do; else each is written at once. Warnings never wait. */
void log_gather(void);

bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields, int count);

#define LOG_FIELDS(...)  ((const struct log_field[]){ __VA_ARGS__ })
#define LOG_AT(level, event, ...)                                                                       \
	do {                                                                                            \
		if (log_enabled(level))                                                                 \
			log_write(level, event, LOG_FIELDS(__VA_ARGS__),                                \
				  (int)(sizeof LOG_FIELDS(__VA_ARGS__) / sizeof(struct log_field)));    \
	} while (0)
#define log_debug(event, ...) LOG_AT(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  LOG_AT(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  LOG_AT(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) LOG_AT(LOG_ERROR, event, __VA_ARGS__)

#endif
