/*
 * run.js - one run: why it is as it is, its graph, when each task ran, its tasks, what is done about it
 *
 * Live events change the states at once; times and attempts come with the next reading. Of a run of thousands
 * of tasks that reading is large, and app.js spaces it out.
 */
import {get, path} from "./api.js";
import {age, badge, facts, fill, h, link, part, place, row, runLink, table, time, took} from "./dom.js";
import {gantt, ganttLegend} from "./charts.js";
import {graphOf} from "./graph.js";
import {askCancel, askRetry} from "./dialogs.js";

const TASK_HEADS = ["Task", "State", "Why", "Attempts", "Started", "Took", "On"];
const ROWS = 50;
const LARGE = 2000;
const LARGE_REST_MS = 30000;
const ORDER = [
	"failed",
	"retrying",
	"stopping",
	"running",
	"starting",
	"ready",
	"upstream_failed",
	"canceled",
	"waiting",
	"skipped",
	"succeeded",
];
const ACTIVE = ["queued", "running"];

function lastOf(task) {
	return task.attempts.at(-1);
}

function stateOf(task) {
	return lastOf(task)?.state === "unreachable" ? "unreachable" : task.state;
}

function whyOf(task) {
	const last = lastOf(task);

	if (task.state === "succeeded") return "";
	if (task.message !== "") return task.message;
	if (last?.message) return last.message;
	if (task.not_before !== null && task.state === "retrying") return ["again ", age(task.not_before)];
	return task.reason === null ? "" : task.reason.replace("_", " ");
}

/* --- tasks ---------------------------------------------------------------------------------------------- */

function taskRow(run, task) {
	const resumed = task.attempts.filter((attempt) => attempt.resumed_from !== null).length;

	return row(TASK_HEADS, [
		link(task.task, "runs", run.dag, run.number, task.task),
		badge(stateOf(task)),
		whyOf(task),
		task.attempts.length === 0
			? ""
			: `${task.attempts.length}${resumed > 0 ? `, ${resumed} resumed` : ""}`,
		time(task.started) || "",
		took(task.started, task.ended) || "",
		lastOf(task)?.worker || "",
	]);
}

/* The table of tasks with a filter; what needs looking at stands first where there are many. */
function taskTable() {
	const filter = h("input", {
		type: "search",
		id: "task-filter",
		placeholder: "Filter by name",
		"aria-label": "Filter tasks by name",
	});
	const state = h("select", {id: "task-state", "aria-label": "Filter tasks by state"});
	const more = h("button", {type: "button", id: "task-more"});
	const holder = table("Tasks", TASK_HEADS, [], {class: "stacked"});
	const bar = h("p", {class: "actions"}, filter, state);
	const body = holder.querySelector("tbody");
	let run = null,
		tasks = [],
		limit = ROWS,
		key = "";

	function draw() {
		const wanted = filter.value.toLowerCase();
		const found = tasks.filter(
			(task) =>
				task.task.toLowerCase().includes(wanted) &&
				(state.value === "" || stateOf(task) === state.value)
		);
		const shown = found.slice(0, limit);
		const now = JSON.stringify([shown, found.length]);

		more.hidden = found.length <= limit;
		more.textContent = `Show more of ${found.length}`;
		bar.hidden = tasks.length <= 10;
		if (now !== key) fill(body, now, () => shown.map((task) => taskRow(run, task)));
		key = now;
	}
	function states() {
		const counts = new Map();

		for (const task of tasks) counts.set(stateOf(task), (counts.get(stateOf(task)) || 0) + 1);
		const key = JSON.stringify([...counts]),
			chosen = state.value;

		if (state.filledWith === key) return;
		fill(state, key, () => [
			h("option", {value: ""}, "all states"),
			[...counts].map(([name, n]) => h("option", {value: name}, `${name.replace("_", " ")} (${n})`)),
		]);
		state.value = counts.has(chosen) ? chosen : "";
	}
	filter.addEventListener("input", draw);
	state.addEventListener("change", draw);
	more.addEventListener("click", () => {
		limit += 10 * ROWS;
		draw();
	});
	return {
		elements: [bar, holder, more],
		show(ofRun, all) {
			run = ofRun;
			tasks =
				all.length <= ROWS
					? all
					: [...all].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
			states();
			draw();
		},
	};
}

/* --- the head ------------------------------------------------------------------------------------------- */

function tallyOf(tasks) {
	const counts = new Map();

	for (const task of tasks) counts.set(stateOf(task), (counts.get(stateOf(task)) || 0) + 1);
	return [...counts]
		.sort((a, b) => ORDER.indexOf(a[0]) - ORDER.indexOf(b[0]))
		.map(([state, n]) => [badge(state, `${n} ${state.replace("_", " ")}`), " "]);
}

export function paramsOf(params) {
	const names = Object.keys(params);

	return names.length === 0
		? null
		: h(
				"ul",
				{class: "params"},
				names.map((name) => h("li", null, h("code", null, `${name}=${params[name]}`)))
			);
}

/* "root (control socket)", "schedule, stoker (daemon)" */
function starterOf(run) {
	const actor = run.trigger === "manual" ? run.actor || "somebody" : run.trigger;
	const by = run.trigger === "manual" || run.actor === "" ? "" : `, ${run.actor}`;

	return `${actor}${by}${run.origin === "" ? "" : ` (${run.origin})`}`;
}

function factsOf(run, why) {
	return [
		h("p", {class: "why"}, badge(run.state), " ", why.why),
		why.next === null ? null : h("p", {class: "muted"}, "On a command line: ", h("code", null, why.next)),
		facts([
			["Started by", starterOf(run)],
			["Due", time(run.scheduled_for)],
			["Created", time(run.created)],
			["Started", time(run.started)],
			["Ended", time(run.ended)],
			["Took", took(run.started, run.ended)],
			["Cancel asked", time(run.cancel_requested)],
			["Parameters", paramsOf(run.params)],
			["Tasks", tallyOf(run.tasks)],
		]),
	];
}

/* --- the whole ------------------------------------------------------------------------------------------ */

export function runPage(dag, number) {
	const head = h("div", {class: "head"});
	const actions = h("div", {class: "actions"});
	const parts = {
		graph: part("Graph"),
		tasks: part("Tasks"),
		gantt: part("Time"),
		events: part("What happened"),
	};
	const list = taskTable();
	let run = null,
		byName = new Map(),
		graph = null,
		steps = "",
		dirty = null,
		again = () => {};

	function open(name) {
		location.hash = place("runs", dag, number, name);
	}
	async function after(done) {
		if ((await done) !== null) again();
	}
	function showActions() {
		const active = ACTIVE.includes(run.state);

		fill(actions, `${run.state}${run.cancel_requested}`, () => [
			active
				? h(
						"button",
						{type: "button", id: "cancel", onclick: () => after(askCancel(dag, number))},
						run.cancel_requested === null ? "Cancel" : "Cancel again"
					)
				: null,
			active
				? null
				: h(
						"button",
						{
							type: "button",
							id: "retry",
							onclick: () =>
								after(
									askRetry(
										dag,
										number,
										run.tasks.map((task) => task.task)
									)
								),
						},
						"Retry"
					),
		]);
	}
	function nodes() {
		return run.tasks.map((task) => ({
			name: task.task,
			needs: task.needs || [],
			state: stateOf(task),
			note: [task.attempts.length > 1 ? `${task.attempts.length} attempts` : "", task.message]
				.filter((text) => text !== "")
				.join("\n"),
		}));
	}
	function showTasks() {
		const shape = JSON.stringify(run.tasks.map((task) => [task.task, task.needs]));

		if (shape !== steps) parts.graph.fill(shape, () => (graph = graphOf(nodes(), open)).element);
		else graph.show(nodes());
		steps = shape;
		parts.tasks.fill("table", () => list.elements);
		list.show(run, run.tasks);
	}

	function showStates() {
		dirty = null;
		graph.show(nodes());
		list.show(run, run.tasks);
	}

	return {
		title: `${dag}/${number}`,
		crumbs: [
			["DAGs", ""],
			[dag, "dags", dag],
		],
		elements: [head, actions, ...Object.values(parts).map((it) => it.element)],
		filter: `run=${encodeURIComponent(`${dag}/${number}`)}`,
		concerns: (kind) => kind !== "metric.added" && kind !== "worker.changed",
		start(refresh) {
			again = refresh;
		},
		async load(signal) {
			const [it, why, events] = await Promise.all([
				get(path`/runs/${dag}/${number}`, signal),
				get(path`/runs/${dag}/${number}/why`, signal),
				get(`/events?limit=30&run=${encodeURIComponent(`${dag}/${number}`)}`, signal),
			]);

			return {it, why, events: events.events};
		},
		show({it, why, events}) {
			run = it;
			byName = new Map(run.tasks.map((task) => [task.task, task]));
			fill(head, JSON.stringify([{...run, tasks: null}, why, run.tasks.map(stateOf)]), () =>
				factsOf(run, why)
			);
			showActions();
			showTasks();
			if (run.started === null) parts.gantt.hide();
			else
				parts.gantt.fill(
					JSON.stringify([
						run.tasks.map((task) => [task.state, task.attempts]),
						run.ended,
						run.ended === null && Math.floor(Date.now() / 5000),
					]),
					() => [
						gantt(
							run,
							run.tasks.filter(
								(task) =>
									task.attempts.length > 0 ||
									task.started !== null ||
									task.state === "ready"
							),
							open
						),
						ganttLegend(),
					]
				);
			parts.events.fill(JSON.stringify(events), () => eventTable(events, false));
		},
		close: () => clearTimeout(dirty),
		/* All that changes in a large run comes as events; reading it again takes the server a while. */
		urgent: (kind) => kind === "run.changed",
		rest: () => (run !== null && run.tasks.length > LARGE ? LARGE_REST_MS : 0),
		/* What an event says is shown before the rest is read. */
		on(kind, event) {
			const task = kind === "task.changed" ? byName.get(event.task) : undefined;

			if (task === undefined) return;
			task.state = event.state;
			task.reason = event.reason;
			task.message = event.message || "";
			dirty ??= setTimeout(showStates, Math.min(1000, run.tasks.length / 10));
		},
	};
}

/* --- events --------------------------------------------------------------------------------------------- */

export function eventTable(events, withRun) {
	const heads = withRun
		? ["When", "What", "Run", "Detail", "Who"]
		: ["When", "What", "Task", "Detail", "Who"];

	return table(
		"Events",
		heads,
		[...events]
			.reverse()
			.map((event) =>
				row(heads, [
					time(event.at),
					h("code", null, event.kind),
					withRun
						? event.run === null
							? ""
							: [runLink(event.run), event.task === null ? "" : ` ${event.task}`]
						: `${event.task ?? ""}${event.attempt === null ? "" : `, attempt ${event.attempt}`}`,
					event.detail,
					`${event.actor}${event.origin === "" ? "" : ` (${event.origin})`}`,
				])
			),
		{class: "stacked"}
	);
}
