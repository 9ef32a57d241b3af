if HAVE_CMOCKA
DAG_TEST_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(YAML_CFLAGS)
DAG_TEST_LIBS = libdag.a libcommon.a $(CMOCKA_LIBS) $(YAML_LIBS)
DAG_TESTS = \
	tests/unit/test_cron \
	tests/unit/test_dag \
	tests/unit/test_diagnostic \
	tests/unit/test_document \
	tests/unit/test_duration \
	tests/unit/test_graph \
	tests/unit/test_names \
	tests/unit/test_param \
	tests/unit/test_reference \
	tests/unit/test_scalar \
	tests/unit/test_source \
	tests/unit/test_suggest \
	tests/unit/test_timezone
check_PROGRAMS += $(DAG_TESTS)
TESTS += $(DAG_TESTS)
tests_unit_test_cron_SOURCES = tests/unit/test_cron.c
tests_unit_test_cron_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_cron_LDADD = $(DAG_TEST_LIBS)
tests_unit_test_dag_SOURCES = tests/unit/test_dag.c
tests_unit_test_dag_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_dag_LDADD = $(DAG_TEST_LIBS)
tests_unit_test_diagnostic_SOURCES = tests/unit/test_diagnostic.c
tests_unit_test_diagnostic_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_diagnostic_LDADD = $(DAG_TEST_LIBS)
tests_unit_test_document_SOURCES = tests/unit/test_document.c
tests_unit_test_document_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_document_LDADD = $(DAG_TEST_LIBS)
tests_unit_test_duration_SOURCES = tests/unit/test_duration.c
tests_unit_test_duration_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_duration_LDADD = $(DAG_TEST_LIBS)
tests_unit_test_graph_SOURCES = tests/unit/test_graph.c
tests_unit_test_graph_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_graph_LDADD = $(DAG_TEST_LIBS)
tests_unit_test_names_SOURCES = tests/unit/test_names.c
tests_unit_test_names_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_names_LDADD = $(DAG_TEST_LIBS)
tests_unit_test_param_SOURCES = tests/unit/test_param.c
tests_unit_test_param_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_param_LDADD = $(DAG_TEST_LIBS)
tests_unit_test_reference_SOURCES = tests/unit/test_reference.c
tests_unit_test_reference_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_reference_LDADD = $(DAG_TEST_LIBS)
tests_unit_test_scalar_SOURCES = tests/unit/test_scalar.c
tests_unit_test_scalar_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_scalar_LDADD = $(DAG_TEST_LIBS)
tests_unit_test_source_SOURCES = tests/unit/test_source.c
tests_unit_test_source_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_source_LDADD = $(DAG_TEST_LIBS)
tests_unit_test_suggest_SOURCES = tests/unit/test_suggest.c
tests_unit_test_suggest_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_suggest_LDADD = $(DAG_TEST_LIBS)
tests_unit_test_timezone_SOURCES = tests/unit/test_timezone.c
tests_unit_test_timezone_CFLAGS = $(DAG_TEST_CFLAGS)
tests_unit_test_timezone_LDADD = $(DAG_TEST_LIBS)
endif

# Needs no cmocka: it prints TAP by itself.
check_PROGRAMS += tests/unit/test_bad_dags
TESTS += tests/unit/test_bad_dags
tests_unit_test_bad_dags_SOURCES = tests/unit/test_bad_dags.c
tests_unit_test_bad_dags_LDADD = libdag.a libcommon.a $(YAML_LIBS)

EXTRA_DIST += \
	tests/e2e/bad/after_notify.expected \
	tests/e2e/bad/after_notify.yaml \
	tests/e2e/bad/artifacts.expected \
	tests/e2e/bad/artifacts.yaml \
	tests/e2e/bad/at_sign.expected \
	tests/e2e/bad/at_sign.yaml \
	tests/e2e/bad/bad_escape.expected \
	tests/e2e/bad/bad_escape.yaml \
	tests/e2e/bad/bad_indentation.expected \
	tests/e2e/bad/bad_indentation.yaml \
	tests/e2e/bad/bad_merge.expected \
	tests/e2e/bad/bad_merge.yaml \
	tests/e2e/bad/billion_laughs.expected \
	tests/e2e/bad/billion_laughs.yaml \
	tests/e2e/bad/braces_in_flow.expected \
	tests/e2e/bad/braces_in_flow.yaml \
	tests/e2e/bad/choices.expected \
	tests/e2e/bad/choices.yaml \
	tests/e2e/bad/colon_in_value.expected \
	tests/e2e/bad/colon_in_value.yaml \
	tests/e2e/bad/complex_key.expected \
	tests/e2e/bad/complex_key.yaml \
	tests/e2e/bad/control.expected \
	tests/e2e/bad/control.yaml \
	tests/e2e/bad/crlf.expected \
	tests/e2e/bad/crlf.yaml \
	tests/e2e/bad/cron.expected \
	tests/e2e/bad/cron.yaml \
	tests/e2e/bad/cron_unquoted.expected \
	tests/e2e/bad/cron_unquoted.yaml \
	tests/e2e/bad/cron_unquoted_minute.expected \
	tests/e2e/bad/cron_unquoted_minute.yaml \
	tests/e2e/bad/cycle.expected \
	tests/e2e/bad/cycle.yaml \
	tests/e2e/bad/dag_name.expected \
	tests/e2e/bad/dag_name.yaml \
	tests/e2e/bad/dag_name_null.expected \
	tests/e2e/bad/dag_name_null.yaml \
	tests/e2e/bad/directions.expected \
	tests/e2e/bad/directions.yaml \
	tests/e2e/bad/duplicate_key.expected \
	tests/e2e/bad/duplicate_key.yaml \
	tests/e2e/bad/duplicate_step.expected \
	tests/e2e/bad/duplicate_step.yaml \
	tests/e2e/bad/durations.expected \
	tests/e2e/bad/durations.yaml \
	tests/e2e/bad/empty_file.expected \
	tests/e2e/bad/empty_file.yaml \
	tests/e2e/bad/empty_steps.expected \
	tests/e2e/bad/empty_steps.yaml \
	tests/e2e/bad/env.expected \
	tests/e2e/bad/env.yaml \
	tests/e2e/bad/expect_by.expected \
	tests/e2e/bad/expect_by.yaml \
	tests/e2e/bad/file+name.expected \
	tests/e2e/bad/file+name.yaml \
	tests/e2e/bad/invalid_utf8.expected \
	tests/e2e/bad/invalid_utf8.yaml \
	tests/e2e/bad/long_cycle.expected \
	tests/e2e/bad/long_cycle.yaml \
	tests/e2e/bad/long_line.expected \
	tests/e2e/bad/long_line.yaml \
	tests/e2e/bad/merged_mistake.expected \
	tests/e2e/bad/merged_mistake.yaml \
	tests/e2e/bad/missing_colon.expected \
	tests/e2e/bad/missing_colon.yaml \
	tests/e2e/bad/needs_itself.expected \
	tests/e2e/bad/needs_itself.yaml \
	tests/e2e/bad/needs_twice.expected \
	tests/e2e/bad/needs_twice.yaml \
	tests/e2e/bad/needs_unknown.expected \
	tests/e2e/bad/needs_unknown.yaml \
	tests/e2e/bad/needs_wrong_type.expected \
	tests/e2e/bad/needs_wrong_type.yaml \
	tests/e2e/bad/no_steps.expected \
	tests/e2e/bad/no_steps.yaml \
	tests/e2e/bad/nul.expected \
	tests/e2e/bad/nul.yaml \
	tests/e2e/bad/nul_escape.expected \
	tests/e2e/bad/nul_escape.yaml \
	tests/e2e/bad/notify.expected \
	tests/e2e/bad/notify.yaml \
	tests/e2e/bad/numbers.expected \
	tests/e2e/bad/numbers.yaml \
	tests/e2e/bad/only_comment.expected \
	tests/e2e/bad/only_comment.yaml \
	tests/e2e/bad/open_bracket.expected \
	tests/e2e/bad/open_bracket.yaml \
	tests/e2e/bad/open_quote.expected \
	tests/e2e/bad/open_quote.yaml \
	tests/e2e/bad/param_without_default.expected \
	tests/e2e/bad/param_without_default.yaml \
	tests/e2e/bad/params.expected \
	tests/e2e/bad/params.yaml \
	tests/e2e/bad/params_traps.expected \
	tests/e2e/bad/params_traps.yaml \
	tests/e2e/bad/percent.expected \
	tests/e2e/bad/percent.yaml \
	tests/e2e/bad/recursive_alias.expected \
	tests/e2e/bad/recursive_alias.yaml \
	tests/e2e/bad/reference_in_wrong_place.expected \
	tests/e2e/bad/reference_in_wrong_place.yaml \
	tests/e2e/bad/references.expected \
	tests/e2e/bad/references.yaml \
	tests/e2e/bad/retry.expected \
	tests/e2e/bad/retry.yaml \
	tests/e2e/bad/root_list.expected \
	tests/e2e/bad/root_list.yaml \
	tests/e2e/bad/root_text.expected \
	tests/e2e/bad/root_text.yaml \
	tests/e2e/bad/run_empty.expected \
	tests/e2e/bad/run_empty.yaml \
	tests/e2e/bad/schedule_null.expected \
	tests/e2e/bad/schedule_null.yaml \
	tests/e2e/bad/schedule_options.expected \
	tests/e2e/bad/schedule_options.yaml \
	tests/e2e/bad/schedule_twice.expected \
	tests/e2e/bad/schedule_twice.yaml \
	tests/e2e/bad/sizes.expected \
	tests/e2e/bad/sizes.yaml \
	tests/e2e/bad/step_names.expected \
	tests/e2e/bad/step_names.yaml \
	tests/e2e/bad/step_without_run.expected \
	tests/e2e/bad/step_without_run.yaml \
	tests/e2e/bad/steps_list.expected \
	tests/e2e/bad/steps_list.yaml \
	tests/e2e/bad/tab.expected \
	tests/e2e/bad/tab.yaml \
	tests/e2e/bad/tab_first.expected \
	tests/e2e/bad/tab_first.yaml \
	tests/e2e/bad/tab_in_value.expected \
	tests/e2e/bad/tab_in_value.yaml \
	tests/e2e/bad/tags.expected \
	tests/e2e/bad/tags.yaml \
	tests/e2e/bad/too_deep.expected \
	tests/e2e/bad/too_deep.yaml \
	tests/e2e/bad/truth_values.expected \
	tests/e2e/bad/truth_values.yaml \
	tests/e2e/bad/two_cycles.expected \
	tests/e2e/bad/two_cycles.yaml \
	tests/e2e/bad/two_documents.expected \
	tests/e2e/bad/two_documents.yaml \
	tests/e2e/bad/undefined_alias.expected \
	tests/e2e/bad/undefined_alias.yaml \
	tests/e2e/bad/unknown_key.expected \
	tests/e2e/bad/unknown_key.yaml \
	tests/e2e/bad/unknown_key_elsewhere.expected \
	tests/e2e/bad/unknown_key_elsewhere.yaml \
	tests/e2e/bad/unknown_key_in_defaults.expected \
	tests/e2e/bad/unknown_key_in_defaults.yaml \
	tests/e2e/bad/utf16.expected \
	tests/e2e/bad/utf16.yaml \
	tests/e2e/bad/warnings_and_error.expected \
	tests/e2e/bad/warnings_and_error.yaml \
	tests/e2e/bad/wide_characters.expected \
	tests/e2e/bad/wide_characters.yaml \
	tests/e2e/bad/worker_and_pool.expected \
	tests/e2e/bad/worker_and_pool.yaml \
	tests/e2e/good/anchors.yaml \
	tests/e2e/good/everything.yaml \
	tests/e2e/good/nightly-churn.yaml \
	tests/e2e/good/smallest.yaml \
	tests/e2e/good/windows-lines.yaml
