/*
 * words.js - a schedule in words
 *
 *   inWords({cron: "30 2 * * mon-fri", timezone: "Europe/Berlin"})    "Monday to Friday at 02:30 (Europe/Berlin)"
 *
 * Of lines that no short sentence fits it says each field by itself; the due times that the server computes
 * stand beside it.
 */

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS = [
	"",
	"January",
	"February",
	"March",
	"April",
	"May",
	"June",
	"July",
	"August",
	"September",
	"October",
	"November",
	"December",
];
const NICKNAMES = {
	"@yearly": "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
	"@monthly": "0 0 1 * *",
	"@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@hourly": "0 * * * *",
};
const NTH = ["", "first", "second", "third", "fourth", "fifth"];

const pad = (text) => text.padStart(2, "0");
const isNumber = (text) => /^\d+$/.test(text);
const areNumbers = (text) => /^\d+(,\d+)*$/.test(text);

function listed(words) {
	return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

function named(text, names) {
	const short = text.toLowerCase();
	const found = isNumber(text)
		? names[Number(text)]
		: names.find((name) => name !== "" && name.slice(0, 3).toLowerCase() === short);

	return found || text;
}

function span(text, names, unit) {
	const [range, step] = text.split("/");
	const [from, to] = range.split("-");
	const words =
		range === "*"
			? `every ${unit}`
			: to === undefined
				? named(from, names)
				: `${named(from, names)} to ${named(to, names)}`;

	return step === undefined ? words : `every ${step} ${unit}s${range === "*" ? "" : ` from ${words}`}`;
}

function weekday(text) {
	const nth = /^(\w+)#(\d)$/.exec(text),
		last = /^(\w+)l$/i.exec(text);

	if (nth !== null) return `the ${NTH[nth[2]] || `${nth[2]}th`} ${named(nth[1], DAYS)} of the month`;
	if (last !== null) return `the last ${named(last[1], DAYS)} of the month`;
	return span(text, DAYS, "day");
}

function dayOfMonth(text) {
	return text.toUpperCase() === "L"
		? "the last day of the month"
		: `day ${span(text, [], "day")} of the month`;
}

function timesOf(minute, hour) {
	if (areNumbers(minute) && areNumbers(hour) && minute.split(",").length * hour.split(",").length <= 6)
		return `at ${listed(hour.split(",").flatMap((h) => minute.split(",").map((m) => `${pad(h)}:${pad(m)}`)))}`;
	const inHours =
		hour === "*"
			? ""
			: hour.startsWith("*/")
				? `, every ${hour.slice(2)} hours`
				: `, in hour ${listed(hour.split(",").map((text) => span(text, [], "hour")))}`;

	if (minute === "*") return `every minute${inHours}`;
	if (/^\*\/\d+$/.test(minute)) return `every ${minute.slice(2)} minutes${inHours}`;
	if (isNumber(minute) && hour === "*")
		return Number(minute) === 0 ? "every hour, on the hour" : `every hour at ${minute} minutes past`;
	if (isNumber(minute) && /^\*\/\d+$/.test(hour))
		return `every ${hour.slice(2)} hours${Number(minute) === 0 ? "" : `, at ${minute} minutes past`}`;
	return `at minute ${listed(minute.split(",").map((text) => span(text, [], "minute")))}${inHours}`;
}

/* As in Vixie cron, days of month and of week are alternatives when both are restricted. */
function daysOf(day, month, week) {
	const days = day === "*" ? null : listed(day.split(",").map(dayOfMonth));
	const weekdays = week === "*" ? null : listed(week.split(",").map(weekday));
	const both = days !== null && weekdays !== null;
	const joint = both && (day.startsWith("*") || week.startsWith("*")) ? "and" : "or";
	const words = both ? `${days} ${joint} ${weekdays}` : days || weekdays;
	const months =
		month === "*" ? "" : `in ${listed(month.split(",").map((text) => span(text, MONTHS, "month")))}`;

	return [words === null ? "" : words, months].filter((text) => text !== "").join(" ");
}

function capital(text) {
	return text.charAt(0).toUpperCase() + text.slice(1);
}

export function inWords(schedule) {
	const fields = (NICKNAMES[schedule.cron.toLowerCase()] || schedule.cron).trim().split(/\s+/);
	const zone = schedule.timezone === null ? "" : ` (${schedule.timezone})`;

	if (fields.length !== 5) return `${schedule.cron}${zone}`;
	const [minute, hour, day, month, week] = fields;
	const days = daysOf(day, month, week),
		times = timesOf(minute, hour);

	if (days === "" && times.startsWith("at ") && areNumbers(hour)) return `Every day ${times}${zone}`;
	return `${capital(days === "" ? times : `${days} ${times}`)}${zone}`;
}
