"""Every way of not reaching a worker, or of not being able to work there: each is told in its own words, with what
helps, and the run goes on by itself when it is mended."""

import json
import os

from lab import NO_NAMESPACES, Lab, Part, net_of
from lib import PYTHON, QUICK, STRICT, Failed, Sandbox, Skip, check, equal, happens, has, main, story, wait_for

# Listens in place of sshd until its standard input ends.
LISTENER = """\
import os, socket, sys, threading
def serve(end):
    try:
        if sys.argv[2]:
            end.sendall(sys.argv[2].encode())
        while sys.argv[3] == "stay" and end.recv(4096):
            pass
    except OSError:
        pass
    end.close()
def listen():
    with socket.create_server(("", int(sys.argv[1]))) as server:
        print("ready", flush=True)
        while True:
            threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
threading.Thread(target=listen, daemon=True).start()
sys.stdin.read()
"""
FAULTS = []


def fault(name, kind, *words, person=False, slow=False, options=None, settings=None, program=()):
    """A generator: breaks its host, waits, mends it. Its name is its host's, `kind` the fault as --json has it, `words`
    what the message says; kind None: it works nevertheless. person: waiting alone cannot mend it. `program` are the
    words where the ssh program is the carrier, if they are others; None: that cannot be told with it."""

    def add(function):
        if not slow or not QUICK:
            FAULTS.append((name, kind, words, person, options or {}, settings or {}, function, program))
        return function

    return add


def need_namespaces():
    """A relay can only hold back what passes it: connections are still made."""
    if NO_NAMESPACES:
        raise Skip(NO_NAMESPACES)


def listen_instead(lab, host, says, then):
    host.stop_sshd()
    prefix = [] if NO_NAMESPACES else ["nsenter", net_of(host.init.pid), "--"]
    port = host.port if NO_NAMESPACES else host.sshd_port
    part = Part(lab, *prefix, PYTHON, "-c", LISTENER, str(port), says, then)
    part.answer()
    return part


def listening_instead(says, then):
    def run(lab, host):
        part = listen_instead(lab, host, says, then)
        yield
        part.close()
        host.start_sshd()

    return run


# --- the way there ----------------------------------------------------------------------------------------------------


@fault("nameless", "name", "no-such-host.invalid", "cannot be looked up")
def nameless(lab, host):
    """An alias that leads nowhere, until the configuration of ssh is mended."""
    address, host.address = host.address, "no-such-host.invalid"
    lab.write_ssh_config()
    host.address = address
    yield
    lab.write_ssh_config()


@fault("refused", "refused", "refuses connections", "is sshd running there")
def refused(_lab, host):
    host.stop_sshd()
    yield
    host.start_sshd()


@fault("filtered", "unreachable", "does not answer", "firewall", settings={"connect_timeout": "2s"})
def filtered(_lab, host):
    need_namespaces()
    host.filter()
    yield
    host.unfilter()


@fault("unplugged", "unreachable", "no way to", settings={"connect_timeout": "5s"})
def unplugged(_lab, host):
    need_namespaces()
    host.cut()
    yield
    host.restore()


fault("web", "protocol", "no ssh server", "HTTP/1.1 400", program=["does not say that it is an ssh server"],
      settings={"connect_timeout": "5s"})(listening_instead("HTTP/1.1 400 Bad Request\r\n\r\n", "stay"))
fault("hangup", "protocol", "hangs up at once", "MaxStartups")(listening_instead("", "close"))
fault("silent", "protocol", "says nothing", "frozen", slow=True, program=["frozen"])(listening_instead("", "stay"))


# --- who is who -------------------------------------------------------------------------------------------------------


@fault("stranger", "hostkey_unknown", "is not known", "SHA256:", "stoker workers trust stranger", person=True,
       program=["is not known", "stoker workers trust stranger"])
def stranger(lab, host):
    lab.know(*(one for one in lab.hosts.values() if one is not host))
    yield
    lab.know(*lab.hosts.values())


@fault("changed", "hostkey_changed", "has changed", "SHA256:", "stoker workers trust changed --replace", person=True)
def changed(lab, host):
    host.make_host_key()
    host.restart_sshd()
    yield
    lab.know(*lab.hosts.values())


@fault("forbidden", "auth", "none of our keys", "publickey", person=True)
def forbidden(lab, host):
    host.authorize()
    yield
    host.authorize(lab.key)


@fault("otherkey", "auth", "none of our keys", person=True)
def otherkey(lab, host):
    """The right key is there, but another one is configured."""
    other = lab.make_key(os.path.join(lab.path, "other_key"))
    yield {"identity": [other]}
    host.authorize(lab.key, other)


@fault("keyless", "auth", "no_such_key", "No such file", person=True, program=["none of our keys"])
def keyless(lab, host):
    path = os.path.join(lab.path, "no_such_key")
    yield {"identity": [path]}
    lab.make_key(path)
    host.authorize(lab.key, path)


# --- the account ------------------------------------------------------------------------------------------------------


@fault("homeless", "shell", "no home folder", "/nonexistent")
def homeless(_lab, host):
    host.write_accounts(home="/nonexistent")
    yield
    host.write_accounts()


@fault("nologin", "shell", "without running our command", "not available")
def nologin(_lab, host):
    if not os.path.exists("/usr/sbin/nologin"):
        raise Skip("nologin is not installed")
    host.write_accounts(shell="/usr/sbin/nologin")
    yield
    host.write_accounts(shell="/bin/sh")


@fault("forced", "shell", "without running our command", "go away", options={"ForceCommand": "echo go away"})
def forced(_lab, host):
    yield
    del host.options["ForceCommand"]
    host.configure()
    host.restart_sshd()


@fault("nosession", "shell", options={"MaxSessions": 0})
def nosession(_lab, host):
    yield
    host.configure(MaxSessions=10)
    host.restart_sshd()


@fault("chatty", "shell", "prints more than 64 KiB", "start-up files")
def chatty(_lab, host):
    host.write_accounts(shell=need_shell("bash"))
    host.home_file(".bashrc", "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); "
                              "echo welcome to this machine, stranger, for the ${i}th time; done\n")
    yield
    host.home_file(".bashrc", "")


@fault("stuck", "shell", "did not run our command in time", "start-up files", slow=True)
def stuck(_lab, host):
    host.write_accounts(shell=need_shell("bash"))
    host.home_file(".bashrc", "sleep 1000\n")
    yield
    host.home_file(".bashrc", "")


# --- the disk ---------------------------------------------------------------------------------------------------------


def mounted(options, mended):
    def run(_lab, host):
        host.mount_home(options)
        yield
        host.enter("mount", "-o", f"remount,{mended}", host.remote_home)

    return run


fault("readonly", "deploy", "read-only", "root")(mounted("ro", "rw"))
fault("noexec", "deploy", "noexec", "root")(mounted("noexec", "exec"))
fault("full", "deploy", "the disk is full", "make room")(mounted("size=16k", "size=64m"))


@fault("blocked", "deploy", "is no folder", settings={"root": "~/file/stoker"})
def blocked(_lab, host):
    path = host.home_file("file", "not a folder\n")
    yield
    os.unlink(path)


@fault("procless", "deploy", "/proc is not mounted")
def procless(_lab, host):
    host.enter("mount", "-t", "tmpfs", "tmpfs", "/proc")
    yield
    host.unmount("/proc")


def pretends(name, script):
    """Another program in the place of `name`, for what no file system and no machine at hand can show."""

    def run(_lab, host):
        folder = os.path.join(host.etc, "bin")
        os.mkdir(folder)
        host.write(os.path.join(folder, name), f"#!/bin/sh\n{script}\n", 0o755)
        home = f" HOME={host.home}" if NO_NAMESPACES else ""  # one line holds them all
        host.configure(SetEnv=f"PATH={host.inside(folder)}:/usr/local/bin:/usr/bin:/bin{home}")
        host.restart_sshd()
        yield
        os.unlink(os.path.join(folder, name))

    return run


fault("quota", "deploy", "the quota is used up", "make room")(
    pretends("head", "echo \"head: error writing 'standard output': Disk quota exceeded\" >&2; exit 1"))
fault("foreign", "deploy", "'Linux riscv64'", "cannot be a worker")(pretends("uname", "echo Linux riscv64"))


# --- what is no fault -------------------------------------------------------------------------------------------------


def need_shell(name):
    path = f"/usr/bin/{name}"
    if not os.path.exists(path):
        raise Skip(f"{name} is not installed")
    return path


def talkative(shell, file):
    def run(_lab, host):
        host.write_accounts(shell=need_shell(shell))
        host.home_file(file, f"echo noise of {shell}\necho noise on stderr >&2\n" if shell == "bash" else
                       f"echo noise of {shell}\n")
        yield

    return run


fault("bash", None)(talkative("bash", ".bashrc"))
fault("tcsh", None)(talkative("tcsh", ".cshrc"))
fault("zsh", None)(talkative("zsh", ".zshenv"))
fault("fish", None)(talkative("fish", ".config/fish/config.fish"))


@fault("banner", None)
def banner(_lab, host):
    host.write(os.path.join(host.etc, "banner"), "Authorized use only!\n" * 100)
    host.configure(Banner=os.path.join(host.inside(host.etc), "banner"), PrintMotd="yes")
    host.restart_sshd()
    yield


# --- all of them at once ----------------------------------------------------------------------------------------------


class Patient:
    """A host that something is wrong with."""

    def __init__(self, lab, row, by_program):
        self.name, self.kind, self.words, self.person, options, self.settings, function, program = row
        if by_program:
            self.words = program or self.words
        self.host = lab.add(self.name, **options)
        self.course = function(lab, self.host)

    def infect(self):
        """False where this machine cannot have that."""
        try:
            self.settings = {**self.settings, **(next(self.course) or {})}
        except Skip as reason:
            if STRICT:
                raise
            print(f"# without {self.name}: {reason}", flush=True)
            return False
        return True

    def mend(self):
        next(self.course, None)


def admit(box, by_program):
    """A lab with all of them. First the hosts, then what is wrong with them: each new host makes all known anew."""
    lab = Lab(box, 0)
    rows = [row for row in FAULTS if not by_program or row[-1] is not None]
    patients = [patient for patient in [Patient(lab, row, by_program) for row in rows] if patient.infect()]
    lab.settings(local=False, every={"transport": "openssh"} if by_program else {},
                 **{patient.name: patient.settings for patient in patients})
    steps = "".join(f"  s-{one.name}: {{worker: {one.name}, workdir: {one.host.remote_home}, "
                    "run: 'echo $STOKER_TASK'}\n" for one in patients)
    box.file("o.yaml", f"name: o\nconcurrency: 64\nsteps:\n{steps}")
    return patients


def worker(box, name):
    return next(row for row in box.json("workers")["workers"] if row["worker"] == name)


def is_told(row, patient):
    return row["fault"] == patient.kind and all(word in row["trouble"] for word in patient.words)


def looked(box, name):
    """What is said about it, and why its task waits: both of one moment."""
    def both():
        row = worker(box, name)
        why = box.stoker("why", "o/1", f"s-{name}", code=0).out
        return (row, why) if worker(box, name)["trouble"] == row["trouble"] else None

    return wait_for(both, f"what is said about {name} stays for a moment")


def diagnose(box, patient):
    """Waits until it is known what is wrong; returns what is said about it. On a starved machine a time limit may well
    be said first: that is told, and the next try waited for."""
    name = patient.name
    wait_for(lambda: worker(box, name)["fault"], f"something is wrong with {name}", 60, every=0.2)
    row = worker(box, name)
    if not is_told(row, patient):
        print(f"# {name} at first: {row['fault']}: {row['trouble']}", flush=True)
        happens(lambda: is_told(worker(box, name), patient), 60, every=0.5)
    row, why = looked(box, name)
    check(row["fault"] == patient.kind, f"{name}: {row['fault']} where {patient.kind} is expected: {row['trouble']}")
    for word in patient.words:
        has(row["trouble"], word, f"what is said about {name}")
    equal(row["state"], "failing", f"the state of {name}")
    has(why, f"worker {name}", "why")
    has(why, row["trouble"][:60], "why")
    if patient.kind == "deploy":
        steps = json.loads(box.stoker("workers", "check", name, "--json", code=1).out)["steps"]
        problems = [step["text"] for step in steps if step["verdict"] == "problem"]
        equal(len(problems), 1, f"problems that the check of {name} finds")
        has(problems[0], patient.words[0], f"the check of {name}")
    return row["trouble"]


def tell_all(box, by_program):
    patients = admit(box, by_program)
    stoker = box.start("run", "o.yaml")
    wait_for(lambda: box.has_run("o/1"), "the run")
    failures = []
    for patient in patients:
        try:
            if patient.kind is None:
                box.wait_state("o/1", "succeeded", f"s-{patient.name}")
            else:
                print(f"# {patient.name}: {diagnose(box, patient)}", flush=True)
        except Failed as failure:
            failures.append(str(failure))
    check(not failures, "\n".join(failures))
    check(stoker.running(), f"the run goes on:\n{stoker.text}")
    for patient in patients:
        patient.mend()
    if QUICK or by_program:  # what only a person can mend is looked at once a minute; a new stoker looks at once
        stoker.kill()
        stoker = box.start("run", "--resume", "o/1")
    equal(stoker.wait(150), 0, f"exit status:\n{stoker.text}")
    for patient in patients:
        equal(len(box.attempts("o/1", f"s-{patient.name}")), 1, f"attempts at {patient.name}")
        equal(box.log("o/1", f"s-{patient.name}"), f"s-{patient.name}\n".encode(), f"the log from {patient.name}")
        row = worker(box, patient.name)
        equal((row["state"], row["trouble"], row["fault"]), ("ok", None, None), f"{patient.name}, mended")


@story("each way of not reaching a worker has its own message, and when it is mended the run goes on by itself")
def each(box: Sandbox):
    tell_all(box, False)


@story("the same where the ssh program is the carrier")
def each_by_program(box: Sandbox):
    tell_all(box, True)


@story("a worker that lets nobody in any more: its step is shown as unreachable, goes on, and is heard of again")
def locked_out(box: Sandbox):
    lab = Lab(box, 1)
    host = lab["h1"]
    lab.settings()
    box.file("o.yaml", f"""\
name: o
steps:
  long:
    worker: h1
    workdir: {host.remote_home}
    run: "echo before; while [ ! -e go ]; do sleep 0.1; done; echo after"
""")
    stoker = box.start("run", "o.yaml")
    box.wait_running("o/1", "long")
    step = wait_for(lambda: box.step("long"), "the step")
    host.authorize()
    host.kill_sessions()
    wait_for(lambda: worker(box, "h1")["fault"] == "auth", "nobody is let in", 60)
    attempt = box.attempts("o/1", "long")[0]
    equal(attempt["state"], "unreachable", "the attempt")
    check(attempt["unreachable_since"] is not None, "since when")
    why = box.stoker("why", "o/1", "long", code=0).out
    has(why, "h1", "why")
    has(why, "none of our keys", "why")
    host.home_file("go", "")
    box.gone([step], 20)
    equal(box.status("o/1")["state"], "running", "nothing is decided")
    host.authorize(lab.key)
    stoker.kill()  # the next one looks at once
    stoker = box.start("run", "--resume", "o/1")
    equal(stoker.wait(), 0, f"exit status:\n{stoker.text}")
    equal(len(box.attempts("o/1", "long")), 1, "attempts")
    equal(box.log("o/1", "long"), b"before\nafter\n", "its log")


if __name__ == "__main__":
    main()
