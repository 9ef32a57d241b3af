# End-to-end stories, told in Python by the standard library alone: the real programs, real processes, real files.
# /usr/bin/python3 goes first, because Debian's numpy and data set belong to it and to no other Python in PATH.
TEST_EXTENSIONS = .py
PY_LOG_COMPILER = $$(if test -x /usr/bin/python3; then echo /usr/bin/python3; else echo $(PYTHON3); fi)
AM_PY_LOG_FLAGS = -B
PY_LOG_DRIVER = $(LOG_DRIVER)

e2e_stories = \
	tests/e2e/test_artifacts.py \
	tests/e2e/test_checkpoints.py \
	tests/e2e/test_daemon.py \
	tests/e2e/test_daemon_faults.py \
	tests/e2e/test_copy.py \
	tests/e2e/test_daemon.py \
	tests/e2e/test_cli.py \
	tests/e2e/test_control.py \
	tests/e2e/test_croniter.py \
	tests/e2e/test_control.py \
	tests/e2e/test_demo.py \
	tests/e2e/test_hostile.py \
	tests/e2e/test_kill.py \
	tests/e2e/test_lab.py \
	tests/e2e/test_leaks.py \
	tests/e2e/test_limits.py \
	tests/e2e/test_move.py \
	tests/e2e/test_next.py \
	tests/e2e/test_notify.py \
	tests/e2e/test_operations.py \
	tests/e2e/test_orphan.py \
	tests/e2e/test_page.py \
	tests/e2e/test_schedules.py \
	tests/e2e/test_source.py \
	tests/e2e/test_ssh.py \
	tests/e2e/test_ssh_demo.py \
	tests/e2e/test_ssh_faults.py \
	tests/e2e/test_ssh_survival.py \
	tests/e2e/test_ssh_transport.py \
	tests/e2e/test_store_faults.py \
	tests/e2e/test_web.py \
	tests/e2e/test_workers.py
TESTS += $(e2e_stories)
EXTRA_DIST += $(e2e_stories) tests/e2e/lib.py tests/e2e/daemon.py tests/e2e/webclient.py tests/e2e/lab.py tests/e2e/labinside.py
EXTRA_DIST += tests/e2e/page/drive.js tests/e2e/page/package.json tests/e2e/page/package-lock.json

# Drives the ssh transport without a scheduler above it.
check_PROGRAMS += tests/e2e/ssh_probe
tests_e2e_ssh_probe_SOURCES = tests/e2e/ssh_probe.c
tests_e2e_ssh_probe_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS)
tests_e2e_ssh_probe_LDADD = libexecutor.a libcommon.a $(UV_LIBS) $(SSH_LIBS)

# The web server without a scheduler behind it.
check_PROGRAMS += tests/e2e/web_probe
tests_e2e_web_probe_SOURCES = tests/e2e/web_probe.c
tests_e2e_web_probe_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS) $(JANSSON_CFLAGS)
tests_e2e_web_probe_LDADD = $(WEB_LIBS)
