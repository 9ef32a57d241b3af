"""What runs inside a lab (lab.py): the first process of a host, a wire that delays and loses frames, and a relay of TCP
connections for labs without network namespaces.

Each of them reads its orders from its standard input and ends when that ends. So nothing of a lab outlives the process
that made it, not even when that one is killed: the pipe breaks, the first process of each host goes, and with it the
kernel ends every process, mount, namespace and link of that host.
"""

import collections
import ctypes
import errno
import json
import os
import random
import select
import selectors
import signal
import socket
import subprocess
import sys
import time


def orders(data):
    return data.decode().split("\n")[:-1]


# --- a host -----------------------------------------------------------------------------------------------------------


class Machine:
    """Process 1 of a host: makes its mounts, starts and stops its sshd, and reaps what nobody else does.

    In a lab without namespaces it is no process 1 but a subreaper, which comes near: what sessions leave behind
    becomes its child, so that the host's processes are those that descend from it."""

    def __init__(self, folder):
        with open(os.path.join(folder, "machine.json"), encoding="utf-8") as file:
            self.plan = json.load(file)
        self.log = os.open(os.path.join(folder, "sshd.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.sshd = 0

    def prepare(self):
        if self.plan["name"]:
            socket.sethostname(self.plan["name"])
        else:
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        for words in self.plan["prepare"]:
            subprocess.run(words, check=True)
        os.chdir("/")

    def start_sshd(self):
        if not self.sshd:
            null = os.open("/dev/null", os.O_RDWR)
            self.sshd = os.posix_spawn(self.plan["sshd"][0], self.plan["sshd"], self.plan["env"],
                                       file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1),
                                                     (os.POSIX_SPAWN_DUP2, self.log, 2)])
            os.close(null)
        print(f"sshd {self.sshd}", flush=True)

    def stop_sshd(self):
        """The listener only, so that connections which are up stay up."""
        if self.sshd:
            os.kill(self.sshd, signal.SIGKILL)
            while self.sshd:
                self.reap(0)
        print("stopped", flush=True)

    def reap(self, options=os.WNOHANG):
        try:
            while True:
                pid, _status = os.waitpid(-1, options)
                if pid == 0:
                    return
                if pid == self.sshd:
                    self.sshd = 0
                    return
        except ChildProcessError:
            pass

    def end(self):
        """Where no kernel does it for us. They are our children and not reaped, so no other process has their number;
        and theirs become ours."""
        while not self.plan["name"]:
            with open("/proc/thread-self/children", encoding="ascii") as file:
                children = file.read().split()
            if not children:
                return
            for pid in children:
                os.kill(int(pid), signal.SIGKILL)
            os.waitpid(-1, 0)

    def run(self):
        wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self.prepare()
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([0, wake], [], [])
            if wake in readable:
                os.read(wake, 4096)
            self.reap()
            if 0 in readable:
                data = os.read(0, 4096)
                if not data:
                    self.end()
                    return
                for order in orders(data):
                    {"start": self.start_sshd, "stop": self.stop_sshd}[order]()


# --- a wire -----------------------------------------------------------------------------------------------------------

PACKET_VNET_HDR = 15
SOL_PACKET = 263
VNET_HDR_BYTES = 10
FRAME_BYTES_MAX = VNET_HDR_BYTES + 14 + 4 + 65536


class Wire:
    """Passes frames between two network interfaces, each later by `delay_ms`, and loses some of them. It stands in for
    netem, which not every kernel has, and works wherever there are veth pairs and packet sockets.

    Frames carry the header of virtio_net, with which the kernel hands over and takes back those of more than one
    segment, and those whose checksum is yet to be made."""

    def __init__(self, one, other, delay_ms, loss_percent, seed):
        self.delay, self.loss = float(delay_ms) / 1000, float(loss_percent) / 100
        self.rng = random.Random(int(seed))
        self.ends = [self.open(one), self.open(other)]
        self.late = collections.deque()  # (due, end to send to, frame)
        self.passed = self.lost = 0

    @staticmethod
    def open(name):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        end.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        end.setsockopt(socket.SOL_SOCKET, 32, 16 << 20)  # SO_SNDBUFFORCE
        end.setblocking(False)
        end.bind((name, 3))  # ETH_P_ALL
        return end

    def receive(self, end, other):
        for _ in range(64):
            try:
                frame, address = end.recvfrom(FRAME_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENETDOWN:  # said once when the link goes down
                    raise
                return
            if address[2] == socket.PACKET_OUTGOING:
                continue  # our own
            if self.rng.random() < self.loss:
                self.lost += 1
            else:
                self.late.append((time.monotonic() + self.delay, other, frame))

    def send_due(self):
        """Returns the seconds until the next one, None when there is none."""
        while self.late:
            wait = self.late[0][0] - time.monotonic()
            if wait > 0:
                return wait
            _due, end, frame = self.late.popleft()
            try:
                end.send(frame)
                self.passed += 1
            except OSError:
                self.lost += 1  # a full queue, or the link is down: so be it, as on any wire
        return None

    def run(self):
        one, other = self.ends
        poller = select.epoll()
        poller.register(0, select.EPOLLIN)
        poller.register(one, select.EPOLLIN)
        poller.register(other, select.EPOLLIN)
        print("ready", flush=True)
        while True:
            wait = self.send_due()
            for fd, _events in poller.poll(wait):
                if fd == 0:
                    if not os.read(0, 4096):
                        return
                    print(f"{self.passed} {self.lost}", flush=True)
                elif fd == one.fileno():
                    self.receive(one, other)
                else:
                    self.receive(other, one)


# --- a relay of TCP connections ---------------------------------------------------------------------------------------


class Pipe:
    """One direction of a connection: what came in and when it is due at the other side."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.late = collections.deque()
        self.bytes = 0
        self.ended = False
        self.stalled_until = 0.0


class Relay:
    """Stands between a loopback port and an sshd. Orders: `cut` (nothing passes, new connections hang), `restore`,
    `refuse`, `listen`, `shape MS PERCENT` (a delay, and what loss does to a connection: it stalls, or even breaks)."""

    BUFFER = 1 << 20

    def __init__(self, port, target, seed):
        self.target = int(target)
        self.rng = random.Random(int(seed))
        self.listener = None
        self.port = int(port)
        self.listen()
        self.cut = False
        self.delay = self.loss = 0.0
        self.pipes = []
        self.stalls = self.resets = 0

    def listen(self):
        if self.listener is None:
            self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
            self.listener.setblocking(False)
            self.port = self.listener.getsockname()[1]

    def refuse(self):
        if self.listener is not None:
            self.listener.close()
            self.listener = None

    def accept(self):
        try:
            client, _address = self.listener.accept()
        except OSError:
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target), 5)
        except OSError:
            self.reset(client)
            return
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pipes += [Pipe(client, server), Pipe(server, client)]

    @staticmethod
    def reset(end):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        end.close()

    def drop(self, pipe):
        """Both directions of its connection."""
        if pipe in self.pipes:
            self.pipes = [p for p in self.pipes if p.source not in (pipe.source, pipe.target)]
            self.reset(pipe.source)
            self.reset(pipe.target)

    def take(self, pipe):
        try:
            data = pipe.source.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self.drop(pipe)
            return
        now = time.monotonic()
        if self.rng.random() < self.loss:
            if self.rng.random() < 0.05:
                self.resets += 1
                self.drop(pipe)
                return
            self.stalls += 1
            pipe.stalled_until = max(pipe.stalled_until, now) + self.rng.uniform(0.05, 0.6)
        pipe.bytes += len(data)
        pipe.late.append([max(now + self.delay, pipe.stalled_until), memoryview(data)])

    def give(self, pipe):
        """Returns the seconds until there is something to do, None when there is nothing."""
        while pipe.late:
            wait = pipe.late[0][0] - time.monotonic()
            if wait > 0:
                return wait
            due, data = pipe.late[0]
            try:
                if len(data) == 0:
                    pipe.target.shutdown(socket.SHUT_WR)
                    pipe.ended = True
                    sent = 0
                else:
                    sent = pipe.target.send(data)
            except BlockingIOError:
                return 0.005
            except OSError:
                self.drop(pipe)
                return None
            pipe.bytes -= sent
            if sent < len(data):
                pipe.late[0] = [due, data[sent:]]
            else:
                pipe.late.popleft()
        return None

    def obey(self, order):
        words = order.split()
        if words[0] == "shape":
            self.delay, self.loss = float(words[1]) / 1000, float(words[2]) / 100
        elif words[0] in ("refuse", "listen"):
            getattr(self, words[0])()
        else:
            self.cut = words[0] == "cut"
        print(f"{self.stalls} {self.resets}", flush=True)

    def run(self):
        print(f"ready {self.port}", flush=True)
        while True:
            wait = None
            selector = selectors.DefaultSelector()
            selector.register(0, selectors.EVENT_READ, None)
            if not self.cut:
                waits = [self.give(pipe) for pipe in list(self.pipes) if pipe in self.pipes]
                wait = min((w for w in waits if w is not None), default=None)
                if self.listener is not None:
                    selector.register(self.listener, selectors.EVENT_READ, None)
                for pipe in self.pipes:
                    last = pipe.late and len(pipe.late[-1][1]) == 0
                    if not pipe.ended and not last and pipe.bytes < self.BUFFER:
                        selector.register(pipe.source, selectors.EVENT_READ, pipe)
            for key, _events in selector.select(wait):
                if key.fileobj == 0:
                    data = os.read(0, 4096)
                    if not data:
                        return
                    for order in orders(data):
                        self.obey(order)
                elif key.data is None:
                    self.accept()
                elif key.data in self.pipes:
                    self.take(key.data)
            selector.close()
            for pipe in list(self.pipes):
                if pipe in self.pipes and all(p.ended for p in self.pipes if pipe.source in (p.source, p.target)):
                    self.drop(pipe)


if __name__ == "__main__":
    {"machine": Machine, "wire": Wire, "relay": Relay}[sys.argv[1]](*sys.argv[2:]).run()
