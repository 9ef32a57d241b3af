/*
 * cache.h - answers that are good as long as nothing has changed
 *
 * Fifty browsers that ask for the same list within the same second are one query, one JSON, one compression. An answer is
 * kept under its request line, with the version of the source that it was made from (web_source.version), so none is
 * older than what is on disk; and for CACHE_MS, because some of what it tells is not (files, the time). For as long again
 * it does for those who ask while it is being made anew.
 *
 * Ownership: the cache holds one reference of each response; the library holds its own while it sends one.
 */
#ifndef WEB_CACHE_H
#define WEB_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "web/library.h"

enum {
	CACHE_ANSWERS = 64,
	CACHE_BYTES_MAX = 16 * 1024 * 1024,	/* of all of them */
	CACHE_BYTES_EACH_MAX = 2 * 1024 * 1024,
	CACHE_MS = 500,
	CACHE_TAG_BYTES = 32,
};

struct cache_answer {
	char *key; /* NULL: free */
	struct MHD_Response *response;
	char tag[CACHE_TAG_BYTES];
	size_t bytes;
	int64_t version;
	int64_t until_mono_ms;
};

struct cache {
	struct cache_answer answers[CACHE_ANSWERS];
	unsigned next; /* whose place is taken next */
	size_t bytes;  /* of all of them */
};

/* NULL: there is none. *due_out: it is time to make it anew. */
const struct cache_answer *cache_find(const struct cache *cache, const char *key, int64_t version, int64_t now_mono_ms,
				      bool *due_out);

/* The response of so many bytes, at most CACHE_BYTES_EACH_MAX, is taken over. */
void cache_put(struct cache *cache, const char *key, struct MHD_Response *response, size_t bytes, const char *tag,
	       int64_t version, int64_t now_mono_ms);

void cache_fini(struct cache *cache);

#endif
