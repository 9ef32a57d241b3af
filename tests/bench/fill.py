"""Fills a state folder with years of nights: 200 DAGs, 100,000 runs that have ended, 1,000,000 tasks, by SQL alone.

    fill.py HOME [--dags N] [--runs N]      HOME is one that stoker has made: `stoker run` once with STOKER_HOME=HOME

Runs are an hour apart, the newest ended just now. Each has ten tasks, an attempt and a metric for each of them, a
checkpoint for each fifth and eight events; every 50th run failed. Nothing of it is on the disk but the database.
"""

import argparse
import os
import sqlite3
import time

STEPS = 10
TEXT = "name: {name}\nsteps:\n  s0: {{run: \"true\"}}\n" + "".join(
    f'  s{i}: {{{{needs: [s{i - 1}], run: "true"}}}}\n' for i in range(1, STEPS))

# ?1: runs, ?2: DAGs, ?3: milliseconds of the newest end, ?4: the greatest id of a run before
SCRIPT = [
    """INSERT INTO run (id, dag, number, dag_version, state, reason, trigger, actor, origin, created_ms, started_ms,
         ended_ms, params)
       WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :runs)
       SELECT :before + 1 + i, dag.id, i / :dags + 1, dag_version.id,
         CASE WHEN i % 50 = 7 THEN 'failed' ELSE 'succeeded' END, CASE WHEN i % 50 = 7 THEN 'exit' ELSE '' END,
         'cron', 'stoker', 'daemon', :now - (:runs - i) * 3600000, :now - (:runs - i) * 3600000 + 20,
         :now - (:runs - i) * 3600000 + 600000, '{"lr":"0.01"}'
       FROM n JOIN dag ON dag.name = printf('dag%03d', i % :dags) JOIN dag_version ON dag_version.dag = dag.id""",
    """INSERT INTO task (run, step, name, state, reason, attempts, started_ms, ended_ms)
       WITH RECURSIVE s (step) AS (SELECT 0 UNION ALL SELECT step + 1 FROM s WHERE step + 1 < :steps)
       SELECT run.id, step, printf('s%d', step),
         CASE WHEN run.state = 'failed' AND step = :steps - 1 THEN 'failed' ELSE 'succeeded' END,
         'exit', 1, run.started_ms + step * 50000, run.started_ms + step * 50000 + 49000
       FROM run CROSS JOIN s WHERE run.id > :before""",
    """INSERT INTO attempt (run, step, number, state, reason, worker, boot_id, fence, intended_ms, started_ms, ended_ms,
         exit_code, log_bytes)
       SELECT run, step, 1, state, 'exit', 'local', 'boot', 1, started_ms, started_ms, ended_ms,
         CASE WHEN state = 'failed' THEN 1 ELSE 0 END, 0 FROM task WHERE run > :before""",
    """INSERT INTO metric (run, step, attempt, journal_offset, at_ms, json)
       SELECT run, step, 1, 100, ended_ms, '{"step": 100, "loss": 0.31}' FROM task WHERE run > :before""",
    """INSERT INTO checkpoint (run, step, seq, name, digest, bytes, at_step, format, attempt, state, created_ms)
       SELECT run, step, 1, 'epoch-0001.npz', 'd', 1000, 1, 'file', 1, 'good', ended_ms FROM task
       WHERE run > :before AND step % 5 = 0""",
    """INSERT INTO event (at_ms, kind, actor, origin, run, step, attempt, detail)
       WITH RECURSIVE e (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM e WHERE i + 1 < 8)
       SELECT created_ms + i, 'attempt.ended', 'stoker', '', id, i, 1, 'exit 0' FROM run CROSS JOIN e
       WHERE id > :before ORDER BY id""",
    "UPDATE dag SET last_number = (SELECT max(number) FROM run WHERE dag = dag.id)"
    " WHERE EXISTS (SELECT 1 FROM run WHERE dag = dag.id)",
]


def fill(home, dags=200, runs=100_000, now_ms=None):
    db = sqlite3.connect(os.path.join(home, "stoker.db"), isolation_level=None)
    values = {"dags": dags, "runs": runs, "steps": STEPS, "now": now_ms or int(time.time() * 1000),
              "before": db.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()[0]}
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    for i in range(dags):
        name = f"dag{i:03}"
        dag = db.execute("INSERT INTO dag (name) VALUES (?) RETURNING id", (name,)).fetchone()[0]
        db.execute("INSERT INTO dag_version (dag, digest, path, text, seen_ms) VALUES (?, ?, ?, ?, ?)",
                   (dag, f"v{i}", f"/dags/{name}.yaml", TEXT.format(name=name), values["now"]))
    for sql in SCRIPT:
        db.execute(sql, {key: value for key, value in values.items() if f":{key}" in sql})
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home")
    parser.add_argument("--dags", type=int, default=200)
    parser.add_argument("--runs", type=int, default=100_000)
    arguments = parser.parse_args()
    fill(arguments.home, arguments.dags, arguments.runs)
