/*
 * app.js - which page is shown, and that it stays true
 *
 * A page is an object: `title`, `crumbs`, `elements` to be put in place, `load(signal)` to read what it
 * shows, and `show(data)` to show it, again and again. `filter` selects its live changes; `concerns(kind,
 * event)` says which of them make it read again, `rest()` how long that waits at least, `urgent(kind)` which
 * do not wait; `on(kind, event)` may use one at once. `start(refresh)` and `close()` frame its life.
 *
 *   #/                        overview            #/runs                    all runs
 *   #/dags/DAG                a DAG               #/runs/DAG/N              a run
 *   #/workers, #/events                           #/runs/DAG/N/TASK         a task of it
 */
import {learnSession, listen, logout, onTokenNeeded, session} from "./api.js";
import {fill, h, place} from "./dom.js";
import {askToken} from "./dialogs.js";
import {overview} from "./overview.js";
import {dagPage} from "./dag.js";
import {runPage} from "./run.js";
import {taskPage} from "./task.js";
import {eventsPage, runsPage, workersPage} from "./lists.js";

/*
 * Reading again waits this long, and REST times what the last one took: a page that is watched costs the
 * server little.
 */
const REFRESH_MS = 300;
const REST = 20;
const READY_MS = 150;

const main = document.getElementById("main");
const live = document.getElementById("live");
const who = document.getElementById("who");
let current = null;

/* --- which page ----------------------------------------------------------------------------------------- */

function unknown(where) {
	return {
		title: "No such page",
		elements: [h("p", null, `There is no page ${where}.`)],
		filter: "",
		concerns: () => false,
		load: async () => null,
		show() {},
	};
}

function pageOf(hash) {
	const [where, query = ""] = hash.replace(/^#?\/?/, "").split("?");
	let parts;

	try {
		parts = where
			.split("/")
			.filter((text) => text !== "")
			.map(decodeURIComponent);
	} catch {
		return unknown(where);
	}
	const [kind, dag, number, task] = parts;

	if (parts.length === 0) return overview();
	if (kind === "dags" && parts.length === 2) return dagPage(dag);
	if (kind === "dags" && parts.length === 1) return overview();
	if (kind === "runs" && parts.length === 1) return runsPage(query);
	if (kind === "runs" && parts.length === 3) return runPage(dag, number);
	if (kind === "runs" && parts.length === 4) return taskPage(dag, number, task, new URLSearchParams(query));
	if (kind === "workers" && parts.length === 1) return workersPage();
	if (kind === "events" && parts.length === 1) return eventsPage(query);
	return unknown(where);
}

/* --- keeping it true ------------------------------------------------------------------------------------ */

function showProblem(shown, error) {
	shown.problem.replaceChildren(
		error.message,
		error.status === 401 ? " " : "",
		...(error.status === 401
			? [
					h(
						"button",
						{
							type: "button",
							onclick: async () => (await askToken(error.message)) && refresh(shown),
						},
						"Log in"
					),
				]
			: [])
	);
	shown.problem.hidden = false;
}

async function refresh(shown) {
	const begun = performance.now();

	clearTimeout(shown.timer);
	shown.timer = null;
	if (shown.loading) {
		shown.again = true;
		return;
	}
	shown.loading = true;
	try {
		const data = await shown.page.load(shown.stop.signal);

		if (shown === current) {
			shown.page.show(data);
			shown.problem.hidden = true;
			main.removeAttribute("aria-busy");
		}
	} catch (error) {
		if (error.name !== "AbortError" && shown === current) {
			showProblem(shown, error);
			main.removeAttribute("aria-busy");
		}
	}
	shown.loading = false;
	shown.rest = Math.max(REFRESH_MS, shown.page.rest?.() || 0, REST * (performance.now() - begun));
	if (shown.again) refreshSoon(shown);
	shown.again = false;
}

function refreshSoon(shown, urgent = false) {
	if (shown !== current || (shown.timer !== null && !urgent)) return;
	clearTimeout(shown.timer);
	shown.timer = setTimeout(() => refresh(shown), urgent ? REFRESH_MS : shown.rest);
}

function onChange(shown, kind, event) {
	if (shown !== current) return;
	shown.page.on?.(kind, event);
	if (kind === "again" || shown.page.concerns(kind, event))
		refreshSoon(shown, shown.page.urgent?.(kind) || false);
}

function tellLive(state) {
	const words = {live: "live", polling: "cut off: asking every 5 s", asleep: "asleep"};

	fill(live, state, () => [
		h("span", {class: `dot is-${state}`, "aria-hidden": "true"}),
		` ${words[state]}`,
	]);
}

/* --- moving about --------------------------------------------------------------------------------------- */

function crumbsOf(page) {
	return page.crumbs === undefined
		? null
		: h(
				"nav",
				{"aria-label": "Where this is", class: "crumbs"},
				h(
					"ol",
					null,
					page.crumbs.map(([text, ...segments]) =>
						h("li", null, h("a", {href: place(...segments.filter((it) => it !== ""))}, text))
					)
				)
			);
}

function markNavigation() {
	const here = location.hash.replace(/^#?\/?/, "").split(/[/?]/)[0] || "";

	for (const anchor of document.querySelectorAll("#nav a")) {
		const at = anchor.getAttribute("href").slice(2);

		if (at === here || (at === "" && here === "dags")) anchor.setAttribute("aria-current", "page");
		else anchor.removeAttribute("aria-current");
	}
}

function leave() {
	if (current === null) return;
	clearTimeout(current.timer);
	current.stop.abort();
	current.live.close();
	current.page.close?.();
	current = null;
}

async function enter(first) {
	leave();
	const page = pageOf(location.hash);
	const heading = h("h1", {tabindex: "-1"}, page.heading || page.title);
	const shown = {
		page,
		problem: h("p", {class: "problem", role: "alert", hidden: true}),
		stop: new AbortController(),
		timer: null,
		loading: false,
		again: false,
		rest: REFRESH_MS,
	};

	current = shown;
	document.title = page.title === "Overview" ? "stoker" : `${page.title} · stoker`;
	main.setAttribute("aria-busy", "true");
	main.replaceChildren(
		...[crumbsOf(page), heading, shown.problem, ...page.elements].filter((it) => it !== null)
	);
	markNavigation();
	if (!first) {
		heading.focus({preventScroll: true});
		scrollTo(0, 0);
	}
	page.start?.(() => refresh(shown));
	shown.live = listen(page.filter, (kind, event) => onChange(shown, kind, event), tellLive);
	await Promise.race([shown.live.ready, new Promise((resolve) => setTimeout(resolve, READY_MS))]);
	shown.live.begun = true;
	if (shown === current) refresh(shown);
}

/* --- who ------------------------------------------------------------------------------------------------ */

async function tellWho() {
	fill(who, JSON.stringify(session), () =>
		session.session
			? [
					h("span", {class: "muted"}, `${session.name} (${session.role}) `),
					h(
						"button",
						{
							type: "button",
							class: "small",
							id: "logout",
							onclick: async () => {
								await logout();
								tellWho();
							},
						},
						"Log out"
					),
				]
			: h(
					"button",
					{
						type: "button",
						class: "small",
						id: "login",
						onclick: async () => {
							if (await askToken("Reading needs none from this machine; changing does."))
								tellWho();
						},
					},
					"Log in"
				)
	);
}

onTokenNeeded(async (why) => {
	const done = await askToken(why);

	tellWho();
	return done;
});
addEventListener("hashchange", () => enter(false));
document.getElementById("skip").addEventListener("click", (event) => {
	event.preventDefault();
	main.querySelector("h1")?.focus();
});
learnSession().then(tellWho, tellWho);
enter(true);
