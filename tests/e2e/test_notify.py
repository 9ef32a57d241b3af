"""Who is told what: webhooks, commands and mail, receivers that fail, hang or die, and a stoker that is killed between
the end of a run and the word of it."""

import email
import email.utils
import hashlib
import hmac
import http.server
import json
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time

from lib import SLOW, Skip, check, equal, happens, has, main, story, wait_for

WEBHOOK_LIMIT_S = 20  # for an answer


class Receiver:
    """An HTTP server on loopback. `answers` are given one after the other, the last one again and again: a status, a
    pair of status and headers, "hang" (no answer until close), "die" (the connection is cut)."""

    def __init__(self, *answers, bound=None, tls=None):
        self.answers = list(answers) or [200]
        self.got = []
        self.released = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, dict(self.headers), body))
                answer = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
                if answer == "hang":
                    receiver.released.wait()
                if answer in ("hang", "die"):
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                text = b"what the receiver says\nmore of it"
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_words):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_words):
                pass

        self.server = Server(("127.0.0.1", 0), Handler, bind_and_activate=bound is None)
        if bound is not None:
            self.server.socket.close()
            self.server.socket, self.server.server_address = bound, bound.getsockname()
            self.server.server_activate()
        self.port = self.server.server_address[1]
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_words):
        self.close()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def notices(self):
        return [json.loads(body) for _path, _headers, body in self.got]

    def events(self):
        return [notice["event"] for notice in self.notices()]


def rows(box):
    """The outbox as it is stored."""
    with sqlite3.connect(f"file:{box.home}/stoker.db?mode=ro", uri=True) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM outbox ORDER BY id")]


def dag(box, notify, run="test -e good", name="night"):
    return box.file(f"{name}.yaml", f"name: {name}\nnotify: {notify}\nsteps:\n  train: {{run: '{run}'}}\n")


def pause_until(box, name):
    """A DAG whose only step ends when that file is there: a stoker that stays up."""
    return box.file("pause.yaml", f"name: pause\nnotify: []\nsteps:\n  wait: {{run: 'until test -e {name}; do sleep 0.05; done'}}\n")


@story("a webhook is posted what happened, signed, under an id of its own")
def posted(box):
    with Receiver() as receiver:
        box.env["HOOK_SECRET"] = "s3cret"
        box.file("token", "abc def\n")
        dag(box, "{on: [failed, succeeded, recovered], webhook: {url: '%s', secret: {env: HOOK_SECRET}, "
            "headers: {Authorization: {file: %s/token}, X-Team: ml}}}" % (receiver.url, box.dags), "echo oh no; test -e good")
        box.stoker("run", "night.yaml", code=1)
        box.file("good", "")
        box.stoker("run", "night.yaml", code=0)
        box.stoker("run", "night.yaml", code=0)
        equal(receiver.events(), ["failed", "recovered", "succeeded"], "what was told")
        _path, headers, body = receiver.got[0]
        notice = json.loads(body)
        signature = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
        equal(headers["X-Stoker-Signature"], f"sha256={signature}", "the signature")
        equal(headers["Authorization"], "abc def", "a header from a file")
        equal(headers["X-Team"], "ml", "a header")
        equal(headers["Content-Type"], "application/json", "the type")
        equal(headers["X-Stoker-Event"], "failed", "the event")
        equal(headers["X-Stoker-Delivery"], notice["id"], "the id")
        equal([notice[key] for key in ("run", "dag", "state", "task", "last_line", "trigger", "due")],
              ["night/1", "night", "failed", "train", "oh no", "manual", None], "the notice")
        has(notice["why"], "train failed: exit code 1", "why")
        check(notice["started"] <= notice["ended"], "times")
        equal(len({n["id"] for n in receiver.notices()}), 3, "different ids")
        equal({row["state"] for row in rows(box)}, {"sent"}, "states")
        check("s3cret" not in json.dumps(rows(box)) and "abc def" not in json.dumps(rows(box)), "a secret is stored")


@story("a success of the run that failed is told as a recovery")
def retried(box):
    with Receiver() as receiver:
        dag(box, "{on: recovered, webhook: '%s'}" % receiver.url)
        box.stoker("run", "night.yaml", code=1)
        box.file("good", "")
        box.stoker("run", "--resume", "night/1", code=0)
        box.stoker("run", "night.yaml", code=0)
        equal([(n["event"], n["run"]) for n in receiver.notices()], [("recovered", "night/1")], "what was told")


@story("a hook that speaks Slack's language gets one text, without markup of the step's")
def slack(box):
    with Receiver() as receiver:
        box.file("stoker.yaml", "url: https://stoker.example.org/\n")
        dag(box, "{webhook: {url: '%s', format: slack}}" % receiver.url, 'echo "<!channel> & co"; false')
        box.stoker("run", "--config", "stoker.yaml", "night.yaml", code=1)
        (notice,) = receiver.notices()
        equal(list(notice), ["text"], "the fields")
        has(notice["text"], "&lt;!channel&gt; &amp; co", "the text")
        has(notice["text"], "<https://stoker.example.org/#/runs/night/1>", "the text")


@story("a command gets the facts in its environment and on its input, in the folder of its DAG")
def command(box):
    script = "cat >body.json; env | sort >env.txt; pwd >where; echo heard"
    dag(box, "{on: [failed], run: '%s'}" % script, "false")
    box.stoker("run", "night.yaml", code=1, env={"HOOK_SECRET": "x"})
    notice = json.loads(box.read("body.json"))
    lines = box.lines("env.txt")
    equal(box.lines("where"), [box.dags], "where it ran")
    for line in ("STOKER_EVENT=failed", "STOKER_DAG=night", "STOKER_RUN=night/1", "STOKER_STATE=failed",
                 f"STOKER_TEXT={notice['text']}", f"STOKER_NOTICE={notice['id']}", "STOKER_SCHEDULED_FOR="):
        check(line in lines, f"no {line} in {lines}")
    check(not any(line.startswith("HOOK_SECRET") for line in lines), "it is given all of stoker's environment")


SENDMAIL = """\
#!/bin/sh
echo "$@" >>%(dags)s/words
n=$(wc -l <%(dags)s/words)
cat >%(dags)s/mail.$n
test ! -e %(dags)s/busy || exit 75
"""


@story("mail goes through sendmail, with headers that hold whatever a DAG is called")
def mail(box):
    box.file("sendmail", SENDMAIL % {"dags": box.dags}, mode=0o755)
    box.file("stoker.yaml", f"sendmail: {box.dags}/sendmail\nmail_from: stoker@example.org\n"
             "notify: {on: [failed, canceled], mail: [ops@example.org, root]}\n")
    box.file("night.yaml", "name: night\nsteps:\n  train: {run: 'printf \"\\nBcc: x@y\\nümlaut.\\n.\\n\"; false'}\n")
    box.stoker("run", "--config", "stoker.yaml", "night.yaml", code=1)
    equal(box.read("words").split(), ["-t", "-i", "-f", "stoker@example.org"], "how it is called")
    text = box.read("mail.1")
    letter = email.message_from_string(text)
    equal(letter["To"].replace("\n", ""), "ops@example.org, root", "To")
    equal(letter["From"], "stoker@example.org", "From")
    equal(letter["Subject"], "night/1 failed", "Subject")
    equal(letter["Bcc"], None, "Bcc")
    check(email.utils.parsedate_to_datetime(letter["Date"]).tzinfo is not None, f"Date {letter['Date']}")
    equal(letter["Auto-Submitted"], "auto-generated", "Auto-Submitted")
    has(letter["Message-ID"], rows(box)[0]["about"] and "stoker.", "Message-ID")
    has(letter.get_payload(decode=True).decode(), "night/1 failed because train failed", "the letter")
    check(all(len(line) < 80 for line in text.splitlines()), "a line is too long")


@story("sendmail that is busy is asked again, under the same id")
def mail_again(box):
    box.file("sendmail", SENDMAIL % {"dags": box.dags}, mode=0o755)
    box.file("busy", "")
    box.file("stoker.yaml", f"sendmail: {box.dags}/sendmail\n")
    dag(box, "{mail: ops@example.org}")
    done = box.stoker("run", "--config", "stoker.yaml", "night.yaml", code=1)
    has(done.err, "1 notice could not be delivered yet: sendmail: exit code 75", "what the run says")
    os.unlink(os.path.join(box.dags, "busy"))
    pause_until(box, "over")
    box.start("run", "--config", "stoker.yaml", "pause.yaml")
    wait_for(lambda: rows(box)[0]["state"] == "sent", "the mail is sent")
    letters = [email.message_from_string(box.read(f"mail.{n}")) for n in (1, 2)]
    equal(letters[0]["Message-ID"], letters[1]["Message-ID"], "Message-ID")
    box.file("over", "")


@story("who is named in the settings is told of each DAG that names nobody itself")
def defaults(box):
    with Receiver() as receiver, Receiver() as own:
        box.file("stoker.yaml", f"notify: {{on: failed, webhook: '{receiver.url}'}}\n")
        box.file("a.yaml", "name: a\nsteps: {x: {run: 'false'}}\n")
        dag(box, "[]", "false", "b")
        dag(box, "{webhook: '%s'}" % own.url, "false", "c")
        for name in "abc":
            box.stoker("run", "--config", "stoker.yaml", f"{name}.yaml", code=1)
        equal([n["run"] for n in receiver.notices()], ["a/1"], "who the settings name was told")
        equal([n["run"] for n in own.notices()], ["c/1"], "who the DAG names was told")


@story("a receiver that fails is tried again later, one that refuses is not, and neither delays the run")
def statuses(box):
    with Receiver(500, 200) as shaky, Receiver(410) as gone, Receiver((302, {"Location": "http://x.example/"})) as moved, \
            Receiver((429, {"Retry-After": "1000"})) as busy, Receiver("die", 200) as dying:
        dag(box, "[" + ", ".join("{webhook: '%s'}" % r.url for r in (shaky, gone, moved, busy, dying)) + "]", "false")
        done = box.stoker("run", "night.yaml", code=1)
        has(done.err, "could not be delivered yet", "what the run says")
        state = {row["receiver"].split('"webhook":"')[1].split('"')[0]: row for row in rows(box)}
        equal([state[r.url]["state"] for r in (gone, moved, busy)], ["failed", "failed", "open"], "states")
        if state[shaky.url]["state"] == "open":  # on a slow machine its second try may be over
            has(state[shaky.url]["error"], "answered 500: what the receiver says", "the error")
            check(state[shaky.url]["next_try_ms"] - state[shaky.url]["created_ms"] < 20_000, "the first retry is late")
        has(state[moved.url]["error"], "redirects to http://x.example/", "the error")
        check(state[busy.url]["next_try_ms"] - state[busy.url]["created_ms"] > 900_000, "Retry-After is passed over")
        told = [e for e in box.json("events", "night/1")["events"] if e["kind"] == "notice.failed"]
        equal(len(told), 2, "events of what was given up")
        has(" ".join(event["detail"] for event in told), "answered 410", "the events")
        pause_until(box, "over")
        box.start("run", "pause.yaml")
        wait_for(lambda: len(shaky.got) == 2 and len(dying.got) == 2, "what failed is told again")
        equal(shaky.notices()[0], shaky.notices()[1], "the same notice")
        equal([len(gone.got), len(moved.got), len(busy.got)], [1, 1, 1], "requests")
        wait_for(lambda: sum(row["state"] == "sent" for row in rows(box)) == 2, "both are marked as sent")
        box.file("over", "")


@story("a receiver that hangs keeps nobody: not the run, not other receivers, not the next run")
def hanging(box):
    with Receiver("hang") as hung, Receiver() as well:
        dag(box, "[{webhook: '%s'}, {webhook: '%s'}]" % (hung.url, well.url), "false")
        began = time.monotonic()
        first = box.start("run", "night.yaml")
        wait_for(lambda: well.got, "the other one is told")
        check(box.status("night/1")["state"] == "failed", "the run has not ended")
        equal(first.wait(), 1, "the status of the run")
        check(time.monotonic() - began < 15 * SLOW, "the run waits for a receiver that hangs")
        has(first.text, "1 notice could not be delivered yet", "what the run says")
        dag(box, "{on: succeeded, webhook: '%s'}" % well.url, "true", "other")
        box.stoker("run", "other.yaml", code=0)
        wait_for(lambda: len(well.got) == 2, "the next run is told of")
        hung.released.set()


@story("a stoker that is killed before a notice got through: the next one delivers it, under the same id")
def killed(box):
    with Receiver("hang", 200) as receiver:
        dag(box, "{webhook: '%s'}" % receiver.url, "false")
        first = box.start("run", "night.yaml")
        wait_for(lambda: receiver.got, "it is told")
        first.kill()
        equal([row["state"] for row in rows(box)], ["open"], "the notice is kept")
        pause_until(box, "over")
        box.start("run", "pause.yaml")
        wait_for(lambda: len(receiver.got) == 2, "it is told again")
        equal(receiver.notices()[0], receiver.notices()[1], "the same notice")
        wait_for(lambda: rows(box)[0]["state"] == "sent", "it is marked as sent")
        equal(len(rows(box)), 1, "notices")
        box.file("over", "")
        receiver.released.set()


@story("two stokers on one state tell of a thing once")
def once(box):
    bound = socket.socket()  # nobody listens there yet
    bound.bind(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    dag(box, "{webhook: 'http://127.0.0.1:%d/hook'}" % port, "false")
    done = box.stoker("run", "night.yaml", code=1)
    has(done.err, "could not be delivered yet", "what the run says")
    with Receiver(bound=bound) as receiver:
        pause_until(box, "over")
        both = [box.start("run", "pause.yaml") for _ in range(2)]
        wait_for(lambda: rows(box)[0]["state"] == "sent", "it is told")
        check(not happens(lambda: len(receiver.got) > 1, 1.0), "it is told twice")
        box.file("over", "")
        for one in both:
            equal(one.wait(), 0, "status")


@story("a certificate that nobody vouches for is not trusted")
def untrusted(box):
    if shutil.which("openssl") is None:
        raise Skip("making a certificate needs the program openssl")
    key, cert = os.path.join(box.path, "key.pem"), os.path.join(box.path, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True,
                   stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with Receiver(tls=context) as receiver:
        dag(box, "{webhook: 'https://localhost:%d/hook'}" % receiver.port, "false")
        done = box.stoker("run", "night.yaml", code=1)
        has(done.err, "certificate", "what the run says")
        equal(receiver.got, [], "what was sent")


def serve(box):
    """`stoker serve` on the folder of the DAGs."""
    folder = os.path.join(box.path, ".config", "stoker")
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(os.path.join(folder, "dags")):
        os.symlink(box.dags, os.path.join(folder, "dags"))
    daemon = box.start("serve")
    wait_for(lambda: "daemon.started" in daemon.text or not daemon.running(), "the daemon starts")
    return daemon


def trigger(box, name):
    """As soon as the daemon knows the DAG."""
    return wait_for(lambda: box.stoker("trigger", name).out.strip(), f"{name} is triggered")


@story("the daemon tells, tries again what failed, and no receiver holds up its runs")
def served(box):
    with Receiver(503, 200) as shaky, Receiver("hang") as hung, Receiver() as well:
        dag(box, "[" + ", ".join("{webhook: '%s'}" % r.url for r in (shaky, hung, well)) + "]", "false")
        dag(box, "{on: succeeded, webhook: '%s'}" % hung.url, "true", "other")
        serve(box)
        began = time.monotonic()
        trigger(box, "night")
        wait_for(lambda: well.got and hung.got, "those that answer, and those that do not, are told")
        for number in range(1, 4):
            equal(trigger(box, "other"), f"other/{number}", "the run")
            box.wait_state(f"other/{number}", "succeeded")
        wait_for(lambda: len(shaky.got) == 2, "the one that failed is told again")
        equal(shaky.notices()[0], shaky.notices()[1], "the same notice")
        check(len(hung.got) <= 1 + (time.monotonic() - began) // WEBHOOK_LIMIT_S, "one at a time goes to the one that hangs")


@story("a daemon that is killed before a notice got through: the next one delivers it, under the same id, and once")
def daemon_killed(box):
    with Receiver("hang", 200) as receiver:
        dag(box, "{webhook: '%s'}" % receiver.url, "false")
        first = serve(box)
        trigger(box, "night")
        wait_for(lambda: receiver.got, "it is told")
        first.kill()
        second = serve(box)
        wait_for(lambda: rows(box)[0]["state"] == "sent", "it is told again")
        second.kill()
        serve(box)
        check(not happens(lambda: len(receiver.got) > 2, 1.0), "it is told a third time")
        equal(receiver.notices()[0], receiver.notices()[1], "the same notice")


@story("due times that were missed, and what is late for it, are told when the daemon is back, each once")
def missed(box):
    with Receiver() as receiver:
        now = time.gmtime(time.time() - 2 * 3600)
        by = time.gmtime(time.time() - 3600)
        box.file("night.yaml", f"name: night\nschedule: {{cron: '{now.tm_min} {now.tm_hour} * * *', timezone: UTC, catchup: none}}\n"
                 f"expect_by: '{by.tm_hour:02}:{by.tm_min:02}'\n"
                 f"notify: {{on: [missed, late], webhook: '{receiver.url}'}}\nsteps: {{a: {{run: 'true'}}}}\n")
        first = serve(box)
        wait_for(lambda: any(one["dag"] == "night" for one in box.json("list")["dags"]), "the DAG is in force")
        first.signal(signal.SIGTERM)
        first.wait()
        with sqlite3.connect(f"{box.home}/stoker.db") as db:  # as if it had been down for three days
            db.execute("UPDATE schedule SET since_ms = since_ms - 259200000, settled_ms = settled_ms - 259200000")
        for _ in range(2):
            daemon = serve(box)
            wait_for(lambda: sorted(receiver.events()) == ["late", "missed"], f"both are told: {receiver.events()}", timeout=90)
            daemon.kill()
        told = {notice["event"]: notice for notice in receiver.notices()}
        has(told["missed"]["text"], "night did not run at 3 due times", "what was missed")
        has(told["late"]["text"], "it was skipped (missed)", "what is late")


def with_dumb_names(box, seconds):
    """Lets stoker ask a name server that never answers; the socket is to be kept open."""
    if os.geteuid() != 0:
        raise Skip("a name server of one's own needs root")
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.77.0.1", 53))
    path = box.file("resolv.conf", f"nameserver 127.77.0.1\noptions timeout:{seconds} attempts:1\n")
    box.prefix = ["unshare", "-m", "sh", "-c", f'mount --bind {path} /etc/resolv.conf && exec "$@"', "sh"]
    if subprocess.run([*box.prefix, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        server.close()
        raise Skip("no mount namespace can be made here")
    return server


@story("a name server that does not answer keeps nobody, not even at the end")
def nameless(box):
    with with_dumb_names(box, 30), Receiver() as well:
        dag(box, "[{webhook: 'http://hooks.stoker-test.example/x'}, {webhook: '%s'}]" % well.url, "false")
        began = time.monotonic()
        first = box.start("run", "night.yaml")
        wait_for(lambda: well.got, "the other one is told")
        equal(first.wait(), 1, "the status of the run")
        check(time.monotonic() - began < 15 * SLOW, "stoker waits for a name")
        has(first.text, "1 notice could not be delivered yet", "what the run says")


if __name__ == "__main__":
    main()
