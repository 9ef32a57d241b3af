/*
 * overview.js - the morning look: what needs somebody, and each DAG a line
 */
import {get} from "./api.js";
import {age, badge, count, diagnostics, fill, h, link, part, row, runLink, table, time, took} from "./dom.js";
import {marks} from "./charts.js";

const RUNS = 14;
const HEADS = ["DAG", "Last runs", "State", "Next due", "Last success"];

function newest(dag) {
	return dag.latest.find((run) => run.state !== "queued" && run.state !== "running");
}

export function stateOf(dag) {
	const active =
		dag.latest.find((run) => run.state === "running") || dag.latest.find((run) => run.state === "queued");

	if (!dag.in_force && dag.problem !== null) return "broken";
	if (active !== undefined) return active.state;
	return newest(dag)?.state || "idle";
}

/* --- what needs somebody -------------------------------------------------------------------------------- */

/* A file that defines no DAG goes by its own name, which may be none that a DAG can have: then it has no page. */
const hasPage = (name) => /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(name);

function dagLink(dag) {
	return hasPage(dag.dag) ? link(dag.dag, "dags", dag.dag) : h("strong", null, dag.dag);
}

function dagTroubles(dag) {
	const last = newest(dag),
		list = [];
	const name = () => dagLink(dag);

	if (last?.state === "failed")
		list.push([
			0,
			"failed",
			[link(`${dag.dag}/${last.number}`, "runs", dag.dag, last.number), " failed ", age(last.ended)],
		]);
	if (dag.problem !== null)
		list.push([
			1,
			"broken",
			[
				name(),
				dag.in_force
					? " has a new file that is wrong; the one before is in force: "
					: " has a file that is wrong: ",
				hasPage(dag.dag)
					? h("code", null, dag.problem.split("\n")[0])
					: diagnostics(dag.problem),
			],
		]);
	if (dag.late_since !== null && !dag.paused)
		list.push([2, "late", [name(), " is late: it had not succeeded by ", time(dag.late_since)]]);
	if (dag.paused)
		list.push([
			5,
			"paused",
			[name(), ` is paused by ${dag.paused_by || "somebody"} `, age(dag.paused_since)],
		]);
	return list;
}

function workerTroubles(worker) {
	const name = () => link(worker.worker, "workers");

	if (
		worker.state === "ok" ||
		worker.state === "not configured" ||
		(worker.state === "never connected" && worker.trouble === null)
	)
		return [];
	if (worker.state === "draining")
		return [[5, "paused", [name(), ` is draining, by ${worker.drained_by || "somebody"}`]]];
	return [
		[
			3,
			"unreachable",
			[
				name(),
				worker.aside !== null
					? ` is set aside: ${worker.aside}`
					: [
							" cannot be reached ",
							age(worker.trouble_since),
							worker.trouble === null ? "" : `: ${worker.trouble}`,
						],
			],
		],
	];
}

function daemonTroubles(health) {
	return health.problems.map((text) => [0, "broken", `stoker itself: ${text}`]);
}

function orphanTroubles(run) {
	return run.orphaned ? [[4, "lost", [runLink(run.run), " is to go on, and nobody drives it"]]] : [];
}

function troubles(data) {
	return [
		...daemonTroubles(data.health),
		...data.dags.flatMap(dagTroubles),
		...data.workers.flatMap(workerTroubles),
		...data.active.flatMap(orphanTroubles),
	].sort((a, b) => a[0] - b[0]);
}

/* --- the lines ------------------------------------------------------------------------------------------ */

function lineOf(dag) {
	const state = stateOf(dag);
	const running = dag.latest.find((run) => run.state === "running");

	return row(HEADS, [
		[
			dagLink(dag),
			dag.description === null ? null : h("div", {class: "muted about"}, dag.description),
		],
		[marks(dag.dag, dag.latest, RUNS)],
		[
			badge(state),
			running === undefined ? null : [" ", took(running.started, null)],
			dag.active > 1 ? ` +${dag.active - 1}` : null,
			dag.paused ? [" ", badge("paused")] : null,
		],
		[
			dag.paused
				? h("span", {class: "muted"}, "paused")
				: age(dag.next_due) || h("span", {class: "muted"}, "not scheduled"),
		],
		[age(dag.last_success) || h("span", {class: "muted"}, "never")],
	]);
}

/* A line is built anew only when something in it changed. */
function lines(body, dags, kept) {
	const rows = dags.map((dag) => {
		const key = JSON.stringify(dag);
		const old = kept.get(dag.dag);

		if (old?.key === key) return old.element;
		const element = lineOf(dag);

		kept.set(dag.dag, {key, element});
		return element;
	});

	if (rows.length !== body.children.length || rows.some((element, i) => element !== body.children[i]))
		body.replaceChildren(...rows);
}

/* A server that is not well says so with the status 503, which is no reason to show nothing. */
async function healthOf(signal) {
	const response = await fetch("/healthz", {signal});
	const health = response.headers.get("Content-Type") === "application/json" ? await response.json() : {};

	return {problems: health.problems || []};
}

export function overview() {
	const tally = h("p", {class: "tally", role: "status"});
	const needs = part("Needs somebody", {class: "needs"});
	const all = part("DAGs");
	const filter = h("input", {
		type: "search",
		id: "dag-filter",
		placeholder: "Filter by name",
		"aria-label": "Filter DAGs by name",
	});
	const holder = table("DAGs", HEADS, [], {class: "lines stacked"});
	const body = holder.querySelector("tbody");
	const kept = new Map();
	let shown = [];

	function showLines() {
		const wanted = filter.value.toLowerCase();

		lines(
			body,
			shown.filter((dag) => dag.dag.toLowerCase().includes(wanted)),
			kept
		);
	}
	filter.addEventListener("input", showLines);

	return {
		title: "Overview",
		elements: [tally, needs.element, all.element],
		filter: "",
		concerns: (kind) => ["run.changed", "worker.changed", "dag.changed"].includes(kind),
		async load(signal) {
			const [health, dags, workers, status] = await Promise.all([
				healthOf(signal),
				get(`/dags?limit=${RUNS}`, signal),
				get("/workers", signal),
				get("/status?limit=1", signal),
			]);

			return {health, dags: dags.dags, workers: workers.workers, active: status.active};
		},
		show(data) {
			const found = troubles(data);
			const running = data.active.filter((run) => run.state === "running").length;

			tally.className = `tally ${found.some(([rank]) => rank < 4) ? "is-bad" : "is-good"}`;
			fill(tally, `${found.length} ${running} ${data.dags.length}`, () => [
				h(
					"strong",
					null,
					found.length === 0
						? "All is well."
						: `${count(found.length, "thing needs", "things need")} somebody.`
				),
				` ${count(data.dags.length, "DAG")}, ${count(running, "run")} going on, ${data.active.length - running} queued.`,
			]);
			if (found.length === 0) needs.hide();
			else
				needs.fill(
					JSON.stringify(
						found.map(([, kind, nodes]) => [
							kind,
							nodes.flat().map((node) => node?.textContent ?? node),
						])
					),
					() =>
						h(
							"ul",
							{class: "troubles"},
							found
								.slice(0, 100)
								.map(([, kind, nodes]) =>
									h("li", null, badge(kind), " ", h("span", null, nodes))
								)
						)
				);
			shown = data.dags;
			all.fill(data.dags.length === 0 ? "none" : "some", () =>
				data.dags.length === 0
					? h("p", {class: "muted"}, "There are none yet: put a file into the folder of the DAGs.")
					: [data.dags.length > 10 ? filter : null, holder]
			);
			showLines();
		},
	};
}
