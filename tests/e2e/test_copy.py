"""`checkpoint: {copy: true}`: the newest checkpoint is with the scheduler too, and a task goes on from there, or straight
from its old worker, on another one."""

import datetime
import glob
import os
import subprocess
import time

from lab import NO_NAMESPACES, SHARED, Lab
from lib import QUICK, Sandbox, check, equal, has, is_sanitized, main, story, wait_for

# Counts; each number is a checkpoint, of as many bytes as asked for. It goes on when it is told to, or by itself.
TRAINER = """\
n=0
if [ -n "$STOKER_RESUME_FROM" ]; then
    n=$(head -n1 "$STOKER_RESUME_FROM/number")
    echo "resumed $n from $STOKER_RESUME_FROM"
fi
save() {
    n=$((n + 1))
    here=$STOKER_CHECKPOINT_DIR/step-$n
    mkdir "$here.tmp"
    echo $n >"$here.tmp/number"
    head -c "${1:-1000}" /dev/urandom >"$here.tmp/weights"
    mv "$here.tmp" "$here"
    echo "saved $n $(sha256sum <"$here/weights")"
}
await() { while [ ! -e "$shared/$1" ]; do sleep 0.03; done; }
"""


class Story:
    """Hosts h1, h2 with the label gpu, and this machine, which takes nothing of it."""

    def __init__(self, box, script, checkpoint="{copy: true}", more="", steps="", hosts=2,
                 backoff="0s"):
        self.box, self.lab = box, Lab(box, hosts)
        self.lab.settings(every={"labels": ["gpu"]})
        box.file("src/trainer.sh", f"shared={SHARED}\ntest -d $shared || shared={self.lab.shared}\n{TRAINER}")
        lines = "".join(f"      {line}\n" for line in script.splitlines())
        box.file("t.yaml", f"""\
name: t
source: src
steps:
  train:
    worker: gpu
    checkpoint: {checkpoint}
    retry: {{max: 5, backoff: {backoff}}}
{more}    run: |
      . ./trainer.sh
{lines}{steps}""")
        self.stoker = box.start("run", "t.yaml")
        box.wait_running("t/1", "train")

    def touch(self, name):
        with open(os.path.join(self.lab.shared, name), "w", encoding="ascii"):
            pass

    def rows(self, task="train"):
        return self.box.json("checkpoints", "t/1", task)["checkpoints"]

    def row(self, name, task="train"):
        return next((row for row in self.rows(task) if row["name"] == name), None)

    def copied(self, task="train"):
        return [row["name"] for row in self.rows(task) if row["copy"]]

    def is_copied(self, name, task="train"):
        return name in self.copied(task)

    def files(self):
        return sorted(os.path.relpath(path, self.box.home) for path in
                      glob.glob(os.path.join(self.box.home, "checkpoints", "**"), recursive=True) if os.path.isfile(path))

    def worker(self):
        return self.box.attempts("t/1", "train")[-1]["worker"]

    def other(self):
        return {"h1": "h2", "h2": "h1"}[self.worker()]

    def away(self, name):
        """It answers nobody, and whoever was connected is not any more."""
        self.lab[name].stop_sshd()
        check(self.lab[name].kill_sessions() > 0, "there was a session")

    def kill_step(self, attempt=None):
        box = self.box
        box.wait_running("t/1", "train", attempt)
        process = wait_for(lambda: [p for p in self.lab[self.worker()].processes() if p.program in ("sh", "dash")
                                    and "trainer.sh" in " ".join(p.words)], "the step's process")[0]
        process.signal_group(9)

    def log(self, attempt=None):
        words = [] if attempt is None else ["--attempt", str(attempt)]
        return self.box.log("t/1", "train", *words).decode()

    def events(self, kind):
        return [event["detail"] for event in self.box.json("events", "t/1", "-n", "1000")["events"]
                if event["kind"] == kind]

    def ends(self, code=0, timeout=120):
        equal(self.stoker.wait(timeout), code, f"the exit status ({self.stoker.text})")


@story("the newest checkpoint is here soon, the others are not; when the run has succeeded none is")
def newest(box: Sandbox):
    it = Story(box, "save\nawait one\nsave\nsave\nsave\nawait two")
    wait_for(lambda: it.copied() == ["step-1"], "the first to be copied")
    it.touch("one")
    wait_for(lambda: it.copied() == ["step-4"], "the newest to be copied, and the first to go")
    wait_for(lambda: it.files() == ["checkpoints/t/1/train.4"], "it alone to lie here")
    row = it.row("step-4")
    equal(row["copy"]["path"], os.path.join(box.home, "checkpoints/t/1/train.4"), "its path")
    equal(row["copy"]["bytes"], os.path.getsize(row["copy"]["path"]), "its size")
    equal(row["worker"], it.worker(), "where it was written")
    told = box.stoker("checkpoints", "t/1", "train", code=0).out.splitlines()
    check(told[1].split()[-3:] != told[4].split()[-3:] and " here " in told[4] and " here " not in told[1],
          f"the table: {told}")
    it.touch("two")
    it.ends()
    wait_for(lambda: not it.files(), "the copies to go")
    equal(it.copied(), [], "what the ledger says")
    check(not os.path.exists(os.path.join(box.home, "checkpoints/t/1")), "nor is its folder left")


@story("its worker is gone for good: the step goes on elsewhere from the copy, which is older than what was lost")
def gone(box: Sandbox):
    it = Story(box, """\
test $n -gt 0 || save
await one
test $STOKER_ATTEMPT -gt 1 || save 100000000
await two
""", more="    move_after: 4s\n    grace: 1s\n")
    wait_for(lambda: it.is_copied("step-1"), "it to be copied")
    first, other = it.worker(), it.other()
    it.lab[first].shape(rtt_ms=50)
    it.touch("one")
    wait_for(lambda: it.row("step-2"), "the second checkpoint")
    it.away(first)
    equal(it.copied(), ["step-1"], "what had been copied by then")
    box.wait_running("t/1", "train", 2, timeout=60)
    equal([a["worker"] for a in box.attempts("t/1", "train")], [first, other], "where it runs")
    wait_for(lambda: "resumed 1 from " in it.log(2), "the second attempt to say from what it goes on")
    equal(it.events("checkpoint.brought"), [
        f"step-1, copied from worker {first}, is brought to worker {other}; step-2 on worker {first} cannot be had"],
        "what is told")
    it.touch("two")
    it.ends()


@story("drained in the middle: the next attempt waits for the checkpoint to be fetched, and goes on from it elsewhere")
def drained(box: Sandbox):
    it = Story(box, "save 12000000\ntest $n -gt 1 || { await go; exit 1; }", checkpoint="{keep: 3}")
    wait_for(lambda: it.row("step-1"), "its checkpoint")
    first, other = it.worker(), it.other()
    equal(it.files(), [], "without `copy` nothing is fetched")
    box.stoker("workers", "drain", first, code=0)
    wait_for(lambda: any(w["worker"] == first and w["drained_by"] for w in box.workers()), "it to be drained")
    time.sleep(0.5)  # looked for by the driver, several times a second
    it.lab[first].shape(rtt_ms=20)
    it.touch("go")
    wait_for(lambda: "which is fetched from worker" in box.json("why", "t/1", "train")["why"], "why to say so", 20)
    it.ends()
    equal([a["worker"] for a in box.attempts("t/1", "train")], [first, other], "where it ran")
    has(it.log(2), "resumed 1 from ", "the second attempt")
    equal(it.events("checkpoint.brought"), [f"step-1, copied from worker {first}, is brought to worker {other}"],
          "what is told")
    equal(it.row("step-1")["brought"], other, "where it lies too")


@story("a transfer that is cut, by the network and with its scheduler, goes on where it stopped; then the copy is used")
def cut(box: Sandbox):
    it = Story(box, "test $n -gt 0 || save 40000000\nawait go", backoff="1s")
    first, other = it.worker(), it.other()
    it.lab[first].shape(rtt_ms=40)
    part = os.path.join(box.home, "checkpoints/t/1/train.1.part")

    def size():
        return os.path.getsize(part) if os.path.exists(part) else 0
    for step in (5000000, 12000000, 20000000):
        wait_for(lambda at=step: size() > at or it.is_copied("step-1"), "a part of it", 60)
        before = size()
        if step == 12000000:
            it.stoker.kill()
            check(size() >= before > 0, "what has come stays")
            it.stoker = box.start("run", "--resume", "t/1")
        else:
            check(it.lab[first].kill_sessions() > 0, "there was a session")
        check(size() >= before or it.is_copied("step-1"), "what has come stays")
    wait_for(lambda: it.is_copied("step-1"), "it to be copied", 60)
    it.lab[first].shape()
    # Everything but the copy is gone; and whoever drives the run hears nothing of the old worker.
    it.stoker.kill()
    it.kill_step(1)
    wait_for(lambda: not it.lab[first].processes() or all("supervisor" not in " ".join(p.words) for p in
                                                          it.lab[first].processes()), "its supervisor to end")
    it.stoker = box.start("run", "--resume", "t/1")
    box.wait_running("t/1", "train", 2)
    equal(it.worker(), first, "where its checkpoint lies is where it goes on")
    it.kill_step(2)
    box.wait_state("t/1", "retrying", "train")
    it.away(first)
    box.wait_running("t/1", "train", 3, timeout=60)
    equal(it.worker(), other, "where it goes on when that is away")
    wait_for(lambda: "resumed 1 from " in it.log(3), "the third attempt to say from what it goes on")
    it.lab[first].start_sshd()
    it.touch("go")
    it.ends()


@story("checkpoints come faster than they can be fetched, each in the place of the one before: copies come all the same")
def fast(box: Sandbox):
    it = Story(box, """\
while [ ! -e $shared/go ]; do
    n=$((n + 1))
    head -c 16000000 /dev/urandom >$STOKER_CHECKPOINT_DIR/latest.tmp
    mv $STOKER_CHECKPOINT_DIR/latest.tmp $STOKER_CHECKPOINT_DIR/latest
    sleep 0.6
done
""", checkpoint="{copy: true, keep: 1}")
    it.lab[it.worker()].shape(rtt_ms=40)
    seen = set()

    def look():
        seen.update(row["seq"] for row in it.rows() if row["copy"])
        check(len(it.files()) <= 4, f"no more than the newest, and what is under way: {it.files()}")
        return len(seen) > 2
    wait_for(look, "three copies", 90)
    written = len(it.rows())
    # A relay makes a link late and not slow: there each may have been fetched in time.
    check(len(seen) < written or NO_NAMESPACES, f"others were passed over: {written} written, {seen} copied")
    check(len(it.events("checkpoint.not_copied")) <= written // 4, "those that were fetched were whole")
    it.touch("go")
    it.ends()


@story("one that was damaged is not copied, and that is told; the copy of the one before is still there")
def damaged(box: Sandbox):
    it = Story(box, "save\nawait one\nsave 60000000\nawait two")
    wait_for(lambda: it.is_copied("step-1"), "the first to be copied")
    it.lab[it.worker()].shape(rtt_ms=40)
    it.touch("one")
    wait_for(lambda: it.row("step-2"), "the second")
    found = glob.glob(os.path.join(it.lab[it.worker()].home, ".stoker/tasks/*/checkpoints/step-2/weights"))
    with open(found[0], "r+b") as file:
        file.seek(59000000)
        file.write(b"not what it was")
    wait_for(lambda: it.events("checkpoint.not_copied") or it.is_copied("step-2"), "it to be noticed", 60)
    has(it.events("checkpoint.not_copied")[0], f"step-2 on worker {it.worker()}: ", "what is told")
    equal(it.copied(), ["step-1"], "copies")
    it.touch("two")
    it.ends()


@story("with `resume: required` and no copy it waits for its worker, and why says so; it goes on there")
def required(box: Sandbox):
    it = Story(box, "test $n -gt 0 || { save; await one; exit 1; }", checkpoint="{resume: required}",
               more="    move_after: 2s\n    grace: 1s\n")
    wait_for(lambda: it.row("step-1"), "its checkpoint")
    first = it.worker()
    it.away(first)
    wait_for(lambda: box.task("t/1", "train")["state"] == "ready", "it to be given up there", 60)
    has(box.json("why", "t/1", "train")["why"],
        f"it waits for worker {first}, which has its newest checkpoint, step-1, and cannot be used: ", "why")
    it.lab[first].start_sshd()
    it.ends()
    equal([a["worker"] for a in box.attempts("t/1", "train")], [first, first], "where it ran")
    has(it.log(2), "resumed 1 from ", "the second attempt")


def peak_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@story("a big one on its way keeps no start waiting and takes no memory; it comes as fast as the connection can")
def big(box: Sandbox):
    size = (100 if QUICK else 1024) << 20
    chain = 20
    steps = "".join(f"  c{i}: {{{'' if i == 0 else f'needs: [c{i - 1}], '}worker: gpu1, "
                    f"run: '. ./trainer.sh; {'await go' if i == 0 else 'true'}'}}\n" for i in range(chain))
    it = Story(box, f"""\
mkdir $STOKER_CHECKPOINT_DIR/big.tmp
head -c 1000 /dev/urandom >$STOKER_CHECKPOINT_DIR/big.tmp/head
truncate -s {size} $STOKER_CHECKPOINT_DIR/big.tmp/weights
touch $shared/go
mv $STOKER_CHECKPOINT_DIR/big.tmp $STOKER_CHECKPOINT_DIR/big
await two
""", steps=steps.replace("worker: gpu1", "worker: h1"), hosts=1)
    part = os.path.join(box.home, "checkpoints/t/1/train.1.part")
    wait_for(lambda: os.path.exists(part), "it to be asked for", 300, every=0.005)
    asked = time.monotonic()
    wait_for(lambda: os.path.getsize(part) > 0, "it to be on its way", 300, every=0.005)
    began = time.monotonic()
    wait_for(lambda: not os.path.exists(part) or os.path.getsize(part) >= size, "it to be here", 600, every=0.01)
    took = time.monotonic() - began
    wait_for(lambda: it.is_copied("big"), "it to be verified", 300)
    whole = time.monotonic() - asked
    box.wait_state("t/1", "succeeded", f"c{chain - 1}", timeout=300)
    peak = peak_kib(it.stoker.popen.pid)
    times = [box.attempts("t/1", f"c{i}")[-1] for i in range(chain)]
    gaps = [moment(after["started"]) - moment(before["ended"]) for before, after in zip(times, times[1:])]
    check(sorted(gaps)[len(gaps) * 9 // 10] < 0.25 * (4 if is_sanitized() else 1), f"starts took {sorted(gaps)}")
    check(is_sanitized() or peak < 64 << 10, f"stoker took {peak} KiB")
    began = time.monotonic()
    done = subprocess.run(it.lab.ssh_words("h1", f"head -c {size} /dev/zero"), stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, check=False)
    equal(done.returncode, 0, "plain ssh")
    plain = time.monotonic() - began
    print(f"# {size >> 20} MiB copied at {size / took / 1e6:.0f} MB/s, ssh to nowhere at {size / plain / 1e6:.0f} MB/s: "
          f"{plain / took:.2f} times, with all digests {whole:.1f} s; a start took {sorted(gaps)[len(gaps) * 9 // 10] * 1000:.0f} ms; "
          f"stoker's memory: {peak >> 10} MiB")
    it.touch("two")
    it.ends()


main()
