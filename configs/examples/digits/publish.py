#!/usr/bin/python3
"""Copies the model to work/published as model-<run>.npz with a manifest, and points `latest` at it.

Readers see whole files only. A late attempt cannot undo what a newer one of the same task published: stoker gives
every attempt of a task a higher number than the one before (the fence), and the manifest keeps it.
"""

import argparse
import hashlib
import json
import os

import step


def read_manifest(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None
    except ValueError as error:
        step.fail(f"{path} is not a manifest: {error}")


def point(link, target):
    temporary = f"{link}.{os.getpid()}.tmp"
    os.symlink(target, temporary)
    os.replace(temporary, link)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accuracy", type=float, help="what evaluate.py measured")
    arguments = parser.parse_args()

    try:
        with open(os.path.join(step.WORK, "model.npz"), "rb") as file:
            model = file.read()
    except OSError as error:
        step.fail(f"no model to publish ({error}); run train.py first")

    number = step.RUN.rsplit("/", 1)[-1]
    name = f"model-{number}.npz"
    manifest_path = os.path.join(step.PUBLISHED, f"model-{number}.json")
    # Fences of one task can be compared, those of two cannot. The folder for checkpoints belongs to one task of one
    # run, also across several state folders of stoker, so it says whether this is the same task.
    manifest = {
        "run": step.RUN,
        "task": os.environ.get("STOKER_CHECKPOINT_DIR") or "by hand",
        "fence": step.FENCE,
        "model": name,
        "bytes": len(model),
        "sha256": hashlib.sha256(model).hexdigest(),
        "accuracy": arguments.accuracy,
    }
    before = read_manifest(manifest_path)
    if before and before["task"] == manifest["task"] and before["fence"] > step.FENCE:
        step.fail(f"{name} was published by a later attempt (fence {before['fence']}); this one has {step.FENCE}")

    step.write_whole(os.path.join(step.PUBLISHED, name), lambda file: file.write(model))
    text = json.dumps(manifest, indent=2) + "\n"
    step.write_whole(manifest_path, lambda file: file.write(text.encode()))
    point(os.path.join(step.PUBLISHED, "latest"), name)
    step.output("model", os.path.join(step.PUBLISHED, name))
    step.output("sha256", manifest["sha256"])
    print(f"published {name}: accuracy {arguments.accuracy}, sha256 {manifest['sha256']}")


if __name__ == "__main__":
    main()
