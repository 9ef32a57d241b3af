"""Checkpoints: which ones count, which one a later attempt gets, and what is said about those passed over."""

import json
import os

from lib import Sandbox, check, equal, has, main, story, wait_for

# What the steps below are made of. A checkpoint is a file whose first line is the number of its training step.
TRAINER = """\
set -eu
echo "$STOKER_CHECKPOINT_DIR" >dir
echo "$STOKER_ATTEMPT ${STOKER_RESUME_FROM##*/}" >>given
n=0
if [ -n "$STOKER_RESUME_FROM" ]; then
	n=$(head -n 1 "$STOKER_RESUME_FROM")
fi
content() {
	echo "$1"
	awk -v n="$1" 'BEGIN { for (i = 0; i < 20000; i++) print n * i }'
}
save() {
	n=$((n + 1))
	name=$(printf '%s/step-%06d.ckpt' "$STOKER_CHECKPOINT_DIR" "$n")
	content "$n" >"$name.tmp"
	mv "$name.tmp" "$name"
}
"""


def dag(box, script, retry="{max: 0}", checkpoint="{keep: 10}"):
    box.file("trainer.sh", TRAINER)
    lines = "".join(f"      {line}\n" for line in script.strip().splitlines())
    box.file("train.yaml", "name: train\nsteps:\n  train:\n"
             f"    retry: {retry}\n    checkpoint: {checkpoint}\n    run: |\n      . ./trainer.sh\n{lines}")


def given(box):
    """What each attempt was told to resume from."""
    return [tuple((line.split(" ", 1) + [""])[:2]) for line in box.lines("given")]


def folder(box):
    return box.read("dir").strip()


def path(box, step):
    return os.path.join(folder(box), f"step-{step:06}.ckpt")


def ledger(box):
    """The newest entry of each name."""
    return {row["name"]: row for row in box.json("checkpoints", "train/1", "train")["checkpoints"]}


def all_said(box, result):
    """What a person sees who looks where one looks."""
    return result.text + box.stoker("checkpoints", "train/1", "train", code=0).text


FIRST_FAILS = """
if [ "$STOKER_ATTEMPT" = 1 ]; then
	save; save; save
	exit 1
fi
save
"""


def first_then_retry(box, spoil, resumed, said):
    """Three checkpoints and a failure; `spoil` them; a retry by hand resumes from `resumed` and says why."""
    dag(box, FIRST_FAILS)
    box.stoker("run", "train.yaml", code=1)
    equal({name: row["state"] for name, row in ledger(box).items()},
          {f"step-{n:06}.ckpt": "good" for n in (1, 2, 3)}, "the ledger after the first attempt")
    spoil()
    result = box.stoker("retry", "train/1", code=0)
    equal(given(box), [("1", ""), ("2", resumed)], "what the attempts were given")
    attempt = box.attempts("train/1", "train")[-1]
    equal((attempt["state"], attempt["resumed_from"] or ""), ("succeeded", resumed), "the second attempt")
    text = all_said(box, result)
    for part in said:
        has(text, part, "what is said about it")
    if resumed:
        has(text, resumed, "what is said about the one used instead")


@story("without any fault the newest checkpoint is resumed from")
def newest(box: Sandbox):
    first_then_retry(box, lambda: None, "step-000003.ckpt", [])


@story("a truncated newest checkpoint is passed over, and it is said which one was used instead and why")
def truncated(box: Sandbox):
    first_then_retry(box, lambda: os.truncate(path(box, 3), 1000), "step-000002.ckpt", ["step-000003.ckpt"])
    rows = box.json("checkpoints", "train/1", "train")["checkpoints"]
    broken = [row for row in rows if row["name"] == "step-000003.ckpt" and row["attempt"] == 1]
    equal([row["state"] for row in broken], ["broken"], "the truncated one in the ledger")
    check(broken[0]["message"], "with the reason")


def flip(name):
    with open(name, "r+b") as file:
        file.seek(4321)
        byte = file.read(1)[0]
        file.seek(4321)
        file.write(bytes([byte ^ 0x10]))


@story("one flipped bit in the newest checkpoint is noticed, and the one before it is used")
def flipped(box: Sandbox):
    first_then_retry(box, lambda: flip(path(box, 3)), "step-000002.ckpt", ["step-000003.ckpt"])


@story("of three checkpoints, the newest gone and the next one flipped, the oldest is used")
def two_bad(box: Sandbox):
    def spoil():
        os.unlink(path(box, 3))
        flip(path(box, 2))

    first_then_retry(box, spoil, "step-000001.ckpt", ["step-000003.ckpt", "step-000002.ckpt"])


@story("when no checkpoint is good any more the retry starts from zero and says so")
def none_left(box: Sandbox):
    def spoil():
        for step in (1, 2, 3):
            os.truncate(path(box, step), 10)

    first_then_retry(box, spoil, "", ["step-000003.ckpt", "step-000002.ckpt", "step-000001.ckpt"])


@story("with `resume: required` a retry without a good checkpoint does not start")
def required(box: Sandbox):
    dag(box, FIRST_FAILS, checkpoint="{keep: 10, resume: required}")
    box.stoker("run", "train.yaml", code=1)
    for step in (1, 2, 3):
        flip(path(box, step))
    result = box.stoker("retry", "train/1", code=1)
    equal(given(box), [("1", "")], "only the first attempt ever ran")
    equal(box.attempts("train/1", "train")[-1]["reason"], "not_started", "why the second one ended")
    has(result.text + box.stoker("why", "train/1", "train", code=0).out, "checkpoint", "what is said")


@story("a checkpoint that was half written when its writer was killed is passed over")
def half_written(box: Sandbox):
    dag(box, """
if [ "$STOKER_ATTEMPT" = 1 ]; then
	save; save
	content 3 | head -c 5000 >"$STOKER_CHECKPOINT_DIR/step-000003.ckpt"
	kill -9 $$
fi
save
""", retry="{max: 1, backoff: 1s}")
    result = box.stoker("run", "train.yaml", code=0)
    equal(given(box), [("1", ""), ("2", "step-000002.ckpt")], "what the attempts were given")
    text = all_said(box, result)
    has(text, "step-000003.ckpt", "what is said about it")
    has(text, "step-000002.ckpt", "what is said about the one used instead")


@story("names that say `unfinished` never count, however long they lie there")
def unfinished(box: Sandbox):
    dag(box, """
if [ "$STOKER_ATTEMPT" = 1 ]; then
	save
	for end in tmp partial incomplete; do
		content 9 >"$STOKER_CHECKPOINT_DIR/step-000009.ckpt.$end"
	done
	sleep 2
	exit 1
fi
save
""", retry="{max: 1, backoff: 1s}", checkpoint="{keep: 10, settle: 1s}")
    box.stoker("run", "train.yaml", code=0)
    equal(given(box), [("1", ""), ("2", "step-000001.ckpt")], "what the attempts were given")
    equal([name for name in ledger(box) if "000009" in name], [], "in the ledger")


@story("a file written in place counts when it was closed and left alone for `settle`")
def settled(box: Sandbox):
    dag(box, """
if [ "$STOKER_ATTEMPT" = 1 ]; then
	content 7 >"$STOKER_CHECKPOINT_DIR/step-000007.ckpt"
	while ! test -e seen; do sleep 0.05; done
	exit 1
fi
""", retry="{max: 1, backoff: 1s}", checkpoint="{settle: 1s}")
    stoker = box.start("run", "train.yaml")
    wait_for(lambda: box.has_run("train/1") and ledger(box).get("step-000007.ckpt", {}).get("state") == "good",
             "it is good in the ledger")
    box.file("seen", "")
    equal(stoker.wait(), 0, f"exit status:\n{stoker.text}")
    equal(given(box), [("1", ""), ("2", "step-000007.ckpt")], "what the attempts were given")


@story("a checkpoint that two attempts died on is quarantined, and the one before it is used")
def quarantined(box: Sandbox):
    dag(box, """
if [ "$STOKER_ATTEMPT" = 1 ]; then
	save; save; save
	exit 1
fi
if [ "$n" = 3 ]; then
	exit 1
fi
n=10
save
""", retry="{max: 5, backoff: 1s, max_backoff: 1s}")
    box.stoker("run", "train.yaml", code=0)
    equal(given(box), [("1", ""), ("2", "step-000003.ckpt"), ("3", "step-000003.ckpt"), ("4", "step-000002.ckpt")],
          "what the attempts were given")
    row = ledger(box)["step-000003.ckpt"]
    check(row["state"] in ("quarantined", "removed") and row["deaths"] == 2, f"the one they died on: {row}")
    has(box.stoker("run", "--resume", "train/1").text + json.dumps(box.json("events")), "quarantin", "it is told")


@story("`keep` leaves that many, the newest ones")
def keep(box: Sandbox):
    dag(box, "save; save; save; save; save; sleep 1", checkpoint="{keep: 2}")
    box.stoker("run", "train.yaml", code=0)
    rows = ledger(box)
    equal(sorted(name for name, row in rows.items() if row["state"] == "good"),
          ["step-000004.ckpt", "step-000005.ckpt"], "good ones in the ledger")
    equal(len(rows), 5, "all that ever were, in the ledger")
    left = [name for name in os.listdir(folder(box))] if os.path.isdir(folder(box)) else []
    check(not set(left) - {"step-000004.ckpt", "step-000005.ckpt"}, f"files left: {left}")


@story("exit code 85 starts the step again from its checkpoint and costs no retry")
def checkpointed(box: Sandbox):
    dag(box, """
save
if [ "$n" -lt 4 ]; then
	exit 85
fi
""", retry="{max: 0}")
    box.stoker("run", "train.yaml", code=0)
    equal(given(box), [("1", ""), ("2", "step-000001.ckpt"), ("3", "step-000002.ckpt"), ("4", "step-000003.ckpt")],
          "what the attempts were given")
    equal([a["reason"] for a in box.attempts("train/1", "train")][:3], ["checkpointed"] * 3, "why they ended")


@story("progress is never punished: each new checkpoint starts the count of retries anew")
def progress(box: Sandbox):
    dag(box, """
save
if [ "$n" -lt 5 ]; then
	exit 3
fi
""", retry="{max: 1, backoff: 1s, max_backoff: 1s}")
    box.stoker("run", "train.yaml", code=0)
    equal([a["exit_code"] for a in box.attempts("train/1", "train")], [3, 3, 3, 3, 0], "how the attempts ended")


@story("without progress the retries come to an end")
def no_progress(box: Sandbox):
    dag(box, "exit 3", retry="{max: 2, backoff: 1s, max_backoff: 1s}")
    box.stoker("run", "train.yaml", code=1)
    equal([a["exit_code"] for a in box.attempts("train/1", "train")], [3, 3, 3], "how the attempts ended")
    has(box.stoker("why", "train/1", code=0).out, "exit code 3", "why")


@story("what lay in a program's own checkpoint folder before the task began does not count")
def own_folder(box: Sandbox):
    box.file("mine/step-000099.ckpt", "99\n")
    dag(box, """
if [ "$STOKER_ATTEMPT" = 1 ]; then
	test "$STOKER_CHECKPOINT_DIR" = "$PWD/mine"
	save
	exit 1
fi
save
""", retry="{max: 1, backoff: 1s}", checkpoint="{dir: mine}")
    box.stoker("run", "train.yaml", code=0)
    equal(given(box), [("1", ""), ("2", "step-000001.ckpt")], "what the attempts were given")
    check(box.exists("mine/step-000099.ckpt"), "what was there before is left alone")


@story("of folders as Hugging Face writes them, one without its trainer_state.json is not complete")
def hugging_face(box: Sandbox):
    header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    box.file("model.safetensors", len(header).to_bytes(8, "little") + header + bytes(8))
    dag(box, """
if [ "$STOKER_ATTEMPT" = 1 ]; then
	for step in 500 1000; do
		mkdir "$STOKER_CHECKPOINT_DIR/checkpoint-$step"
		cp model.safetensors "$STOKER_CHECKPOINT_DIR/checkpoint-$step/"
		test $step = 1000 || echo '{"global_step": 500}' >"$STOKER_CHECKPOINT_DIR/checkpoint-$step/trainer_state.json"
	done
	sleep 3
	exit 1
fi
test -d "$STOKER_RESUME_FROM"
""", retry="{max: 1, backoff: 1s}", checkpoint="{settle: 1s}")
    box.file("trainer.sh", TRAINER.replace('n=$(head -n 1 "$STOKER_RESUME_FROM")', "n=0"))
    result = box.stoker("run", "train.yaml", code=0)
    equal(given(box), [("1", ""), ("2", "checkpoint-500")], "what the attempts were given")
    row = ledger(box)["checkpoint-500"]
    equal((row["format"], row["step"]), ("huggingface", 500), "as the ledger has it")
    has(all_said(box, result), "trainer_state.json", "what is said about the one that is not complete")


if __name__ == "__main__":
    main()
