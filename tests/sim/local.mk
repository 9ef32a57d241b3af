# The simulator: `make check` runs some thousand seeds, `make check-sim` ten thousand (or SEED=S, one, told in full).
check_PROGRAMS += tests/sim/sim
tests_sim_sim_SOURCES = tests/sim/sim.c tests/sim/world.c tests/sim/world.h
tests_sim_sim_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
tests_sim_sim_LDADD = libscheduler.a libweb.a libexecutor.a libdag.a libcommon.a $(SQLITE_LIBS) $(YAML_LIBS) $(UV_LIBS) $(JANSSON_LIBS) $(SSH_LIBS)
# The core alone, for days of virtual time: limits, and that nobody starves.
check_PROGRAMS += tests/sim/crowd
tests_sim_crowd_SOURCES = tests/sim/crowd.c
tests_sim_crowd_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
tests_sim_crowd_LDADD = $(tests_sim_sim_LDADD)
TESTS += tests/sim/run-sim.sh
EXTRA_DIST += tests/sim/run-sim.sh

.PHONY: check-sim
check-sim: tests/sim/sim$(EXEEXT)
	if test -n "$(SEED)"; then ./tests/sim/sim$(EXEEXT) --seed $(SEED) --verbose; \
	else ./tests/sim/sim$(EXEEXT) --seeds 10000; fi
