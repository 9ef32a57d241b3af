#!/usr/bin/env python3
"""stoker-agent by itself: what an attempt needs is fetched, verified and in place before it starts."""

import os

from agentclient import Parcel, Skip, tell, wait_for

ONE = (1, 1, 1)


def work_of(agent, run):
    return os.path.join(agent.root, "runs", "%s-%d" % (agent.home, run), "work")


def source(parcel):
    return {"workdir": ".", "provisions": [("source", parcel, {})]}


def offer(agent, *parcels):
    for parcel in parcels:
        agent.parcels[parcel.digest] = parcel
    return parcels[0]


def temporary(agent):
    return [name for _, folders, files in os.walk(os.path.join(agent.root, "runs"))
            for name in folders + files if name.startswith(".")]


def a_source_is_brought_before_the_step(world):
    agent = world.agent()
    agent.claim(1)
    parcel = offer(agent, Parcel({"a/file": b"hello\n", "run.sh": b"#!/bin/sh\ncat a/file link\n",
                                  "link": ("->", "a/file"), "empty": None}))
    step = agent.run(ONE, "./run.sh; pwd; echo $PWD; ls; cd empty", **source(parcel))
    work = os.path.realpath(work_of(agent, 1))
    assert step.exit.code == 0 and step.log.decode().split() == [
        "hello", "hello", work, work, "a", "empty", "link", "run.sh"], step.log
    assert [want[:4] for want in agent.wants] == [(parcel.digest, 0, True, "source")], agent.wants
    assert not temporary(agent)


def all_steps_of_a_run_work_in_one_folder(world):
    agent = world.agent()
    agent.claim(1)
    parcel = offer(agent, Parcel({"sub/x": b"x"}))
    for task in range(1, 21):
        agent.start((1, task, 1), "echo %d >> marks" % task, **source(parcel))
    for task in range(1, 21):
        assert agent.ended((1, task, 1)).exit.code == 0
    step = agent.run((1, 21, 1), "sort -n ../marks | tr '\\n' ' '", **dict(source(parcel), workdir="sub"))
    assert step.log.decode().split() == [str(i) for i in range(1, 21)], step.log
    assert len(agent.wants) == 1, agent.wants


def a_second_run_is_sent_nothing(world):
    agent = world.agent()
    parcel = offer(agent, Parcel({"x": b"x" * 1000000}))
    for run in (1, 2):
        agent.claim(run)
        assert agent.run((run, 1, 1), "test -s x && rm x", **source(parcel)).exit.code == 0
    assert agent.served == len(parcel.stream)
    agent.close()
    again = world.agent()
    again.claim(3)
    assert again.run((3, 1, 1), "test -s x", **source(parcel)).exit.code == 0 and not again.wants


def a_cut_transfer_goes_on_where_it_stopped(world):
    parcel = Parcel({"big": os.urandom(9 << 20), "x": b"x"})
    got = 0
    for number in range(1, 4):
        agent = world.agent()
        offer(agent, parcel)
        agent.claim(1, number)
        agent.serve_max = 3 << 20
        agent.start(ONE, "sha256sum big > sum; cat x", **source(parcel))
        part = os.path.join(agent.root, "parcels", parcel.digest + ".part")
        agent.until(lambda: os.path.exists(part) and os.path.getsize(part) == number * (3 << 20), "a part of it")
        assert agent.wants[0][:3] == (parcel.digest, got, True), agent.wants
        got = number * (3 << 20)
        agent.kill()
    agent = world.agent()
    offer(agent, parcel)
    agent.claim(1, 9)
    step = agent.run(ONE, "cat x", **source(parcel))
    assert step.exit.code == 0 and step.log == b"x", (step.exit, step.log)
    assert agent.served == len(parcel.stream) - got and not os.path.exists(part)


def the_window_is_kept(world):
    agent = world.agent()
    agent.claim(1)
    parcel = Parcel({"big": bytes(20 << 20)})
    agent.start(ONE, "exit 0", **source(parcel))
    agent.until(lambda: agent.wants, "a want")
    offer(agent, parcel)
    agent.serving[parcel.digest] = [0, 0]
    agent.serve(parcel.digest)
    assert agent.ended(ONE).exit.code == 0
    stored = [want[1] for want in agent.wants]
    assert stored == sorted(stored) and len(stored) > 4, stored
    assert not any(want[2] for want in agent.wants[1:]), agent.wants


def a_damaged_parcel_is_fetched_once_more_and_then_refused(world):
    agent = world.agent()
    agent.claim(1)
    good = Parcel({"x": b"x" * 5000, "y": b"y"})
    bad = Parcel({"x": b"x" * 5000, "y": b"y"}, damage=300)
    offer(agent, bad)
    step = agent.run(ONE, "echo ran > %s" % world.path("mark"), **source(bad))
    assert (step.exit.kind, step.exit.reason, step.exit.transient) == ("not_started", "not_started", False), step.exit
    assert step.exit.text == "the source: x is not what the manifest says", step.exit
    assert agent.served == 2 * len(bad.stream) and not os.path.exists(work_of(agent, 1)) and not temporary(agent)
    offer(agent, good)
    assert agent.run((1, 1, 2), "test -s x", **source(good)).exit.code == 0
    assert not os.path.exists(world.path("mark"))


def hostile_parcels_are_refused(world):
    agent = world.agent()
    agent.claim(1)
    outside = world.path("outside")
    for number, parcel in enumerate((Parcel({"../outside": b"x"}), Parcel({"a": ("->", "..")}),
                                     Parcel({"a": ("->", world.folder)}), Parcel({outside: b"x"})), 1):
        offer(agent, parcel)
        step = agent.run((1, number, 1), "exit 0", **source(parcel))
        assert step.exit.kind == "not_started" and "manifest" in step.exit.text, step.exit
    assert not os.path.exists(outside) and not os.path.exists(work_of(agent, 1))


def what_cannot_be_had_fails_the_start(world):
    agent = world.agent()
    agent.claim(1)
    parcel = Parcel({"x": b"x"})
    for number, transient in ((1, False), (2, True)):
        agent.start((1, 1, number), "exit 0", **source(parcel))
        agent.until(lambda: len(agent.wants) == number, "a want")
        agent.cannot(parcel.digest, "it is gone", transient)
        got = agent.ended((1, 1, number)).exit
        assert (got.kind, got.text, got.transient) == ("not_started", "the source: it is gone", transient), got
    agent.start((1, 1, 3), "exit 0", **dict(source(parcel), workdir="../x"))
    assert "leads out" in agent.ended((1, 1, 3)).exit.text


def a_start_that_waits_can_be_stopped(world):
    agent = world.agent()
    agent.claim(1)
    parcel = Parcel({"x": b"x"})
    agent.start(ONE, "exit 0", **source(parcel))
    agent.start((1, 2, 1), "exit 0", **source(parcel))
    agent.until(lambda: agent.wants, "a want")
    agent.stop(ONE)
    got = agent.ended(ONE).exit
    assert (got.kind, got.reason, got.stopped) == ("not_started", "canceled", True), got
    offer(agent, parcel)
    agent.serving[parcel.digest] = [0, 0]
    agent.serve(parcel.digest)
    assert agent.ended((1, 2, 1)).exit.code == 0


def others_start_while_one_waits(world):
    agent = world.agent()
    agent.claim(1)
    parcel = Parcel({"x": b"x"})
    agent.start(ONE, "exit 0", **source(parcel))
    assert agent.run((1, 2, 1), "exit 3").exit.code == 3
    agent.ping(1)


def two_agents_fetch_it_once(world):
    one, two = world.agent(), world.agent()
    parcel = offer(one, offer(two, Parcel({"big": bytes(1 << 20)})))
    one.claim(1)
    two.claim(2)
    one.serve_max = 1000
    one.start(ONE, "exit 0", **source(parcel))
    one.until(lambda: one.served == 1000, "the beginning")
    two.start((2, 1, 1), "test -s big", **source(parcel))
    two.ping(1)
    assert not two.wants, two.wants
    one.serve_max = None
    one.serve(parcel.digest)
    assert one.ended(ONE).exit.code == 0 and two.ended((2, 1, 1)).exit.code == 0 and not two.wants


def a_full_disk_is_told_and_may_pass(world):
    agent = world.agent()
    if os.geteuid() != 0 or os.system("mount -t tmpfs -o size=2m tmpfs %s/parcels 2>/dev/null" % agent.root) != 0:
        raise Skip("mounting a small file system needs root")
    try:
        agent.claim(1)
        parcel = offer(agent, Parcel({"big": bytes(3 << 20)}))
        got = agent.run(ONE, "exit 0", **source(parcel)).exit
        assert got.kind == "not_started" and got.transient and "No space left on device" in got.text, got
        assert not os.listdir(os.path.join(agent.root, "parcels"))
        os.system("mount -o remount,size=8m %s/parcels" % agent.root)
        assert agent.run((1, 1, 2), "test -s big", **source(parcel)).exit.code == 0
    finally:
        agent.kill()
        os.system("umount %s/parcels" % agent.root)


def the_folder_of_a_run_goes_with_it(world):
    agent = world.agent()
    parcel = offer(agent, Parcel({"x": b"x"}))
    for run, keep in ((1, False), (2, True)):
        agent.claim(run)
        assert agent.run((run, 1, 1), "echo made > made", **source(parcel)).exit.code == 0
        agent.forget((run, 1, 1))
        agent.release(run, keep=keep)
        agent.ping(run)
    runs = os.path.join(agent.root, "runs")
    wait_for(lambda: os.listdir(runs) == ["%s-2" % agent.home], "the folder to go")
    agent.claim(2, 1)
    assert agent.run((2, 1, 2), "cat made", **source(parcel)).log == b"made\n"
    # One that nobody came back to.
    agent.forget((2, 1, 2))
    agent.release(2, keep=True)
    agent.ping(9)
    os.utime(os.path.join(runs, "%s-2" % agent.home, "released"), (1, 1))
    world.agent()
    wait_for(lambda: os.listdir(runs) == [], "it to be removed")


def the_oldest_parcels_go(world):
    agent = world.agent()
    agent.claim(1)
    folder = os.path.join(agent.root, "parcels")
    for i in range(80):
        path = os.path.join(folder, "%064x" % i)
        with open(path, "w") as file:
            file.write("old")
        os.utime(path, (1000 + i, 1000 + i))
    parcel = offer(agent, Parcel({"x": b"x"}))
    assert agent.run(ONE, "exit 0", **source(parcel)).exit.code == 0
    wait_for(lambda: len(os.listdir(folder)) == 65, "the oldest to go")
    assert sorted(os.listdir(folder))[0] == "%064x" % 16 and parcel.digest in os.listdir(folder)


tell([a_source_is_brought_before_the_step, all_steps_of_a_run_work_in_one_folder, a_second_run_is_sent_nothing,
      a_cut_transfer_goes_on_where_it_stopped, the_window_is_kept,
      a_damaged_parcel_is_fetched_once_more_and_then_refused, hostile_parcels_are_refused,
      what_cannot_be_had_fails_the_start, a_start_that_waits_can_be_stopped, others_start_while_one_waits,
      two_agents_fetch_it_once, a_full_disk_is_told_and_may_pass, the_folder_of_a_run_goes_with_it,
      the_oldest_parcels_go])
