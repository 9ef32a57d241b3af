"""Pools: how many steps of a kind run at a time, who holds them, and what is said of that."""

from lib import Sandbox, check, equal, has, main, story, wait_for

SETTINGS = """\
pools:
  db: {slots: 2, description: the warehouse}
  shut: 0
"""

POOLED = """\
name: pooled
steps:
"""


def settings(box, text=SETTINGS):
    box.env["STOKER_CONFIG"] = box.file("stoker.yaml", text)


def holds(name):
    return f"  {name}:\n    pool: db\n    run: |\n      while [ ! -e go-{name} ]; do sleep 0.05; done\n"


def pool(box, name="db"):
    return next(entry for entry in box.json("pools")["pools"] if entry["pool"] == name)


@story("a pool lets as many steps run as it has slots; why and pools name the holders, the longest first")
def slots(box: Sandbox):
    settings(box)
    box.file("pooled.yaml", POOLED + holds("a") + holds("b") + holds("c") + "  free: {run: 'true'}\n")
    equal(pool(box)["used"], 0, "before anything ran")
    run = box.start("run", "pooled.yaml")
    box.wait_running("pooled/1", "a")
    box.wait_running("pooled/1", "b")
    box.wait_state("pooled/1", "succeeded", task="free")
    told = pool(box)
    equal([told["slots"], told["used"], told["waiting"]], [2, 2, 1], "slots, used and waiting")
    equal([holder["task"] for holder in told["holders"]], ["a", "b"], "the holders")
    equal([item["task"] for item in told["next"]], ["c"], "who is next")
    why = box.stoker("why", "pooled/1", "c", code=0).out
    has(why, "c is ready to start and waits for pool db: 2 of 2 slots are held by a (", "why")
    has(box.stoker("pools", code=0).out, "2 of 2", "the table")
    box.file("go-a", "")
    box.wait_running("pooled/1", "c")
    equal(pool(box)["waiting"], 0, "who waits then")
    box.file("go-b", "")
    box.file("go-c", "")
    equal(run.wait(), 0, "status of the run")
    equal([entry["used"] for entry in box.json("pools")["pools"]], [0, 0], "in the end")


@story("a step that waits for its retry holds nothing: the next of its pool runs meanwhile")
def retrying(box: Sandbox):
    settings(box, "pools: {db: 1}\n")
    box.file("r.yaml", "name: r\npool: db\nsteps:\n"
             "  fails: {run: 'test -e go', retry: {max: 5, backoff: 1h, max_backoff: 1h}}\n"
             "  other: {run: 'true'}\n")
    run = box.start("run", "r.yaml")
    box.wait_state("r/1", "retrying", task="fails")
    box.wait_state("r/1", "succeeded", task="other")
    equal(pool(box)["used"], 0, "while one waits for its retry")
    box.stoker("cancel", "r/1", code=0)
    run.wait()


@story("a closed pool starts nothing, and a pool that nobody set up is refused before anything starts")
def unknown(box: Sandbox):
    settings(box)
    box.file("bad.yaml", "name: bad\nsteps: {s: {run: 'echo x >effects', pool: dB1}}\n")
    refused = box.stoker("run", "bad.yaml", code=2)
    has(refused.err, "step 's' belongs to the pool 'dB1'", "the refusal")
    has(refused.err, "did you mean 'db'?", "the refusal")
    check(not box.exists("effects") and box.runs() == [], "nothing was started")
    box.file("shut.yaml", "name: shut\nsteps: {s: {run: 'echo x >effects', pool: shut}}\n")
    run = box.start("run", "shut.yaml")
    wait_for(lambda: box.has_run("shut/1") and "closed" in box.stoker("why", "shut/1", "s", code=0).out,
             "why tells that the pool is closed")
    box.stoker("cancel", "shut/1", code=0)
    run.wait()
    check(not box.exists("effects"), "nothing was started")
    settings(box, "pools:\n  db: {slot: 2}\n")
    has(box.stoker("pools", code=2).err, "did you mean 'slots'?", "a wrong key")


@story("a pool counts what a killed stoker left running")
def left(box: Sandbox):
    settings(box, "pools: {db: 1}\n")
    box.file("pooled.yaml", POOLED + holds("a") + holds("b"))
    run = box.start("run", "pooled.yaml")
    box.wait_running("pooled/1", "a")
    run.kill()
    again = box.start("run", "--resume", "pooled/1")
    wait_for(lambda: "waits for pool db: 1 of 1 slots is held by a (" in
             box.stoker("why", "pooled/1", "b", code=0).out and "orphaned" not in box.status("pooled/1")["state"],
             "b waits for what the first one started")
    equal(pool(box)["used"], 1, "slots that are taken")
    box.file("go-a", "")
    box.wait_running("pooled/1", "b")
    box.file("go-b", "")
    equal(again.wait(), 0, "status of the run")


if __name__ == "__main__":
    main()
