# Schedules: the timetable with its ledger, and backfills.
if HAVE_CMOCKA
DUE_TESTS = tests/unit/test_timetable tests/unit/test_backfill
check_PROGRAMS += $(DUE_TESTS)
TESTS += $(DUE_TESTS)
EXTRA_DIST += tests/unit/nights_fixture.h
tests_unit_test_timetable_SOURCES = tests/unit/test_timetable.c
tests_unit_test_timetable_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_timetable_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_backfill_SOURCES = tests/unit/test_backfill.c
tests_unit_test_backfill_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_backfill_LDADD = $(SCHEDULER_TEST_LIBS)
endif
