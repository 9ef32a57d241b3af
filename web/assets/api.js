/*
 * api.js - asks the server, and hears from it
 *
 *   await get("/dags")                  the JSON of an answer; throws a Problem with the server's sentence
 *   await send("POST", "/runs", {...})  a change; asks for a token first when one is needed (whoAsks)
 *   listen(filter, on)                  live changes until the function it returns is called
 *
 * Live changes come as server-sent events. A browser keeps few connections to a server, so a page that nobody
 * looks at lets go of its own, and reads everything again when it is looked at. While the stream is cut, the
 * page asks every POLL_MS instead.
 */

const POLL_MS = 5000;
const REOPEN_MS = 15000;
const KINDS = [
	"run.changed",
	"task.changed",
	"attempt.changed",
	"checkpoint.changed",
	"metric.added",
	"worker.changed",
	"event.added",
	"dag.changed",
];

export class Problem extends Error {
	constructor(status, detail) {
		super(detail);
		this.status = status;
	}
}

async function problemOf(response) {
	const text = await response.text();

	try {
		return new Problem(response.status, JSON.parse(text).detail);
	} catch {
		return new Problem(response.status, text.slice(0, 300) || `the server answered ${response.status}`);
	}
}

export async function ask(path, options) {
	let response;

	try {
		response = await fetch(`/api/v1${path}`, {credentials: "same-origin", ...options});
	} catch (error) {
		if (error.name === "AbortError") throw error;
		throw new Problem(0, "the server cannot be reached");
	}
	if (!response.ok) throw await problemOf(response);
	return response;
}

export async function get(path, signal) {
	return (await ask(path, {signal})).json();
}

/* encodeURIComponent of each: path`/runs/${dag}/${number}` */
export function path(texts, ...values) {
	return texts.reduce((whole, text, i) => whole + encodeURIComponent(values[i - 1]) + text);
}

/* --- who asks ------------------------------------------------------------------------------------------- */

export const session = {role: "nobody", name: null, session: false};

/* Set by app.js: shows the form for a token; true when one was accepted. */
let askForToken = async () => false;

export function onTokenNeeded(show) {
	askForToken = show;
}

export async function learnSession() {
	Object.assign(session, await get("/session"));
}

export async function login(token) {
	await change("POST", "/session", {token});
	await learnSession();
}

export async function logout() {
	await change("DELETE", "/session");
	await learnSession();
}

async function change(method, where, body) {
	const header = {"X-Stoker-Request": "1"};

	if (body !== undefined) header["Content-Type"] = "application/json";
	return (
		await ask(where, {
			method,
			headers: header,
			body: body === undefined ? undefined : JSON.stringify(body),
		})
	).json();
}

export async function send(method, where, body) {
	try {
		return await change(method, where, body);
	} catch (error) {
		if (error.status !== 401 || !(await askForToken(error.message))) throw error;
		return change(method, where, body);
	}
}

/* --- live ----------------------------------------------------------------------------------------------- */

/*
 * `on` gets (kind, event); of kind "again" when something may have been missed. `told` gets "live", "polling"
 * or "asleep". `filter` is what stands behind ?: "run=digits%2F3", or "". What is read after `ready` misses
 * nothing; when `begun` was set before, a stream that begins says "again".
 */
export function listen(filter, on, told) {
	const live = {begun: false, close, ready: null};
	let source = null,
		poll = null,
		reopen = null,
		fresh = true,
		over = false,
		isReady;

	live.ready = new Promise((resolve) => (isReady = resolve));

	function stop() {
		source?.close();
		source = null;
		clearInterval(poll);
		clearTimeout(reopen);
		poll = null;
	}

	function goesOn(again) {
		clearInterval(poll);
		poll = null;
		told("live");
		if (again && live.begun) on("again", {});
		fresh = false;
		isReady();
	}

	/* The browser reconnects by itself, and names the last event; unless the server refused it. */
	function cut() {
		told("polling");
		isReady();
		if (poll === null) poll = setInterval(() => on("again", {}), POLL_MS);
		if (source !== null && source.readyState === EventSource.CLOSED) {
			source = null;
			reopen = setTimeout(start, REOPEN_MS);
		}
	}

	function start() {
		if (over || document.hidden || source !== null) return;
		fresh = true;
		source = new EventSource(`/api/v1/stream${filter === "" ? "" : `?${filter}`}`);
		source.addEventListener("hello", () => goesOn(fresh));
		source.addEventListener("reset", () => goesOn(true));
		source.addEventListener("error", cut);
		for (const kind of KINDS)
			source.addEventListener(kind, (message) => on(kind, JSON.parse(message.data)));
	}

	function onVisible() {
		if (document.hidden) {
			stop();
			told("asleep");
		} else {
			start();
		}
	}

	function close() {
		over = true;
		stop();
		document.removeEventListener("visibilitychange", onVisible);
	}

	document.addEventListener("visibilitychange", onVisible);
	start();
	return live;
}
