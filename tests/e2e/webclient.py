"""HTTP for the stories: over a unix socket, an answer as it came, and a daemon that is asked."""

import contextlib
import http.client
import json
import os
import signal
import socket

from lib import SLOW, Background, equal, wait_for


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10 * SLOW)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10 * SLOW)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.header = response.headers
        self.bytes = response.read()
        self.text = self.bytes.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.bytes.decode("utf-8"))


class Control(Background):
    """`stoker serve`, and ways to ask it."""

    def __init__(self, box, port=None, settings=""):
        config = os.path.join(box.path, ".config", "stoker")
        os.makedirs(config, exist_ok=True)
        # Held until the daemon has it too, so that nobody else comes by it.
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", port or 0))
            self.port = held.getsockname()[1]
            with open(os.path.join(config, "stoker.yaml"), "w", encoding="utf-8") as file:
                file.write(f"dags: {box.dags}\nweb:\n  listen: '127.0.0.1:{self.port}'\n  {settings}\n")
            super().__init__(box, ["serve"], len(box.backgrounds))
            box.backgrounds.append(self)
            self.socket = os.path.join(box.home, "control.sock")
            wait_for(lambda: "daemon.started" in self.text or not self.running(), "the daemon starts")

    def ask(self, path, method="GET", body=None, header=None):
        connection = UnixConnection(self.socket)
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {**({"Content-Type": "application/json"} if body is not None else {}), **(header or {})})
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def get(self, path, status=200):
        answer = self.ask("/api/v1" + path)
        equal(answer.status, status, f"{path}: {answer.text[:300]}")
        return answer.json

    def knows(self, *names):
        wait_for(lambda: set(names) <= {dag["dag"] for dag in self.get("/dags")["dags"] if dag["in_force"] or dag["problem"]},
                 f"{names} to be known")


@contextlib.contextmanager
def control(box, *names, settings=""):
    daemon = Control(box, settings=settings)
    daemon.knows(*names)
    yield daemon
    daemon.signal(signal.SIGTERM)
    equal(daemon.wait(), 0, f"the end of the daemon: {daemon.text[-2000:]}")
