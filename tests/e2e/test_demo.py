"""The training DAG of configs/examples/digits, as a newcomer runs it."""

import hashlib
import json
import os

from lib import QUICK, Sandbox, check, equal, has, main, need_numpy, sha256, story

EPOCHS = 4 if QUICK else 60


@story("the demo trains, evaluates and publishes a model, and status and runs tell it")
def demo(box: Sandbox):
    need_numpy()
    folder = box.example("digits")
    box.stoker("run", "digits/digits.yaml", "-p", f"epochs={EPOCHS}", code=0, timeout=300)

    rows = box.runs()
    equal([row["run"] for row in rows], ["digits/1"], "the runs")
    row, run = rows[0], box.status("digits/1")
    for key in ("run", "dag", "number", "state", "reason", "trigger", "created", "started", "ended", "params"):
        equal(row[key], run[key], f"{key} in runs and in status")
    equal((run["dag"], run["number"], run["state"], run["orphaned"]), ("digits", 1, "succeeded", False), "the run")
    equal(run["trigger"], "manual", "its trigger")
    check(run["created"] <= run["started"] <= run["ended"], f"times in order: {run}")
    equal(str(run["params"]["epochs"]), str(EPOCHS), "the parameter as given")
    equal(str(run["params"]["seed"]), "7", "the parameter's default")

    tasks = {task["task"]: task for task in run["tasks"]}
    equal(list(tasks), ["prepare", "train", "evaluate", "publish"], "tasks in the order of the file")
    equal([t["needs"] for t in tasks.values()], [[], ["prepare"], ["train"], ["evaluate"]], "what they need")
    for name, task in tasks.items():
        equal(task["state"], "succeeded", f"state of {name}")
        equal(len(task["attempts"]), 1, f"attempts of {name}")
        attempt = task["attempts"][0]
        equal((attempt["number"], attempt["state"], attempt["exit_code"], attempt["signal"]),
              (1, "succeeded", 0, None), f"attempt of {name}")
        equal(attempt["worker"], "local", f"worker of {name}")
        equal(attempt["resumed_from"], None, f"{name} resumed from")
        check(attempt["cpu_ms"] > 0 and attempt["rss_peak_bytes"] > 1024 * 1024, f"use of the machine: {attempt}")
        equal(attempt["log_bytes"], len(box.log("digits/1", name)), f"bytes in the log of {name}")
    check(tasks["train"]["ended"] <= tasks["evaluate"]["started"], "evaluate started after train had ended")
    equal(tasks["train"]["metric"]["epoch"], EPOCHS, "the last metric")

    accuracy = float(tasks["evaluate"]["outputs"]["accuracy"])
    check(accuracy > (0.95 if QUICK else 0.97), f"the model is good: {accuracy}")
    published = os.path.join(folder, "work", "published")
    with open(os.path.join(published, "model-1.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    equal(manifest["accuracy"], accuracy, "accuracy in the manifest, as evaluate measured it")
    equal(manifest["run"], "digits/1", "run in the manifest")
    with open(os.path.join(published, "latest"), "rb") as file:
        equal(hashlib.sha256(file.read()).hexdigest(), manifest["sha256"], "the model that was published")
    equal(sha256(os.path.join(folder, "work", "digits", "1", "model.npz")), manifest["sha256"], "the trained model")

    log = box.log("digits/1", "train").decode()
    equal(sum(line.startswith("epoch ") for line in log.splitlines()), EPOCHS, "a line for each epoch")
    rows = box.json("checkpoints", "digits/1", "train")["checkpoints"]
    equal([r["name"] for r in rows if r["state"] == "good"],
          [f"epoch-{n:04}.npz" for n in range(max(1, EPOCHS - 2), EPOCHS + 1)], "the three checkpoints kept")


@story("a model below the bar fails the run at evaluate, and nothing is published")
def not_good_enough(box: Sandbox):
    need_numpy()
    folder = box.example("digits")
    result = box.stoker("run", "digits/digits.yaml", "-p", "epochs=1", "-p", "min_accuracy=0.9999", code=1, timeout=120)
    has(result.text, "evaluate", "what run prints")
    run = box.status("digits/1")
    equal(run["state"], "failed", "the run")
    states = {task["task"]: task["state"] for task in run["tasks"]}
    equal(states, {"prepare": "succeeded", "train": "succeeded", "evaluate": "failed", "publish": "upstream_failed"},
          "the tasks")
    equal([a["exit_code"] for a in box.attempts("digits/1", "evaluate")], [1, 1, 1, 1], "tried as often as allowed")
    has(box.log("digits/1", "evaluate").decode(), "at least 0.9999 is asked for", "the log of evaluate")
    has(box.stoker("why", "digits/1", code=0).out, "evaluate", "why digits/1")
    has(box.stoker("why", "digits/1", "publish", code=0).out, "evaluate", "why publish was never started")
    check(not os.path.exists(os.path.join(folder, "work", "published")), "nothing is published")


if __name__ == "__main__":
    main()
