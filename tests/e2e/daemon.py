"""`stoker serve` on a sandbox, for stories about the daemon."""

import http.client
import json
import os
import signal
import socket
import sqlite3

from lib import SLOW, Background, equal, wait_for


class Daemon(Background):
    """`stoker serve` on the DAG folder of a sandbox."""

    def __init__(self, box, *words):
        config = os.path.join(box.path, ".config", "stoker")
        os.makedirs(config, exist_ok=True)
        if not os.path.exists(os.path.join(config, "dags")):
            os.symlink(box.dags, os.path.join(config, "dags"))
        super().__init__(box, ["serve", *words], len(box.backgrounds))
        box.backgrounds.append(self)
        self.box = box
        wait_for(lambda: "daemon.started" in self.text or not self.running(), "the daemon starts")

    def said(self, event):
        return [line for line in self.text.splitlines() if f"event={event} " in line + " "]

    def stop(self):
        self.signal(signal.SIGTERM)
        equal(self.wait(), 0, "exit status of the daemon")


class Control(http.client.HTTPConnection):
    """The API over the control socket."""

    def __init__(self, box):
        super().__init__("stoker")
        self.path = os.path.join(box.home, "control.sock")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60 * SLOW)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        """Status and answer."""
        self.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        answer = self.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None


def miss_due_times(box, minutes):
    """As if the daemon, which is down, had been away for so long."""
    with sqlite3.connect(os.path.join(box.home, "stoker.db")) as db:
        db.execute("UPDATE schedule SET settled_ms = settled_ms - ?1, since_ms = since_ms - ?1", (minutes * 60_000,))


def settings(box, text):
    folder = os.path.join(box.path, ".config", "stoker")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "stoker.yaml"), "w", encoding="utf-8") as file:
        file.write(text)


def ready_dag(box, name):
    """Waits until the daemon has the DAG in force."""
    wait_for(lambda: any(dag["dag"] == name and dag["file"] for dag in box.json("list")["dags"]),
             f"{name} is in force")
