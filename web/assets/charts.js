/*
 * charts.js - the small drawings: marks of the last runs, a Gantt chart, curves of metrics
 *
 * Drawn as SVG by hand: each is a few rectangles and lines, and a library for them would be most of the page.
 * Every one has a label that says in words what it shows, and a table beside it says all of it.
 */
import {count, duration, h, local, number, place, s} from "./dom.js";

const MARK_WIDTH = 7,
	MARK_GAP = 2,
	MARK_HEIGHT = 26;

function spanOf(run, now) {
	return run.started === null
		? 0
		: (run.ended === null ? now : Date.parse(run.ended)) - Date.parse(run.started);
}

/* --- marks ---------------------------------------------------------------------------------------------- */

function tallied(runs) {
	const counts = new Map();

	for (const run of runs) counts.set(run.state, (counts.get(run.state) || 0) + 1);
	return [...counts].map(([state, n]) => `${n} ${state}`).join(", ");
}

function markShape(run, x, span, longest) {
	const height = Math.max(4, Math.round((span / longest) * MARK_HEIGHT)) - 1;
	const bar = `M${x + 0.5} ${MARK_HEIGHT - 0.5}v${-height}h${MARK_WIDTH - 1}v${height}z`;

	return run.state === "failed" ? `${bar}M${x + 1.5} ${MARK_HEIGHT + 2}h4v3h-4z` : bar;
}

function markWords(dag, run, now) {
	const when = run.started || run.created;
	const took = run.started === null ? "" : `, ${duration(spanOf(run, now))}`;

	return `${dag}/${run.number}: ${run.state}${took}${when === null ? "" : `, ${local(Date.parse(when))}`}`;
}

/*
 * Oldest to the left; the longest is as high as it goes. One that failed stands on a dot: colour is not all.
 * Marks of one state are one element, and which one is meant is seen from where the pointer is: hundreds of
 * DAGs have thousands.
 */
export function marks(dag, runs, most) {
	const now = Date.now();
	const spans = runs.map((run) => spanOf(run, now));
	const longest = Math.max(1, ...spans);
	const width = most * (MARK_WIDTH + MARK_GAP);
	const shapes = new Map();
	const title = s("title");

	runs.forEach((run, i) => {
		const x = (most - 1 - i) * (MARK_WIDTH + MARK_GAP);

		shapes.set(run.state, (shapes.get(run.state) || "") + markShape(run, x, spans[i], longest));
	});
	const svg = s(
		"svg",
		{
			class: "marks",
			width,
			height: MARK_HEIGHT + 5,
			viewBox: `0 0 ${width} ${MARK_HEIGHT + 5}`,
			role: "img",
			"aria-label":
				runs.length === 0 ? "no runs" : `last ${count(runs.length, "run")}: ${tallied(runs)}`,
		},
		[...shapes].map(([state, d]) => s("path", {class: `mark is-${state}`, d}))
	);

	function runAt(event) {
		const frame = svg.getBoundingClientRect();

		return runs[most - 1 - Math.floor(((event.clientX - frame.left) / frame.width) * most)];
	}
	svg.addEventListener("pointermove", (event) => {
		const run = runAt(event);

		title.textContent = run === undefined ? "" : markWords(dag, run, now);
		if (title.parentNode === null) svg.prepend(title);
	});
	svg.addEventListener("click", (event) => {
		const run = runAt(event);

		if (run !== undefined) location.hash = place("runs", dag, run.number);
	});
	return svg;
}

/* --- Gantt ---------------------------------------------------------------------------------------------- */

const ROW = 24,
	LABEL = 150,
	GANTT_MAX = 100,
	CHART = 850;
const TICKS = [
	1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800,
];

function tickOf(spanMs) {
	return (
		(TICKS.find((seconds) => spanMs / (seconds * 1000) <= 7) ||
			Math.ceil(spanMs / 7000 / 604800) * 604800) * 1000
	);
}

/* When its needs were done and it could have begun: from there on it waited for a slot, a device, a pool. */
function readyAt(task, ends, begin) {
	const times = (task.needs || []).map((name) => ends.get(name));

	return times.some((end) => end === undefined) ? null : Math.max(begin, ...times);
}

function bar(kind, from, to, y, title, at) {
	const x = at(from),
		width = Math.max(1.5, at(to) - x);
	const thin = kind === "wait" || kind === "backoff";

	return s(
		"rect",
		{
			class: thin ? `gantt-${kind}` : `bar is-${kind}`,
			x: x.toFixed(1),
			y: y + (thin ? 10 : 4),
			width: width.toFixed(1),
			height: thin ? 4 : 16,
			rx: thin ? 0 : 2,
		},
		s("title", null, title)
	);
}

function attemptBar(task, attempt, y, now, at) {
	const from = Date.parse(attempt.started),
		to = attempt.ended === null ? now : Date.parse(attempt.ended);
	const how = attempt.resumed_from === null ? "" : `, resumed from ${attempt.resumed_from}`;
	const parts = [
		bar(
			attempt.state,
			from,
			to,
			y,
			`${task.task}, attempt ${attempt.number}: ${attempt.state}, ${duration(to - from)} on ${attempt.worker}${how}`,
			at
		),
	];

	if (attempt.resumed_from !== null)
		parts.push(s("path", {class: "gantt-resume", d: `M${at(from).toFixed(1)} ${y + 2}l6 5l-6 5z`}));
	if (attempt.unreachable_since !== null && attempt.ended === null)
		parts.push(
			bar(
				"unreachable",
				Date.parse(attempt.unreachable_since),
				now,
				y,
				`not reachable since ${local(Date.parse(attempt.unreachable_since))}`,
				at
			)
		);
	return parts;
}

function taskRow(task, y, scene) {
	const {ends, begin, now, at} = scene;
	const attempts = task.attempts.filter((attempt) => attempt.started !== null);
	const ready = readyAt(task, ends, begin);
	const label = s(
		"text",
		{x: LABEL - 8, y: y + 16, class: "gantt-label"},
		task.task.length > 20 ? `${task.task.slice(0, 11)}…${task.task.slice(-8)}` : task.task,
		s("title", null, task.task)
	);
	const parts = [label];
	let last = ready;

	for (const attempt of attempts) {
		const from = Date.parse(attempt.started);

		if (last !== null && from - last > 500)
			parts.push(
				bar(
					attempt.number === 1 ? "wait" : "backoff",
					last,
					from,
					y,
					`${task.task} ${attempt.number === 1 ? "waited" : "waited to be tried again"}: ${duration(from - last)}`,
					at
				)
			);
		parts.push(attemptBar(task, attempt, y, now, at));
		last = attempt.ended === null ? null : Date.parse(attempt.ended);
	}
	if (last !== null && task.ended === null && task.state !== "waiting")
		parts.push(
			bar(
				attempts.length === 0 ? "wait" : "backoff",
				last,
				now,
				y,
				`${task.task} waits: ${duration(now - last)}`,
				at
			)
		);
	return s("g", {"data-task": task.task}, parts);
}

/* `tasks` as the API has them; `open(name)` when one is chosen. */
export function gantt(run, tasks, open) {
	const now = run.ended === null ? Date.now() : Date.parse(run.ended);
	const begin = Date.parse(run.started || run.created);
	const end = Math.max(
		now,
		begin + 1000,
		...tasks.map((task) => (task.ended === null ? 0 : Date.parse(task.ended)))
	);
	const shown =
		tasks.length <= GANTT_MAX
			? tasks
			: [...tasks]
					.sort((a, b) => spanOf(b, now) - spanOf(a, now))
					.slice(0, GANTT_MAX)
					.sort((a, b) => Date.parse(a.started) - Date.parse(b.started));
	const at = (ms) => LABEL + ((ms - begin) / (end - begin)) * CHART;
	const ends = new Map(
		tasks.filter((task) => task.ended !== null).map((task) => [task.task, Date.parse(task.ended)])
	);
	const height = shown.length * ROW + 26,
		width = LABEL + CHART + 10;
	const svg = s("svg", {
		class: "gantt",
		viewBox: `0 0 ${width} ${height}`,
		width,
		height,
		role: "img",
		"aria-label": `${count(shown.length, "task")} in ${duration(end - begin)}; the table of tasks says the same`,
	});
	const tick = tickOf(end - begin);

	for (let ms = 0; ms <= end - begin; ms += tick) {
		const x = at(begin + ms).toFixed(1);

		svg.append(
			s("line", {class: "grid", x1: x, x2: x, y1: 18, y2: height}),
			s(
				"text",
				{class: "tick", x, y: 12, "text-anchor": ms === 0 ? "start" : "middle"},
				ms === 0 ? local(begin) : `+${duration(ms).replace(".0", "")}`
			)
		);
	}
	shown.forEach((task, i) => svg.append(taskRow(task, 22 + i * ROW, {ends, begin, now, at})));
	svg.addEventListener("click", (event) => {
		const name = event.target.closest("[data-task]")?.dataset.task;

		if (name !== undefined) open(name);
	});
	return [
		h(
			"div",
			{
				class: "scroll gantt-view",
				tabindex: "0",
				role: "region",
				"aria-label": "Gantt chart, scrollable",
			},
			svg
		),
		shown.length < tasks.length
			? h("p", {class: "muted"}, `The ${GANTT_MAX} longest of ${tasks.length} tasks.`)
			: null,
	];
}

export function ganttLegend() {
	const sign = (kind, words) => [
		s(
			"svg",
			{width: 22, height: 12, viewBox: "0 0 22 12", "aria-hidden": "true"},
			kind === "resume"
				? s("path", {class: "gantt-resume", d: "M6 1l8 5l-8 5z"})
				: s("rect", {
						class: kind.startsWith("gantt") ? kind : `bar is-${kind}`,
						x: 0,
						y: kind.startsWith("gantt") ? 4 : 1,
						width: 22,
						height: kind.startsWith("gantt") ? 4 : 10,
					})
		),
		` ${words}`,
	];

	return h(
		"p",
		{class: "legend"},
		[
			["gantt-wait", "waits for its turn"],
			["gantt-backoff", "waits to be tried again"],
			["resume", "resumed from a checkpoint"],
			["unreachable", "not reachable"],
		].map(([kind, words]) => h("span", null, sign(kind, words)))
	);
}

/* --- curves --------------------------------------------------------------------------------------------- */

const CURVE_WIDTH = 340,
	CURVE_HEIGHT = 150,
	LEFT = 52,
	BOTTOM = 20,
	TOP = 10;
const ALONG = ["step", "global_step", "iteration", "epoch"];
const CURVES_MAX = 40;

/* What the metrics are drawn along: a counter of theirs where all have it, else time. */
function alongOf(rows) {
	return ALONG.find((name) => rows.every((row) => name in row.values)) || null;
}

function bounds(values) {
	let low = Infinity,
		high = -Infinity;

	for (const value of values) {
		low = Math.min(low, value);
		high = Math.max(high, value);
	}
	return low === high
		? [low - (Math.abs(low) || 1) * 0.05, high + (Math.abs(high) || 1) * 0.05]
		: [low, high];
}

function checkpointsAt(checkpoints, along) {
	return checkpoints
		.map((checkpoint) => ({
			x:
				along === "step" || along === "global_step" || along === "epoch"
					? checkpoint.step
					: along === null
						? Date.parse(checkpoint.created)
						: null,
			name: checkpoint.name,
			state: checkpoint.state,
		}))
		.filter((mark) => mark.x !== null);
}

function curve(name, points, along, marksAlong) {
	const [x0, x1] = bounds(points.map((point) => point.x)),
		[y0, y1] = bounds(points.map((point) => point.y));
	const atX = (x) => LEFT + ((x - x0) / (x1 - x0)) * (CURVE_WIDTH - LEFT - 8);
	const atY = (y) => TOP + (1 - (y - y0) / (y1 - y0)) * (CURVE_HEIGHT - TOP - BOTTOM);
	const byAttempt = new Map();
	const first = points[0],
		last = points.at(-1);
	const said = [
		`${name}: ${number(first.y)} at first`,
		`${number(last.y)} at last`,
		`between ${number(y0)} and ${number(y1)}`,
		count(points.length, "point"),
	].join(", ");
	const readout = s("text", {class: "tick", x: CURVE_WIDTH - 8, y: TOP + 2, "text-anchor": "end"});
	const dot = s("circle", {class: "curve-dot", r: 3, visibility: "hidden"});
	const svg = s(
		"svg",
		{class: "curve", viewBox: `0 0 ${CURVE_WIDTH} ${CURVE_HEIGHT}`, role: "img", "aria-label": said},
		s("line", {class: "grid", x1: LEFT, x2: CURVE_WIDTH - 8, y1: atY(y0), y2: atY(y0)}),
		s("line", {class: "grid", x1: LEFT, x2: CURVE_WIDTH - 8, y1: atY(y1), y2: atY(y1)}),
		s("text", {class: "tick", x: LEFT - 6, y: atY(y0), "text-anchor": "end"}, number(y0)),
		s("text", {class: "tick", x: LEFT - 6, y: atY(y1) + 8, "text-anchor": "end"}, number(y1)),
		s(
			"text",
			{class: "tick", x: LEFT, y: CURVE_HEIGHT - 5},
			along === null ? local(x0) : `${along} ${number(x0)}`
		),
		s(
			"text",
			{class: "tick", x: CURVE_WIDTH - 8, y: CURVE_HEIGHT - 5, "text-anchor": "end"},
			along === null ? local(x1) : number(x1)
		)
	);

	for (const mark of marksAlong)
		if (mark.x >= x0 && mark.x <= x1)
			svg.append(
				s(
					"line",
					{
						class: "curve-checkpoint",
						x1: atX(mark.x),
						x2: atX(mark.x),
						y1: TOP,
						y2: CURVE_HEIGHT - BOTTOM,
					},
					s("title", null, `checkpoint ${mark.name}, ${mark.state}`)
				)
			);
	for (const point of points)
		byAttempt.set(point.attempt, [
			...(byAttempt.get(point.attempt) || []),
			`${atX(point.x).toFixed(1)},${atY(point.y).toFixed(1)}`,
		]);
	[...byAttempt.entries()].forEach(([attempt, line]) =>
		svg.append(
			line.length === 1
				? s(
						"circle",
						{
							class: `curve-point attempt-${(attempt - 1) % 6}`,
							cx: line[0].split(",")[0],
							cy: line[0].split(",")[1],
							r: 2.5,
						},
						s("title", null, `attempt ${attempt}`)
					)
				: s(
						"polyline",
						{class: `curve-line attempt-${(attempt - 1) % 6}`, points: line.join(" ")},
						s("title", null, `attempt ${attempt}`)
					)
		)
	);
	svg.append(dot, readout);
	svg.addEventListener("pointermove", (event) => {
		const frame = svg.getBoundingClientRect();
		const x = ((event.clientX - frame.left) / frame.width) * CURVE_WIDTH;
		const near = points.reduce((best, point) =>
			Math.abs(atX(point.x) - x) < Math.abs(atX(best.x) - x) ? point : best
		);

		dot.setAttribute("cx", atX(near.x));
		dot.setAttribute("cy", atY(near.y));
		dot.setAttribute("visibility", "visible");
		const where = along === null ? local(near.x) : `${along} ${number(near.x)}`;

		readout.textContent = `${where}: ${number(near.y)} (attempt ${near.attempt})`;
	});
	return h(
		"figure",
		{class: "curve-box"},
		h("figcaption", null, name, " ", h("strong", null, number(last.y))),
		svg
	);
}

/* One drawing for each value that the metrics have; an attempt is a line of its own. */
export function curves(rows, checkpoints) {
	const along = alongOf(rows);
	const names = [...new Set(rows.flatMap((row) => Object.keys(row.values)))].filter(
		(name) => name !== along
	);
	const marksAlong = checkpointsAt(checkpoints, along);
	const attempts = [...new Set(rows.map((row) => row.attempt))];

	return [
		attempts.length < 2 && marksAlong.length === 0
			? null
			: h(
					"p",
					{class: "legend"},
					attempts.slice(0, 12).map((attempt) =>
						h(
							"span",
							null,
							s(
								"svg",
								{width: 22, height: 12, viewBox: "0 0 22 12", "aria-hidden": "true"},
								s("line", {
									class: `curve-line attempt-${(attempt - 1) % 6}`,
									x1: 0,
									x2: 22,
									y1: 6,
									y2: 6,
								})
							),
							` attempt ${attempt}`
						)
					),
					marksAlong.length === 0
						? null
						: h(
								"span",
								null,
								s(
									"svg",
									{width: 10, height: 12, viewBox: "0 0 10 12", "aria-hidden": "true"},
									s("line", {class: "curve-checkpoint", x1: 5, x2: 5, y1: 0, y2: 12})
								),
								" checkpoint"
							)
				),
		h(
			"div",
			{class: "curves"},
			names.slice(0, CURVES_MAX).map((name) =>
				curve(
					name,
					rows
						.filter((row) => name in row.values)
						.map((row) => ({
							x: along === null ? Date.parse(row.at) : row.values[along],
							y: row.values[name],
							attempt: row.attempt,
						})),
					along,
					marksAlong
				)
			)
		),
		names.length > CURVES_MAX
			? h("p", {class: "muted"}, `The first ${CURVES_MAX} of ${names.length} values.`)
			: null,
	];
}
