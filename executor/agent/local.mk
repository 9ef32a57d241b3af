# The agent is built by its own compiler into one static program; its modules are also a library for the unit tests.
noinst_LIBRARIES += libagent.a
libagent_a_SOURCES = \
	executor/agent/artifacts.c executor/agent/artifacts.h \
	executor/agent/ask.c executor/agent/ask.h \
	executor/agent/awake.h \
	executor/agent/baseline.c executor/agent/baseline.h \
	executor/agent/check.c executor/agent/check.h \
	executor/agent/claim.c executor/agent/claim.h \
	executor/agent/devices.c executor/agent/devices.h \
	executor/agent/entry.c executor/agent/entry.h \
	executor/agent/family.c executor/agent/family.h \
	executor/agent/files.c executor/agent/files.h \
	executor/agent/follow.c executor/agent/follow.h \
	executor/agent/guard.c executor/agent/guard.h \
	executor/agent/held.c executor/agent/held.h \
	executor/agent/helper.c executor/agent/helper.h \
	executor/agent/install.c executor/agent/install.h \
	executor/agent/json.c executor/agent/json.h \
	executor/agent/layout.c executor/agent/layout.h \
	executor/agent/lease.c executor/agent/lease.h \
	executor/agent/load.c executor/agent/load.h \
	executor/agent/metrics.c executor/agent/metrics.h \
	executor/agent/offer.c executor/agent/offer.h \
	executor/agent/oom.c executor/agent/oom.h \
	executor/agent/outbox.c executor/agent/outbox.h \
	executor/agent/outputs.c executor/agent/outputs.h \
	executor/agent/place.c executor/agent/place.h \
	executor/agent/process.c executor/agent/process.h \
	executor/agent/provision.c executor/agent/provision.h \
	executor/agent/root.c executor/agent/root.h \
	executor/agent/rundir.c executor/agent/rundir.h \
	executor/agent/seal.c executor/agent/seal.h \
	executor/agent/session.c executor/agent/session.h \
	executor/agent/spare.c executor/agent/spare.h \
	executor/agent/spool.c executor/agent/spool.h \
	executor/agent/step.c executor/agent/step.h \
	executor/agent/supervise.c executor/agent/supervise.h \
	executor/agent/survive.c executor/agent/survive.h \
	executor/agent/sweep.c executor/agent/sweep.h \
	executor/agent/title.c executor/agent/title.h \
	executor/agent/watch.c executor/agent/watch.h

agent_files = executor/agent/main.c $(libagent_a_SOURCES) \
	executor/protocol.c executor/protocol.h \
	common/arena.c common/arena.h \
	common/buf.c common/buf.h \
	common/calendar.c common/calendar.h \
	common/clock.c common/clock.h \
	common/digest.c common/digest.h \
	common/err.c common/err.h \
	common/file.c common/file.h \
	common/list.h \
	common/machine.c common/machine.h \
	common/mem.c common/mem.h \
	common/pack.c common/pack.h \
	common/parcel.c common/parcel.h \
	common/scope.h \
	common/unpack.c common/unpack.h

# One command for all of it: it is small, and no object of it may meet those of another compiler. Given $$cc, $$cflags,
# $$ldflags.
build_agent = \
	sources=; \
	for file in $(agent_files); do \
		case $$file in *.c) sources="$$sources $(top_srcdir)/$$file" ;; esac; \
	done; \
	$$cc -std=gnu17 -D_GNU_SOURCE -DSTOKER_VERSION='"$(VERSION)"' -I$(top_srcdir) $(WARN_FLAGS) $$cflags \
		-o $@.tmp $$sources $$ldflags && mv -f $@.tmp $@

stoker-agent: $(agent_files)
	$(AM_V_GEN)cc='$(AGENT_CC)'; cflags='$(AGENT_CFLAGS)'; ldflags='$(AGENT_LDFLAGS)'; $(build_agent)

stoker-agent-x86_64: $(agent_files)
	$(AM_V_GEN)cc='$(AGENT_CC_X86_64)'; cflags='$(STATIC_CFLAGS)'; ldflags='$(STATIC_LDFLAGS)'; $(build_agent)

stoker-agent-aarch64: $(agent_files)
	$(AM_V_GEN)cc='$(AGENT_CC_AARCH64)'; cflags='$(STATIC_CFLAGS)'; ldflags='$(STATIC_LDFLAGS)'; $(build_agent)

pkglibexec_SCRIPTS = stoker-agent
if AGENT_X86_64
pkglibexec_SCRIPTS += stoker-agent-x86_64
endif
if AGENT_AARCH64
pkglibexec_SCRIPTS += stoker-agent-aarch64
endif
EXTRA_DIST += executor/agent/main.c
CLEANFILES += stoker-agent stoker-agent.tmp stoker-agent-x86_64 stoker-agent-x86_64.tmp stoker-agent-aarch64 \
	stoker-agent-aarch64.tmp
