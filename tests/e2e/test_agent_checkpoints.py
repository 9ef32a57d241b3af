#!/usr/bin/env python3
"""stoker-agent and checkpoints: which count, which do not and why, what is kept, where an attempt resumes."""

import hashlib
import json
import os
import struct
import sys
import zipfile

from agentclient import alive, supervisor_of, tell, wait_for

import signal

ONE = (1, 1, 1)
TWO = (1, 1, 2)


def sha(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def zip_of(path, members=3, size=20000):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for i in range(members):
            archive.writestr("arr_%d.npy" % i, bytes([i + 1]) * size)


def safetensors(path, tensors=2, size=400):
    header = {"t%d" % i: {"dtype": "F32", "shape": [size // 4], "data_offsets": [i * size, (i + 1) * size]}
              for i in range(tensors)}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"x" * tensors * size)


def hdf5(path, size=4096):
    with open(path, "wb") as file:
        file.write((b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(8) +
                    struct.pack("<QQQQ", 0, 2 ** 64 - 1, size, 2 ** 64 - 1)).ljust(size, b"\1"))


def known(checkpoint):
    return (checkpoint.name, checkpoint.digest, checkpoint.bytes)


def complete(step):
    return {c.name: c for c in step.checkpoints if c.event == "complete"}


def ignored(step):
    return {c.name: c.text for c in step.checkpoints if c.event == "ignored"}


def gated(world, script, **options):
    """A step that runs a script and then waits until it is let go."""
    agent = world.agent(env=options.pop("agent_env", None))
    agent.claim(1)
    options.setdefault("workdir", world.folder)
    step = agent.start(ONE, "cd $STOKER_CHECKPOINT_DIR\n%s\necho up\nwhile test ! -e %s; do sleep 0.01; done\n%s" % (
        script, world.path("gate"), options.pop("last", "exit 0")), **options)
    agent.until(lambda: b"up" in step.log, "the step")
    return agent, step


def let_go(world, agent):
    open(world.path("gate"), "w").close()
    return agent.ended(ONE)


def one_renamed_into_place_counts_at_once(world):
    agent, step = gated(world, "echo weights > .e.tmp; mv .e.tmp epoch-0012.npz.txt; mkdir t; echo a > t/a; "
                        "mkdir t/b; echo c > t/b/c; mv t step_7", settle=3600000)
    agent.until(lambda: len(complete(step)) == 2, "the checkpoints")
    folder = agent.checkpoints_of(1, 1)
    one, two = complete(step)["epoch-0012.npz.txt"], complete(step)["step_7"]
    assert (one.digest, one.bytes, one.step) == (sha(folder + "/epoch-0012.npz.txt"), 8, 12), one
    lines = b"".join(b"step_7/%s\0%d\0%s\n" % (name.encode(), 2, sha(folder + "/step_7/" + name).encode())
                     for name in ("a", "b/c"))
    assert (two.digest, two.bytes, two.step, two.format) == (hashlib.sha256(lines).hexdigest(), 4, 7, "directory"), two
    let_go(world, agent)
    assert len(step.checkpoints) == 2, step.checkpoints


def one_written_in_place_counts_when_it_has_settled(world):
    agent, step = gated(world, "exec 3> slow.bin; echo a >&3; echo one > quick.bin", settle=300)
    agent.until(lambda: complete(step), "the closed one")
    assert list(complete(step)) == ["quick.bin"], step.checkpoints
    let_go(world, agent)  # and the open one was closed by a clean end
    assert sorted(complete(step)) == ["quick.bin", "slow.bin"], step.checkpoints


def a_folder_built_in_place_settles_as_a_whole(world):
    agent, step = gated(world, "mkdir c-1; (for i in 1 2 3 4 5 6; do echo $i > c-1/$i; sleep 0.2; done) &", settle=3000)
    agent.until(lambda: complete(step), "the folder")
    assert complete(step)["c-1"].bytes == 12, step.checkpoints
    let_go(world, agent)


def unfinished_names_never_count(world):
    agent, step = gated(world, "for n in a.tmp b.partial c.incomplete tmp-d .e x.orbax-checkpoint-tmp-1 checkpoint;"
                        " do echo x > .q; mv .q $n; done; echo x > good; ln -s good last.ckpt", settle=100)
    agent.until(lambda: complete(step), "the good one")
    let_go(world, agent)
    assert list(complete(step)) == ["good"] and not ignored(step), step.checkpoints


def a_crash_leaves_only_what_proves_itself(world):
    zip_of(world.path("whole.npz"))
    zip_of(world.path("cut.npz"))
    os.truncate(world.path("cut.npz"), 50000)
    safetensors(world.path("w.safetensors"))
    hdf5(world.path("w.h5"))
    agent, step = gated(world, "cp %s/whole.npz %s/cut.npz %s/w.safetensors %s/w.h5 .; echo x > unknown.bin;"
                        " echo y > .z; mv .z moved.bin" % ((world.folder,) * 4), settle=3600000, last="kill -9 $$")
    let_go(world, agent)
    assert step.exit.signal == 9
    assert sorted(complete(step)) == ["moved.bin", "w.h5", "w.safetensors", "whole.npz"], step.checkpoints
    told = ignored(step)
    assert "no directory at its end" in told["cut.npz"], told
    assert "killed by signal 9 before it was known to be complete" in told["unknown.bin"], told


def a_failing_exit_is_a_crash_and_85_is_none(world):
    for number, (code, counts) in enumerate(((0, True), (85, True), (1, False)), 1):
        agent = world.agent()
        agent.claim(1)
        step = agent.run((1, number, 1), "echo x > $STOKER_CHECKPOINT_DIR/a.bin; exit %d" % code, settle=3600000)
        assert ("a.bin" in complete(step)) == counts and ("a.bin" in ignored(step)) != counts, (code, step.checkpoints)


def one_saved_when_asked_to_stop_counts(world):
    save = ["sh", "-c", "trap 'echo x > $STOKER_CHECKPOINT_DIR/last.bin; exit 85' TERM; echo up;"
            " while :; do sleep 0.01; done"]
    world.write("train.py", "import os, signal, sys, time\n"
                "def stop(*_):\n    time.sleep(0.5)\n"
                "    open(os.environ['STOKER_CHECKPOINT_DIR'] + '/last.bin', 'w').write('x')\n    sys.exit(0)\n"
                "signal.signal(signal.SIGTERM, stop)\nprint('up', flush=True)\nwhile True: time.sleep(1)\n")
    agent = world.agent()
    agent.claim(1)
    # Under a shell, which dies of the SIGTERM at once, the program still has its grace.
    for task, argv in ((1, save), (2, "%s %s; true" % (sys.executable, world.path("train.py")))):
        step = agent.start((1, task, 1), argv, settle=3600000)
        agent.until(lambda: b"up" in step.log, "the step")
        agent.stop((1, task, 1), "preempted", grace=20000)
        agent.ended((1, task, 1))
        assert step.exit.stopped and "last.bin" in complete(step), (step.exit, step.checkpoints)


def one_cut_by_the_kill_does_not_count(world):
    agent = world.agent()
    agent.claim(1)
    world.write("train.py", "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                "f = open(os.environ['STOKER_CHECKPOINT_DIR'] + '/a.npz', 'wb')\nf.write(b'PK\\3\\4' + bytes(100000))\n"
                "f.flush()\nprint('up', flush=True)\nwhile True: f.write(bytes(10)); f.flush(); time.sleep(0.01)\n")
    step = agent.start(ONE, [sys.executable, world.path("train.py")], settle=200)
    agent.until(lambda: b"up" in step.log, "the step")
    agent.stop(ONE, grace=500)
    agent.ended(ONE)
    assert not complete(step) and "a.npz" in ignored(step), step.checkpoints


def a_broken_one_does_not_count_though_it_was_renamed(world):
    zip_of(world.path("whole.npz"))
    with open(world.path("whole.npz"), "rb") as file:
        data = file.read()
    with open(world.path("cut.npz"), "wb") as file:
        file.write(data[:-1])
    with open(world.path("empty.ckpt"), "wb"):
        pass
    safetensors(world.path("short.safetensors"))
    os.truncate(world.path("short.safetensors"), 600)
    agent, step = gated(world, "for f in cut.npz empty.ckpt short.safetensors; do cp %s/$f .$f; mv .$f $f; done" %
                        world.folder)
    agent.until(lambda: len(ignored(step)) == 3, "the verdicts")
    let_go(world, agent)
    assert not complete(step) and "is empty" in ignored(step)["empty.ckpt"], step.checkpoints
    assert "need 800 bytes" in ignored(step)["short.safetensors"], ignored(step)


def the_layouts_of_trainers_are_known(world):
    root = world.path("src")
    os.makedirs(root + "/checkpoint-500")
    safetensors(root + "/checkpoint-500/model-00001-of-00002.safetensors")
    safetensors(root + "/checkpoint-500/model-00002-of-00002.safetensors")
    with open(root + "/checkpoint-500/trainer_state.json", "w") as file:
        file.write('{"global_step": 500, "loss": NaN}')
    with open(root + "/checkpoint-500/model.safetensors.index.json", "w") as file:
        json.dump({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}, file)
    os.makedirs(root + "/dcp")
    for name in (".metadata", "__0_0.distcp"):
        with open(root + "/dcp/" + name, "w") as file:
            file.write("x")
    hdf5(root + "/latest.weights.h5")
    with open(root + "/training_metadata.json", "w") as file:
        file.write('{"epoch": 3, "batch": 0}')
    for part in range(2):
        with open(root + "/ckpt-7.data-%05d-of-00002" % part, "w") as file:
            file.write("x")
    with open(root + "/ckpt-7.index", "wb") as file:
        file.write(bytes(40) + bytes.fromhex("57fb808b247547db"))
    zip_of(root + "/epoch=2-step=1500.ckpt")
    with open(root + "/checkpoint", "w") as file:
        file.write('model_checkpoint_path: "ckpt-7"\n')
    agent, step = gated(world, "for f in %s/*; do cp -r $f .n; mv .n $(basename $f); done" % root, settle=200)
    agent.until(lambda: len(complete(step)) == 5, "all of them")
    got = {name: (c.format, c.step) for name, c in complete(step).items()}
    assert got == {"checkpoint-500": ("huggingface", 500), "dcp": ("torch-dcp", -1), "latest.weights.h5": ("keras", 3),
                   "ckpt-7": ("tensorflow", 7), "epoch=2-step=1500.ckpt": ("lightning", 1500)}, got
    let_go(world, agent)
    assert not ignored(step), ignored(step)
    # A group is resumed from by its prefix, and its digest is of all its files.
    group = complete(step)["ckpt-7"]
    others = [known(c) for c in complete(step).values() if c.name != "ckpt-7"]
    two = agent.run(TWO, "echo $STOKER_RESUME_FROM", fresh=False, candidates=[known(group)] + others)
    assert two.log.decode().strip() == agent.checkpoints_of(1, 1) + "/ckpt-7" and two.resumed_from == "ckpt-7"
    os.unlink(agent.checkpoints_of(1, 1) + "/ckpt-7.data-00001-of-00002")
    three = agent.run((1, 1, 3), "true", fresh=False, candidates=[known(group)] + others)
    assert three.resumed_from == others[0][0] and three.checkpoints[0].event == "broken", three.checkpoints


def an_incomplete_huggingface_folder_waits_for_its_rest(world):
    safetensors(world.path("model.safetensors"))
    agent, step = gated(world, "mkdir checkpoint-9; cp %s checkpoint-9/; sleep 0.8; "
                        "echo '{}' > checkpoint-9/trainer_state.json" % world.path("model.safetensors"), settle=200)
    agent.until(lambda: complete(step), "the folder")
    assert complete(step)["checkpoint-9"].format == "huggingface" and not ignored(step), step.checkpoints
    let_go(world, agent)


def a_shard_that_is_missing_is_named(world):
    agent = world.agent()
    agent.claim(1)
    safetensors(world.path("a.safetensors"))
    step = agent.run(ONE, "cd $STOKER_CHECKPOINT_DIR; mkdir .c; echo '{}' > .c/trainer_state.json; cp %s .c/;"
                     " echo '{\"weight_map\": {\"x\": \"a.safetensors\", \"y\": \"b.safetensors\"}}' >"
                     " .c/model.safetensors.index.json; mv .c checkpoint-5" % world.path("a.safetensors"))
    assert ignored(step) == {"checkpoint-5": "shard b.safetensors is missing"}, step.checkpoints


def one_overwritten_is_recorded_anew(world):
    agent, step = gated(world, "echo one > .l; mv .l latest.bin", last="echo two > .l; mv .l latest.bin; exit 0")
    agent.until(lambda: complete(step), "the first")
    first = complete(step)["latest.bin"].digest
    let_go(world, agent)
    assert [c.event for c in step.checkpoints] == ["complete", "complete"], step.checkpoints
    assert step.checkpoints[1].digest == sha(agent.checkpoints_of(1, 1) + "/latest.bin") != first


def keep_removes_the_oldest_after_a_newer_one(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.start(ONE, "cd $STOKER_CHECKPOINT_DIR; echo mine > kept.tmp; for i in 1 2 3 4 5; do echo $i > .x;"
                       " mv .x e-$i; while test ! -e %s$i; do sleep 0.01; done; done" % world.path("gate"), keep=2)
    for i in range(1, 6):
        agent.until(lambda: "e-%d" % i in complete(step), "checkpoint %d" % i)
        open(world.path("gate%d" % i), "w").close()
    agent.ended(ONE)
    events = [(c.event, c.name) for c in step.checkpoints]
    assert sorted(os.listdir(agent.checkpoints_of(1, 1))) == ["e-4", "e-5", "kept.tmp"], events
    for i in range(1, 4):
        assert events.index(("removed", "e-%d" % i)) > events.index(("complete", "e-%d" % (i + 2))), events
    # A later attempt goes on from there: what it resumed from goes when two newer ones are good.
    done = complete(step)
    two = agent.run(TWO, "cd $STOKER_CHECKPOINT_DIR; echo $STOKER_RESUME_FROM; echo 6 > .x; mv .x e-6; sleep 0.2",
                    fresh=False, keep=1, candidates=[known(done["e-5"]), known(done["e-4"])])
    assert two.resumed_from == "e-5" and sorted(c.name for c in two.checkpoints if c.event == "removed") == ["e-4", "e-5"]
    assert sorted(os.listdir(agent.checkpoints_of(1, 1))) == ["e-6", "kept.tmp"], two.checkpoints


def one_in_quarantine_is_not_counted_as_kept(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, "cd $STOKER_CHECKPOINT_DIR; for i in 1 2 3; do echo $i > .x; mv .x e-$i; done")
    done = complete(step)
    two = agent.run(TWO, "cd $STOKER_CHECKPOINT_DIR; echo 4 > .x; mv .x e-4", fresh=False, keep=2,
                    candidates=[known(done["e-3"]) + (True,), known(done["e-2"]), known(done["e-1"])])
    assert two.resumed_from == "e-2", two.resumed_from
    assert sorted(os.listdir(agent.checkpoints_of(1, 1))) == ["e-2", "e-4"], two.checkpoints


def a_broken_one_is_passed_over_with_its_reason(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, "cd $STOKER_CHECKPOINT_DIR; for i in 1 2 3 4; do echo $i-weights > .x; mv .x e-$i; done")
    done = complete(step)
    folder = agent.checkpoints_of(1, 1)
    os.unlink(folder + "/e-4")
    os.truncate(folder + "/e-3", 5)
    with open(folder + "/e-2", "r+b") as file:
        file.write(b"X")
    two = agent.run(TWO, "cat $STOKER_RESUME_FROM", fresh=False, candidates=[known(done["e-%d" % i]) for i in (4, 3, 2, 1)])
    broken = {c.name: c.text for c in two.checkpoints if c.event == "broken"}
    assert two.log == b"1-weights\n" and two.resumed_from == "e-1", (two.log, two.resumed_from)
    assert broken["e-4"] == "is gone" and broken["e-3"] == "is 5 bytes, recorded was 10", broken
    assert broken["e-2"] == "digest is %s..., recorded was %s..." % (sha(folder + "/e-2")[:12], done["e-2"].digest[:12])
    assert [record.kind for record in two.records].index(65) == 3, "the start comes after what was passed over"


def resuming_can_be_required_or_forbidden(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, "cd $STOKER_CHECKPOINT_DIR; echo 1 > .x; mv .x e-1", required=True)
    assert step.exit.code == 0 and step.resumed_from == ""
    done = complete(step)
    two = agent.run(TWO, "echo from=$STOKER_RESUME_FROM", fresh=False, never=True, candidates=[known(done["e-1"])])
    assert two.log == b"from=\n", two.log
    os.unlink(agent.checkpoints_of(1, 1) + "/e-1")
    three = agent.run((1, 1, 3), "echo never", fresh=False, required=True, candidates=[known(done["e-1"])])
    assert three.exit.kind == "not_started" and not three.exit.transient and three.log == b"", three.exit
    assert three.exit.text == "there is no good checkpoint to resume from: e-1: is gone", three.exit
    four = agent.run((1, 2, 2), "echo never", fresh=False, required=True)
    assert four.exit.text.endswith("none was ever recorded"), four.exit
    five = agent.run((1, 1, 5), "echo zero", fresh=False, candidates=[known(done["e-1"])])
    assert five.exit.code == 0 and five.resumed_from == "", five.exit


def one_that_nobody_recorded_must_prove_itself(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, "cd $STOKER_CHECKPOINT_DIR; echo 1 > .x; mv .x e-1")
    done = complete(step)
    folder = agent.checkpoints_of(1, 1)
    zip_of(folder + "/e-2.npz")
    zip_of(folder + "/e-3.npz")
    with open(folder + "/e-3.npz", "r+b") as file:  # its directory is whole, a byte within is not
        file.seek(30000)
        file.write(b"X")
    with open(folder + "/e-4.bin", "w") as file:
        file.write("half")
    two = agent.run(TWO, "echo $STOKER_RESUME_FROM", fresh=False, candidates=[known(done["e-1"])])
    assert two.resumed_from == "e-2.npz" and complete(two)["e-2.npz"].digest == sha(folder + "/e-2.npz"), two.checkpoints
    assert ignored(two)["e-4.bin"] == "was never complete: still being written when its attempt died", ignored(two)
    assert "damaged" in ignored(two)["e-3.npz"], ignored(two)


def a_stop_while_it_verifies_is_heard(world):
    agent = world.agent()
    agent.claim(1)
    folder = agent.checkpoints_of(1, 1)
    os.makedirs(folder)
    with open(folder + "/big", "wb") as file:
        file.truncate(1 << 40)
    step = agent.start(ONE, "echo never", fresh=False, candidates=[("big", "0" * 64, 1 << 40)])
    agent.until(lambda: os.path.exists(agent.folder(ONE)), "the attempt")
    agent.stop(ONE)
    agent.ended(ONE)
    assert (step.exit.kind, step.exit.reason, step.exit.stopped) == ("not_started", "canceled", True), step.exit
    assert step.log == b"" and step.resumed_from is None


def what_lay_there_before_does_not_count(world):
    own = world.path("own/models")
    os.makedirs(own)
    zip_of(own + "/last-night.npz")
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, "ls models; echo $STOKER_CHECKPOINT_DIR; exit 1", workdir=world.path("own"),
                     checkpoint_dir="models")
    assert step.log.decode().split() == ["last-night.npz", own] and not step.checkpoints, step.checkpoints
    two = agent.run(TWO, "cp models/last-night.npz models/.n; mv models/.n models/new.npz; kill -9 $$",
                    workdir=world.path("own"), checkpoint_dir="models", fresh=False)
    assert two.resumed_from == "" and list(complete(two)) == ["new.npz"], (two.resumed_from, two.checkpoints)
    three = agent.run((1, 1, 3), "cp models/new.npz models/last-night.npz", workdir=world.path("own"), fresh=False,
                      checkpoint_dir="models", candidates=[known(complete(two)["new.npz"])], settle=100)
    assert three.resumed_from == "new.npz" and list(complete(three)) == ["last-night.npz"], three.checkpoints


def a_folder_of_its_own_is_made(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, "echo x > $STOKER_CHECKPOINT_DIR/a", checkpoint_dir=world.path("a/b/c"))
    assert complete(step)["a"].bytes == 2 and os.path.exists(world.path("a/b/c/a")), step.checkpoints
    failed = agent.run((1, 2, 1), "true", checkpoint_dir="/proc/nothing")
    assert failed.exit.kind == "not_started" and "/proc/nothing" in failed.exit.text, failed.exit


def without_inotify_it_looks(world):
    agent, step = gated(world, "echo a > a.bin; exec 3> open.bin; echo b >&3; mkdir d; echo c > d/c", settle=300,
                        agent_env=dict(os.environ, STOKER_AGENT_NO_INOTIFY="1"))
    agent.until(lambda: len(complete(step)) == 2, "the closed ones")
    assert sorted(complete(step)) == ["a.bin", "d"], step.checkpoints
    let_go(world, agent)
    assert sorted(complete(step)) == ["a.bin", "d", "open.bin"], step.checkpoints


def a_lost_supervisor_leaves_what_proves_itself(world):
    zip_of(world.path("whole.npz"))
    agent, step = gated(world, "echo old > .o; mv .o recorded.bin; cp %s new.npz; echo x > unknown.bin" %
                        world.path("whole.npz"), settle=3600000, grace=0)
    agent.until(lambda: "recorded.bin" in complete(step) and step.step_pid, "the recorded one")
    os.kill(supervisor_of(agent.folder(ONE)), signal.SIGKILL)
    agent.ended(ONE)
    assert step.exit.reason == "supervisor_lost" and not alive(step.step_pid), step.exit
    assert sorted(c.name for c in step.checkpoints if c.event == "complete") == ["new.npz", "recorded.bin"]
    assert "lost with its supervisor" in ignored(step)["unknown.bin"], ignored(step)


def one_the_program_removes_is_told(world):
    agent, step = gated(world, "echo x > .x; mv .x a.bin", last="rm a.bin; echo y > .y; mv .y b.bin; exit 0")
    agent.until(lambda: complete(step), "the first")
    let_go(world, agent)
    assert [(c.event, c.name) for c in step.checkpoints] == [("complete", "a.bin"), ("removed", "a.bin"),
                                                             ("complete", "b.bin")], step.checkpoints


def killed_at_random_moments_the_resumed_one_is_always_whole(world):
    """A training that saves again and again is killed with its supervisor or alone; each resume loads."""
    world.write("train.py", """
import os, sys, zipfile
folder, start = os.environ["STOKER_CHECKPOINT_DIR"], os.environ["STOKER_RESUME_FROM"]
step = 0
if start:
    with zipfile.ZipFile(start) as archive:
        assert archive.testzip() is None
        step = int(archive.read("step"))
print("from %d" % step, flush=True)
while True:
    step += 1
    name = os.path.join(folder, "step-%06d.npz" % step)
    with zipfile.ZipFile(name, "w") as archive:
        archive.writestr("data", bytes([step & 255]) * 400000)
        archive.writestr("step", str(step))
    print(step, flush=True)
""")
    import random
    rng = random.Random(3)
    agent = world.agent()
    agent.claim(1)
    recorded = []
    reached = 0
    for number in range(1, 13):
        ident = (1, 1, number)
        step = agent.start(ident, [sys.executable, world.path("train.py")], fresh=number == 1, settle=20, keep=4,
                           grace=0, candidates=recorded[::-1])
        agent.until(lambda: step.step_pid and step.log.count(b"\n") > rng.randrange(3, 12), "some steps")
        os.kill(supervisor_of(agent.folder(ident)) if number % 3 == 0 else step.step_pid, signal.SIGKILL)
        agent.ended(ident)
        first = int(step.log.split(b"\n")[0].split()[1])
        assert first >= reached or number == 1, (first, reached)
        for checkpoint in step.checkpoints:
            recorded = [item for item in recorded if item[0] != checkpoint.name]
            if checkpoint.event == "complete":
                recorded.append(known(checkpoint))
        reached = max([int(item[0][5:11]) for item in recorded], default=0)
    assert reached > 12, reached


tell([value for value in list(globals().values())
      if callable(value) and getattr(value, "__module__", "") == "__main__" and not isinstance(value, type)
      and value not in (sha, zip_of, safetensors, hdf5, known, complete, ignored, gated, let_go)])
