/*
 * task.js - one task of a run: its attempts, its log, its curves, its checkpoints
 */
import {get, path} from "./api.js";
import {
	badge,
	bytes,
	duration,
	facts,
	fill,
	h,
	number as inNumber,
	part,
	row,
	table,
	time,
	took,
} from "./dom.js";
import {curves} from "./charts.js";
import {askRetry} from "./dialogs.js";
import {Log} from "./log.js";

const POINTS = 500;
const ATTEMPT_HEADS = [
	"Attempt",
	"State",
	"Why",
	"Exit",
	"On",
	"Started",
	"Took",
	"Resumed from",
	"CPU",
	"Memory at most",
];
const CHECKPOINT_HEADS = ["Checkpoint", "Step", "State", "Written by", "When", "Size", "Note"];

function exitOf(attempt) {
	if (attempt.signal !== null) return `signal ${attempt.signal}`;
	return attempt.exit_code === null ? "" : String(attempt.exit_code);
}

function whyOf(attempt) {
	const since =
		attempt.unreachable_since === null || attempt.ended !== null
			? ""
			: ["not reachable since ", time(attempt.unreachable_since)];

	return since || attempt.message || (attempt.reason === null ? "" : attempt.reason.replace("_", " "));
}

function attemptTable(task, chosen, choose) {
	return table(
		"Attempts",
		ATTEMPT_HEADS,
		[...task.attempts].reverse().map((attempt) =>
			row(ATTEMPT_HEADS, [
				h(
					"button",
					{
						type: "button",
						class: "small",
						id: `attempt-${attempt.number}`,
						"aria-pressed": String(attempt.number === chosen),
						title: "Show its log",
						onclick: () => choose(attempt.number),
					},
					`#${attempt.number}`
				),
				badge(attempt.state),
				whyOf(attempt),
				exitOf(attempt),
				attempt.worker,
				time(attempt.started) || "",
				took(attempt.started, attempt.ended) || "",
				attempt.resumed_from ?? "",
				attempt.cpu_ms > 0 ? duration(attempt.cpu_ms) : "",
				attempt.rss_peak_bytes > 0 ? bytes(attempt.rss_peak_bytes) : "",
			])
		),
		{class: "stacked"}
	);
}

function checkpointTable(list) {
	return table(
		"Checkpoints",
		CHECKPOINT_HEADS,
		[...list]
			.reverse()
			.map((it) =>
				row(CHECKPOINT_HEADS, [
					h("code", {title: it.digest}, it.name),
					it.step ?? "",
					badge(
						it.state === "good"
							? "succeeded"
							: it.state === "bad" || it.state === "suspect"
								? "failed"
								: "skipped",
						it.state
					),
					`attempt ${it.attempt}${it.worker ? ` on ${it.worker}` : ""}`,
					time(it.created),
					bytes(it.bytes),
					[
						it.deaths > 0 ? `${it.deaths} died after it` : "",
						it.brought ? `brought to ${it.brought}` : "",
						it.copy ? "copied here" : "",
						it.message,
					]
						.filter((text) => text !== "")
						.join("; "),
				])
			),
		{class: "stacked"}
	);
}

function headOf(task, why) {
	const outputs = Object.entries(task.outputs);

	return [
		h("p", {class: "why"}, badge(task.state), " ", why.why),
		why.next === null ? null : h("p", {class: "muted"}, "On a command line: ", h("code", null, why.next)),
		facts([
			[
				"Needs",
				task.needs === null || task.needs.length === 0 ? null : task.needs.slice(0, 50).join(", "),
			],
			["Started", time(task.started)],
			["Ended", time(task.ended)],
			["Took", took(task.started, task.ended)],
			["Not before", task.ended === null ? time(task.not_before) : null],
			[
				"Outputs",
				outputs.length === 0
					? null
					: h(
							"ul",
							{class: "params"},
							outputs.map(([key, value]) => h("li", null, h("code", null, `${key}=${value}`)))
						),
			],
			[
				"Last metric",
				task.metric === null || typeof task.metric !== "object"
					? null
					: h(
							"ul",
							{class: "params"},
							Object.entries(task.metric)
								.slice(0, 30)
								.map(([key, value]) =>
									h(
										"li",
										null,
										h(
											"code",
											null,
											`${key}=${typeof value === "number" ? inNumber(value) : String(value)}`
										)
									)
								)
						),
			],
		]),
	];
}

export function taskPage(dag, number, name, query) {
	const head = h("div", {class: "head"});
	const actions = h("div", {class: "actions"});
	const parts = {
		attempts: part("Attempts"),
		log: part("Log"),
		curves: part("Metrics"),
		checkpoints: part("Checkpoints"),
	};
	const base = path`/runs/${dag}/${number}/tasks/${name}`;
	let chosen = Number(query.get("attempt")) || 0,
		log = null,
		shownAttempt = -1,
		task = null,
		runState = "",
		again = () => {};

	/* The one that was chosen, else the latest; a newer attempt takes its place when nobody chose. */
	function showLog() {
		const attempt = chosen || task.attempts.length;

		if (attempt === shownAttempt) return;
		shownAttempt = attempt;
		log?.close();
		log =
			attempt === 0
				? null
				: new Log(
						path`/runs/${dag}/${number}/tasks/${name}/attempts/${attempt}/log`,
						`Log of attempt ${attempt}`
					);
		parts.log.fill(`${attempt}`, () =>
			log === null ? h("p", {class: "muted"}, "It has not been started.") : log.element
		);
		log?.showTail();
	}
	function choose(attempt) {
		chosen = attempt;
		showAttempts();
		showLog();
	}
	function showAttempts() {
		parts.attempts.fill(JSON.stringify([task.attempts, chosen || task.attempts.length]), () =>
			task.attempts.length === 0
				? h("p", {class: "muted"}, "There is none yet.")
				: attemptTable(task, chosen || task.attempts.length, choose)
		);
	}

	return {
		title: name,
		heading: `${name} of ${dag}/${number}`,
		crumbs: [
			["DAGs", ""],
			[dag, "dags", dag],
			[`${dag}/${number}`, "runs", dag, number],
		],
		elements: [head, actions, ...Object.values(parts).map((it) => it.element)],
		filter: `run=${encodeURIComponent(`${dag}/${number}`)}`,
		concerns: (kind, event) => kind === "again" || kind === "run.changed" || event.task === name,
		start(refresh) {
			again = refresh;
		},
		async load(signal) {
			const [it, why, checkpoints, metrics, runWhy] = await Promise.all([
				get(base, signal),
				get(`${base}/why`, signal),
				get(`${base}/checkpoints`, signal),
				get(`${base}/metrics?limit=${POINTS}`, signal),
				get(path`/runs/${dag}/${number}/why`, signal),
			]);

			return {it, why, checkpoints: checkpoints.checkpoints, metrics, runState: runWhy.state};
		},
		show({it, why, checkpoints, metrics, runState: state}) {
			task = it;
			runState = state;
			fill(head, JSON.stringify([{...task, attempts: null}, why]), () => headOf(task, why));
			fill(actions, runState, () =>
				["queued", "running"].includes(runState)
					? null
					: h(
							"button",
							{
								type: "button",
								id: "retry",
								onclick: async () => {
									if ((await askRetry(dag, number, [name], name)) !== null) again();
								},
							},
							"Retry from here"
						)
			);
			showAttempts();
			showLog();
			if (metrics.metrics.length === 0) parts.curves.hide();
			else
				parts.curves.fill(JSON.stringify([metrics, checkpoints.length]), () => [
					curves(metrics.metrics, checkpoints),
					metrics.thinned
						? h("p", {class: "muted"}, "Thinned out: there are more lines than points here.")
						: null,
				]);
			if (checkpoints.length === 0) parts.checkpoints.hide();
			else parts.checkpoints.fill(JSON.stringify(checkpoints), () => checkpointTable(checkpoints));
		},
		close: () => log?.close(),
	};
}
