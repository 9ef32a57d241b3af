#include "web/cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

static void drop(struct cache *cache, struct cache_answer *answer)
{
	if (answer->key == NULL)
		return;
	cache->bytes -= answer->bytes;
	http->destroy_response(answer->response);
	free(answer->key);
	memset(answer, 0, sizeof *answer);
}

static struct cache_answer *find_key(struct cache *cache, const char *key)
{
	for (unsigned i = 0; i < CACHE_ANSWERS; i++)
		if (cache->answers[i].key != NULL && strcmp(cache->answers[i].key, key) == 0)
			return &cache->answers[i];
	return NULL;
}

const struct cache_answer *cache_find(const struct cache *cache, const char *key, int64_t version, int64_t now_mono_ms,
				      bool *due_out)
{
	for (unsigned i = 0; i < CACHE_ANSWERS; i++) {
		const struct cache_answer *answer = &cache->answers[i];

		if (answer->key == NULL || answer->version != version ||
		    answer->until_mono_ms + CACHE_MS <= now_mono_ms || strcmp(answer->key, key) != 0)
			continue;
		*due_out = answer->until_mono_ms <= now_mono_ms;
		return answer;
	}
	return NULL;
}

void cache_put(struct cache *cache, const char *key, struct MHD_Response *response, size_t bytes, const char *tag,
	       int64_t version, int64_t now_mono_ms)
{
	struct cache_answer *answer = find_key(cache, key);

	if (answer != NULL)
		drop(cache, answer);
	while (answer == NULL || cache->bytes + bytes > CACHE_BYTES_MAX) {
		struct cache_answer *oldest = &cache->answers[cache->next++ % CACHE_ANSWERS];

		drop(cache, oldest);
		if (answer == NULL)
			answer = oldest;
	}
	cache->bytes += bytes;
	answer->bytes = bytes;
	answer->key = mem_strdup(key);
	answer->response = response;
	snprintf(answer->tag, sizeof answer->tag, "%s", tag);
	answer->version = version;
	answer->until_mono_ms = now_mono_ms + CACHE_MS;
}

void cache_fini(struct cache *cache)
{
	for (unsigned i = 0; i < CACHE_ANSWERS; i++)
		drop(cache, &cache->answers[i]);
}
