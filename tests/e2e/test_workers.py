"""`stoker workers`: the machines as a person sees them, tried out, trusted, and emptied."""

import json
import os
import pty
import select
import subprocess

from lab import NO_NAMESPACES, Lab, command
from lib import STOKER, Sandbox, Skip, check, equal, has, main, story, wait_for

WAY = ["settings", "address", "name", "connection", "host key", "login", "login shell", "agent", "clock", "resources"]
FOUND = ["root folder", "disk", "/proc", "inotify", "pidfd", "limits", "logout", "attempts", "python3", "gpus"]


def steps_of(box, name, code=0):
    result = box.stoker("workers", "check", name, "--json", code=code)
    answer = json.loads(result.out)
    equal(answer["worker"], name, "the worker that was checked")
    equal(answer["ok"], code == 0, "whether it can be used")
    return {step["name"]: step for step in answer["steps"]}


def verdicts(steps, verdict):
    return [name for name, step in steps.items() if step["verdict"] == verdict]


@story("this machine is checked without any state or settings, and nothing is claimed")
def here(box: Sandbox):
    steps = steps_of(box, "local")
    equal(list(steps), ["settings", "agent", "resources", *FOUND], "the steps")
    equal(verdicts(steps, "problem"), [], "problems")
    check(not os.path.exists(os.path.join(box.home, "stoker.db")), "a check makes no database")
    text = box.stoker("workers", "check", "local", code=0).out
    equal(len(text.splitlines()), len(steps) + 1, "lines")
    has(text, "ok   root folder", "the plain text")
    has(text, "local can be used", "the plain text")
    check(text.isascii(), "away from a terminal it is plain ASCII")


@story("verbs and options that make no sense are told, with what was probably meant")
def usage(box: Sandbox):
    has(box.stoker("workers", "chek", "local", code=2).err, "did you mean 'check'?", "a verb")
    has(box.stoker("workers", "check", code=2).err, "which worker?", "no worker")
    has(box.stoker("workers", "check", "locol", code=3).err, "did you mean 'local'?", "a worker")
    has(box.stoker("workers", "drain", "local", "--yes", code=2).err, "are for `trust`", "an option")
    has(box.stoker("workers", "trust", "local", code=2).err, "this machine", "trust in oneself")


@story("a limit, a missing python, and a disk that is nearly full are warnings of the check")
def warnings(box: Sandbox):
    small = os.path.join(box.path, "small")
    box.mount_tmpfs(small, "200m")
    box.env["STOKER_HOME"] = small
    box.env["PATH"] = os.path.join(box.path, "nothing")
    done = subprocess.run(["/bin/sh", "-c", 'ulimit -n 200; exec "$@"', "sh", STOKER, "workers", "check", "local",
                           "--json"], env=box.env, cwd=box.dags, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=60, check=False)
    equal(done.returncode, 0, f"status of {done.stdout} {done.stderr}")
    steps = {step["name"]: step for step in json.loads(done.stdout)["steps"]}
    for name, words in (("root folder", "tmpfs"), ("disk", "nearly full"), ("limits", "only 200 open files")):
        equal(steps[name]["verdict"], "warning", name)
        has(steps[name]["text"], words, name)
        check(steps[name]["remedy"], f"{name} has a remedy")


def fake_system(box, linger):
    """A machine whose logind kills what is left of a session."""
    folder = os.path.join(box.path, "system")
    for path in ("bin", "proc/self", "run/systemd/system"):
        os.makedirs(os.path.join(folder, path))
    with open(os.path.join(folder, "proc/self/cgroup"), "w", encoding="ascii") as file:
        file.write("0::/user.slice/user-7.slice/session-3.scope\n")
    programs = {
        "busctl": "case $1 in\n"
                  "get-property) printf 'b true\\nas 0\\nas 0\\n' ;;\n"
                  "--user) echo 0::/user.slice/user-7.slice/user@7.service/app.slice/stoker-agent.scope "
                  ">$STOKER_AGENT_SYSTEM/proc/self/cgroup ;;\n"
                  "esac\n",
        "loginctl": "case $* in\n"
                    f"*enable-linger*) {linger} ;;\n"
                    "show-user*) cat $STOKER_AGENT_SYSTEM/lingers ;;\n"
                    "esac\n",
    }
    for name, script in programs.items():
        path = os.path.join(folder, "bin", name)
        with open(path, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\n" + script)
        os.chmod(path, 0o755)
    box.env["STOKER_AGENT_SYSTEM"] = folder
    box.env["PATH"] = os.path.join(folder, "bin") + ":" + box.env["PATH"]
    return folder


@story("where logind ends what a login left, the agent moves to where it lives on, and says so")
def lingering(box: Sandbox):
    folder = fake_system(box, "echo Linger=yes >$STOKER_AGENT_SYSTEM/lingers")
    steps = steps_of(box, "local")
    equal(steps["logout"]["verdict"], "ok", f"survival: {steps['logout']}")
    has(steps["logout"]["text"], "scope", "where it lives")
    check(os.path.exists(os.path.join(folder, "lingers")), "the user lingers now")


@story("where it cannot move, a run warns loudly and the check fails with what to ask the administrator for")
def killed(box: Sandbox):
    fake_system(box, "exit 1")
    steps = steps_of(box, "local", code=1)
    equal(verdicts(steps, "problem"), ["logout"], "problems")
    has(steps["logout"]["text"], "steps die when the connection ends", "the problem")
    has(steps["logout"]["remedy"], "enable-linger", "its remedy")
    box.file("one.yaml", "steps:\n  a: {run: 'true'}\n")
    has(box.stoker("run", "one.yaml", code=0).err, "steps die when the connection ends", "what a run says")


# --- other machines ---------------------------------------------------------------------------------------------------


@story("another machine is checked step by step, and its agent is put there once")
def there(box: Sandbox):
    lab = Lab(box, 1)
    lab.settings(h1={"labels": ["gpu"], "resources": {"gpus": 2}})
    steps = steps_of(box, "h1")
    equal(list(steps), WAY + FOUND, "the steps")
    has(steps["settings"]["text"], "labels gpu", "the settings")
    has(steps["address"]["text"], f"{lab['h1'].user}@{lab['h1'].address}:{lab['h1'].port}", "the address")
    has(steps["host key"]["text"], lab["h1"].fingerprint, "the host key")
    has(steps["login"]["text"], lab.key, "the key that it lets in")
    has(steps["agent"]["text"], "put there now", "the agent")
    equal(steps["resources"]["verdict"], "warning", "GPUs that are not there")
    has(steps["resources"]["text"], "the settings give out 2 gpus", "GPUs that are not there")
    has(steps_of(box, "h1")["agent"]["text"], "there already", "the agent, the second time")
    wait_for(lambda: lab["h1"].agents() == [], "no agent is left there")


@story("a check tells how far it came, and what is wrong there: refused, unknown name, no key, full disk")
def broken(box: Sandbox):
    lab = Lab(box, 1)
    host = lab["h1"]
    lab.settings()
    host.stop_sshd()
    steps = steps_of(box, "h1", code=1)
    equal(list(steps), ["settings", "address", "connection"], "the way to a port that is shut")
    has(steps["connection"]["text"], "refuses connections", "a port that is shut")
    host.start_sshd()

    host.authorize()
    steps = steps_of(box, "h1", code=1)
    equal(verdicts(steps, "problem"), ["login"], "without a key")
    equal(list(steps), ["settings", "address", "name", "connection", "host key", "login"], "the way to the login")
    host.authorize(lab.key)

    path = os.path.join(box.path, "stoker.yaml")
    with open(path, "w", encoding="ascii") as file:
        json.dump({"workers": {"nowhere": {"ssh": "no-such-host.invalid", "ssh_config": "/dev/null"}}}, file)
    steps = steps_of(box, "nowhere", code=1)
    has(steps["name"]["text"], "cannot be looked up", "a name without an address")


@story("a disk over there that is as good as full is a problem")
def small(box: Sandbox):
    if NO_NAMESPACES:
        raise Skip(NO_NAMESPACES)
    lab = Lab(box, 1)
    lab.settings()
    lab["h1"].mount_home("size=20m")
    steps = steps_of(box, "h1", code=1)
    equal(verdicts(steps, "problem"), ["disk"], "problems")
    has(steps["disk"]["text"], "full", "the disk")
    has(steps["root folder"]["text"], "in memory", "the file system")


def known_lines(lab):
    with open(lab.known_hosts, encoding="ascii") as file:
        return file.read().splitlines()


@story("a host key that is not known is shown, and accepted by its fingerprint, by --yes, or by a person")
def trusting(box: Sandbox):
    lab = Lab(box, 1)
    host = lab["h1"]
    lab.settings()
    lab.know()
    steps = steps_of(box, "h1", code=1)
    equal(verdicts(steps, "problem"), ["host key"], "problems")
    has(steps["host key"]["text"], "stoker workers trust h1", "what to do")

    result = box.stoker("workers", "trust", "h1", code=1)
    has(result.err, host.fingerprint, "what is shown")
    has(result.err, "no terminal to ask on", "without anybody to ask")
    result = box.stoker("workers", "trust", "h1", "--fingerprint", "SHA256:" + "A" * 43, code=1)
    has(result.err, "no key with the fingerprint", "another fingerprint")
    equal(known_lines(lab), [], "known hosts")

    box.stoker("workers", "trust", "h1", "--fingerprint", host.fingerprint, code=0)
    equal(known_lines(lab), [f"{lab.place(host)} {host.host_key}"], "known hosts")
    steps_of(box, "h1")
    has(box.stoker("workers", "trust", "h1", code=0).err, "trusted already", "the second time")
    events = [event for event in box.json("events")["events"] if event["kind"] == "worker.trusted"]
    equal(len(events), 1, "events")
    has(json.dumps(events[0]), host.fingerprint, "the event")

    lab.know()
    equal(answer_prompt(box, ["workers", "trust", "h1"], b"no\n"), 1, "status after a no")
    equal(known_lines(lab), [], "known hosts after a no")
    equal(answer_prompt(box, ["workers", "trust", "h1"], b"yes\n"), 0, "status after a yes")
    equal(known_lines(lab), [f"{lab.place(host)} {host.host_key}"], "known hosts after a yes")


def answer_prompt(box, words, answer):
    """Runs stoker on a terminal, types `answer` when it asks, and returns its exit status."""
    near, far = pty.openpty()
    popen = subprocess.Popen([*box.prefix, STOKER, *words], env=box.env, cwd=box.dags, stdin=far, stdout=far,
                             stderr=far)
    os.close(far)
    said = b""
    try:
        while b"Accept?" not in said:
            check(select.select([near], [], [], 60)[0], f"it asks, and does not only say {said!r}")
            said += os.read(near, 4096)
        os.write(near, answer)
        return popen.wait(60)
    finally:
        popen.kill()
        popen.wait()
        os.close(near)


@story("a key that changed is refused, until a person says --replace; other lines of the file stay")
def replacing(box: Sandbox):
    lab = Lab(box, 1)
    host = lab["h1"]
    lab.settings()
    other = "other.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    with open(lab.known_hosts, "a", encoding="ascii") as file:
        file.write(f"# mine\n{other}\n")
    listed = known_lines(lab)
    host.make_host_key()
    host.restart_sshd()
    with open(lab.known_hosts, "w", encoding="ascii") as file:
        file.write(listed[0].replace(lab.place(host), f"{lab.place(host)},friend.example") + "\n")
    has(box.stoker("workers", "trust", "h1", "--yes", "--replace", code=1).err, "by hand", "a line with two hosts")
    with open(lab.known_hosts, "w", encoding="ascii") as file:
        file.write("\n".join(listed) + "\n")
    has(steps_of(box, "h1", code=1)["host key"]["text"], "has changed", "the check")
    result = box.stoker("workers", "trust", "h1", "--yes", code=1)
    has(result.err, "has changed", "what trust says")
    has(result.err, "--replace", "what trust says")
    box.stoker("workers", "trust", "h1", "--yes", "--replace", code=0)
    equal(known_lines(lab), ["# mine", other, f"{lab.place(host)} {host.host_key}"], "known hosts")
    steps_of(box, "h1")


@story("the jump host on the way is shown and accepted before the host behind it")
def behind(box: Sandbox):
    if NO_NAMESPACES:
        raise Skip(NO_NAMESPACES)
    lab = Lab(box, 1)
    inner = lab.add("inner", hidden=True)
    lab.make_jump_host(lab["h1"])
    lab.write_ssh_config()
    lab.settings(inner={"jump": "h1"}, h1={"jump": "none"})
    lab.know()
    result = box.stoker("workers", "trust", "inner", "--yes", code=0)
    has(result.err, "the jump host", "what is shown")
    has(result.err, lab["h1"].fingerprint, "what is shown")
    has(result.err, inner.fingerprint, "what is shown")
    equal(len(known_lines(lab)), 2, "known hosts")
    has(steps_of(box, "inner")["address"]["text"], "through", "the way")


def prefer(lab, name, line):
    """Puts a line for one host before all others of the lab's ssh configuration: the first one counts."""
    lab.write_ssh_config()
    with open(lab.ssh_config, encoding="ascii") as file:
        rest = file.read()
    with open(lab.ssh_config, "w", encoding="ascii") as file:
        file.write(f"Host {name}\n  {line}\n{rest}")


@story("hosts that only the ssh program gets to are shown and accepted too: ProxyCommand, two jump hosts, by its choice")
def by_program(box: Sandbox):
    if NO_NAMESPACES:
        raise Skip(NO_NAMESPACES)
    lab = Lab(box, 2)
    inner = lab.add("inner", hidden=True)
    lab.make_jump_host(lab["h2"])

    prefer(lab, "inner", f"ProxyCommand ssh -F {lab.ssh_config} -W %h:%p h2")
    lab.settings(h1={"transport": "openssh"})
    lab.know(lab["h2"])
    has(steps_of(box, "inner", code=1)["host key"]["text"], "stoker workers trust inner", "what to do")
    result = box.stoker("workers", "trust", "inner", code=1)
    has(result.err, inner.fingerprint, "what is shown")
    has(result.err, "no terminal to ask on", "without anybody to ask")
    equal(len(known_lines(lab)), 1, "known hosts")
    result = box.stoker("workers", "trust", "inner", "--fingerprint", inner.fingerprint, code=0)
    equal(known_lines(lab)[1:], [f"{lab.place(inner)} {inner.host_key}"], "known hosts")
    has(box.stoker("workers", "trust", "inner", code=0).err, "trusted already", "the second time")
    steps_of(box, "inner")

    box.stoker("workers", "trust", "h1", "--yes", code=0)
    equal(known_lines(lab)[2:], [f"{lab.place(lab['h1'])} {lab['h1'].host_key}"], "known hosts")
    lab["h1"].make_host_key()
    lab["h1"].restart_sshd()
    has(box.stoker("workers", "trust", "h1", "--yes", code=1).err, "has changed", "a key that changed")
    box.stoker("workers", "trust", "h1", "--yes", "--replace", code=0)
    steps_of(box, "h1")

    prefer(lab, "inner", "ProxyJump h1,h2")
    lab.know()
    result = box.stoker("workers", "trust", "inner", "--yes", code=0)
    equal(result.err.count("the jump host"), 2, f"jump hosts that are shown: {result.err}")
    equal(len(known_lines(lab)), 3, "known hosts")
    steps_of(box, "inner")


@story("a worker that is drained gets nothing new, and again when it is not")
def draining(box: Sandbox):
    box.file("one.yaml", "steps:\n  a: {run: 'true'}\n")
    box.stoker("workers", "drain", "local", code=0)
    steps = steps_of(box, "local")
    equal(verdicts(steps, "warning"), ["drained"], "warnings")
    run = box.start("run", "one.yaml")
    wait_for(lambda: box.has_run("one/1") and "being emptied" in box.stoker("why", "one/1").out, "why says so")
    equal(box.status("one/1")["state"] in ("queued", "running"), True, "the run waits")
    box.stoker("workers", "undrain", "local", code=0)
    equal(run.wait(60), 0, "status of the run")


@story("a daemon tells how busy the workers elsewhere are")
def loads(box: Sandbox):
    if NO_NAMESPACES:
        raise Skip(NO_NAMESPACES)
    Lab(box, 1).settings(local=False)
    daemon = box.start("serve")
    load = wait_for(lambda: box.workers()[0]["load"], "the load")
    check(load["load1"] >= 0 and load["memory_available_bytes"] > 0 and load["disk_bytes"] > 0, f"the load: {load}")
    has(box.stoker("workers", code=0).out, "LOAD", "the list")
    daemon.signal(15)
    equal(daemon.wait(60), 0, "status of the daemon")


if __name__ == "__main__":
    main()
