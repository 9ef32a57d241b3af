"""The demo, killed at random moments in every way there is, ends with the weights of a training left alone."""

import os
import random
import signal

from lib import PYTHON, QUICK, SEED, WITNESS, Sandbox, check, check_witness, equal, happens, main, sha256, story
from lib import need_numpy, wait_for, witnessed

KILLS = 6 if QUICK else 20
EPOCHS = 14 if QUICK else 30
WAYS = ("step", "group", "agent", "supervisor", "stoker", "all")
DEADLY = ("step", "group", "supervisor", "all")  # to the attempt


def prepare_dag(box):
    """The demo as it is, but for a witness before train.py, and a patience that 20 kills in a row do not use up."""
    folder = box.example("digits")
    path = os.path.join(folder, "digits.yaml")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    changed = text.replace("exec ${{ params.python }} train.py",
                           "exec ${{ params.python }} witness.py witness.jsonl ${{ params.python }} train.py")
    changed = changed.replace("retry: {max: 3, backoff: 1s}", "retry: {max: 99, backoff: 1s, max_backoff: 1s}")
    check(changed.count("witness") == 2 and "max: 99" in changed, "digits.yaml is as this test knows it")
    box.file("digits/digits.yaml", changed)
    box.file("digits/witness.py", WITNESS)
    return folder


def kill(box, way, stoker, run):
    """Kills in one way. False when what it aims at is not there at this moment."""
    step, supervisor, agent = box.step("train", run), box.supervisor("train", run), box.agent(stoker)
    if way == "step":
        return step is not None and step.signal(signal.SIGKILL)
    if way == "group":
        return step is not None and step.signal_group(signal.SIGKILL)
    if way == "agent":
        return agent is not None and agent.signal(signal.SIGKILL)
    if way == "supervisor":
        return supervisor is not None and supervisor.signal(signal.SIGKILL)
    if way == "stoker":
        stoker.kill()
        return True
    if step is None or supervisor is None or agent is None:
        return False
    stoker.kill()
    for process in (supervisor, agent, step):
        process.signal(signal.SIGKILL)
    return True


def one_run(box, run, rng, ways):
    """Runs the DAG to its end, killing on the way as `ways` says, as long as there are any. Returns those used."""
    stoker = box.start("run", "digits/digits.yaml", "-p", f"epochs={EPOCHS}", "-p", f"python={PYTHON}")
    done = []

    def lines():
        return [line for line in witnessed(box, "digits/witness.jsonl") if line["run"] == run]

    def trained():
        return not stoker.running() or box.task(run, "train")["state"] == "succeeded"

    while True:
        expected = 1 + sum(way in DEADLY for way in done)
        wait_for(lambda: len(lines()) >= expected or not stoker.running(),
                 f"{run}: attempt {expected} of train begins, after {done}", 60)
        # Killed at any moment from before the first line of Python to a few epochs on.
        delay = rng.uniform(0, 1.8)
        if not ways or happens(trained, delay):
            break
        if not kill(box, ways[0], stoker, run):
            continue
        way = ways.pop(0)
        done.append(way)
        print(f"# {run}: killed {way} {delay:.2f} s after attempt {expected} had begun", flush=True)
        if not stoker.running():
            wait_for(lambda: box.status(run)["orphaned"], f"{run} is shown as orphaned")
            stoker = box.start("run", "--resume", run)
    equal(stoker.wait(180), 0, f"{run}: exit status after {done}:\n{stoker.text}")
    return done


@story(f"killed {KILLS} times at random, the weights are bit for bit those of an undisturbed training (seed {SEED})")
def killed(box: Sandbox):
    need_numpy()
    print(f"# STOKER_TEST_SEED={SEED} repeats it", flush=True)
    rng = random.Random(SEED)
    folder = prepare_dag(box)

    def model(number):
        return sha256(os.path.join(folder, "work", "digits", str(number), "model.npz"))

    one_run(box, "digits/1", rng, [])
    equal(len(box.attempts("digits/1", "train")), 1, "attempts of the undisturbed training")

    ways = [WAYS[i % len(WAYS)] for i in range(KILLS)]
    rng.shuffle(ways)
    number = 1
    while ways:
        number += 1
        run = f"digits/{number}"
        done = one_run(box, run, rng, ways)
        status = box.status(run)
        equal(status["state"], "succeeded", run)
        equal(model(number), model(1), f"the weights of {run}, killed by {done}")
        train = next(task for task in status["tasks"] if task["task"] == "train")
        # Every attempt but the last was killed by us, and none was started for any other reason.
        deadly = [way for way in done if way in DEADLY]
        check(len(train["attempts"]) <= 1 + len(deadly), f"{run}: {len(train['attempts'])} attempts after {done}")
        for attempt in train["attempts"][:-1]:
            check(attempt["state"] in ("failed", "lost"), f"an attempt that was killed: {attempt}")
            check(attempt["reason"] in ("signal", "supervisor_lost", "worker_lost"), f"and why it ended: {attempt}")
        equal(train["attempts"][-1]["state"], "succeeded", f"{run}: the last attempt")
        for task in status["tasks"]:
            if task["task"] != "train":
                equal(len(task["attempts"]), 1, f"{run}: attempts of {task['task']}")

        lines = [line for line in witnessed(box, "digits/witness.jsonl") if line["run"] == run]
        ledger = box.json("checkpoints", run, "train")["checkpoints"]
        spoiled = {row["name"] for row in ledger if row["state"] in ("quarantined", "broken") or row["deaths"] > 1}
        for line in lines:
            # One that attempts died on twice is no longer good; the kernel's word, not the ledger's, for all else.
            line["checkpoints"] = [name for name in line["checkpoints"] if name not in spoiled]
        check_witness(lines)
        names = {attempt["number"]: attempt["resumed_from"] for attempt in train["attempts"]}
        for line in lines:
            equal(line["resume_from"] or None, names[line["attempt"]], f"{run}: resumed_from as the step was given it")
    equal(box.runs()[0]["state"], "succeeded", "the last run")


if __name__ == "__main__":
    main()
