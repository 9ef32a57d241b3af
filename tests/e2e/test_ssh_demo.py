"""The demo training on other machines, as configs/examples/digits/workers.yaml has it."""

import json
import os

from lab import Lab
from lib import QUICK, Sandbox, check, equal, main, need_numpy, sha256, story, wait_for

EPOCHS = 4 if QUICK else 30


@story("the demo trains on one worker, is measured on another and published here: the very model of a local run")
def elsewhere(box: Sandbox):
    need_numpy()
    folder = box.example("digits")
    lab = Lab(box, 2)
    lab.settings(h1={"labels": ["train"]}, h2={"labels": ["evaluate"]})
    published = os.path.join(box.path, "published")
    box.env["DIGITS_PUBLISHED"] = published  # which stoker must not pass on by itself
    box.stoker("run", "digits/workers.yaml", "-p", f"epochs={EPOCHS}", code=0, timeout=300)
    run = box.status("digits-workers/1")
    workers = {task["task"]: [attempt["worker"] for attempt in task["attempts"]] for task in run["tasks"]}
    equal(workers, {"prepare": ["local"], "train": ["h1"], "evaluate": ["h2"], "publish": ["local"]}, "who did what")
    check(not os.path.exists(published), "the environment of stoker is not the steps'")
    outputs = {task["task"]: task["outputs"] for task in run["tasks"]}
    check(float(outputs["evaluate"]["accuracy"]) > 0.95, f"the model is good: {outputs}")
    with open(outputs["publish"]["model"].replace(".npz", ".json"), encoding="utf-8") as file:
        manifest = json.load(file)
    equal(manifest["run"], "digits-workers/1", "whose model was published")

    box.stoker("run", "digits/digits.yaml", "-p", f"epochs={EPOCHS}", code=0, timeout=300)
    equal(sha256(os.path.join(folder, "work", "digits", "1", "model.npz")), manifest["sha256"],
          "the model of a run on this machine alone")
    for host in lab.hosts.values():
        left = os.path.join(host.home, ".stoker", "runs")
        wait_for(lambda: os.listdir(left) == [], f"nothing is left of the run on {host.name}")  # its agent ends after stoker


if __name__ == "__main__":
    main()
