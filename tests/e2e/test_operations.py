"""Years of nights: backups made and put back, what is old taken away, and a doctor who finds what is wrong."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

from lib import QUICK, SEED, SOURCE, STOKER, Sandbox, check, equal, has, main, story, wait_for

sys.path.insert(0, os.path.join(SOURCE, "tests", "bench"))
from fill import fill  # noqa: E402

HELLO = "name: hello\nsteps:\n  say: {run: echo hello}\n  end: {needs: [say], run: 'true'}\n"
HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS


def query(home, sql, *values):
    db = sqlite3.connect(f"file:{home}/stoker.db?mode=ro", uri=True, timeout=30)
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


def change(home, sql, *values):
    db = sqlite3.connect(os.path.join(home, "stoker.db"), timeout=30)
    with db:
        db.execute(sql, values)
    db.close()


def make_old(box, days):
    """All runs that have ended did so long ago."""
    change(box.home, "UPDATE run SET ended_ms = ended_ms - ? WHERE ended_ms > 0", days * DAY_MS)


def settings(box, text):
    return ["--config", box.file("stoker.yaml", text)]


def sound(home):
    equal(query(home, "PRAGMA integrity_check"), [("ok",)], "the pages")
    equal(query(home, "PRAGMA foreign_key_check"), [], "the references")


@story("a backup under load holds every run that was acknowledged, and a state restored from it goes on")
def under_load(box: Sandbox):
    box.file("hello.yaml", HELLO)
    box.stoker("run", "hello.yaml", code=0)
    loops = [subprocess.Popen(["/bin/sh", "-c", f"while [ ! -e stop ]; do '{STOKER}' run hello.yaml >>log{i} 2>&1; done"],
                              cwd=box.dags, env=box.env, stdin=subprocess.DEVNULL) for i in range(2)]
    backups = []
    try:
        for i in range(3 if QUICK else 6):
            known = {row["run"]: row["state"] for row in box.json("runs", "-n", "10000")["runs"]}
            wait_for(lambda: len(box.runs()) > 0 and len(box.json("runs", "-n", "10000")["runs"]) > len(known) + 1,
                     "runs come")
            known = {row["run"]: row["state"] for row in box.json("runs", "-n", "10000")["runs"]}
            path = os.path.join(box.path, f"backup{i}.db")
            told = box.json("backup", path)
            equal(told["file"], path, "the file that was made")
            backups.append((path, known))
    finally:
        box.file("stop", "")
        for loop in loops:
            loop.wait(120)
    for number, (path, known) in enumerate(backups):
        box.stoker("backup", "--verify", path, code=0)
        home = os.path.join(box.path, f"restored{number}")
        box.stoker("backup", "--restore", path, env={"STOKER_HOME": home}, code=0)
        rows = {row["run"]: row["state"] for row in json.loads(
            box.stoker("runs", "-n", "10000", "--json", env={"STOKER_HOME": home}, code=0).out)["runs"]}
        for run, state in known.items():
            check(run in rows, f"{run} was acknowledged before the backup, and is not in it")
            check(state not in ("succeeded", "failed") or rows[run] == state, f"{run} was {state}, and is {rows[run]}")
        sound(home)
    # A run that was under way when the backup was made is gone on with; a new one gets a number of its own.
    result = box.stoker("run", "hello.yaml", env={"STOKER_HOME": home}, code=0)
    has(result.err, "succeeded", "a run in the restored state")
    leftover = [name for name in os.listdir(box.path) if name.startswith("backup") and not name.endswith(
        tuple(str(i) + ".db" for i in range(10)) + (".out", ".err"))]
    equal(leftover, [], "what is left half made")


@story("an older backup put back in place: nothing is given out twice, and the worker takes the next run")
def put_back(box: Sandbox):
    box.file("hello.yaml", HELLO)
    path = os.path.join(box.path, "b.db")
    box.stoker("run", "hello.yaml", code=0)
    box.stoker("backup", path, code=0)
    for _ in range(3):
        box.stoker("run", "hello.yaml", code=0)
    equal(box.stoker("backup", path).code, 1, "a file that is there is not overwritten")
    result = box.stoker("backup", "--restore", path, code=0)
    has(result.out, "is kept as", "where the state before is")
    equal([row["run"] for row in box.runs()], ["hello/1"], "the runs there are")
    box.stoker("run", "hello.yaml", code=0)
    equal(box.log("hello/5", "say"), b"hello\n", "the log of the next run")
    sound(box.home)


@story("no backup is put in place beneath a process that is at work")
def at_work(box: Sandbox):
    box.file("hello.yaml", HELLO)
    box.file("long.yaml", "name: long\nsteps:\n  wait: {run: 'while [ ! -e go ]; do sleep 0.05; done'}\n")
    path = os.path.join(box.path, "b.db")
    box.stoker("run", "hello.yaml", code=0)
    box.stoker("backup", path, code=0)
    stoker = box.start("run", "long.yaml")
    box.wait_running("long/1", "wait")
    result = box.stoker("backup", "--restore", path)
    equal(result.code, 1, "refused")
    has(result.err, "stop", "what it says")
    box.file("go", "")
    equal(stoker.wait(), 0, "the run ends as if nothing had been")
    equal(len(box.runs()), 2, "the runs there are")


@story("a backup to standard output is a database, and a damaged one is told from a good one")
def to_stdout(box: Sandbox):
    box.file("hello.yaml", HELLO)
    box.stoker("run", "hello.yaml", code=0)
    path = os.path.join(box.path, "piped.db")
    with open(path, "wb") as file:
        subprocess.run([STOKER, "backup", "-"], env=box.env, stdout=file, check=True)
    box.stoker("backup", "--verify", path, code=0)
    with open(path, "r+b") as file:
        for page in range(2, 30):
            file.seek(page * 4096)
            file.write(b"Z" * 300)
    result = box.stoker("backup", "--verify", path)
    equal(result.code, 1, "a damaged one")
    has(result.err, "damaged", "what it says")
    equal(box.stoker("backup", "--restore", path).code, 1, "it is not put in place")
    equal(box.json("runs")["runs"][0]["state"], "succeeded", "the state as it was")


@story("what is old goes with its files, the newest stay, and the audit trail keeps the names")
def old_goes(box: Sandbox):
    box.file("hello.yaml", HELLO)
    for _ in range(5):
        box.stoker("run", "hello.yaml", code=0)
    make_old(box, 40)
    box.file("long.yaml", "name: long\nsteps:\n  wait: {run: 'while [ ! -e go ]; do sleep 0.05; done'}\n")
    stoker = box.start("run", "long.yaml")
    box.wait_running("long/1", "wait")
    config = settings(box, "retention:\n  runs: {age: 30d, keep: 3}\n  logs: {age: 7d, keep: 1}\n")
    before = box.json("gc", "--dry-run", "-v", *config)
    equal(sorted(before["removed"]), ["hello/1", "hello/2"], "what would go")
    equal(len(box.runs()), 6, "a dry run removes nothing")
    done = box.json("gc", *config)
    equal(done["runs"]["count"], 2, "runs that went")
    equal(done["logs"]["count"], before["logs"]["count"], "logs that went")
    equal(sorted(os.listdir(os.path.join(box.home, "runs", "hello"))), ["3", "4", "5"], "folders that are left")
    result = box.stoker("status", "hello/1")
    equal(result.code, 3, "one that went")
    has(result.err, "not kept any more", "what is said of it")
    has(box.stoker("logs", "hello/3", "say", code=3).err, "not kept any more", "a log that went")
    has(box.stoker("logs", "-f", "hello/4", "say", code=3).err, "not kept any more", "it is not waited for")
    equal(box.log("hello/5", "say"), b"hello\n", "the newest log")
    events = box.json("events", "-n", "1000")["events"]
    check(any(event["run"] == "hello/1" for event in events), "events of a run that went have its name")
    equal([event["kind"] for event in events if event["kind"].startswith("gc.")], ["gc.done"], "the gc's own event")
    equal(box.json("gc", *config)["runs"]["count"], 0, "a second gc")
    box.file("go", "")
    equal(stoker.wait(), 0, "the run that went on meanwhile")
    # What stays can be run again, all of it.
    box.stoker("retry", "hello/3", "--from", "say", code=0)
    equal(box.attempts("hello/3", "say")[-1]["state"], "succeeded", "a run whose logs went")
    sound(box.home)


@story("a gc that is killed again and again, while runs are made, ends in the same state as one that was not")
def killed(box: Sandbox):
    dice = random.Random(SEED)
    box.file("hello.yaml", HELLO)
    box.stoker("run", "hello.yaml", code=0)
    fill(box.home, dags=4, runs=1500)
    for number in range(1, 200):
        folder = os.path.join(box.home, "runs", "dag001", str(number))
        os.makedirs(folder)
        with open(os.path.join(folder, "s0.1.log"), "w", encoding="ascii") as file:
            file.write("a line\n")
    config = settings(box, "retention: {runs: {age: 1d, keep: 50}, events: 30d}\n")
    kills = 0
    for _ in range(4 if QUICK else 8):
        gc = box.start("gc", *config)
        time.sleep(dice.uniform(0, 0.4))
        if not gc.running():
            break
        gc.process.signal(signal.SIGKILL)
        gc.popen.wait()
        kills += 1
        box.stoker("run", "hello.yaml", code=0)
        equal(query(box.home, "PRAGMA foreign_key_check"), [], f"references after kill {kills} (seed {SEED})")
    gc = box.json("gc", *config)
    equal(gc["failures"], 0, "files that could not be removed")
    sound(box.home)
    equal(query(box.home, "SELECT count(*) FROM run WHERE swept >= 128"), [(0,)], "runs half gone")
    equal(query(box.home, "SELECT DISTINCT count(*) FROM run JOIN dag ON dag.id = run.dag WHERE dag.name LIKE 'dag%'"
                          " GROUP BY dag.id"), [(50,)], "runs that stay")
    equal(query(box.home, "SELECT count(*) FROM task WHERE run NOT IN (SELECT id FROM run)"), [(0,)], "tasks of no run")
    equal([n for n in os.listdir(os.path.join(box.home, "runs", "dag001")) if int(n) < 200], [], "folders of no run")
    check(all(row["state"] == "succeeded" for row in box.runs()[:kills]), "runs made meanwhile")


@story("the doctor finds what is wrong, says how to mend it, and exits with 1")
def doctor(box: Sandbox):
    box.file("hello.yaml", HELLO)
    box.env["XDG_CONFIG_HOME"] = os.path.join(box.path, "config")
    place = os.path.join(box.path, "config", "stoker", "dags")

    def problems():
        result = box.stoker("doctor", "--json")
        answer = json.loads(result.out)
        equal(result.code, 0 if answer["ok"] else 1, "the exit status")
        return [f"{it['name']}: {it['text']}; {it['remedy']}" for it in answer["checks"] if it["verdict"] == "problem"]

    def told(*parts):
        found = problems()
        check(any(all(part in one for part in parts) for one in found), f"{parts} is not among {found}")

    equal(problems(), [], "before anything has run")
    box.stoker("run", "hello.yaml", code=0)
    equal(problems(), [], "after a run")
    os.chmod(box.home, 0o755)
    told("state: ", "others can look", "chmod 700")
    os.chmod(box.home, 0o700)

    os.makedirs(place)
    with open(os.path.join(place, "bad.yaml"), "w", encoding="ascii") as file:
        file.write("name: bad\nsteps:\n  a: {runn: x}\n")
    told("DAGs: ", "bad.yaml:3:", "stoker validate")
    with open(os.path.join(place, "bad.yaml"), "w", encoding="ascii") as file:
        file.write("name: good\nschedule: '@daily'\nsteps:\n  a: {run: x, pool: warehouse, worker: gpu}\n")
    told("pools: ", "warehouse", "stoker.yaml")
    told("workers: ", "gpu", "stoker.yaml")
    told("schedules: ", "stoker serve")
    os.unlink(os.path.join(place, "bad.yaml"))

    change(box.home, "INSERT INTO event (at_ms, kind, actor, origin) VALUES (?, 'x.y', '', '')",
           int(time.time() * 1000) + HOUR_MS)
    told("clock: ", "went back")
    change(box.home, "DELETE FROM event WHERE kind = 'x.y'")

    box.file("long.yaml", "name: long\nsteps:\n  wait: {run: 'while [ ! -e go ]; do sleep 0.05; done'}\n")
    stoker = box.start("run", "long.yaml")
    box.wait_running("long/1", "wait")
    equal(problems(), [], "while a run goes on")
    stoker.kill()
    told("runs: ", "long/1 is orphaned", "stoker run --resume long/1")
    box.file("go", "")
    box.stoker("run", "--resume", "long/1", code=0)
    equal(problems(), [], "when it was gone on with")

    with open(os.path.join(box.path, "config", "stoker", "stoker.yaml"), "w", encoding="ascii") as file:
        file.write("retention: {runs: {age: soon}}\n")
    told("settings: ", "stoker.yaml:1:", "'age'")
    with open(os.path.join(box.home, "stoker.db"), "r+b") as file:
        for page in range(2, 60):
            file.seek(page * 4096)
            file.write(b"Z" * 300)
    told("database: ", "damaged")


@story("with years of runs in the database every reading command answers at once")
def many(box: Sandbox):
    box.file("hello.yaml", HELLO)
    box.stoker("run", "hello.yaml", code=0)
    fill(box.home, dags=50, runs=5000)
    for words in (["status"], ["runs"], ["runs", "dag007"], ["runs", "--state", "failed"], ["status", "dag007/3"],
                  ["why", "dag007/3"], ["events"], ["events", "dag007/3"], ["checkpoints", "dag007/3", "s5"]):
        box.json(*words)
    equal(len(box.json("runs", "-n", "10000")["runs"]), 5001, "all of them are listed")


if __name__ == "__main__":
    main()
