"""`kill -9` of `stoker run`: the step lives on, and what happened meanwhile is told truthfully later."""

import re
import signal

from lib import QUICK, Sandbox, check, equal, has, main, story, wait_for

STEP = """\
set -eu
echo "$$" >>started
i=0
while [ ! -e go ]; do
	i=$((i + 1))
	echo "line $i"
	echo $i >said.tmp
	mv said.tmp said
	sleep 0.02
done
while [ $i -lt 5000 ]; do
	i=$((i + 1))
	echo "line $i"
done
echo $i >said
echo "code=${1}" >>"$STOKER_OUTPUT"
echo '{"step": 42}' >>"$STOKER_METRICS"
exit "$1"
"""


def start(box, code, then="true"):
    box.file("step.sh", STEP)
    box.file("o.yaml", f"""\
name: o
steps:
  long:
    run: [sh, step.sh, "{code}"]
  then:
    needs: [long]
    run: {then}
""")
    stoker = box.start("run", "o.yaml")
    wait_for(lambda: box.exists("said") and int(box.read("said")) > 5, "the step says something")
    box.wait_running("o/1", "long")
    return stoker


def orphan(box, code):
    """Kills stoker in the middle; the step goes on alone, and comes to its end alone."""
    stoker = start(box, code)
    step, agent = box.step("long"), box.agent(stoker)
    check(step is not None, "the step is found")
    stoker.kill()
    run = box.status("o/1")
    equal((run["state"], run["orphaned"]), ("running", True), "the run, just after")
    has(box.stoker("status", "o/1", code=0).out, "orphaned", "status for people")
    has(box.stoker("status", code=0).out, "orphaned", "status of all")
    said = int(box.read("said"))
    wait_for(lambda: int(box.read("said")) > said + 5, "the step goes on without stoker")
    check(step.alive(), "it is the same process")
    if agent is not None:
        box.gone([agent])
    box.file("go", "")
    box.gone([step])
    equal(box.status("o/1")["state"], "running", "nobody has looked yet, so nothing is decided")


def check_log(box):
    equal(box.log("o/1", "long").decode().splitlines(), [f"line {n}" for n in range(1, int(box.read("said")) + 1)],
          "the log")


@story("a step that succeeds while nobody watches has succeeded, with its whole log, and the run goes on")
def succeeds(box: Sandbox):
    orphan(box, 0)
    box.stoker("run", "--resume", "o/1", code=0)
    run = box.status("o/1")
    equal((run["state"], run["orphaned"]), ("succeeded", False), "the run")
    equal(len(box.lines("started")), 1, "how often the step was started")
    attempt = box.attempts("o/1", "long")[0]
    equal((attempt["state"], attempt["exit_code"]), ("succeeded", 0), "the attempt")
    task = box.task("o/1", "long")
    equal(task["outputs"], {"code": "0"}, "its outputs")
    equal(task["metric"], {"step": 42}, "its last metric")
    check_log(box)
    equal(box.task("o/1", "then")["state"], "succeeded", "the step behind it")


@story("a step that fails while nobody watches has failed with its own exit code, and is not called a success")
def fails(box: Sandbox):
    orphan(box, 7)
    box.stoker("run", "--resume", "o/1", code=1)
    equal(box.status("o/1")["state"], "failed", "the run")
    attempt = box.attempts("o/1", "long")[0]
    equal((attempt["state"], attempt["reason"], attempt["exit_code"]), ("failed", "exit", 7), "the attempt")
    equal(box.task("o/1", "then")["state"], "upstream_failed", "the step behind it")
    check_log(box)
    equal(len(box.lines("started")), 1, "how often the step was started")


@story("a step that is killed while nobody watches is told as killed by that signal")
def killed(box: Sandbox):
    stoker = start(box, 0)
    step = box.step("long")
    stoker.kill()
    check(step.signal(signal.SIGSEGV), "the step lives")
    box.gone([step])
    box.stoker("run", "--resume", "o/1", code=1)
    attempt = box.attempts("o/1", "long")[0]
    equal((attempt["state"], attempt["reason"], attempt["signal"], attempt["exit_code"]), ("failed", "signal", 11, None),
          "the attempt")


@story("a run that still goes on is taken over: the same process, its log continued where it stopped")
def taken_over(box: Sandbox):
    stoker = start(box, 0)
    step = box.step("long")
    for number in range(3):
        stoker.kill()
        stoker = box.start("run", "--resume", "o/1")
        wait_for(lambda: not box.status("o/1")["orphaned"], f"take-over {number + 1}")
        said = int(box.read("said"))

        def shipped():
            return len(box.log("o/1", "long").splitlines()) > said

        wait_for(shipped, "the log goes on behind what was said at the take-over")
    check(step.alive(), "it is the same process")
    box.file("go", "")
    equal(stoker.wait(), 0, f"exit status:\n{stoker.text}")
    check_log(box)
    equal(len(box.lines("started")), 1, "how often the step was started")
    equal(len(box.attempts("o/1", "long")), 1, "attempts")


@story("SIGTERM and SIGHUP make `stoker run` go and leave the steps running")
def leaves(box: Sandbox):
    stoker = start(box, 0)
    step = box.step("long")
    for number in (signal.SIGTERM, signal.SIGHUP):
        stoker.signal(number)
        stoker.wait(20)
        has(stoker.text, "--resume", "how to go on")
        check(step.alive(), f"the step lives after {number.name}")
        wait_for(lambda: box.status("o/1")["orphaned"], "orphaned")
        stoker = box.start("run", "--resume", "o/1")
        wait_for(lambda: not box.status("o/1")["orphaned"], "taken over")
    box.file("go", "")
    equal(stoker.wait(), 0, f"exit status:\n{stoker.text}")
    equal(len(box.lines("started")), 1, "how often the step was started")
    check_log(box)


@story("a run that somebody drives cannot be driven by a second one")
def one_driver(box: Sandbox):
    stoker = start(box, 0)
    step = box.step("long")
    result = box.stoker("run", "--resume", "o/1", timeout=20)
    check(result.code not in (0, 130), f"refused: {result!r}")
    has(result.err, "o/1", "what it says")
    check(re.search(r"\b%d\b" % stoker.pid, result.err), f"and names the one who has it ({stoker.pid}): {result.err}")
    check(step.alive() and stoker.running(), "the first one goes on undisturbed")
    box.file("go", "")
    equal(stoker.wait(), 0, f"exit status:\n{stoker.text}")
    equal(len(box.lines("started")), 1, "how often the step was started")


@story("the agent killed: the step lives, is found again by the next agent, and nothing of its log is lost")
def agent_killed(box: Sandbox):
    stoker = start(box, 0)
    step = box.step("long")
    for _ in range(3):
        agent = wait_for(lambda: box.agent(stoker), "an agent")
        check(agent.signal(signal.SIGKILL), "the agent lives")
        said = int(box.read("said"))
        wait_for(lambda: len(box.log("o/1", "long").splitlines()) > said, "the log goes on", 60)
    check(step.alive(), "it is the same process")
    box.file("go", "")
    equal(stoker.wait(), 0, f"exit status:\n{stoker.text}")
    equal(len(box.lines("started")), 1, "how often the step was started")
    equal(len(box.attempts("o/1", "long")), 1, "attempts")
    check_log(box)


def agent_frozen(box: Sandbox):
    stoker = start(box, 0)
    step, agent = box.step("long"), box.agent(stoker)
    check(agent is not None and agent.signal(signal.SIGSTOP), "its agent is frozen")
    wait_for(lambda: not agent.alive(), "the frozen agent is given up", 60)
    wait_for(lambda: "lost contact with worker local" in stoker.text, "it is told")
    check(step.alive(), "the step runs on")
    box.file("go", "")
    equal(stoker.wait(), 0, f"exit status:\n{stoker.text}")
    equal(len(box.lines("started")), 1, "how often the step was started")
    equal(len(box.attempts("o/1", "long")), 1, "attempts")
    check_log(box)


if not QUICK:  # silence is believed after half a minute only
    story("a frozen agent is given up and replaced: its step runs on, and nothing of its log is lost")(agent_frozen)


@story("the supervisor killed: its step is ended before another attempt begins, and success is never claimed")
def supervisor_killed(box: Sandbox):
    box.file("step.sh", STEP)
    box.file("o.yaml", """\
name: o
defaults: {retry: {max: 2, backoff: 1s}}
steps:
  long: {run: [sh, step.sh, "0"]}
""")
    stoker = box.start("run", "o.yaml")
    wait_for(lambda: len(box.lines("started")) == 1 and box.step("long"), "the first attempt")
    box.wait_running("o/1", "long")
    first, supervisor = box.step("long"), box.supervisor("long")
    check(supervisor is not None and supervisor.signal(signal.SIGKILL), "its supervisor is killed")
    wait_for(lambda: len(box.lines("started")) == 2, "a second attempt", 60)
    check(not first.alive(), "the first one's process is gone")
    box.file("go", "")
    equal(stoker.wait(), 0, f"exit status:\n{stoker.text}")
    attempts = box.attempts("o/1", "long")
    equal([(a["state"], a["exit_code"]) for a in attempts], [("lost", None), ("succeeded", 0)], "the attempts")
    equal(attempts[0]["reason"], "supervisor_lost", "why the first one is lost")


@story("who takes a run up at the very moment its driver ends sees the end, and starts nothing again")
def taken_up_at_the_end(box: Sandbox):
    box.file("o.yaml", """\
name: o
steps:
  a: {run: "echo a >>started"}
  b: {needs: [a], run: "echo b >>started"}
""")
    for number in range(1, 16):
        run = f"o/{number}"
        driver = box.start("run", "o.yaml")
        wait_for(lambda: box.has_run(run), "the run")
        while driver.running():
            taker = box.stoker("run", "--resume", run)
            check(taker.code in (0, 1), f"{taker!r}")
        equal(driver.wait(), 0, f"exit status of the driver:\n{driver.text}")
        box.stoker("run", "--resume", run, code=0)
        equal([len(box.attempts(run, task)) for task in "ab"], [1, 1], f"attempts of {run}")
    equal(len(box.lines("started")), 30, "how often steps were started")


if __name__ == "__main__":
    main()
