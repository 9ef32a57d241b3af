# The server's parts that are pure; the rest is tests/e2e/test_web.py.
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_web
TESTS += tests/unit/test_web
tests_unit_test_web_SOURCES = tests/unit/test_web.c
tests_unit_test_web_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(UV_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_web_LDADD = $(WEB_LIBS) $(CMOCKA_LIBS)
endif
