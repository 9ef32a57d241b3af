if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_protocol tests/unit/test_collect
TESTS += tests/unit/test_protocol tests/unit/test_collect
tests_unit_test_protocol_SOURCES = tests/unit/test_protocol.c
tests_unit_test_protocol_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_protocol_LDADD = libexecutor.a libcommon.a $(CMOCKA_LIBS)
tests_unit_test_collect_SOURCES = tests/unit/test_collect.c
tests_unit_test_collect_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_collect_LDADD = libexecutor.a libcommon.a $(CMOCKA_LIBS)
endif
