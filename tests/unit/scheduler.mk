if HAVE_CMOCKA
SCHEDULER_TEST_LIBS = libscheduler.a libweb.a libexecutor.a libdag.a libcommon.a $(CMOCKA_LIBS) $(SQLITE_LIBS) $(YAML_LIBS) \
	$(UV_LIBS) $(JANSSON_LIBS) $(SSH_LIBS)
SCHEDULER_TEST_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(SQLITE_CFLAGS) $(UV_CFLAGS) $(JANSSON_CFLAGS) $(CURL_CFLAGS)
check_PROGRAMS += tests/unit/test_retry tests/unit/test_ledger tests/unit/test_store tests/unit/test_core tests/unit/test_settings \
	tests/unit/test_placement tests/unit/test_due
TESTS += tests/unit/test_retry tests/unit/test_ledger tests/unit/test_store tests/unit/test_core tests/unit/test_settings \
	tests/unit/test_placement tests/unit/test_due
tests_unit_test_retry_SOURCES = tests/unit/test_retry.c
tests_unit_test_retry_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_retry_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_ledger_SOURCES = tests/unit/test_ledger.c
tests_unit_test_ledger_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_ledger_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_store_SOURCES = tests/unit/test_store.c
tests_unit_test_store_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_store_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_core_SOURCES = tests/unit/test_core.c
tests_unit_test_core_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_core_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_settings_SOURCES = tests/unit/test_settings.c
tests_unit_test_settings_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_settings_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_placement_SOURCES = tests/unit/test_placement.c tests/unit/run_fixture.h
tests_unit_test_placement_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_placement_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_due_SOURCES = tests/unit/test_due.c tests/unit/zone_fixture.h
tests_unit_test_due_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_due_LDADD = $(SCHEDULER_TEST_LIBS)
endif
EXTRA_DIST += tests/unit/due_oracle.py
