/*
 * assets.h - the files of the page, which are part of the program
 *
 * A new one is put into web/assets/, into ASSETS of web/local.mk, and into the table of assets.c. Each is compressed
 * once, when it is first asked for, and has a digest as its ETag: a browser asks again each time and is told "not
 * modified", or, where it was named with ?v=<anything>, keeps it for a year.
 */
#ifndef WEB_ASSETS_H
#define WEB_ASSETS_H

#include <stdbool.h>

struct exchange;

/* Whether `path` names one; "/" is index.html. */
bool assets_have(const char *path);

void assets_answer(struct exchange *exchange, const char *path, bool named_by_version);

#endif
