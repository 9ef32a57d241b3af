# The page, the API and the live streams: HTTP on the caller's loop. Knows nothing of runs (source.h).
noinst_LIBRARIES += libweb.a
libweb_a_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS) $(JANSSON_CFLAGS) $(MHD_CFLAGS) $(ZLIB_CFLAGS)
libweb_a_SOURCES = \
	web/answer.c web/answer.h \
	web/api.c web/api.h \
	web/assets.c web/assets.h \
	web/auth.c web/auth.h \
	web/cache.c web/cache.h \
	web/identify.c web/identify.h \
	web/library.c web/library.h \
	web/listen.c web/listen.h \
	web/logs.c web/logs.h \
	web/metrics.c web/metrics.h \
	web/openapi.c web/openapi.h \
	web/parts.h \
	web/request.c web/request.h \
	web/routes.c web/routes.h \
	web/source.h \
	web/stream.c web/stream.h \
	web/web.c web/web.h
WEB_LIBS = libweb.a libcommon.a $(UV_LIBS) $(JANSSON_LIBS) $(ZLIB_LIBS)

# Files that become part of the program; web/assets.c has the table of them.
ASSETS = web/assets/index.html web/assets/style.css
EXTRA_DIST += $(ASSETS) web/schemas.json
web_embedded = web/assets/index_html.inc web/assets/style_css.inc web/schemas_json.inc
web/schemas_json.inc: $(srcdir)/web/schemas.json $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(MKDIR_P) web && \
	$(SHELL) $(top_srcdir)/build-aux/embed.sh $(srcdir)/web/schemas.json > $@.tmp && mv -f $@.tmp $@
web/assets/index_html.inc: $(srcdir)/web/assets/index.html $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(MKDIR_P) web/assets && \
	$(SHELL) $(top_srcdir)/build-aux/embed.sh $(srcdir)/web/assets/index.html > $@.tmp && mv -f $@.tmp $@
web/assets/style_css.inc: $(srcdir)/web/assets/style.css $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(MKDIR_P) web/assets && \
	$(SHELL) $(top_srcdir)/build-aux/embed.sh $(srcdir)/web/assets/style.css > $@.tmp && mv -f $@.tmp $@
web/libweb_a-assets.$(OBJEXT): web/assets/index_html.inc web/assets/style_css.inc
web/libweb_a-openapi.$(OBJEXT): web/schemas_json.inc
BUILT_SOURCES += $(web_embedded)
CLEANFILES += $(web_embedded)
