"""Steps that behave badly are stopped wholly and logged within limits."""

import json
import os
import random
import time

from lib import PYTHON, QUICK, Process, Sandbox, check, equal, has, main, story, wait_for

# Processes of a step write here who they are, so that they are found even when they hide from everything else: their
# pid, and when they started, for the pid may be another's afterwards.
FAMILY = """\
import os, signal, sys, time

def note():
    with open("/proc/self/stat", "rb") as file:
        start = file.read().rpartition(b")")[2].split()[19]
    with open("pids", "ab", buffering=0) as file:
        file.write(b"%d %s\\n" % (os.getpid(), start))

def daemon(clean=False):
    # Two forks and a session of its own, as old daemons do.
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        note()
        os.closerange(0, 3)
        if clean:
            os.execve("/bin/sleep", ["sleep", "600"], {})
        while True:
            time.sleep(60)

def ready():
    open("ready", "w").close()
"""


def step(box, body, more="", run="h", retry="{max: 0}"):
    box.file("family.py", FAMILY)
    box.file("step.py", "from family import *\nnote()\n" + body)
    box.file(f"{run}.yaml", f"name: {run}\nsteps:\n  bad:\n    retry: {retry}\n    run: ['{PYTHON}', -B, step.py]\n{more}")


def family(box, count):
    """All the processes that noted themselves, once there are so many."""
    wait_for(lambda: len(box.lines("pids")) >= count, f"{count} processes")
    found = []
    for line in box.lines("pids"):
        pid, start = line.split()
        process = Process(int(pid))
        process.start = start
        found.append(process)
    box.witnesses += found
    return found


def cancel_and_see(box, stoker, processes, within):
    check(all(p.alive() for p in processes), f"they live until then: {processes}")
    started = time.monotonic()
    box.stoker("cancel", "h/1", code=0)
    equal(stoker.wait(within), 130, f"exit status of the canceled run:\n{stoker.text}")
    print(f"# gone {time.monotonic() - started:.2f} s after cancel")
    check(not [p for p in processes if p.alive()], f"left behind: {[p for p in processes if p.alive()]}")
    run = box.status("h/1")
    equal(run["state"], "canceled", "the run")
    equal(box.attempts("h/1", "bad")[-1]["reason"], "canceled", "why the attempt ended")


@story("a daemon that the step leaves behind is ended with the step")
def leaves_daemon(box: Sandbox):
    step(box, "daemon()\ndaemon(clean=True)\nwhile len(open('pids').readlines()) < 3: time.sleep(0.02)\n")
    stoker = box.start("run", "h.yaml")
    processes = family(box, 3)
    equal(stoker.wait(), 0, f"exit status:\n{stoker.text}")
    check(not [p for p in processes if p.alive()], f"left behind: {[p for p in processes if p.alive()]}")


@story("a canceled step that ignores SIGTERM, with daemons in sessions of their own, is wholly gone after `grace`")
def ignores_term(box: Sandbox):
    step(box, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ndaemon()\ndaemon(clean=True)\nready()\n"
         "while True: time.sleep(60)\n", "    grace: 1s\n")
    stoker = box.start("run", "h.yaml")
    processes = family(box, 3)
    wait_for(lambda: box.exists("ready"), "the step is ready")
    box.wait_running("h/1", "bad")
    cancel_and_see(box, stoker, processes, 20)


@story("a step in another process group is stopped all the same")
def other_group(box: Sandbox):
    step(box, "pid = os.fork()\nif pid == 0:\n    os.setpgid(0, 0)\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
         "    note()\n    ready()\nwhile True: time.sleep(60)\n", "    grace: 1s\n")
    stoker = box.start("run", "h.yaml")
    processes = family(box, 2)
    wait_for(lambda: box.exists("ready"), "the step is ready")
    box.wait_running("h/1", "bad")
    cancel_and_see(box, stoker, processes, 20)


@story("a step that forks without end while it is being stopped is gone in the end")
def forks_on(box: Sandbox):
    # Each generation ends itself after a second, so that a test that fails leaves no storm behind.
    step(box, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nready()\nend = time.monotonic() + 60\n"
         "while time.monotonic() < end:\n"
         "    if os.fork() == 0:\n        os.setsid()\n        note()\n        time.sleep(1)\n        os._exit(0)\n"
         "    time.sleep(0.02)\n", "    grace: 1s\n")
    stoker = box.start("run", "h.yaml")
    family(box, 20)
    box.wait_running("h/1", "bad")
    box.stoker("cancel", "h/1", code=0)
    equal(stoker.wait(30), 130, f"exit status:\n{stoker.text}")
    left = [p for p in family(box, 20) if p.alive()]
    check(not left, f"left behind: {left}")


@story("the time limit holds for a step that ignores SIGTERM")
def time_limit(box: Sandbox):
    step(box, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ndaemon()\nwhile True: time.sleep(60)\n",
         "    timeout: 5s\n    grace: 1s\n")
    box.stoker("run", "h.yaml", code=1)
    attempt = box.attempts("h/1", "bad")[0]
    equal((attempt["state"], attempt["reason"]), ("failed", "timeout"), "the attempt")
    check(not [p for p in family(box, 2) if p.alive()], "nothing is left")
    has(box.stoker("why", "h/1", code=0).out, "timeout", "why")


@story("a step that says nothing for `stall` is stopped, and metrics count as a sign of life")
def stalls(box: Sandbox):
    step(box, """\
if os.environ["STOKER_ATTEMPT"] == "1":
    time.sleep(600)
for i in range(10):
    time.sleep(0.5)
    with open(os.environ["STOKER_METRICS"], "a") as file:
        file.write('{"step": %d}\\n' % i)
""", "    stall: 4s\n    grace: 1s\n", retry="{max: 1, backoff: 1s}")
    box.stoker("run", "h.yaml", code=0)
    equal([(a["state"], a["reason"]) for a in box.attempts("h/1", "bad")],
          [("failed", "stalled"), ("succeeded", "exit")], "the attempts")


@story("a step that closes its output is waited for to its end")
def closes_output(box: Sandbox):
    step(box, "print('before', flush=True)\nos.close(1)\nos.close(2)\ntime.sleep(1)\nready()\nos._exit(5)\n")
    box.stoker("run", "h.yaml", code=1)
    check(box.exists("ready"), "it ran to its end")
    equal(box.attempts("h/1", "bad")[0]["exit_code"], 5, "its exit code")
    equal(box.log("h/1", "bad"), b"before\n", "its log")


@story("binary output and output without a newline are kept byte for byte")
def binary(box: Sandbox):
    step(box, "import random\nrandom.seed(1)\nos.write(1, random.randbytes(300000))\nos.write(1, b'x' * 2000000)\n")
    box.stoker("run", "h.yaml", code=0)
    want = random.Random(1).randbytes(300000) + b"x" * 2000000
    log = box.log("h/1", "bad")
    check(log == want, f"the log has {len(log)} bytes, {len(want)} were written, or they differ")


@story("standard output and standard error share one log in the order they were written")
def both_streams(box: Sandbox):
    step(box, "for i in range(500):\n    os.write(1 + i % 2, b'%d\\n' % i)\n")
    box.stoker("run", "h.yaml", code=0)
    equal(box.log("h/1", "bad").split(), [b"%d" % i for i in range(500)], "the log")


@story("of 2 GiB of output head and tail are kept, within the limit, and it is said how much was left out")
def floods(box: Sandbox):
    total = (64 if QUICK else 2048) * 1024 * 1024
    limit = 16 * 1024 * 1024
    step(box, f"line = b'a' * 99 + b'\\n'\nblock = line * 10000\nleft = {total}\nos.write(1, b'first line\\n')\n"
         "while left > 0:\n    n = os.write(1, block[:left])\n    left -= n\nos.write(1, b'last line\\n')\n",
         "    log: {max: 16M}\n")
    box.stoker("run", "h.yaml", code=0, timeout=300)
    attempt = box.attempts("h/1", "bad")[0]
    log = box.log("h/1", "bad")
    check(limit // 4 <= len(log) <= limit * 1.05, f"{len(log)} bytes are kept of {total}, the limit is {limit}")
    equal(attempt["log_bytes"], len(log), "log_bytes")
    check(log.startswith(b"first line\n"), "the head is kept")
    check(log.endswith(b"last line\n"), "the tail is kept")
    marks = [line for line in log.splitlines() if b"left out" in line or b"dropped" in line or b"omitted" in line]
    check(marks, "the gap is marked")
    size = 0
    for folder, _folders, names in os.walk(box.home):
        size += sum(os.path.getsize(os.path.join(folder, name)) for name in names)
    check(size < 3 * limit, f"the state folder holds {size} bytes afterwards")


@story("a step that stops itself (SIGSTOP) is still stopped by its time limit")
def stopped(box: Sandbox):
    step(box, "os.kill(os.getpid(), signal.SIGSTOP)\n", "    timeout: 2s\n    grace: 1s\n")
    box.stoker("run", "h.yaml", code=1)
    equal(box.attempts("h/1", "bad")[0]["reason"], "timeout", "why it ended")


@story("a step sees none of stoker's descriptors and none of its environment but what is promised")
def clean_start(box: Sandbox):
    step(box, "import json\njson.dump({'fds': sorted(os.listdir('/proc/self/fd')), 'env': dict(os.environ),\n"
         "    'sid': os.getsid(0) == os.getpid(), 'pgid': os.getpgid(0) == os.getpid(),\n"
         "    'blocked': bool(signal.pthread_sigmask(signal.SIG_BLOCK, [])),\n"
         "    'ignored': [s.name for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)\n"
         "                if signal.getsignal(s) == signal.SIG_IGN]}, open('seen', 'w'))\n")
    box.env["SECRET_OF_THE_SHELL"] = "hidden"
    box.stoker("run", "h.yaml", code=0)
    seen = json.loads(box.read("seen"))
    check(set(seen["fds"]) <= {"0", "1", "2", "3"}, f"open descriptors (3 is the listing's own): {seen['fds']}")
    check(seen["pgid"], "it leads its process group")
    equal((seen["blocked"], seen["ignored"]), (False, []), "signals blocked, signals ignored")
    env = seen["env"]
    check("SECRET_OF_THE_SHELL" not in env, "the shell's environment is not inherited whole")
    equal((env["STOKER_DAG"], env["STOKER_RUN"], env["STOKER_TASK"], env["STOKER_ATTEMPT"]), ("h", "h/1", "bad", "1"),
          "who it is")
    for name in ("STOKER_FENCE", "STOKER_SCHEDULED_FOR", "STOKER_CHECKPOINT_DIR", "STOKER_RESUME_FROM",
                 "STOKER_STOP_FILE", "STOKER_OUTPUT", "STOKER_METRICS", "CUDA_VISIBLE_DEVICES", "PATH", "HOME"):
        check(name in env, f"{name} is set")
    equal((env["STOKER_SCHEDULED_FOR"], env["STOKER_RESUME_FROM"]), ("", ""), "empty ones")


@story("outputs and metrics that are no such thing are refused without harm, good ones beside them are kept")
def bad_records(box: Sandbox):
    step(box, """\
with open(os.environ["STOKER_OUTPUT"], "wb") as file:
    file.write(b"good=1\\nno equals sign\\n=no key\\nbin=\\xff\\xfe\\n" + b"big=" + b"x" * 5000000 + b"\\nlast=2\\n")
with open(os.environ["STOKER_METRICS"], "wb") as file:
    file.write(b'{"step": 1}\\nnot json\\n[1, 2]\\n{"step": \\n' + b'{"a": "' + b"y" * 5000000 + b'"}\\n{"step": 2}\\n')
""")
    box.stoker("run", "h.yaml", code=0)
    task = box.task("h/1", "bad")
    equal((task["outputs"].get("good"), task["outputs"].get("last")), ("1", "2"), "the good outputs")
    equal(task["metric"], {"step": 2}, "the last good metric")


if __name__ == "__main__":
    main()
