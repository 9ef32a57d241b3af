# The server's parts that are pure, and what the API reads; the rest is tests/e2e/test_web.py and test_control.py.
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_web tests/unit/test_view_dags
TESTS += tests/unit/test_web tests/unit/test_view_dags
tests_unit_test_view_dags_SOURCES = tests/unit/test_view_dags.c
tests_unit_test_view_dags_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_view_dags_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_web_SOURCES = tests/unit/test_web.c
tests_unit_test_web_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(UV_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_web_LDADD = $(WEB_LIBS) $(CMOCKA_LIBS)
endif
