/*
 * dag.js - one DAG: what it is, when it is due, its form to be triggered, its graph, history and file
 */
import {get, path, send} from "./api.js";
import {
	age,
	badge,
	bytes,
	count,
	diagnostics,
	duration,
	facts,
	fill,
	h,
	link,
	part,
	place,
	row,
	runLink,
	table,
	time,
	took,
} from "./dom.js";
import {marks} from "./charts.js";
import {changeButton} from "./dialogs.js";
import {graphOf} from "./graph.js";
import {inWords} from "./words.js";
import {stateOf} from "./overview.js";

const HISTORY = 50;
const STEPS = 100;

/* --- triggering ----------------------------------------------------------------------------------------- */

function fieldOf(param) {
	const id = `param-${param.name}`;
	const about = [
		param.description,
		param.type,
		param.min !== null || param.max !== null ? `${param.min ?? "…"} to ${param.max ?? "…"}` : null,
	]
		.filter((text) => text !== null)
		.join("; ");
	const choices = param.choices || (param.type === "bool" ? ["true", "false"] : null);
	const described = {
		id,
		name: param.name,
		"aria-describedby": `${id}-about`,
		required: param.default === null,
	};
	const field =
		choices !== null
			? h(
					"select",
					described,
					param.default === null ? h("option", {value: ""}, "choose") : null,
					choices.map((choice) =>
						h("option", {value: choice, selected: choice === param.default}, choice)
					)
				)
			: h("input", {
					...described,
					type: "text",
					value: param.default ?? "",
					inputmode: param.type === "int" ? "numeric" : param.type === "float" ? "decimal" : null,
					autocomplete: "off",
					spellcheck: "false",
				});

	return h(
		"div",
		{class: "field"},
		h("label", {for: id}, param.name),
		field,
		h("div", {class: "muted", id: `${id}-about`}, about)
	);
}

/* Only what differs from its default is sent: a default that changes meanwhile is then the new one. */
function triggerForm(dag) {
	const problem = h("p", {class: "problem", role: "alert", hidden: true});
	const button = h("button", {type: "submit", class: "main", disabled: !dag.in_force}, "Trigger a run");

	return h(
		"form",
		{
			class: "trigger",
			onsubmit: async (event) => {
				event.preventDefault();
				const params = {};

				for (const param of dag.params) {
					const value = event.target.elements.namedItem(param.name).value;

					if (value !== (param.default ?? "")) params[param.name] = value;
				}
				button.disabled = true;
				problem.hidden = true;
				try {
					const answer = await send("POST", "/runs", {dag: dag.dag, params});

					location.hash = place("runs", dag.dag, answer.run.slice(answer.run.lastIndexOf("/") + 1));
				} catch (error) {
					problem.textContent = error.message;
					problem.hidden = false;
				}
				button.disabled = false;
			},
		},
		dag.params.map(fieldOf),
		problem,
		button
	);
}

/* --- the parts ------------------------------------------------------------------------------------------ */

function pauseButton(dag, again) {
	const verb = dag.paused ? "unpause" : "pause";

	return changeButton(dag.paused ? "Unpause" : "Pause", path`/dags/${dag.dag}/${verb}`, again, {id: "pause"});
}

function scheduleLine(schedule) {
	const rules = `; catches up ${schedule.catchup}, on overlap ${schedule.overlap}`;

	return h(
		"li",
		null,
		inWords(schedule),
		" ",
		h("code", null, schedule.cron),
		h("span", {class: "muted"}, rules)
	);
}

function afterLine(after) {
	const conditions = after.map((it, i) => [
		i > 0 ? ", " : "",
		link(it.dag, "dags", it.dag),
		` has ${it.state}`,
		it.within_ms === null ? "" : ` within ${duration(it.within_ms)}`,
	]);

	return h("p", null, "Begins when it is due and ", conditions, ".");
}

function comingLine(it) {
	const jitter = it.jitter_ms > 0 ? `, spread by ${duration(it.jitter_ms)}` : "";

	return h(
		"li",
		null,
		time(it.due),
		" ",
		h("span", {class: "muted"}, age(it.due), jitter, it.note === null ? "" : `; ${it.note}`)
	);
}

function scheduleOf(dag, coming) {
	return [
		dag.schedules.length === 0
			? h("p", {class: "muted"}, "It has no schedule: it runs when it is triggered.")
			: h("ul", null, dag.schedules.map(scheduleLine)),
		dag.after.length === 0 ? null : afterLine(dag.after),
		coming.length === 0
			? null
			: [
					h("h3", null, dag.paused ? "It would be due" : "Due next"),
					h("ol", {class: "due"}, coming.map(comingLine)),
				],
	];
}

const RUN_HEADS = ["Run", "State", "Started", "Took", "By"];

function history(dag) {
	if (dag.latest.length === 0) return h("p", {class: "muted"}, "It has not run yet.");
	return [
		marks(dag.dag, dag.latest, dag.latest.length),
		table(
			"Runs of this DAG",
			RUN_HEADS,
			dag.latest.map((run) =>
				row(RUN_HEADS, [
					link(`${dag.dag}/${run.number}`, "runs", dag.dag, run.number),
					badge(run.state),
					time(run.started) || "not yet",
					took(run.started, run.ended) || "",
					run.trigger,
				])
			),
			{class: "stacked"}
		),
		dag.latest.length < HISTORY
			? null
			: h(
					"p",
					null,
					h("a", {href: `#/runs?dag=${encodeURIComponent(dag.dag)}`}, "All runs of this DAG")
				),
	];
}

function ledger(past) {
	const heads = ["Due", "What became of it", "Detail"];
	const skipped = (it) => badge("skipped", `skipped${it.reason === null ? "" : `: ${it.reason}`}`);
	const ran = (it) => [runLink(it.run), it.run_state === null ? "" : [" ", badge(it.run_state)]];
	const rows = past.map((it) =>
		row(heads, [time(it.due), it.run === null ? skipped(it) : ran(it), it.detail])
	);

	return table("Due times that passed", heads, rows, {class: "stacked"});
}

function stepsTable(dag) {
	const heads = ["Step", "Needs", "Where", "Limits"];

	return [
		table(
			"Steps",
			heads,
			dag.steps
				.slice(0, STEPS)
				.map((step) =>
					row(heads, [
						[
							h("strong", null, step.step),
							step.description === null ? null : h("div", {class: "muted"}, step.description),
						],
						step.needs.slice(0, 8).join(", ") +
							(step.needs.length > 8 ? ` and ${step.needs.length - 8} more` : ""),
						[step.worker, step.pool === null ? null : `pool ${step.pool}`]
							.filter((it) => it !== null)
							.join(", "),
						[
							step.gpus === null ? null : count(step.gpus, "GPU"),
							step.cpus === null ? null : count(step.cpus, "CPU"),
							step.memory_bytes === null ? null : bytes(step.memory_bytes),
							step.timeout_ms === null ? null : `at most ${duration(step.timeout_ms)}`,
							step.retries > 0 ? count(step.retries, "retry", "retries") : null,
						]
							.filter((it) => it !== null)
							.join(", "),
					])
				),
			{class: "stacked"}
		),
		dag.steps.length > STEPS
			? h("p", {class: "muted"}, `The first ${STEPS} of ${dag.steps.length} steps; the file has all.`)
			: null,
	];
}

function fileOf(dag) {
	return [
		dag.file === null
			? h("p", {class: "muted"}, "Its file is gone; this is what ran last.")
			: h("p", null, h("code", null, dag.file)),
		dag.text === null
			? null
			: h(
					"details",
					{open: dag.text.length < 6000},
					h("summary", null, "YAML in force"),
					h("pre", {class: "file", tabindex: "0", "aria-label": "The file in force"}, dag.text)
				),
	];
}

/* What is wrong with the file stands above everything else. */
function diagnosticsOf(dag) {
	return [
		h(
			"p",
			null,
			badge("broken", "what is wrong with its file"),
			dag.in_force ? " The version before it stays in force." : " Nothing of it is in force."
		),
		diagnostics(dag.problem),
	];
}

/* --- the head ------------------------------------------------------------------------------------------- */

function pausedWords(dag) {
	return dag.paused
		? [" ", badge("paused"), ` by ${dag.paused_by || "somebody"} `, age(dag.paused_since)]
		: null;
}

function headOf(dag, again) {
	return [
		dag.description === null ? null : h("p", null, dag.description),
		dag.problem === null ? null : diagnosticsOf(dag),
		facts([
			["State", [badge(stateOf(dag)), pausedWords(dag)]],
			["Next due", dag.paused ? null : age(dag.next_due)],
			["Last success", age(dag.last_success) || "never"],
			["Late since", time(dag.late_since)],
			["Going on", dag.active === 0 ? null : count(dag.active, "run")],
		]),
		h("div", {class: "actions"}, pauseButton(dag, again)),
	];
}

function graphOfDag(dag) {
	const steps = dag.steps.map((step) => ({
		name: step.step,
		needs: step.needs,
		state: "",
		note: step.description,
	}));

	return graphOf(steps, () => {}).element;
}

/* --- the whole ------------------------------------------------------------------------------------------ */

export function dagPage(name) {
	const head = h("div", {class: "head"});
	const parts = {
		trigger: part("Trigger"),
		schedule: part("Schedule"),
		graph: part("Graph"),
		steps: part("Steps"),
		history: part("History"),
		ledger: part("Due times that passed"),
		file: part("File"),
	};
	let again = () => {};

	return {
		title: name,
		crumbs: [["DAGs", ""]],
		elements: [head, ...Object.values(parts).map((it) => it.element)],
		filter: `dag=${encodeURIComponent(name)}`,
		concerns: (kind) => kind === "run.changed" || kind === "dag.changed",
		async load(signal) {
			const [dag, due] = await Promise.all([
				get(`${path`/dags/${name}`}?limit=${HISTORY}`, signal),
				get(`${path`/dags/${name}/occurrences`}?limit=20`, signal),
			]);

			return {dag, due};
		},
		start(refresh) {
			again = refresh;
		},
		show({dag, due: {coming, past}}) {
			const {latest, steps, text, ...about} = dag;
			const wanted = {
				trigger: dag.in_force && [dag.params, () => triggerForm(dag)],
				schedule: dag.in_force && [
					[dag.schedules, dag.after, coming.map((it) => [it.due, it.note]), dag.paused],
					() => scheduleOf(dag, coming),
				],
				graph: steps.length > 0 && [steps, () => graphOfDag(dag)],
				steps: steps.length > 0 && [steps, () => stepsTable(dag)],
				history: [latest, () => history(dag)],
				ledger: past.length > 0 && [past, () => ledger(past)],
				file: [[dag.file, text], () => fileOf(dag)],
			};

			fill(head, JSON.stringify([about, stateOf(dag)]), () => headOf(dag, again));
			for (const [name, one] of Object.entries(wanted)) {
				if (one === false) parts[name].hide();
				else parts[name].fill(JSON.stringify(one[0]), one[1]);
			}
		},
	};
}
