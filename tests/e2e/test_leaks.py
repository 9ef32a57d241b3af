"""A whole training run, resumed once, leaves no memory behind: under valgrind, or as LeakSanitizer sees it."""

import os
import shutil
import subprocess

from lib import STOKER, Sandbox, Skip, check, equal, is_sanitized, main, story

WORDS = ["run", "counter/counter.yaml", "-p", "target=12", "-p", "pause=0.05"]


def run_checked(box, words, code):
    """Runs `stoker WORDS` under the checker; `code` is its own exit status."""
    if is_sanitized():
        result = box.stoker(*words, env={"ASAN_OPTIONS": "detect_leaks=1:exitcode=99"}, timeout=120)
        equal(result.code, code, f"exit status (99: a leak): {result!r}")
        return
    log = os.path.join(box.path, "valgrind.log")
    done = subprocess.run(
        ["valgrind", "-q", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible", "--error-exitcode=99",
         "--errors-for-leak-kinds=definite,indirect,possible", "--track-fds=no", f"--log-file={log}", STOKER, *words],
        cwd=box.dags, env=box.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=300, check=False)
    with open(log, encoding="utf-8", errors="replace") as file:
        said = file.read()
    equal(done.returncode, code, f"`{' '.join(words)}` under valgrind (99: it found something)\n{said[:6000]}\n"
          f"{done.stdout.decode(errors='replace')[-2000:]}")


@story("`stoker run` from start to end, a retry that resumes, and the reading commands leak nothing")
def leaks(box: Sandbox):
    if not is_sanitized() and shutil.which("valgrind") is None:
        raise Skip("valgrind is not installed")
    box.example("counter")
    script = box.read("counter/count.sh")
    # The first attempt dies in the middle, so that a resumed one is part of the run.
    broken = script.replace("\techo \"{\\\"step\\\"", "\ttest \"$number.$STOKER_ATTEMPT\" != 5.1\n\techo \"{\\\"step\\\"")
    check(broken != script, "count.sh is as this test knows it")
    box.file("counter/count.sh", broken)
    run_checked(box, WORDS, 0)
    attempts = box.attempts("counter/1", "count")
    equal([a["state"] for a in attempts], ["failed", "succeeded"], "the attempts")
    check(attempts[1]["resumed_from"], "the second one resumed")
    for words in (["status"], ["status", "counter/1", "--json"], ["runs"], ["why", "counter/1"],
                  ["logs", "counter/1", "count"], ["checkpoints", "counter/1", "count"], ["events"],
                  ["retry", "counter/1", "--from", "check"]):
        run_checked(box, words, 0)
    box.file("bad.yaml", "name: bad\nsteps:\n  a: {runs: x, needs: [b]}\n  b: {run: 'true', needs: [a]}\n")
    run_checked(box, ["validate", "bad.yaml"], 2)
    run_checked(box, ["validate", "counter/counter.yaml"], 0)


if __name__ == "__main__":
    main()
