# The parts of the daemon.
if HAVE_CMOCKA
DAEMON_TESTS = tests/unit/test_registry tests/unit/test_queue
check_PROGRAMS += $(DAEMON_TESTS)
TESTS += $(DAEMON_TESTS)
tests_unit_test_registry_SOURCES = tests/unit/test_registry.c
tests_unit_test_registry_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_registry_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_queue_SOURCES = tests/unit/test_queue.c
tests_unit_test_queue_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_queue_LDADD = $(SCHEDULER_TEST_LIBS)
endif
