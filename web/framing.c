#include "web/framing.h"

#include <string.h>
#include <strings.h>

#include "common/scope.h"

enum singular { HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONTENT_TYPE, AUTHORIZATION, ORIGIN, RANGE, SINGULARS };

static const char *const names[SINGULARS] = {
	[HOST] = MHD_HTTP_HEADER_HOST,
	[CONTENT_LENGTH] = MHD_HTTP_HEADER_CONTENT_LENGTH,
	[TRANSFER_ENCODING] = MHD_HTTP_HEADER_TRANSFER_ENCODING,
	[CONTENT_TYPE] = MHD_HTTP_HEADER_CONTENT_TYPE,
	[AUTHORIZATION] = MHD_HTTP_HEADER_AUTHORIZATION,
	[ORIGIN] = MHD_HTTP_HEADER_ORIGIN,
	[RANGE] = MHD_HTTP_HEADER_RANGE,
};

/* What was seen of a header. */
struct seen {
	unsigned counts[SINGULARS];
	const char *coding;
	bool odd_name;
};

static bool is_token(const char *text)
{
	const char *c = text;

	while ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
	       (*c != '\0' && strchr("-_!#$%&'*+.^`|~", *c) != NULL))
		c++;
	return c > text && *c == '\0';
}

static enum MHD_Result on_field(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct seen *seen = context;

	(void)kind;
	seen->odd_name |= !is_token(name);
	for (int i = 0; i < SINGULARS; i++)
		if (strcasecmp(name, names[i]) == 0)
			seen->counts[i]++;
	if (strcasecmp(name, names[TRANSFER_ENCODING]) == 0)
		seen->coding = value == NULL ? "" : value;
	return MHD_YES;
}

int framing_check(const struct exchange *exchange, const char *version, struct err *err)
{
	struct seen seen = { 0 };

	http->get_connection_values(exchange->mhd, MHD_HEADER_KIND, on_field, &seen);
	if (seen.odd_name)
		return err_set(err, ERR_INVALID, "the header has a line that is no field");
	for (int i = 0; i < SINGULARS; i++)
		if (seen.counts[i] > 1)
			return err_set(err, ERR_INVALID, "the header has more than one %s", names[i]);
	if (seen.counts[TRANSFER_ENCODING] == 0)
		return 0;
	if (seen.counts[CONTENT_LENGTH] > 0)
		return err_set(err, ERR_INVALID, "a body has a Content-Length or a Transfer-Encoding, not both");
	if (strcasecmp(seen.coding, "chunked") != 0 || strcmp(version, "HTTP/1.1") != 0)
		return err_set(err, ERR_INVALID, "the only Transfer-Encoding there is here is chunked, of HTTP/1.1");
	return 0;
}
