/*
 * drive.js - drives a browser over the page, for test_page.py
 *
 *   node drive.js STORY URL JSON      the arguments of the story; prints one line of JSON when all it claims is so
 *
 * Modules come from STOKER_PAGE_MODULES, or from node_modules beside this file; the browser from
 * STOKER_CHROMIUM. With STOKER_PAGE_SHOTS=FOLDER it leaves pictures there.
 */
"use strict";

const assert = require("node:assert/strict");
const path = require("node:path");
const {createRequire} = require("node:module");

const modules = createRequire(
	path.join(process.env.STOKER_PAGE_MODULES || path.join(__dirname, "node_modules"), "x.js")
);
const {chromium} = modules("playwright-core");
const axePath = modules.resolve("axe-core/axe.min.js");

const SLOW = Number(process.env.STOKER_PAGE_SLOW || 1);
const TIMEOUT_MS = 60000 * SLOW; /* the page rests for 20 times as long as its last reading took */
const FLAGS = [
	"--headless",
	"--no-sandbox",
	"--disable-gpu",
	"--disable-quic",
	"--no-first-run",
	"--disable-background-networking",
	"--disable-component-update",
	"--disable-sync",
	"--disable-dev-shm-usage",
];

/* --- what all stories look at --------------------------------------------------------------------------- */

/* A page that notes what must not be: errors, refusals of the policy, requests that leave the host. */
async function openPage(browser, url, options = {}) {
	const context = await browser.newContext({viewport: {width: 1200, height: 900}, ...options});
	const page = await context.newPage();

	page.faults = [];
	page.setDefaultTimeout(TIMEOUT_MS);
	page.on("pageerror", (error) => page.faults.push(`error: ${error.message}`));
	page.on("dialog", (dialog) => {
		page.faults.push(`a dialog: ${dialog.message()}`);
		dialog.dismiss();
	});
	page.on("console", (message) => {
		if (/Content.Security.Policy|TrustedHTML|Uncaught/i.test(message.text()))
			page.faults.push(`console: ${message.text()}`);
	});
	page.on("request", (request) => {
		if (new URL(request.url()).origin !== new URL(url).origin)
			page.faults.push(`a request leaves the host: ${request.url()}`);
	});
	return page;
}

async function go(page, url, hash, problem = "") {
	await page.goto(`${url}/${hash}`);
	await page.waitForSelector("main:not([aria-busy])");
	const shown = (await page.locator(".problem:visible").allInnerTexts()).join();

	assert.ok(problem === "" ? shown === "" : shown.startsWith(problem), `a problem: ${shown}`);
}

async function axe(page, what) {
	await page.evaluate(require("node:fs").readFileSync(axePath, "utf8"));
	const found = await page.evaluate(() => globalThis.axe.run(document, {resultTypes: ["violations"]}));
	const bad = found.violations.filter((it) => it.impact === "serious" || it.impact === "critical");

	assert.deepEqual(
		bad.map(
			(it) =>
				`${it.id}: ${it.help}: ${it.nodes
					.slice(0, 3)
					.map((node) => node.html.slice(0, 160))
					.join(" | ")}`
		),
		[],
		`axe on ${what}`
	);
	return found.passes?.length;
}

async function shot(page, name) {
	if (process.env.STOKER_PAGE_SHOTS)
		await page.screenshot({
			path: path.join(process.env.STOKER_PAGE_SHOTS, `${name}.png`),
			fullPage: true,
		});
}

async function login(page, token) {
	await page.getByLabel("Token", {exact: true}).fill(token);
	await page.getByRole("dialog").getByRole("button", {name: "Log in"}).click();
}

function wellBehaved(page) {
	assert.deepEqual(page.faults, []);
}

/* --- the stories ---------------------------------------------------------------------------------------- */

const stories = {
	/*
	 * Every page in both colours and on a narrow screen: nothing serious for axe, nothing wider than the
	 * screen.
	 */
	async looks(browser, url, {hashes, screens}) {
		for (const [colorScheme, width] of screens) {
			const page = await openPage(browser, url, {
				colorScheme,
				viewport: {width, height: 800},
				reducedMotion: "reduce",
			});

			for (const [name, hash] of Object.entries(hashes)) {
				await go(page, url, hash, name === "nothing" ? "there is no run" : "");
				await page.waitForSelector("#live .is-live");
				await shot(page, `${name}-${colorScheme}-${width}`);
				await axe(page, `${name}, ${colorScheme}, ${width} px`);
				assert.equal(await page.locator("h1").count(), 1, `${name} has one heading`);
				const wider = await page.evaluate(
					() => document.documentElement.scrollWidth - document.documentElement.clientWidth
				);

				assert.ok(wider <= 0, `${name} is ${wider} px wider than a screen of ${width}`);
			}
			wellBehaved(page);
			await page.context().close();
		}
	},

	/* What is computed for eyes: schedules in words, the text of a terminal. */
	async words(browser, url, {schedules, terminal}) {
		const page = await openPage(browser, url);

		await go(page, url, "#/");
		const got = await page.evaluate(
			async ([lines, texts]) => {
				const [{inWords}, {draw, newPen}] = await Promise.all([
					import("/assets/words.js"),
					import("/assets/ansi.js"),
				]);

				return [
					lines.map((cron) => inWords({cron, timezone: null})),
					texts.map((text) =>
						draw(text, newPen())
							.map((node) =>
								node.className ? `[${node.className} ${node.textContent}]` : node.textContent
							)
							.join("")
					),
				];
			},
			[Object.keys(schedules), Object.keys(terminal)]
		);

		assert.deepEqual(got, [Object.values(schedules), Object.values(terminal)]);
		wellBehaved(page);
	},

	async overview(browser, url, {failed, broken, nameless, paused}) {
		const page = await openPage(browser, url);

		await go(page, url, "#/");
		const needs = page.locator(".needs");

		await needs.getByText("failed", {exact: false}).first().waitFor();
		assert.match(await needs.innerText(), new RegExp(`${failed} failed`));
		assert.match(await needs.innerText(), new RegExp(`${broken} has a file that is wrong`));
		/* What has no page of its own is told whole. */
		assert.match(await needs.innerText(), new RegExp(`${nameless} has a file that is wrong:\\s.*error: .*\n(.*\n)+.*error: `));
		assert.equal(await page.getByRole("link", {name: nameless}).count(), 0);
		assert.match(await needs.innerText(), new RegExp(`${paused} is paused`));
		assert.ok((await page.locator(`svg.marks .is-failed`).count()) > 0, "a run that failed has its mark");
		/* Three clicks to the cause: the run, its task, and there is the log. */
		await needs.getByRole("link", {name: `${failed}`}).click();
		await page.locator("table").getByRole("link", {name: "a", exact: true}).click();
		await page.locator(".log-lines", {hasText: "about to fail"}).waitFor();
		wellBehaved(page);
	},

	/* Triggers with parameters, logs in on the way, watches the run, follows its log, cancels it. */
	async night(browser, url, {token, evil}) {
		const page = await openPage(browser, url);

		await go(page, url, "#/dags/night");
		await page.getByLabel("who").fill(evil);
		await page.getByLabel("mode").selectOption("slow");
		await page.getByRole("button", {name: "Trigger a run"}).click();
		await login(page, "stoker_wrong");
		await page.getByRole("dialog").getByRole("alert").waitFor();
		await login(page, token);
		await page.getByRole("heading", {level: 1, name: "night/1"}).waitFor();
		await page.locator(".head").getByText(`who=${evil}`).waitFor();
		/* No reload: the states come by themselves. */
		await page.locator(".node.is-succeeded", {hasText: "prepare"}).waitFor();
		await page.locator(".node.is-running", {hasText: "train"}).waitFor();
		await page.locator("table").getByRole("link", {name: "train"}).click();
		await page.locator(".log-lines", {hasText: `hello ${evil}`}).waitFor();
		await page.locator(".log-lines", {hasText: "line 20"}).waitFor();
		assert.equal(
			await page.locator(".log-lines .ansi-f2").first().innerText(),
			"green",
			"colours are colours"
		);
		assert.match(await page.locator(".log-lines").innerText(), /bar 3 of 3/);
		assert.doesNotMatch(
			await page.locator(".log-lines").innerText(),
			/bar 1 of 3/,
			"a progress bar shows where it is"
		);
		assert.equal(
			await page.locator(".log-lines img, .log-lines b, .head img").count(),
			0,
			"a log is never markup"
		);
		await page.locator(".curve").first().waitFor();
		await page.goBack();
		await page.getByRole("button", {name: "Cancel"}).click();
		await page.getByRole("dialog").getByRole("button", {name: "Cancel the run"}).click();
		await page.locator(".why .is-canceled").waitFor();
		wellBehaved(page);
	},

	/* Retries from a step, after a look at what that would do. */
	async retry(browser, url, {token, run, from}) {
		const page = await openPage(browser, url);

		await go(page, url, `#/runs/${run}`);
		await page.getByRole("button", {name: "Log in"}).click();
		await login(page, token);
		await page.getByText("(operator)").waitFor();
		await page.getByRole("button", {name: "Retry"}).click();
		await page.getByLabel("Run again").selectOption(from);
		await page.locator(".preview", {hasText: `${from} runs again`}).waitFor();
		await axe(page, "the dialog");
		await shot(page, "retry");
		await page.getByRole("dialog").getByRole("button", {name: "Retry"}).click();
		await page.getByRole("row", {name: new RegExp(`^${from} succeeded 2 `)}).waitFor();
		wellBehaved(page);
	},

	async pause(browser, url, {token, dag}) {
		const page = await openPage(browser, url);

		await go(page, url, `#/dags/${dag}`);
		await page.getByRole("button", {name: "Pause", exact: true}).click();
		await login(page, token);
		await page.getByRole("button", {name: "Unpause"}).waitFor();
		await page.locator(".head .is-paused").waitFor();
		await page.getByRole("button", {name: "Unpause"}).click();
		await page.getByRole("button", {name: "Pause", exact: true}).waitFor();

		await go(page, url, "#/workers");
		await page.getByRole("button", {name: "Drain local"}).click();
		await page.getByRole("button", {name: "Undrain local"}).waitFor();
		await page.locator("td", {hasText: "drained by"}).waitFor();
		await axe(page, "a worker that is drained");
		await page.getByRole("button", {name: "Undrain local"}).click();
		await page.getByRole("button", {name: "Drain local"}).waitFor();
		await page.getByRole("button", {name: "Log out"}).click();
		await page.getByRole("button", {name: "Log in"}).waitFor();
		wellBehaved(page);
	},

	/* How busy a machine is comes up to date by itself, under somebody who is about to drain it. */
	async busy(browser, url) {
		const page = await openPage(browser, url);
		const gib = 2 ** 30;
		const load = {at: "2026-01-01T00:00:00Z", load1: 5.25, memory_bytes: 4 * gib, memory_available_bytes: gib};

		await page.clock.install();
		await page.route("**/api/v1/workers", async (route) => {
			const answer = await (await route.fetch()).json();

			answer.workers[0].load = {...load, disk_bytes: null, disk_free_bytes: null};
			await route.fulfill({json: answer});
		});
		await go(page, url, "#/workers");
		const words = () => page.locator(".load").innerText();
		const drain = page.getByRole("button", {name: "Drain local"});

		assert.match(await words(), /^5\.25 on \d+ CPUs?\s+memory: 1\.0 GiB of 4\.0 GiB free\s*$/);
		assert.equal(await page.locator(".load meter").evaluate((meter) => meter.value), 0.75, "the share in use");
		await axe(page, "a busy worker");
		await shot(page, "busy");
		await drain.focus();
		load.load1 = 7.5;
		await page.clock.fastForward(11000);
		await page.locator(".load", {hasText: "7.50"}).waitFor();
		assert.ok(await drain.evaluate((button) => button === document.activeElement), "the focus is where it was");
		wellBehaved(page);
	},

	/* With keys alone: past the navigation, through the form. */
	async keyboard(browser, url, {token}) {
		const page = await openPage(browser, url);

		await go(page, url, "#/dags/quick");
		await page.keyboard.press("Tab");
		assert.equal(
			await page.evaluate(() => document.activeElement.id),
			"skip",
			"the first stop leads past the navigation"
		);
		await page.keyboard.press("Enter");
		assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1");
		for (
			let i = 0;
			i < 20 && !(await page.evaluate(() => document.activeElement.textContent === "Trigger a run"));
			i++
		)
			await page.keyboard.press("Tab");
		await page.keyboard.press("Enter");
		await page.getByRole("dialog").waitFor();
		assert.equal(await page.evaluate(() => document.activeElement.id), "token", "a dialog has the focus");
		await page.keyboard.type(token);
		await page.keyboard.press("Enter");
		await page.locator(".why .is-succeeded").waitFor();
		assert.equal(
			await page.evaluate(() => document.activeElement.tagName),
			"H1",
			"a new page begins with its heading"
		);
		wellBehaved(page);
	},

	/* A long log is read by windows, and searched. */
	async log(browser, url, {task, bytes, needle}) {
		const page = await openPage(browser, url);
		let read = 0;

		page.on("response", async (response) => {
			if (response.url().includes("/log")) read += Number(response.headers()["content-length"] || 0);
		});
		await go(page, url, `#/runs/${task}`);
		await page.locator(".log-lines", {hasText: "the last line"}).waitFor();
		assert.match(await page.locator(".log-place").innerText(), / to .* of /);
		await page.getByRole("button", {name: "Begin"}).click();
		await page.locator(".log-lines", {hasText: "the first line"}).waitFor();
		await page.evaluate(async () => {
			const view = document.querySelector(".log-view");

			for (let i = 0; i < 20; i++) {
				view.scrollTop = view.scrollHeight;
				await new Promise((resolve) => setTimeout(resolve, 50));
			}
		});
		assert.ok(read < bytes / 2, `${read} bytes of ${bytes} were read`);
		const kept = await page.locator(".log-lines").evaluate((element) => element.textContent.length);

		assert.ok(kept < 1024 * 1024, `${kept} bytes are kept`);
		await page.getByLabel("Search the log").fill(needle);
		await page.getByLabel("Search the log").press("Enter");
		await page.locator(".log-lines", {hasText: needle}).waitFor();
		await page.locator(".log-bar", {hasText: "match 1"}).waitFor();
		await shot(page, "log");
		wellBehaved(page);
		return {read, kept};
	},

	/* How long until a graph is drawn; zooming and finding a step in it. */
	async graph(browser, url, {hash, nodes}) {
		const page = await openPage(browser, url);

		await go(page, url, "#/workers"); /* the files of the page are here already */
		const begun = Date.now();

		await go(page, url, hash);
		await page.locator("svg.graph .node").first().waitFor();
		await page.evaluate(
			() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
		);
		const drawn = Date.now() - begun;
		const found = await page.locator("svg.graph .node").count();

		assert.ok(found >= nodes[0] && found <= nodes[1], `${found} nodes are drawn`);
		const width = () => page.locator("svg.graph").evaluate((svg) => svg.getBoundingClientRect().width);
		const before = await width();

		await page.getByRole("button", {name: "Zoom in"}).click();
		assert.ok((await width()) > before, "it is zoomed");
		await page.locator(".graph-view").press("-");
		await page.getByRole("button", {name: "Fit all of it"}).click();
		const view = await page.locator(".graph-view").evaluate((element) => element.clientWidth);

		assert.ok((await width()) <= view, "all of it fits");
		await shot(page, `graph-${found}`);
		wellBehaved(page);
		return {drawn_ms: drawn};
	},

	async plain(browser, url) {
		const page = await openPage(browser, url, {javaScriptEnabled: false});

		await page.goto(url);
		await page.waitForURL("**/plain");
		await page.getByRole("link", {name: "fails", exact: true}).click();
		await page.getByRole("heading", {level: 1, name: "fails"}).waitFor();
		await page
			.getByRole("row", {name: /failed/})
			.first()
			.getByRole("link", {name: "1"})
			.click();
		await page.getByRole("link", {name: "a", exact: true}).click();
		await page.getByText("exit code 3").first().waitFor();
		await shot(page, "plain");
		await page.getByRole("link", {name: "all"}).click();
		await page.getByText("about to fail").waitFor();
		wellBehaved(page);
	},

	/*
	 * The server goes away and comes back: the page says so, and is true again. Lines on stdin are turns of
	 * test_page.py.
	 */
	async cut(browser, url) {
		const page = await openPage(browser, url);
		const turn = () => new Promise((resolve) => process.stdin.once("data", resolve));

		await go(page, url, "#/");
		await page.locator("#live .is-live").waitFor();
		console.log("live");
		await turn();
		await page.locator("#live .is-polling").waitFor();
		console.log("cut");
		await turn();
		await page.locator("#live .is-live").waitFor();
		await page.locator("tr", {hasText: "quick"}).locator(".badge.is-succeeded").waitFor();
		await page.locator(".problem:visible").waitFor({state: "detached"});
		wellBehaved(page);
	},

	/* What a first visit costs. */
	async first(browser, url) {
		const page = await openPage(browser, url);
		const client = await page.context().newCDPSession(page);
		let bytes = 0;

		await client.send("Network.enable");
		client.on("Network.loadingFinished", (event) => (bytes += event.encodedDataLength));
		const begun = Date.now();

		await go(page, url, "#/");
		await page.evaluate(
			() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
		);
		return {
			drawn_ms: Date.now() - begun,
			bytes,
			lines: await page.locator("table.lines tbody tr").count(),
		};
	},
};

async function main() {
	const [name, url, given] = process.argv.slice(2);
	const browser = await chromium.launch({
		executablePath: process.env.STOKER_CHROMIUM || "/usr/bin/chromium",
		args: FLAGS,
	});

	try {
		console.log(JSON.stringify((await stories[name](browser, url, JSON.parse(given || "{}"))) || {}));
	} finally {
		await browser.close();
	}
	process.exit(0);
}

main().catch((error) => {
	console.error(error.message || error);
	process.exit(1);
});
