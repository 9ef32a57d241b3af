-- From version 1 of schema.sql to 2: what the daemon keeps. See schema.sql for the conventions.

-- Who paused a DAG's schedules; '' when they are in force.
ALTER TABLE dag ADD COLUMN paused_by TEXT NOT NULL DEFAULT '';
ALTER TABLE dag ADD COLUMN paused_ms INTEGER NOT NULL DEFAULT 0;

-- A schedule of a DAG since it is known, by what it says ("30 2 * * *" and its zone): what else is changed in the file
-- makes no new one. Every due time in (since_ms, settled_ms] has its row in occurrence.
CREATE TABLE schedule (
	id INTEGER PRIMARY KEY,
	dag INTEGER NOT NULL REFERENCES dag (id),
	cron TEXT NOT NULL,
	timezone TEXT NOT NULL,
	since_ms INTEGER NOT NULL,
	settled_ms INTEGER NOT NULL,
	gone_ms INTEGER NOT NULL DEFAULT 0, -- the file has not said so since then; 0: it does
	UNIQUE (dag, cron, timezone)
) STRICT;

-- The ledger: one row for each due time, written with the run it started, or with the reason why there is none.
CREATE TABLE occurrence (
	schedule INTEGER NOT NULL REFERENCES schedule (id),
	due_ms INTEGER NOT NULL,
	nominal TEXT NOT NULL,              -- the local time that the line names: "2026-10-25 02:30"
	mark TEXT NOT NULL DEFAULT '',      -- what daylight saving did to it: due_mark_name
	state TEXT NOT NULL,                -- ran, skipped
	reason TEXT NOT NULL DEFAULT '',    -- of one skipped: missed superseded too_late overlap paused
	run INTEGER REFERENCES run (id),
	decided_ms INTEGER NOT NULL,
	detail TEXT NOT NULL DEFAULT '',    -- for people
	PRIMARY KEY (schedule, due_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX occurrence_run ON occurrence (run) WHERE run IS NOT NULL;

-- The queue is those in state queued: highest priority first, then oldest.
ALTER TABLE run ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN waits_for TEXT NOT NULL DEFAULT ''; -- why it is still queued, for people
ALTER TABLE run ADD COLUMN max_active INTEGER NOT NULL DEFAULT 1;     -- runs of its DAG that may go on at a time
ALTER TABLE run ADD COLUMN source_folder TEXT NOT NULL DEFAULT '';    -- its snapshot is still to be taken; '': not
-- What it waits for: [{"dag":"features","state":"succeeded","within_ms":0}]; '': nothing
ALTER TABLE run ADD COLUMN after TEXT NOT NULL DEFAULT '';

-- Limits: what a task asks for, so that who holds what and who waits for it is read in one look over all runs.
ALTER TABLE task ADD COLUMN pool TEXT NOT NULL DEFAULT '';
ALTER TABLE task ADD COLUMN worker TEXT NOT NULL DEFAULT ''; -- the name or label that its step asks for
ALTER TABLE task ADD COLUMN cpus_milli INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN memory_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN gpus INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN ready_ms INTEGER NOT NULL DEFAULT 0; -- ready since then; 0: since its run was started
ALTER TABLE worker ADD COLUMN slots INTEGER NOT NULL DEFAULT 0; -- as configured; 0: no limit
-- Both hold a few rows however many have ended.
CREATE INDEX task_ready ON task (run, step) WHERE state = 'ready';
CREATE INDEX attempt_live ON attempt (intended_ms) WHERE state IN ('intended', 'running', 'unreachable');

-- The pools in force, as the settings named them when a scheduler was started last.
CREATE TABLE pool (
	name TEXT PRIMARY KEY,
	slots INTEGER NOT NULL,
	description TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
