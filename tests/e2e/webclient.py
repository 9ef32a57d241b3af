"""HTTP for the stories: over a unix socket, and an answer as it came."""

import http.client
import json
import socket

from lib import SLOW


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
