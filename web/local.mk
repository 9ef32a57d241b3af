# The page, the API and the live streams: HTTP on the caller's loop. Knows nothing of runs (source.h).
noinst_LIBRARIES += libweb.a
libweb_a_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS) $(JANSSON_CFLAGS) $(MHD_CFLAGS) $(DEFLATE_CFLAGS)
libweb_a_SOURCES = \
	web/answer.c web/answer.h \
	web/api.c web/api.h \
	web/aside.c web/aside.h \
	web/assets.c web/assets.h \
	web/auth.c web/auth.h \
	web/cache.c web/cache.h \
	web/framing.c web/framing.h \
	web/identify.c web/identify.h \
	web/library.c web/library.h \
	web/listen.c web/listen.h \
	web/logs.c web/logs.h \
	web/metrics.c web/metrics.h \
	web/openapi.c web/openapi.h \
	web/parts.h \
	web/plain.c web/plain.h \
	web/request.c web/request.h \
	web/routes.c web/routes.h \
	web/source.h \
	web/stream.c web/stream.h \
	web/web.c web/web.h
WEB_LIBS = libweb.a libcommon.a $(UV_LIBS) $(JANSSON_LIBS) $(DEFLATE_LIBS)

# Files that become part of the program; web/assets.c has the table of them.
ASSETS = \
	web/assets/ansi.js \
	web/assets/api.js \
	web/assets/app.js \
	web/assets/charts.js \
	web/assets/dag.js \
	web/assets/dialogs.js \
	web/assets/dom.js \
	web/assets/graph.js \
	web/assets/icon.svg \
	web/assets/index.html \
	web/assets/lists.js \
	web/assets/log.js \
	web/assets/overview.js \
	web/assets/run.js \
	web/assets/style.css \
	web/assets/task.js \
	web/assets/words.js
EXTRA_DIST += $(ASSETS) web/schemas.json
assets_embedded = \
	web/assets/ansi_js.inc \
	web/assets/api_js.inc \
	web/assets/app_js.inc \
	web/assets/charts_js.inc \
	web/assets/dag_js.inc \
	web/assets/dialogs_js.inc \
	web/assets/dom_js.inc \
	web/assets/graph_js.inc \
	web/assets/icon_svg.inc \
	web/assets/index_html.inc \
	web/assets/lists_js.inc \
	web/assets/log_js.inc \
	web/assets/overview_js.inc \
	web/assets/run_js.inc \
	web/assets/style_css.inc \
	web/assets/task_js.inc \
	web/assets/words_js.inc
web_embedded = $(assets_embedded) web/schemas_json.inc
embed = $(MKDIR_P) web/assets && $(SHELL) $(top_srcdir)/build-aux/embed.sh
web/schemas_json.inc: $(srcdir)/web/schemas.json $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/schemas.json > $@.tmp && mv -f $@.tmp $@
web/assets/ansi_js.inc: $(srcdir)/web/assets/ansi.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/ansi.js > $@.tmp && mv -f $@.tmp $@
web/assets/api_js.inc: $(srcdir)/web/assets/api.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/api.js > $@.tmp && mv -f $@.tmp $@
web/assets/app_js.inc: $(srcdir)/web/assets/app.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/app.js > $@.tmp && mv -f $@.tmp $@
web/assets/charts_js.inc: $(srcdir)/web/assets/charts.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/charts.js > $@.tmp && mv -f $@.tmp $@
web/assets/dag_js.inc: $(srcdir)/web/assets/dag.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/dag.js > $@.tmp && mv -f $@.tmp $@
web/assets/dialogs_js.inc: $(srcdir)/web/assets/dialogs.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/dialogs.js > $@.tmp && mv -f $@.tmp $@
web/assets/dom_js.inc: $(srcdir)/web/assets/dom.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/dom.js > $@.tmp && mv -f $@.tmp $@
web/assets/graph_js.inc: $(srcdir)/web/assets/graph.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/graph.js > $@.tmp && mv -f $@.tmp $@
web/assets/icon_svg.inc: $(srcdir)/web/assets/icon.svg $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/icon.svg > $@.tmp && mv -f $@.tmp $@
web/assets/index_html.inc: $(srcdir)/web/assets/index.html $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/index.html > $@.tmp && mv -f $@.tmp $@
web/assets/lists_js.inc: $(srcdir)/web/assets/lists.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/lists.js > $@.tmp && mv -f $@.tmp $@
web/assets/log_js.inc: $(srcdir)/web/assets/log.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/log.js > $@.tmp && mv -f $@.tmp $@
web/assets/overview_js.inc: $(srcdir)/web/assets/overview.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/overview.js > $@.tmp && mv -f $@.tmp $@
web/assets/run_js.inc: $(srcdir)/web/assets/run.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/run.js > $@.tmp && mv -f $@.tmp $@
web/assets/style_css.inc: $(srcdir)/web/assets/style.css $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/style.css > $@.tmp && mv -f $@.tmp $@
web/assets/task_js.inc: $(srcdir)/web/assets/task.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/task.js > $@.tmp && mv -f $@.tmp $@
web/assets/words_js.inc: $(srcdir)/web/assets/words.js $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(embed) $(srcdir)/web/assets/words.js > $@.tmp && mv -f $@.tmp $@
web/libweb_a-assets.$(OBJEXT): $(assets_embedded)
web/libweb_a-openapi.$(OBJEXT): web/schemas_json.inc
BUILT_SOURCES += $(web_embedded)
CLEANFILES += $(web_embedded)
