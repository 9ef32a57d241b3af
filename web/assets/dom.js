/*
 * dom.js - elements made of data, never of markup
 *
 *   h("p", {class: "muted"}, "said ", name)      an element; what is text becomes text, whatever it holds
 *   s("rect", {x: 1})                            the same for SVG
 *   part("Tasks")                                a section with a heading; fill(key, build) builds it anew only when
 *                                                `key` has changed, and leaves the focus where it was
 *
 * Nothing in these files assigns markup (innerHTML and its kin); the Content-Security-Policy forbids it, too.
 */

const SVG = "http://www.w3.org/2000/svg";

function build(element, attributes, children) {
	for (const [name, value] of Object.entries(attributes || {})) {
		if (value === undefined || value === null || value === false) continue;
		if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else element.setAttribute(name, value === true ? "" : value);
	}
	element.append(
		...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
	);
	return element;
}

export function h(tag, attributes, ...children) {
	return build(document.createElement(tag), attributes, children);
}

export function s(tag, attributes, ...children) {
	return build(document.createElementNS(SVG, tag), attributes, children);
}

/* Where the focus was, by the id of the element or of the nearest one around it that has one. */
function focusInside(element) {
	const active = document.activeElement;

	return active !== null && active !== document.body && element.contains(active) ? active.id : "";
}

export function fill(element, key, make) {
	if (element.filledWith === key) return;
	const focused = focusInside(element);

	element.filledWith = key;
	element.replaceChildren(
		...[make()].flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
	);
	if (focused !== "") document.getElementById(focused)?.focus({preventScroll: true});
}

let parts = 0;

/* A section; `body` is what fill() replaces. */
export function part(title, attributes) {
	const id = `part-${++parts}`;
	const body = h("div", {class: "part-body"});
	const element = h("section", {"aria-labelledby": id, ...attributes}, h("h2", {id}, title), body);

	element.hidden = true;
	return {
		element,
		body,
		fill(key, make) {
			element.hidden = false;
			fill(body, key, make);
		},
		hide() {
			element.hidden = true;
			body.filledWith = undefined;
		},
	};
}

/* --- tables --------------------------------------------------------------------------------------------- */

/*
 * On a narrow screen the cells of a row stand below each other (style.css); the roles keep it a table for
 * readers.
 */
export function table(caption, heads, rows, attributes) {
	return h(
		"div",
		{class: "scroll", tabindex: "0", role: "region", "aria-label": caption},
		h(
			"table",
			{role: "table", ...attributes},
			h("caption", {class: "unseen"}, caption),
			h(
				"thead",
				{role: "rowgroup"},
				h(
					"tr",
					{role: "row"},
					heads.map((head) => h("th", {scope: "col", role: "columnheader"}, head))
				)
			),
			h("tbody", {role: "rowgroup"}, rows)
		)
	);
}

export function row(heads, cells, attributes) {
	return h(
		"tr",
		{role: "row", ...attributes},
		cells.map((cell, i) => {
			const content = [cell].flat();
			const inside = {role: i === 0 ? "rowheader" : "cell", "data-head": heads[i]};

			return i === 0 ? h("th", {scope: "row", ...inside}, content) : h("td", inside, content);
		})
	);
}

/* Term and description, for what is known of one thing. */
export function facts(pairs) {
	return h(
		"dl",
		{class: "facts"},
		pairs
			.filter((pair) => pair !== null && pair[1] !== null && pair[1] !== undefined)
			.map(([term, value]) => h("div", null, h("dt", null, term), h("dd", null, [value].flat())))
	);
}

/* --- words ---------------------------------------------------------------------------------------------- */

const GLYPHS = {
	succeeded: "✓",
	failed: "✗",
	running: "▶",
	starting: "▶",
	stopping: "■",
	queued: "…",
	waiting: "…",
	ready: "…",
	retrying: "↻",
	canceled: "⊘",
	skipped: "↷",
	upstream_failed: "⤳",
	unreachable: "?",
	lost: "?",
	intended: "…",
	paused: "⏸",
	late: "!",
	broken: "!",
};

/* A state is told by its word and a sign, too, not by colour alone. */
export function badge(state, text) {
	return h(
		"span",
		{class: `badge is-${state}`},
		h("span", {"aria-hidden": "true"}, `${GLYPHS[state] || "•"} `),
		text || state.replace("_", " ")
	);
}

export function link(text, ...segments) {
	return h("a", {href: place(...segments)}, text);
}

export function diagnostics(text) {
	return h("pre", {class: "diagnostics", tabindex: "0", role: "region", "aria-label": "Diagnostics"}, text);
}

/* The address of a page: place("runs", "digits", 3) is "#/runs/digits/3". */
export function place(...segments) {
	return `#/${segments.map((segment) => encodeURIComponent(segment)).join("/")}`;
}

/* "digits/3" */
export function runLink(name) {
	const slash = name.lastIndexOf("/");

	return link(name, "runs", name.slice(0, slash), name.slice(slash + 1));
}

export function duration(ms) {
	const units = [
		["d", 86400000],
		["h", 3600000],
		["min", 60000],
		["s", 1000],
	];

	if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
	if (ms < 10000 && ms % 1000 !== 0) return `${(ms / 1000).toFixed(1)} s`;
	for (let i = 0; i < units.length; i++) {
		const [name, size] = units[i];

		if (ms < size) continue;
		const whole = Math.floor(ms / size);
		const rest = i + 1 < units.length ? Math.floor((ms % size) / units[i + 1][1]) : 0;

		return rest > 0 ? `${whole} ${name} ${rest} ${units[i + 1][0]}` : `${whole} ${name}`;
	}
	return `${ms} ms`;
}

export function bytes(n) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let i = 0;

	while (n >= 1024 && i < units.length - 1) {
		n /= 1024;
		i++;
	}
	return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

export function number(value) {
	if (!Number.isFinite(value)) return String(value);
	return value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)
		? value.toExponential(3)
		: String(Number(value.toPrecision(5)));
}

export function count(n, one, many) {
	return `${n} ${n === 1 ? one : many || `${one}s`}`;
}

/* --- times ---------------------------------------------------------------------------------------------- */

const minute = new Intl.DateTimeFormat(undefined, {hour: "2-digit", minute: "2-digit", hourCycle: "h23"});
const clock = new Intl.DateTimeFormat(undefined, {
	hour: "2-digit",
	minute: "2-digit",
	second: "2-digit",
	hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(undefined, {weekday: "short", day: "numeric", month: "short"});
const dayOfYear = new Intl.DateTimeFormat(undefined, {day: "numeric", month: "short", year: "numeric"});

export function local(ms) {
	const date = new Date(ms);
	const now = new Date();
	const text = (ms % 60000 === 0 ? minute : clock).format(date);

	if (date.toDateString() === now.toDateString()) return text;
	return `${(date.getFullYear() === now.getFullYear() ? day : dayOfYear).format(date)}, ${text}`;
}

function utc(text) {
	return `${text.replace("T", " ").replace(/(\.\d+)?Z$/, "")} UTC`;
}

/* In the zone of the reader; the tip says it in UTC. */
export function time(text) {
	return text === null || text === undefined
		? null
		: h("time", {datetime: text, title: utc(text)}, local(Date.parse(text)));
}

/* What lies ahead is told to the minute of the hour; how long ago something was, roughly. */
function ageText(ms) {
	const apart = Date.now() - ms;
	const whole = Math.floor(Math.abs(apart) / 1000) * 1000;

	if (whole < 5000) return "now";
	if (apart < 0) return `in ${duration(whole)}`;
	return `${duration(whole).split(" ").slice(0, 2).join(" ")} ago`;
}

/* "3 min ago", "in 2 h"; kept up to date by itself. */
export function age(text) {
	if (text === null || text === undefined) return null;
	return h(
		"time",
		{datetime: text, title: `${local(Date.parse(text))}; ${utc(text)}`, "data-age": ""},
		ageText(Date.parse(text))
	);
}

/* How long something took, or has been going on; then it counts on. */
export function took(started, ended) {
	if (started === null || started === undefined) return null;
	if (ended !== null && ended !== undefined) return duration(Date.parse(ended) - Date.parse(started));
	return h("span", {"data-since": started}, duration(Date.now() - Date.parse(started)));
}

setInterval(() => {
	for (const element of document.querySelectorAll("[data-age]"))
		setText(element, ageText(Date.parse(element.getAttribute("datetime"))));
	for (const element of document.querySelectorAll("[data-since]"))
		setText(
			element,
			duration(Math.floor((Date.now() - Date.parse(element.dataset.since)) / 1000) * 1000)
		);
}, 1000);

function setText(element, text) {
	if (element.textContent !== text) element.textContent = text;
}
