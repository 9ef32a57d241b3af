#!/usr/bin/python3
"""Measures stoker beside what the machine can do at best, in one run, and says where a promised limit is missed.

    make bench                                  the table
    make bench BENCHFLAGS=--json                the same as JSON
    bench.py --only chain,log --repeat 5        some of it, more often

Figures are medians of several repetitions, with the lowest and highest beside them. Each bound is measured right
before (or on both sides of) what is compared with it, because a shared machine is not equally fast all the time: trust
the ratios.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime

MIB = 1024 * 1024
BUILD = os.path.abspath(os.environ.get("STOKER_BUILD", "."))
STOKER = os.path.join(BUILD, "stoker")
BOUND = os.path.join(BUILD, "tests/bench/bound")
SHELL = ["/bin/sh", "-c", "true"]
SOURCE = os.path.abspath(os.environ.get("STOKER_SOURCE", os.path.join(os.path.dirname(__file__), "..", "..")))


class Failed(Exception):
    pass


class Skipped(Exception):
    """What is measured cannot be had here."""


# --- running things ---------------------------------------------------------------------------------------------------


def bound(*words, env=None, watch=None, prefix=()):
    """Runs `bound` and returns its report. watch(process) is called in a thread while it runs."""
    with tempfile.TemporaryDirectory(prefix="stoker-bound.") as folder:
        report, said = os.path.join(folder, "report"), os.path.join(folder, "said")
        with open(said, "wb") as errors:
            process = subprocess.Popen([*prefix, BOUND, *map(str, words)],
                                       env={**(env or os.environ), "BOUND_REPORT": report},
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        watcher = threading.Thread(target=watch or (lambda _process: None), args=(process,))
        watcher.start()
        watcher.join()
        process.wait()
        with open(said, encoding="utf-8", errors="replace") as file:
            errors = file.read()[-2000:]
        result = {"status": process.returncode}
        if process.returncode == 0:
            with open(report, encoding="ascii") as file:
                result = json.load(file)
    if result["status"] != 0:
        raise Failed(f"{' '.join(map(str, words))}: status {result['status']}: {errors}")
    return result


class Home:
    """A state folder of its own, beside a folder for DAG files."""

    def __init__(self, parent):
        self.path = tempfile.mkdtemp(dir=parent)
        self.env = {"HOME": self.path, "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                    "STOKER_HOME": os.path.join(self.path, "state"), "LANG": "C.UTF-8"}
        self.labs, self.prefix = [], []  # for lab.py, to which it is a sandbox

    def write(self, name, text):
        path = os.path.join(self.path, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def stoker(self, *words, watch=None):
        return bound("run", STOKER, *words, env=self.env, watch=watch, prefix=self.prefix)

    def json(self, *words):
        result = subprocess.run([STOKER, *words, "--json"], env=self.env, stdout=subprocess.PIPE, check=True)
        return json.loads(result.stdout)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


def status_field(pid, field):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def name_of(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


class Memory:
    """Samples `bound run stoker run ...` while it runs: the scheduler and the agent that it started."""

    def __init__(self, field):
        self.field = field
        self.scheduler = []
        self.agent = []

    def __call__(self, process):
        while process.poll() is None:
            for scheduler in children(process.pid):
                if name_of(scheduler) != "stoker":
                    continue
                self.scheduler.append(status_field(scheduler, self.field))
                for agent in children(scheduler):
                    if name_of(agent).startswith("stoker-agent"):
                        self.agent.append(status_field(agent, self.field))
            time.sleep(0.03)


# --- DAGs to measure with ---------------------------------------------------------------------------------------------


def fan_out(count, head="", concurrency=8, run='"true"'):
    steps = "".join(f"  s{i}: {{run: {run}}}\n" for i in range(count))
    return f"name: fan{count}\nconcurrency: {concurrency}\n{head}steps:\n{steps}"


def chain(count, head="", run="true"):
    steps = "".join(f'  s{i}: {{{f"needs: [s{i - 1}], " if i > 0 else ""}run: {run}}}\n' for i in range(count))
    return f"name: chain{count}\n{head}steps:\n{steps}"


def realistic(count):
    """What people write, as far as 1 MiB allows: parameters, scripts, a graph with depth."""
    lines = ["name: large", "params: {lr: 0.01}", "defaults: {retry: {max: 2, backoff: 30s}}", "steps:"]
    for i in range(count):
        needs = f", needs: [s{i - 7}, s{i - 3}]" if i >= 7 else ""
        lines.append(f"  s{i}: {{run: 'sh t.sh {i} ${{{{ params.lr }}}}', timeout: 10m{needs}}}")
    text = "\n".join(lines) + "\n"
    if len(text) > MIB:
        raise Failed(f"a DAG of {count} steps has {len(text)} bytes; 1 MiB is the limit")
    return text


# --- the table --------------------------------------------------------------------------------------------------------


class Row:
    def __init__(self, name, unit, values, bound_name=None, bounds=(), limit=None, worse=">", of="value", note=""):
        """`limit` is a number for the value, or for the ratio to the bound when of="ratio"; worse says what misses."""
        self.name, self.unit, self.values = name, unit, list(values)
        self.bound_name, self.bounds = bound_name, list(bounds)
        self.limit, self.worse, self.of, self.note = limit, worse, of, note
        self.value = statistics.median(self.values)
        self.bound = statistics.median(self.bounds) if self.bounds else None
        self.ratio = self.value / self.bound if self.bound else None
        against = {"value": self.value, "ratio": self.ratio,
                   "beyond": self.value - self.bound if self.bound is not None else None}[of]
        self.missed = limit is not None and (against > limit if worse == ">" else against < limit)

    def limit_text(self):
        if self.limit is None:
            return ""
        sign = "<=" if self.worse == ">" else ">="
        tail = {"value": f" {self.unit}", "ratio": " x bound", "beyond": f" {self.unit} beyond"}[self.of]
        return f"{sign} {self.limit:g}{tail}"

    def as_json(self):
        return {"name": self.name, "unit": self.unit, "median": self.value, "values": self.values,
                "bound": self.bound_name, "bound_median": self.bound, "bound_values": self.bounds,
                "ratio": self.ratio, "limit": self.limit_text() or None, "missed": self.missed,
                "note": self.note or None}


def figure(value):
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def print_table(rows, out):
    head = ("what", "median", "low..high", "bound", "ratio", "limit", "")
    lines = [head]
    for row in rows:
        lines.append((f"{row.name}", f"{figure(row.value)} {row.unit}",
                      f"{figure(min(row.values))}..{figure(max(row.values))}" if len(row.values) > 1 else "",
                      f"{figure(row.bound)} {row.bound_name}" if row.bound is not None else "",
                      f"{row.ratio:.2f}" if row.ratio else "", row.limit_text(),
                      "MISSED" if row.missed else "ok" if row.limit is not None else ""))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip(), file=out)
    for row in rows:
        if row.note:
            print(f"  {row.name}: {row.note}", file=out)


# --- what is measured -------------------------------------------------------------------------------------------------


def tasks_done(home, run, count):
    done = sum(task["state"] == "succeeded" for task in home.json("status", run)["tasks"])
    if done != count:
        raise Failed(f"{run}: {done} of {count} tasks succeeded")


def bench_fan(parent, repeat):
    home = Home(parent)
    small, large = home.write("fan1000.yaml", fan_out(1000)), home.write("fan10000.yaml", fan_out(10000))
    bounds, beside, no_shell, small_ms, large_ms, scheduler, agent = [], [], [], [], [], [], []

    def spawn(*words):
        """Milliseconds for each of 2,000."""
        return bound("spawn", 2000, 8, *words)["seconds"] / 2

    for i in range(repeat):
        bounds.append(spawn(*SHELL))
        no_shell.append(spawn("/bin/true"))
        small_ms.append(home.stoker("run", small)["seconds"])
        tasks_done(home, f"fan1000/{i + 1}", 1000)
    for i in range(max(1, repeat // 3)):
        memory = Memory("VmHWM")
        before = spawn(*SHELL)
        large_ms.append(home.stoker("run", large, watch=memory)["seconds"] / 10)
        beside.append((before + spawn(*SHELL)) / 2)
        tasks_done(home, f"fan10000/{i + 1}", 10000)
        scheduler.append(max(memory.scheduler, default=0) / MIB)
        agent.append(max(memory.agent, default=0) / MIB)
    status = [home.stoker("status")["seconds"] * 1000 for _ in range(15)]
    process = [bound("run", "/bin/true")["seconds"] * 1000 for _ in range(15)]
    size = home.json("runs")["runs"]
    home.remove()
    if not all(scheduler) or not all(agent):
        raise Failed("scheduler or agent was not found in /proc")
    name = "spawn sh -c true, 8 at once"
    return [
        Row("fan-out of 10,000, concurrency 8", "ms/task", large_ms, name, beside, 3, ">", "ratio",
            f"{1000 / statistics.median(large_ms):.0f} tasks/s; the bound does "
            f"{1000 / statistics.median(beside):.0f}/s, with /bin/true {1000 / statistics.median(no_shell):.0f}/s"),
        Row("fan-out of 1,000, concurrency 8", "ms/task", small_ms, name, bounds),
        Row("10 times the tasks take", "times", [statistics.median(large_ms) * 10 / statistics.median(small_ms)],
            limit=11),
        Row("scheduler, peak RSS in it", "MiB", scheduler, limit=48),
        Row("agent, peak RSS in it", "MiB", agent),
        Row("stoker status, a new process", "ms", status, "spawn /bin/true", process, 5,
            note=f"with {len(size)} runs of 1,000 and 10,000 tasks in the database"),
    ]


def bench_chain(parent, repeat):
    home = Home(parent)
    path = home.write("chain.yaml", chain(200))
    bounds, values, commits = [], [], []
    for i in range(repeat):
        bounds.append(bound("spawn", 400, 1, *SHELL)["seconds"] / 400 * 1000)
        commits.append(bound("commit", 1000, os.path.join(home.path, f"commit{i}.db"))["seconds"])
        values.append(home.stoker("run", path)["seconds"] / 200 * 1000)
        tasks_done(home, f"chain200/{i + 1}", 200)
    home.remove()
    return [
        Row("chain of 200", "ms/task", values, "spawn sh -c true, one by one", bounds, 2, ">", "beyond",
            "start and end of stoker itself are in it"),
        Row("one SQLite commit with its fsync", "ms", commits),
    ]


def bench_idle(parent, repeat):
    home = Home(parent)
    path = home.write("idle.yaml", "name: idle\nsteps:\n  wait: {run: sleep 3}\n")
    memory = Memory("VmRSS")
    home.stoker("run", path, watch=memory)
    home.remove()
    if not memory.scheduler or not memory.agent:
        raise Failed("scheduler or agent was not found in /proc")
    return [
        Row("scheduler, idle RSS", "MiB", [statistics.median(memory.scheduler) / MIB], limit=10),
        Row("agent, idle RSS", "MiB", [statistics.median(memory.agent) / MIB]),
    ]


def bench_validate(parent, repeat):
    home = Home(parent)
    rows = []
    for count, limit_ms, limit_mib in ((1000, None, None), (10000, 60, 40)):
        path = home.write(f"large{count}.yaml", realistic(count))
        copies = [bound("run", "cat", path)["seconds"] * 1000 for _ in range(3 * repeat)]
        reports = [home.stoker("validate", path) for _ in range(3 * repeat)]
        rows.append(Row(f"validate {count:,} steps", "ms", [r["seconds"] * 1000 for r in reports], "cat", copies,
                        limit_ms))
        rows.append(Row(f"validate {count:,} steps, peak RSS", "MiB", [r["rss_peak_bytes"] / MIB for r in reports],
                        limit=limit_mib))
    home.remove()
    return rows


def bench_log(parent, repeat):
    home = Home(parent)
    count = 10**9
    path = home.write("log.yaml", f"name: log\nsteps:\n  print:\n    run: [{json.dumps(BOUND)}, print, '{count}']\n")
    values, bounds = [], []
    for i in range(max(2, repeat // 2)):
        one, two = os.path.join(home.path, "one"), os.path.join(home.path, "two")
        bounds.append(count / 1e6 / bound("copy", count, one, two)["seconds"])
        os.unlink(one)
        os.unlink(two)
        values.append(count / 1e6 / home.stoker("run", path)["seconds"])
        kept = home.json("status", f"log/{i + 1}")["tasks"][0]["attempts"][0]["log_bytes"]
        if kept != count:
            raise Failed(f"log/{i + 1}: {kept} bytes of log, {count} were printed")
        shutil.rmtree(os.path.join(home.env["STOKER_HOME"], "runs"))
    home.remove()
    # A disk that copies a file at less than the promised rate cannot keep the promise; then the copy is the measure.
    slow = statistics.median(bounds) < 400
    return [Row("log of 1 GB", "MB/s", values, "copy of a file", bounds, 1 if slow else 400, "<",
                "ratio" if slow else "value",
                "this disk copies a file at less than 400 MB/s, so the copy is the limit" if slow else "")]


# --- over ssh: an sshd in a network namespace of its own, on this machine ---------------------------------------------


def seconds_of(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Ssh:
    """A host with sshd, and DAGs that run there or here."""

    def __init__(self, parent):
        sys.path.insert(0, os.path.join(SOURCE, "tests", "e2e"))
        try:
            from lab import NO_NAMESPACES, Lab
            from lib import Skip
        finally:
            sys.path.pop(0)
        if NO_NAMESPACES:
            raise Skipped(f"hosts in namespaces: {NO_NAMESPACES}")
        self.home = Home(parent)
        os.chmod(self.home.path, 0o755)
        try:
            self.lab = Lab(self.home, 1)
        except Skip as reason:
            raise Skipped(str(reason)) from None
        self.host = self.lab["h1"]
        self.lab.settings()
        self.heads = {"h1": f"workdir: {self.host.remote_home}\ndefaults: {{worker: h1}}\n",
                      "local": "defaults: {worker: local}\n"}
        self.last = None
        self.control = os.path.join(self.home.path, "control")
        self.master = None

    def run(self, worker, make, count, **options):
        """Milliseconds for each of `count` tasks, from the start of stoker to its end, connecting and all."""
        path = self.home.write(f"{worker}.yaml", make(count, self.heads[worker], **options))
        report = self.home.stoker("run", path)
        self.last = self.home.json("runs")["runs"][0]["run"]
        tasks_done(self.home, self.last, count)
        return report["seconds"] / count * 1000

    def working(self):
        """Of the last run: milliseconds for each task, from the start of the first to the end of the last."""
        tasks = self.home.json("status", self.last)["tasks"]
        began, ended = (min(task["started"] for task in tasks), max(task["ended"] for task in tasks))
        return (seconds_of(ended) - seconds_of(began)) / len(tasks) * 1000

    def connect(self):
        """The connection that `each` uses, as people share one."""
        self.master = subprocess.Popen(self.lab.ssh_words("-M", "-S", self.control, "-N", "h1"),
                                       stdin=subprocess.DEVNULL)
        for _ in range(300):
            if os.path.exists(self.control):
                return
            time.sleep(0.05)
        raise Failed("ssh does not connect")

    def each(self, count):
        """Milliseconds for each of `count` commands by an ssh of its own, 8 at a time, over one connection."""
        words = self.lab.ssh_words("-S", self.control, "h1", "true")[len(self.lab.prefix):]
        return bound("spawn", count, 8, *words, prefix=self.lab.prefix)["seconds"] / count * 1000

    def close(self):
        if self.master is not None:
            self.master.terminate()
            self.master.wait()
        self.lab.close()
        self.home.remove()


def bench_ssh(parent, repeat):
    ssh = Ssh(parent)
    fan, here, each, chained, chained_here, far, near = [], [], [], [], [], [], []
    try:
        ssh.connect()
        ssh.run("h1", fan_out, 8)  # the agent is sent once, for ever
        for _ in range(repeat):
            each.append(ssh.each(400))
            here.append(ssh.run("local", fan_out, 2000))
            fan.append(ssh.run("h1", fan_out, 2000))
            chained_here.append(ssh.run("local", chain, 1000))
            chained.append(ssh.run("h1", chain, 1000))
        for _ in range(repeat):
            # The wire of the lab takes its share of the processors: it stands in both, once with hardly a delay.
            ssh.host.shape(rtt_ms=0.01)
            ssh.run("h1", fan_out, 2000, concurrency=128)
            near.append(ssh.working())
            ssh.host.shape(rtt_ms=20)
            ssh.run("h1", fan_out, 2000, concurrency=128)
            far.append(ssh.working())
        ssh.host.unshape()
    finally:
        ssh.close()
    return [
        Row("fan-out of 2,000 over ssh, concurrency 8", "ms/task", fan, "the same locally", here, 1.3, ">", "ratio",
            f"{1000 / statistics.median(fan):.0f} tasks/s, connecting and all"),
        Row("the same beside one ssh exec each", "ms/task", fan, "ssh, ControlMaster, 8 at once", each, 0.4, ">",
            "ratio", f"ssh does {1000 / statistics.median(each):.0f}/s"),
        Row("chain of 1,000 over ssh", "ms/task", chained, "the same locally", chained_here, 1.5, ">", "beyond"),
        Row("fan-out of 2,000, 20 ms away, concurrency 128", "ms/task", far, "the same, near", near, 1.5, ">", "ratio",
            "without connecting; a third of the rate lost is 1.5 times the time"),
    ]


def beside(first=""):
    """60 steps that start one after the other, for about as long as what they stand beside takes."""
    return "".join(f"  s{i}: {{needs: [{first if i == 0 else f's{i - 1}'}], run: sleep 0.05}}\n" for i in range(60))


def latest_start(ssh, run):
    """Milliseconds from the decision to the process, of the latest of those beside."""
    tasks = [(task["started"], task["attempts"][0]["started"]) for task in ssh.home.json("status", run)["tasks"]
             if re.fullmatch(r"s\d+", task["task"])]
    if len(tasks) != 60:
        raise Failed(f"{run}: {len(tasks)} steps beside it")
    return max((seconds_of(began) - seconds_of(decided)) * 1000 for decided, began in tasks)


def log_bytes(ssh, run, task):
    return next(each for each in ssh.home.json("status", run)["tasks"] if each["task"] == task)["attempts"][0]["log_bytes"]


def through(transport):
    """For the name of a row: libssh2 is what a worker gets that says nothing of it."""
    return "" if transport == "libssh2" else f", transport: {transport}"


def bench_sshlog(parent, repeat):
    ssh = Ssh(parent)
    count = 10**9
    found, bounds, number = {"libssh2": ([], [], []), "openssh": ([], [], [])}, [], 0
    head = f"{ssh.heads['h1']}steps:\n  print: {{run: [./bound, print, '{count}']}}\n"
    try:
        ssh.host.own_disk()
        shutil.copy(BOUND, os.path.join(ssh.host.home, "bound"))
        ssh.run("h1", fan_out, 8)
        alone, crowded = ssh.home.write("alone.yaml", head), ssh.home.write("crowded.yaml", head + beside())
        plain = ssh.lab.ssh_words("h1", f"./bound print {count}")[len(ssh.lab.prefix):]
        for _ in range(max(2, repeat // 2)):
            bounds.append(count / 1e6 / bound("run", *plain, prefix=ssh.lab.prefix)["seconds"])
            for transport, (values, starts, scheduler) in found.items():
                ssh.lab.settings(every={"transport": transport})
                memory = Memory("VmHWM")
                values.append(count / 1e6 / ssh.home.stoker("run", alone, watch=memory)["seconds"])
                scheduler.append(max(memory.scheduler, default=0) / MIB)
                ssh.home.stoker("run", crowded)
                number += 1
                kept = log_bytes(ssh, f"crowded/{number}", "print")
                if kept != count:
                    raise Failed(f"crowded/{number}: {kept} bytes of log, {count} were printed")
                starts.append(latest_start(ssh, f"crowded/{number}"))
                shutil.rmtree(os.path.join(ssh.home.env["STOKER_HOME"], "runs"))
    finally:
        ssh.close()
    rows = []
    for transport, (values, starts, scheduler) in found.items():
        rows += [
            Row(f"log of 1 GB over ssh{through(transport)}", "MB/s", values, "ssh HOST, to nowhere", bounds, 0.6, "<",
                "ratio"),
            Row("start of a task meanwhile, the latest of 60", "ms", starts, limit=250,
                note="from the decision to the process"),
            Row("scheduler, peak RSS in it", "MiB", scheduler, limit=64),
        ]
    return rows


class Arrival:
    """Waits beside a run for a file to come from another machine: seconds from its first byte to its place, and by how
    much a log, if there is one, grew in that time."""

    def __init__(self, folder, log=None):
        self.folder, self.log = folder, log
        self.seconds, self.log_bytes = None, 0

    def log_size(self):
        return os.path.getsize(self.log) if self.log is not None and os.path.exists(self.log) else 0

    def __call__(self, process):
        began, before = None, 0
        while process.poll() is None and self.seconds is None:
            names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
            if began is None and names:
                began, before = time.monotonic(), self.log_size()
            if any(not name.endswith(".part") for name in names):
                self.seconds, self.log_bytes = time.monotonic() - began, self.log_size() - before
            time.sleep(0.01)


def both(one, two):
    def watch(process):
        beside = threading.Thread(target=one, args=(process,))
        beside.start()
        two(process)
        beside.join()
    return watch


def bench_sshcopy(parent, repeat):
    ssh = Ssh(parent)
    found, bounds, number = {"libssh2": ([], [], [], []), "openssh": ([], [], [], [])}, [], 0
    state = ssh.home.env["STOKER_HOME"]
    fetched = os.path.join(state, "parcels", "fetched")
    printed, pace = 800 * 10**6, 100 * 10**6  # by a step that talks while the file comes

    def fetch(name, count, scheduler, more="", log=None):
        dag = ssh.home.write(f"{name}.yaml", f"workdir: {ssh.host.remote_home}\ndefaults: {{worker: h1}}\nsteps:\n"
                             f"  make: {{artifacts: [big], run: ./bound print {count} >big}}\n"
                             f"  use: {{needs: [make], worker: local, run: rm big}}\n{more}")
        memory, arrival = Memory("VmHWM"), Arrival(fetched, log)
        ssh.home.stoker("run", dag, watch=both(memory, arrival))
        if arrival.seconds is None:
            raise Failed("the artifact did not come")
        scheduler.append(max(memory.scheduler, default=0) / MIB)
        shutil.rmtree(fetched)
        return (count + arrival.log_bytes) / 1e6 / arrival.seconds

    try:
        ssh.host.own_disk()
        shutil.copy(BOUND, os.path.join(ssh.host.home, "bound"))
        ssh.run("h1", fan_out, 8)
        count = 1024 * MIB
        for _ in range(max(2, repeat)):
            for transport, (values, busy, starts, scheduler) in found.items():
                ssh.lab.settings(every={"transport": transport})
                number += 1
                count += 2  # never the same bytes again, or they would not be sent
                values.append(fetch("copy", count, scheduler))
                run = f"busy/{number}"
                talk = f"  print: {{needs: [make], run: ./bound print {printed} {pace}}}\n"
                busy.append(fetch("busy", count + 1, scheduler, talk + beside("make"),
                                  os.path.join(state, "runs", run, "print.1.log")))
                starts.append(latest_start(ssh, run))
                kept = log_bytes(ssh, run, "print")
                if kept != printed:
                    raise Failed(f"{run}: {kept} bytes of log, {printed} were printed")
                shutil.rmtree(os.path.join(state, "runs"))
            plain = ssh.lab.ssh_words("h1", "cat big")[len(ssh.lab.prefix):]
            bounds.append(count / 1e6 / bound("run", *plain, prefix=ssh.lab.prefix)["seconds"])
    finally:
        ssh.close()
    rows = []
    for transport, (values, busy, starts, scheduler) in found.items():
        rows += [
            Row(f"artifact of 1 GiB over ssh{through(transport)}", "MB/s", values, "ssh HOST cat, to nowhere", bounds, 0.6,
                "<", "ratio", "from its first byte to verified and on the disk"),
            Row("the same and 100 MB/s of log", "MB/s", busy, "ssh HOST cat, to nowhere", bounds, 0.6, "<", "ratio",
                "both together, while the artifact comes"),
            Row("start of a task meanwhile, the latest of 60", "ms", starts, limit=250,
                note="from the decision to the process"),
            Row("scheduler, peak RSS in it", "MiB", scheduler, limit=64),
        ]
    return rows


# --- years of runs in the database --------------------------------------------------------------------------------------


def bench_reads(parent, repeat):
    """Each reading command as a new process, beside 100,000 runs of 200 DAGs with 1,000,000 tasks."""
    sys.path.insert(0, os.path.join(SOURCE, "tests", "bench"))
    from fill import fill
    home = Home(parent)
    home.stoker("run", home.write("hello.yaml", "name: hello\nsteps:\n  say: {run: echo hello}\n"))
    fill(home.env["STOKER_HOME"])
    rows = []
    for name, words in (
            ("status", ["status"]), ("status RUN", ["status", "dag007/300"]), ("runs", ["runs"]),
            ("runs DAG", ["runs", "dag007"]), ("runs --state", ["runs", "--state", "failed"]),
            ("why RUN", ["why", "dag007/407"]), ("events", ["events"]), ("events RUN", ["events", "dag007/300"]),
            ("logs", ["logs", "hello/1", "say"]), ("checkpoints", ["checkpoints", "dag007/300", "s5"]),
            ("a write: workers undrain", ["workers", "undrain", "local"])):
        values = [home.stoker(*words)["seconds"] * 1000 for _ in range(5 * repeat)]
        rows.append(Row(f"{name}, 100,000 runs", "ms", values, limit=20))
    size = os.path.getsize(os.path.join(home.env["STOKER_HOME"], "stoker.db")) / MIB
    copy = os.path.join(home.path, "copy")
    rows.append(Row("backup of it", "MiB/s", [size / home.stoker("backup", copy, "--force")["seconds"]
                                              for _ in range(repeat)], note=f"{size:.0f} MiB, checked"))
    rows.append(Row("doctor", "ms", [home.stoker("doctor")["seconds"] * 1000]))
    settings = home.write("stoker.yaml", "retention: {runs: {age: never, most: 490, keep: 490}}\n")
    done = json.loads(subprocess.run([STOKER, "gc", "--json", "--config", settings], env=home.env,
                                     stdout=subprocess.PIPE, check=True).stdout)
    rows.append(Row("gc, longest hold of the database", "ms", [done["longest_turn_us"] / 1000], limit=50,
                    note=f"{done['runs']['count']} runs of ten tasks removed"))
    home.remove()
    return rows


# --- the daemon ---------------------------------------------------------------------------------------------------------


class Serve:
    """`stoker serve`, from its start to its first decision."""

    def __init__(self, home):
        self.began_ms = time.time() * 1000
        # A file: who reads a pipe while something is measured is in its way.
        self.log = os.path.join(home.path, f"serve.{time.monotonic_ns()}.log")
        with open(self.log, "wb") as log:
            # In a session of its own, as service managers start it: Linux shares a processor out by sessions.
            self.process = subprocess.Popen([STOKER, "serve"], env=home.env, stdin=subprocess.DEVNULL,
                                            start_new_session=True, stdout=subprocess.DEVNULL, stderr=log)

    def wait_for(self, event, timeout=60, since=0):
        """The time written in the first line of that event (its first fields may follow), in milliseconds since 1970; from
        that byte of the log on."""
        what, text = f" event={event} ".encode(), b""
        end = time.monotonic() + timeout
        with open(self.log, "rb") as log:
            log.seek(since)
            while time.monotonic() < end:
                ended = self.process.poll()
                text = text[text.rfind(b"\n") + 1:] + log.read()
                at = text.find(what)
                if at >= 0:
                    stamp = text[text.rfind(b"\n", 0, at) + 1:at].split()[0]
                    return seconds_of(stamp.decode("ascii").removeprefix("ts=")) * 1000
                if ended is not None:
                    raise Failed(f"stoker serve ended with {ended}: {text.decode(errors='replace')[-500:]}")
                time.sleep(0.02)
        raise Failed(f"no {event}")

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def crowded_home(parent):
    """200 DAGs on schedules beside 100,000 runs of 1,000,000 tasks."""
    sys.path.insert(0, os.path.join(SOURCE, "tests", "bench"))
    from fill import fill
    home = Home(parent)
    dags = os.path.join(home.path, ".config", "stoker", "dags")
    os.makedirs(dags)
    for i in range(200):
        with open(os.path.join(dags, f"dag{i:03}.yaml"), "w", encoding="ascii") as file:
            file.write(f"name: dag{i:03}\nschedule: '{i % 60} {i % 24} * * *'\nsteps:\n  s0: {{run: 'true'}}\n" + "".join(
                f"  s{k}: {{needs: [s{k - 1}], run: 'true'}}\n" for k in range(1, 10)))
    home.stoker("run", home.write("hello.yaml", "name: hello\nsteps:\n  say: {run: echo hello}\n"))
    fill(home.env["STOKER_HOME"])
    return home


def bench_daemon(parent, repeat):
    import sqlite3
    home = crowded_home(parent)
    serve = Serve(home)
    serve.wait_for("daemon.started")
    serve.stop()
    first, memory, idle = [], [], []
    for i in range(max(3, repeat)):
        with sqlite3.connect(os.path.join(home.env["STOKER_HOME"], "stoker.db")) as db:  # one was missed
            db.execute("UPDATE schedule SET settled_ms = settled_ms - 86400000, since_ms = since_ms - 86400000"
                       " WHERE id = ?", (1 + i,))
        serve = Serve(home)
        first.append(serve.wait_for("schedule.due") - serve.began_ms)
        serve.wait_for("run.ended")
        time.sleep(1)
        before = serve.cpu_seconds()
        time.sleep(10)
        idle.append((serve.cpu_seconds() - before) * 10)
        memory.append(status_field(serve.process.pid, "VmRSS") / MIB)
        serve.stop()
    serve = Serve(home)
    serve.wait_for("daemon.started")
    rows = [Row("serve, 200 DAGs, 100,000 runs: first decision", "ms", first, limit=100),
            Row("serve, memory", "MiB", memory, limit=32), Row("serve, CPU while idle", "%", idle, limit=0.5)]
    for words in (["list"], ["status"], ["runs"]):
        rows.append(Row(f"{words[0]} beside it", "ms", [home.stoker(*words)["seconds"] * 1000 for _ in range(5 * repeat)],
                        limit=20))
    serve.stop()
    home.remove()
    return rows + bench_due(parent)


class Page:
    """A daemon with the page, and those who look at it."""

    def __init__(self, home):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        with open(os.path.join(home.path, ".config", "stoker", "stoker.yaml"), "w", encoding="ascii") as file:
            file.write(f"web: {{listen: '127.0.0.1:{self.port}'}}\n")
        self.home = home
        self.serve = Serve(home)
        self.serve.wait_for("daemon.started")

    def first_byte(self, path):
        """Milliseconds, as a new client."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        began = time.monotonic()
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        took = (time.monotonic() - began) * 1000
        answer.read()
        connection.close()
        return took

    def visit(self):
        """A browser's first one: {"drawn_ms": ..., "bytes": ...}; None: there is no browser, or no modules for it."""
        folder = os.path.join(SOURCE, "tests", "e2e", "page")
        modules = os.environ.get("STOKER_PAGE_MODULES") or os.path.join(folder, "node_modules")
        chromium = os.environ.get("STOKER_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
        if chromium is None or shutil.which("node") is None or not os.path.isdir(os.path.join(modules, "playwright-core")):
            return None
        done = subprocess.run(["node", os.path.join(folder, "drive.js"), "first", f"http://127.0.0.1:{self.port}", "{}"],
                              env={**os.environ, "HOME": self.home.path, "STOKER_PAGE_MODULES": modules,
                                   "STOKER_CHROMIUM": chromium}, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    def crowd(self, path, rounds=100, pause_ms=100):
        """50 clients that all ask at once, ten times a second."""
        return bound("ask", self.port, path, 50, rounds, pause_ms)

    def bytes_of(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        size = len(connection.getresponse().read())
        connection.close()
        return size

    def crowd_at(self, kind, path, rounds, pause_ms=100):
        """The same clients, and a server that has as many bytes as that answer has and sends them: "answer", or "library",
        made with libmicrohttpd."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen([BOUND, kind, str(port), str(self.bytes_of(path))], stdin=subprocess.DEVNULL,
                                  start_new_session=True)
        try:
            for _ in range(100):
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            return bound("ask", port, "/", 50, rounds, pause_ms)
        finally:
            server.terminate()
            server.wait()

    def run(self, dag, number, beside=None):
        """Tasks per second of a run, while those look on who `beside` calls."""
        since = os.path.getsize(self.serve.log)
        self.home.stoker("trigger", dag)
        watcher = threading.Thread(target=beside or (lambda: None))
        watcher.start()
        self.serve.wait_for(f"run.ended run={dag} number={number}", 600, since)
        watcher.join()
        run = self.home.json("status", f"{dag}/{number}")
        if run["state"] != "succeeded":
            raise Failed(f"{dag}/{number} is {run['state']}")
        return len(run["tasks"]) / (seconds_of(run["ended"]) - seconds_of(run["started"]))


LISTS = ("/api/v1/runs", "/api/v1/dags", "/api/v1/events")


def ask_lists(page, found, times=1):
    """Each list by a crowd, and the servers that it is set beside; not always in the same order, as a run has an end."""
    asked = [("stoker", path) for path in LISTS] + [("library", LISTS[0]), ("library", LISTS[1]), ("answer", LISTS[0])]
    time.sleep(0.5)  # a run that was just triggered goes on then
    for _ in range(times):
        turn = len(found.get(asked[-1], ())) % len(asked)
        for kind, path in asked[turn:] + asked[:turn]:
            took = page.crowd(path, rounds=12) if kind == "stoker" else page.crowd_at(kind, path, rounds=12)
            found.setdefault((kind, path), []).append(took)


def crowd_rows(name, found):
    rows = []
    if not all(each["first"] for every in found.values() for each in every):
        name += ", by clients that wait for a processor of this machine too"
    for key, limit in (("p50", 1), ("p99", 10)):
        took = {what: [each[f"{key}_ms"] for each in every] for what, every in found.items()}
        for path in LISTS:
            alone = took.get(("library", path)) or took["library", LISTS[0]]  # that of events is about as small
            rows.append(Row(f"{path}, 50 at once, {key}{name}", "ms", took["stoker", path], "libmicrohttpd alone", alone,
                            limit=limit))
        rows.append(Row(f"a server that does nothing, 50 at once, {key}{name}", "ms", took["answer", LISTS[0]]))
    return rows


def bench_page(parent, repeat):
    """What people see of 200 DAGs and 100,000 runs, and what it costs the run that goes on meanwhile."""
    home = crowded_home(parent)
    for name, text in (("swift", fan_out(10000)), ("slow", fan_out(10000, concurrency=100, run="[sleep, '1']"))):
        with open(os.path.join(home.path, ".config", "stoker", "dags", f"{name}.yaml"), "w", encoding="ascii") as file:
            file.write(text.replace("name: fan10000", f"name: {name}"))
    page = Page(home)
    first, alone, beside, whole = [], [], [], []
    quiet, swift, slow = {}, {}, {}
    try:
        for _ in range(20):
            time.sleep(0.6)  # what was answered is kept for half a second
            first.append(page.first_byte("/api/v1/dags"))
        visits = [visit for visit in (page.visit() for _ in range(5)) if visit is not None]
        for i in range(repeat):
            ask_lists(page, quiet)
            alone.append(page.run("swift", 2 * i + 1))
            beside.append(page.run("swift", 2 * i + 2, lambda: ask_lists(page, swift)))
        for _ in range(3):
            time.sleep(1.1)  # until nothing is kept of it
            whole.append(page.first_byte(f"/api/v1/runs/swift/{2 * repeat}"))
        slow_alone = page.run("slow", 1)
        slow_beside = page.run("slow", 2, lambda: ask_lists(page, slow, times=min(repeat, 8)))
    finally:
        page.serve.stop()
    rows = [Row("first byte of the overview's list, 200 DAGs", "ms", first, limit=20)]
    if visits:
        rows += [Row("first visit, drawn in Chromium", "ms", [visit["drawn_ms"] for visit in visits], limit=1000),
                 Row("first visit, over the wire", "KB", [visit["bytes"] / 1000 for visit in visits], limit=150)]
    rows += [*crowd_rows("", quiet),
             *crowd_rows(", beside 10,000 tasks of 1 s", slow),
             Row("10,000 tasks of 1 s, 100 at once, beside them", "tasks/s", [slow_beside], "without them", [slow_alone],
                 0.9, "<", "ratio"),
             *crowd_rows(", beside 10,000 tasks that fill the processors", swift),
             Row("10,000 tasks of nothing, 8 at once, beside them", "tasks/s", beside, "without them", alone, 0.9, "<",
                 "ratio"),
             Row("that run as a whole", "ms", whole)]
    home.remove()
    return rows


def bench_due(parent):
    """From its due time to the first instruction of a step, beside a daemon that has nothing else to do."""
    home = Home(parent)
    dags = os.path.join(home.path, ".config", "stoker", "dags")
    os.makedirs(dags)
    with open(os.path.join(dags, "due.yaml"), "w", encoding="ascii") as file:
        file.write(f"name: due\nschedule: '* * * * *'\nsteps:\n  a: {{run: date +%s%N >>{home.path}/first}}\n"
                   f"  b: {{needs: [a], run: date +%s%N >>{home.path}/second}}\n")
    serve = Serve(home)
    serve.wait_for("run.ended", 90)
    serve.stop()
    first, second = [int(open(os.path.join(home.path, name), encoding="ascii").read().split()[0]) / 1e6
                     for name in ("first", "second")]
    home.remove()
    return [Row("due time to the first instruction of the step", "ms", [first % 60000], limit=100),
            Row("and from it to that of the next step", "ms", [second - first],
                note="with the end of the first one in it")]


BENCHES = {"reads": bench_reads, "fan": bench_fan, "chain": bench_chain, "idle": bench_idle, "validate": bench_validate, "log": bench_log,
           "ssh": bench_ssh, "sshlog": bench_sshlog, "sshcopy": bench_sshcopy, "daemon": bench_daemon,
           "page": bench_page}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="repetitions (default 3)")
    parser.add_argument("--only", default=",".join(BENCHES), metavar="A,B", help=f"of {', '.join(BENCHES)}")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    unknown = [name for name in names if name not in BENCHES]
    if unknown or arguments.repeat < 1:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "--repeat starts at 1")
    for program in (STOKER, BOUND):
        if not os.access(program, os.X_OK):
            sys.exit(f"bench.py: {program} is not there; run 'make bench', or set STOKER_BUILD")

    rows = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stoker-bench.") as parent:
        for name in names:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            try:
                rows += BENCHES[name](parent, arguments.repeat)
            except Skipped as reason:
                print(f"  left out, for want of {reason}", file=sys.stderr, flush=True)
            except Failed as error:
                sys.exit(f"bench.py: {name}: {error}")
    if arguments.json:
        json.dump({"seconds": time.monotonic() - started, "rows": [row.as_json() for row in rows]}, sys.stdout,
                  indent=2)
        print()
    else:
        print_table(rows, sys.stdout)
    missed = [row.name for row in rows if row.missed]
    if missed:
        print(f"MISSED: {'; '.join(missed)}", file=sys.stderr)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
