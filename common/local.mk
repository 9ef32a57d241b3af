noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = \
	common/arena.c common/arena.h \
	common/buf.c common/buf.h \
	common/calendar.c common/calendar.h \
	common/clock.c common/clock.h \
	common/digest.c common/digest.h \
	common/err.c common/err.h \
	common/file.c common/file.h \
	common/list.h \
	common/log.c common/log.h \
	common/machine.c common/machine.h \
	common/mem.c common/mem.h \
	common/outlet.c common/outlet.h \
	common/pack.c common/pack.h \
	common/parcel.c common/parcel.h \
	common/rng.h \
	common/scope.h \
	common/unpack.c common/unpack.h \
	common/utf8.c common/utf8.h \
	common/zone.c common/zone.h \
	common/zone_rule.c common/zone_rule.h
