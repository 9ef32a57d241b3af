"""A full disk, a read-only one, a damaged database, one of a newer version: a clear error each, nothing lost."""

import os
import random
import shutil
import sqlite3

from lib import QUICK, SEED, Sandbox, check, equal, happens, has, main, sha256, story, wait_for

CHAIN = """\
name: c
steps:
  a: {run: echo a >>effects}
  b:
    needs: [a]
    run: |
      echo b >>effects
      while [ ! -e go ]; do sleep 0.05; done
      echo b has ended
  c: {needs: [b], run: echo c >>effects}
"""


def fill(folder):
    """Takes all the space that is left."""
    path = os.path.join(folder, "filler")
    with open(path, "wb", buffering=0) as file:
        block = bytes(65536)
        while block:
            try:
                file.write(block)
            except OSError:
                block = block[: len(block) // 2]
    return path


@story("the disk gets full in mid-run: it is said, and once there is space the run ends with every step done once")
def full_in_the_middle(box: Sandbox):
    box.mount_tmpfs(box.home, "8m")
    box.file("c.yaml", CHAIN)
    stoker = box.start("run", "c.yaml")
    box.wait_running("c/1", "b")
    equal(box.task("c/1", "a")["state"], "succeeded", "what is acknowledged before the disk gets full")
    filler = fill(box.home)
    box.file("go", "")

    def said():
        return any(word in stoker.text.lower() for word in ("disk is full", "no space", "disk full"))

    # Whatever stoker does about it, pause or end, it says what is wrong; unless no write of its own was needed.
    told = happens(lambda: said() or not stoker.running(), 10)
    if told:
        check(said(), f"what it says:\n{stoker.text}")
    os.unlink(filler)
    if not happens(lambda: not stoker.running(), 60) or stoker.wait() != 0:
        check(not stoker.running(), f"stoker goes on by itself or ends:\n{stoker.text}")
        box.stoker("run", "--resume", "c/1", code=0)
    equal(box.status("c/1")["state"], "succeeded", "the run")
    equal(box.lines("effects"), ["a", "b", "c"], "each step was done once")
    # A step is not held up for its log: what found no room is counted as lost, never silently.
    log, lost = box.log("c/1", "b"), box.attempts("c/1", "b")[0]["log_dropped_bytes"]
    check(log == b"b has ended\n" or lost > 0, f"the log on the full disk: {log!r}, {lost} bytes lost")
    check(told, "the full disk was noticed")


@story("a run is not begun on a full disk, and nothing of it is left")
def full_from_the_start(box: Sandbox):
    box.mount_tmpfs(box.home, "1m")
    box.file("c.yaml", CHAIN)
    box.file("go", "")
    filler = fill(box.home)
    result = box.stoker("run", "c.yaml", timeout=30)
    check(result.code not in (0, 130), f"refused: {result!r}")
    check(any(word in result.err.lower() for word in ("full", "no space")), f"what it says: {result!r}")
    has(result.err, box.home, "and where")
    check(not box.exists("effects"), "no step was started")
    os.unlink(filler)
    box.remount(box.home, "size=16m")
    box.stoker("run", "c.yaml", code=0)
    equal([row["state"] for row in box.runs()], ["succeeded"], "the runs there are")


@story("on a read-only disk a run is refused, what was recorded stays readable or the reason is said")
def read_only(box: Sandbox):
    box.mount_tmpfs(box.home, "16m")
    box.file("c.yaml", CHAIN)
    box.file("go", "")
    box.stoker("run", "c.yaml", code=0)
    before = box.status("c/1")
    box.remount(box.home, "ro")
    result = box.stoker("run", "c.yaml")
    check(result.code not in (0, 130), f"refused: {result!r}")
    has(result.err, "read-only", "what it says")
    for words in (["runs"], ["status", "c/1"], ["logs", "c/1", "b"], ["events"]):
        result = box.stoker(*words)
        if result.code == 0:
            check(result.out, f"something is told: {result!r}")
        else:
            has(result.err, "read-only", f"what {words[0]} says")
    equal(box.lines("effects"), ["a", "b", "c"], "no step was started")
    box.remount(box.home, "rw")
    equal(box.status("c/1"), before, "what was recorded")
    box.stoker("run", "c.yaml", code=0)


def spoiled(box, spoil, said):
    """Spoils a good database; every command then says so, and leaves the file as it is."""
    box.file("c.yaml", CHAIN)
    box.file("go", "")
    box.stoker("run", "c.yaml", code=0)
    path = os.path.join(box.home, "stoker.db")
    # What SQLite has not yet moved there would hide the fault.
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    good = path + ".good"
    shutil.copyfile(path, good)
    spoil(path)
    digest = sha256(path)
    for words in (["runs"], ["status"], ["status", "c/1"], ["why", "c/1"], ["run", "c.yaml"], ["run", "--resume", "c/1"],
                  ["cancel", "c/1"], ["retry", "c/1"], ["events"]):
        result = box.stoker(*words, timeout=20)
        check(result.code not in (0, 3, 130), f"an error, and not that there is no such run: {result!r}")
        has(result.err, said, f"what {' '.join(words)} says")
        has(result.err, "stoker.db", f"what {' '.join(words)} says")
        equal(sha256(path), digest, f"the database after {' '.join(words)}")
    equal(box.lines("effects"), ["a", "b", "c"], "no step was started")
    shutil.copyfile(good, path)
    for end in ("-wal", "-shm"):
        if os.path.exists(path + end):
            os.unlink(path + end)
    equal(box.status("c/1")["state"], "succeeded", "with the good file back, all is there")
    return result.err


def overwrite(path, start, end):
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * ((os.path.getsize(path) if end is None else end) - start))


@story("a database whose first bytes are garbage is refused as damaged and left as it is")
def damaged_head(box: Sandbox):
    spoiled(box, lambda path: overwrite(path, 0, 512), "damaged")


@story("a database whose pages are garbage is refused as damaged and left as it is")
def damaged_pages(box: Sandbox):
    spoiled(box, lambda path: overwrite(path, 4096, None), "damaged")


@story("a database that was cut in the middle is refused as damaged and left as it is")
def cut(box: Sandbox):
    spoiled(box, lambda path: os.truncate(path, os.path.getsize(path) // 2), "damaged")


@story("a database of a newer stoker is refused as newer and left as it is")
def newer(box: Sandbox):
    def grow(path):
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 9999")
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()

    has(spoiled(box, grow, "newer"), "9999", "the versions are named")


@story("a state folder that cannot be made is named in the error")
def no_home(box: Sandbox):
    box.file("c.yaml", CHAIN)
    box.file("file", "in the way")
    for home in (os.path.join(box.dags, "file", "home"), "/proc/no/such/place"):
        result = box.stoker("run", "c.yaml", env={"STOKER_HOME": home})
        check(result.code not in (0, 3, 130), f"refused: {result!r}")
        has(result.err, home, "what it says")
    check(not box.exists("effects"), "no step was started")


@story(f"what was told to anyone survives kill -9 at any moment (seed {SEED})")
def acknowledged(box: Sandbox):
    rng = random.Random(SEED)
    steps = 400 if QUICK else 3000
    lines = ["name: k", "steps:", "  s0: {run: echo s0 >>effects}"]
    lines += [f"  s{i}: {{needs: [s{i - 1}], run: echo s{i} >>effects}}" for i in range(1, steps)]
    box.file("k.yaml", "\n".join(lines) + "\n")
    stoker = box.start("run", "k.yaml")
    wait_for(lambda: box.has_run("k/1"), "the run")
    told, kills = set(), 0
    while True:
        delay = rng.uniform(0.01, 0.15)
        happens(lambda: not stoker.running(), delay)
        done = {task["task"] for task in box.status("k/1")["tasks"] if task["state"] == "succeeded"}
        check(told <= done, f"told before, gone now: {sorted(told - done)}")
        told = done
        if not stoker.running():
            break
        stoker.kill()
        kills += 1
        done = {task["task"] for task in box.status("k/1")["tasks"] if task["state"] == "succeeded"}
        check(told <= done, f"told before, gone after kill -9: {sorted(told - done)}")
        told = done
        stoker = box.start("run", "--resume", "k/1")
    equal(stoker.wait(), 0, f"exit status:\n{stoker.text}")
    print(f"# {kills} kills")
    check(kills > 2, "it was killed in the middle")
    equal(box.lines("effects"), [f"s{i}" for i in range(steps)], "every step ran once, in order")


if __name__ == "__main__":
    main()
