"""What a training on another machine lives through: connections, agents, links and schedulers that go, and reboots."""

import os
import random
import signal
import time

from lab import Lab
from lib import PYTHON, QUICK, SEED, SLOW, Sandbox, check, equal, has, main, story, wait_for
from lib import happens, read_bytes

# Prints numbered lines of many lengths, saves now and then, and goes on until it is told that it is enough.
TRAIN = """\
import os, sys, time
resume = os.environ["STOKER_RESUME_FROM"]
n = 0
if resume:
    with open(resume) as file:
        n = int(file.read())
with open("started", "a") as file:
    file.write(f"{os.environ['STOKER_ATTEMPT']} {n}\\n")
def put(path, text):
    with open(path + ".tmp", "w") as file:
        file.write(text)
    os.rename(path + ".tmp", path)
while not os.path.exists("go"):
    n += 1
    print(n, "x" * (n * 7919 % 3000), flush=True)
    put("said", str(n))
    if n % 20 == 0:
        put(os.path.join(os.environ["STOKER_CHECKPOINT_DIR"], f"step-{n:09}"), str(n))
    time.sleep(0.02)
"""
CUTS = int(os.environ.get("STOKER_TEST_CUTS") or (6 if QUICK else 15))
LONG_SECONDS = 90 if CUTS >= 50 else 36  # either is more than a link believes in silence


def line(n):
    return b"%d %s\n" % (n, b"x" * (n * 7919 % 3000))


class Training:
    """One that runs on h1, driven by `stoker`, which may come and go."""

    def __init__(self, box, **more):
        self.box = box
        self.lab = Lab(box, 1)
        self.host = self.lab["h1"]
        self.lab.settings(every={"connect_timeout": "5s", **more.pop("settings", {})})
        self.host.home_file("train.py", TRAIN)
        fields = {"worker": "h1", "workdir": self.host.remote_home, "run": [PYTHON, "train.py"],
                  "checkpoint": {"keep": 2}, "retry": {"max": 3, "backoff": "1s", "max_backoff": "1s"}, **more}
        box.file("o.yaml", f"name: o\nsteps:\n  train: {fields!r}\n")
        self.stoker = box.start("run", "o.yaml")
        wait_for(lambda: self.said() > 0, "the training begins", 60)
        box.wait_running("o/1", "train")

    def said(self):
        """How many lines it has printed."""
        return int(read_bytes(os.path.join(self.host.home, "said")) or 0)

    def started(self):
        """For each time it was started: the attempt, and the line from which it went on."""
        return [tuple(map(int, row.split())) for row in
                read_bytes(os.path.join(self.host.home, "started")).decode().splitlines()]

    def log_bytes(self, attempt=1):
        """How much of its log has come home."""
        path = os.path.join(self.box.home, "runs", "o", "1", f"train.{attempt}.log")
        return os.path.getsize(path) if os.path.exists(path) else 0

    def printed(self, first=1):
        return b"".join(map(line, range(first, self.said() + 1)))

    def goes_on(self, attempt=1):
        """Waits until more of the log comes; returns how long that took."""
        check(self.stoker.running(), f"stoker has ended:\n{self.stoker.text}")
        began, had = time.monotonic(), self.log_bytes(attempt)
        wait_for(lambda: self.log_bytes(attempt) > had, "the log goes on", 150)
        return time.monotonic() - began

    def resume(self):
        self.stoker = self.box.start("run", "--resume", "o/1")

    def finish(self, code=0):
        self.host.home_file("go", "")
        equal(self.stoker.wait(240), code, f"exit status:\n{self.stoker.text}")

    def check_undisturbed(self):
        """The claim of it all: started once, and nothing of what it printed is missing, doubled or in disorder."""
        equal(self.started(), [(1, 0)], "how often it was started")
        equal([(one["state"], one["exit_code"]) for one in self.box.attempts("o/1", "train")], [("succeeded", 0)],
              "attempts")
        log, printed = self.box.log("o/1", "train"), self.printed()
        same = len(os.path.commonprefix([log, printed]))
        check(log == printed, f"its log: {len(log)} bytes where {len(printed)} were printed; different from {same} on")
        left = os.path.join(self.host.home, ".stoker", "attempts")
        wait_for(lambda: os.listdir(left) == [], "no attempt is left there")  # its agent ends after stoker
        equal(self.box.of_step("train"), [], "processes left of it")


# --- cuts at random ---------------------------------------------------------------------------------------------------


def cut_session(training, _seconds):
    training.host.kill_sessions()


def cut_agent(training, _seconds):
    training.host.kill_agents()


def cut_link(training, seconds):
    training.host.cut()
    time.sleep(seconds)
    training.host.restore()


def cut_server(training, seconds):
    training.host.stop_sshd()
    training.host.kill_sessions()
    time.sleep(seconds)
    training.host.start_sshd()


def cut_by_freezing(training, seconds):
    """The machine answers, and who serves the connection does not."""
    frozen = training.host.sessions() + training.host.agents()
    for process in frozen:
        process.signal(signal.SIGSTOP)
    time.sleep(seconds)
    for process in frozen:
        process.signal(signal.SIGCONT)


def cut_by_loss(training, seconds):
    """And a new connection has to be made under it."""
    training.host.shape(loss_percent=20)
    time.sleep(seconds / 2)
    training.host.kill_sessions()
    time.sleep(seconds / 2)
    training.host.unshape()


def cut_scheduler(training, seconds):
    training.stoker.kill()
    time.sleep(min(seconds, 2))
    training.resume()


WAYS = {"session": cut_session, "agent": cut_agent, "link": cut_link, "server": cut_server, "frozen": cut_by_freezing,
        "loss": cut_by_loss, "scheduler": cut_scheduler}


@story(f"cut off {CUTS} times at random, a training is started once and its log is what it printed (seed {SEED})")
def cuts(box: Sandbox):
    print(f"# STOKER_TEST_SEED={SEED} STOKER_TEST_CUTS={CUTS} repeats it", flush=True)
    rng = random.Random(SEED)
    training = Training(box)
    ways = (list(WAYS) * CUTS)[:CUTS] if CUTS >= len(WAYS) else rng.sample(list(WAYS), CUTS)
    rng.shuffle(ways)
    long_ones = [i for i in range(CUTS) if ways[i] in ("link", "frozen")][: 0 if QUICK else max(1, CUTS // 10)]
    for number, way in enumerate(ways):
        time.sleep(rng.uniform(0, 0.7))  # at any moment, and not only when all is well again
        seconds = LONG_SECONDS if number in long_ones else rng.uniform(0.3, 3)
        WAYS[way](training, seconds)
        told = "at once the next"
        if number + 1 == CUTS or rng.random() < 0.6:
            told = f"the log went on after {training.goes_on():.1f} s"
        print(f"# {number + 1}: {way} ({seconds:.1f} s); {told}", flush=True)
    training.finish()
    training.check_undisturbed()


@story("the ssh program killed, its host out of reach for a while: the training goes on, and its log is whole")
def cuts_by_openssh(box: Sandbox):
    training = Training(box, settings={"transport": "openssh"})
    for way, seconds in (("session", 0), ("link", 2), ("agent", 0), ("frozen", 1), ("scheduler", 1), ("server", 2)):
        WAYS[way](training, seconds)
        print(f"# {way}; the log went on after {training.goes_on():.1f} s", flush=True)
    children = [process for process in box.processes() if process.program == "ssh"]
    equal(len(children), 1, f"ssh programs: {children}")
    children[0].signal(signal.SIGKILL)
    training.goes_on()
    training.finish()
    training.check_undisturbed()


# --- a reboot ---------------------------------------------------------------------------------------------------------


def after_reboot(training, number):
    """Checks that attempt `number` is lost, and that the next one goes on from a checkpoint."""
    box = training.box
    box.wait_running("o/1", "train", number + 1, timeout=90)
    attempts = box.attempts("o/1", "train")
    lost = attempts[number - 1]
    equal((lost["state"], lost["reason"], lost["exit_code"]), ("lost", "worker_rebooted", None), "the attempt")
    wait_for(lambda: len(training.started()) == number + 1, "it is started again")
    began = training.started()[-1]
    equal(began[0], number + 1, "the attempt that was started")
    check(began[1] >= 20 and began[1] % 20 == 0, f"it resumes from a checkpoint, not from line {began[1]}")
    equal(attempts[number]["resumed_from"], f"step-{began[1]:09}", "the checkpoint, as the ledger has it")


@story("a worker that is rebooted in the middle: the attempt is lost, and the next one resumes from its checkpoint")
def rebooted(box: Sandbox):
    training = Training(box)
    wait_for(lambda: training.said() > 45, "two checkpoints")
    wait_for(lambda: box.json("checkpoints", "o/1", "train")["checkpoints"], "one of them is in the ledger")
    training.host.reboot()
    after_reboot(training, 1)
    has(box.stoker("events", "o/1", code=0).out, "reboot", "the events")

    # Nobody looked while it happened, and the host was off for a while.
    had = training.said()
    wait_for(lambda: training.said() > had + 45, "two more")
    training.goes_on(2)
    training.stoker.kill()
    training.host.power_off()
    training.resume()
    check(not happens(lambda: len(box.attempts("o/1", "train")) > 2, 2), "silence decides nothing")
    training.host.power_on()
    after_reboot(training, 2)
    training.finish()
    equal([one["state"] for one in box.attempts("o/1", "train")], ["lost", "lost", "succeeded"], "attempts")
    equal(len(training.started()), 3, "how often it was started")
    equal(box.log("o/1", "train"), training.printed(training.started()[-1][1] + 1), "the log of the last one")


# --- stopping while nobody can be reached -----------------------------------------------------------------------------


@story("canceled while the link is down: nothing is claimed until it is back, and then nothing is left")
def canceled(box: Sandbox):
    training = Training(box, grace="2s")
    step = box.step("train")
    training.host.cut()
    canceling = box.start("cancel", "o/1")
    wait_for(lambda: box.status("o/1")["cancel_requested"] is not None, "the request is taken")
    check(not happens(lambda: not training.stoker.running() or not canceling.running(), 2), "it is not done yet")
    check(step.alive(), "it runs on")
    equal(box.status("o/1")["state"], "running", "the run")
    training.stoker.kill()
    training.resume()
    check(not happens(lambda: not training.stoker.running(), 1), "nor for the next stoker")
    training.host.restore()
    equal(training.stoker.wait(90), 130, f"exit status:\n{training.stoker.text}")
    equal(box.status("o/1")["state"], "canceled", "the run")
    equal(box.attempts("o/1", "train")[-1]["state"], "canceled", "the attempt")
    equal(box.of_step("train"), [], "what is left of it")
    # Where it ended between printing a line and saying so, there is one more.
    check(box.log("o/1", "train") in (training.printed(), training.printed() + line(training.said() + 1)), "its log is whole")


# Minds nobody, and leaves somebody behind who has a session, a group and a parent of its own.
STUBBORN = """\
trap '' TERM INT HUP
setsid sh -c 'trap "" TERM; while :; do sleep 1000; done' &
echo ready
while :; do sleep 1000; done
"""


@story("a time limit acts on the worker while the link is down, on all that belongs to the step")
def timed_out(box: Sandbox):
    lab = Lab(box, 1)
    host = lab["h1"]
    lab.settings(every={"connect_timeout": "5s"})
    host.home_file("step.sh", STUBBORN)
    box.file("o.yaml", f"""\
name: o
steps:
  long: {{worker: h1, workdir: {host.remote_home}, run: [sh, step.sh], timeout: 15s, grace: 1s}}
""")
    stoker = box.start("run", "o.yaml")
    wait_for(lambda: len(box.of_step("long")) >= 4, "the step and what it left behind")
    box.wait_running("o/1", "long")
    family = box.of_step("long")
    host.cut()
    began = time.monotonic()
    wait_for(lambda: not box.of_step("long"), "all of it is gone while the link is down", 40)
    check(time.monotonic() - began < 23 * SLOW, "at once, and not only by and by")
    equal(box.status("o/1")["state"], "running", "the run, of which nobody could hear")
    host.restore()
    equal(stoker.wait(90), 1, f"exit status:\n{stoker.text}")
    attempt = box.attempts("o/1", "long")[0]
    equal((attempt["state"], attempt["reason"]), ("failed", "timeout"), "the attempt")
    equal(box.log("o/1", "long"), b"ready\n", "its log")
    box.gone(family)


if __name__ == "__main__":
    main()
