#!/usr/bin/env python3
"""stoker-agent by itself: starting, shipping, losing and finding again, and what it refuses."""

import contextlib
import os
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time

from agentclient import (Agent, ATTACH, CLAIM, HELLO, PING, START, Skip, alive, binary, encode, leave_attempt, stopped,
                         supervisor_of, tell, wait_for, with_variable)

ONE = (1, 1, 1)


def a_step_is_given_what_it_needs(world):
    agent = world.agent(env={"PATH": os.environ["PATH"], "HOME": "/nowhere", "LANG": "C.UTF-8", "SECRET": "no",
                             "LC_ALL": "C", "TMOUT": "900", "STOKER_ATTEMPT_ID": "outer"})
    agent.claim(1)
    step = agent.run(ONE, "env; echo; pwd; readlink /proc/self/fd/0; cat /proc/self/oom_score_adj; ps -o pgid= -p $$;"
                     " echo $$", env={"A": "b c", "PATH": "/usr/bin:/bin", "STOKER_FENCE": "forged"}, fence=42,
                     workdir=world.folder, devices=["GPU-1", "GPU-2"])
    head, tail = step.log.decode().split("\n\n")
    env = dict(line.split("=", 1) for line in head.splitlines())
    folder = agent.folder(ONE)
    assert step.exit.kind == "code" and step.exit.code == 0, step.exit
    assert env["A"] == "b c" and env["PATH"] == "/usr/bin:/bin" and env["HOME"] == "/nowhere", env
    assert env["LC_ALL"] == "C" and "SECRET" not in env and "TMOUT" not in env, env
    assert env["STOKER_ATTEMPT_ID"] == world.home + "-1-1-1", env
    assert env["STOKER_FENCE"] == "42" and env["CUDA_VISIBLE_DEVICES"] == "GPU-1,GPU-2", env
    assert env["STOKER_CHECKPOINT_DIR"] == agent.checkpoints_of(1, 1) and env["STOKER_RESUME_FROM"] == "", env
    for name, file in (("STOP_FILE", "stop"), ("OUTPUT", "output"), ("METRICS", "metrics")):
        assert env["STOKER_" + name] == os.path.join(folder, file), env
    lines = tail.split()
    with open("/proc/self/oom_score_adj") as file:
        assert lines[:3] == [os.path.realpath(world.folder), "/dev/null", file.read().strip()], lines
    assert lines[3] == lines[4], "it leads no group of its own: %r" % lines
    assert stat.S_IMODE(os.stat(world.root).st_mode) == 0o700 and stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert not os.path.exists(os.path.join(folder, "metrics")), "files nobody asked for"


def what_protects_the_scheduler_protects_no_step(world):
    def become(score):
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(score)

    with open("/proc/self/oom_score_adj") as file:
        own = file.read()
    try:
        become("-700")
    except PermissionError:
        raise Skip("only who has CAP_SYS_RESOURCE can protect a process from the want of memory") from None
    try:
        for number, (score, wanted) in enumerate((("-700", b"0\n"), ("300", b"300\n")), 1):
            become(score)
            agent = world.agent()
            become(own)
            agent.claim(1)
            step = agent.run((1, 1, number), "cat /proc/self/oom_score_adj")
            assert step.log == wanted, (score, step.log)
            with open("/proc/%d/oom_score_adj" % agent.process.pid) as file:
                assert int(file.read()) <= -500, "the agent itself is protected"
            agent.close()
    finally:
        become(own)


def no_devices_means_an_empty_list(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, ["/bin/sh", "-c", 'test "${CUDA_VISIBLE_DEVICES-unset}" = ""'])
    assert step.exit.code == 0, step.exit


def the_welcome_tells_the_machine(world):
    folder = world.path("bin")
    os.mkdir(folder)
    world.write("bin/nvidia-smi", "#!/bin/sh\ncase $1 in -L) exit 0;; esac\n"
                "echo 'GPU-aaaa, NVIDIA H200, 143771'\necho 'GPU-bbbb, NVIDIA H200 NVL, X, 1000'\n", 0o755)
    agent = world.agent(env=dict(os.environ, PATH=folder + ":" + os.environ["PATH"]))
    welcome = agent.welcome
    assert welcome.number(1) == 1 and welcome.text(2) == socket.gethostname(), welcome.fields
    assert welcome.text(3) == os.uname().machine and welcome.text(9) == os.path.realpath(world.root)
    with open("/proc/sys/kernel/random/boot_id") as file:
        assert welcome.text(4) == file.read().strip()
    assert welcome.number(7) >= 1000 and welcome.number(8) > 1 << 28, welcome.fields
    devices = welcome.fields[10]
    assert len(devices) == 2 and b"GPU-aaaa" in devices[0] and b"NVIDIA H200 NVL, X" in devices[1], devices


def a_broken_gpu_driver_is_told_and_passed_over(world):
    folder = world.path("bin")
    os.mkdir(folder)
    world.write("bin/nvidia-smi", "#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n", 0o755)
    agent = world.agent(env=dict(os.environ, PATH=folder + ":" + os.environ["PATH"]))
    agent.until(lambda: any("nvidia-smi failed" in note for note in agent.notes), "a note")
    assert 10 not in agent.welcome.fields


def exit_codes_and_signals_are_told_apart(world):
    agent = world.agent()
    agent.claim(1)
    for number, (script, kind, value, reason) in enumerate((
            ("exit 0", "code", 0, "exit"), ("exit 7", "code", 7, "exit"), ("exit 255", "code", 255, "exit"),
            ("exit 85", "code", 85, "checkpointed"), ("kill -9 $$", "signal", 9, "signal"),
            ("kill -TERM $$", "signal", 15, "signal"), ("false; echo never", "code", 1, "exit")), 1):
        step = agent.run((1, 1, number), script)
        got = step.exit
        assert (got.kind, got.code or got.signal, got.reason, got.stopped) == (kind, value, reason, False), got
        assert got.started > 0 and got.ended >= got.started and step.step_pid > 1, got
        assert b"never" not in step.log


def what_cannot_start_says_why(world):
    agent = world.agent()
    agent.claim(1)
    script = world.write("script", "#!/no/such/interpreter\n", 0o755)
    text = world.write("text", "no program\n", 0o755)
    denied = world.write("denied", "#!/bin/sh\n", 0o644)
    cases = (
        (["true"], dict(workdir="/data/x"), "chdir /data/x: No such file or directory"),
        (["true"], dict(workdir="relative"), "workdir 'relative' is not an absolute path"),
        (["train.py"], dict(env={"PATH": "/usr/bin:/bin"}), "run: train.py: not found in PATH (/usr/bin:/bin)"),
        ([world.path("missing")], {}, "run: %s: No such file or directory" % world.path("missing")),
        ([script], {}, "run: %s: the interpreter or loader it names is not there" % script),
        ([text], {}, "run: %s: not a program for this machine, nor a script with a #! line" % text),
        ([denied], {}, "run: %s: Permission denied" % denied),
        (["denied"], dict(env={"PATH": world.folder}), "run: denied: in PATH (%s): Permission denied" % world.folder),
    )
    for number, (argv, options, expected) in enumerate(cases, 1):
        got = agent.run((1, 1, number), argv, **options).exit
        assert (got.kind, got.reason, got.text) == ("not_started", "not_started", expected), (got, expected)
        assert not got.transient and got.started == 0 and not agent.attempt((1, 1, number)).of(65), got


def a_long_script_runs(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.run(ONE, "true # %s\necho end" % ("x" * 300000))
    assert step.exit.code == 0 and step.log == b"end\n", (step.exit, step.log[:100])


def starting_twice_runs_once(world):
    agent = world.agent()
    agent.claim(1)
    marks = world.path("marks")
    for _ in range(10):
        agent.start(ONE, "echo ran >> %s; sleep 0.05" % marks)
    agent.ended(ONE)
    agent.start(ONE, "echo ran >> %s" % marks)
    agent.ping(1)
    with open(marks) as file:
        assert file.read() == "ran\n"
    assert agent.attempt(ONE).exits == 1


def two_agents_start_it_once(world):
    one, two = world.agent(), world.agent()
    marks = world.path("marks")
    one.claim(1)
    two.claim(1)
    for task in range(1, 21):
        for agent in (one, two):
            agent.start((1, task, 1), "echo %d >> %s" % (task, marks))
    for task in range(1, 21):
        for agent in (one, two):
            assert agent.ended((1, task, 1)).exit.code == 0
    with open(marks) as file:
        assert sorted(map(int, file.read().split())) == list(range(1, 21))


def a_later_driver_takes_the_run_over(world):
    old, new = world.agent(), world.agent()
    assert old.claim(1, 5)[1] is False
    assert new.claim(1, 6)[1] is False
    run, refused, text = old.claim(1, 5)
    assert refused and "later" in text, text
    old.start(ONE, "echo > " + world.path("mark"), epoch=5)
    old.until(lambda: any("not started" in note for note in old.notes), "a note")
    assert not os.path.exists(world.path("mark")) and not os.path.exists(old.folder(ONE))
    assert new.run(ONE, "exit 0", epoch=6).exit.code == 0
    # A run that was never seen is refused to whoever is older than the newest driver.
    assert old.claim(2, 5)[1] is True
    assert old.claim(3, 7)[1] is False


def a_frozen_agent_cannot_start_after_a_later_claim(world):
    old = world.agent()
    old.claim(1, 5)
    old.freeze()
    old.send_raw(old.spec(ONE, "echo > " + world.path("mark"), epoch=5))
    new = world.agent()
    new.claim(1, 6)
    old.thaw()
    old.until(lambda: any("not started" in note for note in old.notes), "a note")
    assert not os.path.exists(world.path("mark"))


def nothing_starts_without_a_claim_or_after_a_release(world):
    agent = world.agent()
    agent.start(ONE, "echo > " + world.path("mark"))
    agent.until(lambda: any("not claimed" in note for note in agent.notes), "a note")
    agent.claim(1)
    agent.run((1, 2, 1), "exit 0")
    agent.forget((1, 2, 1))
    agent.release(1)
    agent.ping(1)
    agent.start(ONE, "echo > " + world.path("mark"))
    agent.until(lambda: len([note for note in agent.notes if "not claimed" in note]) == 2, "a note")
    assert not os.path.exists(world.path("mark"))
    assert os.listdir(os.path.join(world.root, "tasks")) == [], "empty task folders stay"
    assert os.listdir(os.path.join(world.root, "epochs")) == [agent.home]


def a_release_keeps_checkpoints(world):
    agent = world.agent()
    agent.claim(1)
    agent.run(ONE, "echo x > $STOKER_CHECKPOINT_DIR/a")
    agent.release(1)
    agent.ping(1)
    assert os.listdir(agent.checkpoints_of(1, 1)) == ["a"]


def a_killed_agent_is_found_again_to_the_byte(world):
    agent = world.agent()
    agent.claim(1)
    gate = world.path("gate")
    os.mkfifo(gate)
    script = "seq 1 20000; read x < %s; seq 20001 40000; exit 3" % gate
    step = agent.start(ONE, script)
    agent.until(lambda: len(step.log) >= 108894, "the first half")
    half = len(step.log)
    journal = len(step.journal)
    supervisor = supervisor_of(agent.folder(ONE))
    agent.kill()
    assert alive(supervisor)
    again = world.agent()
    again.claim(1)
    assert again.attempt(ONE).present == "running"
    rest = again.attach(ONE, journal, half)
    with open(gate, "w") as file:
        file.write("go\n")
    again.ended(ONE)
    expected = b"".join(b"%d\n" % i for i in range(1, 40001))
    assert bytes(step.log + rest.log) == expected, (half, len(rest.log))
    assert rest.exit.code == 3 and rest.exit.log_bytes == len(expected), rest.exit
    assert journal + len(rest.journal) == rest.exit.journal_bytes


def an_end_nobody_saw_is_collected_later(world):
    agent = world.agent()
    agent.claim(1)
    agent.start(ONE, "echo done; echo key=value >> $STOKER_OUTPUT; exit 4")
    agent.until(lambda: os.path.exists(os.path.join(agent.folder(ONE), "spec")), "the attempt")
    agent.kill()
    wait_for(lambda: os.path.exists(os.path.join(agent.folder(ONE), "exit")), "the exit record")
    for _ in range(2):
        again = world.agent()
        again.claim(1)
        assert again.attempt(ONE).present == "ended"
        step = again.attach(ONE)
        again.ended(ONE)
        assert step.exit.code == 4 and step.log == b"done\n" and step.outputs == {"key": "value"}, step.exit
    again.forget(ONE)
    again.ping(1)
    assert not os.path.exists(again.folder(ONE))
    again.inventories.clear()
    last = world.agent()
    last.claim(1)
    assert ONE not in last.attempts


def a_running_attempt_is_not_forgotten(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.start(ONE, ["sleep", "1000"])
    agent.until(lambda: step.step_pid, "the start")
    agent.forget(ONE)
    agent.until(lambda: any("not ended" in note for note in agent.notes), "a note")
    assert alive(step.step_pid)
    agent.stop(ONE, grace=0)
    agent.ended(ONE)


def a_killed_supervisor_is_lost_and_nothing_is_left(world):
    agent = world.agent()
    agent.claim(1)
    script = ("sleep 1000 & setsid sleep 1001 & (setsid sh -c 'trap \"\" TERM; sleep 1002; sleep 1002' &) ;"
              " env -i sleep 1003 & echo up; wait")
    step = agent.start(ONE, script, grace=200)
    agent.until(lambda: b"up" in step.log and step.step_pid, "the step")
    cookie = "STOKER_ATTEMPT_ID=" + os.path.basename(agent.folder(ONE))
    wait_for(lambda: len(with_variable(cookie)) >= 5, "its processes")
    bare = [int(pid) for pid in subprocess.run(["pgrep", "-f", "^sleep 1003"], capture_output=True).stdout.split()]
    os.kill(supervisor_of(agent.folder(ONE)), signal.SIGKILL)
    agent.ended(ONE)
    assert (step.exit.kind, step.exit.reason) == ("lost", "supervisor_lost"), step.exit
    assert with_variable(cookie) == [] and not any(alive(pid) for pid in bare), "something is left"
    assert step.log == b"up\n" and step.of(71), step.log


def a_supervisor_killed_while_it_starts_leaves_nothing(world):
    """Whenever that is: its step, which nothing in its environment tells from a stranger, is found by its session."""
    def runs(pid):
        try:
            return os.readlink("/proc/%s/exe" % pid) == program
        except OSError:
            return False

    rng = random.Random(11)
    agent = world.agent()
    agent.claim(1)
    program = world.path("long")
    shutil.copy(shutil.which("sleep"), program)
    started, most, span = 0, 150, 0.005
    for number in range(1, most + 1):
        ident = (1, 1, number)
        step = agent.start(ident, ["env", "-i", program, "1000"], grace=200)
        until = time.monotonic() + 30
        while not os.path.exists(agent.folder(ident)) and time.monotonic() < until:
            pass  # no pause: what is looked for is over in a few milliseconds
        time.sleep(rng.random() * span)
        os.kill(supervisor_of(agent.folder(ident)), signal.SIGKILL)
        agent.ended(ident)
        assert (step.exit.kind, step.exit.reason) == ("lost", "supervisor_lost"), step.exit
        started += step.step_pid is not None
        span *= 0.9 if step.step_pid is not None else 1.1  # so that half of them get so far, whatever this machine is
        agent.forget(ident)
    assert most / 10 < started < most * 0.9, "one of the moments that are looked for was never met: %d of %d" % (started, most)
    left = [pid for pid in os.listdir("/proc") if pid.isdigit() and runs(pid)]
    assert left == [], "of %d attempts, %d of them told, these are left: %s" % (most, started, left)


def the_folder_of_a_killed_supervisor_serves_no_other_attempt(world):
    """Who was making its step may yet write there; as that of another, it would hide the step of that one."""
    agent = world.agent()
    leave_attempt(agent, ONE)
    agent.claim(1)
    agent.attach(ONE)
    with open(os.path.join(agent.folder(ONE), "spec"), "rb") as notes:
        step = agent.ended(ONE)
        assert (step.exit.kind, step.exit.reason) == ("lost", "supervisor_lost"), step.exit
        agent.forget(ONE)
        two = (1, 1, 2)
        step = agent.start(two, ["sleep", "1000"], grace=200)
        agent.until(lambda: step.step_pid, "the next step")
        assert not os.path.samestat(os.fstat(notes.fileno()), os.stat(os.path.join(agent.folder(two), "spec")))
        assert os.fstat(notes.fileno()).st_nlink == 0
    agent.stop(two)
    agent.ended(two)


def a_step_that_nobody_could_note_is_ended(world):
    """Who makes it is stuck between making and noting it, and its supervisor is dead."""
    maker = subprocess.Popen(
        ["python3", "-c", "import os, signal\npid = os.fork()\nif pid == 0:\n os.setpgid(0, 0)\n"
         " os.execve('/bin/sleep', ['sleep', '1000'], {})\nprint(pid, flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)"],
        start_new_session=True, stdout=subprocess.PIPE)
    pid = int(maker.stdout.readline())
    maker.stdout.close()
    with open("/proc/%d/stat" % maker.pid) as file:
        start_ticks = int(file.read().rpartition(")")[2].split()[19])
    agent = world.agent()
    leave_attempt(agent, ONE, (maker.pid, start_ticks))
    agent.claim(1)
    agent.attach(ONE)
    step = agent.ended(ONE)
    assert maker.wait() == -signal.SIGKILL
    assert not alive(pid), "the step is left"
    assert (step.exit.kind, step.exit.reason) == ("lost", "supervisor_lost"), step.exit
    assert "1 process of the step was ended" in step.exit.text, step.exit


def a_supervisor_lost_while_nobody_was_connected(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.start(ONE, "trap '' TERM; echo up; while :; do sleep 0.1; done", grace=300)
    agent.until(lambda: b"up" in step.log and step.step_pid, "the step")
    supervisor = supervisor_of(agent.folder(ONE))
    pid = step.step_pid
    agent.kill()
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: not alive(supervisor), "its death")
    two = [world.agent(), world.agent()]
    for again in two:
        again.claim(1)
        again.attach(ONE)
    for again in two:
        got = again.ended(ONE)
        assert (got.exit.kind, got.exit.reason) == ("lost", "supervisor_lost"), got.exit
        assert got.log == b"up\n"
    assert not alive(pid)


def a_killed_sweeper_is_started_again(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.start(ONE, "trap '' TERM; echo up; while :; do sleep 0.1; done", grace=600000)
    agent.until(lambda: b"up" in step.log and step.step_pid, "the step")
    os.kill(supervisor_of(agent.folder(ONE)), signal.SIGKILL)

    def sweepers():
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open("/proc/%s/cmdline" % name, "rb") as file:
                        if file.read().startswith(b"stoker-agent: sweep " + os.path.basename(agent.folder(ONE)).encode()):
                            found.append(int(name))
                except OSError:
                    pass
        return found

    agent.until(lambda: sweepers() and os.path.exists(os.path.join(agent.folder(ONE), "stop")), "a sweeper")
    agent.kill()
    first = sweepers()
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    assert alive(step.step_pid)
    # The next one goes on; the request to stop that came meanwhile shortens the grace.
    again = world.agent()
    again.claim(1)
    again.attach(ONE)
    again.until(lambda: sweepers() and sweepers() != first, "another sweeper")
    for pid in sweepers():
        os.kill(pid, signal.SIGKILL)
    again.stop(ONE, grace=0)
    got = again.ended(ONE)
    assert (got.exit.kind, got.exit.reason, got.exit.stopped) == ("lost", "supervisor_lost", True), got.exit
    assert not alive(step.step_pid)


def another_boot_is_told_from_a_lost_supervisor(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.start(ONE, "echo up; sleep 1000")
    agent.until(lambda: b"up" in step.log and step.step_pid, "the step")
    folder = agent.folder(ONE)
    supervisor, pid = supervisor_of(folder), step.step_pid
    agent.kill()
    # As after a restart: the processes are gone, and the boot that is written down was another one.
    for victim in (supervisor, pid):
        os.kill(victim, signal.SIGKILL)
    for victim in with_variable("STOKER_ATTEMPT_ID=" + os.path.basename(folder)):
        with contextlib.suppress(ProcessLookupError):  # it was dying when it was looked for
            os.kill(victim, signal.SIGKILL)
    with open(os.path.join(folder, "spec"), "rb") as file:
        spec = file.read()
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        boot = file.read().strip()
    assert spec.count(boot) == 2, "of the supervisor, and of who made the session of its step"
    with open(os.path.join(folder, "spec"), "wb") as file:
        file.write(spec.replace(boot, b"00000000-0000-0000-0000-000000000000"))
    again = world.agent()
    again.claim(1)
    got = again.attach(ONE)
    again.ended(ONE)
    assert (got.exit.kind, got.exit.reason) == ("lost", "worker_rebooted"), got.exit
    assert got.log == b"up\n" and got.exit.started > 0


def a_spec_cut_by_a_power_failure_is_a_reboot(world):
    agent = world.agent()
    agent.claim(1)
    os.mkdir(agent.folder(ONE))
    open(os.path.join(agent.folder(ONE), "spec"), "w").close()
    agent.claim(1)
    got = agent.attach(ONE)
    agent.ended(ONE)
    assert (got.exit.kind, got.exit.reason) == ("lost", "worker_rebooted"), got.exit


def a_damaged_exit_record_is_no_success(world):
    agent = world.agent()
    agent.claim(1)
    agent.run(ONE, "exit 0")
    path = os.path.join(agent.folder(ONE), "exit")
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        data[8] ^= 0x10
        file.seek(0)
        file.write(data)
    again = world.agent()
    again.claim(1)
    got = again.attach(ONE)
    again.ended(ONE)
    assert got.exit.kind == "lost" and got.exit.text == "its exit record is damaged", got.exit


def a_journal_cut_in_a_record_is_shipped_to_the_last_whole_one(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.start(ONE, "echo up; sleep 1000", grace=0)
    agent.until(lambda: step.step_pid and b"up" in step.log, "the step")
    supervisor, journal = supervisor_of(agent.folder(ONE)), os.path.join(agent.folder(ONE), "journal")
    os.kill(supervisor, signal.SIGSTOP)
    wait_for(lambda: stopped(supervisor), "the supervisor to be frozen")
    whole = os.path.getsize(journal)  # with a sample, if there was one
    agent.until(lambda: len(step.journal) == whole, "all that it wrote")
    with open(journal, "ab") as file:
        file.write(struct.pack("<IB", 100, 67) + b"half a record")
    agent.ping(1)
    assert len(step.journal) == whole
    os.kill(supervisor, signal.SIGKILL)
    agent.ended(ONE)
    assert step.exit.reason == "supervisor_lost" and not step.of(67) and step.of(71), step.exit


def the_window_is_kept_and_pings_overtake(world):
    agent = world.agent()
    agent.acknowledge = False
    agent.claim(1)
    step = agent.start(ONE, "head -c 20000000 /dev/zero")
    agent.until(lambda: step.exit is not None and step.log_at == 4 << 20, "a full window")
    agent.ping(1)
    assert step.log_at == 4 << 20, step.log_at
    agent.store(ONE)
    agent.until(lambda: step.log_at == 8 << 20, "another window")
    agent.acknowledge = True
    agent.store(ONE)
    agent.ended(ONE)
    assert step.log_at == 20000000 and step.log == bytes(20000000)


def a_pong_does_not_wait_for_a_flood(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.start(ONE, "cat /dev/zero", log_max=1 << 40, grace=0)
    step.keep_log = False
    agent.until(lambda: step.log_at > 64 << 20, "a flood")
    for number in range(20):
        before = agent.frames
        agent.send(PING, (1, number + 1))
        agent.until(lambda: number + 1 in agent.pongs, "a pong")
        # What may stand before it: what was in the pipe, and one piece that was half written.
        assert agent.frames - before <= 24, "%d frames came before the pong" % (agent.frames - before)
    agent.stop(ONE, grace=0)
    agent.until(lambda: step.exit is not None, "the end")


def a_pong_tells_how_busy_the_machine_is(world):
    agent = world.agent()
    agent.ping(1)
    load, disk = agent.load, os.statvfs(world.root)
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) * 1024
    assert load["load1_milli"] >= 0 and load["memory_bytes"] == memory, load
    assert 0 < load["memory_available_bytes"] <= memory, load
    assert load["disk_bytes"] == disk.f_blocks * disk.f_frsize and 0 <= load["disk_free_bytes"] <= load["disk_bytes"], load


def a_reader_that_does_not_read_costs_no_memory(world):
    agent = world.agent()
    agent.claim(1)
    agent.start(ONE, "head -c 50000000 /dev/zero")
    for number in range(1, 200):
        agent.start((1, 2, number), "echo %d" % number)
    for number in range(2000):
        agent.send(PING, (1, number + 1))
    wait_for(lambda: os.path.exists(os.path.join(agent.folder(ONE), "exit")), "the exit record")
    with open("/proc/%d/status" % agent.process.pid) as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    if "asan" not in binary():
        assert peak < 24 * 1024, "%d KiB" % peak
    agent.until(lambda: len(agent.pongs) == 2000, "all pongs")
    agent.ended(ONE)


def garbage_ends_the_conversation_and_nothing_else(world):
    keeper = world.agent()
    keeper.claim(1)
    step = keeper.start(ONE, ["sleep", "1000"])
    keeper.until(lambda: step.step_pid, "the start")
    hello = encode(HELLO, [(1, 1), (2, world.home)])
    start = keeper.spec((1, 9, 1), "exit 0")
    pieces = [b"\0\0\0\0\0", b"\xff\xff\xff\xff\x01", b"GET / HTTP/1.0\r\n\r\n", encode(PING, [(1, 1)]),
              encode(HELLO, [(1, 1), (2, "../../etc/pw")]), encode(HELLO, [(1, 99), (2, world.home)]),
              hello + struct.pack("<IB", 3, START) + b"\x01\xff", hello + struct.pack("<IB", 6, CLAIM) + b"\x01\x7f\0\0\0",
              hello + encode(ATTACH, [(1, b"\xff" * 12)])]
    pieces += [hello + start[:4] + bytes([start[4]]) + bytes(b ^ (1 << (i % 8)) if i == at else b for i, b in
               enumerate(start[5:])) for at in range(0, 60, 7)]
    for piece in pieces:
        agent = world.agent(greet=False)
        agent.send_raw(piece)
        agent.process.stdin.close()
        agent.process.wait(60)
        assert agent.process.returncode in (0, 1), (piece, agent.process.returncode)
    assert alive(step.step_pid)
    keeper.stop(ONE, grace=0)
    keeper.ended(ONE)


def a_frame_of_a_later_version_is_passed_over(world):
    agent = world.agent()
    agent.send_raw(encode(31, [(1, 5)]))
    agent.send_raw(encode(PING, [(1, 8), (200, b"new")]))
    agent.until(lambda: 8 in agent.pongs, "a pong")


def a_root_of_no_use_is_told(world):
    world.write("file", "")
    agent = world.agent(root=world.path("file/root"), greet=False)
    agent.process.wait(60)
    agent.receive(1)
    assert agent.process.returncode == 1 and agent.notes, agent.notes
    assert b"file/root" in agent.process.stderr.read()
    if os.getuid() == 0:
        full = world.path("full")
        os.mkdir(full)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "none", full], capture_output=True)
        if mounted.returncode != 0:
            raise Skip("no tmpfs can be mounted")
        try:
            agent = world.agent(root=full, greet=False)
            agent.process.wait(60)
            assert agent.process.returncode == 1 and b"Read-only" in agent.process.stderr.read()
        finally:
            subprocess.run(["umount", "-l", full], check=True)


def it_ends_with_its_input(world):
    agent = world.agent()
    agent.claim(1)
    step = agent.start(ONE, ["sleep", "1000"])
    agent.until(lambda: step.step_pid, "the start")
    assert agent.close() == 0 and agent.error_text == "", agent.error_text
    assert alive(step.step_pid)
    again = world.agent()
    again.claim(1)
    again.attach(ONE)
    again.stop(ONE, grace=0)
    again.ended(ONE)


def leftovers_of_killed_agents_are_removed(world):
    agent = world.agent()
    agent.close()
    gone = os.path.join(world.root, "attempts", ".spare-%d-1" % agent.process.pid)  # it is no more
    bare = os.path.join(world.root, "tasks", ".spare-%d-2" % agent.process.pid)
    old = os.path.join(world.root, "attempts", ".new-x-1")
    young = os.path.join(world.root, "attempts", ".new-y-1")
    for folder in (gone, bare, old, young):
        os.makedirs(os.path.join(folder, "inner"))
        with open(os.path.join(folder, "spec"), "w") as file:
            file.write("x")
    agent = world.agent()
    agent.until(lambda: not os.path.exists(gone) and not os.path.exists(bare), "their removal")
    assert os.path.exists(young), os.listdir(os.path.join(world.root, "attempts"))


def without_inotify_all_is_noticed_too(world):
    agent = world.agent(env=dict(os.environ, STOKER_AGENT_NO_INOTIFY="1"))
    agent.claim(1)
    step = agent.start(ONE, "echo one; read x; sleep 0.3; echo two; exit 2")
    agent.ended(ONE)
    assert step.exit.kind == "code", step.exit
    step = agent.run((1, 1, 2), "echo one; sleep 0.4; echo two; exit 2")
    assert step.exit.code == 2 and step.log == b"one\ntwo\n", step.exit


def a_folder_used_again_tells_nothing_of_its_former_attempt(world):
    agent = world.agent()
    agent.claim(1)
    agent.run(ONE, ["sh", "-c", "exit 7"])
    agent.forget(ONE)
    agent.ping(1)
    attempts = os.path.join(world.root, "attempts")
    assert [name.split("-")[0] for name in os.listdir(attempts)] == [".spare"], os.listdir(attempts)
    gate = world.path("gate")
    os.mkfifo(gate)
    two = (1, 2, 1)
    step = agent.start(two, "read x < %s; echo new; exit 3" % gate)
    agent.until(lambda: step.step_pid, "the start")
    assert os.listdir(attempts) == [os.path.basename(agent.folder(two))]  # the spare one became it
    agent.kill()
    again = world.agent()
    again.claim(1)
    assert again.attempt(two).present == "running"  # not the end of the former one
    step = again.attach(two)
    with open(gate, "w") as file:
        file.write("go\n")
    again.ended(two)
    assert step.exit.code == 3 and step.log == b"new\n" and step.outputs == {}, step.exit
    assert len(step.journal) == step.exit.journal_bytes


def a_thousand_attempts_leave_nothing(world):
    agent = world.agent()
    agent.claim(1)
    started = time.monotonic()
    idents = [(1, task, 1) for task in range(1, 1001)]
    flying = []
    for ident in idents:
        agent.start(ident, ["true"])
        flying.append(ident)
        agent.until(lambda: len([i for i in flying if agent.attempts[i].exit is None]) < 8, "room")
        for done in [i for i in flying if agent.attempts[i].exit is not None]:
            agent.forget(done)
            flying.remove(done)
    for ident in flying:
        agent.ended(ident)
        agent.forget(ident)
    seconds = time.monotonic() - started
    agent.release(1)
    agent.ping(1)
    assert all(attempt.exit.code == 0 for attempt in agent.attempts.values())
    assert os.listdir(os.path.join(world.root, "attempts")) == [] == os.listdir(os.path.join(world.root, "tasks"))
    fds = os.listdir("/proc/%d/fd" % agent.process.pid)
    assert len(fds) < 16, fds
    print("# %d attempts a second" % (1000 / seconds))


def usage_is_told(world):
    version = subprocess.run([binary(), "--version"], capture_output=True, text=True)
    assert version.returncode == 0 and version.stdout.startswith("stoker-agent "), version
    help_text = subprocess.run([binary(), "--help"], capture_output=True, text=True)
    assert help_text.returncode == 0 and "--root DIR" in help_text.stdout, help_text
    wrong = subprocess.run([binary(), "--rot"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert wrong.returncode == 2 and "usage" in wrong.stderr, wrong


tell([value for value in list(globals().values())
      if callable(value) and getattr(value, "__module__", "") == "__main__" and not isinstance(value, type)])
