"""A step whose worker cannot be reached any more goes elsewhere, and never runs in two places at once: all hosts of the
lab share one clock, on which every sign of life of the step is noted."""

import os

from lab import NO_NAMESPACES, SHARED, Lab
from lib import QUICK, Sandbox, Skip, check, equal, main, story, wait_for

LEASE = 4 if QUICK else 20  # seconds
# Notes a sign of life about each 20 ms; asked to stop, it takes a moment, as one that saves its state does. Every now and
# then it saves how far it has come, and goes on from there.
STEP = """\
#!/bin/sh
me=$(hostname)
life=$1/life
trap 'stopping=yes' TERM
came=0
if [ -n "$STOKER_RESUME_FROM" ]; then came=$(cat "$STOKER_RESUME_FROM"); fi
echo "$STOKER_ATTEMPT $came" >>$1/began
for i in $(seq 100000); do
    echo "$(date +%s%N) $me $STOKER_ATTEMPT" >>$life
    came=$((came + 1))
    if [ "$2" = saves ] && [ $((came % 25)) = 0 ]; then
        echo $came >$STOKER_CHECKPOINT_DIR/step-$came.tmp
        mv $STOKER_CHECKPOINT_DIR/step-$came.tmp $STOKER_CHECKPOINT_DIR/step-$came
    fi
    test -e $1/go && exit 0
    if [ -n "$stopping" ]; then
        echo asked to stop
        touch $1/stopping
        for k in 1 2 3 4 5 6 7 8 9 10; do echo "$(date +%s%N) $me $STOKER_ATTEMPT" >>$life; sleep 0.05; done
        exit 3
    fi
    sleep 0.02
done
"""


class Mover:
    def __init__(self, box, saves=True):
        if NO_NAMESPACES:
            raise Skip(f"needs hosts in namespaces: {NO_NAMESPACES}")
        self.box = box
        self.lab = Lab(box, 2)
        self.lab.settings(every={"labels": ["gpu"]}, local=False)
        box.file("step.sh", STEP)
        box.file("m.yaml", f"""\
name: m
source: .
steps:
  train:
    worker: gpu
    move_after: {LEASE}s
    grace: 2s
    checkpoint: {{copy: true}}
    retry: {{backoff: 0s}}
    run: [/bin/sh, step.sh, {SHARED}, {"saves" if saves else "forgets"}]
""")
        self.stoker = box.start("run", "m.yaml")

    def signs(self):
        """(time, host, attempt), in the order of time."""
        path = os.path.join(self.lab.shared, "life")
        if not os.path.exists(path):
            return []
        with open(path, encoding="ascii") as file:
            rows = [line.split() for line in file if line.endswith("\n")]
        return sorted((int(row[0]), row[1], int(row[2])) for row in rows if len(row) == 3)

    def runs_as(self, number, timeout=120):
        """The host on which that attempt gave its first sign of life."""
        wait_for(lambda: any(sign[2] == number for sign in self.signs()), f"attempt {number} to live", timeout)
        return next(sign[1] for sign in self.signs() if sign[2] == number)

    def copied(self):
        """How far the copy is that the scheduler has; 0: there is none."""
        rows = self.box.json("checkpoints", "m/1", "train")["checkpoints"]
        return max([row["step"] for row in rows if row["copy"]], default=0)

    def began(self, number):
        with open(os.path.join(self.lab.shared, "began"), encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if int(line.split()[0]) == number)

    def ended(self, number):
        """Whether nothing of that attempt lives any more, as its host sees it."""
        host = next(sign[1] for sign in self.signs() if sign[2] == number)
        return not [p for p in self.lab[host].processes() if "step.sh" in " ".join(p.words)]

    def finish(self):
        open(os.path.join(self.lab.shared, "go"), "w", encoding="ascii").close()
        equal(self.stoker.wait(120), 0, f"exit status:\n{self.stoker.text}")
        self.check_apart()

    def check_apart(self):
        """No two attempts ever lived at the same time."""
        spans = {}
        for at, _, number in self.signs():
            first, last = spans.get(number, (at, at))
            spans[number] = (min(first, at), max(last, at))
        numbers = sorted(spans)
        for before, after in zip(numbers, numbers[1:]):
            check(spans[before][1] < spans[after][0], f"attempt {before} had ended before {after} began: {spans}")
        return spans


@story("with `move_after`, a step whose worker is cut off stops itself, and starts elsewhere only after that")
def moves(box: Sandbox):
    mover = Mover(box)
    first = mover.runs_as(1)
    wait_for(lambda: mover.copied() >= 50, "the second checkpoint to be copied")
    mover.lab[first].cut()
    copies = [mover.copied()]

    def goes_on():
        """Its copies are of use only as they were before: the second attempt saves, too."""
        copied = mover.copied()
        if any(sign[2] == 2 for sign in mover.signs()):
            return True
        copies.append(copied)
        return False
    wait_for(goes_on, "attempt 2 to live", 120, every=0.3)
    second = mover.runs_as(2)
    check(first != second, f"it went elsewhere: {first}, {second}")
    resumed = int(box.attempts("m/1", "train")[1]["resumed_from"].split("-")[1])
    check(mover.began(2) == resumed == copies[-1] >= copies[0],
          f"from {copies[-1]}, before {copies[0]}, resumed from {resumed}: {mover.began(2)}")
    spans = mover.check_apart()
    check(spans[2][0] - spans[1][0] > LEASE * 10**9, "not before its lease had run out")
    mover.lab[first].restore()
    wait_for(lambda: any(w["worker"] == first and w["trouble"] is None for w in box.workers()), "it is connected again",
             90)
    mover.finish()
    attempts = box.attempts("m/1", "train")
    equal([(a["state"], a["reason"]) for a in attempts], [("lost", "worker_lost"), ("succeeded", "exit")], "attempts")
    wait_for(lambda: not mover.lab.processes(), "nothing is left anywhere", 60)


@story("a link that is back before the lease runs out changes nothing")
def back_in_time(box: Sandbox):
    mover = Mover(box)
    first = mover.runs_as(1)
    for _ in range(2):
        mover.lab[first].cut()
        wait_for(lambda: len({s for s in mover.signs()}) > 0, "it lives on")
        count = len(mover.signs())
        wait_for(lambda c=count: len(mover.signs()) > c + 25, "it lives on while it cannot be reached")
        mover.lab[first].restore()
        wait_for(lambda: any(w["worker"] == first and w["state"] == "ok" for w in box.workers()), "it is connected", 90)
    mover.finish()
    equal(len(box.attempts("m/1", "train")), 1, "attempts")


def left_there(host):
    """What lies in its root folder, but for agents and what serves the next attempt."""
    root = os.path.join(host.home, ".stoker")
    return sorted(os.path.join(folder, name) for folder in ("attempts", "epochs", "runs", "tasks")
                  for name in os.listdir(os.path.join(root, folder)) if not name.startswith("."))


@story("a run that ended without a worker that stayed away: its log and its folders are seen to at the next contact")
def left_behind(box: Sandbox):
    mover = Mover(box, saves=False)  # checkpoints would stay
    first = mover.runs_as(1)
    host = mover.lab[first]
    host.stop_sshd()
    host.kill_sessions()
    mover.runs_as(2)
    mover.finish()
    host.start_sshd()
    mine = left_there(host)
    check(any(name.startswith("attempts/") for name in mine), f"an attempt is there: {mine}")
    others = ["attempts/aaaaaaaaaaaa-1-0-1", "epochs/aaaaaaaaaaaa", "epochs/aaaaaaaaaaaa.1", "runs/aaaaaaaaaaaa-1"]
    for name in others:  # those of another scheduler
        path = os.path.join(host.home, ".stoker", name)
        os.makedirs(path) if "." not in name and "epochs" not in name else open(path, "w", encoding="ascii").close()
    before = box.log("m/1", "train", "--attempt", "1")
    gate = host.home_file("gate", "")
    box.file("n.yaml", f"name: n\nsteps:\n  s: {{worker: {first}, workdir: {host.remote_home}, "
                       "run: 'while [ -e gate ]; do sleep 0.1; done'}\n")
    stoker = box.start("run", "n.yaml")
    wait_for(lambda: not any("-1-" in name for name in left_there(host) if name not in others), "the attempt is gone")
    os.unlink(gate)
    equal(stoker.wait(60), 0, f"exit status:\n{stoker.text}")
    epoch = next(name for name in mine if name.startswith("epochs/") and "." not in name)
    equal(left_there(host), sorted([*others, epoch]), "what is left there")
    after = box.log("m/1", "train", "--attempt", "1")
    check(after.startswith(before) and after.endswith(b"asked to stop\n"), f"the log was continued: {before} {after}")
    equal([(a["state"], a["reason"]) for a in box.attempts("m/1", "train")],
          [("lost", "worker_lost"), ("succeeded", "exit")], "attempts")


def comes_back(box, has_come):
    """The link is cut, and back at the moment that `has_come` tells."""
    mover = Mover(box)
    first = mover.runs_as(1)
    wait_for(lambda: mover.copied() >= 25, "a checkpoint to be copied")
    mover.lab[first].cut()
    wait_for(lambda: has_come(mover), "the moment", LEASE + 60)
    mover.lab[first].restore()
    mover.runs_as(2)
    mover.finish()
    check(box.attempts("m/1", "train")[0]["reason"] in ("lease_expired", "worker_lost"), "why the first one ended")
    check(mover.began(2) >= 25, f"the second went on: {mover.began(2)}")
    wait_for(lambda: not mover.lab.processes(), "nothing is left anywhere", 60)


@story("the link is back while the old attempt is stopping: the new one begins after its end, and from a checkpoint")
def back_while_stopping(box: Sandbox):
    comes_back(box, lambda mover: os.path.exists(os.path.join(mover.lab.shared, "stopping")))


@story("the link is back when the old attempt has stopped and is not given up yet: the new one goes on from a checkpoint")
def back_when_stopped(box: Sandbox):
    comes_back(box, lambda mover: mover.ended(1))


@story("nobody drives the run: its step stops when the lease has run out, and the next driver starts it once more")
def driver_gone(box: Sandbox):
    mover = Mover(box)
    first = mover.runs_as(1)
    mover.stoker.kill()
    wait_for(lambda: not [p for p in mover.lab[first].processes() if "step.sh" in " ".join(p.words)],
             "the step stopped itself", LEASE + 60)
    mover.stoker = box.start("run", "--resume", "m/1")
    mover.runs_as(2)
    mover.finish()
    equal(box.attempts("m/1", "train")[0]["reason"], "lease_expired", "why the first one ended")


main()
