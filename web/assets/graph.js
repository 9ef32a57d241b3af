/*
 * graph.js - draws the steps of a DAG from left to right, in layers
 *
 *   const graph = graphOf(tasks, open)    [{name, needs, state, note}]; `open(name)` when a step is chosen
 *   box.append(graph.element)
 *   graph.show(tasks)                     the same steps in other states: nothing is laid out again
 *
 * Each step stands one layer behind the last one that it needs; within a layer steps are ordered by the mean
 * place of their neighbours (Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical
 * system structures", 1981), which takes some passes back and forth. A layer of many steps, as a sweep makes
 * them, stands in several columns. Of more than DRAWN_MAX steps a summary is drawn: steps that stand in the
 * same layer and are called alike, but for digits, are one node.
 *
 * By hand, because what is needed fits on three pages and has to be quick: dagre 3.1.3 took 21 s for 1,000
 * steps in five layers, where this takes some milliseconds, and ELK is ten times as large as all of the page.
 *
 * The drawing is an ordinary scrolled element, so fingers, wheel and arrow keys move it as any other; for
 * readers of a screen the table of steps beside it says the same.
 */
import {count, h, s} from "./dom.js";

const NODE_WIDTH = 168,
	NODE_HEIGHT = 30,
	GAP_X = 56,
	GAP_Y = 12,
	COLUMN_GAP = 14,
	MARGIN = 12;
const COLUMN_MAX = 24;
const DRAWN_MAX = 1500;
const LABEL_MAX = 22;
const PASSES = 6;
const ZOOM_MIN = 0.05,
	ZOOM_MAX = 3;
const SEVERITY = [
	"failed",
	"unreachable",
	"retrying",
	"stopping",
	"running",
	"starting",
	"upstream_failed",
	"canceled",
	"ready",
	"waiting",
	"queued",
	"skipped",
	"succeeded",
	"",
];

/* --- layers --------------------------------------------------------------------------------------------- */

/* In the order of Kahn (1962): whatever a step needs comes before it. */
function layersOf(nodes) {
	const waiting = new Map(nodes.map((node) => [node, node.before.length]));
	const ready = nodes.filter((node) => node.before.length === 0);
	const layers = [];

	for (const node of nodes) node.layer = 0;
	for (let i = 0; i < ready.length; i++) {
		const node = ready[i];

		(layers[node.layer] ||= []).push(node);
		for (const next of node.after) {
			next.layer = Math.max(next.layer, node.layer + 1);
			waiting.set(next, waiting.get(next) - 1);
			if (waiting.get(next) === 0) ready.push(next);
		}
	}
	return layers;
}

function number(layer) {
	layer.forEach((node, i) => (node.place = (i + 0.5) / layer.length));
}

function sortBy(layer, neighbours) {
	for (const node of layer) {
		const others = neighbours(node);

		node.wish =
			others.length === 0
				? node.place
				: others.reduce((sum, other) => sum + other.place, 0) / others.length;
	}
	layer.sort((a, b) => a.wish - b.wish || a.index - b.index);
	number(layer);
}

function orderLayers(layers) {
	layers.forEach(number);
	for (let pass = 0; pass < PASSES; pass++) {
		for (let i = 1; i < layers.length; i++) sortBy(layers[i], (node) => node.before);
		for (let i = layers.length - 2; i >= 0; i--) sortBy(layers[i], (node) => node.after);
	}
}

/* --- places --------------------------------------------------------------------------------------------- */

/* Those of a narrow layer move towards their neighbours, as far as the others leave room. */
function pull(layer, height, neighbours) {
	const step = NODE_HEIGHT + GAP_Y;
	let low = 0;

	layer.forEach((node, i) => {
		const others = neighbours(node);
		const wish =
			others.length === 0 ? node.y : others.reduce((sum, other) => sum + other.y, 0) / others.length;

		node.y = Math.min(Math.max(wish, low), height - (layer.length - i) * step);
		low = node.y + step;
	});
}

function placeLayers(layers) {
	const rows = Math.min(COLUMN_MAX, Math.max(...layers.map((layer) => layer.length)));
	const height = rows * (NODE_HEIGHT + GAP_Y);
	let x = MARGIN;

	for (const layer of layers) {
		const columns = Math.ceil(layer.length / COLUMN_MAX);
		const each = Math.ceil(layer.length / columns);

		layer.forEach((node, i) => {
			const inColumn = Math.min(each, layer.length - Math.floor(i / each) * each);

			node.x = x + Math.floor(i / each) * (NODE_WIDTH + COLUMN_GAP);
			node.y = (height - inColumn * (NODE_HEIGHT + GAP_Y)) / 2 + (i % each) * (NODE_HEIGHT + GAP_Y);
		});
		x += columns * (NODE_WIDTH + COLUMN_GAP) - COLUMN_GAP + GAP_X;
	}
	for (let pass = 0; pass < 3; pass++) {
		for (let i = 1; i < layers.length; i++)
			if (layers[i].length <= COLUMN_MAX) pull(layers[i], height, (node) => node.before);
		for (let i = layers.length - 2; i >= 0; i--)
			if (layers[i].length <= COLUMN_MAX) pull(layers[i], height, (node) => node.after);
	}
	return {width: x - GAP_X + MARGIN, height: height + MARGIN};
}

/* --- summary -------------------------------------------------------------------------------------------- */

function connect(nodes) {
	const byName = new Map(nodes.map((node) => [node.name, node]));

	for (const node of nodes) {
		node.before = [...new Set(node.needs)]
			.map((name) => byName.get(name))
			.filter((other) => other !== undefined && other !== node);
		node.after = [];
	}
	for (const node of nodes) for (const other of node.before) other.after.push(node);
	return nodes;
}

function nodesOf(tasks) {
	return connect(
		tasks.map((task, index) => ({name: task.name, needs: task.needs || [], index, members: [task.name]}))
	);
}

/*
 * Steps that stand in the same layer and are called alike are one node; in case of still too many, each layer
 * is.
 */
function summaryOf(tasks) {
	const nodes = nodesOf(tasks);

	layersOf(nodes);
	for (const alike of [
		(node) => `${node.layer} ${node.name.replace(/[0-9.]+/g, "#")}`,
		(node) => `${node.layer}`,
	]) {
		const groups = new Map();

		for (const node of nodes) {
			const key = alike(node);

			if (!groups.has(key))
				groups.set(key, {name: key, needs: new Set(), index: groups.size, members: []});
			groups.get(key).members.push(node.name);
			node.group = key;
		}
		if (groups.size > DRAWN_MAX / 5 && alike(nodes[0]).includes(" ")) continue;
		for (const node of nodes)
			for (const other of node.before)
				if (other.group !== node.group) groups.get(node.group).needs.add(other.group);
		return connect([...groups.values()].map((group) => ({...group, needs: [...group.needs]})));
	}
	return [];
}

/* --- drawing -------------------------------------------------------------------------------------------- */

function shorten(text) {
	return text.length <= LABEL_MAX ? text : `${text.slice(0, LABEL_MAX - 9)}…${text.slice(-8)}`;
}

/* What the names of all begin with. */
function prefixOf(names) {
	let prefix = names[0];

	for (const name of names) while (!name.startsWith(prefix)) prefix = prefix.slice(0, -1);
	return prefix;
}

function labelOf(node) {
	if (node.members.length === 1) return shorten(node.members[0]);
	return `${prefixOf(node.members).slice(0, LABEL_MAX - 8)}* × ${node.members.length}`;
}

function edge(from, to) {
	const x1 = from.x + NODE_WIDTH,
		y1 = from.y + NODE_HEIGHT / 2,
		x2 = to.x,
		y2 = to.y + NODE_HEIGHT / 2;
	const bend = Math.max(20, Math.min(60, (x2 - x1) / 2));

	return `M${x1} ${y1.toFixed(1)}C${x1 + bend} ${y1.toFixed(1)} ${x2 - bend} ${y2.toFixed(1)} ${x2} ${y2.toFixed(1)}`;
}

function edges(nodes) {
	return nodes.map((node) => node.after.map((next) => edge(node, next)).join("")).join("");
}

/* All edges are one element: a browser draws a path of a thousand curves faster than a thousand elements. */
function draw(nodes, size) {
	const lit = s("path", {class: "edge is-lit"});
	const svg = s(
		"svg",
		{viewBox: `0 ${-MARGIN / 2} ${size.width} ${size.height}`, role: "img", class: "graph"},
		s("path", {class: "edge", d: edges(nodes)}),
		lit
	);

	nodes.forEach((node, i) => {
		node.title = s("title");
		node.shares = node.members.length > 1 ? s("g") : null;
		node.element = s(
			"g",
			{transform: `translate(${node.x} ${node.y.toFixed(1)})`, "data-node": i},
			s("rect", {width: NODE_WIDTH, height: NODE_HEIGHT, rx: 5}),
			node.shares,
			s("text", {x: 12, y: node.members.length > 1 ? 17 : 20}, labelOf(node)),
			node.title
		);
		svg.append(node.element);
	});
	svg.addEventListener("pointerover", (event) => {
		const node = nodes[event.target.closest("[data-node]")?.dataset.node];

		lit.setAttribute(
			"d",
			node === undefined
				? ""
				: node.before.map((other) => edge(other, node)).join("") +
						node.after.map((other) => edge(node, other)).join("")
		);
	});
	return svg;
}

/* --- states --------------------------------------------------------------------------------------------- */

function sharesOf(states) {
	const counts = new Map();

	for (const state of states) counts.set(state, (counts.get(state) || 0) + 1);
	return [...counts].sort((a, b) => SEVERITY.indexOf(a[0]) - SEVERITY.indexOf(b[0]));
}

function showGroup(node, states) {
	const shares = sharesOf(states);
	let x = 8;

	node.shares.replaceChildren(
		...shares.map(([state, n]) => {
			const width = (n / states.length) * (NODE_WIDTH - 16);
			const bar = s("rect", {
				class: `bar is-${state}`,
				x: x.toFixed(1),
				y: 22,
				width: width.toFixed(1),
				height: 4,
			});

			x += width;
			return bar;
		})
	);
	node.element.setAttribute("class", `node is-${shares[0][0]}`);
	const words = shares.map(([state, n]) => `${n} ${state || "defined"}`);

	node.title.textContent = `${node.members.length} steps: ${words.join(", ")}`;
}

function showNode(node, task) {
	const state = task.state === "" ? "" : `: ${task.state.replace("_", " ")}`;
	const text = `${task.name}${state}${task.note ? `\n${task.note}` : ""}`;
	const style = `node is-${task.state}`;

	if (node.element.getAttribute("class") !== style) node.element.setAttribute("class", style);
	if (node.title.textContent !== text) node.title.textContent = text;
}

/* --- the whole ------------------------------------------------------------------------------------------ */

function zoomable(svg, size, attention) {
	const view = h(
		"div",
		{class: "graph-view", tabindex: "0", role: "region", "aria-label": "Graph, scrollable; + and - zoom"},
		svg
	);
	let scale = 1;

	function set(wanted, atX = view.clientWidth / 2, atY = view.clientHeight / 2) {
		const next = Math.min(ZOOM_MAX, Math.max(ZOOM_MIN, wanted));
		const x = (view.scrollLeft + atX) / scale,
			y = (view.scrollTop + atY) / scale;

		scale = next;
		svg.setAttribute("width", Math.round(size.width * scale));
		svg.setAttribute("height", Math.round(size.height * scale));
		view.scrollTo(x * scale - atX, y * scale - atY);
	}

	function fit() {
		set(Math.min(1, view.clientWidth / size.width, Math.max(view.clientHeight, 300) / size.height));
	}

	/* All of it where it can be read so; else, readably, the first one that somebody should look at. */
	function begin() {
		const node = attention();

		fit();
		if (scale >= 0.6) return;
		set(Math.max(0.75, Math.min(1, Math.max(view.clientHeight, 300) / size.height)));
		view.scrollTo(
			node === null ? 0 : node.x * scale - 40,
			node === null ? 0 : node.y * scale - view.clientHeight / 2
		);
	}

	view.addEventListener(
		"wheel",
		(event) => {
			if (!event.ctrlKey && !event.metaKey) return;
			event.preventDefault();
			const frame = view.getBoundingClientRect();

			set(scale * Math.exp(-event.deltaY / 300), event.clientX - frame.left, event.clientY - frame.top);
		},
		{passive: false}
	);
	view.addEventListener("keydown", (event) => {
		const factor = {"+": 1.25, "=": 1.25, "-": 0.8}[event.key];

		if (factor === undefined || event.ctrlKey || event.metaKey) return;
		event.preventDefault();
		set(scale * factor);
	});
	const button = (text, label, act) =>
		h("button", {type: "button", class: "small", "aria-label": label, title: label, onclick: act}, text);
	const bar = h(
		"div",
		{class: "graph-bar"},
		button("+", "Zoom in", () => set(scale * 1.25)),
		button("−", "Zoom out", () => set(scale * 0.8)),
		button("Fit", "Fit all of it", fit)
	);

	return {element: h("div", {class: "graph-box"}, bar, view), begin};
}

export function graphOf(tasks, open) {
	const summarised = tasks.length > DRAWN_MAX;
	const nodes = summarised ? summaryOf(tasks) : nodesOf(tasks);
	const size = placeLayers(
		(() => {
			const layers = layersOf(nodes);

			orderLayers(layers);
			return layers;
		})()
	);
	const svg = draw(nodes, size);
	let states = new Map();

	svg.setAttribute(
		"aria-label",
		`Graph of ${count(tasks.length, "step")}; the table of steps says the same`
	);
	svg.addEventListener("click", (event) => {
		const node = nodes[event.target.closest("[data-node]")?.dataset.node];

		if (node !== undefined) open(node.members[0], node.members);
	});
	function show(now) {
		states = new Map(now.map((task) => [task.name, task]));
		for (const node of nodes)
			if (node.members.length > 1)
				showGroup(
					node,
					node.members.map((name) => states.get(name)?.state ?? "")
				);
			else showNode(node, states.get(node.members[0]) || {name: node.members[0], state: ""});
	}
	function attention() {
		const rank = (node) =>
			Math.min(...node.members.map((name) => SEVERITY.indexOf(states.get(name)?.state ?? "")));
		const worst = [...nodes].sort((a, b) => rank(a) - rank(b))[0];

		return worst === undefined || rank(worst) > SEVERITY.indexOf("starting") ? null : worst;
	}
	show(tasks);
	const {element, begin} = zoomable(svg, size, attention);

	if (summarised)
		element.append(
			h(
				"p",
				{class: "muted"},
				`${tasks.length} steps are too many to draw: those that stand side by side and are called alike are one.`
			)
		);
	requestAnimationFrame(begin);
	return {element, show};
}
