"""The status page in a browser: what the morning look shows, and what is done there. page/drive.js holds the other end.

Needs chromium, node, and the modules of page/package-lock.json (`npm ci` in tests/e2e/page, or STOKER_PAGE_MODULES).
STOKER_PAGE_SHOTS=FOLDER leaves pictures of every page.
"""

import contextlib
import json
import os
import shutil
import subprocess

from lib import HERE, QUICK, SLOW, Failed, Skip, check, main, story, wait_for
from webclient import Control

MODULES = os.environ.get("STOKER_PAGE_MODULES") or os.path.join(HERE, "page", "node_modules")
CHROMIUM = os.environ.get("STOKER_CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
EVIL = "<img src=x onerror=alert(1)> \"'&amp;"

NIGHT = r"""
name: night
description: trains a little <b>every</b> night
schedule: {cron: "30 2 * * mon-fri", timezone: Europe/Berlin}
params:
  lr: {type: float, default: 0.1, min: 0, max: 1}
  who: world
  mode: {default: fast, enum: [fast, slow]}
steps:
  prepare: {run: echo ready}
  train:
    needs: [prepare]
    checkpoint: {keep: 2}
    run: |
      echo "hello $STOKER_PARAM_WHO"
      printf '\033[32mgreen\033[0m <b>not bold</b>\n\rbar 1 of 3\rbar 2 of 3\rbar 3 of 3\n'
      n=1
      while [ $n -le 6000 ]; do
        echo "{\"step\": $n, \"loss\": 0.$n}" >>"$STOKER_METRICS"
        echo "line $n"; n=$((n + 1)); sleep 0.1
      done
  publish: {needs: [train], run: "true"}
"""
QUICK_DAG = 'name: quick\nsteps:\n  a: {run: "echo quick"}\n  b: {needs: [a], run: "echo done"}\n'
FAILS = "name: fails\nsteps:\n  a: {run: echo about to fail; exit 3}\n  b: {needs: [a], run: \"true\"}\n"
LATER = 'name: later\nschedule: "@daily"\nsteps:\n  a: {run: "true"}\n'
BROKEN = "name: broken\nsteps:\n  a: {rum: x}\n"
LONG = """
name: long
steps:
  talk:
    log: {max: 64M}
    run: |
      echo the first line
      seq -f 'line %.0f of a long log, which says little' 200000
      echo a needle in it
      seq -f 'line %.0f of a long log, which says little' 200000
      echo the last line
"""


def layers(name, count, wide):
    """A DAG of so many steps, in layers."""
    steps = ["  s0: {run: 'true'}"]
    for i in range(1, count):
        layer, place = divmod(i - 1, wide)
        needs = "s0" if layer == 0 else f"s{(layer - 1) * wide + place + 1}, s{(layer - 1) * wide + (place * 7) % wide + 1}"
        steps.append(f"  s{i}: {{needs: [{', '.join(sorted(set(needs.split(', '))))}], run: 'true'}}")
    return f"name: {name}\nsteps:\n" + "\n".join(steps) + "\n"


def need_browser():
    if CHROMIUM is None or shutil.which("node") is None:
        raise Skip("chromium and node are needed")
    if not os.path.isdir(os.path.join(MODULES, "playwright-core")):
        raise Skip("the modules of tests/e2e/page are not installed (npm ci)")


def environment(box):
    return {**os.environ, "HOME": box.path, "TMPDIR": box.path, "STOKER_PAGE_MODULES": MODULES, "STOKER_CHROMIUM": CHROMIUM,
            "STOKER_PAGE_SLOW": str(SLOW)}


def words_of(name, daemon, arguments):
    return ["node", os.path.join(HERE, "page", "drive.js"), name, f"http://127.0.0.1:{daemon.port}", json.dumps(arguments)]


def drive(box, daemon, name, **arguments):
    """What the story of drive.js answers."""
    try:
        done = subprocess.run(words_of(name, daemon, arguments), env=environment(box), capture_output=True, text=True,
                              timeout=400 * SLOW, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{name} does not end: {error.stderr}") from None
    if done.returncode != 0:
        raise Failed(f"{name}: {done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def page(box, **dags):
    need_browser()
    for name, text in dags.items():
        box.file(f"{name}.yaml", text)
    daemon = Control(box)
    daemon.knows(*dags)
    yield daemon
    daemon.signal(15)
    daemon.wait()


def token(box):
    return box.stoker("token", "create", "--role", "operator", "--name", "browser", code=0).out.split()[-1]


def ended(daemon, run):
    return wait_for(lambda: (lambda it: it if it["ended"] else None)(daemon.get(f"/runs/{run}")), f"{run} ends")


def trigger(daemon, dag):
    answer = daemon.ask("/api/v1/runs", "POST", {"dag": dag})
    check(answer.status == 200, answer.text)
    return answer.json["run"]


@story("the overview says what needs somebody, and three clicks lead to why")
def overview(box):
    dags = {"fails": FAILS, "quick": QUICK_DAG, "later": LATER, "broken": BROKEN,
            "no name": BROKEN.replace("broken", "7 %")}
    with page(box, **dags) as daemon:
        run = trigger(daemon, "fails")
        ended(daemon, run)
        box.stoker("pause", "later", code=0)
        drive(box, daemon, "overview", failed=run, broken="broken", nameless="no name", paused="later")


@story("each page has nothing serious for axe, in light and dark and at 360 px")
def looks(box):
    with page(box, night=NIGHT, fails=FAILS, broken=BROKEN) as daemon:
        failed = trigger(daemon, "fails")
        run = trigger(daemon, "night")
        ended(daemon, failed)
        wait_for(lambda: len(daemon.get(f"/runs/{run}/tasks/train/metrics")["metrics"]) > 3, "metrics")
        screens = [["dark", 1200], ["light", 360]]
        drive(box, daemon, "looks", screens=screens if QUICK else [*screens, ["light", 1200]], hashes={
            "overview": "#/", "dag": "#/dags/night", "broken": "#/dags/broken", "runs": "#/runs", "run": f"#/runs/{run}",
            "failed": f"#/runs/{failed}", "task": f"#/runs/{run}/train", "workers": "#/workers", "events": "#/events",
            "older": "#/events?before=4", "nothing": "#/runs/night/99", "unknown": "#/x/y"})


@story("schedules are said in words, and terminals are read as terminals")
def words(box):
    with page(box, quick=QUICK_DAG) as daemon:
        drive(box, daemon, "words", schedules={
            "30 2 * * *": "Every day at 02:30",
            "0 8,20 * * *": "Every day at 08:00 and 20:00",
            "@hourly": "Every hour, on the hour",
            "*/15 * * * *": "Every 15 minutes",
            "0 */6 * * *": "Every 6 hours",
            "30 2 * * mon-fri": "Monday to Friday at 02:30",
            "0 4 * * 0,6": "Sunday and Saturday at 04:00",
            "0 4 L * *": "The last day of the month at 04:00",
            "0 4 * * mon#2": "The second Monday of the month at 04:00",
            "0 4 * * friL": "The last Friday of the month at 04:00",
            "0 4 1 jan,jul *": "Day 1 of the month in January and July at 04:00",
            "0 4 1 * mon": "Day 1 of the month or Monday at 04:00",
            "*/10 9-17 * * *": "Every 10 minutes, in hour 9 to 17",
        }, terminal={
            "plain": "plain",
            "\x1b[1;31mred\x1b[0m x": "[ansi-bold ansi-f1 red] x",
            "a 1\ra 2\ra 3\r\nb": "a 3\nb",
            "a 1\r\x1b[Ka 2\r": "a 2",
            "\x1b]0;title\x07x\x1b[2Jy": "xy",
            "\x1b[95mbright\x1b[39m": "[ansi-f13 bright]",
            "x\x00\x08\x7fy\tz": "xy\tz",
            "\x1b[31mone\rtwo": "[ansi-f1 two]",
        })


@story("a run is triggered with parameters, watched, its log read live, and canceled; nothing in it is markup")
def night(box):
    with page(box, night=NIGHT) as daemon:
        drive(box, daemon, "night", token=token(box), evil=EVIL)
        run = daemon.get("/runs/night/1")
        check(run["params"]["who"] == EVIL and run["params"]["mode"] == "slow", f"the parameters arrived: {run['params']}")
        check(run["state"] == "canceled", run["state"])


@story("a run is retried from a step after a look at what that does")
def retry(box):
    with page(box, quick=QUICK_DAG) as daemon:
        run = trigger(daemon, "quick")
        ended(daemon, run)
        drive(box, daemon, "retry", token=token(box), run=run, **{"from": "b"})
        attempts = [len(task["attempts"]) for task in daemon.get(f"/runs/{run}")["tasks"]]
        check(attempts == [1, 2], f"what lay before the step was kept: {attempts}")


@story("a DAG is paused and unpaused, a worker drained and undrained")
def pause(box):
    with page(box, later=LATER) as daemon:
        drive(box, daemon, "pause", token=token(box), dag="later")
        kinds = [event["kind"] for event in daemon.get("/events")["events"]]
        for kind in ("dag.paused", "dag.unpaused", "worker.drained", "worker.undrained"):
            check(kind in kinds, f"{kind} is in the audit trail: {kinds}")


@story("how busy a worker is comes up to date under somebody who is at it")
def busy(box):
    with page(box) as daemon:
        drive(box, daemon, "busy")


@story("all of it goes with keys alone")
def keyboard(box):
    with page(box, quick=QUICK_DAG) as daemon:
        drive(box, daemon, "keyboard", token=token(box))


@story("a long log is read by windows and searched")
def log(box):
    with page(box, long=LONG) as daemon:
        run = trigger(daemon, "long")
        task = ended(daemon, run)["tasks"][0]
        size = task["attempts"][0]["log_bytes"]
        got = drive(box, daemon, "log", task=f"{run}/talk", bytes=size, needle="a needle in it")
        print(f"# {size} bytes; {got}")


@story("1,000 steps are drawn and zoomed, 10,000 summarised")
def graph(box):
    with page(box, thousand=layers("thousand", 1000, 200), myriad=layers("myriad", 10000, 2000)) as daemon:
        for dag, nodes in (("thousand", [1000, 1000]), ("myriad", [2, 300])):
            got = drive(box, daemon, "graph", hash=f"#/dags/{dag}", nodes=nodes)
            print(f"# {dag}: drawn after {got['drawn_ms']} ms")
            check(got["drawn_ms"] < 10000 * SLOW, f"it is drawn soon, and not after {got['drawn_ms']} ms")


@story("without JavaScript it can be read")
def plain(box):
    with page(box, fails=FAILS, quick=QUICK_DAG) as daemon:
        ended(daemon, trigger(daemon, "fails"))
        drive(box, daemon, "plain")


@story("a page that was cut off says so, and is true again afterwards")
def cut(box):
    with page(box, quick=QUICK_DAG) as daemon:
        browser = subprocess.Popen(words_of("cut", daemon, {}), env=environment(box), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        try:
            check(browser.stdout.readline().strip() == "live", "the page is live")
            daemon.signal(15)
            daemon.wait()
            browser.stdin.write("down\n")
            browser.stdin.flush()
            check(browser.stdout.readline().strip() == "cut", "the page says that it is cut off")
            again = Control(box, daemon.port)
            ended(again, trigger(again, "quick"))
            browser.stdin.write("up\n")
            browser.stdin.flush()
            out, err = browser.communicate(timeout=200 * SLOW)
            check(browser.returncode == 0, f"the page is live again: {out}{err}")
            again.signal(15)
            again.wait()
        finally:
            if browser.poll() is None:
                browser.kill()
                browser.wait()
            daemon.signal = daemon.wait = lambda *_: None


if __name__ == "__main__":
    main()
