"""Schedules from the command line: what is known, paused, due next, and made up for, all without a daemon."""

import os

from lib import Sandbox, check, equal, has, main, story

NIGHTLY = """\
name: nightly
schedule: {cron: "30 2 * * *", timezone: UTC}
params: {lr: 0.1}
steps:
  train: {run: "true"}
"""


def known(box):
    """A DAG that ran once is known."""
    box.file("n.yaml", NIGHTLY)
    box.stoker("run", "n.yaml", code=0)


@story("where nothing ran the list is empty, and nothing can be paused or made up for; no state folder is made")
def nothing(box: Sandbox):
    has(box.stoker("list", code=0).out, "no DAGs", "the list")
    equal(box.json("list"), {"dags": []}, "as JSON")
    for words in (["pause", "nightly"], ["unpause", "nightly"], ["next", "nightly"], ["backfill", "--list"],
                  ["backfill", "nightly", "--from", "2026-03-01", "--to", "2026-03-02"]):
        has(box.stoker(*words, code=3).err, "nothing has run here yet", " ".join(words))
    check(not os.path.exists(box.home), "a state folder was made")


@story("a DAG that is known is listed, and next tells when it is due, by its name as by its file")
def listed(box: Sandbox):
    known(box)
    lines = box.stoker("list", code=0).out.splitlines()
    equal(lines[0].split(), ["DAG", "LAST", "STATE", "WHEN", "NEXT", "SCHEDULE"], "the headings")
    equal(lines[1].split()[:3], ["nightly", "nightly/1", "succeeded"], "its row")
    dag = box.json("list")["dags"][0]
    equal(([(run["number"], run["state"]) for run in dag["latest"]], dag["problem"]), ([(1, "succeeded")], None), "as JSON")
    by_name = box.json("next", "nightly", "-n", 3, "--from", "2026-03-28")["due"]
    equal([one["nominal"] for one in by_name], [f"2026-03-{day} 02:30" for day in (28, 29, 30)], "by its name")
    by_file = box.json("next", "n.yaml", "-n", 3, "--from", "2026-03-28")["due"]
    equal([one["due"] for one in by_file], [one["due"] for one in by_name], "by its file")
    has(box.stoker("next", "nightly", "--past", code=0).out, "no due time has passed", "the ledger")
    equal(box.json("next", "nightly", "--past")["past"], [], "the ledger")
    has(box.stoker("next", "nigthly", code=3).err, "did you mean nightly?", "a name that nobody has")
    has(box.stoker("next", "n.yaml", "--past", code=2).err, "name of a DAG", "--past of a file")
    box.stoker("next", "nightly", "--past", "--from", "2026-03-28", code=2)
    box.file("config.yaml", "timezone: Europe/Atlantis\n")
    has(box.stoker("list", "--config", "config.yaml", code=2).err, "there is no time zone", "a wrong setting")
    box.file("config.yaml", "timezone: Asia/Kathmandu\n")
    box.file("here.yaml", 'schedule: "30 2 * * *"\nsteps: {a: {run: "true"}}\n')
    equal(box.json("next", "here.yaml", "--config", "config.yaml", "-n", 1)["due"][0]["utc_offset"], "+05:45", "the zone")


@story("pause and unpause say what changed, stand in the list and in the audit trail, and are told by next")
def paused(box: Sandbox):
    known(box)
    has(box.stoker("pause", "nightly", code=0).err, "is now paused", "the first time")
    has(box.stoker("pause", "nightly", code=0).err, "was already paused", "the second time")
    has(box.stoker("list", code=0).out, "paused by", "the list")
    result = box.stoker("next", "nightly", "-n", 1, code=0)
    has(result.err, "none of these runs until `stoker unpause nightly`", "next")
    has(result.out, "02:30", "next")
    has(box.stoker("unpause", "nightly", code=0).err, "is now in force", "the first time")
    has(box.stoker("unpause", "nightly", code=0).err, "was already in force", "the second time")
    check("paused" not in box.stoker("list", code=0).out, "it is not listed as paused any more")
    events = [one for one in box.json("events")["events"] if one["kind"].startswith("dag.")]
    equal([one["kind"] for one in events], ["dag.paused", "dag.unpaused"], "the events")
    has(events[0]["origin"], "cli", "where it came from")
    has(box.stoker("pause", "nigthly", code=3).err, "did you mean nightly?", "a name that nobody has")
    box.stoker("pause", code=2)
    box.stoker("pause", "a", "b", code=2)
    box.stoker("pause", "--all", code=2)


@story("a backfill is previewed, recorded, listed and canceled; what makes no sense is refused")
def backfills(box: Sandbox):
    known(box)
    days = ("--from", "2026-03-01", "--to", "2026-03-03")
    preview = box.stoker("backfill", "nightly", *days, "--dry-run", code=0).out
    has(preview, "2026-03-02T02:30:00+00:00", "the preview")
    has(preview, "3 would run, 0 would be left out", "the preview")
    plan = box.json("backfill", "nightly", *days, "-n")
    equal([one["does"] for one in plan["due"]], ["run"] * 3, "as JSON")
    equal(box.json("backfill", "--list"), {"backfills": []}, "a preview records nothing")
    equal(box.stoker("backfill", "nightly", *days, "--max-active", 2, "-p", "lr=0.5", code=0).out, "1\n", "its number")
    one = box.json("backfill", "--list", "nightly")["backfills"][0]
    equal((one["state"], one["max_active"], one["params"]), ("running", 2, {"lr": "0.5"}), "as it is listed")
    has(box.stoker("backfill", "nightly", *days, code=1).err, "goes on already", "a second one")
    box.stoker("backfill", "--cancel", 1, code=0)
    has(box.stoker("backfill", "--list", code=0).out, "canceled", "the list")
    equal(len(box.json("runs")["runs"]), 1, "the runs")
    kinds = [one["kind"] for one in box.json("events")["events"] if one["kind"].startswith("backfill.")]
    equal(kinds, ["backfill.started", "backfill.canceled"], "the events")
    for words, code, text in (
        (["nightly"], 2, "--from and --to"),
        (["nightly", "--from", "soon", "--to", "2026-03-01"], 2, "from: "),
        (["nightly", *days, "--max-active", "0"], 2, "--max-active"),
        (["nightly", *days, "-p", "rl=1"], 2, "did you mean"),
        (["nightly", "--from", "2026-03-03", "--to", "2026-03-01"], 3, "was not due"),
        (["nigthly", *days], 3, "did you mean nightly?"),
        (["--cancel", "7"], 3, "no backfill 7"),
        (["--cancel", "1", "nightly"], 2, "takes no DAG"),
        ([*days], 2, "which DAG?"),
    ):
        has(box.stoker("backfill", *words, code=code).err, text, " ".join(words))


if __name__ == "__main__":
    main()
