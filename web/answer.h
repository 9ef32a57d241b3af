/*
 * answer.h - what is sent back: JSON, problems, bytes, with the header that belongs to all of them
 *
 * A problem is RFC 9457's: {"type":"about:blank", "title":"Not Found", "status":404, "detail":"the sentence that the
 * command line prints too", "code":"not_found"}; "code" is the name of the enum err_code, for clients that go on with
 * it. Below /plain, which people read, it is a page. JSON gets an ETag (a digest of it) and is compressed for those who take that and where it pays.
 *
 * Every answer says nosniff, no framing, no referrer, and a Content-Security-Policy under which nothing but what this
 * server itself sends as a file can be style or script.
 */
#ifndef WEB_ANSWER_H
#define WEB_ANSWER_H

#include <jansson.h>

#include "common/err.h"
#include "web/parts.h"

/* The status that stands for an error. */
unsigned answer_status(enum err_code code);
const char *answer_code(enum err_code code); /* "not_found" */

void answer_json(struct exchange *exchange, unsigned status, json_t *json); /* taken over */
/* Text of the heap that is taken over; it gets an ETag and is compressed, as JSON is. */
void answer_text(struct exchange *exchange, unsigned status, char *text, size_t bytes, const char *type);

void answer_problem(struct exchange *exchange, unsigned status, enum err_code code, const char *detail);
void answer_error(struct exchange *exchange, const struct err *err); /* by answer_status */

/* Bytes that are copied. `etag` may be NULL; `cache` is the Cache-Control. */
void answer_bytes(struct exchange *exchange, unsigned status, const char *type, const void *bytes, size_t n,
		  const char *etag, const char *cache);

/* Whether the client takes gzip, and whether it has this already. */
bool answer_may_compress(const struct exchange *exchange);
bool answer_is_known(const struct exchange *exchange, const char *etag);

/* An answer of the cache, as it is. */
void answer_again(struct exchange *exchange, const struct cache_answer *kept);

/* Memory to compress with, for one thread. */
struct answer_press;
struct answer_press *answer_press_new(void);
void answer_press_free(struct answer_press *press); /* NULL is harmless */

/* Text that is ready to be sent, to any number of clients; counted on the loop. */
struct answer_made {
	int holders;
	uint8_t *bytes;
	size_t n;
	const char *type;
	bool compressed;
	char tag[CACHE_TAG_BYTES];
};

/*
 * These touch nothing of the server, so a thread may call them. Text of the heap is taken over; one holder has it. What is
 * small has its tag then; what is large is first made small: `press` compresses it where it pays, unless that is NULL.
 */
struct answer_made *answer_make(char *text, size_t bytes, const char *type);
void answer_finish(struct answer_made *made, struct answer_press *press);

void answer_release(struct answer_made *made); /* NULL is harmless */
void answer_made(struct exchange *exchange, unsigned status, struct answer_made *made); /* one hold is taken over */

/* What never changes, made ready once: zeroed at first, and never freed. */
struct answer_kept {
	void *compressed; /* NULL: not made yet, or it does not pay */
	size_t compressed_bytes;
	char etag[32];
};

/* The same for bytes that live as long as the program. */
void answer_kept(struct exchange *exchange, struct answer_kept *kept, const char *type, const void *bytes, size_t n,
		 const char *cache);

/* A response that the caller made; it is taken over. */
void answer_response(struct exchange *exchange, unsigned status, struct MHD_Response *response, const char *type,
		     const char *cache);

void answer_header(struct exchange *exchange, const char *name, const char *value);

#endif
