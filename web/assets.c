#include "web/assets.h"

#include <stddef.h>
#include <string.h>

#include "common/scope.h"
#include "web/answer.h"

static const char ansi_js[] =
#include "web/assets/ansi_js.inc"
	;
static const char api_js[] =
#include "web/assets/api_js.inc"
	;
static const char app_js[] =
#include "web/assets/app_js.inc"
	;
static const char charts_js[] =
#include "web/assets/charts_js.inc"
	;
static const char dag_js[] =
#include "web/assets/dag_js.inc"
	;
static const char dialogs_js[] =
#include "web/assets/dialogs_js.inc"
	;
static const char dom_js[] =
#include "web/assets/dom_js.inc"
	;
static const char graph_js[] =
#include "web/assets/graph_js.inc"
	;
static const char icon_svg[] =
#include "web/assets/icon_svg.inc"
	;
static const char index_html[] =
#include "web/assets/index_html.inc"
	;
static const char lists_js[] =
#include "web/assets/lists_js.inc"
	;
static const char log_js[] =
#include "web/assets/log_js.inc"
	;
static const char overview_js[] =
#include "web/assets/overview_js.inc"
	;
static const char run_js[] =
#include "web/assets/run_js.inc"
	;
static const char style_css[] =
#include "web/assets/style_css.inc"
	;
static const char task_js[] =
#include "web/assets/task_js.inc"
	;
static const char words_js[] =
#include "web/assets/words_js.inc"
	;

#define HTML   "text/html; charset=utf-8"
#define SCRIPT "text/javascript; charset=utf-8"
#define STYLE  "text/css; charset=utf-8"
#define ICON   "image/svg+xml"

#define ASSET(path, type, bytes) { (path), (type), (bytes), sizeof(bytes) - 1 }

static const struct asset {
	const char *path;
	const char *type;
	const char *bytes;
	size_t n;
} assets[] = {
	ASSET("/", HTML, index_html),
	ASSET("/assets/ansi.js", SCRIPT, ansi_js),
	ASSET("/assets/api.js", SCRIPT, api_js),
	ASSET("/assets/app.js", SCRIPT, app_js),
	ASSET("/assets/charts.js", SCRIPT, charts_js),
	ASSET("/assets/dag.js", SCRIPT, dag_js),
	ASSET("/assets/dialogs.js", SCRIPT, dialogs_js),
	ASSET("/assets/dom.js", SCRIPT, dom_js),
	ASSET("/assets/graph.js", SCRIPT, graph_js),
	ASSET("/assets/icon.svg", ICON, icon_svg),
	ASSET("/assets/lists.js", SCRIPT, lists_js),
	ASSET("/assets/log.js", SCRIPT, log_js),
	ASSET("/assets/overview.js", SCRIPT, overview_js),
	ASSET("/assets/run.js", SCRIPT, run_js),
	ASSET("/assets/style.css", STYLE, style_css),
	ASSET("/assets/task.js", SCRIPT, task_js),
	ASSET("/assets/words.js", SCRIPT, words_js),
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
