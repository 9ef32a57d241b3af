#!/usr/bin/python3
"""Trains the network, with a checkpoint after each epoch.

A checkpoint holds all that the next epoch depends on (weights, optimizer, random numbers, history), so a training that
was killed and resumed ends with the very same weights as one that was not.
"""

import argparse
import json
import math
import os
import sys
import time
import zipfile

import step

step.watch_for_stop()
np = step.import_numpy()

import network

BATCH = 64
VIEWS = 40  # distorted copies of each image in an epoch
STEADY = ("epochs", "lr", "seed")  # what a checkpoint must have been made with to be gone on from


class Training:
    def __init__(self, arguments):
        self.arguments = {name: getattr(arguments, name) for name in STEADY}
        self.rng = np.random.default_rng([arguments.seed, 1])
        self.weights = network.new_weights(self.rng)
        self.adam = network.Adam(self.weights)
        self.history = []

    @property
    def epoch(self):
        return len(self.history)

    def save(self, path):
        about = {
            "arguments": self.arguments,
            "adam_count": self.adam.count,
            "history": self.history,
            "rng": self.rng.bit_generator.state,
        }
        arrays = {"about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)}
        for i, (w, m, v) in enumerate(zip(self.weights, self.adam.first, self.adam.second)):
            arrays[f"weight{i}"], arrays[f"first{i}"], arrays[f"second{i}"] = w, m, v
        step.write_whole(path, lambda file: np.savez(file, **arrays))

    def load(self, path):
        try:
            with np.load(path) as arrays:
                about = json.loads(arrays["about"].tobytes())
                count = len(self.weights)
                self.weights = [arrays[f"weight{i}"] for i in range(count)]
                self.adam.first = [arrays[f"first{i}"] for i in range(count)]
                self.adam.second = [arrays[f"second{i}"] for i in range(count)]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            step.fail(f"cannot resume from {path}: {error}")
        if about["arguments"] != self.arguments:
            step.fail(f"{path} was made with {about['arguments']}; this training has {self.arguments}")
        self.adam.count = about["adam_count"]
        self.history = about["history"]
        self.rng.bit_generator.state = about["rng"]

    def run_epoch(self, data):
        """One pass over VIEWS distorted copies of every image, in random order. Returns the mean loss."""
        # The rate falls to nearly nothing along half a cosine: large steps first, fine ones at the end.
        rate = self.arguments["lr"] * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.epoch / self.arguments["epochs"])))
        images, labels = data["train_images"], data["train_labels"]
        losses = []
        for _ in range(VIEWS):
            order = self.rng.permutation(len(labels))
            seen = network.distorted(images[order], self.rng)
            names = labels[order]
            for start in range(0, len(order), BATCH):
                batch = slice(start, start + BATCH)
                loss, slopes = network.gradients(self.weights, seen[batch], names[batch])
                self.adam.move(self.weights, slopes, rate)
                losses.append(loss)
        return sum(losses) / len(losses)


def load_data():
    path = os.path.join(step.WORK, "data.npz")
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        step.fail(f"no data to train on ({error}); run prepare.py first")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.epochs < 1:
        step.fail(f"--epochs is {arguments.epochs}; at least 1 is needed")

    data = load_data()
    training = Training(arguments)
    if step.RESUME_FROM:
        training.load(step.RESUME_FROM)
        print(f"resumed from {os.path.basename(step.RESUME_FROM)}: {training.epoch} of {arguments.epochs} epochs done")
    else:
        print(f"starting from zero: {arguments.epochs} epochs")

    while training.epoch < arguments.epochs:
        started = time.monotonic()
        loss = training.run_epoch(data)
        accuracy = network.accuracy(training.weights, data["validation_images"], data["validation_labels"])
        training.history.append([loss, accuracy])
        training.save(os.path.join(step.CHECKPOINT_DIR, f"epoch-{training.epoch:04}.npz"))
        step.metric(step=training.adam.count, epoch=training.epoch, epochs=arguments.epochs, loss=round(loss, 6),
                    val_accuracy=round(accuracy, 6))
        print(f"epoch {training.epoch:4}/{arguments.epochs}  loss {loss:.4f}  validation accuracy {accuracy:.4f}"
              f"  {time.monotonic() - started:.2f} s", flush=True)
        if step.stop_asked() and training.epoch < arguments.epochs:
            print(f"stopping as asked; epoch {training.epoch} is saved", flush=True)
            sys.exit(step.CHECKPOINTED)

    model = {f"weight{i}": weight for i, weight in enumerate(training.weights)}
    path = os.path.join(step.WORK, "model.npz")
    step.write_whole(path, lambda file: np.savez(file, **model))
    step.output("val_accuracy", f"{training.history[-1][1]:.6f}")
    print(f"model -> {path}")


if __name__ == "__main__":
    main()
