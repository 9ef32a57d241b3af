noinst_LIBRARIES += libexecutor.a
libexecutor_a_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS) $(SSH_CFLAGS)
libexecutor_a_SOURCES = \
	executor/base64.c executor/base64.h \
	executor/boot.c executor/boot.h \
	executor/collect.c executor/collect.h \
	executor/courier.c executor/courier.h \
	executor/deploy.c executor/deploy.h \
	executor/fault.c \
	executor/hostkey.c executor/hostkey.h \
	executor/link.c executor/link.h \
	executor/local.c executor/local.h \
	executor/protocol.c executor/protocol.h \
	executor/ssh_target.h \
	executor/transport.h

include executor/agent/local.mk
