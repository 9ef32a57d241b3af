#!/usr/bin/python3
"""Reads the UCI handwritten digits as Debian's python3-sklearn ships them and writes data.npz.

1,797 images of 8 x 8 pixels, each a number from 0 to 16. They are shuffled by the seed and split for good: 1,257 to
train with, 180 to watch the training by, 360 that only evaluate.py ever looks at.
"""

import argparse
import gzip
import importlib.util
import os

import step

np = step.import_numpy()

FILE = "sklearn/datasets/data/digits.csv.gz"
TEST, VALIDATION = 360, 180


def find_digits():
    # Importing sklearn takes seconds and is not needed to find a file in it.
    path = os.path.join("/usr/lib/python3/dist-packages", FILE)
    if os.path.exists(path):
        return path
    package = importlib.util.find_spec("sklearn")
    for folder in package.submodule_search_locations if package else []:
        path = os.path.join(os.path.dirname(folder), FILE)
        if os.path.exists(path):
            return path
    step.fail(
        f"the data set is not there: no {FILE} below /usr/lib/python3/dist-packages or in this Python; "
        "on Debian and Ubuntu install it with: apt install python3-sklearn"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()

    path = find_digits()
    with gzip.open(path, "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    if table.shape != (1797, 65) or table[:, :64].min() < 0 or table[:, :64].max() > 16:
        step.fail(f"{path} is not the data set of 1,797 digits this demo is made for (its shape is {table.shape})")

    table = table[np.random.default_rng(arguments.seed).permutation(len(table))]
    images, labels = table[:, :64] / np.float32(16), table[:, 64].astype(np.int64)
    held = TEST + VALIDATION
    parts = {"test": slice(0, TEST), "validation": slice(TEST, held), "train": slice(held, None)}
    arrays = {}
    for name, part in parts.items():
        arrays[f"{name}_images"], arrays[f"{name}_labels"] = images[part], labels[part]
    target = os.path.join(step.WORK, "data.npz")
    step.write_whole(target, lambda file: np.savez(file, **arrays))
    counts = ", ".join(f"{len(labels[part])} {name}" for name, part in parts.items())
    print(f"{path}: {len(labels)} digits ({counts}) -> {target}")


if __name__ == "__main__":
    main()
