"""The ssh transport by itself, without a scheduler above it: keys, ssh-agent, jump hosts, known hosts, both carriers."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time

from lab import NO_NAMESPACES, PATH, Lab, Part, command, tool
from lib import QUICK, SLOW, STOKER, Process, Sandbox, Skip, check, equal, has, main, story, wait_for

BUILD = os.path.dirname(STOKER)
AGENT = os.path.join(BUILD, "stoker-agent")
PROBE = os.path.join(BUILD, "tests", "e2e", "ssh_probe")


class Said:
    """What the probe printed: its lines by their first word, each with its fields."""

    def __init__(self, text):
        self.text = text
        self.lines = []
        for line in text.splitlines():
            words = line.split(" ", 1)
            fields = dict((key, quoted or plain) for key, quoted, plain
                          in re.findall(r"(\w+)=(?:'([^\n]*?)'(?= \w+=|$)|(\S*))", words[1] if len(words) > 1 else ""))
            self.lines.append((words[0], fields))

    def all(self, kind):
        return [fields for word, fields in self.lines if word == kind]

    def one(self, kind):
        found = self.all(kind)
        equal(len(found), 1, f"lines '{kind}' in\n{self.text}")
        return found[0]


def sanitizer_env(lab):
    """libssh2 1.10 forgets some 60 bytes of each ecdsa key that it reads, and of each key exchange that is broken off."""
    path = os.path.join(lab.path, "leaks")
    with open(path, "w", encoding="ascii") as file:
        file.write("leak:libssh2.so\n")
    old = os.environ.get("ASAN_OPTIONS", "")
    return {"LSAN_OPTIONS": f"suppressions={path}:print_suppressions=0",
            "ASAN_OPTIONS": f"{old}:fast_unwind_on_malloc=0"} if SLOW > 1 else {}


def probe(lab, destination, *options, config=None, env=None, agent=AGENT, code=0, path=PATH, timeout=90):
    words = [*lab.prefix, "/usr/bin/env", f"PATH={path}", PROBE, "--agent", agent, "--config", config or lab.ssh_config,
             *options, destination]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout * SLOW, check=False,
                          env={**lab.box.env, **sanitizer_env(lab), "PATH": PATH, **(env or {})})
    text = done.stdout.decode(errors="replace")
    check(code is None or done.returncode == code, f"status {done.returncode} of {shlex.join(words)}:\n{text}")
    return Said(text)


def need_probe():
    if not os.path.exists(PROBE):
        raise Skip("ssh_probe is not built")


@story("who a host is, is asked without logging in, and believed when told so; by libssh2 and by the ssh program")
def meeting(box: Sandbox):
    need_probe()
    lab = Lab(box, 1)
    host = lab["h1"]
    for number, by in enumerate(("libssh2", "openssh")):
        known = os.path.join(lab.path, f"fresh{number}")
        options = ["--transport", by, "--known-hosts", known]
        met = probe(lab, "h1", *options, "--meet").one("met")
        equal(met["host"], lab.place(host), "its name")
        equal(met["key"], f"ssh-ed25519 {host.fingerprint}", "its key")
        check(not os.path.exists(known), "nothing was written")
        said = probe(lab, "h1", *options, code=1).one("broken")
        equal(said["fault"], "hostkey_unknown", f"the fault: {said}")
        has(said["why"], "workers trust", "what helps")
        probe(lab, "h1", *options, "--trust")
        with open(known, encoding="ascii") as file:
            equal(file.read(), f"{lab.place(host)} {host.host_key}\n", "the line")
        probe(lab, "h1", *options)
        host.make_host_key()
        host.restart_sshd()
        said = probe(lab, "h1", *options, code=1).one("broken")
        equal(said["fault"], "hostkey_changed", f"the fault: {said}")
        has(said["why"], host.fingerprint, "the key that it shows")
        has(probe(lab, "h1", *options, "--meet").text, "changed", "what is said of it")


# --- keys -------------------------------------------------------------------------------------------------------------


class KeyAgent:
    """An ssh-agent of the story's own, in the foreground, that holds these keys."""

    def __init__(self, lab, *keys):
        self.socket = os.path.join(lab.path, f"agent{len(lab.parts)}")
        self.part = Part(lab, "sh", "-c", f"{tool('ssh-agent')} -D -a '{self.socket}' >/dev/null & echo $!; cat; kill -9 $!")
        self.process = Process(int(self.part.answer()[0]))
        wait_for(self.listens, "ssh-agent listens")
        for key in keys:
            self.add(key)

    def listens(self):
        """A connection is what tells: its socket has its name before anybody listens there."""
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(self.socket) == 0

    def add(self, key, passphrase="", *options):
        """ssh-add takes a passphrase from a program only."""
        ask = self.socket + ".ask"
        with open(ask, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\necho '{passphrase}'\n")
        os.chmod(ask, 0o700)
        env = {"PATH": PATH, "SSH_AUTH_SOCK": self.socket, "SSH_ASKPASS": ask, "SSH_ASKPASS_REQUIRE": "force"}
        done = subprocess.run([tool("ssh-add"), "-q", *options, key], env=env, stdin=subprocess.DEVNULL, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        equal(done.returncode, 0, f"ssh-add: {done.stdout.decode()}")

    def close(self):
        self.part.close()


def libssh2_can_rsa(said):
    """Whether the one at hand (which the probe names) signs as servers of today ask for."""
    version = re.search(r"libssh2 (\d+)\.(\d+)", said.text)
    return (int(version[1]), int(version[2])) >= (1, 11)


KINDS = {"ed25519": [], "ecdsa": ["-b", "256"], "ecdsa384": ["-b", "384"], "pem": ["-b", "256", "-m", "PEM"],
         "rsa": ["-b", "2048"]}


def make_keys(lab):
    paths = {}
    for name, options in KINDS.items():
        kind = {"pem": "ecdsa", "ecdsa384": "ecdsa"}.get(name, name)
        paths[name] = os.path.join(lab.path, f"key_{name}")
        command("ssh-keygen", "-q", "-t", kind, *options, "-N", "", "-C", f"lab {name}", "-f", paths[name])
    return paths


@story("a key of each kind lets us in, from its file and by ssh-agent; RSA by whoever can")
def keys(box: Sandbox):
    need_probe()
    lab = Lab(box, 1)
    host = lab["h1"]
    paths = make_keys(lab)
    host.authorize(*paths.values())
    bare = os.path.join(lab.path, "bare")
    with open(bare, "w", encoding="ascii") as file:
        file.write(f"Host h1\n HostName {host.address}\n Port {host.port}\n User {host.user}\n IdentityFile none\n"
                   f" UserKnownHostsFile {lab.known_hosts}\n GlobalKnownHostsFile /dev/null\n")
    can_rsa = libssh2_can_rsa(probe(lab, "h1", "--identity", paths["ed25519"]))
    for name, path in paths.items():
        opened = probe(lab, "h1", "--identity", path).one("opened")
        able = name != "rsa" or can_rsa
        has(opened["by"], "libssh2" if able else "openssh: the key", f"what carries {name}")
        if able:
            equal(opened["key"], path, "the key that let us in")
        else:  # that it takes ssh, is found out once
            before = host.log().count("Connection from")
            equal(len(probe(lab, "h1", "--identity", path, "--rounds", "3").all("welcome")), 3, "connections")
            equal(host.log().count("Connection from") - before, 4, "connections that its sshd saw")
        agent = KeyAgent(lab, path)
        said = probe(lab, "h1", config=bare, env={"SSH_AUTH_SOCK": agent.socket})
        has(said.one("opened")["by"], "libssh2" if able else "openssh: the key", f"what carries {name} of an agent")
        if able:
            has(said.one("opened")["key"], "by ssh-agent", "the key that let us in")
        agent.close()
        if not able:
            said = probe(lab, "h1", "--identity", path, "--transport", "libssh2", code=1).one("broken")
            equal(said["fault"], "auth", "the fault")
            has(said["why"], "is RSA", "why not by libssh2")
            has(said["why"], "transport: auto", "what helps")
            lonely = {"HOME": lab.path}
            said = probe(lab, f"{host.user}@{host.address}:{host.port}", "--known-hosts", lab.known_hosts,
                         "--identity", path, env=lonely, path="/nonexistent", code=1).one("broken")
            has(said["why"], "install the ssh program", "what helps where there is no ssh")
    # RSA goes first to the agent and is passed over for a key that libssh2 can use.
    agent = KeyAgent(lab, paths["rsa"], paths["ecdsa"])
    opened = probe(lab, "h1", config=bare, env={"SSH_AUTH_SOCK": agent.socket}).one("opened")
    has(opened["by"], "libssh2", "what carries it")


@story("encrypted keys are for ssh-agent, and each key that was not taken is named with the reason")
def reasons(box: Sandbox):
    need_probe()
    lab = Lab(box, 1)
    encrypted = lab.make_key(os.path.join(lab.path, "encrypted"), passphrase="secret")
    pem = os.path.join(lab.path, "pem")
    command("ssh-keygen", "-q", "-t", "ecdsa", "-m", "PEM", "-N", "secret", "-C", "pem", "-f", pem)
    other = lab.make_key(os.path.join(lab.path, "other"))
    garbage = os.path.join(lab.path, "garbage")
    with open(garbage, "w", encoding="ascii") as file:
        file.write("no key at all\n")
    lab["h1"].authorize(encrypted, pem)
    names = [encrypted, pem, other, garbage, os.path.join(lab.path, "missing")]
    options = [word for name in names for word in ("--identity", name)]
    broken = probe(lab, "h1", *options, code=1).one("broken")
    equal(broken["fault"], "auth", "the fault")
    for part in (f"{encrypted} is encrypted: put it into ssh-agent", f"{pem} is encrypted", f"{other}: ",
                 f"{garbage}: it is no private key", "missing: No such file"):
        has(broken["why"], part, "why none would do")
    for path in (encrypted, pem):
        agent = KeyAgent(lab)
        agent.add(path, "secret")
        lab.write_ssh_config(IdentityAgent=agent.socket)
        opened = probe(lab, "h1", "--identity", path).one("opened")
        has(opened["key"], path, "the key")
        has(opened["key"], "by ssh-agent", "the key")
        # Named by its public half, as people do who keep the other half in the agent only.
        opened = probe(lab, "h1", "--identity", path + ".pub").one("opened")
        has(opened["key"], "by ssh-agent", "the key")
        agent.close()
    said = probe(lab, "h1", "--identity", encrypted, code=1).one("broken")
    has(said["why"], "ssh-agent at", "what is said about an agent that is gone")


@story("an ssh-agent that hangs holds up nobody for long, and no exit")
def hanging_agent(box: Sandbox):
    need_probe()
    lab = Lab(box, 1)
    agent = KeyAgent(lab, lab.key)
    lab.write_ssh_config(IdentityAgent=agent.socket)
    has(probe(lab, "h1").one("opened")["key"], "by ssh-agent", "the key")
    agent.process.signal(signal.SIGSTOP)
    began = time.monotonic()
    equal(probe(lab, "h1").one("opened")["key"], lab.key, "the key")
    check(time.monotonic() - began < 15 * SLOW, "it does not take long")

    def closing():
        began = time.monotonic()
        said = probe(lab, "h1", "--close-after", "1000", code=1)
        equal(said.one("broken")["why"], "closed", "why it ended")
        return time.monotonic() - began

    wait_for(lambda: closing() < 4 * SLOW, "closing does not wait for the agent")  # 5 s are what it is given


# --- the way there ----------------------------------------------------------------------------------------------------


@story("behind a jump host: by our settings and by ssh's configuration, by either carrier, and by a ProxyCommand")
def jumps(box: Sandbox):
    need_probe()
    if NO_NAMESPACES:
        raise Skip(NO_NAMESPACES)
    lab = Lab(box, 1)
    inner = lab.add("inner", hidden=True)
    lab.make_jump_host(lab["h1"])
    seen = {inner.address: "inner", lab["h1"].address: "h1"}

    def go(*options, config=None, code=0):
        return probe(lab, "inner", *options, config=config, code=code)

    equal(go("--timeout", "2000", code=1).one("broken")["fault"], "unreachable", "the direct way")
    for by in ("auto", "openssh"):
        for jump in ("h1", f"{lab['h1'].user}@{lab['h1'].address}:22"):
            options = ["--jump", jump, "--transport", by, "--identity", lab.key, "--known-hosts", lab.known_hosts]
            has(go(*options).one("opened")["by"], "libssh2" if by == "auto" else "openssh: it is set", "what carries it")
    with open(lab.ssh_config, encoding="ascii") as file:
        plain = file.read()

    def configure(lines):
        with open(lab.ssh_config, "w", encoding="ascii") as file:
            file.write(f"Host inner\n {lines}\n{plain}")

    configure("ProxyJump h1")
    equal(go().one("opened")["jump"], f"{lab['h1'].user}@{lab['h1'].address}:22", "the jump host")
    has(go("--transport", "openssh").one("opened")["by"], "openssh", "what carries it")
    equal(go("--jump", "none", "--timeout", "2000", code=1).one("broken")["fault"], "unreachable", "without the jump")
    configure(f"ProxyCommand ssh -F {lab.ssh_config} -W %h:%p h1")
    equal(go().one("opened")["by"], "openssh: ProxyCommand", "what carries it")
    configure("ProxyJump h1,h1")
    equal(go().one("opened")["by"], "openssh: several jump hosts", "what carries it")

    # Who is a stranger, is told.
    configure("ProxyJump h1")
    for by in ("auto", "openssh"):
        known = os.path.join(lab.path, f"fresh-{by}")
        for name in ("h1", "inner"):
            said = go("--known-hosts", known, "--transport", by, code=1).one("broken")
            equal(said["fault"], "hostkey_unknown", f"the fault: {said}")
            met = go("--known-hosts", known, "--transport", by, "--trust").one("met")
            equal(seen[met["host"]], name, "whose key is shown")
        go("--known-hosts", known, "--transport", by)

    # And one that lets nobody through.
    lab["h1"].configure(AllowTcpForwarding="no")
    lab["h1"].restart_sshd()
    for by in ("auto", "openssh"):
        said = go("--transport", by, code=1).one("broken")
        equal(said["fault"], "unreachable", f"the fault: {said}")
        has(said["why"], "jump host", "what is said")


@story("known_hosts: hashed names, wildcards, other types of key, revoked ones, and lines that are garbage")
def known(box: Sandbox):
    need_probe()
    lab = Lab(box, 1)
    host = lab["h1"]
    lines = {"hashed": None, "wildcard": f"{lab.place(host)[:-1]}?", "garbage": "garbage"}
    for name, pattern in lines.items():
        with open(lab.known_hosts, "w", encoding="ascii") as file:
            if name == "garbage":
                file.write("what is this\n@unknown x y z\n|1|zz|zz ssh-ed25519 AAAA\n\0\0\n")
            file.write(f"{pattern if name == 'wildcard' else lab.place(host)} {host.host_key}\n")
        if name == "hashed":
            command("ssh-keygen", "-H", "-f", lab.known_hosts)
        probe(lab, "h1")
    with open(lab.known_hosts, "a", encoding="ascii") as file:
        file.write(f"@revoked * {host.host_key}\n")
    for by in ("auto", "openssh"):
        said = probe(lab, "h1", "--transport", by, code=1).one("broken")
        equal(said["fault"], "hostkey_revoked", f"the fault: {said}")
    # The host has keys of two types, and the one that is known is not the one that is liked best.
    other = os.path.join(host.etc, "other_key")
    command("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-C", "other", "-f", other)
    with open(os.path.join(host.etc, "sshd_config"), "a", encoding="ascii") as file:
        file.write(f"HostKey {host.inside(other)}\n")
    host.restart_sshd()
    with open(other + ".pub", encoding="ascii") as file:
        ecdsa = " ".join(file.read().split()[:2])
    for key in (ecdsa, host.host_key):
        with open(lab.known_hosts, "w", encoding="ascii") as file:
            file.write(f"{lab.place(host)} {key}\n")
        has(probe(lab, "h1").one("opened")["host_key"], key.split()[0], "the key that was asked for")


@story("a host that has nothing but an RSA key; a certificate instead of a key")
def old_and_new(box: Sandbox):
    need_probe()
    lab = Lab(box, 1)
    host = lab["h1"]
    can_rsa = libssh2_can_rsa(probe(lab, "h1"))
    host.make_host_key("rsa")
    host.restart_sshd()
    lab.know(host)
    by = probe(lab, "h1").one("opened")["by"]
    has(by, "libssh2" if can_rsa else "openssh: no algorithm in common", "what carries it")
    probe(lab, "h1", "--meet")
    host.make_host_key()
    authority = lab.make_key(os.path.join(lab.path, "authority"))
    key = lab.make_key(os.path.join(lab.path, "certified"))
    command("ssh-keygen", "-q", "-s", authority, "-I", "lab", "-n", host.user, key + ".pub")
    host.authorize()
    host.write(os.path.join(host.etc, "authority.pub"), command("cat", authority + ".pub"))
    host.configure(TrustedUserCAKeys=host.inside(os.path.join(host.etc, "authority.pub")))
    host.restart_sshd()
    lab.know(host)
    has(probe(lab, "h1", "--identity", key).one("opened")["by"], "certificate", "what carries it")
    said = probe(lab, "h1", code=1).one("broken")
    equal(said["fault"], "auth", "without it")
    with open(lab.ssh_config, "a", encoding="ascii") as file:
        file.write(f"  CertificateFile {key}-cert.pub\n")
    has(probe(lab, "h1", "--identity", key).one("opened")["by"], "openssh: CertificateFile", "what carries it")


# --- broken off -------------------------------------------------------------------------------------------------------


@story("closed at any moment: resolving, connecting, logging in, sending the agent; and then it connects as if nothing were")
def closed(box: Sandbox):
    need_probe()
    lab = Lab(box, 1)
    host = lab["h1"]
    agents = os.path.join(host.home, ".stoker", "bin")
    for by in ("libssh2", "openssh"):
        host.shape(rtt_ms=10 if by == "libssh2" else 0)
        for fresh in (True,) if QUICK else (True, False):
            step_ms = max(8, int(probe(lab, "h1", "--transport", by).one("opened")["ms"]) // 40)
            if fresh:
                shutil.rmtree(agents, ignore_errors=True)
            said = probe(lab, "h1", "--transport", by, "--close-after", "0", "--close-step", str(step_ms), "--rounds", "300",
                         "--stubborn", timeout=300)
            check(len(said.all("broken")) > 10, f"there were several tries:\n{said.text}")
        host.unshape()
        probe(lab, "h1", "--transport", by)
        wait_for(lambda: not any("boot" in name for name in os.listdir(agents)), "uploads leave nothing behind")
    wait_for(lambda: not host.agents(), "no agent is left")


@story("sshd's sessions are killed at any moment, and it connects again each time")
def killed(box: Sandbox):
    need_probe()
    lab = Lab(box, 1)
    host = lab["h1"]
    for by in ("libssh2", "openssh"):
        words = [*lab.prefix, PROBE, "--agent", AGENT, "--config", lab.ssh_config, "--transport", by, "--rounds", "60",
                 "--stubborn", "h1"]
        popen = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 env={**lab.box.env, **sanitizer_env(lab)})
        kills = 0
        while popen.poll() is None:
            kills += host.kill_sessions()
            time.sleep(lab.rng.uniform(0, 0.1))
            if kills % 5 == 0:
                shutil.rmtree(os.path.join(host.home, ".stoker", "bin"), ignore_errors=True)
        said = Said(popen.stdout.read().decode(errors="replace"))
        popen.stdout.close()
        equal(len(said.all("broken")), 60, f"ends:\n{said.text}")
        check(kills > 5, f"{kills} were killed")
        check(not any(line["fault"] in ("auth", "config", "hostkey_unknown", "hostkey_changed")
                      for line in said.all("broken")), f"nothing that only a person could mend:\n{said.text}")
        probe(lab, "h1", "--transport", by)


if __name__ == "__main__":
    main()
