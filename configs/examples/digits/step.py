"""What stoker gives a step, with sensible values where a script is started by hand.

The scripts of this DAG share nothing but files in the run's own folder: work/<dag>/<number of the run>.
"""

import json
import os
import signal
import sys

RUN = os.environ.get("STOKER_RUN") or "by-hand/0"
FENCE = int(os.environ.get("STOKER_FENCE") or 0)
HERE = os.path.dirname(os.path.abspath(__file__))

# The folder the step works in is the DAG file's; by hand it is the folder of the scripts.
BASE = os.path.join(os.getcwd() if "STOKER_RUN" in os.environ else HERE, "work")
WORK = os.path.join(BASE, RUN)
PUBLISHED = os.environ.get("DIGITS_PUBLISHED") or os.path.join(BASE, "published")

CHECKPOINT_DIR = os.environ.get("STOKER_CHECKPOINT_DIR") or os.path.join(WORK, "checkpoints")
RESUME_FROM = os.environ.get("STOKER_RESUME_FROM") or None
STOP_FILE = os.environ.get("STOKER_STOP_FILE") or None

CHECKPOINTED = 85  # the exit code that says: I saved my work, start me again

_stop_signal = False


def fail(sentence):
    """Ends the step with a sentence for the person who reads the log."""
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    sys.exit(1)


def import_numpy():
    try:
        import numpy
    except ImportError:
        fail(f"{sys.executable} has no numpy; on Debian and Ubuntu install it with: apt install python3-numpy")
    return numpy


def _on_stop(_number, _frame):
    global _stop_signal
    _stop_signal = True


def watch_for_stop():
    """From now on SIGTERM no longer ends the program; stop_asked() tells of it at the next good moment."""
    signal.signal(signal.SIGTERM, _on_stop)


def stop_asked():
    return _stop_signal or (STOP_FILE is not None and os.path.exists(STOP_FILE))


def write_whole(path, write):
    """Makes `path` by calling write(file): readers see the old file or the whole new one, also after a power cut."""
    temporary = path + ".tmp"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(temporary, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _append(variable, line):
    path = os.environ.get(variable)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def metric(**values):
    _append("STOKER_METRICS", json.dumps(values))


def output(key, value):
    _append("STOKER_OUTPUT", f"{key}={value}")
