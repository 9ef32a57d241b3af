"""Due times: what `stoker next` lists, in each time zone and around changes of clocks."""

import datetime
import os
import random
import sys
import time

from lib import QUICK, SEED, SOURCE, Sandbox, Skip, check, equal, has, main, story

ZONES = "/usr/share/zoneinfo"

NIGHTLY = """\
schedule: {{cron: "{cron}", timezone: {zone}}}
steps:
  train: {{run: "true"}}
"""

HERE = """\
schedule: "30 2 * * *"
steps:
  train: {run: "true"}
"""

MANY = """\
name: many
schedule:
  - {cron: "30 2 * * *", timezone: Europe/Berlin}
  - {cron: "0 */6 * * *", timezone: Asia/Kathmandu, jitter: 10m}
  - {cron: ["@daily", "0 12 * * sun"], timezone: America/New_York, from: 2026-03-07, until: 2026-03-09}
steps:
  train: {run: "true"}
"""


def need_zones():
    if not os.path.exists(os.path.join(ZONES, "Europe/Berlin")):
        raise Skip("the tz database is not installed")


def instant(text):
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def due(box, *words, env=None):
    """The JSON of `stoker next`, with that environment."""
    box.env.update(env or {})
    return box.json("next", *words)["due"]


@story("next lists local time, UTC, the time until then, and what a change of clocks does to a due time")
def changes(box: Sandbox):
    need_zones()
    box.file("n.yaml", NIGHTLY.format(cron="30 2 * * *", zone="Europe/Berlin"))
    lines = box.stoker("next", "n.yaml", "-n", 3, "--from", "2026-03-28", code=0).out.splitlines()
    equal(lines[0].split(), ["DUE", "(Europe/Berlin)", "UTC", "IN", "NOTE"], "the headings")
    equal(len(lines), 4, "the lines")
    has(lines[1], "Sat 2026-03-28 02:30 +01:00  2026-03-28 01:30", "the first")
    has(lines[2], "Sun 2026-03-29 03:00 +02:00  2026-03-29 01:00", "the second")
    has(lines[2], "02:30 does not exist that day", "the second")
    has(lines[3], "Mon 2026-03-30 02:30 +02:00  2026-03-30 00:30", "the third")
    autumn = box.stoker("next", "n.yaml", "-n", 2, "--from", "2026-10-25", code=0).out
    has(autumn, "Sun 2026-10-25 02:30 +02:00", "autumn")
    has(autumn, "02:30 comes twice: the first", "autumn")
    equal(autumn.count("2026-10-25 02:30"), 1, "how often it is due")

    spring = due(box, "n.yaml", "-n", 3, "--from", "2026-03-28")
    equal([one["nominal"] for one in spring], ["2026-03-28 02:30", "2026-03-29 02:30", "2026-03-30 02:30"], "labels")
    equal([one["mark"] for one in spring], [None, "moved", None], "marks")
    equal(spring[1]["local"], "2026-03-29T03:00:00+02:00", "the local time")
    equal(spring[1]["utc_offset"], "+02:00", "its offset")
    for one in spring:
        equal(instant(one["due"]), instant(one["local"]), "the two ways to write it")
        equal(one["start"], one["due"], "the start, without jitter")

    box.file("h.yaml", NIGHTLY.format(cron="30 * * * *", zone="Europe/Berlin"))
    hours = due(box, "h.yaml", "-n", 4, "--from", "2026-10-25T01:30")
    equal([one["mark"] for one in hours], [None, "first_of_two", "second_of_two", None], "hour by hour")
    equal([instant(b["due"]) - instant(a["due"]) for a, b in zip(hours, hours[1:])], [3600] * 3, "the time between")
    box.file("g.yaml", NIGHTLY.format(cron="0,30 2,3 * * *", zone="Europe/Berlin"))
    gap = due(box, "g.yaml", "-n", 1, "--from", "2026-03-29")[0]
    equal((gap["nominal"], gap["mark"], gap["skipped"]), ("2026-03-29 03:00", None, 2), "what shares the end of a gap")


@story("what is due next is in the future, and soon")
def from_now(box: Sandbox):
    box.file("m.yaml", NIGHTLY.format(cron="* * * * *", zone="UTC"))
    before = time.time()
    answer = due(box, "m.yaml", "-n", 2)
    check(before < instant(answer[0]["due"]) <= time.time() + 60, "the next minute")
    check(0 < answer[0]["in_ms"] <= 60000, "the time until then")
    equal(instant(answer[1]["due"]) - instant(answer[0]["due"]), 60, "the time between")


@story("a schedule without a time zone has this machine's, by TZ in each of its forms")
def local_zone(box: Sandbox):
    need_zones()
    box.file("n.yaml", HERE)
    for zone, local, name in (
        ("America/New_York", "2026-03-08T03:00:00-04:00", "America/New_York"),
        (":Asia/Kathmandu", "2026-03-08T02:30:00+05:45", "Asia/Kathmandu"),
        (f"{ZONES}/Australia/Lord_Howe", "2026-03-08T02:30:00+11:00", f"{ZONES}/Australia/Lord_Howe"),
        ("EST5EDT,M3.2.0,M11.1.0", "2026-03-08T03:00:00-04:00", "EST5EDT,M3.2.0,M11.1.0"),
        ("<+0330>-3:30", "2026-03-08T02:30:00+03:30", "<+0330>-3:30"),
        ("", "2026-03-08T02:30:00+00:00", "UTC"),
    ):
        answer = due(box, "n.yaml", "-n", 1, "--from", "2026-03-08", env={"TZ": zone})[0]
        equal((answer["local"], answer["timezone"]), (local, name), f"with TZ={zone!r}")
    for zone in ("Europe/Atlantis", "../../etc/passwd", "/etc/passwd", "CET-1CEST,M3"):
        wrong = box.stoker("next", "n.yaml", env={"TZ": zone}, code=2)
        has(wrong.err, zone, "the message")
        equal(wrong.out, "", "what is listed")
    del box.env["TZ"]
    box.stoker("next", "n.yaml", code=0)
    # A zone that is named does not care.
    box.file("b.yaml", NIGHTLY.format(cron="30 2 * * *", zone="Europe/Berlin"))
    for zone in ("Europe/Atlantis", "Asia/Kathmandu", ""):
        answer = due(box, "b.yaml", "-n", 1, "--from", "2026-07-01", env={"TZ": zone})[0]
        equal(answer["local"], "2026-07-01T02:30:00+02:00", f"Berlin with TZ={zone!r}")


@story("several schedules are merged in order; jitter is the same each time; from and until hold")
def several(box: Sandbox):
    need_zones()
    box.file("many.yaml", MANY)
    answer = box.json("next", "many.yaml", "-n", 40, "--from", "2026-03-06T00:00:00Z")
    equal([one["cron"] for one in answer["schedules"]], ["30 2 * * *", "0 */6 * * *", "@daily", "0 12 * * sun"], "them")
    times = [instant(one["due"]) for one in answer["due"]]
    equal(times, sorted(times), "the order")
    equal({one["timezone"] for one in answer["due"]}, {"Europe/Berlin", "Asia/Kathmandu", "America/New_York"}, "zones")
    daily = [one["local"] for one in answer["due"] if one["cron"] == "@daily"]
    equal(daily, ["2026-03-07T00:00:00-05:00", "2026-03-08T00:00:00-05:00", "2026-03-09T00:00:00-04:00"], "the days")
    jitter = [one["jitter_ms"] for one in answer["due"] if one["cron"] == "0 */6 * * *"]
    check(all(0 <= one <= 600000 for one in jitter) and len(set(jitter)) > 3, f"jitter of at most 10 minutes: {jitter}")
    again = box.json("next", "many.yaml", "-n", 30, "--from", "2026-03-06T12:00:00Z")["due"]
    known = {(one["due"], one["cron"]): one["start"] for one in answer["due"]}
    shared = [one for one in again if (one["due"], one["cron"]) in known]
    check(len(shared) > 10, "the two lists overlap")
    for one in shared:
        equal(one["start"], known[one["due"], one["cron"]], "the start, asked again")
    table = box.stoker("next", "many.yaml", "-n", 3, "--from", "2026-03-06T00:00:00Z", code=0).out
    equal(table.splitlines()[0].split(), ["DUE", "ZONE", "UTC", "IN", "JITTER", "SCHEDULE", "NOTE"], "the headings")


@story("no schedule is 3, one that has ended is 0, a bad file or option is 2, and nothing is stored")
def refusals(box: Sandbox):
    box.file("hand.yaml", "steps: {a: {run: 'true'}}\n")
    has(box.stoker("next", "hand.yaml", code=3).err, "has no schedule", "a DAG without one")
    check('"due": []' in box.stoker("next", "hand.yaml", "--json", code=3).out, "JSON all the same")
    box.file("over.yaml", 'schedule: {cron: "@daily", timezone: UTC, until: 2020-01-31}\nsteps: {a: {run: "true"}}\n')
    has(box.stoker("next", "over.yaml", code=0).out, "has ended", "a schedule that is over")
    equal(box.json("next", "over.yaml")["due"], [], "as JSON")
    equal(box.json("next", "over.yaml")["schedules"][0]["over"], True, "as JSON")
    equal(len(due(box, "over.yaml", "--from", "2020-01-30")), 2, "before it was over")
    box.file("bad.yaml", 'schedule: "61 * * * *"\nsteps: {a: {run: "true"}}\n')
    equal(box.stoker("next", "bad.yaml", code=2).err, box.stoker("validate", "bad.yaml", code=2).err, "the diagnostics")
    box.stoker("next", "nowhere.yaml", code=2)
    for words in ([], ["over.yaml", "hand.yaml"], ["over.yaml", "-n", "0"], ["over.yaml", "-n", "x"],
                  ["over.yaml", "--from", "soon"], ["over.yaml", "--from", "2026-02-30"], ["over.yaml", "--form", "x"]):
        has(box.stoker("next", *words, code=2).err, "usage: stoker next", " ".join(words))
    check(not os.path.exists(box.home), "none of this made a state folder")


@story("in any zone the due times are those that Python's zoneinfo gives")
def zoneinfo(box: Sandbox):
    need_zones()
    sys.path.insert(0, os.path.join(SOURCE, "tests", "unit"))
    try:
        import due_oracle
    except ImportError as missing:
        raise Skip(f"no oracle: {missing}") from None
    random.seed(SEED)
    names = sorted(due_oracle.zoneinfo.available_timezones() - {"Factory", "localtime"})
    names = [name for name in names if os.path.exists(os.path.join(ZONES, name))]
    marks = {None: "", "moved": "m", "first_of_two": "f", "second_of_two": "s"}
    for number in range(10 if QUICK else 60):
        name, year = random.choice(names), random.randrange(1985, 2037)
        zone = due_oracle.Zone(name)
        change = random.choice(list(due_oracle.changes(name, year)) or [instant(f"{year}-07-01T00:00:00Z")]) // 60 * 60
        cron = random.choice(("30 2 * * *", "0 0 * * *", "*/15 0-3,23 * * *", "5,35 * * * *", "0 */2 * * *"))
        first, last = change - 36 * 3600, change + 36 * 3600
        expected = list(due_oracle.due_times(zone, cron, first, last))
        box.file("z.yaml", NIGHTLY.format(cron=cron, zone=name))
        start = datetime.datetime.fromtimestamp(first + 1, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        answer = due(box, "z.yaml", "-n", len(expected), "--from", start)
        found = [(instant(one["due"]), marks[one["mark"]] + (f"+{one['skipped']}" if one["skipped"] else ""))
                 for one in answer]
        equal(found, expected, f"{name} '{cron}' from {start}")


if __name__ == "__main__":
    main()
