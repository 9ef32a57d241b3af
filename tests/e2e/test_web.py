"""The web server by itself: what it answers, what it refuses, what it holds out against. web_probe.c stands in for the
scheduler: it answers with what it was asked for."""

import contextlib
import grp
import gzip
import http.client
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import threading
import time

from lib import BUILD, QUICK, SLOW, Sandbox, Skip, check, equal, has, main, story, wait_for
from webclient import Answer, UnixConnection

PROBE = os.path.join(BUILD, "tests", "e2e", "web_probe")
LOG = "/api/v1/runs/digits/3/tasks/train/attempts/0/log"


def at(box, name):
    return os.path.join(box.dags, name)


class Server:
    """A web_probe, and ways to talk to it."""

    def __init__(self, box, *options, listen=("127.0.0.1:0",), folder=None, files=None):
        """`files`: its limit of open ones."""
        self.folder = folder or at(box, "web")
        os.makedirs(self.folder, exist_ok=True)
        words = [PROBE, self.folder, *options]
        for address in listen:
            words += ["--listen", address]
        self.errors = open(os.path.join(self.folder, "stderr"), "w+b")
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        env=dict(box.env), preexec_fn=None if files is None else
                                        lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
        self.ports, self.refused = [], None
        for line in self.process.stdout:
            word, _, rest = line.decode().rstrip("\n").partition(" ")
            if word == "port":
                self.ports.append(int(rest))
            elif word == "refused":
                self.refused = rest
            elif word == "ready":
                break
        self.socket = os.path.join(self.folder, "control.sock")

    def said(self):
        with open(self.errors.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    def publish(self, kind, event):
        self.process.stdin.write(f"{kind} {json.dumps(event)}\n".encode())
        self.process.stdin.flush()

    def ask(self, path, method="GET", body=None, header=None, local=False, connection=None):
        given = connection
        if connection is None:
            connection = UnixConnection(self.socket) if local else http.client.HTTPConnection(
                "127.0.0.1", self.ports[0], timeout=10 * SLOW)
        header = dict(header or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if body is not None:
            header.setdefault("Content-Type", "application/json")
        connection.putrequest(method, path, skip_host="Host" in header, skip_accept_encoding=True)
        for key, value in header.items():
            connection.putheader(key, value)
        if body is not None or method == "POST":
            data = (body or "").encode() if not isinstance(body, bytes) else body
            connection.putheader("Content-Length", str(len(data)))
            try:
                connection.endheaders(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was refused before all of it was sent
        else:
            connection.endheaders()
        answer = Answer(connection.getresponse())
        if given is None:
            connection.close()
        return answer

    def raw(self, data=b"", port=None):
        sock = socket.create_connection(("127.0.0.1", port or self.ports[0]), timeout=60 * SLOW)
        sock.sendall(data)
        return sock

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(next(line for line in file if line.startswith("VmRSS")).split()[1])

    def alive(self):
        return self.ask("/healthz").status == 200

    def stop(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait(20 * SLOW)
        self.process.stdout.close()
        self.errors.close()
        return code


@contextlib.contextmanager
def serving(box, *options, **named):
    server = Server(box, *options, **named)
    try:
        yield server
    except BaseException:
        server.process.kill()
        server.stop()
        raise
    code = server.stop()
    if server.refused is None:
        equal(code, 0, f"the server's exit status after\n{read(server)}")


def read(server):
    with open(server.errors.name, encoding="utf-8", errors="replace") as file:
        return file.read()[-2000:]


def refused(box, *options, **named):
    with serving(box, *options, **named) as server:
        check(server.refused is not None, f"{options} {named} is refused")
        return server.refused


def token(name):
    return {"Authorization": f"Bearer stoker_{name}"}


def read_all(sock):
    data = b""
    with contextlib.suppress(ConnectionError):
        while part := sock.recv(65536):
            data += part
    return data


# --- answers ------------------------------------------------------------------------------------------------------------


@story("reads are free on this machine, and carry the header that keeps a page to itself")
def reads(box: Sandbox):
    with serving(box) as server:
        answer = server.ask("/api/v1/runs/digits/3/tasks/train")
        equal(answer.status, 200, "the status")
        equal(answer.json["run"], "digits/3", "what was asked for")
        equal(answer.header["X-Content-Type-Options"], "nosniff", "a header")
        has(answer.header["Content-Security-Policy"], "default-src 'none'", "the policy")
        check("unsafe" not in answer.header["Content-Security-Policy"], "no style or script stands in a page")
        equal(answer.header["X-Frame-Options"], "DENY", "a header")
        check("Access-Control-Allow-Origin" not in answer.header, "no other site may read")
        equal(server.ask("/api/v1/dags", local=True).status, 200, "over the control socket")
        head = server.ask("/api/v1/dags", method="HEAD")
        equal((head.status, head.bytes), (200, b""), "HEAD")
        wrong = server.ask("/api/v1/dags", method="DELETE", local=True)
        equal((wrong.status, wrong.header["Allow"]), (405, "GET, HEAD"), "another method")


@story("an answer that is known is not sent again, and a long one is compressed")
def etags(box: Sandbox):
    with serving(box) as server:
        answer = server.ask("/api/v1/runs?limit=100")
        again = server.ask("/api/v1/runs?limit=100", header={"If-None-Match": answer.header["ETag"]})
        equal((again.status, again.bytes), (304, b""), "the second")
        packed = server.ask("/api/v1/runs?limit=100", header={"Accept-Encoding": "gzip, br"})
        equal(packed.header["Content-Encoding"], "gzip", "the encoding")
        equal(gzip.decompress(packed.bytes), answer.bytes, "what was compressed")
        check(len(packed.bytes) * 5 < len(answer.bytes), "it pays")
        plain = server.ask("/api/v1/runs?limit=100", header={"Accept-Encoding": "gzip;q=0"})
        check("Content-Encoding" not in plain.header, "who does not want it gets it plain")
        page = server.ask("/")
        equal(page.header["Content-Type"], "text/html; charset=utf-8", "the page's type")
        equal(server.ask("/", header={"If-None-Match": page.header["ETag"]}).status, 304, "the page again")
        has(server.ask("/assets/style.css?v=1").header["Cache-Control"], "immutable", "a named version")


@story("a problem says in one sentence what is wrong, whatever bytes it quotes")
def problems(box: Sandbox):
    with serving(box) as server:
        answer = server.ask("/api/v1/dags/missing")
        equal(answer.status, 404, "the status")
        equal(answer.header["Content-Type"], "application/problem+json", "the type")
        equal(answer.json, {"type": "about:blank", "title": "Not Found", "status": 404, "code": "not_found",
                            "detail": "no DAG called <b>missing\ufffd</b> has run here"}, "the problem")
        for path, status in [("/api/v1/runs?limit=x", 400), ("/api/v1/nothing", 404), ("/api/v1/dags/%ff", 400),
                             ("/etc/passwd", 404), ("/../../etc/passwd", 404), ("/assets/../../etc/passwd", 404),
                             ("/assets/%2e%2e/%2e%2e/etc/passwd", 404), ("/assets/..%2f..%2fetc%2fpasswd", 404),
                             ("/%2fetc%2fpasswd", 404), ("/assets/style.css/", 404), ("/api/v1/dags/%00", 400),
                             ("/a" * 5000, 414)]:
            answer = server.ask(path)
            equal(answer.status, status, path[:80])
            check("root:" not in answer.text, "no file of the system")
            equal(answer.json["status"], status, "the problem's status")


@story("the description of the API is that of this server, and its samples are clean")
def described(box: Sandbox):
    with serving(box) as server:
        document = server.ask("/api/v1/openapi.json").json
        equal(document["openapi"], "3.1.0", "its version")
        for path, methods in document["paths"].items():
            if "get" in methods and path != "/api/v1/stream":
                for name, value in [("dag", "d"), ("number", "1"), ("task", "t"), ("attempt", "1"), ("worker", "w")]:
                    path = path.replace("{%s}" % name, value)
                needed = [it["name"] for it in methods["get"].get("parameters", []) if it["required"] and it["in"] == "query"]
                equal(server.ask(path + "?" + "&".join(f"{name}=2026-01-01" for name in needed)).status, 200, path)
        answer = server.ask("/metrics")
        equal(answer.header["Content-Type"], "text/plain; version=0.0.4; charset=utf-8", "the type")
        has(answer.text, 'stoker_runs{state="running",dag="od\\"d\\\\\\n\ufffd"} 3', "the samples")
        with contextlib.suppress(FileNotFoundError):
            told = subprocess.run(["promtool", "check", "metrics"], input=answer.bytes, capture_output=True, check=False)
            equal((told.returncode, told.stdout + told.stderr), (0, b""), "promtool")


# --- changes and who may ------------------------------------------------------------------------------------------------


@story("a change needs the control socket or a token that is good for it; each is known by name")
def changes(box: Sandbox):
    with serving(box) as server:
        def trigger(dag="digits", **named):
            return server.ask("/api/v1/runs", "POST", {"dag": dag, "params": {"lr": "0.1"}}, **named)

        answer = trigger(local=True)
        equal(answer.status, 200, f"over the control socket: {answer.text}")
        equal(answer.json["arguments"], {"dag": "digits", "params": {"lr": "0.1"}}, "the arguments")
        equal((answer.json["role"], answer.json["local"], answer.json["origin"]), ("admin", True, "control socket"), "who")
        answer = trigger()
        equal(answer.status, 401, "without a token")
        has(answer.json["detail"], "stoker token create --role operator", "what to do")
        has(answer.header["WWW-Authenticate"], "Bearer", "the challenge")
        equal(trigger(header=token("viewer")).status, 403, "a viewer")
        answer = trigger(header=token("operator"))
        equal((answer.json["actor"], answer.json["origin"]), ("operator", "127.0.0.1 token operator"), "an operator")
        equal(server.ask("/api/v1/reload", "POST", header=token("operator")).status, 403, "reload by an operator")
        equal(server.ask("/api/v1/reload", "POST", header=token("admin")).status, 200, "reload by an admin")
        equal(trigger(header=token("gone")).status, 401, "a token that has expired")
        equal(server.ask("/api/v1/dags", header=token("gone")).status, 401, "also for what is free")
        equal(server.ask("/api/v1/dags", header={"Authorization": "Basic eDp5"}).status, 401, "another scheme")
        has(server.said(), "event=login.failed", "the log")
        answer = trigger(dag="busy", local=True)
        equal((answer.status, answer.json["code"]), (409, "busy"), "a change that is refused")
        file = server.ask("/api/v1/runs", "POST", {"file": "/etc/passwd"}, header=token("admin"))
        equal(file.status, 403, "a file from afar")


@story("a change that takes a while holds nobody else up, and is answered when it is done")
def slow(box: Sandbox):
    with serving(box) as server:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            server.ask("/api/v1/runs", "POST", {"dag": "slow"}, local=True).status)) for _ in range(20)]
        for thread in threads:
            thread.start()
        check(server.alive(), "others are answered meanwhile")
        for thread in threads:
            thread.join()
        equal(answers, [200] * 20, "the answers")
        # The client goes away, then the server: what comes of it afterwards goes nowhere.
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(server.socket)
        sock.sendall(b"POST /api/v1/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     b"Content-Length: 14\r\n\r\n{\"dag\":\"slow\"}")
        sock.close()
        waiting = UnixConnection(server.socket)
        waiting.request("POST", "/api/v1/runs", '{"dag":"slow"}', {"Content-Type": "application/json"})
        time.sleep(0.05)


def opened(server, name):
    with open(os.path.join(server.folder, name), "w", encoding="ascii"):
        pass


def begun(server, number):
    wait_for(lambda: os.path.exists(os.path.join(server.folder, f"reading.{number}")), f"read {number} begins")


def asking(server, path):
    """Has asked, and waits."""
    sock = socket.create_connection(("127.0.0.1", server.ports[0]), timeout=20 * SLOW)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return sock


def told(sock):
    head, _, body = read_all(sock).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@story("what takes long is read by a thread: others are answered meanwhile, and who asks for the same shares it")
def aside(box: Sandbox):
    path = "/api/v1/runs/gated/1"
    with serving(box) as server:
        opened(server, "moving")
        first = asking(server, path)
        begun(server, 1)
        others = [asking(server, path) for _ in range(20)]
        others += [asking(server, "/api/v1/runs/gated/404"), asking(server, "/plain/runs/gated/1")]
        asking(server, path).close()
        for _ in range(10):
            equal(server.ask("/api/v1/runs?limit=1").status, 200, "a short read meanwhile")
        opened(server, "gate")
        status, body = told(first)
        equal((status, json.loads(body)["read"]), (200, 1), "the first")
        answers = [told(sock) for sock in others]
        equal([(status, json.loads(body)["read"]) for status, body in answers[:20]], [(200, 2)] * 20,
              "those who asked after it had begun, by one more read")
        status, body = answers[20]
        equal((status, json.loads(body)["detail"]), (404, "there is no run gated/404"), "an error")
        equal(answers[21][0], 200, "a plain page")
        has(answers[21][1].decode(), "<h1>gated/1</h1>", "a plain page")

        # Nothing changes any more: it is not read again.
        os.remove(os.path.join(server.folder, "moving"))

        def from_cache():
            """Which read answers three times; whoever takes long between two of them meets another."""
            first, again = server.ask(path), server.ask(path)
            known = server.ask(path, header={"If-None-Match": again.header["ETag"]})
            return known.status == 304 and first.json["read"] == again.json["read"] and again.json["read"]

        count = wait_for(from_cache, "it is answered from the cache, and known")

        # The server ends in the middle of one.
        opened(server, "moving")
        os.remove(os.path.join(server.folder, "gate"))
        waiting = [asking(server, path)]
        begun(server, count + 1)
        waiting.append(asking(server, "/api/v1/runs/gated/2"))
        equal(server.ask("/api/v1/runs?limit=1").status, 200, "a short read meanwhile")
        server.process.stdin.close()
        opened(server, "gate")
        equal([told(sock)[0] for sock in waiting], [503, 503], "those who wait are told")


@story("the page logs in with a token, and a foreign page can do nothing with that")
def sessions(box: Sandbox):
    with serving(box) as server:
        here = f"http://127.0.0.1:{server.ports[0]}"
        equal(server.ask("/api/v1/session").json, {"role": "viewer", "name": None, "session": False}, "at first")
        answer = server.ask("/api/v1/session", "POST", {"token": "stoker_operator"}, header={"Origin": here})
        equal(answer.json, {"role": "operator", "name": "operator", "session": True}, "the session")
        cookie = answer.header["Set-Cookie"]
        for part in ("HttpOnly", "SameSite=Strict", "Path=/"):
            has(cookie, part, "the cookie")
        check("stoker_operator" not in cookie, "the cookie is not the token")
        mine = {"Cookie": cookie.split(";")[0], "X-Stoker-Request": "1", "Origin": here}

        def pause(**header):
            given = {key: value for key, value in dict(mine, **header).items() if value is not None}
            return server.ask("/api/v1/dags/digits/pause", "POST", header=given)

        answer = pause()
        equal((answer.status, answer.json["origin"]), (200, "127.0.0.1 page operator"), "by the session")
        equal(pause(**{"X-Stoker-Request": None}).status, 403, "without the header of a script of ours")
        equal(pause(Origin="http://evil.com").status, 403, "from another origin")
        equal(pause(Origin="null").status, 403, "from a sandbox")
        equal(pause(Origin=here.replace("127.0.0.1", "localhost")).status, 403, "from another name of this machine")
        equal(pause(**{"Sec-Fetch-Site": "cross-site"}).status, 403, "as the browser says")
        equal(pause(**{"Sec-Fetch-Site": "same-origin"}).status, 200, "from the page")
        equal(server.ask("/api/v1/dags", header={"Origin": "http://evil.com"}).status, 403, "reading for another site")
        form = server.ask("/api/v1/runs", "POST", b"dag=digits",
                          header=dict(mine, **{"Content-Type": "application/x-www-form-urlencoded"}))
        equal(form.status, 415, "a form")
        equal(server.ask("/api/v1/runs", "POST", b'{"dag":"d"}', header=dict(mine, **{"Content-Type": "text/plain"})).status,
              415, "JSON that claims to be text")
        box.file("web/stoker_operator.revoked", "")
        equal(pause().status, 401, "after the token was revoked")
        os.unlink(at(box, "web/stoker_operator.revoked"))
        equal(pause().status, 200, "and back")
        equal(server.ask("/api/v1/session", "DELETE", header=mine).json["role"], "nobody", "logged out")
        equal(pause().status, 401, "after that")
        equal(server.ask("/api/v1/session", "POST", {"token": "stoker_guess"}).status, 401, "a wrong token")


@story("a name that somebody else made point here is not answered")
def rebinding(box: Sandbox):
    with serving(box, "--host", "gpu-head.lan") as server:
        for host in ("evil.com", f"evil.com:{server.ports[0]}", "127.0.0.1.evil.com", "", "localhost.evil.com", "0.0.0.0"):
            equal(server.ask("/api/v1/dags", header={"Host": host}).status, 421, f"Host: {host}")
            equal(server.ask("/", header={"Host": host}).status, 421, f"the page for {host}")
        for host in ("localhost", "127.0.0.1", "[::1]:99", "gpu-head.lan", "GPU-HEAD.lan:8765"):
            equal(server.ask("/api/v1/dags", header={"Host": host}).status, 200, f"Host: {host}")
        sock = server.raw(b"GET /api/v1/dags HTTP/1.0\r\n\r\n")
        has(read_all(sock).decode(), "421", "without a Host")


@story("wrong tokens are answered later and later, good ones at once")
def guessing(box: Sandbox):
    with serving(box) as server:
        def good_one_after_guesses():
            began = time.monotonic()
            for _ in range(5):
                equal(server.ask("/api/v1/dags", header=token("guess")).status, 401, "a guess")
            took = time.monotonic() - began
            check(took > 1.2, f"five guesses took {took:.2f} s")
            began = time.monotonic()
            equal(server.ask("/api/v1/dags", header=token("admin")).status, 200, "a good one")
            return time.monotonic() - began

        wait_for(lambda: good_one_after_guesses() < 0.4 * SLOW, "a good one is answered at once")
        equal(server.ask("/api/v1/dags", header=token("guess")).status, 401, "and the counting begins anew")


@story("behind a proxy this machine's connections are anybody's, and an open address needs TLS and a token")
def exposed(box: Sandbox):
    has(refused(box, listen=("0.0.0.0:0",)), "in the clear", "without TLS")
    has(refused(box, "--behind-proxy", "--no-tokens", listen=("0.0.0.0:0",)), "stoker token create", "without a token")
    has(refused(box, listen=("localhost",)), "no address", "without a port")
    with serving(box, "--behind-proxy") as server:
        equal(server.ask("/api/v1/dags").status, 401, "reading")
        equal(server.ask("/healthz").status, 200, "health")
        equal(server.ask("/api/v1/dags", header=token("viewer")).status, 200, "with a token")
        answer = server.ask("/api/v1/session", "POST", {"token": "stoker_viewer"})
        has(answer.header["Set-Cookie"], "; Secure", "the cookie")


@story("TLS with a certificate of one's own")
def tls(box: Sandbox):
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                           "-keyout", at(box, "key.pem"), "-out", at(box, "cert.pem"), "-subj", "/CN=localhost",
                           "-days", "2"], capture_output=True, check=False)
    if made.returncode != 0:
        raise Skip("openssl makes no certificate")
    options = ("--certificate", at(box, "cert.pem"), "--key", at(box, "key.pem"))
    with serving(box, *options) as server:
        context = ssl.create_default_context(cafile=at(box, "cert.pem"))
        connection = http.client.HTTPSConnection("localhost", server.ports[0], context=context, timeout=10 * SLOW)
        answer = server.ask("/api/v1/dags", connection=connection)
        equal(answer.status, 200, "the status")
        has(answer.header["Strict-Transport-Security"], "max-age", "a header")
        box.file("web/train.1.log", "x" * 200000)
        equal(len(server.ask(LOG, connection=connection).bytes), 200000, "a log")
        connection.close()
        equal(server.ask("/api/v1/dags", local=True).status, 200, "the control socket, as ever")
    box.file("key.pem", "nonsense")
    has(refused(box, *options), "do not fit together", "a key that is none")


# --- the control socket -------------------------------------------------------------------------------------------------


@story("the control socket is the owner's, and replaced only when nobody answers on it")
def control(box: Sandbox):
    with serving(box) as server:
        equal(os.stat(server.socket).st_mode & 0o777, 0o600, "its mode")
        has(refused(box, listen=(), folder=server.folder), "another stoker answers", "a second server")
        equal(server.ask("/api/v1/dags", local=True).status, 200, "the first one goes on")
    check(not os.path.exists(server.socket), "it is removed at the end")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(server.socket)
    stale.close()
    with serving(box) as server:
        equal(server.ask("/api/v1/dags", local=True).status, 200, "in place of a stale one")
    deep = os.path.join(at(box, "web"), "d" * 120)
    os.makedirs(deep)
    with serving(box, folder=deep) as server:
        here = os.open(deep, os.O_PATH)
        server.socket = f"/proc/self/fd/{here}/control.sock"
        equal(server.ask("/api/v1/dags", local=True).status, 200, "at a long path")
        os.close(here)


@story("another user is refused with a clear message, unless the socket is shared with a group of his")
def other_users(box: Sandbox):
    if os.geteuid() != 0:
        raise Skip("not root: cannot become somebody else")
    with contextlib.suppress(KeyError):
        group = grp.getgrnam("nogroup")
    if not group:
        raise Skip("there is no group nogroup")
    folder = at(box, "web")
    os.makedirs(folder)
    for parent in (box.path, box.dags, folder):
        os.chmod(parent, 0o755)
    shared = os.path.join(folder, "shared.sock")
    with serving(box, "--shared", shared, "--group", "nogroup") as server:
        equal(os.stat(shared).st_mode & 0o777, 0o660, "the mode of the shared one")
        client = ("import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
                  "s.sendall(b'GET /api/v1/session HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
                  "while True:\n    d = s.recv(65536)\n    if not d: break\n    sys.stdout.buffer.write(d)\n")

        def as_other(path, *groups):
            return subprocess.run(["python3", "-c", client, path], user=65534, group=65533, extra_groups=list(groups),
                                  capture_output=True, text=True, check=False, cwd="/")

        has(as_other(server.socket).stderr, "PermissionError", "the owner's socket, by the system")
        os.chmod(server.socket, 0o666)
        told = as_other(server.socket).stdout
        has(told, "403", "the owner's socket, by its server")
        has(told, "this stoker belongs to root, and nobody is not allowed to use it", "the message")
        has(as_other(shared).stderr, "PermissionError", "the shared one, without the group")
        told = as_other(shared, group.gr_gid).stdout
        has(told, '"role":"operator","name":"nobody"', "the shared one, by a member")


# --- logs ---------------------------------------------------------------------------------------------------------------


@story("a log is read whole, by range, by its end, and live, byte for byte")
def logs(box: Sandbox):
    lines = b"".join(b"line %d\n" % i for i in range(20000))
    box.file("web/train.1.log", "")
    with open(at(box, "web/train.1.log"), "wb") as file:
        file.write(lines)
    with serving(box) as server:
        answer = server.ask(LOG)
        check(answer.bytes == lines, "all of it")
        equal(answer.header["Content-Type"], "text/plain; charset=utf-8", "the type")
        equal((answer.header["Stoker-Attempt"], answer.header["Stoker-Size"]), ("1", str(len(lines))), "the facts")
        part = server.ask(LOG, header={"Range": "bytes=100-199"})
        equal((part.status, part.bytes), (206, lines[100:200]), "a range")
        equal(part.header["Content-Range"], f"bytes 100-199/{len(lines)}", "what it is")
        equal(server.ask(LOG, header={"Range": "bytes=-10"}).bytes, lines[-10:], "the last bytes")
        outside = server.ask(LOG, header={"Range": f"bytes={len(lines)}-"})
        equal((outside.status, outside.header["Content-Range"]), (416, f"bytes */{len(lines)}"), "past the end")
        for trick in ("bytes=5-1", "bytes=0-1,2-3", "bytes=" + "0-," * 1000, "bytes=x", "bits=0-1", "bytes=99999999999999999999-"):
            equal(server.ask(LOG, header={"Range": trick}).status, 200, f"Range: {trick[:30]}")
        equal(server.ask(LOG, header={"Range": "bytes=0-1", "If-Range": '"x"'}).status, 200, "If-Range")
        equal(server.ask(LOG + "?offset=100&limit=50").bytes, lines[100:150], "by offset")
        equal(server.ask(LOG + f"?offset={len(lines) + 5}").bytes, b"", "by an offset that is not there yet")
        tail = server.ask(LOG + "?tail=20")
        equal(tail.bytes, b"line 19998\nline 19999\n"[-11:], "the tail begins with a line")
        equal(tail.header["Stoker-Offset"], str(len(lines) - len(tail.bytes)), "and says where")
        equal(server.ask(LOG + "?tail=999999999").bytes, lines, "a long tail")
        equal(server.ask(LOG.replace("train", "none")).status, 404, "of no such task")
        equal(server.ask(LOG.replace("train", "early")).bytes, b"", "one that is not there yet")
        equal(server.ask(LOG.replace("digits", "..%2f..")).status, 404, "a run that climbs")


@story("a log that grows is followed to its end, and gone on with where it was cut")
def follow(box: Sandbox):
    path = box.file("web/train.1.log", "first\n")
    growing = box.file("web/train.growing", "")
    with serving(box) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.ports[0], timeout=30 * SLOW)
        connection.request("GET", LOG + "?follow=true")
        response = connection.getresponse()
        equal(response.headers["Stoker-Growing"], "true", "it says that more comes")
        equal(response.readline(), b"first\n", "what there was")
        late = http.client.HTTPConnection("127.0.0.1", server.ports[0], timeout=30 * SLOW)
        late.request("GET", LOG + "?follow=true&offset=9")
        wait_for(lambda: 'stoker_http_streams 2' in server.ask("/metrics").text, "two streams")
        for i in range(3):
            with open(path, "a", encoding="ascii") as file:
                file.write(f"more {i}\n")
            equal(response.readline(), f"more {i}\n".encode(), "what came")
        os.unlink(growing)
        equal(response.read(), b"", "the end")
        equal(late.getresponse().read(), b"e 0\nmore 1\nmore 2\n", "from the ninth byte on")
        connection.close()
        late.close()
        wait_for(lambda: 'stoker_http_streams 0' in server.ask("/metrics").text, "no stream any more")


@story("a log of many megabytes costs no memory, also when nobody reads on")
def large(box: Sandbox):
    size = (64 if QUICK else 512) * 1024 * 1024
    with open(box.file("web/train.1.log", ""), "wb") as file:
        file.truncate(size)
    with serving(box) as server:
        server.ask("/healthz")
        before = server.rss_kib()
        idle = [server.raw(f"GET {LOG}{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                for query in ("", "?follow=true") for _ in range(10)]
        connection = http.client.HTTPConnection("127.0.0.1", server.ports[0], timeout=60 * SLOW)
        connection.request("GET", LOG)
        response, got = connection.getresponse(), 0
        while part := response.read(1 << 20):
            got += len(part)
        equal(got, size, "the bytes")
        check(server.rss_kib() - before < 8192 * SLOW, f"memory grew from {before} to {server.rss_kib()} KiB")
        for sock in idle:
            sock.close()
        connection.close()


# --- streams ------------------------------------------------------------------------------------------------------------


class Stream:
    def __init__(self, server, query="", last_id=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.ports[0], timeout=30 * SLOW)
        self.connection.request("GET", "/api/v1/stream" + query, headers={"Last-Event-ID": last_id} if last_id else {})
        self.response = self.connection.getresponse()
        equal(self.response.headers["Content-Type"], "text/event-stream; charset=utf-8", "the type")
        self.first = self.event()

    def event(self):
        fields = {}
        while True:
            line = self.response.readline().decode()
            check(line, "the stream has ended")
            line = line.rstrip("\n")
            if line == "" and "event" in fields:
                return fields
            key, _, value = line.partition(": ")
            if key:
                fields[key] = value

    def close(self):
        self.response.close()
        self.connection.close()


@story("a server that was full takes the next one, though all who were there went at once")
def full(box: Sandbox):
    room = 200  # of 400 files it leaves the other half for everything else
    with serving(box, files=2 * room) as server:
        there = [server.raw() for _ in range(room)]
        descriptors = f"/proc/{server.process.pid}/fd"
        wait_for(lambda: len(os.listdir(descriptors)) > room, "all of them are taken")
        late = server.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        server.process.send_signal(signal.SIGSTOP)
        for each in there:
            each.close()
        server.process.send_signal(signal.SIGCONT)
        has(read_all(late).decode(), "HTTP/1.1 200 ", "what the one who waited is told")


@story("a live stream tells every change once, in order, to whom it concerns")
def stream(box: Sandbox):
    with serving(box) as server:
        one, picky, dag = Stream(server), Stream(server, "?run=digits/3"), Stream(server, "?dag=other")
        equal(one.first["event"], "hello", "how it begins")
        for i in range(100):
            server.publish("run.changed", {"run": f"digits/{i % 5}", "dag": "digits", "n": i, "text": "a\nb"})
        server.publish("dag.changed", {"dag": "other", "n": 100})
        server.publish("told.all", {"n": 101})
        events = [one.event() for _ in range(102)]
        equal([json.loads(event["data"])["n"] for event in events], list(range(102)), "what one stream tells")
        equal([json.loads(picky.event()["data"])["n"] for _ in range(21)], [*range(3, 100, 5), 101], "of one run")
        equal([json.loads(dag.event()["data"])["n"] for _ in range(2)], [100, 101], "of one DAG")
        for each in (one, picky, dag):
            each.close()


@story("a stream goes on after the last event that was seen, or says that it cannot")
def resumed(box: Sandbox):
    with serving(box) as server:
        one = Stream(server)
        for i in range(10):
            server.publish("run.changed", {"n": i})
        events = [one.event() for _ in range(10)]
        one.close()
        again = Stream(server, last_id=events[4]["id"])
        equal(again.first["event"], "hello", "how it begins")
        equal([again.event()["id"] for _ in range(5)], [event["id"] for event in events[5:]], "what comes")
        again.close()
        for wrong in ("1.5", "x", "00000000.1", events[0]["id"].split(".")[0] + ".99999999"):
            other = Stream(server, last_id=wrong)
            equal(other.first["event"], "reset", f"after {wrong}")
            other.close()
        for i in range(5000):
            server.publish("run.changed", {"n": i})
        old = Stream(server)
        old.close()
        wait_for(lambda: Stream(server, last_id=events[0]["id"]).first["event"] == "reset", "the ring has gone on")


@story("what is told to nobody is not made, and nobody who comes takes it for having been told")
def followed(box: Sandbox):
    with serving(box) as server:
        server.publish("?run.changed", {"n": 0})
        one = Stream(server)
        server.publish("?run.changed", {"n": 1})
        seen = one.event()
        equal(json.loads(seen["data"])["n"], 1, "the first that is told")
        one.close()
        server.publish("?run.changed", {"n": 2})
        again = Stream(server, last_id=seen["id"])
        equal(again.first["event"], "hello", "who comes back soon goes on")
        equal(json.loads(again.event()["data"])["n"], 2, "what was missed")
        again.close()
        before = Stream(server, last_id=one.first["id"].split(".")[0] + ".0")
        equal(before.first["event"], "reset", "who was there before it began has missed something")
        before.close()


@story("five hundred streams see every change, and one that does not read is cut off and not waited for")
def many_streams(box: Sandbox):
    count, changes_count = (100, 200) if QUICK else (500, 1000)
    with serving(box) as server:
        streams = [Stream(server) for _ in range(count)]
        deaf = server.raw(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for i in range(changes_count):
            server.publish("task.changed", {"run": "digits/1", "n": i})
        for each in streams:
            numbers = [json.loads(each.event()["data"])["n"] for _ in range(changes_count)]
            check(numbers == list(range(changes_count)), "every change once")
        check(server.rss_kib() < 100 * 1024 * SLOW, f"{server.rss_kib()} KiB")
        filler = "x" * 60000
        for i in range(400):
            server.publish("task.changed", {"run": "other/1", "filler": filler})
            if i % 20 == 0:
                for each in streams[5:]:
                    each.close()
                streams = streams[:5]
                for each in streams:
                    for _ in range(20 if i else 1):
                        each.event()
        wait_for(lambda: f'stoker_http_streams {len(streams)}' in server.ask("/metrics").text, "the deaf one is gone",
                 timeout=40)
        for each in streams:
            each.close()
        deaf.close()


# --- what it holds out against ------------------------------------------------------------------------------------------


@story("headers and bodies without end are refused, and cost no memory")
def sizes(box: Sandbox):
    with serving(box) as server:
        server.ask("/healthz")
        for kib, status in ((15, 200), (17, 431)):  # what browsers send to localhost for all that is served there
            answer = server.ask("/api/v1/dags", header={"Cookie": "x=" + "y" * (kib * 1024)})
            equal(answer.status, status, f"a cookie of {kib} KiB")
        before = server.rss_kib()
        sock = server.raw(b"GET /api/v1/dags HTTP/1.1\r\nHost: localhost\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 100 * 1024 * 1024:
                sock.sendall(b"X-Filler: " + b"x" * 65536 + b"\r\n")
                sent += 65536
        check(sent < 10 * 1024 * 1024, f"{sent} bytes of header were taken")
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = sock.recv(100)
        check(answer == b"" or b" 431 " in answer, f"the answer {answer}")
        answer = server.ask("/api/v1/runs", "POST", b"x" * (1024 * 1024 + 1), header=token("operator"))
        equal(answer.status, 413, "a large body")
        sock = server.raw(b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer stoker_operator\r\n"
                          b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 100 * 1024 * 1024:
                sock.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
        check(sent < 40 * 1024 * 1024, f"{sent} bytes of a body without a length were taken")
        sock = server.raw(b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer stoker_operator\r\n"
                          b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                          + (b"80000\r\n" + b"x" * 0x80000 + b"\r\n") * 3 + b"0\r\n\r\n")
        has(read_all(sock).decode(), "413 ", "a large body in chunks")
        check(server.rss_kib() - before < 4096 * SLOW, f"memory grew from {before} to {server.rss_kib()} KiB")
        check(server.alive(), "it goes on")


@story("a request that drips in is ended as a whole, and others are served meanwhile")
def slow_loris(box: Sandbox):
    with serving(box, "--request-ms", "2000") as server:
        began = time.monotonic()
        drips = [server.raw(b"GET /api/v1/dags HTTP/1.1\r\nHost: localhost\r\n") for _ in range(50)]
        body = server.raw(b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer stoker_operator\r\n"
                          b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
        open_ones = [*drips, body]
        while open_ones and time.monotonic() - began < 20 * SLOW:
            for sock in list(open_ones):
                try:
                    sock.sendall(b"X-A: b\r\n")
                    sock.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        if sock.recv(1000) == b"":
                            open_ones.remove(sock)
                    sock.setblocking(True)
                except ConnectionError:
                    open_ones.remove(sock)
            check(server.alive(), "others are served")
            time.sleep(0.1)
        took = time.monotonic() - began
        check(not open_ones, f"{len(open_ones)} of them are still open after {took:.0f} s")
        check(1 < took < 8 * SLOW, f"they were ended after {took:.0f} s")


@story("thousands of connections do not take the place of the control socket, and places come free again")
def floods(box: Sandbox):
    with serving(box) as server:
        sockets = []
        for _ in range(800 if QUICK else 3000):
            try:
                sock = socket.socket()
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    sock.connect(("127.0.0.1", server.ports[0]))
                sockets.append(sock)
            except OSError:
                break
        for _ in range(5):
            equal(server.ask("/api/v1/dags", local=True).status, 200, "the control socket")
        for sock in sockets:
            sock.close()
        check(server.alive(), "it answers again")


@story("nonsense on the wire is refused, and the next one is served")
def nonsense(box: Sandbox):
    with serving(box, "--request-ms", "1000") as server:
        for data in (b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                     b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
                     b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x00" * 5000, b"GET / HTTP/1.1\r\nHost\r\n\r\n",
                     b"GET /api/v1/dags HTTP/1.1\r\nHost: localhost\r\nCookie: stoker_session=" + b"a" * 20000 + b"\r\n\r\n",
                     b"GET /api/v1/dags HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + b"a" * 20000 + b"\r\n\r\n"):
            sock = server.raw(data)
            sock.shutdown(socket.SHUT_WR)
            read_all(sock)
            sock.close()
            check(server.alive(), f"after {data[:40]!r}")


@story("a request that two programs may read as two is refused, and nothing behind it is taken for the next one")
def smuggling(box: Sandbox):
    post = b"POST /api/v1/session HTTP/1.1\r\nContent-Type: application/json\r\n"
    host, chunked, inner = b"Host: localhost\r\n", b"Transfer-Encoding: chunked\r\n", b"GET /smuggled HTTP/1.1\r\n\r\n"
    get = b"GET /api/v1/session HTTP/1.1\r\n" + host
    with serving(box) as server:
        for data in (get + b"Host: evil\r\n\r\n", get + host + b"\r\n",
                     get + b"X: a\r\n Host: evil\r\n\r\n", get + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
                     post + host + b"Content-Length: 5\r\n" + chunked + b"\r\n0\r\n\r\n" + inner,
                     post + host + chunked + b"Content-Length: 4\r\n\r\n5c\r\n" + inner,
                     post + host + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + inner,
                     post + host + b"Content-Length : 2\r\n\r\n{}" + inner,
                     post + host + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + inner,
                     post + host + b"Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                     post.replace(b"1.1", b"1.0") + host + chunked + b"\r\n2\r\n{}\r\n0\r\n\r\n"):
            sock = server.raw(data)
            told = read_all(sock)
            sock.close()
            equal((told.count(b"HTTP/1.1 "), told[:12]), (1, b"HTTP/1.1 400"), f"{data!r}: {told!r}")
        sock = server.raw(post + host + chunked + b"Connection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        has(read_all(sock).decode(), "the body lacks 'token'", "a body in chunks is taken")
        sock.close()


@story("who sends a body that is refused is told why, and may go on")
def refused_bodies(box: Sandbox):
    with serving(box) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.ports[0], timeout=10 * SLOW)
        connection.connect()
        first = connection.sock
        for _ in range(3):
            answer = server.ask("/api/v1/runs", "POST", b"x" * (4 * 1024 * 1024), header=token("operator"), connection=connection)
            equal(answer.status, 413, "the status")
        equal(server.ask("/healthz", connection=connection).status, 200, "the next request")
        check(connection.sock is first, "all over one connection")
        connection.close()


if __name__ == "__main__":
    main()
