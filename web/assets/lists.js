/*
 * lists.js - the pages that are lists: runs, workers with the pools, events
 */
import {get, path} from "./api.js";
import {changeButton} from "./dialogs.js";
import {age, badge, bytes, count, fill, h, link, part, place, row, runLink, table, time, took} from "./dom.js";
import {eventTable} from "./run.js";

const PAGE = 100;
const STATES = ["queued", "running", "succeeded", "failed", "canceled"];

/* --- runs ----------------------------------------------------------------------------------------------- */

const RUN_HEADS = ["Run", "State", "Why", "Started", "Took", "By", "Parameters"];

function runTable(runs) {
	return table(
		"Runs",
		RUN_HEADS,
		runs.map((run) =>
			row(RUN_HEADS, [
				runLink(run.run),
				[badge(run.state), run.orphaned ? [" ", badge("lost", "nobody drives it")] : null],
				run.state === "succeeded" ? "" : (run.reason ?? ""),
				time(run.started) || "not yet",
				took(run.started, run.ended) || "",
				`${run.trigger}${run.actor === "" ? "" : `, ${run.actor}`}`,
				Object.entries(run.params)
					.slice(0, 6)
					.map(([key, value]) => h("code", {class: "param"}, `${key}=${value}`.slice(0, 60))),
			])
		),
		{class: "stacked"}
	);
}

export function runsPage(query) {
	const list = part("Runs");
	const wanted = new URLSearchParams(query);
	const dag = wanted.get("dag");
	const state = h(
		"select",
		{
			id: "run-state",
			onchange: () => {
				const next = new URLSearchParams(wanted);

				next.delete("before");
				if (state.value === "") next.delete("state");
				else next.set("state", state.value);
				location.hash = `${place("runs")}?${next}`;
			},
		},
		h("option", {value: ""}, "all states"),
		STATES.map((name) => h("option", {value: name, selected: name === wanted.get("state")}, name))
	);
	const bar = h(
		"p",
		{class: "actions"},
		h("label", {for: "run-state"}, "State"),
		state,
		dag === null ? null : [` of ${dag} `, h("a", {href: "#/runs"}, "of all DAGs")]
	);

	return {
		title: dag === null ? "Runs" : `Runs of ${dag}`,
		elements: [bar, list.element],
		filter: dag === null ? "" : `dag=${encodeURIComponent(dag)}`,
		concerns: (kind) => kind === "run.changed",
		load(signal) {
			const asked = new URLSearchParams({limit: PAGE});

			for (const name of ["dag", "state", "before"])
				if (wanted.get(name) !== null) asked.set(name, wanted.get(name));
			return get(`/runs?${asked}`, signal);
		},
		show(data) {
			const older = new URLSearchParams(wanted);

			older.set("before", data.next);
			list.fill(JSON.stringify(data), () => [
				data.runs.length === 0 ? h("p", {class: "muted"}, "There are none.") : runTable(data.runs),
				data.next === null
					? null
					: h("p", null, h("a", {href: `${place("runs")}?${older}`}, "Older runs")),
			]);
		},
	};
}

/* --- workers -------------------------------------------------------------------------------------------- */

const LOAD_MS = 10000;
const WORKER_HEADS = ["Worker", "State", "Machine", "Load", "Slots", "Runs", "Seen"];
const POOL_HEADS = ["Pool", "Used", "Held by", "Waiting"];

function reach(worker) {
	const bad = worker.state === "failing" || worker.trouble !== null;
	const sign =
		worker.state === "ok"
			? "succeeded"
			: worker.state === "draining"
				? "paused"
				: bad || worker.state === "set aside"
					? "unreachable"
					: "skipped";

	return [
		badge(
			sign,
			worker.state === "ok" ? "reachable" : worker.state === "failing" ? "not reachable" : worker.state
		),
		worker.trouble === null
			? null
			: h(
					"div",
					{class: "muted"},
					worker.trouble_since === null
						? null
						: ["since ", time(worker.trouble_since), ", ", age(worker.trouble_since), ": "],
					worker.trouble
				),
		worker.aside === null
			? null
			: h(
					"div",
					{class: "muted"},
					worker.aside,
					worker.aside_until === null ? null : [", until ", time(worker.aside_until)]
				),
		worker.drained_by === null ? null : h("div", {class: "muted"}, `drained by ${worker.drained_by}`),
	];
}

function taskLink(it) {
	const slash = it.run.lastIndexOf("/");

	return link(`${it.run} ${it.task}`, "runs", it.run.slice(0, slash), it.run.slice(slash + 1), it.task);
}

const shortDevice = (device) => (device.length > 14 ? `${device.slice(0, 12)}…` : device);

function holder(it) {
	const devices = it.devices || [];

	return h(
		"li",
		null,
		taskLink(it),
		it.state === "running" ? null : [" ", badge(it.state)],
		devices.map((device) => [" ", h("code", {title: device}, shortDevice(device))])
	);
}

function holders(list) {
	return list.length === 0
		? ""
		: h(
				"ul",
				{class: "plain"},
				list.slice(0, 20).map(holder),
				list.length > 20 ? h("li", null, `and ${list.length - 20} more`) : null
			);
}

function gpusOf(worker) {
	const held = new Set(worker.running.flatMap((it) => it.devices));

	return worker.gpus > 0 ? `${held.size} of ${count(worker.gpus, "GPU")} held` : null;
}

function machineOf(worker) {
	return [
		gpusOf(worker),
		worker.cpus === null ? null : count(worker.cpus, "CPU"),
		worker.memory_bytes === null ? null : bytes(worker.memory_bytes),
		worker.machine,
	]
		.filter((it) => it !== null)
		.join(", ");
}

const known = (value) => value !== null && value !== undefined;

/* What is left, and a picture of what is used: for the eye only, as the words say it all. */
function share(what, free, all) {
	if (!known(free) || !known(all) || all <= 0) return null;
	const used = Math.min(Math.max(1 - free / all, 0), 1);

	return h(
		"div",
		null,
		`${what}: ${bytes(free)} of ${bytes(all)} free`,
		h("meter", {value: used.toFixed(3), low: 0.8, high: 0.95, optimum: 0, "aria-hidden": "true"})
	);
}

function loadOf(worker) {
	const load = worker.load;
	const cpus = worker.cpus === null ? "" : ` on ${count(worker.cpus, "CPU")}`;

	if (!known(load)) return null;
	return [
		known(load.load1) ? h("div", null, `${load.load1.toFixed(2)}${cpus}`) : null,
		share("memory", load.memory_available_bytes, load.memory_bytes),
		share("disk", load.disk_free_bytes, load.disk_bytes),
	];
}

/* Whoever wants a machine for something else lets what runs there come to its end. */
function drainButton(worker, again) {
	const label = worker.drained_by === null ? "Drain" : "Undrain";

	return h(
		"div",
		{class: "actions"},
		changeButton(label, path`/workers/${worker.worker}/${label.toLowerCase()}`, again, {
			"aria-label": `${label} ${worker.worker}`,
		})
	);
}

function workerRow(worker, load, again) {
	return row(WORKER_HEADS, [
		[
			h("strong", null, worker.worker),
			worker.address === null ? null : h("div", {class: "muted"}, worker.address),
			worker.labels.length === 0 ? null : h("div", {class: "muted"}, worker.labels.join(", ")),
		],
		[reach(worker), worker.state === "not configured" ? null : drainButton(worker, again)],
		machineOf(worker),
		load,
		worker.slots === null
			? `${worker.running.length} used`
			: `${worker.running.length} of ${worker.slots}`,
		holders(worker.running),
		age(worker.seen) || "never",
	]);
}

function poolRow(pool) {
	return row(POOL_HEADS, [
		[
			h("strong", null, pool.pool),
			pool.description === null ? null : h("div", {class: "muted"}, pool.description),
		],
		pool.slots === null ? String(pool.used) : `${pool.used} of ${pool.slots}`,
		holders(pool.holders),
		pool.waiting === 0 ? "" : count(pool.waiting, "task"),
	]);
}

export function workersPage() {
	const workers = part("Machines"),
		pools = part("Pools");
	const loads = new Map(); /* by the name of the worker: what is in its cell */
	let again = () => {},
		timer = null;

	return {
		title: "Workers",
		elements: [workers.element, pools.element],
		filter: "",
		concerns: (kind) => kind === "worker.changed" || kind === "attempt.changed",
		/* No event tells that a machine is busier now. */
		start(refresh) {
			again = refresh;
			timer = setInterval(() => document.hidden || refresh(), LOAD_MS);
		},
		close() {
			clearInterval(timer);
		},
		async load(signal) {
			const [machines, limits] = await Promise.all([get("/workers", signal), get("/pools", signal)]);

			return {workers: machines.workers, pools: limits.pools};
		},
		show(data) {
			/* The loads change all the time: what else is in the table, buttons too, stays as it is. */
			const still = data.workers.map((worker) => ({...worker, load: null}));

			workers.fill(JSON.stringify(still), () => {
				loads.clear();
				return table(
					"Workers",
					WORKER_HEADS,
					data.workers.map((worker) => {
						loads.set(worker.worker, h("div", {class: "load"}));
						return workerRow(worker, loads.get(worker.worker), again);
					}),
					{class: "stacked"}
				);
			});
			for (const worker of data.workers)
				fill(loads.get(worker.worker), JSON.stringify([worker.load, worker.cpus]), () => loadOf(worker));
			if (data.pools.length === 0) pools.hide();
			else
				pools.fill(JSON.stringify(data.pools), () =>
					table("Pools", POOL_HEADS, data.pools.map(poolRow), {class: "stacked"})
				);
		},
	};
}

/* --- events --------------------------------------------------------------------------------------------- */

export function eventsPage(query) {
	const list = part("The audit trail, newest first");
	const before = new URLSearchParams(query).get("before");

	return {
		title: "Events",
		elements: [list.element],
		filter: "",
		concerns: (kind) => kind === "event.added" || kind === "run.changed",
		load(signal) {
			const asked = new URLSearchParams({limit: 2 * PAGE});

			if (before !== null) asked.set("before", before);
			return get(`/events?${asked}`, signal);
		},
		show(data) {
			list.fill(JSON.stringify(data), () => [
				data.events.length === 0
					? h("p", {class: "muted"}, before === null ? "Nothing has happened yet." : "There is nothing older.")
					: eventTable(data.events, true),
				data.next === null
					? null
					: h("p", null, h("a", {href: `${place("events")}?before=${data.next}`}, "Older events")),
			]);
		},
	};
}
