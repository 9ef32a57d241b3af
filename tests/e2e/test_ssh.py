"""Steps on other machines: started there, their logs, outputs and ends brought home, over one connection for each."""

import hashlib
import os
import shutil

from lab import NO_NAMESPACES, SHARED, Lab
from lib import QUICK, STOKER, Sandbox, Skip, check, equal, has, main, story, wait_for

AGENT = os.path.join(os.path.dirname(STOKER), "stoker-agent")
BYTES = bytes(range(256)) * 4000 + b"\r\nthe end, without a newline"


def step(lab, name, run, **more):
    """A step for that host as a line of a DAG: JSON is YAML."""
    fields = {"worker": name, "workdir": lab[name].remote_home, "run": run, **more}
    return "{" + ", ".join(f"{key}: {value!r}" for key, value in fields.items()) + "}"


def agents_on_disk(host):
    """Names, inodes and times of the agents in a host's root folder."""
    folder = os.path.join(host.home, ".stoker", "bin")
    rows = []
    for name in sorted(os.listdir(folder)):
        found = os.stat(os.path.join(folder, name))
        rows.append((name, found.st_ino, found.st_mtime_ns, found.st_size))
    return rows


class Gate:
    """A named pipe that steps on a host open (`: <gate`): each waits there until `open` was called, at no cost."""

    def __init__(self, host, name="gate"):
        self.path = os.path.join(host.home, name)
        os.mkfifo(self.path)
        os.chmod(self.path, 0o666)
        self.fd = -1

    def open(self):
        """For those who come later too, until the story ends."""
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)


def gather(lab, name):
    """A folder there for steps to leave a mark in; returns its path outside."""
    path = os.path.join(lab[name].home, "marks")
    os.mkdir(path)
    os.chmod(path, 0o777)
    return path


# --- what a step does over there --------------------------------------------------------------------------------------


def two_workers(box, **settings):
    lab = Lab(box, 2)
    lab.settings(every=settings, h1={**settings, "labels": ["big"]})
    with open(lab["h1"].home_file("bytes", ""), "wb") as file:
        file.write(BYTES)
    box.file("o.yaml", f"""\
name: o
steps:
  fetch: {step(lab, "h1", 'cat bytes; echo "from=$(cat name)" >>"$STOKER_OUTPUT"')}
  train: {step(lab, "h2", 'cat name; echo "${{ steps.fetch.outputs.from }} and more"', needs=["fetch"])}
  label: {{worker: big, workdir: {lab["h1"].remote_home}, needs: [train], run: "cat name"}}
  here: {{worker: local, needs: [train], run: "cat name; echo ${{{{ steps.fetch.outputs.from }}}}"}}
  wrong: {step(lab, "h2", "exit 7", needs=["train"])}
  killed: {step(lab, "h1", "kill -SEGV $$", needs=["train"])}
  missing: {step(lab, "h1", "no-such-program", needs=["train"])}
  nowhere: {{worker: h2, workdir: /no/such/folder, needs: [train], run: "true"}}
  late: {step(lab, "h2", "sleep 1000", needs=["train"], timeout="1s")}
""")
    for name in ("h1", "h2"):
        lab[name].home_file("name", f"{name}\n")
    box.file("name", "here\n")
    result = box.stoker("run", "o.yaml", code=1)
    ends = {task["task"]: task["attempts"][-1] for task in box.status("o/1")["tasks"]}
    equal({name: (end["worker"], end["state"], end["reason"], end["exit_code"], end["signal"])
           for name, end in ends.items()}, {
               "fetch": ("h1", "succeeded", "exit", 0, None), "train": ("h2", "succeeded", "exit", 0, None),
               "label": ("h1", "succeeded", "exit", 0, None), "here": ("local", "succeeded", "exit", 0, None),
               "wrong": ("h2", "failed", "exit", 7, None), "killed": ("h1", "failed", "signal", None, 11),
               "missing": ("h1", "failed", "exit", 127, None), "nowhere": ("h2", "failed", "not_started", None, None),
               "late": ("h2", "failed", "timeout", None, 15)}, f"how the steps ended:\n{result.text}")
    check(box.log("o/1", "fetch") == BYTES, "the log is byte for byte what was printed")
    equal(box.log("o/1", "train"), b"h2\nh1 and more\n", "the output of h1, on h2")
    equal(box.log("o/1", "label"), b"h1\n", "the log of the step that went to a label")
    equal(box.log("o/1", "here"), b"here\nh1\n", "the output of h1, here")
    has(box.stoker("why", "o/1", "nowhere", code=0).out, "/no/such/folder", "why")
    rows = {row["worker"]: row for row in box.json("workers")["workers"]}
    equal([rows[name]["state"] for name in ("h1", "h2", "local")], ["ok"] * 3, "the workers")
    if not NO_NAMESPACES:
        equal([rows[name]["host"] for name in ("h1", "h2")], ["h1", "h2"], "their names")
        equal(box.of_step("late"), [], "what is left of the step that came too late")


@story("steps on two workers and here: by name and by label, with their logs, outputs, exit codes and reasons")
def over_there(box: Sandbox):
    two_workers(box)


@story("the same over the ssh program")
def by_openssh(box: Sandbox):
    two_workers(box, transport="openssh")


# --- one connection, one agent ----------------------------------------------------------------------------------------


def second_run(box, **settings):
    lab = Lab(box, 1)
    host = lab["h1"]
    lab.settings(every=settings)
    box.file("o.yaml", f"name: o\nsteps:\n  s: {step(lab, 'h1', 'echo done')}\n")
    box.stoker("run", "o.yaml", code=0)
    before = agents_on_disk(host)
    equal(len(before), 1, f"agents in {before}")
    box.stoker("run", "o.yaml", code=0)
    equal(agents_on_disk(host), before, "the agent after the second run")
    equal(host.log().count("Starting session"), 2, "sessions of the two runs")
    left = os.path.join(host.home, ".stoker", "attempts")
    wait_for(lambda: os.listdir(left) == [], "no attempt is left there")  # its agent ends after stoker


@story("a second run sends no agent again")
def sent_once(box: Sandbox):
    second_run(box)


@story("nor does it over the ssh program")
def sent_once_by_openssh(box: Sandbox):
    second_run(box, transport="openssh")


@story("an agent that was damaged on the way, or half written by somebody who died, is replaced")
def damaged(box: Sandbox):
    lab = Lab(box, 1)
    host = lab["h1"]
    lab.settings()
    box.file("o.yaml", f"name: o\nsteps:\n  s: {step(lab, 'h1', 'echo done')}\n")
    box.stoker("run", "o.yaml", code=0)
    [(name, _inode, _time, size)] = agents_on_disk(host)
    path = os.path.join(host.home, ".stoker", "bin", name)
    shutil.copy2(path, path + ".half")
    os.truncate(path + ".half", size // 2)
    os.rename(path + ".half", path)  # in place it could still be running
    box.stoker("run", "o.yaml", code=0)
    [(again, _inode, _time, whole)] = agents_on_disk(host)
    equal((again, whole), (name, size), "the agent")


@story("200 tasks at once on one worker: one connection, and its sshd allows but one session")
def at_once(box: Sandbox):
    lab = Lab(box, 1, MaxSessions=1)
    host = lab["h1"]
    lab.settings()
    gate, marks = Gate(host), gather(lab, "h1")
    run = 'echo "$STOKER_TASK"; : >marks/"$STOKER_TASK"; : <gate'
    box.file("o.yaml", "name: o\nconcurrency: 200\nsteps:\n" + "".join(
        f"  s{i}: {step(lab, 'h1', run)}\n" for i in range(200)))
    stoker = box.start("run", "o.yaml")
    try:
        wait_for(lambda: len(os.listdir(marks)) == 200 or not stoker.running(), "200 tasks run at once", 120)
        equal(host.connections(), 1, "connections")
        equal(len(host.agents()), 1, "agents")
        gate.open()
        equal(stoker.wait(120), 0, f"exit status:\n{stoker.text[-3000:]}")
    finally:
        gate.close()
    equal(host.log().count("Starting session"), 1, "sessions there ever were")
    for task in box.status("o/1")["tasks"]:
        equal([one["exit_code"] for one in task["attempts"]], [0], f"attempts of {task['task']}")
    for name in ("s0", "s99", "s199"):
        equal(box.log("o/1", name), name.encode() + b"\n", f"the log of {name}")


@story("twenty workers at once, and each has its own agent and its own task")
def twenty(box: Sandbox):
    count = 8 if QUICK else 20
    lab = Lab(box, count)
    names = list(lab.hosts)
    lab.settings()
    gates = [Gate(lab[name]) for name in names]
    steps = "".join(f"  s-{name}: {step(lab, name, 'echo $STOKER_TASK; : <gate')}\n" for name in names)
    box.file("o.yaml", f"name: o\nconcurrency: {count}\nsteps:\n{steps}")
    stoker = box.start("run", "o.yaml")
    try:
        wait_for(lambda: box.has_run("o/1") and all(task["state"] == "running" for task in box.status("o/1")["tasks"]),
                 "a task runs on each", 60, every=0.2)
        equal([lab[name].connections() for name in names], [1] * count, "connections")
        for gate in gates:
            gate.open()
        equal(stoker.wait(), 0, f"exit status:\n{stoker.text[-3000:]}")
    finally:
        for gate in gates:
            gate.close()
    for name in names:
        equal(box.attempts("o/1", f"s-{name}")[0]["worker"], name, "its worker")
        equal(box.log("o/1", f"s-{name}"), f"s-{name}\n".encode(), "its log")


@story("twelve workers behind one jump host, whose sshd drops who comes in a crowd")
def crowd(box: Sandbox):
    lab = Lab(box, 1, MaxStartups="2:80:4")
    names = [f"inner{i}" for i in range(12)]
    for name in names:
        lab.add(name, hidden=True)
    lab.make_jump_host(lab["h1"])
    lab.settings(every={"jump": "h1"}, h1={"jump": "none"})
    steps = "".join(f"  s-{name}: {step(lab, name, 'echo $STOKER_TASK')}\n" for name in names)
    box.file("o.yaml", f"name: o\nconcurrency: 12\nsteps:\n{steps}")
    box.stoker("run", "o.yaml", code=0, timeout=120)
    for name in names:
        equal(box.log("o/1", f"s-{name}"), f"s-{name}\n".encode(), "its log")


# --- machines of another type -----------------------------------------------------------------------------------------

MACHINE = os.uname().machine
OTHER = {"x86_64": "aarch64", "aarch64": "x86_64"}.get(MACHINE)
OTHER_AGENT = f"{AGENT}-{OTHER}"


def emulate(lab, host):
    """Makes a host say that it is of the other type, and run its agent: by qemu where that is installed, as a kernel
    with binfmt_misc would, else the one of this machine in its place."""
    native = os.path.join(lab.shared, "native-agent")
    shutil.copy2(AGENT, native)
    shown = native if NO_NAMESPACES else f"{SHARED}/native-agent"
    emulator = shutil.which(f"qemu-{OTHER}-static")
    instead = rf'{emulator} "$\1" --' if emulator else f"{shown} --"
    etc = host.inside(host.etc)
    os.mkdir(os.path.join(host.etc, "bin"))
    host.write(os.path.join(host.etc, "bin", "uname"), f"#!/bin/sh\necho Linux {OTHER}\n", 0o755)
    host.write(os.path.join(host.etc, "emulate"), f"""\
#!/bin/sh
exec sh -c "$(printf '%s' "$SSH_ORIGINAL_COMMAND" | sed 's|"[$]\\([at]\\)" --|{instead}|g')"
""", 0o755)
    path = f"PATH={etc}/bin:/usr/local/bin:/usr/bin:/bin"
    if NO_NAMESPACES:  # one line holds them all
        path = f"{path} HOME={host.home}"
    host.configure(SetEnv=path, ForceCommand=f"{etc}/emulate")
    host.restart_sshd()


@story("a worker of another machine type is sent the agent of its own, and where there is none, it says how to get one")
def foreign(box: Sandbox):
    if OTHER is None or not os.path.exists(OTHER_AGENT):
        raise Skip(f"no agent for {OTHER} was built: a cross compiler is missing")
    lab = Lab(box, 2)
    emulate(lab, lab["h2"])
    lab.settings()
    lonely = box.file("lonely/stoker-agent", b"")
    shutil.copy2(AGENT, lonely)
    said = box.stoker("workers", "check", "h2", code=1, env={"STOKER_AGENT": lonely}).text
    for words in (f"'Linux {OTHER}'", f"agents for {MACHINE} only", "gcc-", "-linux-gnu"):
        has(said, words, "the check without an agent for it")
    has(box.stoker("workers", "check", "h2", code=0).text, "can be used", "the check with one")
    box.file("o.yaml", f"""\
name: o
steps:
  here: {step(lab, "h1", 'echo "n=7" >>"$STOKER_OUTPUT"; echo fetched')}
  there: {step(lab, "h2", 'echo "got ${{ steps.here.outputs.n }}"; cd $STOKER_CHECKPOINT_DIR; echo 1 >a.tmp; mv a.tmp a',
               needs=["here"], checkpoint={"keep": 1})}
""")
    box.stoker("run", "o.yaml", code=0)
    equal(box.log("o/1", "there"), b"got 7\n", "the log from there")
    equal(len(box.json("checkpoints", "o/1", "there")["checkpoints"]), 1, "checkpoints from there")
    sent = {}
    for name, path in (("h1", AGENT), ("h2", OTHER_AGENT)):
        with open(path, "rb") as file:
            sent[name] = f"stoker-agent-{hashlib.sha256(file.read()).hexdigest()[:16]}"
    equal({name: [row[0] for row in agents_on_disk(lab[name])] for name in sent},
          {name: [agent] for name, agent in sent.items()}, "the agents there")


# --- an older stoker --------------------------------------------------------------------------------------------------


@story("an agent of an older stoker goes on serving its attempt while a newer one takes new attempts")
def older(box: Sandbox):
    lab = Lab(box, 1)
    host = lab["h1"]
    lab.settings()
    gate = Gate(host)
    newer = box.file("newer/stoker-agent", b"")
    shutil.copyfile(AGENT, newer)
    with open(newer, "ab") as file:
        file.write(b"\n")  # which no program minds, and which makes another digest
    os.chmod(newer, 0o755)
    box.file("o.yaml", f"""\
name: o
steps:
  old: {step(lab, "h1", "echo before; : <gate; echo after")}
  then: {step(lab, "h1", "echo then", needs=["old"])}
""")
    box.file("p.yaml", f"name: p\nsteps:\n  new: {step(lab, 'h1', 'echo new')}\n")
    first = box.start("run", "o.yaml")
    box.wait_running("o/1", "old")
    # Two of them at one time, each with its own agent.
    box.stoker("run", "p.yaml", code=0, env={"STOKER_AGENT": newer})
    equal(len(agents_on_disk(host)), 2, "agents there")
    check(first.running(), "the first one goes on")
    wait_for(lambda: box.log("o/1", "old") == b"before\n", "the log of its step")
    wait_for(lambda: len(host.agents()) == 1, "the newer agent ends after its stoker")

    # And the newer one takes the older one's attempt over.
    supervisor = box.supervisor("old")
    first.kill()
    box.env["STOKER_AGENT"] = newer
    second = box.start("run", "--resume", "o/1")
    wait_for(lambda: box.has_run("o/1") and not box.status("o/1")["orphaned"], "the run is taken up")
    wait_for(lambda: any(agent.program == agents_on_disk(host)[0][0] or agent.program == agents_on_disk(host)[1][0]
                         for agent in host.agents()), "an agent")
    check(supervisor.alive(), "the supervisor of the older one")
    gate.open()
    try:
        equal(second.wait(), 0, f"exit status:\n{second.text}")
    finally:
        gate.close()
    equal(box.log("o/1", "old"), b"before\nafter\n", "the log")
    equal([len(box.attempts("o/1", task)) for task in ("old", "then")], [1, 1], "attempts")


if __name__ == "__main__":
    main()
