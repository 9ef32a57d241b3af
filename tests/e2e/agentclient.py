"""A small client of the agent's protocol (executor/protocol.h), for the stories told against a real agent.

Plain Python, standard library only. A client owns one agent process; conditions are waited for, never times.
"""

import os
import select
import signal
import struct
import subprocess
import time

VERSION = 1
PATIENCE = float(os.environ.get("STOKER_TEST_PATIENCE", "60"))

HELLO, CLAIM, START, STOP, ATTACH, STORED, FORGET, RELEASE, PING, PARCEL, GET, LEASE_GRANT = range(1, 13)
WELCOME, PRESENT, INVENTORY, DATA, EXITED, PONG, NOTE, WANT, PARCEL_BACK, LEASE_ASK = range(32, 42)
IDENTITY, STARTED, CHECKPOINT, METRIC, SAMPLE, OUTPUT, RNOTE, STOPPING, EXIT, ARTIFACTS = range(64, 74)

REASONS = ["", "exit", "signal", "timeout", "stalled", "oom", "checkpointed", "preempted", "worker_rebooted",
           "worker_lost", "supervisor_lost", "not_started", "canceled", "upstream", "lease_expired", "artifacts"]
KINDS = ["code", "signal", "not_started", "lost"]
LOADS = ["load1_milli", "memory_bytes", "memory_available_bytes", "disk_bytes", "disk_free_bytes"]
EVENTS = ["complete", "removed", "broken", "ignored"]
PROVISIONS = ["source", "artifacts", "checkpoint"]
WINDOW = 4 << 20


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def unvarint(data):
    value = 0
    for i, byte in enumerate(data):
        value |= (byte & 0x7F) << (7 * i)
    return value


def signed(value):
    return value - (1 << 64) if value >= 1 << 63 else value


def field(tag, value):
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    elif isinstance(value, (int, bool)):
        value = varint(int(value))
    return bytes([tag]) + varint(len(value)) + value


def encode(kind, fields):
    body = b"".join(field(tag, value) for tag, value in fields)
    return struct.pack("<IB", len(body) + 1, kind) + body


def fields_of(body):
    out = {}
    at = 0
    while at < len(body):
        tag = body[at]
        at += 1
        n = shift = 0
        while True:
            byte = body[at]
            at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        out.setdefault(tag, []).append(body[at:at + n])
        at += n
    return out


class Fields:
    """What a frame or record says, by tag."""

    def __init__(self, kind, body):
        self.kind = kind
        self.fields = fields_of(body)

    def number(self, tag):
        return signed(unvarint(self.fields[tag][-1])) if tag in self.fields else 0

    def text(self, tag):
        return self.fields[tag][-1].decode("utf-8", "surrogateescape") if tag in self.fields else ""

    def bytes(self, tag):
        return self.fields[tag][-1] if tag in self.fields else b""

    @property
    def id(self):
        return (self.number(1), self.number(2), self.number(3))


class Exit:
    def __init__(self, fields):
        self.kind = KINDS[fields.number(4)]
        self.reason = REASONS[fields.number(5)]
        self.code = fields.number(6)
        self.signal = fields.number(7)
        self.stopped = fields.number(8) & 1 != 0
        self.transient = fields.number(8) & 2 != 0
        self.started = fields.number(9)
        self.ended = fields.number(10)
        self.cpu_ms = fields.number(11)
        self.rss = fields.number(12)
        self.log_bytes = fields.number(13)
        self.dropped = fields.number(14)
        self.journal_bytes = fields.number(15)
        self.text = fields.text(16)

    def __repr__(self):
        return "Exit(%s)" % ", ".join("%s=%r" % item for item in vars(self).items())


class Checkpoint:
    def __init__(self, fields):
        self.event = EVENTS[fields.number(1)]
        self.name = fields.text(2)
        self.digest = fields.text(3)
        self.bytes = fields.number(4)
        self.step = fields.number(5) - 1
        self.format = fields.text(7)
        self.text = fields.text(8)

    def __repr__(self):
        return "Checkpoint(%s)" % ", ".join("%s=%r" % item for item in vars(self).items())


def split_records(data):
    """Whole records at the front of `data`, and how many bytes they are."""
    out = []
    at = 0
    while at + 5 <= len(data):
        n, kind = struct.unpack_from("<IB", data, at)
        if at + 4 + n > len(data):
            break
        out.append(Fields(kind, data[at + 5:at + 4 + n]))
        at += 4 + n
    return out, at


class Attempt:
    """What a client has received of one attempt."""

    def __init__(self, ident):
        self.id = ident
        self.log = bytearray()
        self.keep_log = True
        self.log_at = 0
        self.stored = 0
        self.journal = bytearray()
        self.journal_at = 0
        self.exit = None
        self.exits = 0
        self.present = None

    @property
    def records(self):
        return split_records(self.journal)[0]

    def of(self, kind):
        return [record for record in self.records if record.kind == kind]

    @property
    def checkpoints(self):
        return [Checkpoint(record) for record in self.of(CHECKPOINT)]

    @property
    def notes(self):
        return [record.text(5) for record in self.of(RNOTE)]

    @property
    def outputs(self):
        return {record.text(1): record.text(2) for record in self.of(OUTPUT)}

    @property
    def artifacts(self):
        """Digest, bytes of the parcel, files; None: there was no such record."""
        found = [(record.text(1), record.number(2), record.number(3)) for record in self.of(ARTIFACTS)]
        assert len(found) < 2, found
        return found[0] if found else None

    @property
    def resumed_from(self):
        started = self.of(STARTED)
        return started[0].text(3) if started else None

    @property
    def step_pid(self):
        started = self.of(STARTED)
        return started[0].number(1) if started else None


class Agent:
    """One agent process and the conversation with it."""

    def __init__(self, binary, root, home, env=None, greet=True):
        self.home = home
        self.root = root
        self.process = subprocess.Popen([binary, "--root", root], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0, env=env)
        self.attempts = {}
        self.notes = []
        self.pongs = []
        self.load = None  # of the last one; -1: not known
        self.asks = []
        self.grants = True
        self.inventories = []
        self.welcome = None
        self.frames = 0
        self.acknowledge = True
        self.input = bytearray()
        self.eof = False
        self.epochs = {}
        self.wants = []      # every one, as it came
        self.parcels = {}    # served on demand, by digest
        self.serving = {}    # digest: [sent, stored]
        self.piece = 100000
        self.served = 0      # bytes, all in all
        self.fetched = {}    # by digest: what came back
        self.refused = {}    # by digest: text, transient
        self.fetch_max = {}  # by digest: asks for no more beyond that
        self.serve_max = None  # no more than so many
        if greet:
            self.send(HELLO, (1, VERSION), (2, home), (3, "a test"))
            self.until(lambda: self.welcome is not None, "a welcome")

    # --- sending ---

    def send_raw(self, data):
        self.process.stdin.write(data)

    def send(self, kind, *fields):
        self.send_raw(encode(kind, fields))

    def attempt(self, ident):
        return self.attempts.setdefault(ident, Attempt(ident))

    def claim(self, run, epoch=1, lease=0):
        before = len(self.inventories)
        self.send(CLAIM, (1, run), (2, epoch), (6, lease))
        self.until(lambda: len(self.inventories) > before, "an inventory")
        self.epochs[run] = epoch
        return self.inventories[-1]

    def spec(self, ident, argv, **options):
        fields = [(1, ident[0]), (2, ident[1]), (3, ident[2]),
                  (4, options.get("epoch", self.epochs.get(ident[0], 1))), (5, options.get("fence", 7))]
        if isinstance(argv, str):
            fields += [(6, 1), (12, argv)]
        else:
            fields += [(12, word) for word in argv]
        fields.append((13, options.get("workdir", "/")))
        fields += [(14, "%s=%s" % pair) for pair in options.get("env", {}).items()]
        flags = options.get("required", False) * 1 + options.get("never", False) * 2 + options.get("fresh", True) * 4
        fields += [(15, options.get("timeout", 0)), (16, options.get("stall", 0)), (17, options.get("grace", 5000)),
                   (18, options.get("log_max", 1 << 30)), (19, options.get("checkpoint_dir", "")),
                   (21, options.get("settle", 300)), (22, options.get("keep", 0)), (23, flags)]
        for candidate in options.get("candidates", []):
            name, digest, size = candidate[:3]
            inner = field(1, name) + field(2, digest) + field(3, size)
            if len(candidate) > 3 and candidate[3]:
                inner += field(4, 1)
            fields.append((24, inner))
        fields += [(25, device) for device in options.get("devices", [])]
        fields += [(28, path) for path in options.get("artifacts", [])]
        for kind, parcel, more in options.get("provisions", []):
            inner = field(1, PROVISIONS.index(kind)) + field(2, parcel.digest) + field(3, len(parcel.stream))
            for tag, value in zip((4, 5, 6), (more.get("task", 0), more.get("path", ""), more.get("name", ""))):
                inner += field(tag, value)
            fields.append((30, inner))
        fields += [(26, options.get("lease", 0)), (27, options.get("lease_from", 0))]
        return encode(START, fields)

    def start(self, ident, argv, **options):
        self.send_raw(self.spec(ident, argv, **options))
        return self.attempt(ident)

    def stop(self, ident, reason="canceled", grace=5000):
        self.send(STOP, (1, ident[0]), (2, ident[1]), (3, ident[2]), (4, REASONS.index(reason)), (5, grace))

    def attach(self, ident, journal=0, log=0, renew=False):
        attempt = self.attempt(ident)
        attempt.log_at = attempt.stored = log
        attempt.journal_at = journal
        self.send(ATTACH, (1, ident[0]), (2, ident[1]), (3, ident[2]), (4, journal), (5, log), (6, renew))
        return attempt

    def forget(self, ident):
        self.send(FORGET, (1, ident[0]), (2, ident[1]), (3, ident[2]))

    def release(self, run, epoch=1, keep=False):
        self.send(RELEASE, (1, run), (2, epoch), (5, keep))

    def ping(self, number):
        self.send(PING, (1, number))
        self.until(lambda: number in self.pongs, "a pong")

    # --- receiving ---

    def _data(self, fields):
        attempt = self.attempt(fields.id)
        data = fields.bytes(6)
        offset = fields.number(5)
        if fields.number(4) == 0:
            assert offset == attempt.journal_at, "journal at %d, expected %d" % (offset, attempt.journal_at)
            attempt.journal += data
            attempt.journal_at += len(data)
            return
        assert offset == attempt.log_at, "log at %d, expected %d" % (offset, attempt.log_at)
        if attempt.keep_log:
            attempt.log += data
        attempt.log_at += len(data)
        assert attempt.log_at - attempt.stored <= 4 << 20, "more than the window is under way"
        if self.acknowledge and (attempt.log_at - attempt.stored >= 1 << 20 or attempt.exit is not None):
            self.store(fields.id)

    def store(self, ident):
        attempt = self.attempts[ident]
        attempt.stored = attempt.log_at
        self.send(STORED, (1, ident[0]), (2, ident[1]), (3, ident[2]), (4, attempt.log_at))

    def _frame(self, fields):
        self.frames += 1
        kind = fields.kind
        if kind == WELCOME:
            self.welcome = fields
        elif kind == DATA:
            self._data(fields)
        elif kind == EXITED:
            attempt = self.attempt(fields.id)
            attempt.exit = Exit(fields)
            attempt.exits += 1
            assert attempt.journal_at == attempt.exit.journal_bytes, "exited before its journal was sent"
        elif kind == PRESENT:
            self.attempt(fields.id).present = ["running", "ended"][fields.number(4)]
        elif kind == INVENTORY:
            self.inventories.append((fields.number(1), fields.number(3) != 0, fields.text(4)))
        elif kind == PONG:
            self.pongs.append(fields.number(1))
            self.load = {name: fields.number(tag + 2) - 1 for tag, name in enumerate(LOADS)}
        elif kind == LEASE_ASK:
            self.asks.append(fields.number(1))
            if self.grants:
                self.send(LEASE_GRANT, (1, self.asks[-1]))
        elif kind == NOTE:
            self.notes.append(fields.text(5))
        elif kind == WANT:
            self._want(fields)
        elif kind == PARCEL_BACK:
            self._parcel_back(fields)

    def _want(self, fields):
        digest, offset, begin = fields.text(4), fields.number(5), fields.number(6) != 0
        self.wants.append((digest, offset, begin, PROVISIONS[fields.number(7)], fields.number(8), fields.text(9)))
        if digest not in self.parcels:
            return
        state = self.serving.setdefault(digest, [0, 0])
        if begin:
            state[0] = offset
        state[1] = offset
        self.serve(digest)

    def serve(self, digest):
        """Sends what the window allows."""
        stream, state = self.parcels[digest].stream, self.serving[digest]
        while state[0] < min(len(stream), state[1] + WINDOW):
            n = min(self.piece, len(stream) - state[0], state[1] + WINDOW - state[0])
            if self.serve_max is not None:
                n = min(n, self.serve_max - self.served)
                if n <= 0:
                    return
            self.send_piece(digest, state[0], stream[state[0]:state[0] + n], len(stream))
            state[0] += n
            self.served += n

    def send_piece(self, digest, offset, data, total):
        self.send(PARCEL, (4, digest), (5, offset), (6, total), (7, bytes(data)))

    # --- fetching ---

    def get(self, digest, offset=0, begin=True, run=1, task=1, kind="artifacts", path=".", name=""):
        self.fetched.setdefault(digest, bytearray())
        self.send(GET, (1, run), (2, task), (4, digest), (5, offset), (6, begin), (7, PROVISIONS.index(kind)), (8, path),
                  (9, name))

    def _parcel_back(self, fields):
        digest, offset, got = fields.text(4), fields.number(5), self.fetched[fields.text(4)]
        if fields.text(8):
            self.refused[digest] = (fields.text(8), fields.number(9) != 0)
            return
        assert offset == len(got), "a piece at %d, expected %d" % (offset, len(got))
        before = len(got) >> 19
        got += fields.bytes(7)
        self.total = fields.number(6)
        if len(got) < self.fetch_max.get(digest, self.total) and len(got) >> 19 > before:
            self.get(digest, len(got), begin=False)

    def fetch(self, digest, **options):
        """The whole stream, or (text, transient)."""
        self.refused.pop(digest, None)
        self.fetched[digest] = bytearray()
        self.total = None
        self.get(digest, **options)
        self.until(lambda: digest in self.refused or len(self.fetched[digest]) == self.total, "the parcel")
        return self.refused.get(digest) or bytes(self.fetched[digest])

    def cannot(self, digest, text, transient=False):
        self.send(PARCEL, (4, digest), (8, text), (9, transient))

    def receive(self, seconds):
        """Takes what comes within that time; False when nothing did."""
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return False
        data = os.read(self.process.stdout.fileno(), 1 << 20)
        if not data:
            self.eof = True
            return False
        self.input += data
        at = 0
        while at + 5 <= len(self.input):
            n, kind = struct.unpack_from("<IB", self.input, at)
            if at + 4 + n > len(self.input):
                break
            self._frame(Fields(kind, bytes(self.input[at + 5:at + 4 + n])))
            at += 4 + n
        del self.input[:at]
        return True

    def until(self, condition, what, patience=None):
        deadline = time.monotonic() + (patience or PATIENCE)
        while not condition():
            if self.eof:
                raise AssertionError("the agent ended while waiting for %s: %s" % (what, self.errors()))
            if time.monotonic() > deadline:
                raise AssertionError("waited too long for %s; notes: %r; attempts: %r" % (
                    what, self.notes, {k: (v.exit, len(v.log), v.notes) for k, v in self.attempts.items()}))
            self.receive(0.05)

    def ended(self, ident):
        """Waits for the exit and the whole log."""
        attempt = self.attempt(ident)
        self.until(lambda: attempt.exit is not None, "the exit of %r" % (ident,))
        self.until(lambda: attempt.log_at >= attempt.exit.log_bytes, "the log of %r" % (ident,))
        return attempt

    def run(self, ident, argv, **options):
        self.start(ident, argv, **options)
        return self.ended(ident)

    # --- ending ---

    def errors(self):
        return self.process.stderr.read().decode() if self.process.poll() is not None else ""

    def kill(self):
        self.process.kill()
        self._clean()

    def close(self):
        """Ends the conversation as a scheduler does; the exit status."""
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(PATIENCE)
        status = self.process.returncode
        self.error_text = self.process.stderr.read().decode()
        self._clean()
        return status

    def _clean(self):
        if self.process.poll() is None:
            self.process.wait(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except OSError:
                pass

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def folder(self, ident):
        return os.path.join(self.root, "attempts", "%s-%d-%d-%d" % ((self.home,) + tuple(ident)))

    def checkpoints_of(self, run, task):
        return os.path.join(self.root, "tasks", "%s-%d-%d" % (self.home, run, task), "checkpoints")


class Parcel:
    """Files as common/parcel.h packs them: {path: bytes, None for a folder, or ("->", target)}."""

    def __init__(self, files, damage=None):
        import hashlib
        entries = dict(files)
        for path in files:
            while "/" in path:
                path = path.rsplit("/", 1)[0]
                entries.setdefault(path, None)
        manifest, contents = b"stoker-parcel 1\n", b""
        for path, what in sorted(entries.items(), key=lambda item: item[0].encode()):
            name = path.encode() + b"\0"
            if what is None:
                manifest += b"d " + name
            elif isinstance(what, tuple):
                manifest += b"l " + name + what[1].encode() + b"\0"
            else:
                kind = b"x" if what.startswith(b"#!") else b"f"
                manifest += b"%s %d %s " % (kind, len(what), hashlib.sha256(what).hexdigest().encode()) + name
                contents += what
        self.manifest = manifest
        self.digest = hashlib.sha256(manifest).hexdigest()
        self.stream = struct.pack("<Q", len(manifest)) + manifest + contents
        if damage is not None:
            self.stream = self.stream[:damage] + bytes([self.stream[damage] ^ 1]) + self.stream[damage + 1:]


# --- telling stories -------------------------------------------------------------------------------------------------

def binary():
    """The agent under test: $STOKER_AGENT, else the one that was built."""
    given = os.environ.get("STOKER_AGENT")
    return given or os.path.join(os.environ.get("STOKER_BUILD", os.getcwd()), "stoker-agent")


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("waited too long for " + what)
        time.sleep(0.005)


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def stopped(pid):
    """Whether a SIGSTOP has reached it."""
    with open("/proc/%d/stat" % pid) as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "T"


def with_variable(assignment):
    """Pids of live processes that were started with this NAME=VALUE."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open("/proc/%s/environ" % name, "rb") as file:
                if assignment.encode() in file.read().split(b"\0") and alive(int(name)):
                    found.append(int(name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass
    return found


def supervisor_of(folder):
    """Pid of an attempt's supervisor, from what it wrote before it was visible."""
    with open(os.path.join(folder, "spec"), "rb") as file:
        records = split_records(file.read())[0]
    return next(record.number(2) for record in records if record.kind == IDENTITY)


def leave_attempt(agent, ident, *makers):
    """As a supervisor leaves it that is killed while it starts the step: with the session noted, or not."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot_id = file.read().strip()
    dead = subprocess.Popen(["true"])
    dead.wait()
    os.makedirs(agent.folder(ident), mode=0o700)
    with open(os.path.join(agent.folder(ident), "spec"), "wb") as spec:
        spec.write(agent.spec(ident, ["sleep", "1000"], grace=200))
        for pid, start_ticks in [(dead.pid, 1), *makers]:
            spec.write(encode(IDENTITY, [(1, boot_id), (2, pid), (3, start_ticks)]))


class Skip(Exception):
    """What this story needs is not here."""


class World:
    """A root of its own and every agent started in it; all of it is gone afterwards."""

    def __init__(self, folder):
        self.folder = folder
        self.root = os.path.join(folder, "root")
        self.home = os.urandom(6).hex()  # of its own: strays are found, and ended, by a cookie made of it
        self.agents = []

    def agent(self, **options):
        agent = Agent(binary(), options.pop("root", self.root), options.pop("home", self.home), **options)
        self.agents.append(agent)
        return agent

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def clean(self):
        for agent in self.agents:
            if agent.process.poll() is None:
                agent.process.send_signal(signal.SIGCONT)
                agent.kill()
        attempts = os.path.join(self.root, "attempts")
        for name in os.listdir(attempts) if os.path.isdir(attempts) else []:
            for pid in with_variable("STOKER_ATTEMPT_ID=" + name):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it ended between the look and the signal


def tell(stories):
    """Runs each function of a list as one TAP test; exits 1 when one of them failed."""
    import shutil
    import sys
    import tempfile
    import traceback
    wanted = sys.argv[1:]
    if wanted:
        stories = [story for story in stories if story.__name__ in wanted]
    print("1..%d" % len(stories), flush=True)
    failed = 0
    for number, story in enumerate(stories, 1):
        world = World(tempfile.mkdtemp(prefix="stoker-agent-"))
        name = story.__name__
        try:
            story(world)
            print("ok %d - %s" % (number, name), flush=True)
        except Skip as reason:
            strict = os.environ.get("STOKER_TEST_STRICT") == "1"
            failed += strict
            print("%s %d - %s # SKIP %s" % ("not ok" if strict else "ok", number, name, reason), flush=True)
        except Exception:
            failed += 1
            print("not ok %d - %s" % (number, name))
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            sys.stdout.flush()
        finally:
            world.clean()
            shutil.rmtree(world.folder, ignore_errors=True)
    sys.exit(1 if failed else 0)
