"""`source`: a run works in a copy of its files as they were when it was made, whatever becomes of them."""

import os
import shutil
import subprocess

from lib import Sandbox, Skip, check, equal, has, main, story, wait_for


def folder(box, files):
    """Files for the source, in a folder of their own; the DAG stands beside it."""
    for name, text in files.items():
        box.file("src/" + name, text)
    return os.path.join(box.dags, "src")


def dag(box, steps, name="s", more=""):
    return box.file(f"{name}.yaml", f"name: {name}\nsource: src\n{more}steps:\n{steps}")


def git(box, *words):
    if shutil.which("git") is None:
        raise Skip("git is not installed")
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words],
                   cwd=os.path.join(box.dags, "src"), check=True, stdout=subprocess.DEVNULL)


def parcels(box):
    return sorted(os.listdir(os.path.join(box.home, "parcels")))


def left_nothing(box):
    runs = os.path.join(box.home, "local", "runs")
    wait_for(lambda: os.listdir(runs) == [], "the copy to go with its run")


@story("steps share a copy of the source; the files themselves are left alone")
def copy(box: Sandbox):
    folder(box, {"say.sh": "#!/bin/sh\ncat words\n", "words": "hello\n", "sub/x": "x\n"})
    os.chmod(os.path.join(box.dags, "src", "say.sh"), 0o755)
    os.symlink("sub/x", os.path.join(box.dags, "src", "link"))
    dag(box, "  a: {run: ./say.sh; cat link; echo made >made}\n"
        "  b: {needs: [a], workdir: sub, run: [sh, -c, 'pwd; cat ../made; echo $PWD']}\n")
    box.stoker("run", "s.yaml", code=0)
    equal(box.log("s/1", "a"), b"hello\nx\n", "what the first step saw")
    lines = box.log("s/1", "b").decode().split()
    check(lines[0] == lines[2] and lines[0].startswith(box.home) and lines[0].endswith("/work/sub"), str(lines))
    equal(lines[1], "made", "what the first step made")
    check(not box.exists("src/made"), "the source itself is not worked in")
    left_nothing(box)


@story("a run that was made works with its files as they were: on --resume and on retry too")
def same_for_ever(box: Sandbox):
    folder(box, {"version": "one\n"})
    dag(box, f"""\
  first:
    run: |
      cat version
      touch {box.dags}/begun
      while [ ! -e {box.dags}/go ]; do sleep 0.05; done
  second: {{needs: [first], run: cat version; exec test -e {box.dags}/good}}
""")
    run = box.start("run", "s.yaml")
    wait_for(lambda: box.exists("begun"), "the first step to begin")
    box.file("src/version", "two\n")
    run.popen.kill()
    run.popen.wait()
    box.file("go", "")
    box.stoker("run", "--resume", "s/1", code=1)
    equal(box.log("s/1", "second"), b"one\n", "after the change")
    box.file("good", "")
    box.stoker("retry", "s/1", code=0)
    equal(box.log("s/1", "second"), b"one\n", "after a retry")
    box.stoker("retry", "s/1", "--from", "first", code=0)
    equal(box.log("s/1", "first"), b"one\n", "all of it once more, in a new copy")
    box.stoker("run", "s.yaml", code=0)
    equal(box.log("s/2", "first"), b"two\n", "a new run has the new files")


@story("what failed can be run again with what the steps before it left in the run's folder")
def kept_after_failure(box: Sandbox):
    folder(box, {"x": "x\n"})
    dag(box, f"  a: {{run: echo made >made}}\n  b: {{needs: [a], run: cat made; exec test -e {box.dags}/good}}\n")
    box.stoker("run", "s.yaml", code=1)
    box.file("good", "")
    box.stoker("retry", "s/1", code=0)
    equal(box.log("s/1", "b"), b"made\n", "what the first step had made")
    left_nothing(box)


@story("git decides: what it tracks or does not ignore travels, what was removed does not")
def by_git(box: Sandbox):
    folder(box, {".gitignore": "data/\n*.log\n", "kept": "1\n", "removed": "2\n", "changed": "3\n",
                 "data/big": "4\n", "x.log": "5\n", "forced.log": "6\n", "new/untracked": "7\n",
                 "odd \n näme": "8\n"})
    git(box, "init", "-q")
    git(box, "add", ".gitignore", "kept", "removed", "changed")
    git(box, "add", "-f", "forced.log")
    git(box, "commit", "-qm", "all")
    os.unlink(os.path.join(box.dags, "src", "removed"))
    box.file("src/changed", "33\n")
    dag(box, "  a: {run: 'find . -type f -print0 | sort -z; echo; cat changed'}\n")
    box.stoker("run", "s.yaml", code=0)
    files, changed = box.log("s/1", "a").decode().rsplit("\0", 1)
    equal(files.split("\0"), ["./.gitignore", "./changed", "./forced.log", "./kept", "./new/untracked",
                              "./odd \n näme"], "what travelled")
    equal(changed, "\n33\n", "as it is, not as it was committed")


@story("repositories within the repository travel with their own rules, a hook's variables mislead nobody")
def nested_git(box: Sandbox):
    folder(box, {"top": "1\n", "inner/file": "2\n"})
    git(box, "init", "-q")
    git(box, "-C", "inner", "init", "-q")
    git(box, "-C", "inner", "add", "file")
    git(box, "-C", "inner", "commit", "-qm", "inner")
    git(box, "add", "top")
    dag(box, "  a: {run: 'find . -type f | sort'}\n")
    box.stoker("run", "s.yaml", code=0, env={"GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/nowhere"})
    equal(box.log("s/1", "a"), b"./inner/file\n./top\n", "what travelled")


@story("without git all of the folder travels; stoker's own state and links that lead out do not")
def without_git(box: Sandbox):
    folder(box, {"a": "1\n", ".hidden": "2\n", ".git/config": "3\n"})
    source = os.path.join(box.dags, "src")
    os.rename(os.path.join(source, ".git"), os.path.join(source, "a.git"))
    os.symlink("/etc", os.path.join(source, "out"))
    os.mkfifo(os.path.join(source, "fifo"))
    home = os.path.join(source, "state")
    dag(box, "  a: {run: 'find . | sort'}\n")
    result = box.stoker("run", "s.yaml", code=0, env={"STOKER_HOME": home})
    has(result.err, "source: out is left out: it is a link that leads out of the folder, to /etc", "the note")
    has(result.err, "source: fifo is left out: it is neither a file nor a folder", "the note")
    log = box.stoker("logs", "s/1", "a", code=0, env={"STOKER_HOME": home}).out
    equal(log, ".\n./.hidden\n./a\n./a.git\n./a.git/config\n", "what travelled")


@story("a source that is too large is refused with the largest entries, before there is a run")
def too_large(box: Sandbox):
    folder(box, {"small": "1\n", "data/one": b"x" * 70000, "data/two": b"x" * 70000, "model.bin": b"x" * 50000})
    dag(box, "  a: {run: ls}\n")
    result = box.stoker("run", "s.yaml", code=2, env={"STOKER_SOURCE_MAX": "128K"})
    has(result.err, "holds 186 KiB, and 128K is the most that is sent to workers", "the message")
    has(result.err, "The largest: data/ 137 KiB, model.bin 49 KiB, small 2 B.", "the message")
    has(result.err, ".gitignore", "the remedy")
    equal(box.runs(), [], "no run is recorded")
    has(box.stoker("run", "s.yaml", code=2, env={"STOKER_SOURCE_MAX": "lots"}).err, "STOKER_SOURCE_MAX", "the message")
    box.stoker("run", "s.yaml", code=0, env={"STOKER_SOURCE_MAX": "256K"})
    equal(box.runs()[0]["run"], "s/1", "the refused ones took no number")


@story("a source that is not there, or cannot be read, is an error before there is a run")
def not_there(box: Sandbox):
    dag(box, "  a: {run: ls}\n")
    has(box.stoker("run", "s.yaml").err, "src: No such file or directory", "the message")
    folder(box, {"x": "x"})
    os.chmod(os.path.join(box.dags, "src", "x"), 0)
    if os.geteuid() != 0:
        has(box.stoker("run", "s.yaml").err, "open x: Permission denied", "the message")
        equal(box.runs(), [], "no run is recorded")


@story("the same files are stored and sent once")
def once(box: Sandbox):
    folder(box, {"x": b"x" * 3000000})
    dag(box, "  a: {run: test -s x}\n")
    box.stoker("run", "s.yaml", code=0)
    first = parcels(box)
    stored = os.path.join(box.home, "local", "parcels", first[0])
    before = os.stat(stored)
    box.stoker("run", "s.yaml", code=0)
    equal(parcels(box), first, "the snapshots")
    equal(os.stat(stored).st_ino, before.st_ino, "the parcel on the worker")
    box.file("src/x", b"y" * 3000000)
    box.stoker("run", "s.yaml", code=0)
    equal(len(parcels(box)), 2, "another one")


@story("a snapshot that is gone is told, and is no reason to wait")
def gone(box: Sandbox):
    folder(box, {"x": "x"})
    dag(box, "  a: {run: test -s x}\n")
    box.stoker("run", "s.yaml", code=0)
    shutil.rmtree(os.path.join(box.home, "parcels"))
    shutil.rmtree(os.path.join(box.home, "local", "parcels"))
    result = box.stoker("retry", "s/1", "--from", "a", code=1)
    has(result.err, "not started: the source: open", "the message")
    has(result.err, "No such file or directory", "the message")


if __name__ == "__main__":
    main()
