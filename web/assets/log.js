/*
 * log.js - the log of an attempt, however long it is
 *
 * Only a window of it is here: CHUNK_BYTES are fetched at a time, by byte, and of what is shown at most
 * WINDOW_BYTES are kept; what lies before and after comes when it is scrolled to. Following reads on at the
 * byte after the last one, also after the connection was cut. Searching looks at what is shown first and then
 * reads on through the file in blocks, keeping none of them.
 *
 *     start          end            size
 *       |  the window  | open line   |       `end` is the byte after what was drawn; what follows it and is no
 *       +--------------+-------------+        whole line yet is in `pending`, and shown as the open line
 */
import {ask, Problem} from "./api.js";
import {draw, newPen, plain} from "./ansi.js";
import {bytes as inBytes, h} from "./dom.js";

const CHUNK_BYTES = 128 * 1024;
const WINDOW_BYTES = 768 * 1024;
const OPEN_LINE_BYTES = 64 * 1024;
const SEARCH_BYTES = 1024 * 1024;
const NEAR_PX = 400;
const AGAIN_MS = 2000;
const NEWLINE = 10,
	RETURN = 13;

function join(a, b) {
	const whole = new Uint8Array(a.length + b.length);

	whole.set(a);
	whole.set(b, a.length);
	return whole;
}

const decode = (array) => new TextDecoder().decode(array);

export class Log {
	/* `path` of the API; `growing`: more may come. */
	constructor(path, label) {
		this.path = path;
		this.start = this.end = this.size = 0;
		this.chunks = [];
		this.pending = new Uint8Array(0);
		this.pen = newPen();
		this.growing = false;
		this.following = null;
		this.busy = false;
		this.closed = false;
		this.needle = "";
		this.match = -1;
		this.build(label);
		this.onVisible = () => (document.hidden ? this.pause() : this.wanted && this.follow());
		document.addEventListener("visibilitychange", this.onVisible);
	}

	/* --- what is seen ----------------------------------------------------------------------------------- */

	build(label) {
		const button = (text, act, title) =>
			h("button", {type: "button", class: "small", title, onclick: act}, text);

		this.open = h("div", {class: "log-chunk"});
		this.lines = h("pre", {class: "log-lines"}, this.open);
		this.view = h(
			"div",
			{class: "log-view", tabindex: "0", role: "region", "aria-label": label},
			this.lines
		);
		this.place = h("span", {class: "muted log-place"});
		this.status = h("span", {class: "muted", role: "status"});
		this.followBox = h("input", {
			type: "checkbox",
			id: "log-follow",
			onchange: () => this.setFollowing(this.followBox.checked),
		});
		this.searchBox = h("input", {
			type: "search",
			id: "log-search",
			placeholder: "Search",
			"aria-label": "Search the log",
			size: 16,
			onkeydown: (event) => {
				if (event.key !== "Enter") return;
				event.preventDefault();
				this.find(event.shiftKey ? -1 : 1);
			},
		});
		this.stopButton = button("Stop", () => this.search?.abort());
		this.stopButton.hidden = true;
		this.element = h(
			"div",
			{class: "log"},
			h(
				"div",
				{class: "log-bar"},
				h("label", {for: "log-follow"}, this.followBox, " Follow"),
				button("Begin", () => this.showFrom(0), "Go to the beginning"),
				button("End", () => this.showTail(), "Go to the end"),
				this.searchBox,
				button("↓", () => this.find(1), "Next match"),
				button("↑", () => this.find(-1), "Previous match"),
				this.stopButton,
				this.status,
				this.place,
				h("a", {href: `/api/v1${this.path}`, download: "", class: "log-whole"}, "Download")
			),
			this.view
		);
		for (const [text, name] of [
			["↓", "Next match"],
			["↑", "Previous match"],
		])
			[...this.element.querySelectorAll("button")]
				.find((it) => it.textContent === text)
				.setAttribute("aria-label", name);
		this.view.addEventListener("scroll", () => this.onScroll());
	}

	tell(text) {
		if (this.status.textContent !== text) this.status.textContent = text;
	}

	tellPlace() {
		const end = this.end + this.pending.length;

		this.size = Math.max(this.size, end);
		this.place.textContent =
			this.size === 0
				? this.growing
					? "nothing yet"
					: "empty"
				: this.start === 0 && end >= this.size
					? inBytes(this.size)
					: `${inBytes(this.start)} to ${inBytes(end)} of ${inBytes(this.size)}`;
	}

	atBottom() {
		return this.view.scrollHeight - this.view.scrollTop - this.view.clientHeight < 40;
	}

	onScroll() {
		if (this.following !== null && !this.atBottom() && this.view.scrollTop < this.lastTop)
			this.setFollowing(false);
		this.lastTop = this.view.scrollTop;
		if (this.busy || this.following !== null) return;
		if (this.view.scrollTop < NEAR_PX && this.start > 0) this.older();
		else if (
			this.view.scrollHeight - this.view.scrollTop - this.view.clientHeight < NEAR_PX &&
			this.end + this.pending.length < this.size
		)
			this.newer();
	}

	/* --- the window ------------------------------------------------------------------------------------- */

	clear(at) {
		this.lines.replaceChildren(this.open);
		this.open.replaceChildren();
		this.chunks = [];
		this.start = this.end = at;
		this.pending = new Uint8Array(0);
		this.pen = newPen();
		this.match = -1;
	}

	chunkOf(text, from, to, pen) {
		const chunk = {
			from,
			to,
			element: h(
				"div",
				{class: "log-chunk"},
				draw(text.endsWith("\n") ? text.slice(0, -1) : text, pen)
			),
		};

		/* An empty line of its own would have no height. */
		if (chunk.element.textContent === "") chunk.element.append("\u200b");
		return chunk;
	}

	/* What came after `end` and the open line: whole lines become a chunk, the rest the open line. */
	append(array) {
		const all = join(this.pending, array);
		let whole = all.lastIndexOf(NEWLINE) + 1;

		if (all.length - whole > OPEN_LINE_BYTES)
			whole = Math.max(whole, all.lastIndexOf(RETURN) + 1) || all.length;
		if (whole > 0) {
			const chunk = this.chunkOf(decode(all.subarray(0, whole)), this.end, this.end + whole, this.pen);

			this.open.before(chunk.element);
			this.chunks.push(chunk);
			this.end += whole;
		}
		this.pending = all.slice(whole);
		this.open.replaceChildren(...draw(decode(this.pending), {...this.pen}));
		while (this.chunks.length > 1 && this.end - this.start > WINDOW_BYTES) {
			const gone = this.chunks.shift();

			gone.element.remove();
			this.start = gone.to;
		}
		this.tellPlace();
	}

	/* What came before `start`; what lies far behind goes, and with it the open line. */
	prepend(array, from) {
		const line = from === 0 ? 0 : array.indexOf(NEWLINE) + 1;
		const first = line < array.length ? line : 0; /* a line as long as all of it is taken apart */
		const chunk = this.chunkOf(decode(array.subarray(first)), from + first, this.start, newPen());
		const height = this.view.scrollHeight,
			top = this.view.scrollTop;

		this.lines.prepend(chunk.element);
		this.chunks.unshift(chunk);
		this.start = chunk.from;
		this.view.scrollTop = top + this.view.scrollHeight - height;
		while (this.chunks.length > 1 && this.end - this.start > WINDOW_BYTES) {
			const gone = this.chunks.pop();

			gone.element.remove();
			this.end = gone.from;
			this.pending = new Uint8Array(0);
			this.open.replaceChildren();
			this.pen = newPen();
		}
		this.tellPlace();
	}

	/* --- reading ---------------------------------------------------------------------------------------- */

	async read(query, signal) {
		const response = await ask(`${this.path}?${query}`, {signal});
		const array = new Uint8Array(await response.arrayBuffer());

		this.size = Math.max(Number(response.headers.get("Stoker-Size")), 0);
		this.growing = response.headers.get("Stoker-Growing") === "true";
		return {array, from: Number(response.headers.get("Stoker-Offset"))};
	}

	/* One thing at a time; what cannot be read is said. */
	async alone(act) {
		if (this.busy || this.closed) return;
		this.busy = true;
		try {
			await act();
		} catch (error) {
			this.tell(error instanceof Problem ? error.message : String(error));
		} finally {
			this.busy = false;
		}
	}

	older() {
		return this.alone(async () => {
			const from = Math.max(0, this.start - CHUNK_BYTES),
				wanted = this.start;
			const {array} = await this.read(`offset=${from}&limit=${wanted - from}`);

			if (this.start === wanted) this.prepend(array, from);
		});
	}

	newer() {
		return this.alone(async () => {
			const from = this.end + this.pending.length;
			const {array} = await this.read(`offset=${from}&limit=${CHUNK_BYTES}`);

			if (array.length > 0 && this.end + this.pending.length === from) this.append(array);
		});
	}

	showFrom(offset, bytes = CHUNK_BYTES) {
		this.setFollowing(false);
		return this.alone(async () => {
			const {array, from} = await this.read(`offset=${offset}&limit=${bytes}`);
			const first = from === 0 ? 0 : array.indexOf(NEWLINE) + 1;

			this.clear(from + first);
			this.append(array.subarray(first));
			this.view.scrollTop = 0;
		});
	}

	/* At the end, and on with what comes. */
	async showTail() {
		this.pause();
		await this.alone(async () => {
			const {array, from} = await this.read(`tail=${CHUNK_BYTES}`);

			this.clear(from);
			this.append(array);
			this.view.scrollTop = this.view.scrollHeight;
		});
		this.setFollowing(this.growing);
	}

	/* --- following -------------------------------------------------------------------------------------- */

	setFollowing(wanted) {
		this.wanted = wanted;
		this.followBox.checked = wanted;
		if (!wanted) this.pause();
		else if (this.end + this.pending.length < this.size - CHUNK_BYTES) this.showTail();
		else this.follow();
	}

	pause() {
		this.following?.abort();
		this.following = null;
		this.tell("");
	}

	async readOn(signal) {
		const response = await ask(`${this.path}?offset=${this.end + this.pending.length}&follow=true`, {
			signal,
		});
		const reader = response.body.getReader();

		this.tell("live");
		for (;;) {
			const {done, value} = await reader.read();

			if (done || signal.aborted) return;
			this.append(value);
			this.view.scrollTop = this.view.scrollHeight;
		}
	}

	async follow() {
		if (this.following !== null || this.closed || document.hidden) return;
		const stop = new AbortController();

		this.following = stop;
		this.view.scrollTop = this.view.scrollHeight;
		while (!stop.signal.aborted)
			try {
				await this.readOn(stop.signal);
				break;
			} catch (error) {
				if (stop.signal.aborted) return;
				this.tell(`cut off (${error.message}); trying again`);
				await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
			}
		if (this.following !== stop) return;
		this.growing = false;
		this.setFollowing(false);
		this.tell("ended");
	}

	/* --- searching -------------------------------------------------------------------------------------- */

	/* Every place in what is shown where the text stands, as ranges of the document. */
	matches() {
		const wanted = this.needle.toLowerCase(),
			found = [];
		const walker = document.createTreeWalker(this.lines, NodeFilter.SHOW_TEXT),
			nodes = [];
		let text = "";

		for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
			nodes.push({node, from: text.length});
			text += node.data;
		}
		const low = text.toLowerCase();
		let at = 0;

		/* A range begins in the node that it has a letter of, and ends in the one of its last letter. */
		function nodeAt(letter) {
			while (at + 1 < nodes.length && nodes[at + 1].from <= letter) at++;
			return nodes[at];
		}
		if (low.length !== text.length)
			return found; /* a letter that is longer in lower case: places would be wrong */
		for (
			let i = low.indexOf(wanted);
			i >= 0 && found.length < 5000;
			i = low.indexOf(wanted, i + wanted.length)
		) {
			const range = new Range(),
				first = nodeAt(i),
				last = nodeAt(i + wanted.length - 1);

			range.setStart(first.node, i - first.from);
			range.setEnd(last.node, i + wanted.length - last.from);
			found.push(range);
		}
		return found;
	}

	mark(found) {
		if (globalThis.CSS?.highlights === undefined) return;
		CSS.highlights.set("log-match", new Highlight(...found));
		CSS.highlights.set(
			"log-here",
			found[this.match] === undefined ? new Highlight() : new Highlight(found[this.match])
		);
	}

	showMatch(found, which) {
		this.match = which;
		this.mark(found);
		const frame = found[which].getBoundingClientRect(),
			view = this.view.getBoundingClientRect();

		this.view.scrollTop += frame.top - view.top - view.height / 3;
		this.tell(`match ${which + 1} of ${found.length} in what is shown`);
	}

	async find(direction) {
		const needle = this.searchBox.value;

		if (needle !== this.needle) this.match = direction > 0 ? -1 : Infinity;
		this.needle = needle;
		this.setFollowing(false);
		if (needle === "") {
			this.mark([]);
			return;
		}
		const found = this.matches();
		const next = this.match === Infinity ? found.length - 1 : this.match + direction;

		if (next >= 0 && next < found.length) this.showMatch(found, next);
		else await this.findFurther(direction);
	}

	/*
	 * Where in one block the text stands: the beginning of the slice of CHUNK_BYTES that has it; -1: nowhere.
	 */
	sliceWith(array, direction) {
		const wanted = this.needle.toLowerCase();
		const count = Math.ceil(array.length / CHUNK_BYTES);

		for (let i = 0; i < count; i++) {
			const from = (direction > 0 ? i : count - 1 - i) * CHUNK_BYTES;

			if (
				plain(decode(array.subarray(from, from + CHUNK_BYTES + 4 * wanted.length)))
					.toLowerCase()
					.includes(wanted)
			)
				return from;
		}
		return -1;
	}

	async findFurther(direction) {
		const stop = new AbortController();
		let at = direction > 0 ? this.end : this.start,
			place = -1;

		this.search?.abort();
		this.search = stop;
		this.stopButton.hidden = false;
		try {
			while (place < 0 && !stop.signal.aborted && (direction > 0 ? at < this.size : at > 0)) {
				const from = direction > 0 ? at : Math.max(0, at - SEARCH_BYTES);
				const {array} = await this.read(
					`offset=${from}&limit=${direction > 0 ? SEARCH_BYTES : at - from}`,
					stop.signal
				);

				if (array.length === 0) break;
				place = this.sliceWith(array, direction);
				place = place < 0 ? -1 : from + place;
				at = direction > 0 ? from + array.length : from;
				this.tell(`searching: ${inBytes(at)} of ${inBytes(this.size)}`);
			}
		} catch (error) {
			this.tell(stop.signal.aborted ? "stopped" : error.message);
			return;
		} finally {
			this.stopButton.hidden = true;
		}
		if (place < 0) {
			this.tell(stop.signal.aborted ? "stopped" : `no ${direction > 0 ? "further" : "earlier"} match`);
			return;
		}
		await this.showFrom(Math.max(0, place - 4096), CHUNK_BYTES + 8192);
		const found = this.matches();

		if (found.length > 0) this.showMatch(found, direction > 0 ? 0 : found.length - 1);
	}

	close() {
		this.closed = true;
		this.pause();
		this.search?.abort();
		document.removeEventListener("visibilitychange", this.onVisible);
		globalThis.CSS?.highlights?.clear();
	}
}
