# What the command line shows: views, sentences, the progress of a run.
if HAVE_CMOCKA
VIEW_TESTS = tests/unit/test_terminal tests/unit/test_owner tests/unit/test_view tests/unit/test_why \
	tests/unit/test_progress tests/unit/test_command
check_PROGRAMS += $(VIEW_TESTS)
TESTS += $(VIEW_TESTS)
EXTRA_DIST += tests/unit/run_fixture.h
tests_unit_test_terminal_SOURCES = tests/unit/test_terminal.c
tests_unit_test_terminal_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_terminal_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_owner_SOURCES = tests/unit/test_owner.c
tests_unit_test_owner_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_owner_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_view_SOURCES = tests/unit/test_view.c
tests_unit_test_view_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_view_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_why_SOURCES = tests/unit/test_why.c
tests_unit_test_why_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_why_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_progress_SOURCES = tests/unit/test_progress.c
tests_unit_test_progress_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_progress_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_command_SOURCES = tests/unit/test_command.c
tests_unit_test_command_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_command_LDADD = $(SCHEDULER_TEST_LIBS)
endif
