noinst_LIBRARIES += libexecutor.a
libexecutor_a_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS) $(SSH_CFLAGS)
libexecutor_a_SOURCES = \
	executor/base64.c executor/base64.h \
	executor/boot.c executor/boot.h \
	executor/collect.c executor/collect.h \
	executor/courier.c executor/courier.h \
	executor/deploy.c executor/deploy.h \
	executor/early.c executor/early.h \
	executor/fault.c \
	executor/hostkey.c executor/hostkey.h \
	executor/intake.c executor/intake.h \
	executor/link.c executor/link.h \
	executor/local.c executor/local.h \
	executor/openssh.c executor/openssh.h \
	executor/protocol.c executor/protocol.h \
	executor/queue.h \
	executor/ssh.c executor/ssh.h \
	executor/ssh_agent.c executor/ssh_agent.h \
	executor/ssh_channel.c executor/ssh_channel.h \
	executor/ssh_cipher.c executor/ssh_cipher.h \
	executor/ssh_dial.c executor/ssh_dial.h \
	executor/ssh_keyfile.c executor/ssh_keyfile.h \
	executor/ssh_login.c executor/ssh_login.h \
	executor/ssh_program.c executor/ssh_program.h \
	executor/ssh_resolve.c executor/ssh_resolve.h \
	executor/ssh_session.c executor/ssh_session.h \
	executor/ssh_target.c executor/ssh_target.h \
	executor/ssh_wire.h \
	executor/stream.h \
	executor/trail.c executor/trail.h \
	executor/transport.h

include executor/agent/local.mk
