TESTS += tests/check-layout.sh
EXTRA_DIST += tests/check-layout.sh

include tests/unit/common.mk
include tests/unit/dag.mk
include tests/unit/executor.mk
include tests/unit/agent.mk
include tests/unit/scheduler.mk
include tests/unit/copies.mk
include tests/unit/view.mk
include tests/unit/web.mk
include tests/unit/daemon.mk
include tests/unit/due.mk
include tests/unit/limits.mk
include tests/unit/notify.mk
include tests/unit/operations.mk
include tests/sim/local.mk
include tests/fuzz/local.mk
include tests/e2e/local.mk
include tests/bench/local.mk
