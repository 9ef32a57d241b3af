"""What the end-to-end stories share: a sandbox with a state folder of its own, ways to start stoker and to wait for a
condition, the processes of a run as /proc shows them, and TAP.

A story is a function that takes a Sandbox; its title is a claim:

    @story("a step that fails is tried again")
    def retried(box): ...

    if __name__ == "__main__":
        main()

Only processes that a sandbox started are ever signalled. They are known by the sandbox's path, which is in the
environment or on the command line of each of them, or because they live on a host that it made (lab.py). They are
signalled through a pidfd, so that a process id that was given to somebody else meanwhile is never hit.

Environment: STOKER_BUILD (folder with stoker and stoker-agent), STOKER_SOURCE (the source), STOKER_TEST_QUICK=1
(shorter), STOKER_TEST_STRICT=1 (a skip fails), STOKER_TEST_SEED=N (repeat), STOKER_TEST_KEEP=1 (leave sandboxes).
"""

import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("STOKER_BUILD") or os.getcwd())
SOURCE = os.path.abspath(os.environ.get("STOKER_SOURCE") or os.path.join(HERE, "..", ".."))
STOKER = os.path.join(BUILD, "stoker")
QUICK = os.environ.get("STOKER_TEST_QUICK") == "1"
STRICT = os.environ.get("STOKER_TEST_STRICT") == "1"
SEED = int(os.environ.get("STOKER_TEST_SEED") or random.SystemRandom().randrange(1, 10**6))
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


F_SETPIPE_SZ = 1031  # fcntl has a name for it since Python 3.10


def small_pipe():
    """Both ends of a pipe that is full soon."""
    read, write = os.pipe()
    fcntl.fcntl(write, F_SETPIPE_SZ, 4096)
    return read, write


class Failed(Exception):
    """What the story claims is not so."""


class Skip(Exception):
    """Something that the story needs is not there."""


def check(condition, claim):
    if not condition:
        raise Failed(claim)


def equal(got, want, what):
    if got != want:
        raise Failed(f"{what}: {got!r}, expected {want!r}")


def has(text, part, what):
    if part.lower() not in text.lower():
        raise Failed(f"{what} does not say {part!r}:\n{text[-3000:]}")


def is_sanitized():
    with open(STOKER, "rb") as file:
        return b"__asan_init" in file.read()


SLOW = 4 if os.path.exists(STOKER) and is_sanitized() else 1


def need_numpy():
    """For stories that train the demo."""
    if subprocess.run([PYTHON, "-c", "import numpy"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        raise Skip(f"{PYTHON} has no numpy")
    if not os.path.exists("/usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz"):
        raise Skip("the data set of python3-sklearn is not installed")


def wait_for(condition, what, timeout=30, every=0.03):
    """Calls condition() until it gives something true, and returns that."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {timeout * SLOW} s in vain: {what}")
        time.sleep(every)


def happens(condition, seconds, every=0.03):
    """Whether condition() comes true within that time; for what may happen or not."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


# --- processes --------------------------------------------------------------------------------------------------------


def read_bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


class Process:
    """A process, told from any other that has the same number by its start time."""

    def __init__(self, pid):
        self.pid = pid
        self.start = self._stat()[2]

    def _stat(self):
        """State, parent and start time; ("", 0, "") when it is gone."""
        text = read_bytes(f"/proc/{self.pid}/stat").decode(errors="replace")
        fields = text.rpartition(")")[2].split()
        return (fields[0], int(fields[1]), fields[19]) if len(fields) > 19 else ("", 0, "")

    def alive(self):
        state, _parent, start = self._stat()
        return start != "" and start == self.start and state not in ("Z", "X", "")

    @property
    def parent(self):
        return self._stat()[1]

    @property
    def environ(self):
        return read_bytes(f"/proc/{self.pid}/environ")

    @property
    def words(self):
        return read_bytes(f"/proc/{self.pid}/cmdline").decode(errors="replace").split("\0")[:-1]

    @property
    def program(self):
        try:
            return os.path.basename(os.readlink(f"/proc/{self.pid}/exe").removesuffix(" (deleted)"))
        except OSError:
            return ""

    def has_variable(self, name, value):
        return f"{name}={value}".encode() in self.environ.split(b"\0")

    def signal(self, number):
        """True when it got the signal. The pidfd is opened first and the start time compared after it."""
        try:
            fd = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(fd, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)

    def signal_group(self, number):
        """To the group that it leads."""
        try:
            if not self.alive() or os.getpgid(self.pid) != self.pid:
                return False
            os.killpg(self.pid, number)
            return True
        except (ProcessLookupError, PermissionError):
            return False

    def __repr__(self):
        return f"{self.program or '?'}[{self.pid}]"


def all_processes():
    return [Process(int(name)) for name in os.listdir("/proc") if name.isdigit()]


# --- the sandbox ------------------------------------------------------------------------------------------------------


class Result:
    def __init__(self, words, code, out, err):
        self.words, self.code, self.out, self.err = words, code, out, err
        self.text = out + err

    def __repr__(self):
        return f"`stoker {' '.join(self.words)}` ended with {self.code}:\n{self.out[-2000:]}{self.err[-2000:]}"


class Background:
    """`stoker ...` running beside the test, in a session of its own; its output goes to two files."""

    def __init__(self, box, words, number):
        self.words = words
        self.out_path = os.path.join(box.path, f"background-{number}.out")
        self.err_path = os.path.join(box.path, f"background-{number}.err")
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen([*box.prefix, box.program, *words], cwd=box.dags, env=box.env, stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=err, start_new_session=True)
        self.process = Process(self.popen.pid)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        check(self.running(), f"stoker {' '.join(self.words)} had ended already: {self.text}")
        self.popen.send_signal(number)

    def kill(self):
        """SIGKILL, and waits until it is gone."""
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def wait(self, timeout=120):
        """Its exit code."""
        try:
            return self.popen.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise Failed(f"stoker {' '.join(self.words)} still runs after {timeout * SLOW} s:\n{self.text}") from None

    @property
    def text(self):
        return (read_bytes(self.out_path) + read_bytes(self.err_path)).decode(errors="replace")


class Sandbox:
    def __init__(self, name):
        self.path = tempfile.mkdtemp(prefix=f"stoker-{name}.")
        self.home = os.path.join(self.path, "home")
        self.dags = os.path.join(self.path, "dags")
        os.mkdir(self.dags)
        self.env = {
            "HOME": self.path,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "STOKER_HOME": self.home,
            "LANG": "C.UTF-8",
            "TMPDIR": self.path,
        }
        for name_ in os.environ:
            if name_.endswith("SAN_OPTIONS"):
                self.env[name_] = os.environ[name_]
        self.backgrounds = []
        self.witnesses = []  # processes that a story found and that must be gone in the end
        self.mounts = []
        self.program = STOKER
        self.prefix = []  # stands before stoker's command line: where it is to run (lab.py)
        self.labs = []  # hosts with processes of this sandbox, and what must be closed in the end

    def open_to_others(self):
        """The sandbox may be entered by every user, and has a stoker of its own: where it was built may be closed."""
        os.chmod(self.path, 0o755)
        folder = os.path.join(self.path, "bin")
        os.mkdir(folder)
        for name in ("stoker", "stoker-agent"):
            shutil.copy(os.path.join(BUILD, name), folder)
            os.chmod(os.path.join(folder, name), 0o755)
        self.program = os.path.join(folder, "stoker")

    # --- files

    def file(self, name, text, mode=0o644):
        """Writes a file into the folder of the DAGs and returns its path."""
        path = os.path.join(self.dags, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, mode)
        return path

    def read(self, name):
        with open(os.path.join(self.dags, name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def lines(self, name):
        path = os.path.join(self.dags, name)
        return self.read(name).splitlines() if os.path.exists(path) else []

    def exists(self, name):
        return os.path.exists(os.path.join(self.dags, name))

    def example(self, name):
        """Copies a folder of configs/examples; the source may be read-only, the copy is not."""
        source = os.path.join(SOURCE, "configs", "examples", name)
        target = os.path.join(self.dags, name)
        os.mkdir(target)
        for entry in sorted(os.listdir(source)):
            if os.path.isfile(os.path.join(source, entry)):
                shutil.copyfile(os.path.join(source, entry), os.path.join(target, entry))
        return target

    # --- stoker

    def stoker(self, *words, code=None, timeout=60, env=None):
        """Runs it to its end. `code` is the exit status it must have."""
        words = [str(word) for word in words]
        try:
            done = subprocess.run([*self.prefix, self.program, *words], cwd=self.dags, env={**self.env, **(env or {})},
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=timeout * SLOW, check=False)
        except subprocess.TimeoutExpired as late:
            said = ((late.stdout or b"") + (late.stderr or b"")).decode(errors="replace")
            raise Failed(f"`stoker {' '.join(words)}` still runs after {timeout * SLOW} s:\n{said}") from None
        result = Result(words, done.returncode, done.stdout.decode(errors="replace"),
                        done.stderr.decode(errors="replace"))
        if code is not None and result.code != code:
            raise Failed(f"expected exit status {code}, but {result!r}")
        return result

    def start(self, *words):
        """Starts it in the background."""
        background = Background(self, [str(word) for word in words], len(self.backgrounds))
        self.backgrounds.append(background)
        return background

    def json(self, *words):
        result = self.stoker(*words, "--json", code=0)
        try:
            return json.loads(result.out)
        except ValueError as error:
            raise Failed(f"no JSON ({error}) from {result!r}") from None

    def log(self, run, task, *words):
        """The bytes of a log."""
        done = subprocess.run([*self.prefix, self.program, "logs", run, task, *words], cwd=self.dags, env=self.env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=120 * SLOW, check=False)
        if done.returncode != 0:
            raise Failed(f"stoker logs {run} {task}: status {done.returncode}: {done.stderr.decode()}")
        return done.stdout

    def runs(self):
        return self.json("runs")["runs"] if os.path.exists(os.path.join(self.home, "stoker.db")) else []

    def has_run(self, run):
        """Also while the very first run is still making the database; that moment has a story of its own."""
        return self.stoker("status", run).code == 0

    def status(self, run):
        return self.json("status", run)

    def task(self, run, name):
        for task in self.status(run)["tasks"]:
            if task["task"] == name:
                return task
        raise Failed(f"{run} has no task {name}")

    def workers(self):
        return self.json("workers")["workers"]

    def attempts(self, run, task):
        return self.task(run, task)["attempts"]

    def wait_running(self, run, task, attempt=None, timeout=30):
        """Waits until an attempt of the task (that one, where a number is given) runs; returns it."""

        def running():
            if not self.has_run(run):
                return None
            for one in self.attempts(run, task):
                if one["state"] == "running" and attempt in (None, one["number"]):
                    return one
            return None

        return wait_for(running, f"{run} {task}: attempt {attempt or ''} runs", timeout)

    def wait_state(self, run, state, task=None, timeout=60):
        """Waits until the run (or its task) is in that state."""

        def there():
            return self.has_run(run) and (self.task(run, task) if task else self.status(run))["state"] == state

        wait_for(there, f"{run} {task or ''} is {state}", timeout)

    # --- processes of a run

    def processes(self):
        """All that belong to this sandbox, stoker and what it started alike."""
        mark = self.path.encode()
        me = os.getpid()
        found = []
        for process in all_processes():
            if process.pid != me and (mark in process.environ or any(self.path in word for word in process.words)):
                if process.alive():
                    found.append(process)
        known = {process.pid for process in found}
        return found + [process for lab in self.labs for process in lab.processes() if process.pid not in known]

    def of_step(self, task, run=None):
        """The step and its descendants."""
        return [p for p in self.processes() if p.has_variable("STOKER_TASK", task)
                and (run is None or p.has_variable("STOKER_RUN", run)) and not p.program.startswith("stoker")]

    def step(self, task, run=None):
        """The process that stoker started for the step; None when there is none."""
        family = self.of_step(task, run)
        pids = {process.pid for process in family}
        leaders = [process for process in family if process.parent not in pids]
        return leaders[0] if leaders else None

    def supervisor(self, task, run=None):
        """The process that started the step; None when there is none."""
        step = self.step(task, run)
        if step is None:
            return None
        parent = Process(step.parent)
        return parent if parent.program.startswith("stoker-agent") and parent.alive() else None

    def agent(self, background):
        """The agent that a running stoker talks to; None when there is none."""
        for process in self.processes():
            if process.parent == background.pid and process.program.startswith("stoker-agent"):
                return process
        return None

    # --- faults

    def mount_tmpfs(self, path, size):
        """Mounts a small file system there, or skips the story where that is not allowed."""
        os.makedirs(path, exist_ok=True)
        if os.geteuid() != 0:
            raise Skip("mounting a small file system needs root")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", path],
                              stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise Skip(f"cannot mount a tmpfs: {done.stderr.decode().strip()}")
        self.mounts.append(path)

    def remount(self, path, option):
        """Once nothing of a run is left that has a file open there."""
        self.gone(self.processes())
        words = ["mount", "-o", f"remount,{option}", path]
        # A supervisor stays for a moment after its exit was told.
        wait_for(lambda: subprocess.run(words, stderr=subprocess.DEVNULL, check=False).returncode == 0,
                 f"{path} to be remounted {option}")

    # --- the end

    def gone(self, processes, timeout=10):
        """Waits until none of them is left."""
        wait_for(lambda: not any(process.alive() for process in processes),
                 f"gone: {[p for p in processes if p.alive()]}", timeout)

    def stop_all(self):
        for background in self.backgrounds:
            if background.running():
                background.popen.kill()
            background.popen.wait()
        for process in self.witnesses:
            process.signal(signal.SIGKILL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            left = self.processes()
            if not left:
                break
            for process in left:
                process.signal(signal.SIGKILL)
            time.sleep(0.05)

    @staticmethod
    def unmount(path):
        """Who had a file open there is gone, and the system may not have closed it yet."""
        subprocess.run(["mount", "-o", "remount,rw", path], check=False, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while subprocess.run(["umount", path], check=False, stderr=subprocess.DEVNULL).returncode != 0:
            if time.monotonic() > end:
                subprocess.run(["umount", "-l", path], check=False)
                return
            time.sleep(0.02)

    def close(self, keep):
        self.stop_all()
        for lab in reversed(self.labs):
            lab.close()
        if keep:
            print(f"# left for inspection: {self.path}")
            return
        for path in reversed(self.mounts):
            self.unmount(path)
        shutil.rmtree(self.path, ignore_errors=True)

    def tell(self):
        """For a story that failed: what stoker said and thinks."""
        for background in self.backgrounds[-3:]:
            yield f"stoker {' '.join(background.words)} (status {background.popen.poll()}):"
            yield from background.text.splitlines()[-30:]
        for lab in self.labs:
            yield from lab.tell()
        try:
            for row in self.runs()[:3]:
                yield json.dumps(self.status(row["run"]))[:4000]
        except Exception as error:  # whatever broke the story may break this too
            yield f"no status: {error}"


# --- witnesses: what happened, as the steps themselves saw it ---------------------------------------------------------

# Stands before a step's command: takes a lock that the kernel gives back when the process ends, however it ends, and
# writes down what it found. Two attempts at one time are so proven or ruled out, without trust in any clock.
WITNESS = """\
import fcntl, json, os, sys, time
lock = os.open(sys.argv[1] + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    alone = True
except OSError:
    alone = False
folder = os.environ["STOKER_CHECKPOINT_DIR"]
line = {
    "run": os.environ["STOKER_RUN"], "attempt": int(os.environ["STOKER_ATTEMPT"]),
    "fence": int(os.environ["STOKER_FENCE"]), "pid": os.getpid(), "ns": time.monotonic_ns(), "alone": alone,
    "resume_from": os.path.basename(os.environ.get("STOKER_RESUME_FROM", "")),
    "checkpoints": sorted(n for n in os.listdir(folder) if not n.endswith(".tmp")) if os.path.isdir(folder) else [],
}
with open(sys.argv[1], "ab", buffering=0) as file:
    file.write(json.dumps(line).encode() + b"\\n")
os.set_inheritable(lock, True)
os.execv(sys.argv[2], sys.argv[2:])
"""


def witnessed(box, name):
    """The lines that the witness wrote to the file."""
    return [json.loads(line) for line in box.lines(name)]


def check_witness(lines):
    """Never two attempts at a time, fences that grow, and none from zero when there was a checkpoint."""
    for line in lines:
        check(line["alone"], f"two attempts ran at the same time: {line}")
        check(line["resume_from"] or not line["checkpoints"], f"started from zero in spite of checkpoints: {line}")
    by_run = {}
    for line in lines:
        before = by_run.get(line["run"])
        if before:
            check(line["attempt"] > before["attempt"], f"an attempt started twice: {before} {line}")
            check(line["fence"] > before["fence"], f"the fence does not grow: {before} {line}")
        by_run[line["run"]] = line


# --- TAP --------------------------------------------------------------------------------------------------------------

_stories = []


def story(title):
    def add(function):
        _stories.append((title, function))
        return function

    return add


def _diagnose(text):
    for line in str(text).splitlines():
        print(f"# {line}")


def main():
    chosen = [one for one in _stories if len(sys.argv) < 2 or one[1].__name__ in sys.argv[1:]]
    print(f"1..{len(chosen)}", flush=True)
    failures = 0
    for number, (title, function) in enumerate(chosen, 1):
        box = Sandbox(function.__name__)
        started = time.monotonic()
        keep = False
        try:
            function(box)
            print(f"ok {number} - {title}")
        except Skip as reason:
            if STRICT:
                failures += 1
                print(f"not ok {number} - {title}")
                _diagnose(f"skipped, and STOKER_TEST_STRICT=1: {reason}")
            else:
                print(f"ok {number} - {title} # SKIP {reason}")
        except Exception as error:  # a story that breaks in any way has failed; the next one is told all the same
            failures += 1
            keep = os.environ.get("STOKER_TEST_KEEP") == "1"
            print(f"not ok {number} - {title}")
            _diagnose(f"{type(error).__name__}: {error}")
            _diagnose("".join(traceback.format_tb(error.__traceback__)))
            for line in box.tell():
                _diagnose(line)
        finally:
            box.close(keep)
        _diagnose(f"{time.monotonic() - started:.1f} s")
        sys.stdout.flush()
    sys.exit(1 if failures else 0)
