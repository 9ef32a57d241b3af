#include "web/assets.h"

#include <stddef.h>
#include <string.h>

#include "common/scope.h"
#include "web/answer.h"

static const char index_html[] =
#include "web/assets/index_html.inc"
	;
static const char style_css[] =
#include "web/assets/style_css.inc"
	;

#define ASSET(path, type, bytes) { (path), (type), (bytes), sizeof(bytes) - 1 }

static const struct asset {
	const char *path;
	const char *type;
	const char *bytes;
	size_t n;
} assets[] = {
	ASSET("/", "text/html; charset=utf-8", index_html),
	ASSET("/assets/style.css", "text/css; charset=utf-8", style_css),
};

static const struct asset *find(const char *path)
{
	for (size_t i = 0; i < COUNT_OF(assets); i++)
		if (strcmp(assets[i].path, path) == 0)
			return &assets[i];
	return NULL;
}

bool assets_have(const char *path)
{
	return find(path) != NULL;
}

void assets_answer(struct exchange *exchange, const char *path, bool named_by_version)
{
	static struct answer_kept kept[COUNT_OF(assets)];
	const struct asset *asset = find(path);

	answer_kept(exchange, &kept[asset - assets], asset->type, asset->bytes, asset->n,
		    named_by_version ? "public, max-age=31536000, immutable" : "no-cache");
}
