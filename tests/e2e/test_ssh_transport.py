"""The ssh transport by itself, without a scheduler above it: keys, ssh-agent, jump hosts, known hosts, both carriers."""

import os
import re
import shlex
import subprocess

from lab import NO_NAMESPACES, PATH, Lab, command, tool
from lib import STOKER, Sandbox, Skip, check, equal, has, main, story

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


def probe(lab, destination, *options, config=None, env=None, agent=AGENT, code=0, path=PATH):
    words = [*lab.prefix, PROBE, "--agent", agent, "--config", config or lab.ssh_config, *options, destination]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90, check=False,
                          env={**lab.box.env, "PATH": path, **(env or {})})
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


if __name__ == "__main__":
    main()
