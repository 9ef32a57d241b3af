if HAVE_CMOCKA
executor_tests = tests/unit/test_boot tests/unit/test_collect tests/unit/test_hostkey tests/unit/test_protocol \
	tests/unit/test_ssh_cipher tests/unit/test_ssh_resolve tests/unit/test_trail tests/unit/test_wire
check_PROGRAMS += $(executor_tests)
TESTS += $(executor_tests)
tests_unit_test_boot_SOURCES = tests/unit/test_boot.c
tests_unit_test_boot_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_boot_LDADD = libexecutor.a libcommon.a $(CMOCKA_LIBS)
tests_unit_test_collect_SOURCES = tests/unit/test_collect.c
tests_unit_test_collect_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(UV_CFLAGS)
tests_unit_test_collect_LDADD = libexecutor.a libcommon.a $(CMOCKA_LIBS) $(UV_LIBS)
tests_unit_test_hostkey_SOURCES = tests/unit/test_hostkey.c
tests_unit_test_hostkey_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_hostkey_LDADD = libexecutor.a libcommon.a $(CMOCKA_LIBS) $(SSH_LIBS)
tests_unit_test_protocol_SOURCES = tests/unit/test_protocol.c
tests_unit_test_protocol_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_protocol_LDADD = libexecutor.a libcommon.a $(CMOCKA_LIBS)
tests_unit_test_ssh_cipher_SOURCES = tests/unit/test_ssh_cipher.c
tests_unit_test_ssh_cipher_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(SSH_CFLAGS)
tests_unit_test_ssh_cipher_LDADD = libexecutor.a libcommon.a $(CMOCKA_LIBS) $(SSH_LIBS)
tests_unit_test_ssh_resolve_SOURCES = tests/unit/test_ssh_resolve.c
tests_unit_test_ssh_resolve_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(UV_CFLAGS)
tests_unit_test_ssh_resolve_LDADD = libexecutor.a libcommon.a $(CMOCKA_LIBS) $(UV_LIBS) $(SSH_LIBS)
tests_unit_test_trail_SOURCES = tests/unit/test_trail.c
tests_unit_test_trail_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(UV_CFLAGS)
tests_unit_test_trail_LDADD = libexecutor.a libcommon.a $(CMOCKA_LIBS) $(UV_LIBS)
tests_unit_test_wire_SOURCES = tests/unit/test_wire.c
tests_unit_test_wire_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_wire_LDADD = libexecutor.a libcommon.a $(CMOCKA_LIBS)
endif
