# The agent's modules, each by itself, and the agent as a whole in the stories that drive it through its protocol.
if HAVE_CMOCKA
AGENT_TEST_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
AGENT_TEST_LIBS = libagent.a libexecutor.a libcommon.a $(CMOCKA_LIBS)
AGENT_TESTS = \
	tests/unit/test_claim \
	tests/unit/test_devices \
	tests/unit/test_entry \
	tests/unit/test_layout \
	tests/unit/test_lease \
	tests/unit/test_load \
	tests/unit/test_outbox \
	tests/unit/test_outputs \
	tests/unit/test_place \
	tests/unit/test_process \
	tests/unit/test_spare \
	tests/unit/test_spool \
	tests/unit/test_survive
check_PROGRAMS += $(AGENT_TESTS)
TESTS += $(AGENT_TESTS)
tests_unit_test_claim_SOURCES = tests/unit/test_claim.c tests/unit/agent_fixture.h
tests_unit_test_claim_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_claim_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_devices_SOURCES = tests/unit/test_devices.c
tests_unit_test_devices_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_devices_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_entry_SOURCES = tests/unit/test_entry.c tests/unit/agent_fixture.h
tests_unit_test_entry_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_entry_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_layout_SOURCES = tests/unit/test_layout.c tests/unit/agent_fixture.h
tests_unit_test_layout_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_layout_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_lease_SOURCES = tests/unit/test_lease.c tests/unit/agent_fixture.h
tests_unit_test_lease_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_lease_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_load_SOURCES = tests/unit/test_load.c
tests_unit_test_load_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_load_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_outbox_SOURCES = tests/unit/test_outbox.c
tests_unit_test_outbox_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_outbox_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_outputs_SOURCES = tests/unit/test_outputs.c
tests_unit_test_outputs_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_outputs_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_place_SOURCES = tests/unit/test_place.c
tests_unit_test_place_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_place_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_process_SOURCES = tests/unit/test_process.c
tests_unit_test_process_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_process_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_spare_SOURCES = tests/unit/test_spare.c tests/unit/agent_fixture.h
tests_unit_test_spare_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_spare_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_spool_SOURCES = tests/unit/test_spool.c tests/unit/agent_fixture.h
tests_unit_test_spool_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_spool_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_survive_SOURCES = tests/unit/test_survive.c tests/unit/agent_fixture.h
tests_unit_test_survive_CFLAGS = $(AGENT_TEST_CFLAGS)
tests_unit_test_survive_LDADD = $(AGENT_TEST_LIBS)
endif

agent_stories = \
	tests/e2e/test_agent.py \
	tests/e2e/test_agent_artifacts.py \
	tests/e2e/test_agent_checkpoints.py \
	tests/e2e/test_agent_leases.py \
	tests/e2e/test_agent_parcels.py \
	tests/e2e/test_agent_stops.py
TESTS += $(agent_stories)
EXTRA_DIST += $(agent_stories) tests/e2e/agentclient.py
