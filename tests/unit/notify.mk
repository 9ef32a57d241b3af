# Who is told what, when, and how.
if HAVE_CMOCKA
NOTIFY_TESTS = tests/unit/test_notice tests/unit/test_late tests/unit/test_hook tests/unit/test_store_outbox
check_PROGRAMS += $(NOTIFY_TESTS)
TESTS += $(NOTIFY_TESTS)
tests_unit_test_notice_SOURCES = tests/unit/test_notice.c
tests_unit_test_notice_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_notice_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_late_SOURCES = tests/unit/test_late.c
tests_unit_test_late_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_late_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_hook_SOURCES = tests/unit/test_hook.c
tests_unit_test_hook_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_hook_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_store_outbox_SOURCES = tests/unit/test_store_outbox.c
tests_unit_test_store_outbox_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_store_outbox_LDADD = $(SCHEDULER_TEST_LIBS)
endif
