# Without --enable-fuzzing the targets run over their corpus and damaged samples, as tests.
check_PROGRAMS += tests/fuzz/run_dag
tests_fuzz_run_dag_SOURCES = tests/fuzz/fuzz_dag.c
tests_fuzz_run_dag_LDADD = libdag.a libcommon.a $(YAML_LIBS)
TESTS += tests/fuzz/run_dag

check_PROGRAMS += tests/fuzz/run_protocol
tests_fuzz_run_protocol_SOURCES = tests/fuzz/fuzz_protocol.c
tests_fuzz_run_protocol_LDADD = libexecutor.a libcommon.a
TESTS += tests/fuzz/run_protocol

check_PROGRAMS += tests/fuzz/run_http
tests_fuzz_run_http_SOURCES = tests/fuzz/fuzz_http.c
tests_fuzz_run_http_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_run_http_LDADD = libweb.a libcommon.a $(JANSSON_LIBS)
TESTS += tests/fuzz/run_http

if FUZZING
noinst_PROGRAMS += tests/fuzz/fuzz_http
tests_fuzz_fuzz_http_SOURCES = tests/fuzz/fuzz_http.c
tests_fuzz_fuzz_http_CPPFLAGS = $(AM_CPPFLAGS) -DSTOKER_FUZZING
tests_fuzz_fuzz_http_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_http_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_http_LDADD = libweb.a libcommon.a $(JANSSON_LIBS)
noinst_PROGRAMS += tests/fuzz/fuzz_dag tests/fuzz/fuzz_protocol
tests_fuzz_fuzz_protocol_SOURCES = tests/fuzz/fuzz_protocol.c
tests_fuzz_fuzz_protocol_CPPFLAGS = $(AM_CPPFLAGS) -DSTOKER_FUZZING
tests_fuzz_fuzz_protocol_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_protocol_LDADD = libexecutor.a libcommon.a
tests_fuzz_fuzz_dag_SOURCES = tests/fuzz/fuzz_dag.c
tests_fuzz_fuzz_dag_CPPFLAGS = $(AM_CPPFLAGS) -DSTOKER_FUZZING
tests_fuzz_fuzz_dag_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_dag_LDADD = libdag.a libcommon.a $(YAML_LIBS)
endif

EXTRA_DIST += \
	tests/fuzz/corpus/http/backfill \
	tests/fuzz/corpus/http/climb \
	tests/fuzz/corpus/http/events \
	tests/fuzz/corpus/http/list \
	tests/fuzz/corpus/http/log \
	tests/fuzz/corpus/http/retry \
	tests/fuzz/corpus/http/trigger \
	tests/fuzz/corpus/dag/aliases.yaml \
	tests/fuzz/corpus/dag/broken.yaml \
	tests/fuzz/corpus/dag/cron.yaml \
	tests/fuzz/corpus/dag/cycle.yaml \
	tests/fuzz/corpus/dag/duration.yaml \
	tests/fuzz/corpus/dag/full.yaml \
	tests/fuzz/corpus/dag/params.yaml \
	tests/fuzz/corpus/dag/size.yaml \
	tests/fuzz/corpus/dag/styles.yaml
