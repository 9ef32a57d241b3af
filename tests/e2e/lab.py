"""Hosts with a real sshd for the stories about workers over SSH.

    @story("a step runs over there")
    def over_there(box):
        lab = Lab(box, 2)               # hosts h1 and h2, and a place for stoker that is neither
        lab.settings()                  # stoker.yaml with both as workers; box.stoker(...) uses it
        lab["h1"].cut()

Where root can make namespaces each host is one: with an address and a link of its own (which can be cut, made slow and
lossy), own processes, mounts, name and boot id (so that it can be rebooted), own accounts and homes. Nothing of the
test's own folders is seen there, but for one that is meant for it, SHARED. The bridge that joins the links and the
scheduler's end of it are namespaces too. Elsewhere hosts are sshds on loopback ports behind a relay of ours; what such
a host cannot do skips the story.

Nothing outlives the test process, however it ends: see labinside.py. Nothing touches the user's own keys, known
hosts or configuration: ssh is given a configuration of the lab's.
"""

import contextlib
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import uuid

from lib import HERE, PYTHON, SEED, Failed, Process, Skip, all_processes, read_bytes, wait_for

SHARED = "/run/lab/shared"  # on every host: a folder of the test's; Lab.shared is its path outside
USER, USER_ID = "trainer", 61777
INSIDE = [PYTHON, "-B", os.path.join(HERE, "labinside.py")]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ADDRESSES = "10.77.0."
HIDDEN_ADDRESSES = "10.78.0."  # the scheduler has no way there but through a jump host


def tool(name):
    path = shutil.which(name, path=PATH)
    if path is None:
        raise Skip(f"{name} is not installed")
    return path


def command(*words, code=0, data=None):
    """For what the lab itself needs: it works or the story fails."""
    done = subprocess.run(words, input=data, stdin=None if data is not None else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    text = done.stdout.decode(errors="replace")
    if code is not None and done.returncode != code:
        raise Failed(f"{' '.join(words)}: status {done.returncode}: {text}")
    return text


def find_namespaces():
    """Why there can be no namespaces; None when there can."""
    if os.environ.get("STOKER_TEST_LAB") == "loopback":
        return "STOKER_TEST_LAB=loopback"
    if os.geteuid() != 0:
        return "network namespaces need root"
    for name in ("ip", "unshare", "nsenter"):
        if shutil.which(name, path=PATH) is None:
            return f"{name} is not installed"
    done = subprocess.run(["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--mount-proc", "sh", "-c",
                           "ip link add br0 type bridge && ip link add va type veth peer name vb && "
                           "mount -t tmpfs tmpfs /tmp"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.stdout.decode(errors="replace").strip() or "no namespaces" if done.returncode else None


NO_NAMESPACES = find_namespaces()


class Part:
    """A process of the lab that lives as long as its standard input is open, and answers orders line by line."""

    def __init__(self, lab, *words):
        self.popen = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/",
                                      env={"PATH": PATH, "LANG": "C.UTF-8"}, start_new_session=True)
        lab.parts.append(self)

    @property
    def pid(self):
        return self.popen.pid

    def answer(self):
        line = self.popen.stdout.readline().decode()
        if not line:
            raise Failed(f"{self.popen.args} ended with {self.popen.wait()}")
        return line.split()

    def order(self, text):
        self.popen.stdin.write(text.encode() + b"\n")
        self.popen.stdin.flush()
        return self.answer()

    def close(self):
        with contextlib.suppress(OSError):
            self.popen.stdin.close()
        try:
            self.popen.wait(20)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.popen.stdout.close()


def ssh_version():
    """Of OpenSSH, as (9, 2)."""
    said = command(tool("ssh"), "-V")
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", said)
    if not found:
        raise Skip(f"not OpenSSH: {said.strip()}")
    return int(found[1]), int(found[2])


def net_of(pid):
    return f"--net=/proc/{pid}/ns/net"


def make_network_namespace(lab):
    """A process in a network namespace of its own."""
    part = Part(lab, "unshare", "--net", "sh", "-c", "echo ready; exec cat")
    part.answer()
    command("nsenter", net_of(part.pid), "ip", "link", "set", "lo", "up")
    return part


# --- hosts ------------------------------------------------------------------------------------------------------------


class Host:
    """What all hosts have in common. `options` are lines for its sshd's configuration."""

    def __init__(self, lab, name, number, options, user=USER):
        self.lab, self.name, self.number, self.options, self.user = lab, name, number, options, user
        self.folder = os.path.join(lab.path, name)
        self.etc = os.path.join(self.folder, "etc")  # /run/lab/etc over there
        self.home = os.path.join(self.folder, "home")  # its user's home over there, unless mounted over
        self.machine = None
        for path in (self.folder, self.etc, self.home):
            os.mkdir(path)
            os.chmod(path, 0o755)
        self.make_host_key()
        self.authorize(lab.key)
        self.configure()

    # What it stands on, differs.

    def sshd_options(self):
        raise NotImplementedError

    def inside(self, path):
        """A path of the test's as the host sees it."""
        raise NotImplementedError

    def unable(self, what):
        raise Skip(f"{what} needs hosts in namespaces ({NO_NAMESPACES})")

    # Files.

    def write(self, path, text, mode=0o644):
        """In place, because such a file may be mounted over there by itself."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)

    def configure(self, **options):
        """Writes sshd's configuration; it counts from the next start on."""
        self.options.update(options)
        etc = self.inside(self.etc)
        lines = {"HostKey": f"{etc}/host_key", "AuthorizedKeysFile": f"{etc}/authorized_keys", "PidFile": "none",
                 "UsePAM": "no", "StrictModes": "no", "PasswordAuthentication": "no", "UseDNS": "no",
                 "KbdInteractiveAuthentication": "no", "PermitRootLogin": "prohibit-password", "PrintMotd": "no",
                 "LogLevel": "VERBOSE", **self.sshd_options(), **self.options}
        if ssh_version() >= (9, 8):
            lines["PerSourcePenalties"] = "no"  # stories fail to log in, and kill sessions, more often than people do
        self.write(os.path.join(self.etc, "sshd_config"), "".join(f"{k} {v}\n" for k, v in lines.items()))

    def make_host_key(self, kind="ed25519"):
        """Also in place of an old one; the lab's known hosts know nothing of it until Lab.know."""
        path = os.path.join(self.etc, "host_key")
        for old in (path, path + ".pub"):
            if os.path.exists(old):
                os.unlink(old)
        command("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", self.name, "-f", path)

    @property
    def host_key(self):
        """Type and key, as known_hosts has them."""
        return " ".join(read_bytes(os.path.join(self.etc, "host_key.pub")).decode().split()[:2])

    @property
    def fingerprint(self):
        return command("ssh-keygen", "-lf", os.path.join(self.etc, "host_key.pub")).split()[1]

    def authorize(self, *keys):
        """Lets these keys in and no other; without one, nobody."""
        text = "".join(read_bytes(key + ".pub").decode() for key in keys)
        self.write(os.path.join(self.etc, "authorized_keys"), text)

    def home_file(self, name, text, mode=0o644):
        path = os.path.join(self.home, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.write(path, text, mode)
        return path

    def log(self):
        """What its sshd said."""
        return read_bytes(os.path.join(self.folder, "sshd.log")).decode(errors="replace")

    # sshd and its sessions.

    def start_sshd(self):
        """Returns when it listens."""
        def listens():
            return f":{self.sshd_port:04X} 00000000:0000 0A " in read_bytes(f"/proc/{self.machine_pid()}/net/tcp").decode()

        wait_for(lambda: not listens(), f"nobody listens on {self.name} any more")  # a child of one that was stopped may
        self.machine.order("start")
        wait_for(listens, f"sshd of {self.name} listens")

    def stop_sshd(self):
        """New connections are refused; those that are up stay up."""
        self.machine.order("stop")

    def restart_sshd(self):
        self.stop_sshd()
        self.start_sshd()

    def connects(self):
        """Whether its port answers, seen from the scheduler's place."""
        script = ("import socket, sys\n"
                  "with socket.create_connection((sys.argv[1], int(sys.argv[2])), 2) as s:\n"
                  "    s.settimeout(5)\n"
                  "    sys.exit(0 if s.recv(4) == b'SSH-' else 1)\n")
        return subprocess.run([*self.lab.prefix, PYTHON, "-c", script, self.address, str(self.port)],
                              stderr=subprocess.DEVNULL, check=False).returncode == 0

    def processes(self):
        raise NotImplementedError

    def sessions(self):
        """The processes that serve connections: all of sshd but the one that listens."""
        listener = self.listener()
        return [p for p in self.processes() if p.program.startswith("sshd") and p.pid != listener]

    def listener(self):
        """The process id of sshd as the test sees it; 0 when it is not there."""
        for process in self.processes():
            words = process.words  # a session that has only just begun looks much alike, but for its -R
            if process.program == "sshd" and "-R" not in words and any("sshd_config" in word for word in words):
                return process.pid
        return 0

    def connections(self):
        """How many connections to its sshd are up, as its kernel sees them: one that was cut counts until noticed."""
        port = f":{self.sshd_port:04X}"
        rows = read_bytes(f"/proc/{self.machine_pid()}/net/tcp").decode().splitlines()[1:]
        return sum(words[1].endswith(port) and words[3] == "01" for words in map(str.split, rows))

    def agents(self):
        """The agents that serve a connection. Supervisors are the same program: they descend from one, or from none."""
        sessions = {process.pid for process in self.sessions()}
        return [process for process in self.processes()
                if process.program.startswith("stoker-agent") and self._serves(process, sessions)]

    @staticmethod
    def _serves(process, sessions):
        """Whether a session started it, maybe by way of shells."""
        for _ in range(16):
            process = Process(process.parent)
            if process.pid in sessions:
                return True
            if process.pid <= 1 or process.program.startswith("stoker-agent"):
                return False
        return False

    def kill_sessions(self):
        """As if sshd had crashed: no word of farewell. Returns how many there were."""
        return sum(process.signal(signal.SIGKILL) for process in self.sessions())

    def kill_agents(self):
        return sum(process.signal(signal.SIGKILL) for process in self.agents())

    def freeze(self):
        """A host that is there (its kernel answers) and does nothing: sshd's sessions and all the rest are stopped."""
        for process in self.freezable():
            process.signal(signal.SIGSTOP)

    def thaw(self):
        for process in self.processes():
            process.signal(signal.SIGCONT)

    def freezable(self):
        machine = self.machine_pid()
        return [process for process in self.processes() if process.pid != machine]

    def machine_pid(self):
        raise NotImplementedError

    # The link.

    def cut(self):
        raise NotImplementedError

    def restore(self):
        raise NotImplementedError

    def shape(self, rtt_ms=0, loss_percent=0):
        """Makes the link slow (a round trip takes so much longer) and lossy, until told otherwise."""
        raise NotImplementedError


class NamespaceHost(Host):
    """A host made of namespaces."""

    port = sshd_port = 22

    def __init__(self, lab, name, number, options, user=USER, hidden=False):
        self.hidden = hidden
        self.address = f"{HIDDEN_ADDRESSES if hidden else ADDRESSES}{number + 10}"
        self.generation = 0
        self.wire = None
        self.shell = "/bin/sh"
        self.remote_home = "/root" if user == "root" else f"/home/{user}"
        super().__init__(lab, name, number, options, user)
        os.chown(self.home, self.user_id, self.user_id)
        self.write_accounts()
        self.power_on()

    @property
    def user_id(self):
        return 0 if self.user == "root" else USER_ID

    def sshd_options(self):
        return {"Port": 22, "AddressFamily": "inet"}

    def inside(self, path):
        if path == self.etc or path.startswith(self.etc + "/"):
            return "/run/lab/etc" + path[len(self.etc):]
        if path == self.home or path.startswith(self.home + "/"):
            return self.remote_home + path[len(self.home):]
        raise Failed(f"{path} cannot be seen on {self.name}")

    def home_file(self, name, text, mode=0o644):
        path = super().home_file(name, text, mode)
        os.chown(path, self.user_id, self.user_id)
        return path

    def write_accounts(self, shell=None, home=None):
        """The login shell and the home of its user, from the next login on."""
        self.shell = shell or self.shell
        root = self.shell if self.user == "root" else "/bin/sh"
        lines = [f"root:*:0:0::{home or '/root'}:{root}", "sshd:*:60777:65534::/run/sshd:/usr/sbin/nologin",
                 "nobody:*:65534:65534::/nonexistent:/usr/sbin/nologin"]
        if self.user != "root":
            lines.append(f"{self.user}:*:{USER_ID}:{USER_ID}::{home or self.remote_home}:{self.shell}")
        self.write(os.path.join(self.etc, "passwd"), "".join(line + "\n" for line in lines))

    # Power.

    def power_on(self):
        etc, home, shared = self.etc, self.home, self.lab.shared
        boot_id = os.path.join(self.etc, "boot_id")
        self.write(boot_id, f"{uuid.UUID(int=self.lab.rng.getrandbits(128), version=4)}\n")
        tmpfs = ["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs"]
        # What it is given is mounted before the folders of the test disappear from sight.
        prepare = [[*tmpfs, "/run"], ["mkdir", "-p", "/run/sshd", "/run/lab/etc", SHARED],
                   ["mount", "--bind", etc, "/run/lab/etc"], ["mount", "--bind", shared, SHARED],
                   [*tmpfs, "/home"], [*tmpfs, "/root"], ["mkdir", "-p", self.remote_home],
                   ["mount", "--bind", home, self.remote_home],
                   ["mount", "--bind", f"{etc}/passwd", "/etc/passwd"],
                   ["mount", "--bind", f"{etc}/boot_id", "/proc/sys/kernel/random/boot_id"]]
        prepare += [["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", path]
                    for path in ("/dev/shm", "/var/tmp", "/tmp") if os.path.isdir(path)]
        # Unless it was below /tmp and has gone with it.
        prepare += [["sh", "-c", 'test ! -d "$1" || mount -t tmpfs tmpfs "$1"', "sh", self.lab.hidden_path]]
        plan = {"name": self.name, "prepare": prepare, "env": {"PATH": PATH},
                "sshd": [tool("sshd"), "-D", "-e", "-f", "/run/lab/etc/sshd_config"]}
        self.write(os.path.join(self.folder, "machine.json"), json.dumps(plan))
        self.machine = Part(self.lab, "unshare", "--net", "--pid", "--mount", "--uts", "--ipc", "--fork",
                            "--kill-child", "--mount-proc", *INSIDE, "machine", self.folder)
        self.machine.answer()
        self.init = Process(int(read_bytes(f"/proc/{self.machine.pid}/task/{self.machine.pid}/children").split()[0]))
        self.generation += 1
        self.lab.plug(self)
        self.start_sshd()

    def power_off(self):
        """As if the cable had been pulled: nothing gets to say or write a last word."""
        left = self.processes()
        self.unplug()
        self.machine.popen.kill()  # and the kernel its child, which is process 1 over there
        self.machine.close()
        wait_for(lambda: not any(process.alive() for process in left), f"{self.name} is off")

    def reboot(self):
        """All its processes are dead, its boot id is another, its disk is as it was."""
        self.power_off()
        self.power_on()

    def unplug(self):
        self.unshape()
        command("nsenter", net_of(self.lab.bridge.pid), "ip", "link", "del", self.link, code=None)

    @property
    def link(self):
        """Its end of the cable at the bridge."""
        return f"p{self.number}.{self.generation}"

    @property
    def mac(self):
        """Always the same, so that nobody has to forget an older one after a reboot."""
        return f"02:00:00:00:00:{self.number + 10:02x}"

    def machine_pid(self):
        return self.init.pid

    def processes(self):
        """All of it. Its first process is one of them."""
        try:
            mine = os.readlink(f"/proc/{self.init.pid}/ns/pid")
        except OSError:
            return []
        found = []
        for process in all_processes():
            try:
                if os.readlink(f"/proc/{process.pid}/ns/pid") == mine and process.alive():
                    found.append(process)
            except OSError:
                pass
        return found

    def enter(self, *words, code=0, data=None):
        """Runs a command there as root, as if at its console."""
        return command("nsenter", "--target", str(self.init.pid), "--net", "--pid", "--mount", "--uts", "--ipc",
                       "--wd=/", "--", *words, code=code, data=data)

    def own_disk(self):
        """What the agent keeps does not wait for the disk of this machine, as it would not on another one."""
        folder = self.remote_home + "/.stoker"
        self.enter("mkdir", "-p", folder)
        self.enter("mount", "-t", "tmpfs", "-o", f"mode=0700,uid={self.user_id},gid={self.user_id}", "tmpfs", folder)

    def mount_home(self, options):
        """A small or a strict file system in place of the home: "size=1m", "noexec", "ro" and the like."""
        self.enter("mount", "-t", "tmpfs", "-o", f"mode=0755,uid={self.user_id},gid={self.user_id},{options}", "tmpfs",
                   self.remote_home)

    def unmount(self, path):
        """Once nothing there has a file open in it, or is looking for one."""
        wait_for(lambda: "busy" not in self.enter("umount", path, code=None), f"{path} is let go of")

    # The link.

    def wire_ip(self, *words):
        command("nsenter", net_of(self.lab.bridge.pid), "ip", *words)

    def cut(self):
        """Pulls the cable. Neither side is told anything; who tries for a few seconds learns: no route to host."""
        self.wire_ip("link", "set", self.link, "down")

    def restore(self):
        self.wire_ip("link", "set", self.link, "up")

    def filter(self):
        """Takes what comes and answers nothing, as behind a firewall."""
        self.enter("ip", "route", "add", "blackhole", f"{self.lab.address}/32")

    def unfilter(self):
        self.enter("ip", "route", "del", "blackhole", f"{self.lab.address}/32")

    def shape(self, rtt_ms=0, loss_percent=0):
        self.unshape()
        if not rtt_ms and not loss_percent:
            return
        # The frames take a way around: link - wire - far end of a pair - its near end in the bridge.
        near, far = f"n{self.link}", f"f{self.link}"
        self.wire_ip("link", "add", near, "type", "veth", "peer", "name", far)
        self.wire_ip("link", "set", self.link, "nomaster")
        self.wire_ip("link", "set", far, "up")
        self.wire = Part(self.lab, "nsenter", net_of(self.lab.bridge.pid), *INSIDE, "wire", self.link, far,
                         str(rtt_ms / 2), str(loss_percent), str(self.lab.rng.randrange(1 << 30)))
        self.wire.answer()
        self.wire_ip("link", "set", near, "master", "br0", "up")

    def unshape(self):
        if self.wire is None:
            return
        self.wire.close()
        self.wire = None
        self.wire_ip("link", "del", f"n{self.link}")
        self.wire_ip("link", "set", self.link, "master", "br0")

    def wire_counts(self):
        """How many frames a shaped link has passed on and lost."""
        return [int(word) for word in self.wire.order("count")]


class LoopbackHost(Host):
    """An sshd on a loopback port, behind a relay. Its user is who runs the test, its home a folder all the same."""

    address = "127.0.0.1"

    def __init__(self, lab, name, number, options, user=None, hidden=False):
        if hidden or user == "root" and os.geteuid() != 0:
            self.unable("a host behind a jump host" if hidden else "another user")
        self.sshd_port = self.free_port()
        self.relay = self.port = None
        super().__init__(lab, name, number, options, pwd.getpwuid(os.geteuid()).pw_name)
        self.remote_home = self.home
        plan = {"name": "", "prepare": [], "env": {"PATH": PATH},
                "sshd": [tool("sshd"), "-D", "-e", "-f", os.path.join(self.etc, "sshd_config")]}
        if os.geteuid() == 0:
            plan["prepare"].append(["mkdir", "-p", "/run/sshd"])
        self.write(os.path.join(self.folder, "machine.json"), json.dumps(plan))
        self.machine = Part(lab, *INSIDE, "machine", self.folder)
        self.machine.answer()
        self.relay = Part(lab, *INSIDE, "relay", "0", str(self.sshd_port), str(lab.rng.randrange(1 << 30)))
        self.port = int(self.relay.answer()[1])
        self.start_sshd()

    @staticmethod
    def free_port():
        with socket.create_server(("127.0.0.1", 0)) as server:
            return server.getsockname()[1]

    def sshd_options(self):
        # An own HOME is what a shell looks for its files in, and what stoker puts its root folder in.
        return {"ListenAddress": f"127.0.0.1:{self.sshd_port}", "SetEnv": f"HOME={self.home}"}

    def inside(self, path):
        return path

    def machine_pid(self):
        return self.machine.pid

    def processes(self):
        everything = all_processes()
        parents = {process.pid: process.parent for process in everything}
        found = []
        for process in everything:
            pid = process.pid
            while pid > 1 and pid != self.machine.pid:
                pid = parents.get(pid, 0)
            if pid == self.machine.pid and process.alive():
                found.append(process)
        return found

    def start_sshd(self):
        super().start_sshd()
        self.relay.order("listen")

    def stop_sshd(self):
        self.relay.order("refuse")
        super().stop_sshd()

    def cut(self):
        self.relay.order("cut")

    def restore(self):
        self.relay.order("restore")

    filter, unfilter = cut, restore

    def shape(self, rtt_ms=0, loss_percent=0):
        self.relay.order(f"shape {rtt_ms / 2} {loss_percent}")

    def unshape(self):
        self.shape()

    def reboot(self):
        self.unable("a reboot")

    def enter(self, *_words, **_options):
        self.unable("a command at the host's console")

    def write_accounts(self, **_options):
        self.unable("another login shell or home")

    def mount_home(self, _options):
        self.unable("another home")


# --- the lab ----------------------------------------------------------------------------------------------------------


class Lab:
    """Hosts h1, h2, ... `options` are of sshd, for all of them: Lab(box, 2, MaxSessions=1)."""

    def __init__(self, box, hosts=1, user=USER, **options):
        for name in ("sshd", "ssh", "ssh-keygen"):
            tool(name)
        self.box = box
        self.rng = random.Random(SEED)
        self.hidden_path = box.path
        self.path = os.path.join(box.path, f"lab{len(box.labs)}")
        self.shared = os.path.join(self.path, "shared")
        self.key = os.path.join(self.path, "key")
        self.known_hosts = os.path.join(self.path, "known_hosts")
        self.ssh_config = os.path.join(self.path, "ssh_config")
        self.address = f"{ADDRESSES}1"
        self.hosts = {}
        self.parts = []
        self.bridge = self.scheduler = None
        self.prefix = []
        box.labs.append(self)
        os.mkdir(self.path)
        os.chmod(self.path, 0o755)
        os.mkdir(self.shared)
        os.chmod(self.shared, 0o1777)
        self.make_key(self.key)
        if not NO_NAMESPACES:
            self.make_network()
        for _ in range(hosts):
            self.add(f"h{len(self.hosts) + 1}", user, **options)

    def __getitem__(self, name):
        return self.hosts[name]

    def add(self, name, user=USER, hidden=False, **options):
        """One more host. A hidden one is reached through others only."""
        kind = LoopbackHost if NO_NAMESPACES else NamespaceHost
        host = self.hosts[name] = kind(self, name, len(self.hosts), options, user, hidden)
        self.write_ssh_config()
        self.know(*self.hosts.values())
        return host

    @staticmethod
    def make_key(path, kind="ed25519", passphrase=""):
        command("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "lab", "-f", path)
        return path

    # --- network

    def make_network(self):
        self.bridge, self.scheduler = make_network_namespace(self), make_network_namespace(self)
        command("nsenter", net_of(self.bridge.pid), "ip", "-batch", "-", data=(
            "link add br0 type bridge\nlink set br0 up\n"
            f"link add s0 type veth peer name eth0 netns {self.scheduler.pid}\n"
            "link set s0 master br0 up\n").encode())
        self.prefix = ["nsenter", net_of(self.scheduler.pid), "--"]
        command(*self.prefix, "ip", "-batch", "-",
                data=f"addr add {self.address}/24 dev eth0\nlink set eth0 up\n".encode())
        self.box.prefix = self.prefix

    def plug(self, host):
        """Lays the cable from a host that was switched on to the bridge."""
        command("nsenter", net_of(self.bridge.pid), "ip", "-batch", "-", data=(
            f"link add {host.link} type veth peer name eth0 address {host.mac} netns {host.init.pid}\n"
            f"link set {host.link} master br0 up\n").encode())
        host.enter("ip", "-batch", "-", data=(
            f"link set lo up\naddr add {host.address}/24 dev eth0\nlink set eth0 up\n").encode())

    def make_jump_host(self, host):
        """Gives it an address among the hidden ones."""
        host.enter("ip", "addr", "add", f"{HIDDEN_ADDRESSES}{host.number + 10}/24", "dev", "eth0")

    # --- ssh

    def place(self, host):
        """A host as known_hosts names it."""
        return host.address if host.port == 22 else f"[{host.address}]:{host.port}"

    def know(self, *hosts):
        """Makes these, and no others, known by the keys they have now."""
        with open(self.known_hosts, "w", encoding="utf-8") as file:
            file.write("".join(f"{self.place(host)} {host.host_key}\n" for host in hosts))

    def write_ssh_config(self, **more):
        """`more`: options for every host, such as IdentityFile."""
        options = {"IdentityFile": self.key, "IdentitiesOnly": "yes", "IdentityAgent": "none",
                   "UserKnownHostsFile": self.known_hosts, "GlobalKnownHostsFile": "/dev/null",
                   "StrictHostKeyChecking": "yes", "BatchMode": "yes", "ControlPath": "none", **more}
        lines = []
        for host in self.hosts.values():
            lines += [f"Host {host.name}", f"  HostName {host.address}", f"  Port {host.port}", f"  User {host.user}"]
        lines += ["Host *"] + [f"  {name} {value}" for name, value in options.items()]
        with open(self.ssh_config, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def ssh_words(self, *words):
        """The command line of a plain ssh, run from where stoker runs."""
        return [*self.prefix, tool("ssh"), "-F", self.ssh_config, *words]

    def ssh(self, name, *words, options=(), code=0, timeout=30, data=None):
        """Runs it to its end; `code` None takes any. Returns what it printed."""
        done = subprocess.run(self.ssh_words(*options, name, *words), input=data,
                              stdin=None if data is not None else subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, check=False)
        text = done.stdout.decode(errors="replace")
        if code is not None and done.returncode != code:
            raise Failed(f"ssh {name} {' '.join(words)}: status {done.returncode}: {text}\n{self.hosts[name].log()}")
        return text

    # --- stoker

    def worker(self, host, alias=True):
        """A worker's entry in stoker.yaml: by its alias in the lab's ssh configuration, or with nothing but itself."""
        if alias:
            entry = {"ssh": host.name, "ssh_config": self.ssh_config}
        else:
            entry = {"ssh": f"{host.user}@{host.address}:{host.port}", "identity": [self.key],
                     "known_hosts": self.known_hosts, "ssh_config": "/dev/null"}
        return entry

    def settings(self, local=None, alias=True, every=None, **workers):
        """Writes stoker.yaml and makes the sandbox's stoker use it. `every` is added to each host's entry, keywords
        name hosts: settings(every={"slots": 8}, h1={"labels": ["gpu"]})."""
        entries = {} if local is None else {"local": local}
        for host in self.hosts.values():
            entries[host.name] = {**self.worker(host, alias), **(every or {}), **workers.get(host.name, {})}
        path = os.path.join(self.box.path, "stoker.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"workers": entries}, file, indent=2)  # which is YAML, too
        self.box.env["STOKER_CONFIG"] = path
        return path

    # --- what the sandbox asks of each place where processes may be

    def processes(self):
        return [process for host in self.hosts.values() for process in host.processes()
                if process.pid != host.machine_pid() and not process.program.startswith("sshd")]

    def tell(self):
        for host in self.hosts.values():
            yield f"sshd of {host.name}:"
            yield from host.log().splitlines()[-15:]
            processes = host.processes()
            yield f"{len(processes)} processes of {host.name}: {processes[:40]}"

    def close(self):
        for part in reversed(self.parts):
            part.close()
        self.box.prefix = []
