"""`stoker serve`: what is due starts by itself, what is triggered starts in turn, and whatever dies, the next daemon goes on
as if nothing had happened."""

import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

from daemon import Control, Daemon, miss_due_times, ready_dag, settings
from lib import BUILD, QUICK, SEED, SLOW, STOKER, Sandbox, Skip, check, equal, has, main, small_pipe, story, wait_for

HELLO = "name: hello\nsteps:\n  a: {run: echo hi}\n"
WAITS = """\
name: waits
max_active_runs: %d
steps:
  a:
    run: |
      echo "$STOKER_RUN" >>started
      while [ ! -e go ]; do sleep 0.02; done
"""


@story("a DAG of the folder is triggered by name, runs, and its name is printed")
def triggered(box: Sandbox):
    box.file("hello.yaml", HELLO)
    Daemon(box)
    ready_dag(box, "hello")
    equal(box.stoker("trigger", "hello", code=0).out, "hello/1\n", "what trigger prints")
    box.wait_state("hello/1", "succeeded")
    equal(box.log("hello/1", "a"), b"hi\n", "its log")
    run = box.status("hello/1")
    equal((run["trigger"], run["orphaned"]), ("manual", False), "how it came")
    has(run["origin"], "control", "where it came from")
    result = box.stoker("trigger", "helo", code=3)
    has(result.err, "did you mean 'hello'?", "trigger of a DAG that there is not")
    equal(box.stoker("trigger", "hello", "--follow", code=0).out.splitlines()[0], "hello/2", "the second run")


@story("without a daemon trigger says so, and how to start one")
def nobody(box: Sandbox):
    result = box.stoker("trigger", "hello", code=4)
    has(result.err, "stoker serve", "what to do")


@story("a second daemon on the same state is refused with the first one's pid")
def second(box: Sandbox):
    daemon = Daemon(box)
    result = box.stoker("serve", code=1)
    has(result.err, f"pid {daemon.pid}", "the refusal")
    check(daemon.running(), "the first one goes on")
    daemon.kill()
    Daemon(box).stop()


@story("what is missing of the installation is told at start, which fails")
def missing(box: Sandbox):
    box.env["STOKER_AGENT"] = "/nowhere/stoker-agent"
    for words in (["serve"], ["run", box.file("hello.yaml", HELLO)]):
        has(box.stoker(*words, code=3).err, "STOKER_AGENT names /nowhere/stoker-agent", "what is missing")
    del box.env["STOKER_AGENT"]
    Daemon(box).stop()


def precedence(daemon):
    """What the kernel says of the daemon's loop: (scheduling policy, real-time priority)."""
    with open(f"/proc/{daemon.pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[38]), int(fields[37])


def others(daemon):
    """Scheduling policies of its other threads."""
    return [os.sched_getscheduler(int(tid)) for tid in os.listdir(f"/proc/{daemon.pid}/task") if int(tid) != daemon.pid]


IN_LINE, FIRST = (os.SCHED_OTHER, 0), (os.SCHED_RR, 1)


def goes_first(box):
    """A daemon whose loop does."""
    daemon = Daemon(box)
    if "realtime=true" not in daemon.text:
        equal(precedence(daemon), IN_LINE, "the loop, where it may not go first")
        raise Skip("real-time priorities are not allowed here")
    return daemon


@story("its loop goes before the work it starts, which has no part in that; and can be told to wait in line")
def realtime(box: Sandbox):
    box.file("policy.yaml", f"name: policy\nsteps:\n  a:\n    run: ['{sys.executable}', '-c', "
             "'import os; print(os.sched_getscheduler(0))']\n")
    daemon = goes_first(box)
    ready_dag(box, "policy")
    wait_for(lambda: Control(box).ask("GET", "/healthz")[0] == 200 and precedence(daemon) == FIRST, "the loop goes first")
    check(len(others(daemon)) >= 2, "it has other threads")
    equal(set(others(daemon)), {os.SCHED_OTHER}, "they")
    box.stoker("trigger", "policy", "--wait", code=0)
    equal(box.log("policy/1", "a"), b"0\n", "a step's policy")
    settings(box, "realtime: false\n")
    os.kill(daemon.pid, signal.SIGHUP)
    wait_for(lambda: daemon.said("daemon.reloaded"), "it has read its settings again")
    equal(precedence(daemon), IN_LINE, "the loop, told to wait in line")
    daemon.stop()
    daemon = Daemon(box)
    has(daemon.text, "realtime=false", "what the next one says")
    equal(precedence(daemon), IN_LINE, "its loop")


def flood(box, until):
    """Asks for more than the loop can answer. The metrics: they cost the loop far more than the one who reads them."""
    asked = b"GET /metrics HTTP/1.1\r\nHost: stoker\r\n\r\n" * 50
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(Control(box))) for _ in range(6)]
        for client in clients:
            client.connect()
            client.sock.setblocking(False)
        socks = [client.sock for client in clients]
        while not until():
            readable, writable, _ = select.select(socks, socks, [], 1)
            for sock in readable:
                check(sock.recv(1 << 20) != b"", "the daemon goes on answering")
            for sock in writable:
                with contextlib.suppress(BlockingIOError):
                    sock.send(asked)


MEASURES_WAITS = """\
import time
def wait():
    before = time.monotonic()
    time.sleep(0.001)
    return time.monotonic() - before
end = time.monotonic() + 3
longest = 0
while time.monotonic() < end:
    longest = max(longest, wait())
print(longest)
"""


@story("a loop that is kept busy waits in line: what belongs to its processor is not held up")
def busy(box: Sandbox):
    for i in range(150):
        box.file(f"d{i}.yaml", HELLO.replace("name: hello", f"name: d{i}"))
    daemon = goes_first(box)
    ready_dag(box, "d149")
    cpu = min(os.sched_getaffinity(0))
    os.sched_setaffinity(daemon.pid, {cpu})
    longest = []
    while len(longest) < 3 and not (longest and longest[-1] < 0.5):  # a loop that hogs it does so each time
        with subprocess.Popen([sys.executable, "-c", MEASURES_WAITS], stdout=subprocess.PIPE, text=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, {cpu})) as usual:
            seen = set()
            flood(box, lambda seen=seen, usual=usual: seen.add(precedence(daemon)) or usual.poll() is not None)
            longest.append(float(usual.stdout.read()))
        check(IN_LINE in seen, "the loop, kept busy, waits in line")
        wait_for(lambda: Control(box).ask("GET", "/healthz")[0] == 200 and precedence(daemon) == FIRST,
                 "it goes first again")
    check(longest[-1] < 0.5, f"usual work on its processor waited for up to {longest} s")


def loop_seconds(daemon):
    """Of processor time that its loop has used."""
    with open(f"/proc/{daemon.pid}/task/{daemon.pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


@story("one of its threads that it interrupts on their only processor, being woken by it, is waited for and not spun for")
def interrupted(box: Sandbox):
    box.file("hello.yaml", HELLO)
    daemon = goes_first(box)
    ready_dag(box, "hello")
    for tid in os.listdir(f"/proc/{daemon.pid}/task"):
        os.sched_setaffinity(int(tid), {min(os.sched_getaffinity(0))})
    took = []
    for i in range(500):
        before = loop_seconds(daemon)
        equal(Control(box).ask("GET", f"/api/v1/dags?limit={i + 1}")[0], 200, "the status")  # a thread makes each
        took.append(loop_seconds(daemon) - before)
    # What this machine's own host takes counts, too, for a few. A loop that spins does at each seventh.
    tenth = sorted(took)[-10]
    check(tenth < 0.01 * SLOW, f"the loop took {tenth * 1000:.1f} ms of its processor for an answer, and more for nine")


def answers(box):
    with contextlib.suppress(OSError):
        return Control(box).ask("GET", "/healthz")[0] == 200


def socket_pair():
    """As the journal gives it to services."""
    ends = socket.socketpair()
    return tuple(end.detach() for end in ends)


@story("a log that nobody reads, or that a stopped terminal does not take, holds up no run and no end")
def unread_log(box: Sandbox):
    box.file("many.yaml", "name: many\nsteps:\n" + "".join(f"  s{i}: {{run: 'true'}}\n" for i in range(800)))
    Daemon(box).stop()  # which makes what is needed
    for number, opened in enumerate((small_pipe, os.openpty, socket_pair), 1):
        read, write = opened()
        daemon = subprocess.Popen([STOKER, "serve"], env=box.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=write, start_new_session=True)
        try:
            wait_for(lambda: answers(box), "the daemon answers")
            done = json.loads(box.stoker("trigger", "many", "--wait", "--json", code=0).out)
            equal((done["run"], done["state"]), (f"many/{number}", "succeeded"), f"a run beside {opened.__name__}")
            check(os.get_blocking(write), "what the daemon shares with others blocks as before")
            daemon.terminate()
            equal(daemon.wait(30 * SLOW), 0, f"the end of the daemon beside {opened.__name__}")
        finally:
            daemon.kill()
            daemon.wait()
            os.close(read)
            os.close(write)


@story("runs of a DAG wait for their turn, and why says for which")
def turns(box: Sandbox):
    box.file("waits.yaml", WAITS % 1)
    Daemon(box)
    ready_dag(box, "waits")
    for _ in range(3):
        box.stoker("trigger", "waits", code=0)
    box.wait_running("waits/1", "a")
    equal([box.status(f"waits/{n}")["state"] for n in (1, 2, 3)], ["running", "queued", "queued"], "their states")
    has(box.stoker("why", "waits/2", code=0).out, "waits/1", "why waits/2 is queued")
    box.stoker("cancel", "waits/2", code=0)
    equal(box.status("waits/2")["state"], "canceled", "the one that was canceled in the queue")
    box.file("go", "")
    box.wait_state("waits/3", "succeeded")
    equal(box.lines("started"), ["waits/1", "waits/3"], "what ran, in which order")


@story("a DAG file is picked up, changed and removed while the daemon runs; a broken one harms nobody")
def folder(box: Sandbox):
    daemon = Daemon(box)
    box.file("hello.yaml", HELLO)
    ready_dag(box, "hello")
    box.file("hello.yaml", HELLO.replace("echo hi", "echo ho").replace("run:", "runn:"))
    wait_for(lambda: daemon.said("dag.refused"), "the mistake is seen")
    equal(box.stoker("trigger", "hello", "--wait", code=0).out, "hello/1\n", "its last good version runs")
    equal(box.log("hello/1", "a"), b"hi\n", "what that printed")
    listed = [dag for dag in box.json("list")["dags"] if dag["dag"] == "hello"][0]
    has(json.dumps(listed), "did you mean 'run'", "list")
    daemon.stop()
    again = Daemon(box)
    ready_dag(box, "hello")
    equal(box.stoker("trigger", "hello", "--wait", code=0).out, "hello/2\n", "also after a new start")
    box.file("hello.yaml", HELLO.replace("echo hi", "echo ho"))
    wait_for(lambda: len(again.said("dag.loaded")) > 0, "the good version is seen")
    wait_for(lambda: not [dag for dag in box.json("list")["dags"] if dag["problem"]], "list tells of no problem")
    equal(box.stoker("trigger", "hello", "--wait", code=0).out, "hello/3\n", "and runs")
    equal(box.log("hello/3", "a"), b"ho\n", "what that printed")
    os.remove(os.path.join(box.dags, "hello.yaml"))
    wait_for(lambda: again.said("dag.removed"), "it is gone")
    wait_for(lambda: box.stoker("trigger", "hello").code == 3, "and cannot be triggered")


@story("SIGKILL of the daemon at any moment: the next one takes everything over, and nothing runs twice")
def killed(box: Sandbox):
    rng = random.Random(SEED)
    print(f"# STOKER_TEST_SEED={SEED}")
    box.file("many.yaml", """\
name: many
max_active_runs: 4
defaults: {retry: {max: 1, backoff: 1s}}
steps:
  a: {run: [sh, step.sh, a]}
  b: {needs: [a], run: [sh, step.sh, b]}
  c: {needs: [a], run: [sh, step.sh, c]}
""")
    # A lock that the kernel gives back: two attempts of one task at a time would meet in it.
    box.file("step.sh", """\
set -eu
mark="$STOKER_RUN.$1"
mark=$(echo "$mark" | tr / .)
exec 9>"$mark.lock"
flock -n 9 || { echo twice >>twice; exit 1; }
echo "$STOKER_ATTEMPT" >>"$mark.started"
sleep 0.05
""")
    rounds = 6 if QUICK else 25
    made = 0
    for _ in range(rounds):
        daemon = Daemon(box)
        ready_dag(box, "many")
        for _ in range(rng.randrange(1, 5)):
            result = box.stoker("trigger", "many")
            if result.code == 0:
                made += 1
                equal(result.out, f"many/{made}\n", "the run that was acknowledged")
        time.sleep(rng.random() * 0.4)
        daemon.kill()
        equal(len(box.json("runs", "-n", "1000")["runs"]), made, "runs on disk")
    Daemon(box)
    for number in range(1, made + 1):
        box.wait_state(f"many/{number}", "succeeded", timeout=120)
    check(not box.exists("twice"), "no two attempts of a task at a time")
    for number in range(1, made + 1):
        for task in "abc":
            equal(len(set(box.lines(f"many.{number}.{task}.started"))), len(box.lines(f"many.{number}.{task}.started")),
                  f"attempts of many/{number} {task}, each started once")


@story("a run that somebody drives is left to him, and taken over when he is gone")
def taken_over(box: Sandbox):
    box.file("waits.yaml", WAITS % 1)
    stoker = box.start("run", "waits.yaml")
    box.wait_running("waits/1", "a")
    daemon = Daemon(box)
    check(not daemon.said("run.taken_up"), "it is left to its driver")
    stoker.kill()
    equal(box.status("waits/1")["orphaned"], False, "there is somebody for it")
    wait_for(lambda: daemon.said("run.taken_up"), "it is taken over", timeout=40)
    box.file("go", "")
    box.wait_state("waits/1", "succeeded")
    equal(box.lines("started"), ["waits/1"], "its step started once")


@story("cancel and retry go through the daemon; a retry that would be one run too many is refused")
def changed(box: Sandbox):
    box.file("flaky.yaml", """\
name: flaky
steps:
  good: {run: echo good >>good}
  bad: {needs: [good], run: "test -e mended"}
""")
    box.file("waits.yaml", WAITS % 1)
    Daemon(box)
    ready_dag(box, "flaky")
    equal(box.stoker("trigger", "flaky", "--wait").code, 1, "exit status of a run that failed")
    plan = box.json("retry", "flaky/1", "--dry-run")
    equal([(task["task"], task["does"]) for task in plan["tasks"]], [("good", "keep"), ("bad", "run")], "the preview")
    equal(box.status("flaky/1")["state"], "failed", "a preview changes nothing")
    box.file("mended", "")
    box.stoker("retry", "flaky/1", code=0)
    box.wait_state("flaky/1", "succeeded")
    equal(len(box.lines("good")), 1, "what had succeeded is kept")
    has(box.stoker("retry", "flaky/1").err, "nothing to do", "a retry of what succeeded")
    box.stoker("trigger", "waits", code=0)
    box.wait_running("waits/1", "a")
    box.stoker("cancel", "waits/1", code=0)
    box.wait_state("waits/1", "canceled")
    box.stoker("trigger", "waits", code=0)
    box.wait_running("waits/2", "a")
    has(box.stoker("retry", "waits/1").err, "waits/2 is going on", "a retry that is one too many")
    kinds = [(event["kind"], event["actor"]) for event in box.json("events", "flaky/1")["events"]]
    check(("run.retried", box.status("flaky/1")["actor"]) in kinds, f"the audit trail has it: {kinds}")


@story("a source is snapshotted when it is triggered; one that cannot be is refused, and makes no run")
def sources(box: Sandbox):
    box.file("s/s.yaml", "name: s\nsource: .\nsteps:\n  a: {run: cat data}\n")
    box.file("s/data", "one\n")
    settings(box, f"dags: {box.dags}/s\n")
    Daemon(box)
    ready_dag(box, "s")
    box.stoker("trigger", "s", "--wait", code=0)
    equal(box.log("s/1", "a"), b"one\n", "what the step saw")
    os.rename(os.path.join(box.dags, "s", "data"), os.path.join(box.dags, "data"))
    os.mkfifo(os.path.join(box.dags, "s", "pipe"))
    box.file("s/big", "x" * 1000)
    result = box.stoker("trigger", "s", env={"STOKER_SOURCE_MAX": "10"})
    check(result.code == 0, "the limit is the daemon's own")


@story("the units are clean")
def units(box: Sandbox):
    if not os.path.exists("/usr/bin/systemd-analyze"):
        raise Skip("there is no systemd-analyze")
    for name in ("stoker.service", "stoker-user.service"):
        with open(os.path.join(BUILD, "configs", name), encoding="utf-8") as file:
            text = file.read()
        line = next(line for line in text.splitlines() if line.startswith("ExecStart="))
        check(line.endswith("/bin/stoker serve"), f"{name}: {line}")
        unit = box.file(name, text.replace(line, "ExecStart=/bin/true serve"))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        equal((done.returncode, done.stdout), (0, ""), f"systemd-analyze verify {name}")


@story("systemd is told when it is ready, at work, reloading and stopping")
def systemd(box: Sandbox):
    path = os.path.join(box.path, "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(20 * SLOW)
        box.env["NOTIFY_SOCKET"] = path
        box.env["WATCHDOG_USEC"] = "200000"
        daemon = Daemon(box)
        told = []

        def tell_until(word):
            while not any(word in one for one in told):
                told.append(listener.recv(4096).decode())

        tell_until("READY=1")
        tell_until("WATCHDOG=1")
        tell_until("STATUS=0 runs going on")
        told.clear()
        daemon.signal(signal.SIGHUP)
        tell_until("RELOADING=1")
        tell_until("READY=1")
        daemon.signal(signal.SIGTERM)
        tell_until("STOPPING=1")
        equal(daemon.wait(), 0, "exit status")


@story("a new tz database counts after a reload: for what is due and for what is told")
def renewed(box: Sandbox):
    def become(zone):
        shutil.copy(f"/usr/share/zoneinfo/{zone}", box.env["TZ"] + ".new")
        os.rename(box.env["TZ"] + ".new", box.env["TZ"])

    if not os.path.exists("/usr/share/zoneinfo/Asia/Tokyo"):
        raise Skip("there is no tz database")
    box.env["TZ"] = os.path.join(box.path, "zone")  # this machine's
    become("Europe/Berlin")
    box.file("t.yaml", "name: t\nschedule: '30 2 15 1 *'\nsteps: {a: {run: 'true'}}\n")
    daemon = Daemon(box)
    ready_dag(box, "t")

    def reload(times):
        daemon.signal(signal.SIGHUP)
        wait_for(lambda: daemon.text.count("event=daemon.reloaded") == times, "it has reloaded")

    def told():
        """By the two that read for the API, the loop and its thread."""
        return [Control(box).ask("GET", f"/api/v1/{path}")[1] for path in ("dags", "dags/t/occurrences?limit=1")]

    def dues():
        dags, occurrences = told()
        return dags["dags"][0]["next_due"][5:], occurrences["coming"][0]["due"][5:]
    equal(dues(), ("01-15T01:30:00.000Z",) * 2, "in the zone that it was")
    become("Asia/Tokyo")
    reload(1)
    has(daemon.text, "event=timezones.changed", "what the daemon says")
    equal(dues(), ("01-14T17:30:00.000Z",) * 2, "in the zone that it is now")
    reload(2)
    equal(daemon.text.count("timezones.changed"), 1, "how often it was another one")


@story("overlap: replace ends the run that goes on, and the due one runs in its place; what waits is replaced, too")
def replaced(box: Sandbox):
    hour = (time.gmtime().tm_hour + 12) % 24  # none of its due times comes by itself
    box.file("r.yaml", f"name: r\nschedule: {{cron: '0 {hour} * * *', timezone: UTC, overlap: replace}}\nsteps:\n"
                       "  a: {run: 'test -n \"$STOKER_SCHEDULED_FOR\" || sleep 60', grace: 1s}\n")
    daemon = Daemon(box)
    ready_dag(box, "r")
    box.stoker("trigger", "r", code=0)
    box.stoker("trigger", "r", code=0)
    box.wait_running("r/1", "a")
    daemon.stop()
    miss_due_times(box, 24 * 60)
    Daemon(box)
    box.wait_state("r/1", "canceled")
    box.wait_state("r/2", "canceled")
    box.wait_state("r/3", "succeeded")
    equal(box.status("r/3")["trigger"], "cron", "what started it")


@story("a backfill makes its runs oldest first, no more at a time than it may, through a kill of the daemon")
def made_up(box: Sandbox):
    box.file("b.yaml", "name: b\nschedule: '0 3 * * *'\nmax_active_runs: 5\nsteps:\n"
                       "  a: {run: 'echo $STOKER_SCHEDULED_FOR >>ran; sleep 0.1'}\n")
    daemon = Daemon(box)
    ready_dag(box, "b")
    plan = box.json("backfill", "b", "--from", "2026-03-01", "--to", "2026-03-08", "--dry-run")
    equal(plan["runs"], 8, "what it would run")
    box.stoker("backfill", "b", "--from", "2026-03-01", "--to", "2026-03-08", "--max-active", "2", code=0)
    wait_for(lambda: len(box.lines("ran")) >= 2, "it begins")
    daemon.kill()
    Daemon(box)
    wait_for(lambda: box.json("backfill", "--list")["backfills"][0]["state"] == "done", "it is done", 60)
    ran = box.lines("ran")
    equal(sorted(set(ran)), sorted(f"2026-03-0{day}T03:00:00.000Z" for day in range(1, 9)), "the due times that ran")
    equal(len(ran), 8, "each once")
    runs = sorted(box.json("runs", "-n", "50")["runs"], key=lambda run: (run["started"], run["number"]))
    equal([run["scheduled_for"] for run in runs], sorted(ran), "the due times in the order in which they began")


@story("as a user of its own, without root")
def unprivileged(box: Sandbox):
    if os.geteuid() != 0:
        raise Skip("it is told as root, which can be another user")
    box.file("hello.yaml", HELLO)
    box.open_to_others()
    os.makedirs(os.path.join(box.path, ".config", "stoker"))
    os.symlink(box.dags, os.path.join(box.path, ".config", "stoker", "dags"))
    for folder, folders, files in os.walk(box.path):
        for name in [*folders, *files, "."]:
            os.chown(os.path.join(folder, name), 65534, 65534, follow_symlinks=False)
    box.prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
    Daemon(box)
    ready_dag(box, "hello")
    box.stoker("trigger", "hello", "--wait", code=0)
    equal(box.log("hello/1", "a"), b"hi\n", "its log")
    equal(os.stat(os.path.join(box.home, "stoker.db")).st_uid, 65534, "whose state it is")


@story("what is old goes by itself, and the audit trail says so")
def tidied(box: Sandbox):
    box.file("hello.yaml", HELLO)
    settings(box, f"dags: {box.dags}\nretention: {{runs: {{age: 1h, keep: 1, most: 1}}}}\n")
    daemon = Daemon(box)
    ready_dag(box, "hello")
    for _ in range(3):
        box.stoker("trigger", "hello", "--wait", code=0)
    daemon.stop()
    box.env["STOKER_GC_FIRST_MS"] = "100"
    Daemon(box)
    wait_for(lambda: [run["run"] for run in box.runs()] == ["hello/3"], "only the newest stays")
    wait_for(lambda: any(event["kind"].startswith("gc.") or "removed" in event["kind"]
                         for event in box.json("events", "-n", "200")["events"]), "the audit trail has it")
    has(box.stoker("status", "hello/1", code=3).err, "not kept any more", "one that is gone")


@story("other settings while it runs: workers come and go, and a broken file leaves all as it is")
def resettled(box: Sandbox):
    box.file("w.yaml", "name: w\nsteps:\n  a: {worker: quick, run: echo hi}\n")
    settings(box, "workers:\n  local: {}\n")
    daemon = Daemon(box)
    ready_dag(box, "w")
    has(box.stoker("trigger", "w", code=2).err, "quick", "a worker that there is not")
    settings(box, "workers:\n  local: {labels: [quick]}\n")
    daemon.signal(signal.SIGHUP)
    wait_for(lambda: box.stoker("trigger", "w").code == 0, "the label is there")
    check(any((event["kind"], event["origin"]) == ("daemon.reloaded", "SIGHUP") for event in box.json("events")["events"]),
          "the audit trail has it")
    box.wait_state("w/1", "succeeded")
    settings(box, "workers:\n  local: {labbels: [quick]}\n")
    daemon.signal(signal.SIGHUP)
    wait_for(lambda: daemon.said("settings.refused"), "the mistake is told")
    box.stoker("trigger", "w", "--wait", code=0)


if __name__ == "__main__":
    main()
