-- The whole state of stoker. Times are milliseconds since 1970 UTC; states and reasons are the words of DESIGN and of
-- the command line. `step` is the index of a step in its DAG, so (run, step) names a task and (run, step, number) an
-- attempt, here and on every worker. This file is version 1; what leads to version N is in schema_N.sql.

CREATE TABLE home (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	name TEXT NOT NULL,                 -- 12 hexadecimal digits: whose attempts those on a worker are
	created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE dag (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	last_number INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE dag_version (
	id INTEGER PRIMARY KEY,
	dag INTEGER NOT NULL REFERENCES dag (id),
	digest TEXT NOT NULL,
	path TEXT NOT NULL,                 -- where the file was: relative paths are relative to its folder
	text TEXT NOT NULL,                 -- the YAML as it was
	seen_ms INTEGER NOT NULL,
	UNIQUE (dag, digest, path)
) STRICT;

CREATE TABLE run (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	dag INTEGER NOT NULL REFERENCES dag (id),
	number INTEGER NOT NULL,
	dag_version INTEGER NOT NULL REFERENCES dag_version (id),
	state TEXT NOT NULL,
	reason TEXT NOT NULL DEFAULT '',
	trigger TEXT NOT NULL,
	actor TEXT NOT NULL,
	origin TEXT NOT NULL,
	scheduled_for_ms INTEGER NOT NULL DEFAULT 0,
	created_ms INTEGER NOT NULL,
	started_ms INTEGER NOT NULL DEFAULT 0,
	ended_ms INTEGER NOT NULL DEFAULT 0,
	cancel_ms INTEGER NOT NULL DEFAULT 0,
	params TEXT NOT NULL DEFAULT '{}',
	source TEXT NOT NULL DEFAULT '',    -- parcels/<digest>, the snapshot it works with; empty: none
	source_bytes INTEGER NOT NULL DEFAULT 0,
	UNIQUE (dag, number)
) STRICT;
-- Lists are read newest first, also of one state and of one DAG: see statements_view.def.
CREATE INDEX run_state ON run (state);
CREATE INDEX run_dag_state ON run (dag, state, number);

CREATE TABLE task (
	run INTEGER NOT NULL REFERENCES run (id),
	step INTEGER NOT NULL,
	name TEXT NOT NULL,
	state TEXT NOT NULL,
	reason TEXT NOT NULL DEFAULT '',
	attempts INTEGER NOT NULL DEFAULT 0,
	first_attempt INTEGER NOT NULL DEFAULT 1, -- the one that starts from zero by right
	failures INTEGER NOT NULL DEFAULT 0,
	machine_failures INTEGER NOT NULL DEFAULT 0,
	refound INTEGER NOT NULL DEFAULT 0,
	best_step INTEGER NOT NULL DEFAULT -1,
	not_before_ms INTEGER NOT NULL DEFAULT 0,
	started_ms INTEGER NOT NULL DEFAULT 0,
	ended_ms INTEGER NOT NULL DEFAULT 0,
	message TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (
	run INTEGER NOT NULL,
	step INTEGER NOT NULL,
	number INTEGER NOT NULL,
	state TEXT NOT NULL,
	reason TEXT NOT NULL DEFAULT '',
	worker TEXT NOT NULL,
	boot_id TEXT NOT NULL,
	fence INTEGER NOT NULL,
	intended_ms INTEGER NOT NULL,
	started_ms INTEGER NOT NULL DEFAULT 0,
	ended_ms INTEGER NOT NULL DEFAULT 0,
	unreachable_ms INTEGER NOT NULL DEFAULT 0,
	exit_code INTEGER,
	signal INTEGER NOT NULL DEFAULT 0,
	cpu_ms INTEGER NOT NULL DEFAULT 0,
	rss_peak_bytes INTEGER NOT NULL DEFAULT 0,
	log_bytes INTEGER NOT NULL DEFAULT 0,
	log_dropped_bytes INTEGER NOT NULL DEFAULT 0,
	journal_offset INTEGER NOT NULL DEFAULT 0,
	resumed_from TEXT NOT NULL DEFAULT '',
	devices TEXT NOT NULL DEFAULT '',
	message TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (run, step, number),
	FOREIGN KEY (run, step) REFERENCES task (run, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (
	run INTEGER NOT NULL,
	step INTEGER NOT NULL,
	seq INTEGER NOT NULL,               -- the order in which they were recorded
	name TEXT NOT NULL,                 -- below the checkpoint folder of the task
	digest TEXT NOT NULL,
	bytes INTEGER NOT NULL,
	at_step INTEGER NOT NULL,           -- training step; -1: its name does not tell
	format TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	state TEXT NOT NULL,                -- good broken quarantined removed replaced
	deaths INTEGER NOT NULL DEFAULT 0,
	created_ms INTEGER NOT NULL,
	message TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (run, step, seq),
	FOREIGN KEY (run, step) REFERENCES task (run, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE metric (
	run INTEGER NOT NULL,
	step INTEGER NOT NULL,
	attempt INTEGER NOT NULL,
	journal_offset INTEGER NOT NULL,
	at_ms INTEGER NOT NULL,
	json TEXT NOT NULL,                 -- the line as the program wrote it
	PRIMARY KEY (run, step, attempt, journal_offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE output (
	run INTEGER NOT NULL,
	step INTEGER NOT NULL,
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (run, step, key)
) STRICT, WITHOUT ROWID;

-- What a task left for those that need it, as a parcel that can be read on that worker.
CREATE TABLE artifact (
	run INTEGER NOT NULL,
	step INTEGER NOT NULL,
	attempt INTEGER NOT NULL,
	digest TEXT NOT NULL,
	bytes INTEGER NOT NULL,             -- of the parcel
	files INTEGER NOT NULL,
	worker TEXT NOT NULL,
	PRIMARY KEY (run, step),
	FOREIGN KEY (run, step) REFERENCES task (run, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE worker (
	name TEXT PRIMARY KEY,
	epoch INTEGER NOT NULL DEFAULT 0,   -- grows with every connection; fences older agents
	boot_id TEXT NOT NULL DEFAULT '',
	host TEXT NOT NULL DEFAULT '',
	machine TEXT NOT NULL DEFAULT '',
	cpus_milli INTEGER NOT NULL DEFAULT 0,
	memory_bytes INTEGER NOT NULL DEFAULT 0,
	devices INTEGER NOT NULL DEFAULT 0,
	seen_ms INTEGER NOT NULL DEFAULT 0,
	labels TEXT NOT NULL DEFAULT '',    -- as configured, separated by blanks
	trouble TEXT NOT NULL DEFAULT '',   -- why there is no connection; '' when there was none to be told
	fault TEXT NOT NULL DEFAULT '',     -- its kind: refused, auth, hostkey_unknown ...
	trouble_ms INTEGER NOT NULL DEFAULT 0,
	aside TEXT NOT NULL DEFAULT '',     -- why nothing is started there until aside_ms
	aside_ms INTEGER NOT NULL DEFAULT 0,
	drained_by TEXT NOT NULL DEFAULT '' -- somebody wants nothing new to be started there
) STRICT, WITHOUT ROWID;

-- The audit trail and the story of each run: who did what, when, from where. Append-only.
CREATE TABLE event (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	at_ms INTEGER NOT NULL,
	kind TEXT NOT NULL,                 -- noun.past_verb
	actor TEXT NOT NULL,                -- a user's name, or 'stoker'
	origin TEXT NOT NULL,
	run INTEGER NOT NULL DEFAULT 0,
	step INTEGER NOT NULL DEFAULT -1,
	attempt INTEGER NOT NULL DEFAULT 0,
	detail TEXT NOT NULL DEFAULT ''     -- for people
) STRICT;
CREATE INDEX event_run ON event (run);
CREATE TRIGGER event_keep_update BEFORE UPDATE ON event BEGIN SELECT RAISE (ABORT, 'events are append-only'); END;

-- What another process asks the driver of a run to do (cancel). Taken when done_ms is set.
CREATE TABLE request (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	run INTEGER NOT NULL REFERENCES run (id),
	verb TEXT NOT NULL,
	actor TEXT NOT NULL,
	origin TEXT NOT NULL,
	created_ms INTEGER NOT NULL,
	done_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX request_open ON request (run) WHERE done_ms = 0;
