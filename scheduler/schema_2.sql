-- From version 1 of schema.sql to 2: what the daemon keeps. See schema.sql for the conventions.

-- Who paused a DAG's schedules; '' when they are in force.
ALTER TABLE dag ADD COLUMN paused_by TEXT NOT NULL DEFAULT '';
ALTER TABLE dag ADD COLUMN paused_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dag ADD COLUMN unpaused_ms INTEGER NOT NULL DEFAULT 0;
-- The version whose schedules are in force; 0: none was ever put in force.
ALTER TABLE dag ADD COLUMN version INTEGER NOT NULL DEFAULT 0;

-- A schedule of a DAG since it is known, by what it says ("30 2 * * *" and its zone): what else is changed in the file
-- makes no new one. Every due time in (since_ms, settled_ms] has its row in occurrence. It begins anew when the file
-- says so again after it did not, and when other due times become its own (another zone, from, until).
CREATE TABLE schedule (
	id INTEGER PRIMARY KEY,
	dag INTEGER NOT NULL REFERENCES dag (id),
	cron TEXT NOT NULL,
	timezone TEXT NOT NULL,
	since_ms INTEGER NOT NULL,
	settled_ms INTEGER NOT NULL,
	gone_ms INTEGER NOT NULL DEFAULT 0, -- the file has not said so since then; 0: it does
	version INTEGER NOT NULL,           -- of the DAG, the last one that said so
	zone TEXT NOT NULL,                 -- the one that `timezone` means; '' is the scheduler's
	from_at TEXT NOT NULL DEFAULT '',
	until_at TEXT NOT NULL DEFAULT '',
	catchup TEXT NOT NULL,
	overlap TEXT NOT NULL,
	jitter_ms INTEGER NOT NULL DEFAULT 0,
	start_deadline_ms INTEGER NOT NULL DEFAULT 0,
	UNIQUE (dag, cron, timezone)
) STRICT;

-- The ledger: one row for each due time, written with the run it started, or with the reason why there is none. One
-- that was skipped may have a run all the same: a backfill's, later.
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

-- What is still to be made up for on somebody's request: runs for the due times of a DAG in a range, oldest first.
CREATE TABLE backfill (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	dag INTEGER NOT NULL REFERENCES dag (id),
	dag_version INTEGER NOT NULL REFERENCES dag_version (id),
	state TEXT NOT NULL,                -- running, done, canceled
	from_at TEXT NOT NULL,              -- as instant_parse reads it: a date is one of each schedule's zone
	to_at TEXT NOT NULL,
	until_ms INTEGER NOT NULL,          -- no due time after this one, whatever to_at says
	max_active INTEGER NOT NULL,
	again INTEGER NOT NULL,             -- 1: also where a run has succeeded
	params TEXT NOT NULL,
	cursor_ms INTEGER NOT NULL,         -- the due time that was looked at last
	made INTEGER NOT NULL DEFAULT 0,    -- runs
	left_out INTEGER NOT NULL DEFAULT 0, -- due times that have a run
	actor TEXT NOT NULL,
	origin TEXT NOT NULL,
	created_ms INTEGER NOT NULL,
	ended_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
ALTER TABLE run ADD COLUMN backfill INTEGER NOT NULL DEFAULT 0; -- the one it was made for
CREATE INDEX run_backfill ON run (backfill, state) WHERE backfill <> 0;
CREATE INDEX run_scheduled_for ON run (dag, scheduled_for_ms) WHERE scheduled_for_ms <> 0;

-- The files of the DAG folder as they are now; a broken one may have an older version in force (dag.version).
CREATE TABLE dag_file (
	path TEXT PRIMARY KEY,
	name TEXT NOT NULL,                 -- of its DAG, if need be by the file's name
	digest TEXT NOT NULL DEFAULT '',
	error TEXT NOT NULL DEFAULT '',     -- what is wrong with it, for people; '': it is in force
	seen_ms INTEGER NOT NULL            -- that it is so is known since then
) STRICT, WITHOUT ROWID;
CREATE INDEX dag_file_name ON dag_file (name);

-- What somebody is to be told, one row for each receiver; written with what it tells about, so it is neither lost nor
-- told of anew after a crash. Whoever delivers holds it until claimed_ms, and says so again while that lasts.
CREATE TABLE outbox (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	about TEXT NOT NULL,                -- what happened: the same thing is told to a receiver once
	receiver TEXT NOT NULL,             -- JSON: notice_receiver_json
	event TEXT NOT NULL,                -- succeeded failed canceled recovered late missed
	dag TEXT NOT NULL,
	run INTEGER NOT NULL DEFAULT 0,     -- 0: it is about none
	body TEXT NOT NULL,                 -- JSON: notice_json
	state TEXT NOT NULL DEFAULT 'open', -- open sent failed
	attempts INTEGER NOT NULL DEFAULT 0,
	created_ms INTEGER NOT NULL,
	next_try_ms INTEGER NOT NULL,
	claimed_ms INTEGER NOT NULL DEFAULT 0,
	done_ms INTEGER NOT NULL DEFAULT 0,
	error TEXT NOT NULL DEFAULT '',     -- of the last try
	UNIQUE (about, receiver)
) STRICT;
CREATE INDEX outbox_open ON outbox (next_try_ms) WHERE state = 'open';
CREATE INDEX outbox_receiver ON outbox (receiver, claimed_ms) WHERE state = 'open';
CREATE INDEX outbox_run ON outbox (run) WHERE state = 'open';

-- The days on which a DAG was late: it is noticed once.
CREATE TABLE lateness (
	dag INTEGER NOT NULL REFERENCES dag (id),
	day TEXT NOT NULL,                  -- local: "2026-11-26"
	at_ms INTEGER NOT NULL,
	PRIMARY KEY (dag, day)
) STRICT, WITHOUT ROWID;

-- The run of a DAG that ended last: a success after a failure is told as such.
CREATE INDEX run_dag_ended ON run (dag, ended_ms) WHERE state IN ('succeeded', 'failed');

-- What lets somebody use the API from elsewhere. Of a token only its SHA-256 is kept, so a copy of this file opens no
-- door; as a token is 256 random bits, nobody finds it by trying, and a slow hash would protect nothing more.
CREATE TABLE token (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	digest TEXT NOT NULL UNIQUE,        -- SHA-256, hexadecimal
	name TEXT NOT NULL,                 -- for people; among those in force there is one of each name
	role TEXT NOT NULL,                 -- viewer operator admin
	created_ms INTEGER NOT NULL,
	created_by TEXT NOT NULL,
	expires_ms INTEGER NOT NULL DEFAULT 0, -- 0: never
	revoked_ms INTEGER NOT NULL DEFAULT 0  -- 0: it is in force
) STRICT;
CREATE UNIQUE INDEX token_live ON token (name) WHERE revoked_ms = 0;

-- What retention does (gc.h). Of an ended run: 1 its logs are gone, 2 its metrics but the last, 4 the copies of its
-- checkpoints; 128: it is on its way out itself, and nobody finds it any more. A run that is taken up begins with 0.
ALTER TABLE run ADD COLUMN swept INTEGER NOT NULL DEFAULT 0;
CREATE INDEX run_ended ON run (dag, ended_ms, swept) WHERE ended_ms > 0;
CREATE INDEX run_swept ON run (id) WHERE swept >= 128;
-- What a foreign key asks for when a row goes, and whether a snapshot is in use.
CREATE INDEX run_version ON run (dag_version);
CREATE INDEX run_source ON run (source) WHERE source <> '';
CREATE INDEX request_run ON request (run);
CREATE INDEX outbox_of_run ON outbox (run) WHERE run <> 0;
CREATE INDEX backfill_version ON backfill (dag_version);

-- The name of a run whose rows are gone, as long as the audit trail speaks of it.
CREATE TABLE removed_run (
	id INTEGER PRIMARY KEY,
	dag INTEGER NOT NULL REFERENCES dag (id),
	number INTEGER NOT NULL,
	state TEXT NOT NULL,
	ended_ms INTEGER NOT NULL,
	removed_ms INTEGER NOT NULL,
	UNIQUE (dag, number)
) STRICT;

-- The same checkpoint with the scheduler, in checkpoints/: the digest of that parcel; '' when there is none.
ALTER TABLE checkpoint ADD COLUMN copy TEXT NOT NULL DEFAULT '';
ALTER TABLE checkpoint ADD COLUMN copy_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE checkpoint ADD COLUMN brought TEXT NOT NULL DEFAULT ''; -- the worker it was brought to, and lies on too
CREATE INDEX checkpoint_copy ON checkpoint (run) WHERE copy <> '';

-- The seq of the checkpoint it resumed from, which may have been brought from another worker; 0: none.
ALTER TABLE attempt ADD COLUMN began_seq INTEGER NOT NULL DEFAULT 0;
