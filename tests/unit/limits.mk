# Pools, priorities and what keeps whom waiting.
if HAVE_CMOCKA
LIMITS_TESTS = tests/unit/test_fitness tests/unit/test_limits
check_PROGRAMS += $(LIMITS_TESTS)
TESTS += $(LIMITS_TESTS)
tests_unit_test_fitness_SOURCES = tests/unit/test_fitness.c
tests_unit_test_fitness_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_fitness_LDADD = $(SCHEDULER_TEST_LIBS)
tests_unit_test_limits_SOURCES = tests/unit/test_limits.c
tests_unit_test_limits_CFLAGS = $(SCHEDULER_TEST_CFLAGS)
tests_unit_test_limits_LDADD = $(SCHEDULER_TEST_LIBS)
endif
