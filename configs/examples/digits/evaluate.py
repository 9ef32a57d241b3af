#!/usr/bin/python3
"""Measures the model on the digits that were held back, and fails when it is not good enough."""

import argparse
import os
import zipfile

import step

np = step.import_numpy()

import network


def load(name, maker):
    path = os.path.join(step.WORK, name)
    try:
        with np.load(path) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        step.fail(f"cannot read {name} ({error}); run {maker} first")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--min-accuracy", type=float, default=0.95)
    arguments = parser.parse_args()

    data, model = load("data.npz", "prepare.py"), load("model.npz", "train.py")
    weights = [model[f"weight{i}"] for i in range(len(model))]
    images, labels = data["test_images"], data["test_labels"]
    guesses = network.scores(weights, images)[-1].argmax(axis=1)
    right = int((guesses == labels).sum())
    accuracy = right / len(labels)
    step.output("accuracy", f"{accuracy:.6f}")
    step.metric(accuracy=round(accuracy, 6))
    print(f"accuracy {accuracy:.4f}: {right} of {len(labels)} digits never seen before")
    for digit in range(10):
        mine = guesses[labels == digit]
        wrong = sorted(set(int(guess) for guess in mine if guess != digit))
        note = f", taken for {' '.join(map(str, wrong))}" if wrong else ""
        print(f"  {digit}: {int((mine == digit).sum())} of {len(mine)}{note}")
    if accuracy < arguments.min_accuracy:
        step.fail(f"the model's accuracy is {accuracy:.4f}; at least {arguments.min_accuracy} is asked for")


if __name__ == "__main__":
    main()
