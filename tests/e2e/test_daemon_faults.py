"""What the daemon lives through: death at each place where a crash parts two steps, death at random under load, a full
disk, a thousand triggers at once."""

import http.client
import os
import random
import re
import signal
import sqlite3
import subprocess
import threading
import time

from daemon import Control, Daemon, miss_due_times, ready_dag, settings
from lib import QUICK, SEED, SLOW, SOURCE, Sandbox, check, equal, has, main, read_bytes, story, wait_for

KILLS = int(os.environ.get("STOKER_TEST_KILLS") or (8 if QUICK else 40))

STEP = """\
set -eu
mark=$(echo "$STOKER_RUN.$1" | tr / .)
exec 9>"$mark.lock"
flock -n 9 || { echo "$mark" >>twice; exit 1; }
echo "$STOKER_ATTEMPT" >>"$mark.started"
sleep 0.0$2
"""

MANY = """\
name: many
max_active_runs: 4
%s
steps:
  a: {run: [sh, step.sh, a, "3"]}
  b: {needs: [a], run: [sh, step.sh, b, "1"]}
  c: {needs: [a], run: [sh, step.sh, c, "5"]}
"""


def check_once(box, runs, tasks):
    """Each task ran, and no two attempts of one at a time; each attempt started once."""
    check(not box.exists("twice"), f"two attempts at a time: {box.lines('twice')}")
    for run in runs:
        for task in tasks:
            started = box.lines(f"{run.replace('/', '.')}.{task}.started")
            check(started, f"{run} {task} never ran")
            equal(len(set(started)), len(started), f"attempts of {run} {task} started: {started}")


def check_ledger(box, dag):
    """One row for each due time, each with a run of its own."""
    rows = [row for row in box.json("next", dag, "--past", "-n", "500")["past"] if row["state"] == "ran"]
    dues = [row["due"] for row in rows]
    equal(len(set(dues)), len(dues), "due times")
    runs = [row["run"] for row in rows]
    equal(len(set(runs)), len(runs), "runs of due times")
    return runs


def crash_points():
    with open(os.path.join(SOURCE, "scheduler", "crash.h"), encoding="utf-8") as file:
        return re.findall(r"POINT\((\w+)\)\s*/\*", file.read())


@story("killed at each place where a crash parts two steps: the next daemon goes on, and nothing is lost or done twice")
def each_point(box: Sandbox):
    box.file("step.sh", STEP)
    box.file("told.sh", 'echo "$STOKER_RUN $STOKER_EVENT" >>told\n')
    box.file("many.yaml", MANY % 'schedule: {cron: "* * * * *", catchup: all}\n'
                                 "notify: {on: [succeeded, failed], run: sh told.sh}")
    Daemon(box).stop()
    points = crash_points()
    check(len(points) >= 8, f"the places are found: {points}")
    for place, point in enumerate(points):
        miss_due_times(box, 2)
        times = 1 if point == "due_settled" else 1 + place % 3  # all that were missed are settled at once
        box.env["STOKER_CRASH_AT"] = f"{point}:{times}"
        daemon = Daemon(box)
        del box.env["STOKER_CRASH_AT"]
        for _ in range(4):
            if daemon.running():
                box.stoker("trigger", "many")
        equal(daemon.wait(), -signal.SIGKILL, f"the daemon dies at {point}")
    Daemon(box)
    total = len(box.json("runs", "-n", "1000")["runs"])
    runs = [f"many/{number}" for number in range(1, total + 1)]
    for run in runs:
        box.wait_state(run, "succeeded", timeout=120)
    check_once(box, runs, "abc")
    ledger = set(check_ledger(box, "many"))
    check(ledger <= {run["run"] for run in box.json("runs", "-n", "1000")["runs"]}, "runs of the ledger are runs")
    # One that has become due meanwhile may be told of too.
    wait_for(lambda: set(runs) <= {line.split()[0] for line in box.lines("told")}, "the end of each is told", 60)


@story("killed at random under load, again and again: every run that was acknowledged ends well, no task runs twice at once")
def random_kills(box: Sandbox):
    rng = random.Random(SEED)
    print(f"# STOKER_TEST_SEED={SEED}, {KILLS} kills")
    box.file("step.sh", STEP)
    box.file("many.yaml", MANY % 'schedule: {cron: "* * * * *", catchup: all}')
    acknowledged = set()
    for number in range(KILLS):
        daemon = Daemon(box)
        ready_dag(box, "many")
        stop = threading.Event()

        def load():
            try:
                control = Control(box)
                while not stop.is_set():
                    status, answer = control.ask("POST", "/api/v1/runs", {"dag": "many"})
                    if status == 201 or status == 200:
                        acknowledged.add(answer["run"])
                    if stop.wait(0.05 + rng.random() * 0.1):
                        break
            except OSError:
                pass  # it was killed
            except http.client.HTTPException:
                pass

        clients = [threading.Thread(target=load) for _ in range(2)]
        for client in clients:
            client.start()
        time.sleep(rng.random() * 0.6)
        daemon.kill()
        stop.set()
        for client in clients:
            client.join()
        if number % 5 == 4:
            miss_due_times(box, 1)
    Daemon(box)
    names = {run["run"] for run in box.json("runs", "-n", "10000")["runs"]}
    check(acknowledged <= names, f"acknowledged and lost: {acknowledged - names}")
    wait_for(lambda: not box.json("status")["active"], "all have ended", timeout=60 + len(names))
    bad = [run for run in box.json("runs", "-n", "10000")["runs"] if run["run"] in names and run["state"] != "succeeded"]
    check(not bad, f"not succeeded: {bad[:3]}")
    check_once(box, names, "abc")
    check_ledger(box, "many")


@story("a thousand triggers from fifty clients at once: a thousand runs, each acknowledged one on disk, in order, in little memory")
def thousand(box: Sandbox):
    count = 200 if QUICK else 1000
    box.file("quick.yaml", "name: quick\nmax_active_runs: 2\nsteps: {a: {run: 'echo $STOKER_RUN >>order'}}\n")
    daemon = Daemon(box)
    ready_dag(box, "quick")
    names, problems = [], []

    def client(share):
        control = Control(box)
        for _ in range(share):
            status, answer = control.ask("POST", "/api/v1/runs", {"dag": "quick"})
            (names if status in (200, 201) else problems).append(answer.get("run") or answer)

    clients = [threading.Thread(target=client, args=(count // 50,)) for _ in range(50)]
    began = time.monotonic()
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    print(f"# {count} triggers in {time.monotonic() - began:.2f} s")
    check(not problems, f"refused: {problems[:3]}")
    equal(len(set(names)), count, "runs that were acknowledged")
    with sqlite3.connect(os.path.join(box.home, "stoker.db")) as db:
        equal(db.execute("SELECT count(*) FROM run").fetchone()[0], count, "runs on disk")
    wait_for(lambda: not box.json("status")["active"], "all have ended", timeout=120)
    equal(sorted(int(line.split("/")[1]) for line in box.lines("order")), list(range(1, count + 1)), "what ran")
    with sqlite3.connect(os.path.join(box.home, "stoker.db")) as db:
        taken = [number for number, in db.execute("SELECT number FROM run ORDER BY started_ms, number")]
    equal(taken, list(range(1, count + 1)), "the order in which they were taken up")
    peak = int(re.search(rb"VmHWM:\s+(\d+)", read_bytes(f"/proc/{daemon.pid}/status")).group(1)) / 1024
    print(f"# peak memory of the daemon: {peak:.1f} MiB")
    if SLOW == 1:
        check(peak < 64, f"peak memory: {peak} MiB")


@story("the disk is full for a while: nothing acknowledged is lost, the trouble is told, and runs go on when there is room")
def full(box: Sandbox):
    box.mount_tmpfs(box.home, "24m")
    box.file("waits.yaml", "name: waits\nmax_active_runs: 3\nsteps:\n  a: {run: 'while [ ! -e go ]; do sleep 0.02; done'}\n"
                           "  b: {needs: [a], run: 'echo $STOKER_RUN >>ran'}\n")
    Daemon(box)
    ready_dag(box, "waits")
    box.stoker("trigger", "waits", code=0)
    box.wait_running("waits/1", "a")
    filler = os.path.join(box.home, "filler")
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], stderr=subprocess.DEVNULL, check=False)

    def refused():
        result = box.stoker("trigger", "waits")
        return result if result.code != 0 else None

    result = wait_for(refused, "a trigger is refused")
    equal(result.code, 1, "exit status of a trigger on a full disk")
    has(result.err, "disk is full", "its message")
    acknowledged = len(box.json("runs")["runs"])
    box.file("go", "")
    wait_for(lambda: Control(box).ask("GET", "/healthz")[0] == 503, "healthz tells")
    has(box.stoker("doctor").out, "full", "doctor")
    os.unlink(filler)
    for number in range(1, acknowledged + 1):
        box.wait_state(f"waits/{number}", "succeeded")
    equal(sorted(box.lines("ran")), [f"waits/{n}" for n in range(1, acknowledged + 1)], "what ran, once each")
    wait_for(lambda: Control(box).ask("GET", "/healthz")[0] == 200, "healthz is well again")
    box.stoker("trigger", "waits", "--wait", code=0)


@story("pools count over all runs of the daemon, and why names the holder")
def pools(box: Sandbox):
    settings(box, f"pools: {{one: 1}}\ndags: {box.dags}\n")
    box.file("p.yaml", "name: p\nmax_active_runs: 3\nsteps:\n  a: {pool: one, run: 'while [ ! -e go ]; do sleep 0.02; done'}\n")
    Daemon(box)
    ready_dag(box, "p")
    for _ in range(3):
        box.stoker("trigger", "p", code=0)
    box.wait_running("p/1", "a")
    wait_for(lambda: box.status("p/3")["state"] == "running", "all are taken up")
    equal([box.task(f"p/{n}", "a")["state"] for n in (2, 3)], ["ready", "ready"], "the others wait")
    has(box.stoker("why", "p/2", "a", code=0).out, "p/1", "why")
    box.file("go", "")
    box.wait_state("p/3", "succeeded")


@story("a run waits for another DAG, says so, and fails when that does not come in time")
def after(box: Sandbox):
    box.file("features.yaml", "name: features\nsteps: {a: {run: 'true'}}\n")
    box.file("train.yaml", "name: train\nafter: {dag: features}\nsteps: {a: {run: 'true'}}\n")
    box.file("hasty.yaml", "name: hasty\nafter: {dag: features, state: failed, within: 1s}\nsteps: {a: {run: 'true'}}\n")
    Daemon(box)
    ready_dag(box, "train")
    box.stoker("trigger", "train", code=0)
    wait_for(lambda: "waits for features to succeed" in box.stoker("why", "train/1").out, "why")
    equal(box.status("train/1")["state"], "queued", "it waits")
    box.stoker("trigger", "features", "--wait", code=0)
    box.wait_state("train/1", "succeeded")
    box.stoker("trigger", "hasty", code=0)
    box.wait_state("hasty/1", "failed")
    has(box.task("hasty/1", "a")["message"], "waits for features to fail", "why it failed")


if __name__ == "__main__":
    main()
