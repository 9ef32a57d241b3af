# Copies of checkpoints; the libraries are those of scheduler.mk.
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_copies tests/unit/test_kept
TESTS += tests/unit/test_copies tests/unit/test_kept
tests_unit_test_copies_SOURCES = tests/unit/test_copies.c
tests_unit_test_copies_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_copies_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_kept_SOURCES = tests/unit/test_kept.c
tests_unit_test_kept_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_kept_LDADD = $(SCHEDULER_TEST_LIBS)
endif
