"""The command line: what is refused before anything starts, exit codes, and the commands that tell and act."""

import contextlib
import fcntl
import json
import os
import re
import signal
import sqlite3
import struct
import subprocess
import termios
from contextlib import closing

from lib import SLOW, STOKER, Sandbox, check, equal, has, main, read_bytes, small_pipe, story, wait_for

COMMANDS = ("validate", "run", "next", "status", "runs", "logs", "why", "cancel", "retry", "checkpoints", "events")
COMMANDS += ("list", "pause", "unpause", "backfill")

PARAMS = """\
name: p
params:
  epochs: {type: int, default: 20, min: 1, max: 500}
  lr: {type: float, default: 0.01, min: 0, max: 1}
  fast: {type: bool, default: false}
  who: world
steps:
  show:
    run: echo "${{ params.epochs }} ${{ params.lr }} ${{ params.fast }} ${{ params.who }}" >>effects
"""

WAITS = """\
name: w
steps:
  first: {run: echo first >>effects}
  waits:
    needs: [first]
    grace: 5s
    run: |
      echo waiting
      while [ ! -e go ]; do sleep 0.05; done
      echo waits >>effects
  last: {needs: [waits], run: echo last >>effects}
"""


def refused(box, *words, says, code=2):
    """Refused with that exit code and text; nothing ran and no run was recorded."""
    result = box.stoker(*words, code=code)
    for part in [says] if isinstance(says, str) else says:
        has(result.err, part, " ".join(words))
    check(not box.exists("effects"), "no step was started")
    equal(box.runs(), [], "no run is recorded")
    return result


@story("parameters that do not exist, have the wrong type, or are out of range are refused before anything starts")
def parameters(box: Sandbox):
    box.file("p.yaml", PARAMS)
    refused(box, "run", "p.yaml", "-p", "epoch=3", says=["epoch", "epochs"])
    refused(box, "run", "p.yaml", "-p", "nothing_like_it=3", says="nothing_like_it")
    refused(box, "run", "p.yaml", "-p", "epochs=many", says=["epochs", "many"])
    refused(box, "run", "p.yaml", "-p", "epochs=1.5", says=["epochs", "1.5"])
    refused(box, "run", "p.yaml", "-p", "epochs=0", says=["epochs", "1"])
    refused(box, "run", "p.yaml", "-p", "epochs=501", says=["epochs", "500"])
    refused(box, "run", "p.yaml", "-p", "epochs=99999999999999999999", says="epochs")
    refused(box, "run", "p.yaml", "-p", "lr=nan", says="lr")
    refused(box, "run", "p.yaml", "-p", "lr=1.01", says="lr")
    refused(box, "run", "p.yaml", "-p", "fast=maybe", says=["fast", "maybe"])
    refused(box, "run", "p.yaml", "-p", "epochs", says="epochs")
    refused(box, "run", "p.yaml", "-p", "=3", says="=3")
    refused(box, "run", "p.yaml", "-p", "epochs=3", "-p", "epochs=4", says="epochs")
    box.stoker("run", "p.yaml", "-p", "epochs=3", "-p", "lr=1e-3", "-p", "fast=true", "-p", "who=Ada", code=0)
    equal(box.lines("effects"), ["3 1e-3 true Ada"], "what the step was given")
    params = box.status("p/1")["params"]
    equal([str(params[name]).lower() for name in ("epochs", "fast", "who")], ["3", "true", "ada"], "as status tells them")
    equal(float(params["lr"]), 0.001, "lr as status tells it")


@story("a required parameter that is left out is asked for by name")
def required(box: Sandbox):
    box.file("p.yaml", "name: p\nparams:\n  who: {type: string}\nsteps:\n  s: {run: 'echo x >>effects'}\n")
    refused(box, "run", "p.yaml", says="who")
    box.stoker("run", "p.yaml", "-p", "who=me", code=0)


@story("a parameter never becomes code: a value that a shell could read otherwise is refused in a script")
def no_injection(box: Sandbox):
    box.file("p.yaml", PARAMS)
    for value in ("$(touch pwned)", "`touch pwned`", "a; touch pwned", "a\ntouch pwned", "\"; touch pwned; \"", "a b", "*",
                  "'"):
        result = box.stoker("run", "p.yaml", "-p", f"who={value}")
        check(result.code not in (0, 130), f"refused: {value!r}: {result!r}")
        has(result.text, "STOKER_PARAM_WHO", f"the way out is named for {value!r}")
        check(not box.exists("pwned") and not box.exists("effects"), f"nothing was run for {value!r}")
    box.file("words.yaml", """\
name: words
params: {who: world}
steps:
  word: {run: [sh, -c, 'printf %s "$1" >word', sh, "${{ params.who }}"]}
  variable: {run: 'printf %s "$STOKER_PARAM_WHO" >variable'}
""")
    odd = "$(touch pwned) `x` \"'\\ ; *\n2"
    box.stoker("run", "words.yaml", "-p", f"who={odd}", code=0)
    equal((box.read("word"), box.read("variable")), (odd, odd), "the value, as a word and as a variable")
    check(not box.exists("pwned"), "nothing was run")


@story("a run, task, attempt or step that does not exist exits 3 and is named")
def no_such_thing(box: Sandbox):
    box.file("p.yaml", PARAMS)

    def missing(*words, name):
        has(box.stoker(*words, code=3).err, name, " ".join(words))

    box.stoker("status", "p/7", code=3)  # where nothing ever ran
    box.stoker("run", "p.yaml", code=0)
    for words in (["status"], ["why"], ["cancel"], ["retry"], ["run", "--resume"]):
        missing(*words, "p/7", name="p/7")
        missing(*words, "nothing/1", name="nothing/1")
    missing("logs", "p/7", "show", name="p/7")
    missing("checkpoints", "p/7", "show", name="p/7")
    missing("logs", "p/1", "nobody", name="nobody")
    missing("logs", "p/1", "show", "--attempt", "9", name="9")
    missing("why", "p/1", "nobody", name="nobody")
    missing("checkpoints", "p/1", "nobody", name="nobody")
    missing("retry", "p/1", "--from", "nobody", name="nobody")
    for name in ("p", "p/", "p/x", "/1", "p/0", "p/-1", "p/99999999999999999999", "p/1/show/2/3"):
        result = box.stoker("status", name)
        check(result.code in (2, 3), f"an odd name: {result!r}")


@story("usage errors exit 2 and tell the usage; --help and --version exit 0")
def usage(box: Sandbox):
    for words in ([], ["nonsense"], ["runs", "--nonsense"], ["status", "a/1", "b/1"], ["logs"], ["logs", "a/1"], ["run"],
                  ["validate"], ["cancel"], ["retry"], ["checkpoints", "a/1"]):
        result = box.stoker(*words, code=2)
        check("usage" in result.err or "--help" in result.err, f"what to do instead: {result!r}")
        equal(result.out, "", f"nothing on standard output of {words}")
    has(box.stoker("stauts", code=2).err, "status", "a command that is nearly one")
    for words in ([name, "--help"] for name in COMMANDS):
        result = box.stoker(*words, code=0)
        has(result.out, words[0], "its help")
        equal(result.err, "", "nothing on standard error")
    help_ = box.stoker("--help", code=0).out
    for name in COMMANDS:
        has(help_, name, "the help of all")
    has(box.stoker("--version", code=0).out, "stoker", "the version")
    check(not os.path.exists(box.home), "none of this made a state folder")


@story("validate exits 0 or 2, takes several files, and a bad file is refused by run in the same words")
def validate(box: Sandbox):
    box.file("good.yaml", WAITS)
    box.file("bad.yaml", "name: bad\nsteps:\n  train:\n    need: [prepare]\n    run: echo x >>effects\n  prepare:\n"
             "    run: 7h\n    timeout: soon\n")
    box.stoker("validate", "good.yaml", code=0)
    result = box.stoker("validate", "good.yaml", "bad.yaml", code=2)
    has(result.text, "bad.yaml:4:5", "the unknown key")
    has(result.text, "needs", "what was probably meant")
    has(result.text, "bad.yaml:8:14", "the bad duration, in the same go")
    check(not re.search(r"good\.yaml:\d", result.text), f"nothing against the good one: {result!r}")
    refused(box, "run", "bad.yaml", says=["bad.yaml:4:5", "bad.yaml:8:14"])
    result = box.stoker("run", "missing.yaml")
    check(result.code in (2, 3), f"a file that is not there: {result!r}")
    has(result.err, "missing.yaml", "what it says")


@story("a missing program or folder is `not_started`, named, and not tried again")
def not_started(box: Sandbox):
    box.file("n.yaml", """\
name: n
defaults: {retry: {max: 3, backoff: 1s}}
steps:
  program: {run: [/no/such/program, x]}
  relative: {run: [./nor-this]}
  bare: {run: [no-such-program-anywhere]}
  folder: {run: "true", workdir: /no/such/folder}
  plain: {run: [./plain.txt]}
  behind: {needs: [program], run: echo x >>effects}
""")
    box.file("plain.txt", "not a program\n")
    box.stoker("run", "n.yaml", code=1)
    run = box.status("n/1")
    equal(run["state"], "failed", "the run")
    tasks = {task["task"]: task for task in run["tasks"]}
    for name, path in (("program", "/no/such/program"), ("relative", "nor-this"), ("bare", "no-such-program-anywhere"),
                       ("folder", "/no/such/folder"), ("plain", "plain.txt")):
        equal(tasks[name]["state"], "failed", name)
        equal([a["reason"] for a in tasks[name]["attempts"]], ["not_started"], f"attempts of {name}")
        equal(tasks[name]["attempts"][0]["exit_code"], None, f"exit code of {name}")
        has(tasks[name]["attempts"][0]["message"], path, f"message of {name}")
        has(box.stoker("why", "n/1", name, code=0).out, path, f"why {name}")
    equal((tasks["behind"]["state"], tasks["behind"]["attempts"]), ("upstream_failed", []), "the step behind")


@story("126 and 127 from a script are never tried again, other failures are, with growing pauses")
def retries(box: Sandbox):
    box.file("r.yaml", """\
name: r
defaults: {retry: {max: 2, backoff: 1s}}
steps:
  missing: {run: no-such-command}
  denied: {run: exit 126}
  flaky: {run: "test $STOKER_ATTEMPT = 3"}
""")
    box.stoker("run", "r.yaml", code=1)
    codes = {task["task"]: [a["exit_code"] for a in task["attempts"]] for task in box.status("r/1")["tasks"]}
    equal(codes, {"missing": [127], "denied": [126], "flaky": [1, 1, 0]}, "exit codes of the attempts")


@story("cancel stops the step, nothing behind it starts, and the run ends canceled with exit status 130")
def cancel(box: Sandbox):
    box.file("w.yaml", WAITS)
    stoker = box.start("run", "w.yaml")
    box.wait_running("w/1", "waits")
    step = box.step("waits")
    box.stoker("cancel", "w/1", code=0)
    equal(stoker.wait(30), 130, f"exit status:\n{stoker.text}")
    check(not step.alive(), "the step is gone")
    run = box.status("w/1")
    states = {task["task"]: task["state"] for task in run["tasks"]}
    equal((run["state"], states["first"], states["waits"]), ("canceled", "succeeded", "canceled"), "how it ended")
    check(states["last"] in ("canceled", "skipped", "upstream_failed"), f"the step behind: {states}")
    equal(box.task("w/1", "last")["attempts"], [], "it was never started")
    equal(box.lines("effects"), ["first"], "what ran")
    box.stoker("cancel", "w/1")
    equal(box.status("w/1"), run, "a second cancel changes nothing")
    check("cancel" in json.dumps(box.json("events")["events"]), "the cancel is in the audit trail")


@story("cancel works on a run that nobody drives, when it is taken over")
def cancel_orphan(box: Sandbox):
    box.file("w.yaml", WAITS)
    stoker = box.start("run", "w.yaml")
    box.wait_running("w/1", "waits")
    step = box.step("waits")
    stoker.kill()
    box.stoker("cancel", "w/1", timeout=30)
    if box.status("w/1")["state"] == "running":
        box.stoker("run", "--resume", "w/1", code=130)
    equal(box.status("w/1")["state"], "canceled", "the run")
    check(not step.alive(), "the step is gone")
    equal(box.lines("effects"), ["first"], "what ran")


@story("Ctrl-C asks the steps to stop, waits for their checkpoint, says how to go on, and that goes on from there")
def ctrl_c(box: Sandbox):
    box.example("counter")
    stoker = box.start("run", "counter/counter.yaml", "-p", "target=60", "-p", "pause=0.1")

    def some():
        metric = box.task("counter/1", "count")["metric"] if box.has_run("counter/1") else None
        return metric and metric["step"] >= 4

    wait_for(some, "a few numbers")
    stoker.signal(signal.SIGINT)
    equal(stoker.wait(30), 130, f"exit status:\n{stoker.text}")
    attempt = box.attempts("counter/1", "count")[-1]
    has(box.log("counter/1", "count").decode(), "stopping as asked", "the step was asked and saved its work")
    check(attempt["state"] != "succeeded", f"the attempt: {attempt}")
    lines = [line for line in stoker.text.splitlines() if "counter/1" in line and "stoker " in line]
    check(lines, f"it says how to go on:\n{stoker.text}")
    words = lines[-1][lines[-1].index("stoker ") + 7:].replace("`", " ").replace("'", " ").split()
    words = words[: words.index("counter/1") + 1]
    box.stoker(*words, code=0)
    equal(box.status("counter/1")["state"], "succeeded", "the run")
    attempts = box.attempts("counter/1", "count")
    equal(len(attempts), 2, "attempts")
    check(attempts[1]["resumed_from"], f"the second one went on from a checkpoint: {attempts[1]}")
    equal(box.task("counter/1", "count")["outputs"], {"sum": "1830"}, "no number was left out or added twice")


@story("a second Ctrl-C does not wait for a step that takes its time")
def ctrl_c_twice(box: Sandbox):
    box.file("s.yaml", "name: s\nsteps:\n  slow:\n    grace: 1h\n    run: |\n      trap '' TERM\n      touch ready\n"
             "      while true; do sleep 0.1; done\n")
    stoker = box.start("run", "s.yaml")
    wait_for(lambda: box.exists("ready"), "the step is ready")
    box.wait_running("s/1", "slow")
    step = box.step("slow")
    stoker.signal(signal.SIGINT)
    wait_for(lambda: "again" in stoker.text or "Ctrl-C" in stoker.text, "it says that it waits, and how not to")
    check(stoker.running() and step.alive(), "it waits")
    stoker.signal(signal.SIGINT)
    equal(stoker.wait(30), 130, f"exit status:\n{stoker.text}")
    box.gone([step], 20)


@story("retry runs again what did not succeed and what is behind it; --from runs from a step that succeeded")
def retry(box: Sandbox):
    box.file("t.yaml", """\
name: t
steps:
  a: {run: 'echo a >>effects; echo "value=7" >>"$STOKER_OUTPUT"'}
  b: {needs: [a], run: 'echo "b ${{ steps.a.outputs.value }}" >>effects; test -e fixed'}
  c: {needs: [b], run: echo c >>effects}
  other: {run: echo other >>effects2}
""")
    box.stoker("run", "t.yaml", code=1)
    equal(box.lines("effects"), ["a", "b 7"], "what ran")
    box.stoker("retry", "t/1", code=1)
    equal(box.lines("effects"), ["a", "b 7", "b 7"], "after a retry that fails again")
    box.file("fixed", "")
    box.stoker("retry", "t/1", code=0)
    equal(box.lines("effects"), ["a", "b 7", "b 7", "b 7", "c"], "after the retry")
    run = box.status("t/1")
    equal(run["state"], "succeeded", "the run")
    equal({task["task"]: len(task["attempts"]) for task in run["tasks"]}, {"a": 1, "b": 3, "c": 1, "other": 1}, "attempts")
    box.stoker("retry", "t/1", "--from", "b", code=0)
    equal(box.lines("effects"), ["a", "b 7", "b 7", "b 7", "c", "b 7", "c"], "after --from b")
    equal(box.lines("effects2"), ["other"], "what does not need b was left alone")
    equal([row["run"] for row in box.runs()], ["t/1"], "it is one run all the while")


@story("logs prints an attempt's log, follows a running one with -f, and ends when it ends")
def logs(box: Sandbox):
    box.file("l.yaml", """\
name: l
steps:
  talks:
    retry: {max: 1, backoff: 1s}
    run: |
      echo "attempt $STOKER_ATTEMPT begins"
      test "$STOKER_ATTEMPT" = 2
      while [ ! -e go ]; do sleep 0.05; done
      echo "attempt $STOKER_ATTEMPT ends"
""")
    stoker = box.start("run", "l.yaml")
    box.wait_running("l/1", "talks", 2)
    wait_for(lambda: box.log("l/1", "talks"), "the first line")
    follow = box.start("logs", "l/1", "talks", "-f")
    wait_for(lambda: "attempt 2 begins" in follow.text, "the first line is followed")
    check(follow.running(), "it follows")
    box.file("go", "")
    equal(stoker.wait(), 0, f"exit status:\n{stoker.text}")
    equal(follow.wait(20), 0, f"exit status of logs -f:\n{follow.text}")
    equal(follow.text, "attempt 2 begins\nattempt 2 ends\n", "what logs -f printed")
    equal(box.log("l/1", "talks", "--attempt", "1"), b"attempt 1 begins\n", "the first attempt's log")
    equal(box.log("l/1", "talks", "--attempt", "2"), b"attempt 2 begins\nattempt 2 ends\n", "the second one's")
    equal(box.log("l/1", "talks"), b"attempt 2 begins\nattempt 2 ends\n", "the newest without a number")


@story("why tells the first cause of a failure, what a task waits for, and the pause before a retry")
def why(box: Sandbox):
    box.file("y.yaml", """\
name: y
steps:
  cause: {run: exit 9, retry: {max: 0}}
  middle: {needs: [cause], run: "true"}
  end: {needs: [middle], run: "true"}
""")
    box.stoker("run", "y.yaml", code=1)
    for words in (["y/1"], ["y/1", "cause"], ["y/1", "middle"], ["y/1", "end"]):
        out = box.stoker("why", *words, code=0).out
        has(out, "cause", " ".join(words))
    has(box.stoker("why", "y/1", code=0).out, "exit code 9", "the cause itself")
    equal(box.task("y/1", "end")["state"], "upstream_failed", "the last one")

    box.file("w.yaml", WAITS)
    stoker = box.start("run", "w.yaml")
    box.wait_running("w/1", "waits")
    has(box.stoker("why", "w/1", "last", code=0).out, "waits", "what the last one waits for")
    box.file("go", "")
    equal(stoker.wait(), 0, "exit status")

    box.file("z.yaml", "name: z\nsteps:\n  z: {run: test -e again, retry: {max: 3, backoff: 1h, max_backoff: 1h}}\n")
    stoker = box.start("run", "z.yaml")
    box.wait_state("z/1", "retrying", "z")
    out = box.stoker("why", "z/1", "z", code=0).out
    has(out, "exit code 1", "why it failed")
    has(out, "retr", "that it is tried again")
    box.stoker("cancel", "z/1", code=0)
    equal(stoker.wait(20), 130, f"a run that only waits for a retry is canceled at once:\n{stoker.text}")


@story("events is the story of all runs, in order, with who did what")
def events(box: Sandbox):
    box.file("p.yaml", PARAMS)
    box.stoker("run", "p.yaml", code=0)
    rows = box.json("events")["events"]
    kinds = [row["kind"] for row in rows]
    equal((kinds[0], kinds[-1]), ("run.submitted", "run.succeeded"), "from the first to the last")
    check(all("." in kind for kind in kinds), f"named noun.past_verb: {kinds}")
    equal([row["id"] for row in rows], sorted(row["id"] for row in rows), "in their order")
    equal([row["at"] for row in rows], sorted(row["at"] for row in rows), "in the order of time")
    check(any(row.get("run") == "p/1" for row in rows), "they name the run")
    check(all(row["actor"] for row in rows), "they name who did it")
    has(box.stoker("events", code=0).out, "p/1", "events for people")


@story("outputs, environment and parameters reach the steps they are meant for")
def data_flow(box: Sandbox):
    box.file("d.yaml", """\
name: d
params: {who: Ada}
env: {BOTH: dag, GREETING: "hello ${{ params.who }}"}
steps:
  make:
    env: {BOTH: step}
    run: |
      echo "number=1" >>"$STOKER_OUTPUT"
      echo "number=42" >>"$STOKER_OUTPUT"
      echo "text=a = b" >>"$STOKER_OUTPUT"
      echo "$BOTH" >both
  use:
    needs: [make]
    env: {TEXT: "${{ steps.make.outputs.text }}"}
    run: echo "$BOTH|$GREETING|$TEXT|${{ steps.make.outputs.number }}|$STOKER_RUN|${{ run.name }}|$PWD" >used
""")
    box.stoker("run", "d.yaml", code=0)
    equal(box.read("both"), "step\n", "a step's own variable goes before the DAG's")
    equal(box.read("used"), f"dag|hello Ada|a = b|42|d/1|d/1|{os.path.realpath(box.dags)}\n", "what the second step saw")
    equal(box.task("d/1", "make")["outputs"], {"number": "42", "text": "a = b"}, "outputs")


@story("the examples of the manual run: hello, and the counter in plain shell")
def examples(box: Sandbox):
    source = os.path.join(os.environ.get("STOKER_SOURCE") or os.path.join(os.path.dirname(__file__), "../.."),
                          "configs/examples/hello.yaml")
    with open(source, encoding="utf-8") as file:
        box.file("hello.yaml", file.read())
    box.stoker("run", "hello.yaml", "-p", "who=Ada", code=0)
    equal(box.log("hello/1", "greet"), b"Hello, Ada!\n", "greet")
    equal(box.log("hello/1", "report"), b"That name has 3 letters.\n", "report")
    box.example("counter")
    box.stoker("run", "counter/counter.yaml", "-p", "target=10", "-p", "pause=0", code=0)
    equal(box.task("counter/1", "count")["outputs"], {"sum": "55"}, "the sum")


@story("results go to standard output, without colour or cursor movement when it is no terminal")
def plain(box: Sandbox):
    box.file("p.yaml", PARAMS)
    box.env["TERM"] = "xterm-256color"
    for words in (["run", "p.yaml"], ["runs"], ["status"], ["status", "p/1"], ["why", "p/1"], ["events"]):
        result = box.stoker(*words, code=0)
        check("\x1b" not in result.text and "\r" not in result.text, f"plain text: {result!r}")
        check(result.text, f"something is said: {result!r}")
        if words[0] != "run":
            check(result.out, f"results go to standard output: {result!r}")
            equal(result.err, "", f"nothing goes to standard error of {words}")
    box.stoker("runs", "p", code=0)
    # A reader that goes away early is no accident worth a crash.
    process = subprocess.Popen([STOKER, "events"], cwd=box.dags, env=box.env, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    check(process.wait() in (0, 1, -signal.SIGPIPE), f"status {process.returncode}: {error}")
    check("rror:" not in error or "pipe" in error.lower(), f"what it says: {error}")


def read_to_end(file):
    text = b""
    with contextlib.suppress(OSError):  # a terminal that nobody has open any more
        while part := os.read(file, 65536):
            text += part
    return text


@story("a run does not wait for whoever reads what it says: a pager that is not paged on, a terminal that takes nothing")
def unread(box: Sandbox):
    box.file("many.yaml", "name: many\nsteps:\n" + "".join(f"  s{i:03}: {{run: sleep 0.02}}\n" for i in range(400)))
    for number, kind in enumerate(("pipe", "terminal"), 1):
        read, write = small_pipe() if kind == "pipe" else os.openpty()
        if kind == "terminal":
            fcntl.ioctl(write, termios.TIOCSWINSZ, struct.pack("HHHH", 300, 200, 0, 0))  # a drawing is large
        done = subprocess.Popen([STOKER, "run", "many.yaml"], cwd=box.dags, env={**box.env, "TERM": "xterm"},
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=write, start_new_session=True)
        try:
            box.wait_state(f"many/{number}", "succeeded")
            check(os.get_blocking(write), "what is shared with others blocks as before")
            equal(done.poll(), None, f"it waits for its reader at the end, a {kind}")
            os.close(write)
            text = read_to_end(read)
            equal(done.wait(30 * SLOW), 0, "exit status")
        finally:
            done.kill()
            done.wait()
            os.close(read)
        has(text.decode(), "succeeded", "what it said at the end")
        if kind == "pipe":
            equal(text.count(b" running"), 400, "lines that tell of a start")
        else:
            check(text.count(b"\x1b[J") < 30, "drawings, of which most were left out")


@story("who looks while the very first run makes the state folder sees nothing or the run, never an error")
def first_moments(box: Sandbox):
    box.file("p.yaml", PARAMS)
    for number in range(10):
        box.env["STOKER_HOME"] = os.path.join(box.path, f"home{number}")
        runner = box.start("run", "p.yaml")
        while runner.running():
            result = box.stoker("runs", "--json")
            check(result.code == 0 or "nothing has run here yet" in result.err, f"try {number}: {result!r}")
        equal(runner.wait(), 0, f"exit status:\n{runner.text}")
        equal([row["state"] for row in box.json("runs")["runs"]], ["succeeded"], "the run")


@story("several first runs at one moment all make it")
def first_together(box: Sandbox):
    box.file("p.yaml", PARAMS)
    runners = [box.start("run", "p.yaml") for _ in range(5)]
    equal([runner.wait() for runner in runners], [0] * 5, "".join(runner.text for runner in runners))
    equal(sorted(row["run"] for row in box.runs()), [f"p/{n}" for n in range(1, 6)], "the runs")


@story("a first run waits while somebody holds the new, empty database")
def first_held(box: Sandbox):
    box.file("p.yaml", PARAMS)
    os.makedirs(box.home)

    def naps():
        return int(re.search(rb"\nvoluntary_ctxt_switches:\s+(\d+)", read_bytes(f"/proc/{runner.pid}/status")).group(1))

    with closing(sqlite3.connect(os.path.join(box.home, "stoker.db"), isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        runner = box.start("run", "p.yaml")
        wait_for(lambda: not runner.running() or naps() > 20, "it gave up, or looks again and again")
        db.execute("ROLLBACK")
    equal(runner.wait(), 0, runner.text)


@story("two runs at once, of one DAG and of two, do not get in each other's way")
def two_at_once(box: Sandbox):
    box.file("w.yaml", WAITS)
    box.file("p.yaml", PARAMS)
    one, two = box.start("run", "w.yaml"), None
    box.wait_running("w/1", "waits")
    two = box.start("run", "w.yaml")
    box.wait_running("w/2", "waits")
    box.stoker("run", "p.yaml", code=0)
    box.file("go", "")
    equal((one.wait(), two.wait()), (0, 0), f"exit statuses:\n{one.text}{two.text}")
    equal(sorted(row["run"] for row in box.runs()), ["p/1", "w/1", "w/2"], "the runs")
    equal({row["state"] for row in box.runs()}, {"succeeded"}, "their states")


if __name__ == "__main__":
    main()
