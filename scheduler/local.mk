noinst_LIBRARIES += libscheduler.a
libscheduler_a_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS) $(SQLITE_CFLAGS) $(JANSSON_CFLAGS) $(CURL_CFLAGS)
libscheduler_a_SOURCES = \
	scheduler/alarm.c scheduler/alarm.h \
	scheduler/artifact.h \
	scheduler/backfiller.c scheduler/backfiller.h \
	scheduler/catalog.c scheduler/catalog.h \
	scheduler/command_serve.c \
	scheduler/crash.c scheduler/crash.h \
	scheduler/daemon.c scheduler/daemon.h \
	scheduler/desk.c scheduler/desk.h scheduler/desk_parts.h \
	scheduler/desk_dag.c \
	scheduler/desk_run.c \
	scheduler/desk_trigger.c \
	scheduler/handover.c scheduler/handover.h \
	scheduler/herald.c scheduler/herald.h \
	scheduler/janitor.c scheduler/janitor.h \
	scheduler/lateness.c scheduler/lateness.h \
	scheduler/onlooker.c scheduler/onlooker.h \
	scheduler/trigger.c scheduler/trigger.h \
	scheduler/attempt.c scheduler/attempt.h \
	scheduler/checkpoint.c scheduler/checkpoint.h \
	scheduler/checkup.c scheduler/checkup.h \
	scheduler/command_cancel.c \
	scheduler/command_retry.c \
	scheduler/command_run.c \
	scheduler/core.c scheduler/core.h scheduler/core_parts.h \
	scheduler/core_journal.c \
	scheduler/core_lease.c \
	scheduler/core_moves.c \
	scheduler/core_outcome.c \
	scheduler/core_request.c \
	scheduler/core_start.c \
	scheduler/core_worker.c \
	scheduler/driver.c scheduler/driver.h \
	scheduler/due.c scheduler/due.h \
	scheduler/engine.c scheduler/engine.h \
	scheduler/explain.c scheduler/explain.h \
	scheduler/foreground.c scheduler/foreground.h \
	scheduler/instant.c scheduler/instant.h \
	scheduler/launch.c scheduler/launch.h \
	scheduler/leftover.c scheduler/leftover.h \
	scheduler/migrate.c scheduler/migrate.h \
	scheduler/placement.c scheduler/placement.h \
	scheduler/queue.c scheduler/queue.h \
	scheduler/precedence.c scheduler/precedence.h \
	scheduler/readiness.c scheduler/readiness.h \
	scheduler/registry.c scheduler/registry.h \
	scheduler/retry.c scheduler/retry.h \
	scheduler/retry_plan.c scheduler/retry_plan.h \
	scheduler/run.c scheduler/run.h \
	scheduler/settings.c scheduler/settings.h \
	scheduler/settings_web.c scheduler/settings_web.h \
	scheduler/settings_daemon.c scheduler/settings_daemon.h \
	scheduler/run_rows.c \
	scheduler/source.c scheduler/source.h \
	scheduler/store.c scheduler/store.h scheduler/store_parts.h \
	scheduler/store_leftover.c \
	scheduler/store_queue.c scheduler/store_queue.h \
	scheduler/store_run.c \
	scheduler/store_save.c \
	scheduler/store_worker.c \
	scheduler/task.c scheduler/task.h \
	scheduler/terms.h \
	scheduler/trust.c scheduler/trust.h \
	scheduler/writer.c scheduler/writer.h

# --- schedules ---
libscheduler_a_SOURCES += \
	scheduler/command_backfill.c \
	scheduler/command_list.c \
	scheduler/command_pause.c \
	scheduler/agenda.c scheduler/agenda.h \
	scheduler/backfill.c scheduler/backfill.h \
	scheduler/params.c scheduler/params.h \
	scheduler/store_backfill.c scheduler/store_backfill.h \
	scheduler/store_due.c scheduler/store_due.h \
	scheduler/timetable.c scheduler/timetable.h \
	scheduler/view_due.c scheduler/view_due.h \
	scheduler/zones.c scheduler/zones.h
EXTRA_DIST += scheduler/statements_due.def

# --- who is told ---
libscheduler_a_SOURCES += \
	scheduler/core_notice.c \
	scheduler/hook.c scheduler/hook.h \
	scheduler/late.c scheduler/late.h \
	scheduler/libcurl.c scheduler/libcurl.h \
	scheduler/notice.c scheduler/notice.h \
	scheduler/notice_format.c scheduler/notice_format.h \
	scheduler/outbox.c scheduler/outbox.h \
	scheduler/resend.c scheduler/resend.h \
	scheduler/settings_notify.c scheduler/settings_notify.h \
	scheduler/store_outbox.c scheduler/store_outbox.h \
	scheduler/webhook.c scheduler/webhook.h

# --- the command line ---
bin_PROGRAMS += stoker
stoker_SOURCES = scheduler/main.c
stoker_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
stoker_LDADD = libscheduler.a libweb.a libexecutor.a libdag.a libcommon.a $(SQLITE_LIBS) $(YAML_LIBS) $(UV_LIBS) \
	$(JANSSON_LIBS) $(SSH_LIBS) $(DEFLATE_LIBS)
libscheduler_a_SOURCES += \
	scheduler/command.c scheduler/command.h \
	scheduler/command_checkpoints.c \
	scheduler/command_events.c \
	scheduler/command_logs.c \
	scheduler/command_next.c \
	scheduler/command_runs.c \
	scheduler/command_status.c \
	scheduler/command_validate.c \
	scheduler/command_why.c \
	scheduler/command_workers.c \
	scheduler/listing.c scheduler/listing.h \
	scheduler/lockfile.c scheduler/lockfile.h \
	scheduler/moment.c scheduler/moment.h \
	scheduler/owner.c scheduler/owner.h \
	scheduler/paths.c scheduler/paths.h \
	scheduler/progress.c scheduler/progress.h \
	scheduler/progress_text.c scheduler/progress_text.h \
	scheduler/table.c scheduler/table.h \
	scheduler/tail.c scheduler/tail.h \
	scheduler/terminal.c scheduler/terminal.h \
	scheduler/view.c scheduler/view.h \
	scheduler/view_events.c \
	scheduler/view_find.c \
	scheduler/view_rows.c scheduler/view_rows.h \
	scheduler/view_why.c \
	scheduler/view_workers.c \
	scheduler/why.c scheduler/why.h
# --- copies of checkpoints ---
libscheduler_a_SOURCES += \
	scheduler/copies.c scheduler/copies.h \
	scheduler/core_copy.c \
	scheduler/kept.c scheduler/kept.h \
	scheduler/origin.c scheduler/origin.h \
	scheduler/why_origin.c scheduler/why_origin.h
EXTRA_DIST += scheduler/statements_kept.def
# --- limits: pools, the order over all runs, who holds what ---
libscheduler_a_SOURCES += \
	scheduler/command_pools.c \
	scheduler/core_queue.c \
	scheduler/fitness.c scheduler/fitness.h \
	scheduler/pool.c scheduler/pool.h \
	scheduler/settings_pools.c scheduler/settings_pools.h \
	scheduler/store_limits.c \
	scheduler/urgency.c scheduler/urgency.h \
	scheduler/view_limits.c scheduler/view_limits.h \
	scheduler/why_parts.h \
	scheduler/why_ready.c
EXTRA_DIST += scheduler/statements_limits.def
# --- operations: retention, backups, the doctor ---
libscheduler_a_SOURCES += \
	scheduler/backup.c scheduler/backup.h \
	scheduler/command_backup.c \
	scheduler/command_doctor.c \
	scheduler/command_gc.c \
	scheduler/doctor.c scheduler/doctor.h scheduler/doctor_parts.h \
	scheduler/doctor_plans.c \
	scheduler/doctor_state.c \
	scheduler/doctor_work.c \
	scheduler/findings.c scheduler/findings.h \
	scheduler/gc.c scheduler/gc.h scheduler/gc_parts.h \
	scheduler/gc_files.c \
	scheduler/gc_rows.c \
	scheduler/retention.c scheduler/retention.h \
	scheduler/settings_retention.c scheduler/settings_retention.h
EXTRA_DIST += scheduler/statements_backup.def scheduler/statements_doctor.def scheduler/statements_gc.def
dist_man_MANS += scheduler/stoker.1

# --- the page, the API, and the command line's side of it ---
libscheduler_a_SOURCES += \
	scheduler/client.c scheduler/client.h \
	scheduler/command_token.c \
	scheduler/command_trigger.c \
	scheduler/control.c scheduler/control.h scheduler/control_parts.h \
	scheduler/control_dags.c \
	scheduler/control_look.c \
	scheduler/control_metrics.c \
	scheduler/control_version.c \
	scheduler/follow.c scheduler/follow.h \
	scheduler/histogram.c scheduler/histogram.h \
	scheduler/libcurl.c scheduler/libcurl.h \
	scheduler/token.c scheduler/token.h \
	scheduler/view_dags.c scheduler/view_dags.h \
	scheduler/view_metrics.c \
	scheduler/view_history.c scheduler/view_history.h \
	scheduler/view_summary.c scheduler/view_summary.h
EXTRA_DIST += scheduler/statements_web.def
EXTRA_DIST += build-aux/embed.sh scheduler/schema.sql scheduler/schema_2.sql scheduler/statements.def scheduler/statements_queue.def \
	scheduler/statements_view.def scheduler/statements_notify.def scheduler/statements_leftover.def

# The schema as C strings, for migrate.c.
scheduler/schema_sql.inc: $(srcdir)/scheduler/schema.sql $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(MKDIR_P) scheduler && \
	$(SHELL) $(top_srcdir)/build-aux/embed.sh $(srcdir)/scheduler/schema.sql > $@.tmp && mv -f $@.tmp $@
scheduler/schema_2_sql.inc: $(srcdir)/scheduler/schema_2.sql $(top_srcdir)/build-aux/embed.sh
	$(AM_V_GEN)$(MKDIR_P) scheduler && \
	$(SHELL) $(top_srcdir)/build-aux/embed.sh $(srcdir)/scheduler/schema_2.sql > $@.tmp && mv -f $@.tmp $@
scheduler/libscheduler_a-migrate.$(OBJEXT): scheduler/schema_sql.inc scheduler/schema_2_sql.inc
BUILT_SOURCES += scheduler/schema_sql.inc scheduler/schema_2_sql.inc
CLEANFILES += scheduler/schema_sql.inc scheduler/schema_2_sql.inc
