# What keeps it going for years: retention, backups, the doctor.
if HAVE_CMOCKA
OPERATIONS_TESTS = tests/unit/test_backup tests/unit/test_gc
check_PROGRAMS += $(OPERATIONS_TESTS)
TESTS += $(OPERATIONS_TESTS)
tests_unit_test_backup_SOURCES = tests/unit/test_backup.c
tests_unit_test_backup_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_backup_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_gc_SOURCES = tests/unit/test_gc.c
tests_unit_test_gc_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_gc_LDADD = $(SCHEDULER_TEST_LIBS)
endif
