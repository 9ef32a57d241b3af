/*
 * dialogs.js - what asks before something is changed: a token, a cancel, a retry; and what changes it without asking
 *
 * A dialog resolves to what came of it, or to null when it was left.
 */
import {h} from "./dom.js";
import {login, path, send} from "./api.js";

/* `act` does what the dialog is for; its error is shown and the dialog stays. */
function dialog(title, content, label, act, cancel = "Leave") {
	return new Promise((resolve) => {
		const problem = h("p", {class: "problem", role: "alert", hidden: true});
		const button = h("button", {type: "submit", class: "main"}, label);
		const form = h(
			"form",
			{
				method: "dialog",
				onsubmit: async (event) => {
					event.preventDefault();
					button.disabled = true;
					problem.hidden = true;
					try {
						finish(await act());
					} catch (error) {
						problem.textContent = error.message;
						problem.hidden = false;
						button.disabled = false;
					}
				},
			},
			h("h2", {id: "dialog-title"}, title),
			content,
			problem,
			h(
				"div",
				{class: "actions"},
				button,
				h("button", {type: "button", onclick: () => finish(null)}, cancel)
			)
		);
		const element = h(
			"dialog",
			{
				"aria-labelledby": "dialog-title",
				oncancel: (event) => {
					event.preventDefault();
					finish(null);
				},
			},
			form
		);

		function finish(value) {
			element.close();
			element.remove();
			resolve(value);
		}
		document.body.append(element);
		element.showModal();
	});
}

/* True when a token was accepted. */
export async function askToken(why) {
	const field = h("input", {
		type: "password",
		id: "token",
		autocomplete: "current-password",
		required: true,
		placeholder: "stoker_…",
	});

	return (
		(await dialog(
			"A token is needed",
			[
				h("p", null, why),
				h(
					"p",
					{class: "muted"},
					"On the machine of the server: ",
					h("code", null, "stoker token create --role operator"),
					". This browser stays logged in for 12 hours."
				),
				h("label", {for: "token"}, "Token"),
				field,
			],
			"Log in",
			async () => {
				await login(field.value.trim());
				return true;
			}
		)) === true
	);
}

export function askCancel(dag, number) {
	const now = h("input", {type: "checkbox", id: "cancel-now"});

	return dialog(
		`Cancel ${dag}/${number}?`,
		[
			h(
				"p",
				null,
				"Its steps are asked to stop, may write a last checkpoint, and are ended when their grace is over."
			),
			h("p", null, h("label", {for: "cancel-now"}, now, " at once, without grace")),
		],
		"Cancel the run",
		() => send("POST", path`/runs/${dag}/${number}/cancel`, now.checked ? {now: true} : {}),
		"Let it run"
	);
}

const DOES = {run: "runs again", resume: "goes on from", keep: "stays as it is"};

function previewRows(tasks) {
	const order = ["resume", "run", "keep"];
	const changed = tasks.filter((task) => task.does !== "keep");
	const rows = changed
		.slice(0, 50)
		.sort((a, b) => order.indexOf(a.does) - order.indexOf(b.does))
		.map((task) =>
			h(
				"li",
				null,
				h("strong", null, task.task),
				` ${DOES[task.does]}${task.from_checkpoint === null || task.does !== "resume" ? "" : ` ${task.from_checkpoint}`}`
			)
		);

	return [
		h("ul", null, rows, changed.length > 50 ? h("li", null, `and ${changed.length - 50} more`) : null),
		h("p", {class: "muted"}, `${tasks.length - changed.length} of ${tasks.length} ${DOES.keep}.`),
	];
}

/* `from`: the step that is chosen at first; "": what did not succeed. */
export function askRetry(dag, number, steps, from = "") {
	const where = path`/runs/${dag}/${number}/retry`;
	const preview = h("div", {role: "status", class: "preview"}, "…");
	const choice =
		steps.length > 2000
			? h("input", {
					id: "retry-from",
					value: from,
					placeholder: "what did not succeed",
					list: "retry-steps",
				})
			: h(
					"select",
					{id: "retry-from"},
					h("option", {value: ""}, "what did not succeed"),
					steps.map((step) =>
						h("option", {value: step, selected: step === from}, `${step}, and what needs it`)
					)
				);
	let asked = 0;

	async function show() {
		const mine = ++asked;
		const body = {dry_run: true, ...(choice.value === "" ? {} : {from: choice.value})};

		try {
			const answer = await send("POST", where, body);

			if (mine === asked) preview.replaceChildren(...previewRows(answer.tasks || []));
		} catch (error) {
			if (mine === asked) preview.replaceChildren(h("p", {class: "problem"}, error.message));
		}
	}
	choice.addEventListener("change", show);
	const done = dialog(
		`Retry ${dag}/${number}`,
		[h("label", {for: "retry-from"}, "Run again"), choice, preview],
		"Retry",
		() => send("POST", where, choice.value === "" ? {} : {from: choice.value})
	);

	show();
	return done;
}

/* A button that changes something at once, with room beside it for what went wrong. */
export function changeButton(label, address, again, attributes = {}) {
	const problem = h("span", {class: "problem", role: "alert"});

	return [
		h(
			"button",
			{
				type: "button",
				...attributes,
				onclick: async () => {
					problem.textContent = "";
					try {
						await send("POST", address, {});
						again();
					} catch (error) {
						problem.textContent = error.message;
					}
				},
			},
			label
		),
		" ",
		problem,
	];
}
