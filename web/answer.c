#include "web/answer.h"

#include <assert.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/mem.h"
#include "common/scope.h"
#include "common/utf8.h"

enum {
	COMPRESSED_BYTES_MIN = 1400, /* what one packet carries */
	LARGE_BYTES = 128 * 1024,
	BLOCK_BYTES = 32 * 1024,
	TAG_DIGITS = 20,
	TAG_BYTES = TAG_DIGITS + 5,
};

static const struct {
	enum err_code code;
	unsigned status;
	const char *name;
} codes[] = {
	{ ERR_INVALID, 400, "invalid" }, { ERR_NOT_FOUND, 404, "not_found" }, { ERR_EXISTS, 409, "exists" },
	{ ERR_BUSY, 409, "busy" },	 { ERR_FULL, 507, "full" },	      { ERR_DENIED, 403, "denied" },
	{ ERR_CORRUPT, 500, "corrupt" }, { ERR_VERSION, 500, "version" },     { ERR_LIMIT, 429, "limit" },
	{ ERR_IO, 500, "io" },
};

unsigned answer_status(enum err_code code)
{
	for (size_t i = 0; i < COUNT_OF(codes); i++)
		if (codes[i].code == code)
			return codes[i].status;
	return 500;
}

const char *answer_code(enum err_code code)
{
	for (size_t i = 0; i < COUNT_OF(codes); i++)
		if (codes[i].code == code)
			return codes[i].name;
	return "io";
}

static const char *title_of(unsigned status)
{
	static const struct {
		unsigned status;
		const char *title;
	} titles[] = {
		{ 400, "Bad Request" },	       { 401, "Unauthorized" },		 { 403, "Forbidden" },
		{ 404, "Not Found" },	       { 405, "Method Not Allowed" },	 { 409, "Conflict" },
		{ 413, "Content Too Large" },  { 414, "URI Too Long" },		 { 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" }, { 421, "Misdirected Request" }, { 429, "Too Many Requests" },
		{ 500, "Internal Server Error" }, { 503, "Service Unavailable" }, { 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < COUNT_OF(titles); i++)
		if (titles[i].status == status)
			return titles[i].title;
	return "Error";
}

/* --- the header of all ------------------------------------------------------------------------------------ */

static const struct {
	const char *name, *value;
} common_header[] = {
	{ "Content-Security-Policy",
	  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
	  " font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
	  " require-trusted-types-for 'script'; trusted-types 'none'" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "X-Frame-Options", "DENY" },
	{ "Referrer-Policy", "no-referrer" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
};

void answer_header(struct exchange *exchange, const char *name, const char *value)
{
	http->add_response_header(exchange->answer, name, value);
}

void answer_response(struct exchange *exchange, unsigned status, struct MHD_Response *response, const char *type,
		     const char *cache)
{
	const struct web *web = exchange->connection->listener->web;

	if (exchange->answer != NULL && !exchange->answer_is_kept)
		http->destroy_response(exchange->answer);
	exchange->answer = response;
	exchange->answer_is_kept = false;
	exchange->status = status;
	answer_header(exchange, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	answer_header(exchange, MHD_HTTP_HEADER_CACHE_CONTROL, cache);
	for (size_t i = 0; i < COUNT_OF(common_header); i++)
		answer_header(exchange, common_header[i].name, common_header[i].value);
	if (web->settings->certificate_path != NULL && !exchange->connection->listener->local)
		answer_header(exchange, "Strict-Transport-Security", "max-age=31536000");
}

/* --- bytes ------------------------------------------------------------------------------------------------ */

bool answer_may_compress(const struct exchange *exchange)
{
	const char *accepted = exchange_header(exchange, MHD_HTTP_HEADER_ACCEPT_ENCODING);
	const char *gzip = accepted == NULL ? NULL : strstr(accepted, "gzip");

	if (gzip == NULL)
		return false;
	gzip += 4;
	gzip += strspn(gzip, " ");
	return strncmp(gzip, ";q=0", 4) != 0 || (gzip[4] == '.' && strspn(gzip + 5, "0") < strcspn(gzip + 5, ", "));
}

/* By weak comparison: "W/" counts for nothing. */
bool answer_is_known(const struct exchange *exchange, const char *etag)
{
	const char *known = exchange_header(exchange, MHD_HTTP_HEADER_IF_NONE_MATCH);

	return known != NULL && (strcmp(known, "*") == 0 || strstr(known, strchr(etag, '"')) != NULL);
}

void answer_bytes(struct exchange *exchange, unsigned status, const char *type, const void *bytes, size_t n,
		  const char *etag, const char *cache)
{
	bool unchanged = etag != NULL && status == 200 && answer_is_known(exchange, etag);
	struct MHD_Response *response = http->create_response_from_buffer(
		unchanged ? 0 : n, (void *)(uintptr_t)(unchanged ? "" : bytes), MHD_RESPMEM_MUST_COPY);

	answer_response(exchange, unchanged ? 304 : status, response, type, cache);
	if (etag != NULL)
		answer_header(exchange, MHD_HTTP_HEADER_ETAG, etag);
}

/* --- text ------------------------------------------------------------------------------------------------- */

/* It fails only where there is no room. */
static void *compress_bytes(struct libdeflate_compressor *compressor, const void *bytes, size_t n,
			    size_t *compressed_bytes_out)
{
	size_t room = libdeflate_gzip_compress_bound(compressor, n);
	uint8_t *out = mem_alloc(room);

	*compressed_bytes_out = libdeflate_gzip_compress(compressor, bytes, n, out, room);
	assert(*compressed_bytes_out > 0);
	return out;
}

static struct libdeflate_compressor *make_compressor(int level)
{
	struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(level);

	assert(compressor != NULL); /* it fails only without memory */
	return compressor;
}

/* They need some hundred KiB, which are not to be asked for for each answer. NULL: not needed yet. */
struct answer_press {
	struct libdeflate_compressor *usual, *quick;
};

struct answer_press *answer_press_new(void)
{
	return mem_zalloc(sizeof(struct answer_press));
}

void answer_press_free(struct answer_press *press)
{
	if (press != NULL) {
		libdeflate_free_compressor(press->usual);
		libdeflate_free_compressor(press->quick);
	}
	free(press);
}

/*
 * What is small, in not much more time than the fastest way takes, and a third smaller. Of what is large that is most of
 * the time that the answer takes at all (the list of 200 DAGs: 1.6 ms in place of 0.55, for 19 KB in place of 23).
 */
static void *compress_answer(struct answer_press *press, const void *bytes, size_t n, size_t *compressed_bytes_out)
{
	bool large = n >= LARGE_BYTES;
	struct libdeflate_compressor **compressor = large ? &press->quick : &press->usual;

	if (*compressor == NULL)
		*compressor = make_compressor(large ? 1 : 4);
	return compress_bytes(*compressor, bytes, n, compressed_bytes_out);
}

/* Well, as it is done once; but on the loop, and the three best levels take five times as long for a fiftieth less. */
static void *compress_asset(const void *bytes, size_t n, size_t *compressed_bytes_out)
{
	struct libdeflate_compressor *compressor = make_compressor(8);
	void *out = compress_bytes(compressor, bytes, n, compressed_bytes_out);

	libdeflate_free_compressor(compressor);
	return out;
}

/* Weak: of what is small it stands for the contents, compressed or not. */
static void tag_of(const void *bytes, size_t n, char tag_out[TAG_BYTES])
{
	uint8_t digest_bytes[DIGEST_BYTES];
	char hex[DIGEST_HEX_BYTES];
	struct digest digest;

	digest_init(&digest);
	digest_add(&digest, bytes, n);
	digest_end(&digest, digest_bytes);
	snprintf(tag_out, TAG_BYTES, "W/\"%.*s\"", TAG_DIGITS, digest_hex(digest_bytes, hex));
}

struct answer_made *answer_make(char *text, size_t bytes, const char *type)
{
	struct answer_made *made = mem_zalloc(sizeof *made);

	made->holders = 1;
	made->type = type;
	made->bytes = (uint8_t *)text;
	made->n = bytes;
	if (bytes < LARGE_BYTES)
		tag_of(text, bytes, made->tag);
	return made;
}

static void compress_made(struct answer_press *press, struct answer_made *made)
{
	uint8_t *smaller = compress_answer(press, made->bytes, made->n, &made->n);

	free(made->bytes);
	made->bytes = smaller;
	made->compressed = true;
}

void answer_finish(struct answer_made *made, struct answer_press *press)
{
	if (press != NULL && made->n >= COMPRESSED_BYTES_MIN)
		compress_made(press, made);
	if (made->tag[0] == '\0')
		tag_of(made->bytes, made->n, made->tag);
}

void answer_release(struct answer_made *made)
{
	if (made == NULL || --made->holders > 0)
		return;
	free(made->bytes);
	free(made);
}

static ssize_t read_made(void *context, uint64_t at, char *out, size_t room)
{
	const struct answer_made *made = context;
	size_t left = made->n - (size_t)at, n = left < room ? left : room;

	memcpy(out, made->bytes + at, n);
	return (ssize_t)n;
}

static void on_made_sent(void *context)
{
	answer_release(context);
}

/*
 * The last who holds it hands its bytes over. Else what is too large for the cache is not copied: each client takes it at
 * its own pace, and all from the same bytes.
 */
static struct MHD_Response *response_of(struct answer_made *made)
{
	uint8_t *bytes = made->bytes;

	if (made->holders == 1) {
		made->bytes = NULL;
		return http->create_response_from_buffer(made->n, bytes, MHD_RESPMEM_MUST_FREE);
	}
	if (made->n <= CACHE_BYTES_EACH_MAX)
		return http->create_response_from_buffer(made->n, bytes, MHD_RESPMEM_MUST_COPY);
	made->holders++;
	return http->create_response_from_callback(made->n, BLOCK_BYTES, read_made, made, on_made_sent);
}

static bool is_known_already(const struct exchange *exchange, unsigned status, const struct answer_made *made)
{
	return status == 200 && made->tag[0] != '\0' && answer_is_known(exchange, made->tag);
}

void answer_made(struct exchange *exchange, unsigned status, struct answer_made *made)
{
	if (is_known_already(exchange, status, made)) {
		answer_bytes(exchange, 200, made->type, "", 0, made->tag, "no-cache");
	} else {
		answer_response(exchange, status, response_of(made), made->type, "no-cache");
		exchange->answer_bytes = made->n;
		memcpy(exchange->answer_tag, made->tag, sizeof made->tag);
		if (status == 200)
			answer_header(exchange, MHD_HTTP_HEADER_ETAG, made->tag);
		if (made->compressed)
			answer_header(exchange, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
		answer_header(exchange, MHD_HTTP_HEADER_VARY, "Accept-Encoding, Cookie, Authorization");
	}
	answer_release(made);
}

void answer_text(struct exchange *exchange, unsigned status, char *text, size_t bytes, const char *type)
{
	struct answer_made *made = answer_make(text, bytes, type);

	if (!is_known_already(exchange, status, made))
		answer_finish(made, answer_may_compress(exchange) ? exchange->connection->listener->web->press : NULL);
	answer_made(exchange, status, made);
}

void answer_json(struct exchange *exchange, unsigned status, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);

	json_decref(json);
	if (text == NULL) {
		answer_problem(exchange, 500, ERR_CORRUPT, "the answer cannot be written as JSON");
		return;
	}
	answer_text(exchange, status, text, strlen(text), "application/json");
}

void answer_again(struct exchange *exchange, const struct cache_answer *kept)
{
	if (answer_is_known(exchange, kept->tag)) {
		answer_bytes(exchange, 200, "application/json", "", 0, kept->tag, "no-cache");
		return;
	}
	exchange->answer = kept->response;
	exchange->answer_is_kept = true;
	exchange->status = 200;
}

/* --- what is part of the program -------------------------------------------------------------------------- */

void answer_kept(struct exchange *exchange, struct answer_kept *kept, const char *type, const void *bytes, size_t n,
		 const char *cache)
{
	bool compressed = n >= COMPRESSED_BYTES_MIN && answer_may_compress(exchange);

	if (kept->etag[0] == '\0')
		tag_of(bytes, n, kept->etag);
	if (compressed && kept->compressed == NULL)
		kept->compressed = compress_asset(bytes, n, &kept->compressed_bytes);
	answer_bytes(exchange, 200, type, compressed ? kept->compressed : bytes,
		     compressed ? kept->compressed_bytes : n, kept->etag, cache);
	if (compressed && exchange->status == 200)
		answer_header(exchange, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	answer_header(exchange, MHD_HTTP_HEADER_VARY, "Accept-Encoding");
}

/* --- problems --------------------------------------------------------------------------------------------- */

/* What an error quotes may be of any bytes. */
static json_t *text_value(const char *text)
{
	size_t bytes = strlen(text);
	autobuf struct buf valid = { 0 };

	for (size_t i = 0; i < bytes;) {
		uint32_t code;
		size_t n = utf8_decode(text + i, bytes - i, &code);

		if (n > 0)
			buf_append(&valid, text + i, n);
		else
			buf_append_text(&valid, "\xef\xbf\xbd");
		i += n > 0 ? n : 1;
	}
	return json_stringn_nocheck(buf_text(&valid), valid.bytes);
}

void answer_problem(struct exchange *exchange, unsigned status, enum err_code code, const char *detail)
{
	json_t *problem;
	char *text;

	if (exchange->problem_page != NULL) {
		text = exchange->problem_page(title_of(status), detail);
		answer_text(exchange, status, text, strlen(text), "text/html; charset=utf-8");
		return;
	}
	problem = json_pack("{s:s, s:s, s:i, s:o, s:s}", "type", "about:blank", "title", title_of(status), "status",
			    (int)status, "detail", text_value(detail), "code", answer_code(code));
	text = json_dumps(problem, JSON_COMPACT);
	json_decref(problem);
	answer_text(exchange, status, text, strlen(text), "application/problem+json");
}

void answer_error(struct exchange *exchange, const struct err *err)
{
	answer_problem(exchange, answer_status(err->code), err->code, err->text);
}
