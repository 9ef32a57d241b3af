"""The hosts that the stories about workers over SSH are told on (lab.py) do what those stories believe they do."""

import collections
import os
import signal
import subprocess
import sys
import time

from lab import NO_NAMESPACES, SHARED, Lab, USER, command
from lib import HERE, PYTHON, Process, Sandbox, Skip, all_processes, check, equal, happens, has, main, story, wait_for

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def need_namespaces():
    if NO_NAMESPACES:
        raise Skip(f"needs hosts in namespaces: {NO_NAMESPACES}")


class Talk:
    """A session in which the host echoes lines; each way of breaking a link shows in it."""

    def __init__(self, lab, name, *options):
        self.path = os.path.join(lab.path, f"talk-{name}")
        with open(self.path, "wb") as out:
            self.popen = subprocess.Popen(lab.ssh_words(*options, name, "exec cat"), stdin=subprocess.PIPE, stdout=out,
                                          stderr=subprocess.DEVNULL)
        self.sent = 0

    def heard(self):
        with open(self.path, "rb") as file:
            return file.read()

    def say(self):
        self.sent += 1
        self.popen.stdin.write(b"%d\n" % self.sent)
        self.popen.stdin.flush()

    def answered(self):
        """Whether all came back, once and in order."""
        return self.heard() == b"".join(b"%d\n" % i for i in range(1, self.sent + 1))

    def say_and_hear(self, timeout=30):
        self.say()
        wait_for(self.answered, f"line {self.sent} comes back, not only {self.heard()[-20:]}", timeout)

    def end(self):
        """What ssh ended with."""
        self.popen.stdin.close()
        return self.popen.wait(60)


def leave_behind(lab, name):
    """Starts a process there that has nothing to do with the session any more; returns it."""
    before = {process.pid for process in lab[name].processes()}
    lab.ssh(name, "setsid sleep 1000 </dev/null >/dev/null 2>&1 &")

    def there():
        found = [p for p in lab[name].processes() if p.pid not in before and p.words[:1] == ["sleep"]]
        return found[0] if found else None

    return wait_for(there, f"a process of its own on {name}")


@story("each host has its own address, key, name, boot id, home and processes, and sees nothing of the test's")
def apart(box: Sandbox):
    lab = Lab(box, 2)
    one, two = lab["h1"], lab["h2"]
    check(one.fingerprint != two.fingerprint, "two hosts, two keys")
    lab.ssh("h1", "echo mine > ~/here; cd; pwd")
    has(lab.ssh("h1", "cat ~/here"), "mine", "a file in the home of h1")
    has(lab.ssh("h2", "cat ~/here 2>&1", code=1), "No such file", "h2, where it is not")
    with open(os.path.join(one.home, "here"), encoding="ascii") as file:
        equal(file.read(), "mine\n", "the file, seen from the test")
    check(leave_behind(lab, "h1").alive(), "what a session leaves behind lives on")
    check(all(p.words[:1] != ["sleep"] for p in two.processes()), "and is not on the other host")
    need_namespaces()
    names = [lab.ssh(name, "hostname; id -un; echo $HOME").split() for name in ("h1", "h2")]
    equal(names, [["h1", USER, f"/home/{USER}"], ["h2", USER, f"/home/{USER}"]], "names")
    with open(BOOT_ID, encoding="ascii") as file:
        boots = {file.read(), lab.ssh("h1", f"cat {BOOT_ID}"), lab.ssh("h2", f"cat {BOOT_ID}")}
    equal(len(boots), 3, "different boot ids")
    equal(lab.ssh("h1", f"ls -A {box.path} 2>/dev/null | wc -l").strip(), "0", "what is in the test's folder there")
    with open(os.path.join(lab.shared, "note"), "w", encoding="ascii") as file:
        file.write("for all\n")
    equal(lab.ssh("h1", f"cat {SHARED}/note; echo too > {SHARED}/answer"), "for all\n", "the shared folder")
    check(os.path.exists(os.path.join(lab.shared, "answer")), "which is for both ways")
    check(len(lab.ssh("h1", "ls /proc | grep -c '^[0-9]'").strip()) < 3, "few processes are seen there")


@story("a link that was cut holds all back and loses nothing; one that is slow or loses packets comes through")
def links(box: Sandbox):
    lab = Lab(box, 1)
    host = lab["h1"]
    talk = Talk(lab, "h1")
    talk.say_and_hear()
    host.cut()
    talk.say()
    check(not happens(talk.answered, 1), "nothing comes through a link that is cut")
    check(not host.connects(), "no new connection either")
    host.restore()
    wait_for(talk.answered, "what was said meanwhile arrives", 60)

    host.shape(rtt_ms=200)
    started = time.monotonic()
    talk.say_and_hear()
    check(time.monotonic() - started >= 0.2, "a round trip takes as long as it should")
    if not NO_NAMESPACES:  # what a relay loses may end the connection
        host.shape(loss_percent=20)
        while sum(host.wire_counts()) < 60:
            talk.say_and_hear(120)
        passed, lost = host.wire_counts()
        check(0 < lost < 0.6 * (passed + lost), f"about a fifth is lost: {lost} of {passed + lost}")
    host.unshape()
    talk.say_and_hear(120)
    equal(talk.end(), 0, "exit status of ssh")


@story("sshd's sessions are killed, frozen and thawed, and what they had left behind lives on")
def sessions(box: Sandbox):
    lab = Lab(box, 1)
    host = lab["h1"]
    left = leave_behind(lab, "h1")
    talk = Talk(lab, "h1")
    talk.say_and_hear()
    check(host.kill_sessions() > 0, "there was a session")
    equal(talk.end(), 255, "exit status of ssh")
    talk = Talk(lab, "h1")
    talk.say_and_hear()
    host.freeze()
    talk.say()
    check(not happens(talk.answered, 0.5), "a frozen host says nothing")
    host.thaw()
    wait_for(talk.answered, "it goes on where it was")
    host.stop_sshd()
    check(not host.connects(), "nobody listens")
    talk.say_and_hear()
    has(lab.ssh("h1", "true", code=255), "refused", "ssh")
    host.start_sshd()
    lab.ssh("h1", "true")
    equal(talk.end(), 0, "exit status of ssh")
    check(left.alive(), "what the very first session left behind")


@story("a rebooted host has another boot id and none of its processes, and what was on its disk")
def reboot(box: Sandbox):
    need_namespaces()
    lab = Lab(box, 2)
    host = lab["h1"]
    other = leave_behind(lab, "h2")
    before = lab.ssh("h1", f"echo kept > ~/file; cat {BOOT_ID}")
    processes = [leave_behind(lab, "h1"), *host.processes()]
    talk = Talk(lab, "h1")
    talk.say_and_hear()
    host.reboot()
    check(not any(process.alive() for process in processes), "its processes")
    after = lab.ssh("h1", f"cat {BOOT_ID} ~/file").splitlines()
    check(after[0] != before.strip(), "its boot id")
    equal(after[1], "kept", "its disk")
    talk.say()
    check(talk.end() != 0, "a connection of before is gone")
    check(other.alive(), "and nothing happened to the other host")


@story("every way of not getting in: filtered, unknown, changed, not authorized, no shell, too many sessions")
def doors(box: Sandbox):
    lab = Lab(box, 1, MaxSessions=1)
    host = lab["h1"]
    once = ("-o", "ConnectTimeout=2")
    control = ("-o", f"ControlPath={box.path}/control")
    talk = Talk(lab, "h1", "-M", *control)
    talk.say_and_hear()
    has(lab.ssh("h1", "true", options=control), "open refused by peer", "a second session in the same connection")
    equal(talk.end(), 0, "exit status of the first")
    host.filter()
    text = lab.ssh("h1", "true", options=once, code=255)
    check("timed out" in text, f"a filtered port: {text}")
    host.unfilter()
    lab.ssh("h1", "true")
    lab.know()
    has(lab.ssh("h1", "true", code=255), "No ED25519 host key is known", "an unknown host")
    lab.know(host)
    host.make_host_key()
    host.restart_sshd()
    has(lab.ssh("h1", "true", code=255), "IDENTIFICATION HAS CHANGED", "a changed key")
    lab.know(host)
    host.authorize()
    has(lab.ssh("h1", "true", code=255), "Permission denied", "a key that is not authorized")
    host.authorize(lab.key)
    need_namespaces()
    host.write_accounts(shell="/usr/sbin/nologin")
    has(lab.ssh("h1", "true", code=1), "not available", "an account without a login")
    host.write_accounts(shell="/bin/sh", home="/nonexistent")
    has(lab.ssh("h1", "pwd; ls $HOME 2>&1", code=None), "No such file", "an account without a home")


@story("homes that cannot be used: one that runs nothing, one that cannot be written, one that is full")
def homes(box: Sandbox):
    need_namespaces()
    lab = Lab(box, 1)
    host = lab["h1"]
    program = "cp /bin/true ~/program && ~/program"
    lab.ssh("h1", program)
    for options, code, words in (("noexec", 126, "Permission denied"), ("ro", 1, "Read-only file system"),
                                 ("size=16k", 1, "No space left")):
        host.mount_home(options)
        has(lab.ssh("h1", program, code=code), words, f"a home mounted with {options}")
        host.unmount(host.remote_home)
    lab.ssh("h1", program)


@story("a login shell of any kind, with something to say")
def shells(box: Sandbox):
    need_namespaces()
    lab = Lab(box, 1)
    host = lab["h1"]
    host.home_file(".bashrc", "echo noise of bash\n")
    host.home_file(".cshrc", "echo noise of csh\n")
    host.home_file(".config/fish/config.fish", "echo noise of fish\n")
    missing = []
    for shell in ("sh", "bash", "tcsh", "fish"):
        path = f"/usr/bin/{shell}"
        if not os.path.exists(path):
            missing.append(shell)
            continue
        host.write_accounts(shell=path)
        said = lab.ssh("h1", "exec /bin/sh -c 'echo $((40+2))'")
        has(said, "42", shell)
        equal("noise" in said, shell != "sh", f"whether {shell} adds noise: {said}")
    if missing:
        raise Skip(f"{', '.join(missing)} not installed")


@story("a host behind another one is reached through that one only")
def jump(box: Sandbox):
    need_namespaces()
    lab = Lab(box, 1)
    lab.add("inner", hidden=True)
    check(not lab["inner"].connects(), "there is no straight way")
    lab.make_jump_host(lab["h1"])
    equal(lab.ssh("inner", "hostname", options=("-J", "h1")), "inner\n", "the way through h1")


@story("twenty hosts stand in seconds")
def many(box: Sandbox):
    need_namespaces()
    started = time.monotonic()
    lab = Lab(box, 20)
    print(f"# {time.monotonic() - started:.1f} s", flush=True)
    equal(lab.ssh("h20", "hostname"), "h20\n", "the last of them")


def mounts():
    """Each line of this namespace's, and how often it is there."""
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        return collections.Counter(file.read().splitlines())


@story("nothing of a lab is left, not even when the test was killed")
def nothing_left(box: Sandbox):
    before, sandboxes = mounts(), []
    script = box.file("killed.py", (
        f"import sys\nsys.path.insert(0, {HERE!r})\n"
        "from lab import Lab\nfrom lib import Sandbox\nimport time\n"
        "box = Sandbox('killed')\nbox.labs = []\nlab = Lab(box, 2)\n"
        "lab.ssh('h1', 'setsid sleep 1000 </dev/null >/dev/null 2>&1 &')\n"
        "print(box.path, *[p.popen.pid for p in lab.parts], flush=True)\ntime.sleep(1000)\n"))
    for way in (signal.SIGTERM, signal.SIGKILL):
        test = subprocess.Popen([sys.executable, "-B", script], stdout=subprocess.PIPE)
        path, *parts = test.stdout.readline().decode().split()
        sandboxes.append(path)
        parts = [Process(int(pid)) for pid in parts]
        check(len(parts) > 3 and all(part.alive() for part in parts), "a lab stands")

        def family(known):
            """They and all that descend from them, whatever namespace it is in."""
            everything, pids = all_processes(), {part.pid for part in known}
            for _ in range(8):
                pids |= {process.pid for process in everything if process.parent in pids}
            return [process for process in everything if process.pid in pids]

        wait_for(lambda: any(p.words[:1] == ["sleep"] for p in family(parts)), "and what a session left behind runs")
        everything = family(parts)
        test.send_signal(way)
        test.wait()
        test.stdout.close()
        wait_for(lambda: not any(p.alive() for p in everything), f"all is gone after {way.name}", 20)
        command("rm", "-rf", path)
    after = mounts()
    left = [line for line in after if any(place in line for place in (*sandboxes, box.path, "/run/lab"))]
    equal(left, [], "mounts of a lab")
    # Other tests, which may run at the same time, mount and unmount in sandboxes of their own.
    others = os.path.join(os.path.realpath(os.path.dirname(box.path)), "stoker-")
    changed = [*(after - before).elements(), *(before - after).elements()]
    equal([line for line in changed if not line.split()[1].startswith(others)], [], "mounts that came or went")


if __name__ == "__main__":
    main()
