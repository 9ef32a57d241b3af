/*
 * ansi.js - the text of a terminal as lines with colours
 *
 *   const pen = newPen(); box.append(...draw("\x1b[31mred\x1b[0m\n", pen))
 *
 * Colours and weights (ECMA-48, SGR) become classes, or colours where a program asks for one by number. A
 * carriage return begins a line anew, as progress bars do it: what was written last is shown. All other
 * sequences, and what is no text, are left out; so nothing in a log can do more than be read.
 */
import {h} from "./dom.js";

const SEQUENCE = /\x1b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g;
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f]/g;
const CUBE = [0, 95, 135, 175, 215, 255];

export function newPen() {
	return {fore: null, back: null, bold: false, dim: false, italic: false, underline: false, inverse: false};
}

function cubeColour(n) {
	if (n < 16) return n;
	if (n >= 232)
		return `rgb(${Array(3)
			.fill(8 + (n - 232) * 10)
			.join(",")})`;
	n -= 16;
	return `rgb(${CUBE[Math.floor(n / 36)]},${CUBE[Math.floor(n / 6) % 6]},${CUBE[n % 6]})`;
}

/* 38;5;n and 38;2;r;g;b; how many numbers it took. */
function longColour(codes, i, set) {
	if (codes[i + 1] === 5 && codes[i + 2] >= 0 && codes[i + 2] <= 255) {
		set(cubeColour(codes[i + 2]));
		return 2;
	}
	if (codes[i + 1] === 2 && codes.length > i + 4) {
		set(
			`rgb(${codes
				.slice(i + 2, i + 5)
				.map((n) => Math.min(255, Math.max(0, n)))
				.join(",")})`
		);
		return 4;
	}
	return 0;
}

function apply(pen, text) {
	const codes =
		text === ""
			? [0]
			: text
					.split(/[;:]/)
					.slice(0, 32)
					.map((code) => Number(code) || 0);

	for (let i = 0; i < codes.length; i++) {
		const code = codes[i];

		if (code === 0) Object.assign(pen, newPen());
		else if (code === 1) pen.bold = true;
		else if (code === 2) pen.dim = true;
		else if (code === 3) pen.italic = true;
		else if (code === 4) pen.underline = true;
		else if (code === 7) pen.inverse = true;
		else if (code === 22) pen.bold = pen.dim = false;
		else if (code === 23) pen.italic = false;
		else if (code === 24) pen.underline = false;
		else if (code === 27) pen.inverse = false;
		else if (code >= 30 && code <= 37) pen.fore = code - 30;
		else if (code >= 90 && code <= 97) pen.fore = code - 82;
		else if (code >= 40 && code <= 47) pen.back = code - 40;
		else if (code >= 100 && code <= 107) pen.back = code - 92;
		else if (code === 39) pen.fore = null;
		else if (code === 49) pen.back = null;
		else if (code === 38) i += longColour(codes, i, (colour) => (pen.fore = colour));
		else if (code === 48) i += longColour(codes, i, (colour) => (pen.back = colour));
	}
}

function styled(text, pen) {
	const classes = [];
	let fore = pen.fore,
		back = pen.back;

	if (pen.inverse) [fore, back] = [back === null ? "over" : back, fore === null ? "over" : fore];
	if (fore === null && back === null && !pen.bold && !pen.dim && !pen.italic && !pen.underline)
		return document.createTextNode(text);
	for (const name of ["bold", "dim", "italic", "underline"]) if (pen[name]) classes.push(`ansi-${name}`);
	const span = h("span", null, text);

	if (typeof fore === "number" || fore === "over") classes.push(`ansi-f${fore}`);
	else if (fore !== null) span.style.color = fore;
	if (typeof back === "number" || back === "over") classes.push(`ansi-b${back}`);
	else if (back !== null) span.style.backgroundColor = back;
	span.className = classes.join(" ");
	return span;
}

/* Of what stood in one line, what was written last; sequences of those before still count. */
function lastWritten(line, pen) {
	const parts = line.replace(/\r+$/, "").split("\r");
	let last = parts.length - 1;

	while (last > 0 && parts[last].replace(SEQUENCE, "") === "") last--;
	for (const part of parts.slice(0, last))
		for (const [, codes, end] of part.matchAll(SEQUENCE)) if (end === "m") apply(pen, codes);
	return parts.slice(last).join("");
}

export function plain(text) {
	return text.replace(SEQUENCE, "").replace(UNSEEN, "");
}

export function draw(text, pen) {
	const nodes = [];
	let run = "";

	function flush() {
		if (run !== "") nodes.push(styled(run, pen));
		run = "";
	}

	text.split("\n").forEach((raw, i) => {
		const line = raw.includes("\r") ? lastWritten(raw, pen) : raw;
		let from = 0;

		if (i > 0) run += "\n";
		for (const found of line.includes("\x1b") ? line.matchAll(SEQUENCE) : []) {
			run += line.slice(from, found.index).replace(UNSEEN, "");
			from = found.index + found[0].length;
			if (found[2] === "m") {
				flush();
				apply(pen, found[1]);
			}
		}
		run += line.slice(from).replace(UNSEEN, "");
	});
	flush();
	return nodes;
}
