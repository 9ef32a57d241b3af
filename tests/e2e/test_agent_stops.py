#!/usr/bin/env python3
"""stoker-agent ends steps: on request, by their limits, and whatever they do to escape; and keeps their output."""

import os
import random
import re
import signal
import subprocess
import sys
import time

from agentclient import Skip, alive, supervisor_of, tell, wait_for, with_variable

ONE = (1, 1, 1)


def cookie(agent, ident=ONE):
    return "STOKER_ATTEMPT_ID=" + os.path.basename(agent.folder(ident))


def up(agent, script, **options):
    """A step that printed "up"."""
    agent.claim(1)
    step = agent.start(ONE, script, **options)
    agent.until(lambda: b"up" in step.log and step.step_pid, "the step")
    return step


def a_step_that_obeys_keeps_its_exit_code(world):
    agent = world.agent()
    step = up(agent, ["sh", "-c", "trap 'test -e $STOKER_STOP_FILE && echo asked; exit 85' TERM; echo up;"
                      " while :; do sleep 0.01; done"])
    agent.stop(ONE, "preempted")
    agent.ended(ONE)
    assert (step.exit.kind, step.exit.code, step.exit.reason, step.exit.stopped) == ("code", 85, "preempted", True), \
        step.exit
    assert step.log.endswith(b"asked\n") and step.of(71)[0].number(2) == 7, step.log


def a_step_that_ends_with_0_when_stopped_is_stopped(world):
    agent = world.agent()
    step = up(agent, ["sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"])
    agent.stop(ONE)
    agent.ended(ONE)
    assert (step.exit.code, step.exit.reason, step.exit.stopped) == (0, "canceled", True), step.exit


def a_step_that_ignores_sigterm_is_killed_after_its_grace(world):
    agent = world.agent()
    step = up(agent, "trap '' TERM INT HUP; echo up; while :; do sleep 0.1; done")
    before = time.monotonic()
    agent.stop(ONE, grace=400)
    agent.ended(ONE)
    assert time.monotonic() - before >= 0.4
    assert (step.exit.kind, step.exit.signal, step.exit.reason, step.exit.stopped) == ("signal", 9, "canceled", True)


def a_second_stop_shortens_the_grace(world):
    agent = world.agent()
    step = up(agent, "trap '' TERM; echo up; while :; do sleep 0.1; done")
    agent.stop(ONE, "canceled", grace=3600000)
    agent.until(lambda: step.of(71), "the first stop")
    agent.stop(ONE, "preempted", grace=0)
    agent.ended(ONE)
    assert step.exit.reason == "canceled" and step.exit.signal == 9, step.exit


def a_stop_right_behind_the_start_is_not_lost(world):
    agent = world.agent()
    agent.claim(1)
    for number in range(1, 21):
        ident = (1, 1, number)
        agent.start(ident, ["sleep", "1000"])
        agent.stop(ident, grace=0)
    for number in range(1, 21):
        assert agent.ended((1, 1, number)).exit.stopped


def nothing_escapes_a_stop(world):
    agent = world.agent()
    world.write("escape.py", """
import os, signal, sys, time
def spin(name):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(name, flush=True)
    while True:
        time.sleep(1)
if os.fork() == 0:
    os.setsid(); spin("session")
if os.fork() == 0:
    os.setpgid(0, 0); spin("group")
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            spin("twice")
        os._exit(0)
    os._exit(0)
if os.fork() == 0:
    os.setsid(); os.environ.clear()
    os.execve(sys.executable, ["python3", "-c", "import time, signal; signal.signal(15, 1); print('bare', flush=True)\\n"
              "while 1: time.sleep(1)"], {})
spin("leader")
""")
    agent.claim(1)
    step = agent.start(ONE, [sys.executable, world.path("escape.py")])
    agent.until(lambda: all(word in step.log for word in (b"session", b"group", b"twice", b"bare", b"leader")), "all")
    agent.until(lambda: step.of(68) and step.of(68)[-1].number(4) >= 5, "a sample that counts all five")
    sid = supervisor_of(agent.folder(ONE))
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(sid)], capture_output=True, text=True).stdout.split()
    agent.stop(ONE, grace=100)
    agent.ended(ONE)
    assert with_variable(cookie(agent)) == []
    assert not any(alive(int(pid)) for pid in children), children


def a_daemon_left_behind_is_ended_and_told(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, "setsid sleep 1000 & (setsid sleep 1001 &); echo up; exit 3")
    assert step.exit.code == 3 and not step.exit.stopped and step.log == b"up\n", step.exit
    assert "2 processes left by the step were ended" in step.notes, step.notes
    assert with_variable(cookie(agent)) == []


def what_is_about_to_end_is_let_end(world):
    agent = world.agent()
    agent.claim(1)
    for number in range(1, 6):  # On a busy machine it may take longer than it is let.
        step = agent.run((1, 1, number), "(sleep 0.05; echo late) & exit 0")
        assert step.exit.code == 0, step.exit
        if step.notes == []:
            break
    assert step.log == b"late\n" and step.notes == [], (step.exit, step.log, step.notes)


def a_stranger_holding_the_output_hangs_nothing(world):
    agent = world.agent()
    world.write("pass.py", """
import array, os, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
print("up", flush=True)
s.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [1]))])
""")
    import array
    import socket
    server = socket.socket(socket.AF_UNIX)
    server.bind(world.path("socket"))
    server.listen(1)
    agent.claim(1)
    step = agent.start(ONE, [sys.executable, world.path("pass.py"), world.path("socket")])
    peer = server.accept()[0]
    held = array.array("i", peer.recvmsg(1, 64)[1][0][2])
    agent.ended(ONE)
    assert step.exit.code == 0 and step.log == b"up\n", step.exit
    for fd in held:
        os.close(fd)


def closing_the_output_is_no_end(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, "exec >&- 2>&-; sleep 0.2; exit 6")
    assert step.exit.code == 6, step.exit


def the_time_limit_holds_without_anybody(world):
    agent = world.agent()
    up(agent, "echo up; sleep 1000", timeout=3000, grace=100)
    agent.kill()
    wait_for(lambda: os.path.exists(os.path.join(agent.folder(ONE), "exit")), "the exit record")
    again = world.agent()
    again.claim(1)
    step = again.attach(ONE)
    again.ended(ONE)
    assert (step.exit.reason, step.exit.stopped) == ("timeout", True), step.exit
    assert "time limit of 3.0s" in step.exit.text, step.exit


def silence_is_a_stall_and_each_sign_of_life_is_none(world):
    agent = world.agent()
    agent.claim(1)
    agent.start((1, 1, 1), "echo one; sleep 1000", stall=300, grace=0)
    for task, sign in enumerate(("echo $i", "echo '{\"i\": 1}' >> $STOKER_METRICS",
                                 "cd $STOKER_CHECKPOINT_DIR; echo $i > .x; mv .x c-$i"), 2):
        agent.start((1, task, 1), "for i in $(seq 16); do %s; sleep 0.25; done; exit 0" % sign, stall=3000, grace=0)
    step = agent.ended((1, 1, 1))
    assert (step.exit.reason, step.exit.stopped) == ("stalled", True), step.exit
    for task in (2, 3, 4):
        step = agent.ended((1, task, 1))
        assert step.exit.code == 0 and not step.exit.stopped, (task, step.exit)


def a_frozen_machine_is_no_stall(world):
    agent = world.agent()
    step = up(agent, "echo up; while test ! -e %s; do sleep 0.1; done" % world.path("gate"), stall=4000, grace=0)
    supervisor = supervisor_of(agent.folder(ONE))
    os.kill(supervisor, signal.SIGSTOP)
    time.sleep(7)  # The freeze itself; nothing is waited for.
    os.kill(supervisor, signal.SIGCONT)
    open(world.path("gate"), "w").close()
    agent.ended(ONE)
    assert step.exit.code == 0 and not step.exit.stopped, step.exit


def a_sigterm_to_the_supervisor_preempts(world):
    agent = world.agent()
    step = up(agent, "trap 'exit 85' TERM; echo up; while :; do sleep 0.01; done")
    os.kill(supervisor_of(agent.folder(ONE)), signal.SIGTERM)
    agent.ended(ONE)
    assert (step.exit.code, step.exit.reason, step.exit.stopped) == (85, "preempted", True), step.exit


def hangups_and_interrupts_do_not_end_the_supervisor(world):
    agent = world.agent()
    step = up(agent, "echo up; while test ! -e %s; do sleep 0.01; done; exit 3" % world.path("gate"))
    supervisor = supervisor_of(agent.folder(ONE))
    for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        os.kill(supervisor, sig)
    with open("/proc/%d/cmdline" % supervisor, "rb") as file:
        assert file.read().startswith(b"stoker-agent: supervise " + os.path.basename(agent.folder(ONE)).encode()), "its title"
    assert os.getpgid(supervisor) == supervisor
    assert set(os.listdir("/proc/%d/fd" % supervisor)) & {"0", "1", "2"} and all(
        os.readlink("/proc/%d/fd/%d" % (supervisor, fd)) == "/dev/null" for fd in range(3))
    open(world.path("gate"), "w").close()
    agent.ended(ONE)
    assert step.exit.code == 3, step.exit


def a_suspended_step_is_woken_to_be_stopped(world):
    agent = world.agent()
    step = up(agent, "trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done")
    os.kill(step.step_pid, signal.SIGSTOP)
    agent.stop(ONE, grace=30000)
    agent.ended(ONE)
    assert step.exit.code == 5, step.exit


def metrics_and_outputs_arrive(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, "for i in $(seq 3000); do echo \"{\\\"step\\\": $i}\"; done >> $STOKER_METRICS;"
                     "echo broken >> $STOKER_METRICS; printf '{\"last\": 1}' >> $STOKER_METRICS;"
                     "printf 'a=1\\nb = x\\na=2\\nnothing\\nc.d-e=f=g\\n' > $STOKER_OUTPUT")
    metrics = [record.text(2) for record in step.of(67)]
    assert 500 <= len(metrics) <= 600 and metrics[0] == '{"step": 1}' and metrics[-1] == '{"last": 1}', len(metrics)
    assert step.outputs == {"a": "2", "c.d-e": "f=g"}, step.outputs
    assert any("metric lines were left out" in note for note in step.notes), step.notes
    assert any("output line 2" in note for note in step.notes) and any("output line 4" in note for note in step.notes)


def two_gigabytes_keep_head_and_tail(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.start(ONE, "seq 1 220000000", log_max=8 << 20)
    agent.until(lambda: step.exit is not None, "the end", 300)
    agent.ended(ONE)
    log = bytes(step.log)
    match = re.search(rb"\n\[stoker: (\d+) bytes left out here\]\n", log)
    head, tail, left_out = log[:match.start()], log[match.end():], int(match.group(1))
    total = sum((10 ** (n + 1) - 10 ** n) * (n + 2) for n in range(8)) + (220000000 - 10 ** 8 + 1) * 10
    assert head == b"".join(b"%d\n" % i for i in range(1, 900000))[:4 << 20]
    assert len(head) == len(tail) == 4 << 20 and log.endswith(b"\n219999999\n220000000\n")
    assert left_out == total - (8 << 20) == step.exit.dropped, (left_out, total)
    assert re.fullmatch(rb"\d*\n(\d{9}\n)*", tail), "the tail is not in order"
    sizes = sum(os.stat(os.path.join(agent.folder(ONE), name)).st_size for name in ("log", "log.tail"))
    assert sizes <= (8 << 20) + 4096, sizes


def tails_of_every_length_are_whole(world):
    agent = world.agent()
    agent.claim(1)
    rng = random.Random(5)
    for task in range(1, 40):
        limit = rng.choice((2, 3, 10, 64, 1000))
        n = rng.choice((0, 1, limit // 2, limit - 1, limit, limit + 1, 2 * limit, rng.randrange(5000)))
        data = rng.randbytes(n)
        with open(world.path("data"), "wb") as file:
            file.write(data)
        step = agent.run((1, task, 1), ["dd", "if=" + world.path("data"), "bs=7", "status=none"], log_max=limit)
        head, tail = data[:(limit + 1) // 2], data[(limit + 1) // 2:]
        kept = tail[-(limit // 2):]
        mark = b"\n[stoker: %d bytes left out here]\n" % (len(tail) - len(kept)) if len(tail) > len(kept) else b""
        assert bytes(step.log) == head + mark + kept, (limit, n, bytes(step.log), head + mark + kept)


def binary_output_without_a_newline_is_kept(world):
    agent = world.agent()
    agent.claim(1)
    data = random.Random(1).randbytes(1 << 20)
    with open(world.path("data"), "wb") as file:
        file.write(data)
    step = agent.run(ONE, ["cat", world.path("data")])
    assert bytes(step.log) == data


def a_full_disk_costs_output_and_not_the_step(world):
    if os.getuid() != 0:
        raise Skip("only root can mount a small disk")
    os.mkdir(world.root)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", world.root], capture_output=True).returncode:
        raise Skip("no tmpfs can be mounted")
    try:
        agent = world.agent()
        agent.claim(1)
        step = agent.start(ONE, "head -c 30000000 /dev/zero; echo end; exit 3")
        agent.ended(ONE)
        assert (step.exit.kind, step.exit.code) == ("code", 3), step.exit
        assert 3 << 20 < step.exit.log_bytes < 4 << 20, step.exit
        assert step.exit.log_bytes + step.exit.dropped >= 30000004, step.exit
        assert any("the disk was full" in note for note in step.notes), step.notes
        # What it left must be fetched: the agent serves a full disk that has attempts on it.
        try:
            with open(os.path.join(world.root, "ballast"), "wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        except OSError:
            pass
        again = world.agent()
        again.claim(1)
        assert again.attempt(ONE).present == "ended"
        again.attach(ONE)
        again.ended(ONE)
        failed = again.run((1, 2, 1), "exit 0").exit
        assert (failed.kind, failed.transient) == ("not_started", True) and "No space left" in failed.text, failed
        again.forget(ONE)
        again.ping(1)
        assert again.run((1, 3, 1), "exit 0").exit.code == 0
    finally:
        for each in world.agents:
            each.close()
        subprocess.run(["umount", "-l", world.root], check=True)


def room_that_comes_back_is_used_and_the_gap_is_told(world):
    if os.getuid() != 0:
        raise Skip("only root can mount a small disk")
    os.mkdir(world.root)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", world.root], capture_output=True).returncode:
        raise Skip("no tmpfs can be mounted")
    try:
        agent = world.agent()
        agent.claim(1)
        with open(os.path.join(world.root, "ballast"), "wb") as file:
            file.write(bytes(3 << 20))
        gate = world.path("gate")
        step = agent.start(ONE, "head -c 8000000 /dev/zero; echo full > %s; while test -e %s; do sleep 0.02; done;"
                           " echo after" % (gate, gate))
        agent.until(lambda: os.path.exists(gate), "the gate")
        os.unlink(os.path.join(world.root, "ballast"))
        os.unlink(gate)
        agent.ended(ONE)
        # What was still in the pipe when there was room again comes behind the mark.
        assert re.search(rb"\n\[stoker: \d+ bytes left out here: the disk was full\]\n\0*after\n$", bytes(step.log)), \
            bytes(step.log[-100:])
    finally:
        for each in world.agents:
            each.close()
        subprocess.run(["umount", "-l", world.root], check=True)


def what_it_used_is_told(world):
    agent = world.agent()
    agent.claim(1)
    seen = world.path("seen")
    step = agent.start(ONE, [sys.executable, "-c", "import os, sys, time\nx = bytearray(80 << 20)\nt = time.process_time()\n"
                             "while time.process_time() < t + 0.3: pass\n"
                             "while not os.path.exists(sys.argv[1]): time.sleep(0.01)", seen])
    agent.until(lambda: step.of(68) and step.of(68)[-1].number(2) >= 300, "a sample of all that it computed")
    sample = step.of(68)[-1]
    assert sample.number(3) >= 80 << 20 and sample.number(4) == 1, sample.fields
    world.write("seen", "")
    agent.until(lambda: step.exit is not None, "the end")
    assert step.exit.cpu_ms >= 300 and step.exit.rss >= 80 << 20, step.exit


def a_kill_for_want_of_memory_is_told(world):
    groups = "/sys/fs/cgroup/memory"
    two = "/sys/fs/cgroup"
    if os.getuid() != 0:
        raise Skip("only root can make a control group")
    with open("/proc/self/cgroup") as file:
        lines = [line.split(":", 2) for line in file.read().splitlines()]
    one = [line[2] for line in lines if "memory" in line[1].split(",")]
    base, limit = (groups + one[0], "memory.limit_in_bytes") if one else (two + lines[-1][2], "memory.max")
    group = os.path.join(base, "stoker-test-%d" % os.getpid())
    try:
        os.mkdir(group)
        with open(os.path.join(group, limit), "w") as file:
            file.write(str(64 << 20))
    except OSError as error:
        raise Skip("no control group with a memory limit: %s" % error)
    try:
        agent = world.agent()
        agent.claim(1)
        with open(os.path.join(group, "cgroup.procs"), "w") as file:
            file.write(str(agent.process.pid))
        eat = world.write("eat.py", "x = []\nwhile True: x.append(bytearray(1 << 20))\n")
        step = agent.run((1, 1, 1), [sys.executable, eat])
        assert (step.exit.kind, step.exit.signal, step.exit.reason) == ("signal", 9, "oom"), step.exit
        step = agent.run((1, 1, 2), "%s %s; true" % (sys.executable, eat))
        assert (step.exit.code, step.exit.reason) == (137, "oom"), step.exit
        agent.close()
    finally:
        wait_for(lambda: not open(os.path.join(group, "cgroup.procs")).read().strip(), "an empty group")
        os.rmdir(group)


tell([value for value in list(globals().values())
      if callable(value) and getattr(value, "__module__", "") == "__main__" and not isinstance(value, type)
      and value not in (cookie, up)])
