if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_common tests/unit/test_parcel tests/unit/test_zone
TESTS += tests/unit/test_common tests/unit/test_parcel tests/unit/test_zone
tests_unit_test_common_SOURCES = tests/unit/test_common.c
tests_unit_test_common_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_common_LDADD = libcommon.a $(CMOCKA_LIBS)
tests_unit_test_parcel_SOURCES = tests/unit/test_parcel.c
tests_unit_test_parcel_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_parcel_LDADD = libcommon.a $(CMOCKA_LIBS)
tests_unit_test_zone_SOURCES = tests/unit/test_zone.c tests/unit/zone_fixture.h
tests_unit_test_zone_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_zone_LDADD = libcommon.a $(CMOCKA_LIBS)
endif
