#!/usr/bin/env python3
"""stoker-agent by itself: what a step leaves for others, and how it and checkpoints travel."""

import hashlib
import os
import shutil

from agentclient import Parcel, tell, wait_for

ONE = (1, 1, 1)


def run_folder(agent, run=1):
    return os.path.join(agent.root, "runs", "%s-%d" % (agent.home, run))


def work_of(agent, run=1):
    return os.path.join(run_folder(agent, run), "work")


def offer(agent, *parcels):
    for parcel in parcels:
        agent.parcels[parcel.digest] = parcel
    return parcels[0]


def source(agent, files=None):
    parcel = offer(agent, Parcel(files or {"x": b"x"}))
    return {"workdir": ".", "provisions": [("source", parcel, {})]}


def what_a_step_leaves_is_written_down_and_can_be_fetched(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, "mkdir -p m/e; echo one >m/a; printf '#!/bin/sh\\n' >run; chmod 755 run; ln -s a m/l; echo no >b",
                     artifacts=["run", "m"], **source(agent))
    parcel = Parcel({"m/a": b"one\n", "m/e": None, "m/l": ("->", "a"), "run": b"#!/bin/sh\n"})
    assert step.exit.reason == "exit" and step.artifacts == (parcel.digest, len(parcel.stream), 2), step.artifacts
    assert agent.fetch(parcel.digest) == parcel.stream
    agent.kill()
    again = world.agent()
    assert again.fetch(parcel.digest) == parcel.stream, "by another agent"


def what_is_missing_fails_the_attempt(world):
    agent = world.agent()
    agent.claim(1)
    options = source(agent)
    step = agent.run(ONE, "echo a >a", artifacts=["a", "model/best.bin"], **options)
    assert (step.exit.kind, step.exit.code, step.exit.reason) == ("code", 0, "artifacts"), step.exit
    assert step.exit.text == "artifact model/best.bin: No such file or directory", step.exit
    assert step.artifacts is None
    step = agent.run((1, 1, 2), "mkfifo fifo", artifacts=["fifo"], **options)
    assert step.exit.text == "artifact fifo: it is neither a file nor a folder", step.exit
    for number, (script, reason) in enumerate((("exit 3", "exit"), ("exit 85", "checkpointed"), ("kill -9 $$", "signal")),
                                              3):
        step = agent.run((1, 1, number), script, artifacts=["none"], **options)
        assert step.exit.reason == reason and step.artifacts is None, step.exit


def what_leads_out_is_left_out_and_told(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, "mkdir m; echo a >m/a; ln -s /etc m/out; ln -s m/a best", artifacts=["m", "best"],
                     **source(agent))
    assert step.notes == ["m/out is left out of its artifacts: it is a link that leads out of the folder, to /etc"]
    assert step.artifacts[0] == Parcel({"m/a": b"a\n", "best": b"a\n"}).digest, "a declared link stands for its file"


def artifacts_are_brought_before_the_step(world):
    agent = world.agent()
    agent.claim(1)
    options = source(agent, {"sub/old": b"old", "data": b"as it was"})
    one = offer(agent, Parcel({"data": b"new", "out/deep/x": b"x", "run.sh": b"#!/bin/sh\ncat data\n"}))
    two = offer(agent, Parcel({"old": b"newer"}))
    outside = world.path("outside")
    three = offer(agent, Parcel({"y": b"y"}))
    options["provisions"] += [("artifacts", one, {"task": 5, "path": ".", "name": "make"}),
                              ("artifacts", two, {"task": 6, "path": "sub", "name": "more"}),
                              ("artifacts", three, {"task": 7, "path": outside, "name": "there"})]
    step = agent.run((1, 9, 1), "./run.sh; cat out/deep/x sub/old %s/y; ls -A . sub out" % outside, **options)
    assert step.exit.code == 0 and step.log.startswith(b"newxnewery"), step.log
    assert b".stoker" not in step.log
    sent = agent.served
    assert agent.run((1, 9, 2), "cat data; echo changed >data", **options).log == b"new"
    assert agent.run((1, 9, 3), "cat data", **options).log == b"changed\n" and agent.served == sent, "brought once"
    # Made anew, with other contents and then with the same ones again.
    other = offer(agent, Parcel({"data": b"newest"}))
    again = dict(options, provisions=[options["provisions"][0], ("artifacts", other, {"task": 5, "path": "."})])
    assert agent.run((1, 9, 4), "cat data", **again).log == b"newest"
    assert agent.run((1, 9, 5), "cat data", **options).log == b"new" and agent.served == sent + len(other.stream)


def what_was_made_here_is_not_brought(world):
    agent = world.agent()
    agent.claim(1)
    options = source(agent)
    made = agent.run((1, 5, 1), "echo made >data", artifacts=["data"], **options).artifacts
    parcel = Parcel({"data": b"made\n"})
    assert made[0] == parcel.digest
    options["provisions"].append(("artifacts", parcel, {"task": 5, "path": ".", "name": "make"}))
    assert agent.run((1, 6, 1), "cat data", **options).log == b"made\n"
    assert [want[3] for want in agent.wants] == ["source"], agent.wants
    # A new attempt of its maker may change it, also when it fails.
    assert agent.run((1, 5, 2), "echo half >data; exit 1", artifacts=["data"], **options).exit.code == 1
    offer(agent, parcel)
    assert agent.run((1, 6, 2), "cat data", **options).log == b"made\n"
    assert [want[3] for want in agent.wants] == ["source", "artifacts"], agent.wants


def what_stands_in_the_way_is_told(world):
    agent = world.agent()
    agent.claim(1)
    options = source(agent)
    agent.run(ONE, "mkdir -p data; echo file >out", **options)
    for number, files in enumerate(({"data": b"x"}, {"out/x": b"x"}), 2):
        parcel = offer(agent, Parcel(files))
        provisions = options["provisions"] + [("artifacts", parcel, {"task": 5, "path": ".", "name": "make"})]
        got = agent.run((1, number, 1), "exit 0", workdir=".", provisions=provisions).exit
        assert got.kind == "not_started" and got.text.startswith("the artifacts of make: "), got
        assert ("put data in place: Is a directory" in got.text) or ("out is no folder here" in got.text), got
    assert not [name for name in os.listdir(work_of(agent)) if name.startswith(".")]
    bad = dict(options, provisions=options["provisions"] + [("artifacts", parcel, {"task": 5, "path": "../x"})])
    assert "leads out" in agent.run((1, 9, 1), "exit 0", **bad).exit.text


def a_change_since_is_noticed(world):
    agent = world.agent()
    agent.claim(1)
    made = agent.run(ONE, "echo made >data", artifacts=["data"], **source(agent)).artifacts
    path = os.path.join(work_of(agent), "data")
    with open(path, "w") as file:
        file.write("longer than it was")
    assert agent.fetch(made[0]) == ("data has changed: it has 18 bytes, and had 5", False)
    with open(path, "w") as file:
        file.write("MADE\n")
    assert agent.fetch(made[0]) not in (Parcel({"data": b"made\n"}).stream, None), "the other side sees that"
    os.unlink(path)
    assert agent.fetch(made[0]) == ("open data: No such file or directory", False)
    assert "No such file" in agent.fetch("0" * 64)[0]


def a_big_one_keeps_to_its_window_and_lets_others_through(world):
    agent = world.agent()
    agent.claim(1)
    made = agent.run(ONE, "truncate -s 300M big", artifacts=["big"], **source(agent)).artifacts
    agent.fetch_max[made[0]] = 0
    agent.get(made[0])
    agent.until(lambda: len(agent.fetched[made[0]]) == 4 << 20, "a window full")
    agent.ping(1)
    assert len(agent.fetched[made[0]]) == 4 << 20
    assert agent.run((1, 2, 1), "echo hello").log == b"hello\n"
    del agent.fetch_max[made[0]]
    agent.get(made[0], 4 << 20, begin=False)
    agent.until(lambda: len(agent.fetched[made[0]]) > 50 << 20, "more of it")
    agent.ping(2)
    # A log that is as eager gets its share. Both stand still, their windows full, and go on at the same moment.
    agent.fetch_max[made[0]] = len(agent.fetched[made[0]])
    agent.acknowledge = False
    step = agent.start((1, 3, 1), "head -c 20000000 /dev/zero")
    agent.until(lambda: step.exit is not None and step.log_at == 4 << 20, "a log that waits as well")
    agent.acknowledge = True
    agent.store((1, 3, 1))
    del agent.fetch_max[made[0]]
    agent.get(made[0], len(agent.fetched[made[0]]), begin=False)
    agent.until(lambda: len(agent.fetched[made[0]]) > 240 << 20, "nearly all of it")
    assert len(step.log) > 10000000, len(step.log)
    # Cut, and gone on with from the middle.
    agent.kill()
    agent = world.agent()
    agent.fetched[made[0]] = bytearray(250 << 20)
    agent.total = None
    agent.get(made[0], 250 << 20)
    agent.until(lambda: len(agent.fetched[made[0]]) == agent.total, "the rest")
    assert agent.total == made[1]


def checkpoint(agent, files, run=1, task=1):
    folder = agent.checkpoints_of(run, task)
    for path, data in files.items():
        path = os.path.join(folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)


def digest_of(files):
    """What a checkpoint of these files is recorded by."""
    if len(files) == 1:
        return hashlib.sha256(*files.values()).hexdigest()
    return hashlib.sha256(b"".join(b"%s\0%d\0%s\n" % (path.encode(), len(data), hashlib.sha256(data).hexdigest().encode())
                                   for path, data in sorted(files.items()))).hexdigest()


def checkpoints_can_be_fetched_and_brought(world):
    agent = world.agent()
    agent.claim(1)
    agent.run(ONE, "exit 0")
    folder = {"step-2/a": b"a" * 100000, "step-2/sub/b": b"b"}
    checkpoint(agent, {"step-1.npz": b"one", **folder, "ckpt-3.index": b"i", "ckpt-3.data-00000-of-00001": b"d"})
    options = {"kind": "checkpoint", "path": ""}
    one, two = Parcel({"step-1.npz": b"one"}), Parcel(folder)
    assert agent.fetch(digest_of({"step-1.npz": b"one"}), name="step-1.npz", **options) == one.stream
    assert agent.fetch(digest_of(folder), name="step-2", **options) == two.stream
    group = {"ckpt-3.index": b"i", "ckpt-3.data-00000-of-00001": b"d"}
    assert agent.fetch(digest_of(group), name="ckpt-3", **options) == Parcel(group).stream
    assert agent.fetch("3" * 64, name="step-2", **options)[0] == "step-2: is not what was recorded any more"
    assert agent.fetch("4" * 64, name="step-9", **options)[0] == "step-9: is gone"
    assert "no name" in agent.fetch("5" * 64, name="../x", **options)[0]
    # The same bytes under another name, and one that is gone while it is asked for.
    checkpoint(agent, {"step-5.npz": b"one"})
    assert agent.fetch(digest_of({"": b"one"}), name="step-5.npz", **options) == Parcel({"step-5.npz": b"one"}).stream
    big = {"step-6/%d" % i: os.urandom(1 << 20) for i in range(9)}
    checkpoint(agent, big)
    agent.fetch_max[digest_of(big)] = 1 << 20
    agent.total = None
    agent.get(digest_of(big), 0, name="step-6", **options)
    agent.until(lambda: len(agent.fetched[digest_of(big)]) > 0, "the beginning")
    shutil.rmtree(os.path.join(agent.checkpoints_of(1, 1), "step-6"))
    checkpoint(agent, {"step-6": b"another"})
    del agent.fetch_max[digest_of(big)]
    agent.get(digest_of(big), len(agent.fetched[digest_of(big)]), begin=False, name="step-6", **options)
    agent.until(lambda: len(agent.fetched[digest_of(big)]) == len(Parcel(big).stream), "all of it")
    assert bytes(agent.fetched[digest_of(big)]) == Parcel(big).stream
    # To another task, over what lies there under that name.
    checkpoint(agent, {"step-2/old": b"old"}, task=2)
    agent.run((1, 3, 1), "cp -r '%s' $STOKER_CHECKPOINT_DIR/step-2" %
              os.path.join(agent.checkpoints_of(1, 1), "step-2"), settle=0)
    digest = agent.attempts[(1, 3, 1)].checkpoints[0].digest
    offer(agent, two)
    spec = {"fresh": False, "candidates": [("step-2", digest, 100001)],
            "provisions": [("checkpoint", two, {"task": 2, "path": "", "name": "step-2"})]}
    step = agent.run((1, 2, 2), "echo $STOKER_RESUME_FROM; ls $STOKER_RESUME_FROM $STOKER_CHECKPOINT_DIR", **spec)
    assert step.exit.code == 0 and step.resumed_from == "step-2", (step.exit, step.checkpoints)
    assert step.log.decode().split()[0] == os.path.realpath(os.path.join(agent.checkpoints_of(1, 2), "step-2"))
    assert b"old" not in step.log and not [f for f in os.listdir(agent.checkpoints_of(1, 2)) if f[0] == "."]
    sent = agent.served
    assert agent.run((1, 2, 3), "rm -r $STOKER_RESUME_FROM", **spec).resumed_from == "step-2"
    assert agent.served == sent
    step = agent.run((1, 2, 4), "echo more >$STOKER_RESUME_FROM/sub/b", **spec)
    assert step.resumed_from == "step-2", "brought again"
    assert agent.run((1, 2, 5), "exit 0", **spec).resumed_from == "step-2", "and in place of what was written over it"
    # To a folder of the program's own.
    own = world.path("own")
    spec["provisions"] = [("checkpoint", two, {"task": 4, "path": own, "name": "step-2"})]
    step = agent.run((1, 4, 2), "cat $STOKER_RESUME_FROM/sub/b", checkpoint_dir=own, **spec)
    assert step.resumed_from == "step-2" and step.log == b"b", step.log


def all_of_it_goes_with_the_run(world):
    agent = world.agent()
    agent.claim(1)
    there = world.path("there")
    os.mkdir(there)
    assert agent.run(ONE, "echo a >a", workdir=there, artifacts=["a"]).artifacts[0] == Parcel({"a": b"a\n"}).digest
    assert os.listdir(run_folder(agent)), "its manifest"
    assert agent.fetch(agent.attempts[ONE].artifacts[0], path=there) == Parcel({"a": b"a\n"}).stream
    agent.forget(ONE)
    agent.release(1)
    wait_for(lambda: os.listdir(os.path.join(agent.root, "runs")) == [], "it to go")
    assert os.listdir(there) == ["a"], "but not what lies in a folder of the user's"


tell([what_a_step_leaves_is_written_down_and_can_be_fetched, what_is_missing_fails_the_attempt,
      what_leads_out_is_left_out_and_told, artifacts_are_brought_before_the_step, what_was_made_here_is_not_brought,
      what_stands_in_the_way_is_told, a_change_since_is_noticed,
      a_big_one_keeps_to_its_window_and_lets_others_through, checkpoints_can_be_fetched_and_brought,
      all_of_it_goes_with_the_run])
