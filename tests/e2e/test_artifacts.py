"""`artifacts`: what a step leaves is there for the steps that need it, wherever they run."""

import contextlib
import datetime
import glob
import os

from lab import NO_NAMESPACES, SHARED, Lab
from lib import QUICK, SLOW, Sandbox, Skip, check, equal, has, is_sanitized, main, story, wait_for


class Story:
    """Two hosts and this machine; steps meet in a folder that all of them see. Links that are to be slow are so from
    the start: connections made before may keep to what they knew of the way, and be slower by far."""

    def __init__(self, box, steps, more="source: src\n", rtt_ms=0, slow=("h1", "h2")):
        self.box, self.lab = box, Lab(box, 2)
        self.lab.settings()
        for name in slow if rtt_ms else ():
            box.stoker("workers", "check", name, code=0)  # what is needed there is brought over while it is fast
            self.lab[name].shape(rtt_ms=rtt_ms)
        box.file("src/shared", f"test -d {SHARED} && echo {SHARED} || echo {self.lab.shared}\n")
        box.file("a.yaml", f"name: a\n{more}steps:\n{steps.replace('SHARED', '$(sh shared)')}")
        self.stoker = box.start("run", "a.yaml")

    def host_file(self, name, path, run=1):
        """A file in the run's folder on a host, as the test sees it."""
        found = glob.glob(os.path.join(self.lab[name].home, ".stoker", "runs", f"*-{run}", "work", path))
        check(len(found) == 1, f"{path} on {name}: {found}")
        return found[0]

    def parcels(self, name):
        return glob.glob(os.path.join(self.lab[name].home, ".stoker", "parcels", "*"))

    def fetched(self):
        return glob.glob(os.path.join(self.box.home, "parcels", "fetched", "*"))

    def away(self, name):
        """It answers nobody, and whoever was connected is not any more."""
        self.lab[name].stop_sshd()
        check(self.lab[name].kill_sessions() > 0, "there was a session")

    def back(self, name):
        self.lab[name].start_sshd()

    def touch(self, name):
        with open(os.path.join(self.lab.shared, name), "w", encoding="ascii"):
            pass

    def there(self, name):
        return os.path.exists(os.path.join(self.lab.shared, name))

    def on(self, task, run="a/1"):
        return self.box.attempts(run, task)[-1]["worker"]

    def ends(self, code=0, timeout=120):
        equal(self.stoker.wait(timeout), code, f"the exit status ({self.stoker.text})")

    def log(self, task, run="a/1"):
        return self.box.log(run, task).decode()


def bytes_of(paths):
    """All together; one that has another name by now counts nothing."""
    total = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            total += os.path.getsize(path)
    return total


def wait_there(name):
    """A line of a step's script: waits for a file in the shared folder."""
    return f"while [ ! -e SHARED/{name} ]; do sleep 0.05; done"


@story("what is made on one host is there on the other, and on this machine, and is sent no more than once")
def travels(box: Sandbox):
    it = Story(box, """\
  make:
    worker: h1
    artifacts: [./data/, run.sh, model.bin]
    run: |
      mkdir -p data/deep; echo deep >data/deep/x; ln -s deep/x data/link; echo no >left
      printf '#!/bin/sh\\necho ran\\n' >run.sh; chmod 755 run.sh
      head -c 3000000 /dev/urandom >model.bin; sha256sum model.bin
  there: {needs: [make], worker: h2, run: "cat data/deep/x data/link; ./run.sh; sha256sum model.bin; ls; hostname"}
  again: {needs: [there], worker: h2, run: cat data/link; sha256sum model.bin}
  here: {needs: [again], worker: local, run: "cat data/deep/x data/link; ./run.sh; sha256sum model.bin; ls"}
  home: {needs: [here], worker: h1, run: cat data/link left}
""")
    it.ends()
    digest = it.log("make").strip()
    lines = it.log("there").splitlines()
    equal(lines[:4] + lines[4:8], ["deep", "deep", "ran", digest, "data", "model.bin", "run.sh", "shared"], "on h2")
    equal(it.log("again").splitlines(), ["deep", digest], "once more on h2")
    equal(it.log("here").splitlines(), lines[:8], "here")
    equal(it.log("home").splitlines(), ["deep", "no"], "where it was made")
    equal(len(it.parcels("h2")), 2, "the source and the artifacts were sent there")
    equal(len(it.parcels("h1")), 1, "only the source was sent to where they were made")
    wait_for(lambda: not it.fetched(), "what was fetched to go with the run")


@story("those of all steps before it come, in their order; what was made on both hosts is put together")
def put_together(box: Sandbox):
    it = Story(box, """\
  one: {worker: h1, artifacts: [both, one], run: echo 1 >one; echo 1 >both}
  two: {needs: [one], worker: h2, artifacts: [both, two], run: cat one; echo 2 >two; echo 2 >both}
  three: {needs: [two], worker: local, artifacts: [sub], workdir: ., run: cat one two both; mkdir sub; echo 3 >sub/x}
  four: {needs: [three], worker: h1, run: cat one two both sub/x}
""")
    it.ends()
    equal([it.log(task).split() for task in ("two", "three", "four")],
          [["1"], ["1", "2", "2"], ["1", "2", "2", "3"]], "what each step saw")


@story("what a step was to leave and did not fails it, and says what")
def missing(box: Sandbox):
    it = Story(box, """\
  make: {worker: h1, artifacts: [a, model/best.bin], run: echo a >a}
  use: {needs: [make], worker: h2, run: cat a}
""")
    it.ends(1)
    task = box.task("a/1", "make")
    equal((task["state"], task["reason"]), ("failed", "artifacts"), "the task")
    has(task["message"], "it ended well, but did not leave what it was to leave: artifact model/best.bin: No such file",
        "the message")
    equal(box.task("a/1", "use")["state"], "upstream_failed", "the one after it")
    has(box.stoker("why", "a/1", code=0).out, "artifact model/best.bin", "why")


@story("a file that was changed since is noticed and told; nothing is started with it")
def changed(box: Sandbox):
    it = Story(box, f"""\
  make: {{worker: h1, artifacts: [data], run: echo made >data}}
  gate: {{needs: [make], worker: h1, run: '{wait_there("go")}'}}
  use: {{needs: [make, gate], worker: h2, run: touch SHARED/ran}}
""")
    box.wait_running("a/1", "gate")
    with open(it.host_file("h1", "data"), "w", encoding="ascii") as file:
        file.write("MADE\n")
    it.touch("go")
    it.ends(1)
    message = box.task("a/1", "use")["message"]
    has(message, "the artifacts of make: data is not what the manifest says", "the message")
    has(message, "it was changed since it was made", "the message")
    check(not it.there("ran"), "it was not started")
    with open(it.host_file("h1", "data"), "w", encoding="ascii") as file:
        file.write("made\n")
    box.stoker("retry", "a/1", code=0)
    check(it.there("ran"), "as it was, it is used")


@story("a link that is cut in the middle, again and again, costs nothing but the rest: nothing is run or sent twice")
def cut(box: Sandbox):
    it = Story(box, f"""\
  make:
    worker: h1
    artifacts: [big]
    run: echo x >>SHARED/made; head -c 120000000 /dev/urandom >big; sha256sum big
  gate: {{needs: [make], worker: h1, run: '{wait_there("go")}'}}
  use: {{needs: [gate], worker: h2, run: echo x >>SHARED/used; sha256sum big}}
""", rtt_ms=100)
    box.wait_running("a/1", "gate")
    it.touch("go")
    for name, paths in (("h1", lambda: [p for p in it.fetched() if p.endswith(".part")]),
                        ("h2", lambda: [p for p in it.parcels("h2") if p.endswith(".part")])):
        for part in (1, 2):
            def size():
                return bytes_of(paths())
            wait_for(lambda: size() > part * 8000000, f"a part of it, of {name}", 60)
            before = size()
            check(it.lab[name].kill_sessions() > 0, "there was a session")
            wait_for(lambda: not paths() or size() > before, f"{name} to go on", 60)
            check(not paths() or size() >= before, "what had come is kept")
        it.lab[name].shape()
    it.ends()
    equal(it.log("make"), it.log("use"), "the digest on both hosts")
    equal([box.attempts("a/1", task)[-1]["number"] for task in ("make", "use")], [1, 1], "attempts")
    for name in ("made", "used"):
        with open(os.path.join(it.lab.shared, name), encoding="ascii") as file:
            equal(file.read(), "x\n", name)


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def peak_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def part_of(paths):
    return bytes_of(path for path in paths if path.endswith(".part"))


def last_written(paths):
    """When that was; 0 when none is there, or has another name by now."""
    with contextlib.suppress(FileNotFoundError):
        return max((os.path.getmtime(path) for path in paths), default=0)
    return 0


def most_took(seconds):
    """Nine of ten took no longer."""
    return sorted(seconds)[len(seconds) * 9 // 10]


@story("a gigabyte is under way and others start and stop beside it without delay; canceled, it goes on from there")
def gigabyte(box: Sandbox):
    links = 15
    it = Story(box, f"""\
  make: {{needs: [b1-{links - 1}, b2-{links - 1}], worker: h1, artifacts: [big], run: truncate -s 1G big}}
  gate: {{run: '{wait_there("go")}'}}
  gate1: {{run: '{wait_there("go1")}'}}
  gate2: {{run: '{wait_there("go2")}'}}
  use: {{needs: [make, gate], worker: h2, run: 'test $(stat -c %s big) = 1073741824'}}
  too: {{needs: [make, gate], worker: h2, run: 'test $(stat -c %s big) = 1073741824'}}
""" + "".join(f"  h{host}-{i}: {{needs: [{f'gate{host}' if i == 0 else f'h{host}-{i - 1}'}], worker: h{host},"
              " run: exit 0}\n" for host in (1, 2) for i in range(links)) +
               "".join(f"  b{host}-{i}: {{needs: [{f'b{host}-{i - 1}' if i > 0 else ''}], worker: h{host},"
                       " run: exit 0}\n" for host in (1, 2) for i in range(links)) + f"""\
  stopped: {{worker: h2, grace: 60s, run: 'trap "date +%s%N >SHARED/stopped; exit 0" TERM; {wait_there("never")}'}}
""")
    box.wait_state("a/1", "succeeded", "make", timeout=300)
    it.touch("go")
    for name, host, paths in (("from h1", 1, it.fetched), ("to h2", 2, lambda: it.parcels("h2"))):
        wait_for(lambda: part_of(paths()) > 0, f"it to be on its way {name}", 300)
        it.touch(f"go{host}")
        box.wait_state("a/1", "succeeded", f"h{host}-{links - 1}", timeout=300)
        if host == 1:
            ended = moment(box.attempts("a/1", f"h1-{links - 1}")[-1]["ended"])
            check(wait_for(lambda: last_written(it.fetched()), "what is fetched") > ended,
                  "these steps ran while it was under way")
    # Not before: all that passes a slow link stands in one line, starts behind what is under way.
    it.lab["h2"].shape(rtt_ms=200)
    check(part_of(it.parcels("h2")) > 0, "these steps ran while it was under way")
    box.wait_running("a/1", "stopped")
    peak = peak_kib(it.stoker.popen.pid)
    cancel = box.start("cancel", "a/1")
    wait_for(lambda: it.there("stopped"), "the step to be stopped", 60)
    check(part_of(it.parcels("h2")) > 0, "it was still under way")
    it.ends(130)
    equal(cancel.wait(), 0, "the exit status of cancel")
    gaps, usual = [], []
    for chain, into in (("h1", gaps), ("h2", gaps), ("b1", usual), ("b2", usual)):
        times = [box.attempts("a/1", f"{chain}-{i}")[-1] for i in range(links)]
        into += [moment(after["started"]) - moment(before["ended"]) for before, after in zip(times, times[1:])]
    events = box.json("events", "a/1", "-n", "1000")["events"]
    asked = [moment(event["at"]) for event in events if event["kind"] == "run.cancel_requested"]
    with open(os.path.join(it.lab.shared, "stopped"), encoding="ascii") as file:
        gaps.append(int(file.read()) / 1e9 - asked[0])
    check(most_took(gaps) < max(0.25 * SLOW, 3 * most_took(usual)),
          f"starts and stops took {sorted(gaps)}, and with nothing under way {sorted(usual)}")
    check(is_sanitized() or peak < 64 << 10, f"stoker took {peak} KiB")
    before = part_of(it.parcels("h2"))
    check(before > 0, "what had come is kept")
    if QUICK:
        return
    it.lab["h2"].shape()
    it.touch("never")
    box.stoker("retry", "a/1", code=0, timeout=300)
    equal([box.attempts("a/1", task)[-1]["state"] for task in ("make", "use", "too")], ["succeeded"] * 3, "the steps")
    equal(len(box.attempts("a/1", "make")), 1, "attempts of the one that made it")


@story("the host that has them is rebooted in the middle: the rest comes when it is back")
def rebooted(box: Sandbox):
    if NO_NAMESPACES:
        raise Skip(f"needs hosts in namespaces: {NO_NAMESPACES}")
    it = Story(box, f"""\
  make: {{worker: h1, artifacts: [big], run: head -c 120000000 /dev/urandom >big; sha256sum big}}
  gate: {{run: '{wait_there("go")}'}}
  use: {{needs: [make, gate], worker: h2, run: sha256sum big}}
""", rtt_ms=100, slow=["h1"])
    box.wait_state("a/1", "succeeded", "make")
    it.touch("go")
    wait_for(lambda: bytes_of(it.fetched()) > 8000000, "a part of it", 60)
    it.lab["h1"].reboot()
    it.ends()
    equal(it.log("make"), it.log("use"), "the digest on both hosts")
    equal([box.attempts("a/1", task)[-1]["number"] for task in ("make", "use")], [1, 1], "attempts")


@story("while the worker that has them is away the start waits and why says so; it goes on when it is back")
def waits(box: Sandbox):
    it = Story(box, f"""\
  make: {{worker: h1, artifacts: [data], run: echo made >data}}
  gate: {{worker: h2, run: '{wait_there("go")}'}}
  use: {{needs: [make, gate], worker: h2, run: cat data}}
""")
    box.wait_state("a/1", "succeeded", "make")
    box.wait_running("a/1", "gate")
    it.away("h1")
    it.touch("go")
    wait_for(lambda: "h1" in box.stoker("why", "a/1", "use", code=0).out, "why to name the worker", 60)
    has(box.stoker("why", "a/1", "use", code=0).out, "waits for the artifacts of make, which lie on worker h1", "why")
    it.back("h1")
    it.ends()
    equal(it.log("use"), "made\n", "what it saw")
    equal(box.attempts("a/1", "use")[-1]["number"], 1, "one attempt")


@story("a start that waits for artifacts can be canceled, and a killed stoker takes it up again")
def canceled(box: Sandbox):
    it = Story(box, f"""\
  make: {{worker: h1, artifacts: [data], run: echo made >data}}
  gate: {{worker: h2, run: '{wait_there("go")}'}}
  use: {{needs: [make, gate], worker: h2, run: touch SHARED/ran}}
""")
    box.wait_state("a/1", "succeeded", "make")
    box.wait_running("a/1", "gate")
    it.away("h1")
    it.touch("go")
    box.wait_state("a/1", "starting", "use")
    it.stoker.popen.kill()
    it.stoker.popen.wait()
    it.stoker = box.start("run", "--resume", "a/1")
    wait_for(lambda: "waits for the artifacts" in box.stoker("why", "a/1", "use", code=0).out, "why", 60)
    cancel = box.start("cancel", "a/1")
    box.wait_state("a/1", "canceled", "use")
    check(not it.there("ran"), "it was not started")
    it.back("h1")
    it.ends(130)
    equal(cancel.wait(), 0, "the exit status of cancel")


@story("retried after its folders are gone: what can still be had is brought again, also to where it was made")
def folders_gone(box: Sandbox):
    it = Story(box, """\
  make: {worker: h1, artifacts: [data], run: echo made >data}
  use: {needs: [make], worker: h2, run: cat data; test -e SHARED/good}
  home: {needs: [use], worker: h1, run: cat data}
""")
    it.ends(1)
    for name in ("h1", "h2"):
        it.lab.ssh(name, "rm -rf ~/.stoker/runs/*")
    it.touch("good")
    box.stoker("retry", "a/1", code=0, timeout=120)
    equal(it.log("use"), "made\n", "on h2")
    equal(it.log("home"), "made\n", "on h1, where it had been made")


@story("what is gone with its worker's folders is told, and made again from its step on")
def really_gone(box: Sandbox):
    it = Story(box, """\
  make: {worker: h1, artifacts: [data], run: echo made >data}
  use: {needs: [make], worker: local, run: test -e SHARED/good}
  more: {needs: [use], worker: h2, run: cat data}
""")
    it.ends(1)
    it.lab.ssh("h1", "rm -rf ~/.stoker/runs/*")
    for path in it.fetched():
        os.unlink(path)
    it.touch("good")
    box.stoker("retry", "a/1", code=1, timeout=120)
    has(box.task("a/1", "more")["message"], "not started: the artifacts of make: ", "the message")
    has(box.task("a/1", "more")["message"], "No such file or directory", "the message")
    box.stoker("retry", "a/1", "--from", "make", code=0, timeout=120)
    equal(it.log("more"), "made\n", "made again")


@story("folders given by name need no source: what lies there travels to the same place")
def absolute(box: Sandbox):
    place = f"/var/tmp/{os.path.basename(box.path)}"
    it = Story(box, f"""\
  make: {{worker: h1, workdir: /var/tmp, run: mkdir {place}}}
  more: {{needs: [make], worker: h1, workdir: {place}, artifacts: sub/data, run: mkdir sub; echo made >sub/data}}
  use: {{needs: [more], worker: h2, workdir: /, run: 'cat {place}/sub/data; rm -r {place}'}}
  tidy: {{needs: [use], worker: h1, workdir: /, run: rm -rf {place}}}
""", more="")
    it.ends()
    equal(it.log("use"), "made\n", "what it saw")


if __name__ == "__main__":
    main()
