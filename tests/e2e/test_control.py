"""What the API tells of real runs, and the command line's side of it: `stoker trigger` and tokens."""

import contextlib
import datetime
import grp
import html
import http.client
import json
import os
import random
import re
import resource
import socket
import sqlite3
import subprocess
import threading
import time
from urllib.parse import quote, urlencode

from lib import QUICK, SEED, SLOW, STOKER, Sandbox, Skip, check, equal, has, main, story, wait_for
from webclient import UnixConnection, control

DAG = """\
name: night
description: trains a little
schedule: {cron: "30 2 * * *", timezone: Europe/Berlin}
params:
  lr: {type: float, default: 0.1, min: 0, max: 1}
  who: world
steps:
  train:
    retry: {max: 1, backoff: 100ms}
    checkpoint: {keep: 2}
    run: |
      echo "hello $STOKER_PARAM_WHO, attempt $STOKER_ATTEMPT"
      n=1
      while [ $n -le 50 ]; do echo "{\\"step\\": $n, \\"loss\\": 0.$n, \\"note\\": \\"x\\"}" >>"$STOKER_METRICS"; n=$((n + 1)); done
      echo a >"$STOKER_CHECKPOINT_DIR/e-1.tmp"; mv "$STOKER_CHECKPOINT_DIR/e-1.tmp" "$STOKER_CHECKPOINT_DIR/e-1"
      echo "accuracy=0.98" >>"$STOKER_OUTPUT"
      printf 'no newline at the end'
      test "$STOKER_ATTEMPT" -gt 1
  publish:
    needs: [train]
    run: echo "${{ steps.train.outputs.accuracy }}"
"""

BAD = "name: broken\nsteps:\n  a: {rum: x}\n"
FAILS = "name: fails\nsteps:\n  a: {run: exit 3}\n"


# --- JSON Schema, as much of it as schemas.json uses -------------------------------------------------------------------


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
         "null": type(None)}


def fits(schemas, schema, value, where, whole=True):
    """Checks a value against a schema; extra members are mistakes too, as the promise is that all are told."""
    if "$ref" in schema:
        fits(schemas, schemas[schema["$ref"].rsplit("/", 1)[1]], value, where, whole)
        return
    for part in schema.get("allOf", []):
        fits(schemas, part, value, where, whole=False)
    if "anyOf" in schema:
        parts = [part for part in schema["anyOf"] if (part.get("type") == "null") == (value is None)]
        fits(schemas, parts[0], value, where, whole)
        return
    if "enum" in schema:
        check(value in schema["enum"], f"{where} is {value!r}, one of {schema['enum']}")
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        check(any(isinstance(value, TYPES[name]) and not (isinstance(value, bool) and name in ("integer", "number"))
                  for name in names), f"{where} is {value!r}, expected {names}")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for key in schema.get("required", []):
            check(key in value, f"{where} lacks {key}")
        for key, item in value.items():
            if key in known:
                fits(schemas, known[key], item, f"{where}.{key}")
            elif isinstance(schema.get("additionalProperties"), dict):
                fits(schemas, schema["additionalProperties"], item, f"{where}.{key}")
            else:
                check(not whole or not known, f"{where}.{key} is described")
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            fits(schemas, schema["items"], item, f"{where}[{i}]")


# --- stories ------------------------------------------------------------------------------------------------------------


@story("trigger makes a run, follows it with what its steps print, and ends as it ends")
def trigger(box: Sandbox):
    box.file("night.yaml", DAG)
    box.file("fails.yaml", FAILS)
    with control(box, "night", "fails"):
        done = box.stoker("trigger", "night", "-p", "who=Ada", "--follow", code=0)
        equal(done.out.splitlines(), ["night/1", "train | hello Ada, attempt 1", "train | no newline at the end",
                                      "train | hello Ada, attempt 2", "train | no newline at the end",
                                      "publish | 0.98"], "stdout")
        for part in ("night/1", "train    succeeded", "publish  succeeded", "succeeded in"):
            has(done.err, part, "stderr")
        run = json.loads(box.stoker("trigger", "night", "--wait", "--json", code=0).out)
        equal((run["run"], run["state"], run["actor"], run["origin"]), ("night/2", "succeeded", "root" if os.geteuid() == 0
              else run["actor"], "control socket"), "the run")
        equal(box.stoker("trigger", "./fails.yaml", "--wait", code=1).out, "fails/1\n", "a file, whose run fails")
        equal(json.loads(box.stoker("trigger", "fails", "--json", code=0).out), {"run": "fails/2", "state": "queued"}, "JSON")
        has(box.stoker("trigger", "nigth", code=3).err, "did you mean 'night'?", "an unknown DAG")
        has(box.stoker("trigger", "night", "-p", "lr=7", code=2).err, "lr", "a wrong parameter")
        has(box.stoker("trigger", "night", "-p", "lr", code=2).err, "NAME=VALUE", "no assignment")
        has(box.stoker("trigger", "missing.yaml", code=2).err, "open missing.yaml", "no such file")
        wait_for(lambda: box.stoker("status", "fails/2").out.find("failed") >= 0, "the last run to end")


@story("without a daemon, and with somebody else's, one is told so")
def unreachable(box: Sandbox):
    done = box.stoker("trigger", "night", code=4)
    has(done.err, "no daemon answers on", "no folder")
    has(done.err, "stoker serve", "what to do")
    os.makedirs(box.home)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(os.path.join(box.home, "control.sock"))
    dead.close()
    has(box.stoker("trigger", "night", code=4).err, "no daemon answers", "a socket that was left")
    has(box.stoker("trigger", "night", code=1, env={"STOKER_SOCKET": "relative"}).err, "absolute path", "a relative path")
    if os.geteuid() == 0:
        os.chmod(box.home, 0o700)
        box.open_to_others()
        done = subprocess.run([box.program, "trigger", "night"], user=65534, group=65534, extra_groups=[], env=box.env,
                              capture_output=True, text=True, check=False, cwd="/")
        equal(done.returncode, 1, f"another user: {done.stderr}")
        has(done.stderr, "not allowed to use the daemon's socket", "another user")


@story("every answer is as its description says, for runs that ended and one that goes on")
def described(box: Sandbox):
    box.file("night.yaml", DAG)
    box.file("broken.yaml", BAD)
    box.file("long.yaml", "name: long\nsteps:\n  wait: {run: 'echo started; while [ ! -e go ]; do sleep 0.05; done'}\n")
    with control(box, "night", "broken", "long") as server:
        box.stoker("trigger", "night", "--wait", code=0)
        box.stoker("trigger", "long", code=0)
        wait_for(lambda: any(a["state"] == "running" for a in server.get("/runs/long/1/tasks/wait")["attempts"]), "a step")
        document = server.get("/openapi.json")
        schemas = document["components"]["schemas"]
        values = {"dag": ["night", "broken", "long"], "number": ["1"], "task": ["train", "wait"], "worker": ["local"]}
        checked = 0
        for path, methods in document["paths"].items():
            answer = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).get("application/json")
            if answer is None or path.endswith("openapi.json"):
                continue
            needed = [p["name"] for p in methods["get"].get("parameters", []) if p["in"] == "query" and p["required"]]
            places = [path + ("?from=2026-01-01&to=2026-01-03" if needed else "")]
            for name, choices in values.items():
                places = [p.replace("{%s}" % name, choice) for p in places for choice in
                          (choices if "{%s}" % name in p else [""])]
            for place in places:
                got = server.ask(place)
                if got.status != 404 or "train" in place or "wait" in place or "broken" in place:
                    schema = answer["schema"] if got.status == 200 else schemas["Problem"]
                    check(got.status in (200, 404), f"{place}: {got.text[:200]}")
                    fits(schemas, schema, got.json, place)
                    checked += got.status == 200
        check(checked > 25, f"{checked} answers were checked")
        box.file("go", "")
        wait_for(lambda: server.get("/runs/long/1")["state"] == "succeeded", "the end")


@story("lists, details, metrics and logs tell what happened")
def told(box: Sandbox):
    box.file("night.yaml", DAG)
    box.file("broken.yaml", BAD)
    with control(box, "night", "broken") as server:
        equal([(d["dag"], d["active"], d["latest"]) for d in server.get("/dags")["dags"]],
              [("broken", 0, []), ("night", 0, [])], "before any run")
        equal(server.get("/runs?dag=night"), {"runs": [], "next": None}, "a DAG that has not run")
        for _ in range(3):
            box.stoker("trigger", "night", "--wait", code=0)
        broken, night = server.get("/dags")["dags"]
        has(broken["problem"], "unknown key 'rum'", "what is wrong")
        equal((broken["in_force"], night["in_force"], night["problem"]), (False, True, None), "in force")
        equal([run["number"] for run in night["latest"]], [3, 2, 1], "the latest")
        check(night["last_success"] and night["next_due"], "times")
        detail = server.get("/dags/night")
        equal([step["step"] for step in detail["steps"]], ["train", "publish"], "the steps")
        equal(detail["params"][0], {"name": "lr", "type": "float", "default": "0.1", "min": 0.0, "max": 1.0, "choices": None,
                                    "description": None}, "a parameter")
        equal(detail["text"], DAG, "the YAML")
        has(server.get("/dags/nigth", 404)["detail"], "did you mean night?", "a near name")
        coming = server.get("/dags/night/occurrences?limit=10")["coming"]
        equal((len(coming), coming[0]["timezone"]), (10, "Europe/Berlin"), "what comes")
        equal([due["nominal"] for due in server.get("/dags/night/occurrences?from=2100-03-27&to=2100-03-29")["coming"]],
              ["2100-03-27 02:30", "2100-03-28 02:30"], "what comes between two days")
        equal(server.get("/dags/broken/occurrences"), {"dag": "broken", "paused_by": None, "paused_since": None, "coming": [],
                                                       "past": [], "next": None}, "of a file that was never good")
        has(server.get("/dags/night/occurrences?from=yesterday", 400)["detail"], "'from'", "no time")
        plan = server.get("/dags/night/backfill?from=2026-01-01&to=2026-01-03&limit=2")
        equal(([due["nominal"] for due in plan["due"]], plan["runs"], plan["more"]),
              (["2026-01-01 02:30", "2026-01-02 02:30"], 2, True), "what a backfill would do")
        has(server.get("/dags/night/backfill?from=2026-01-01", 400)["detail"], "needs the parameter 'to'", "no end")
        has(server.get("/dags/nigth/backfill?from=2026-01-01&to=2026-01-02", 404)["detail"], "did you mean night?", "no DAG")
        equal(server.get("/backfills?dag=night"), {"backfills": []}, "backfills")
        page = server.get("/runs?limit=2")
        equal([run["run"] for run in page["runs"]], ["night/3", "night/2"], "the first page")
        equal([run["run"] for run in server.get(f"/runs?limit=2&before={page['next']}")["runs"]], ["night/1"], "the second")
        has(server.get("/runs?state=sleeping", 400)["detail"], "no run is ever 'sleeping'", "a state")
        task = server.get("/runs/night/1/tasks/train")
        equal([attempt["state"] for attempt in task["attempts"]], ["failed", "succeeded"], "the attempts")
        equal(task["outputs"], {"accuracy": "0.98"}, "the outputs")
        all_ = server.get("/runs/night/1/tasks/train/metrics")
        equal((len(all_["metrics"]), all_["thinned"]), (100, False), "the metrics")
        equal(all_["metrics"][0]["values"], {"step": 1, "loss": 0.1}, "the first")
        thin = server.get("/runs/night/1/tasks/train/metrics?limit=20")
        check(thin["thinned"] and 16 <= len(thin["metrics"]) <= 20, f"thinned to {len(thin['metrics'])}")
        for attempt in (1, 2):
            steps = [m["values"]["step"] for m in thin["metrics"] if m["attempt"] == attempt]
            check(steps == sorted(set(steps)) and (steps[0], steps[-1]) == (1, 50), f"from the first to the last: {steps}")
        equal(len(server.get("/runs/night/1/tasks/train/checkpoints")["checkpoints"]), 2, "the checkpoints")
        log = server.ask("/api/v1/runs/night/1/tasks/train/attempts/1/log")
        equal(log.bytes, b"hello world, attempt 1\nno newline at the end", "a log")
        beyond = server.ask(f"/api/v1/runs/night/1/tasks/train/attempts/1/log?follow=true&offset={2**63 - 1}")
        equal((beyond.status, beyond.bytes), (200, b""), "what lies behind any end")
        has(server.get("/runs/night/1/tasks/train/attempts/7/log", 404)["detail"], "no attempt 7", "no such attempt")
        has(server.get("/runs/night/1/tasks/tran", 404)["detail"], "did you mean train?", "no such task")
        check(server.get("/events?run=night/1&limit=1000")["events"], "events")
        equal(server.ask("/api/v1/dags/night/pause", "POST").json["paused"], True, "a pause")
        night = server.get("/dags")["dags"][1]
        check(night["paused"] and night["paused_by"] and night["paused_since"], f"paused: {night}")
        equal(server.ask("/api/v1/dags/night/unpause", "POST").json["paused"], False, "its end")


@story("the plain pages show it without a script, and nothing in them is markup")
def plain(box: Sandbox):
    evil = "<script>alert(1)</script> & \"'"
    box.file("night.yaml", DAG.replace("trains a little", "trains <b>a little</b>"))
    box.file("a b&c.yaml", BAD)
    with control(box, "night", "a b&c") as server:
        equal(server.ask("/api/v1/runs", "POST", {"dag": "night", "params": {"who": evil}}).status, 200, "a run")
        box.wait_state("night/1", "succeeded")
        for path, said in [("", "night"), ("/dags/night", "Europe/Berlin"), ("/runs", "night/1"), ("/runs/night/1", "publish"),
                           ("/runs/night/1/train", "e-1"), ("/workers", "local"), ("/events", "run.submitted")]:
            answer = server.ask("/plain" + path)
            equal((answer.status, answer.header["Content-Type"]), (200, "text/html; charset=utf-8"), path)
            has(answer.text, said, path)
            check("<script" not in answer.text and "<b>" not in answer.text, f"{path} has markup of others: {answer.text}")
        has(server.ask("/plain/runs/night/1").text, "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;'", "the parameter")
        has(server.ask("/plain/dags/night").text, "trains &lt;b&gt;a little", "the description")
        has(server.ask("/plain").text, '<a href="/plain/dags/a%20b%26c">a b&amp;c</a>', "a file that is called oddly")
        older = re.search(r'href="(/plain/events\?before=\d+)">Older ones', server.ask("/plain/events?limit=1").text)
        check(older is not None, "a link to older events")
        has(server.ask(html.unescape(older.group(1))).text, "run.submitted", "older events")
        hidden = re.search(r'href="(.*?)">Older ones', server.ask("/plain/runs?limit=1").text)
        equal(hidden, None, "a link to older runs, of which there are none")
        gone = server.ask("/plain/runs/night/7")
        equal((gone.status, gone.header["Content-Type"]), (404, "text/html; charset=utf-8"), "a run that is not there")
        has(gone.text, '<p class="problem" role="alert">', "a page says so")
        has(gone.text, "night/7", "what is not there")
        odd = server.ask("/plain/runs/%3Cb%3E/1")
        equal(odd.status, 404, "a name that cannot be one")
        check("<b>" not in odd.text, "what was asked for is no markup")
        equal(server.ask("/plainly").header["Content-Type"], "application/problem+json", "what only begins like one")
        equal(server.ask("/plain/runs/night/1", header={"If-None-Match": server.ask("/plain/runs/night/1").header["ETag"]}).status,
              304, "a page that is known")


@story("every change answers as its description says, and stands in the audit trail with who asked for it")
def changes(box: Sandbox):
    box.file("night.yaml", DAG)
    box.file("fails.yaml", FAILS)
    box.file("long.yaml", "name: long\nsteps:\n  wait: {run: sleep 600}\n")
    with control(box, "night", "fails", "long") as server:
        document = server.get("/openapi.json")
        schemas = document["components"]["schemas"]

        def change(path, body=None, status=200, **values):
            place = "/api/v1" + path
            for name, value in values.items():
                place = place.replace("{%s}" % name, value)
            answer = server.ask(place, "POST", body if body is not None else {})
            equal(answer.status, status, f"{place}: {answer.text[:300]}")
            described = document["paths"]["/api/v1" + path]["post"]["responses"]["200"]["content"]["application/json"]
            fits(schemas, described["schema"] if status == 200 else schemas["Problem"], answer.json, place)
            return answer.json

        run = change("/runs", {"dag": "long"})["run"]
        equal(run, "long/1", "the run")
        box.wait_running("long/1", "wait")
        change("/runs/{dag}/{number}/cancel", {"now": True}, dag="long", number="1")
        wait_for(lambda: server.get("/runs/long/1")["state"] == "canceled", "the cancel")
        change("/runs/{dag}/{number}/cancel", {"now": True}, dag="long", number="7", status=404)
        change("/runs", {"dag": "nothing"}, status=404)
        change("/runs", {"dag": "night", "params": {"lr": "high"}}, status=400)
        change("/runs", {"dag": "fails"})
        box.wait_state("fails/1", "failed")
        preview = change("/runs/{dag}/{number}/retry", {"dry_run": True}, dag="fails", number="1")
        equal([(task["task"], task["does"]) for task in preview["tasks"]], [("a", "run")], "what a retry would do")
        change("/runs/{dag}/{number}/retry", dag="fails", number="1")
        wait_for(lambda: len(server.get("/runs/fails/1/tasks/a")["attempts"]) == 2, "the second attempt")
        change("/workers/{worker}/drain", worker="local")
        equal(server.get("/workers")["workers"][0]["state"], "draining", "the worker")
        change("/workers/{worker}/undrain", worker="local")
        change("/workers/{worker}/drain", worker="nothing", status=404)
        made = change("/dags/{dag}/backfill", {"from": "2026-01-01", "to": "2026-01-02"}, dag="night")["backfill"]
        wait_for(lambda: server.get("/backfills")["backfills"][0]["runs"] == {"succeeded": 2}, "the runs of the backfill")
        told = server.get("/backfills?dag=night")
        fits(schemas, schemas["Backfills"], told, "backfills")
        equal((told["backfills"][0]["backfill"], told["backfills"][0]["made"]), (made, 2), "the backfill")
        plan = server.get("/dags/night/backfill?from=2026-01-01&to=2026-01-03")
        fits(schemas, schemas["BackfillPlan"], plan, "the plan of another")
        equal([(due["does"], due["run"]) for due in plan["due"]],
              [("leave out", "night/1"), ("leave out", "night/2"), ("run", None)], "what another would do")
        change("/dags/{dag}/backfill", {"from": "2026-01-01", "to": "2026-01-02", "dry_run": True}, 400, dag="night")
        change("/reload")
        events = server.get("/events?limit=1000")["events"]
        for kind in ("run.submitted", "run.cancel_requested", "run.retried", "worker.drained", "worker.undrained"):
            check(any(event["kind"] == kind and event["origin"] == "control socket" for event in events), kind)


@story("what was acknowledged is in the very next answer, however often one asks")
def fresh(box: Sandbox):
    box.file("fails.yaml", FAILS)
    with control(box, "fails") as server:
        for number in range(1, 31):
            for _ in range(3):
                before = server.get("/runs?dag=fails&limit=100")["runs"]
            equal(len(before), number - 1, "the runs so far")
            server.ask("/api/v1/runs", "POST", {"dag": "fails"})
            equal(server.get("/runs?dag=fails&limit=100")["runs"][0]["number"], number, "the newest run")


@story("the lists tell of a run what the run tells of itself, at once: that it began, ended, is tried again, and of a pause")
def lists(box: Sandbox):
    box.file("fails.yaml", FAILS)

    def told():
        """The state of the newest run, by both lists, after the run itself."""
        states = [server.get("/runs/fails/1")["state"], server.get("/runs")["runs"][0]["state"],
                  server.get("/dags")["dags"][0]["latest"][0]["state"]]
        order = ["queued", "running", "failed"]
        places = [order.index(state) for state in states]
        equal(places, sorted(places), f"never older than what was told before: {states}")
        return states[-1]

    with control(box, "fails") as server:
        server.ask("/api/v1/runs", "POST", {"dag": "fails"})
        for _ in range(20):
            wait_for(lambda: told() == "failed", "it fails")
            ended = server.get("/runs/fails/1")["ended"]
            equal([server.get("/runs")["runs"][0]["ended"], server.get("/dags")["dags"][0]["latest"][0]["ended"]], [ended] * 2,
                  "when it ended")
            server.ask("/api/v1/runs/fails/1/retry", "POST", {})
            wait_for(lambda: server.get("/runs/fails/1")["ended"] not in (None, ended), "it ends again")
        for paused in (True, False) * 5:
            server.ask(f"/api/v1/dags/fails/{'' if paused else 'un'}pause", "POST")
            equal(server.get("/dags")["dags"][0]["paused"], paused, "paused")
        for number in (2, 3):
            box.stoker("run", os.path.join(box.dags, "fails.yaml"), code=1)  # another process, not the daemon
            latest = [(run["number"], run["state"]) for run in server.get("/dags")["dags"][0]["latest"]]
            equal(latest, [(n, "failed") for n in range(number, 0, -1)], "with a run that another process drove")
        with contextlib.closing(sqlite3.connect(os.path.join(box.home, "stoker.db"))) as db, db:
            db.execute("UPDATE run SET ended_ms = ended_ms - 40 * 86400000")
        box.file("keep.yaml", "retention: {runs: {age: 30d, keep: 1}}\n")
        box.stoker("gc", "--config", os.path.join(box.dags, "keep.yaml"), code=0)
        os.unlink(os.path.join(box.dags, "keep.yaml"))
        equal([run["number"] for run in server.get("/dags")["dags"][0]["latest"]], [3], "what a gc has left")
        box.file("fails.yaml", "name: fails\nsteps: 7\n")
        wait_for(lambda: server.get("/dags")["dags"][0]["problem"], "what is wrong with the file")


@story("a live stream tells of a run as it goes on")
def live(box: Sandbox):
    box.file("night.yaml", DAG)
    with control(box, "night") as server:
        stream = UnixConnection(server.socket)
        stream.request("GET", "/api/v1/stream?run=night/1")
        response = stream.getresponse()
        box.stoker("trigger", "night", code=0)
        seen, ended = [], False
        while not ended:
            line = response.readline().decode()
            if line.startswith("data: ") and line != "data: {}\n":
                event = json.loads(line[6:])
                seen.append(event)
                ended = event.get("run") == "night/1" and event.get("state") == "succeeded" and "task" not in event
        check(any(event.get("task") == "publish" for event in seen), f"its tasks are told of: {seen}")
        stream.close()


@story("samples say what is and what was, and are clean")
def samples(box: Sandbox):
    box.file("night.yaml", DAG)
    box.file("fails.yaml", FAILS)
    with control(box, "night", "fails") as server:
        server.ask("/metrics")
        box.stoker("trigger", "night", "--wait", code=0)
        box.stoker("trigger", "fails", "--wait", code=1)
        text = server.ask("/metrics").text
        for line in ('stoker_runs_total{dag="night",state="succeeded"} 1', 'stoker_runs_total{dag="fails",state="failed"} 1',
                     'stoker_runs{state="queued"} 0', 'stoker_worker_up{worker="local"} 1', 'stoker_dag_valid{dag="night"} 1',
                     'stoker_last_success_timestamp_seconds{dag="night"} ', 'stoker_next_due_timestamp_seconds{dag="night"} ',
                     'stoker_queue_wait_seconds_bucket{le="+Inf"} '):
            check("\n" + line in text, f"{line} in\n{text}")
        for line in ('attempts_total{state="succeeded",reason="exit"} 2', 'attempts_total{state="failed",reason="exit"} 2',
                     "queue_wait_seconds_count 2", "dispatch_latency_seconds_count 4", "schedule_lag_seconds_count 0"):
            check(f"\nstoker_{line}\n" in text, f"{line} in\n{text}")
        with contextlib.suppress(FileNotFoundError):
            clean = subprocess.run(["promtool", "check", "metrics"], input=text.encode(), capture_output=True, check=False)
            equal((clean.returncode, clean.stdout + clean.stderr), (0, b""), "promtool")


@story("how busy a worker is, is told while it is connected, and only then")
def load(box: Sandbox):
    box.env["STOKER_AGENT"] = agent = os.path.join(box.path, "agent")
    os.symlink(os.path.join(os.path.dirname(STOKER), "stoker-agent"), agent)
    nowhere = "\nworkers:\n  nowhere: {ssh: no-such-host.invalid, ssh_config: /dev/null}"
    with control(box, settings=nowhere) as server:
        def workers():
            return {worker["worker"]: worker["load"] for worker in server.get("/workers")["workers"]}

        wait_for(lambda: workers()["local"], "the load")
        told, disk = workers()["local"], os.statvfs(box.home)
        check(told["load1"] >= 0 and 0 < told["memory_available_bytes"] <= told["memory_bytes"], f"load and memory: {told}")
        equal(told["disk_bytes"], disk.f_blocks * disk.f_frsize, "the disk")
        check(0 <= told["disk_free_bytes"] <= told["disk_bytes"], f"the disk: {told}")
        age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(told["at"].replace("Z", "+00:00"))
        check(age < datetime.timedelta(seconds=30 * SLOW), f"told {age} ago")
        equal(workers()["nowhere"], None, "of a worker that is not connected")
        wait_for(lambda: workers()["local"]["at"] != told["at"], "the next ping")
        samples = server.ask("/metrics").text
        for name in ("load1", "memory_available_bytes", "disk_free_bytes"):
            check(f'\nstoker_worker_{name}{{worker="local"}} ' in samples, f"{name} in\n{samples}")
            check(f'\nstoker_worker_{name}{{worker="nowhere"}} ' not in samples, f"{name} in\n{samples}")
        page = server.ask("/plain/workers").text
        check(re.search(r"memory: \d+\.\d of \d+\.\d GiB free</div><div>disk: ", page), f"the plain page: {page}")
        listed = box.stoker("workers", code=0).out.splitlines()
        check("LOAD" in listed[0] and any(re.match(r"local .* \d+\.\d, [0-9.]+ [KMGT]iB free ", line) for line in listed),
              f"the list: {listed}")
        loads = {worker["worker"]: worker["load"] for worker in box.workers()}
        equal((loads["local"]["disk_bytes"], loads["nowhere"]), (told["disk_bytes"], None), "its JSON")

        os.unlink(agent)  # so it does not come up again
        os.kill(int(re.findall(r"worker=local .*agent_pid=(\d+)", server.text)[-1]), 9)
        wait_for(lambda: workers()["local"] is None, "the load of a worker that was lost")
        check('stoker_worker_load1{' not in server.ask("/metrics").text, "samples of a worker that was lost")
        check("LOAD" not in box.stoker("workers", code=0).out, "the list without loads")
    equal([worker["load"] for worker in box.workers()], [None, None], "without a daemon")


@story("a due time that is met late is counted, with how late it was")
def lag(box: Sandbox):
    box.file("hourly.yaml", "name: hourly\nschedule: {cron: '0 * * * *', timezone: UTC}\nsteps: {a: {run: 'true'}}\n")
    with control(box, "hourly"):
        pass
    database = sqlite3.connect(os.path.join(box.home, "stoker.db"), isolation_level=None)
    database.execute("UPDATE schedule SET since_ms = since_ms - 7200000, settled_ms = settled_ms - 7200000")
    database.close()
    with control(box, "hourly") as server:
        box.wait_state("hourly/1", "succeeded")
        text = server.ask("/metrics").text
        check("\nstoker_schedule_lag_seconds_count 1\n" in text, text)
        run = server.get("/runs/hourly/1")
        equal((run["trigger"], server.get("/dags/hourly")["latest"][0]["trigger"]), ("cron", "cron"), "the trigger")


# --- strangers ----------------------------------------------------------------------------------------------------------


ODD = ["", " ", "0", "-1", "1e9", "null", "true", "%00", "..", "a/b", "\u00e4", "\U0001f319", "'", '"', "<b>", "x" * 300, "99999999999999999999",
       "2026-02-30", "2026-12-01T25:00:00Z", "night", "night/1", "train", "local", "1"]


def some_value(rng, schemas, schema):
    """Mostly one that fits."""
    schema = schemas[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    if rng.random() < 0.25:
        return rng.choice([*ODD, None, True, 7, -1, 2**63, 1.5, [], {}, {"a": 1}, [[[[]]]]])
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "examples" in schema:
        return rng.choice(schema["examples"])
    kind = schema["type"][0] if isinstance(schema["type"], list) else schema["type"]
    if kind == "integer":
        return rng.choice([schema.get("minimum", 0), schema.get("maximum", 2**63 - 1), 1, 2, 50])
    return {"string": rng.choice(ODD), "boolean": rng.random() < 0.5, "object": {rng.choice(["lr", "who", ""]): rng.choice(ODD)}}[kind]


def as_text(value):
    return value if isinstance(value, str) else json.dumps(value)


def random_request(rng, schemas, path, operation):
    """A path with its query, and a body or None."""
    query = []
    for parameter in operation.get("parameters", []):
        value = as_text(some_value(rng, schemas, parameter["schema"]))
        if parameter["in"] == "path":
            known = {"dag": "night", "number": "1", "task": "train", "attempt": "1", "worker": "local"}[parameter["name"]]
            path = path.replace("{%s}" % parameter["name"], quote(known if rng.random() < 0.7 else value, safe=""))
        elif parameter["required"] or rng.random() < 0.5:
            query += [(parameter["name"], value)] * rng.choice([1, 1, 1, 1, 2])
    body = None
    if "requestBody" in operation:
        fields = operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
        body = {name: some_value(rng, schemas, field) for name, field in fields.items() if rng.random() < 0.7}
        if rng.random() < 0.1:
            body = rng.choice([[], "x", 7, {"odd": 1}])
    return path + ("?" + urlencode(query) if query else ""), body


@story("whatever is asked for by somebody who has read the description, no answer is a failure or of another form than described")
def strangers(box: Sandbox):
    box.file("night.yaml", DAG)
    rng = random.Random(SEED)
    print(f"# seed {SEED}")
    with control(box, "night") as server:
        box.stoker("trigger", "night", "--wait", code=0)
        document = server.get("/openapi.json")
        schemas, counts = document["components"]["schemas"], {}
        # A stream has no end, samples are no JSON, and who guesses tokens is made to wait.
        operations = [(path, method, operation) for path, methods in document["paths"].items()
                      for method, operation in methods.items()
                      if operation["operationId"] not in ("stream", "samples", "login")]
        for _ in range(15 if QUICK else 40):
            for path, method, operation in operations:
                place, body = random_request(rng, schemas, path, operation)
                answer = server.ask(place, method.upper(), body)
                told = f"{method} {place} {body}: {answer.status} {answer.text[:300]}"
                check(answer.status < 500, told)
                described = operation["responses"].get(str(answer.status), operation["responses"]["default"])
                kind = answer.header["Content-Type"].split(";")[0]
                check(kind in described["content"], f"{kind}, {told}")
                if kind.endswith("json"):
                    fits(schemas, described["content"][kind]["schema"], answer.json, told)
                counts[answer.status] = counts.get(answer.status, 0) + 1
        check(counts[200] > 100 and counts[400] > 100 and counts[404] > 20, f"all sorts of answers: {counts}")


def flood(port, count):
    """So many connections, half of which have begun a request."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    sockets = []
    for i in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(("127.0.0.1", port))
        sockets.append(sock)
    for sock in sockets[::2]:
        with contextlib.suppress(OSError):
            sock.send(b"GET /api/v1/dags HTTP/1.1\r\nHost: localhost\r\n")
    return sockets


def send_without_end(port, stop):
    """Headers of 100 MB, one after the other, as far as the server lets one."""
    while not stop.is_set():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
            for _ in range(1600):
                sock.sendall(b"a" * 65536)


def go_on(sockets):
    """Each that has begun a request goes on with its header."""
    for sock in sockets[::2]:
        with contextlib.suppress(OSError):
            sock.send(b"X-A: b\r\n")


def met(server, sockets, since):
    """Seconds from the first due time after that to the first instruction, while each goes on with its header."""
    runs = []
    deadline = time.monotonic() + 75
    while (not runs or runs[-1]["state"] != "succeeded") and time.monotonic() < deadline:
        go_on(sockets)
        time.sleep(0.2)
        runs = [run for run in server.get("/runs?dag=due")["runs"] if moment(run["scheduled_for"]) > since]
    run = server.get(f"/runs/{runs[-1]['run']}")
    return moment(run["tasks"][0]["attempts"][0]["started"]) - moment(run["scheduled_for"])


def until_second(second):
    """A due time is near then, and what is set up before it stands."""
    while time.time() % 60 < second:
        time.sleep(0.1)


def besiege(box, server, count, numbers):
    """Runs get these numbers meanwhile. Seconds from the next due time to the first instruction; 0 when QUICK."""
    since, limits = time.time(), resource.getrlimit(resource.RLIMIT_NOFILE)
    stop = threading.Event()
    thread = threading.Thread(target=send_without_end, args=(server.port, stop))
    sockets = flood(server.port, count)
    try:
        thread.start()
        for number in numbers:
            equal(server.ask("/api/v1/runs", "POST", {"dag": "quick"}).json["run"], f"quick/{number}", "a run")
            box.wait_state(f"quick/{number}", "succeeded")
            go_on(sockets)
        equal([dag["dag"] for dag in server.get("/dags")["dags"]], ["due", "quick"], "a list")
        return 0 if QUICK else met(server, sockets, since)
    finally:
        stop.set()
        thread.join()
        for sock in sockets:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@story("10,000 connections and headers without end do not keep a step from starting, a due time from being met, nor the"
       " control socket from answering")
def besieged(box: Sandbox):
    count = min(1000 if QUICK else 10000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 500)
    box.file("quick.yaml", "name: quick\nsteps: {a: {run: 'true'}}\n")
    box.file("due.yaml", "name: due\nschedule: '* * * * *'\nsteps: {a: {run: 'true'}}\n")
    due = []
    with control(box, "quick", "due") as server:
        while len(due) < 3 and not (due and due[-1] < 0.5 * SLOW):  # what keeps it from being met does so each time
            if not QUICK:
                until_second(45)
            numbers = range(5 * len(due) + 1, 5 * len(due) + 6)
            due.append(besiege(box, server, count, numbers))
            runs = [server.get(f"/runs/quick/{number}") for number in numbers]
            took = sorted(moment(run["tasks"][0]["attempts"][0]["started"]) - moment(run["created"]) for run in runs)
            check(took[2] < 0.25 * SLOW, f"from the request to the first instruction: {took} s")
            wait_for(lambda: http_status(server.port) == 200, "places are free again")
        check(due[-1] < 0.5 * SLOW, f"from the due time to the first instruction: {due} s")


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def http_status(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10 * SLOW)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    return None


@story("another user is let in over the shared socket, by curl and by the command line alike, and is told by name")
def shared(box: Sandbox):
    if os.geteuid() != 0:
        raise Skip("not root: cannot become somebody else")
    box.file("quick.yaml", "name: quick\nsteps: {a: {run: 'true'}}\n")
    place = os.path.join(box.dags, "shared.sock")
    box.open_to_others()
    os.chmod(box.dags, 0o755)
    with control(box, "quick", settings=f"shared: {{socket: {place}, group: nogroup}}") as server:
        def as_other(*words, groups=(), **env):
            return subprocess.run(words, user=65534, group=65533, extra_groups=groups, env={**box.env, **env}, cwd="/",
                                  capture_output=True, text=True, check=False)

        group = [grp.getgrnam("nogroup").gr_gid]
        done = as_other(box.program, "trigger", "quick", STOKER_SOCKET=place)
        equal((done.returncode, done.stdout), (1, ""), "who is not of the group")
        has(done.stderr, "not allowed to use the daemon's socket", "who is not of the group")
        done = as_other(box.program, "trigger", "quick", groups=group, STOKER_SOCKET=place)
        equal((done.returncode, done.stdout), (0, "quick/1\n"), f"a member: {done.stderr}")
        equal(server.get("/runs/quick/1")["actor"], "nobody", "who started it")
        with contextlib.suppress(FileNotFoundError):
            curl = ["curl", "-sS", "--unix-socket", place, "http://stoker/api/v1/session"]
            equal(json.loads(as_other(*curl, groups=group).stdout), {"role": "operator", "name": "nobody", "session": False}, "curl")
            refused = as_other(*curl)
            check(refused.returncode == 7 and refused.stdout == "", f"curl of somebody else: {refused.stderr}")


@story("a token opens what it is for, until it is revoked or has expired")
def tokens(box: Sandbox):
    made = box.stoker("token", "create", "--role", "operator", "--name", "ci", code=0)
    secret = made.out.strip()
    check(secret.startswith("stoker_") and len(secret) == 50, "the secret alone is on stdout")
    short = box.stoker("token", "create", "--role", "viewer", "--name", "brief", "--expires", "1s", code=0).out.strip()
    has(box.stoker("token", "create", "--role", "owner", code=2).err, "no role 'owner'", "a wrong role")
    has(box.stoker("token", "create", "--role", "viewer", "--name", "ci", code=1).err, "already", "a name that is taken")
    box.file("night.yaml", DAG)
    with control(box, "night") as server:
        def pause(token):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10 * SLOW)
            connection.request("POST", "/api/v1/dags/night/pause", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status

        equal(pause(secret), 200, "the operator")
        wait_for(lambda: pause(short) == 401, "the other to expire")
        box.stoker("token", "revoke", "ci", code=0)
        equal(pause(secret), 401, "once it is revoked")
    states = {token["token"]: token["state"] for token in box.json("token", "list")["tokens"]}
    equal(states, {"ci": "revoked", "brief": "expired"}, "the list")
    with open(os.path.join(box.home, "stoker.db"), "rb") as file:
        data = file.read()
    check(secret.encode() not in data, "the database does not hold the secret")
    kinds = [event["kind"] for event in box.json("events")["events"]]
    equal(kinds, ["token.created", "token.created", "dag.paused", "token.revoked"], "the audit trail")


if __name__ == "__main__":
    main()
