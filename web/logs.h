/*
 * logs.h - the log of an attempt, byte for byte
 *
 *   GET .../log                          all of it, or what `Range` asks for
 *   GET .../log?offset=N&limit=M         from a byte on
 *   GET .../log?tail=N                   the last N bytes, from the beginning of a line
 *   GET .../log?offset=N&follow=true     and what comes, until the attempt has ended and all is sent
 *
 * A log only grows, so whoever was interrupted goes on at the byte after the last one it has. The header of the answer
 * says which bytes they are: Stoker-Attempt, Stoker-Offset (of the first one), Stoker-Size (of the log now) and
 * Stoker-Growing (true: more may come).
 *
 * Files are sent in blocks as the client takes them; a log of a gigabyte is never in memory. New bytes are looked for
 * LOGS_LOOK_MS apart, and whether the attempt goes on LOGS_ASK_MS apart, which costs a stat and a query each.
 */
#ifndef WEB_LOGS_H
#define WEB_LOGS_H

struct exchange;
struct web;

enum { LOGS_LOOK_MS = 150, LOGS_ASK_MS = 1000 };

void logs_start(struct web *web);
void logs_answer(struct exchange *exchange);

/* Lets go of all that are followed, before the library is stopped. */
void logs_end(struct web *web);

#endif
