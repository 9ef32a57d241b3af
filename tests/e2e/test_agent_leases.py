#!/usr/bin/env python3
"""stoker-agent keeps leases: a step runs on while the scheduler is heard from, and is dead in time when not."""

import os
import signal
import time

from agentclient import LEASE_GRANT, Parcel, stopped, supervisor_of, tell, wait_for, with_variable

ONE = (1, 1, 1)
TWO = (1, 2, 1)


def clock():
    """The worker's clock, as in every ask: milliseconds of CLOCK_BOOTTIME."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)


def cookie(agent, ident=ONE):
    return "STOKER_ATTEMPT_ID=" + os.path.basename(agent.folder(ident))


BEAT = "echo up; while :; do sleep 0.05; date +%s%N >>$STOKER_CHECKPOINT_DIR/.beat; done"


def leased(agent, script=BEAT, lease=5000, ident=ONE, **options):
    """A step with a lease that printed "up". A test that is held up for nearly as long renews it too late."""
    if 1 not in agent.epochs:
        agent.claim(1, lease=lease)
    step = agent.start(ident, script, lease=lease, lease_from=agent.asks[-1], **options)
    agent.until(lambda: b"up" in step.log and step.step_pid, "the step")
    return step


def last_beat(agent):
    with open(os.path.join(agent.checkpoints_of(1, 1), ".beat")) as file:
        return int(file.read().split()[-1]) // 1000000


def wall():
    return time.time_ns() // 1000000


def it_asks_before_it_answers_a_claim_and_goes_on_asking(world):
    agent = world.agent()
    agent.claim(2)
    agent.ping(1)
    assert agent.asks == []
    before = clock()
    agent.claim(1, lease=1500)
    assert len(agent.asks) == 1 and before <= agent.asks[0] <= clock(), agent.asks
    agent.until(lambda: len(agent.asks) >= 4, "more asks")
    assert agent.asks == sorted(agent.asks) and agent.asks[3] - agent.asks[0] < 5000, agent.asks


def a_renewed_lease_runs_on_and_one_that_is_not_stops_the_step_within_its_grace(world):
    agent = world.agent()
    started = clock()
    step = leased(agent)
    deaf = leased(agent, "trap '' TERM; echo up; while :; do sleep 0.05; done", ident=TWO, grace=700)
    agent.until(lambda: clock() > started + 6500, "more than a lease")
    assert step.exit is None and deaf.exit is None
    agent.grants = False
    granted = agent.asks[-1]
    agent.ended(ONE)
    assert (step.exit.kind, step.exit.reason, step.exit.stopped) == ("signal", "lease_expired", True), step.exit
    assert "its lease ran out: the scheduler was not heard from for 5.0s" in step.exit.text, step.exit
    assert clock() >= granted + 5000
    assert step.of(71)[0].number(2) == 14, step.of(71)
    agent.ended(TWO)
    assert (deaf.exit.signal, deaf.exit.reason) == (9, "lease_expired"), deaf.exit
    assert clock() >= granted + 5700


def it_runs_out_with_nobody_connected(world):
    agent = world.agent()
    leased(agent, lease=3000)
    agent.grants = False
    granted = wall() - clock() + agent.asks[-1]
    agent.kill()
    wait_for(lambda: with_variable(cookie(agent)) == [], "the end of the step")
    # It lived on for about its lease; on a busy machine its last sign of life is a while before its end.
    assert last_beat(agent) >= granted + 1500, (last_beat(agent), granted)
    wait_for(lambda: os.path.exists(os.path.join(agent.folder(ONE), "exit")), "its exit record")
    again = world.agent()
    again.claim(1, epoch=2)
    assert again.attempt(ONE).present == "ended"
    again.attach(ONE)
    assert again.ended(ONE).exit.reason == "lease_expired", again.attempt(ONE).exit


def one_that_has_run_out_before_the_start_starts_nothing(world):
    agent = world.agent()
    agent.claim(1, lease=60000)
    step = agent.run(ONE, ["touch", world.path("ran")], lease=60000, lease_from=max(1, clock() - 60001))
    assert (step.exit.kind, step.exit.reason, step.exit.stopped, step.exit.transient) == (
        "not_started", "lease_expired", True, True), step.exit
    assert step.of(65) == [] and not os.path.exists(world.path("ran"))
    later = agent.run((1, 1, 2), ["touch", world.path("ran")], lease=60000, lease_from=clock() + 3600000)
    assert later.exit.kind == "not_started" and not os.path.exists(world.path("ran")), later.exit


def a_start_that_a_frozen_agent_hears_too_late_starts_nothing(world):
    agent = world.agent()
    agent.claim(1, lease=1000)
    asked = agent.asks[-1]
    agent.grants = False
    agent.freeze()
    wait_for(lambda: stopped(agent.process.pid), "the agent to be frozen")
    agent.start(ONE, ["touch", world.path("ran")], lease=1000, lease_from=asked)
    agent.send(LEASE_GRANT, (1, asked))
    wait_for(lambda: clock() > asked + 1000, "the end of the lease")
    agent.thaw()
    step = agent.ended(ONE)
    assert (step.exit.kind, step.exit.reason) == ("not_started", "lease_expired"), step.exit
    assert not os.path.exists(world.path("ran"))


def files_that_take_longer_than_a_lease_are_waited_for_while_it_is_renewed(world):
    agent = world.agent()
    parcel = Parcel({"x": b"x" * 1000000})
    agent.parcels[parcel.digest] = parcel
    agent.serve_max = 1000
    agent.claim(1, lease=4000)
    asked = agent.asks[-1]
    step = agent.start(ONE, "test -s x", lease=4000, lease_from=asked, workdir=".",
                       provisions=[("source", parcel, {})])
    agent.until(lambda: clock() > asked + 6000, "more than a lease")
    assert step.exit is None
    agent.serve_max = None
    agent.serve(parcel.digest)
    assert agent.ended(ONE).exit.code == 0, step.exit


def one_found_again_is_renewed_and_one_that_the_scheduler_has_given_up_is_not(world):
    agent = world.agent()
    leased(agent, lease=6000)
    leased(agent, lease=6000, ident=TWO)
    agent.kill()
    again = world.agent()
    again.claim(1, epoch=2, lease=6000)
    began = clock()
    again.attach(ONE, renew=False)
    found = again.attach(TWO, renew=True)
    step = again.ended(ONE)
    assert step.exit.reason == "lease_expired" and len(again.asks) >= 3, (step.exit, again.asks)
    again.until(lambda: clock() > began + 8000, "more than a lease")
    assert found.exit is None
    again.stop(TWO, grace=0)
    assert again.ended(TWO).exit.reason == "canceled"


def late_and_repeated_answers_shorten_nothing(world):
    agent = world.agent()
    step = leased(agent)
    began = clock()
    while clock() < began + 6500:
        agent.receive(0.05)
        agent.send(LEASE_GRANT, (1, agent.asks[0]))
    assert step.exit is None
    agent.stop(ONE, grace=0)
    assert agent.ended(ONE).exit.reason == "canceled"


def a_lease_outlives_its_supervisor(world):
    agent = world.agent()
    leased(agent, lease=3600000, grace=200)
    supervisor = supervisor_of(agent.folder(ONE))
    agent.kill()
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: with_variable(cookie(agent)) == [], "the end of the step")
    again = world.agent()
    again.claim(1, epoch=2)
    again.attach(ONE)
    step = again.ended(ONE)
    assert (step.exit.kind, step.exit.reason) == ("lost", "supervisor_lost"), step.exit


def nothing_is_left_of_one_that_ended(world):
    agent = world.agent()
    agent.claim(1, lease=60000)
    step = agent.run(ONE, "exit 3", lease=60000, lease_from=agent.asks[-1])
    assert step.exit.code == 3 and not step.exit.stopped
    name = os.path.basename(agent.folder(ONE)).encode()
    wait_for(lambda: not any(name in title for title in titles()), "the end of supervisor and guard")
    agent.forget(ONE)
    agent.ping(1)
    assert not os.path.exists(agent.folder(ONE))


def titles():
    for pid in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                yield file.read()
        except OSError:
            continue


tell([value for value in list(globals().values())
      if callable(value) and getattr(value, "__module__", "") == "__main__" and not isinstance(value, type)
      and value not in (clock, cookie, leased, last_beat, wall, titles)])
