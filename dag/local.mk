noinst_LIBRARIES += libdag.a
libdag_a_CFLAGS = $(AM_CFLAGS) $(YAML_CFLAGS)
libdag_a_SOURCES = \
	dag/cron.c dag/cron.h \
	dag/dag.c dag/dag.h \
	dag/diagnostic.c dag/diagnostic.h \
	dag/document.c dag/document.h \
	dag/duration.c dag/duration.h \
	dag/field.c dag/field.h \
	dag/graph.c dag/graph.h \
	dag/naming.c dag/naming.h \
	dag/names.c dag/names.h \
	dag/param.c dag/param.h \
	dag/read.c dag/read.h \
	dag/reference.c dag/reference.h \
	dag/scalar.c dag/scalar.h \
	dag/source.c dag/source.h \
	dag/spec.c dag/spec.h \
	dag/spec_env.c dag/spec_env.h \
	dag/spec_graph.c dag/spec_graph.h \
	dag/spec_notify.c dag/spec_notify.h \
	dag/spec_param.c dag/spec_param.h \
	dag/spec_reference.c dag/spec_reference.h \
	dag/spec_schedule.c dag/spec_schedule.h \
	dag/spec_step.c dag/spec_step.h \
	dag/spec_webhook.c dag/spec_webhook.h \
	dag/suggest.c dag/suggest.h \
	dag/timezone.c dag/timezone.h \
	dag/tree.c dag/tree.h \
	dag/value.c dag/value.h \
	dag/yaml_problem.c dag/yaml_problem.h

dist_man_MANS += dag/stoker-dag.5
