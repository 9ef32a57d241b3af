#include "dag/duration.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/scope.h"

static const struct unit {
	const char *name;
	int64_t size;
} time_units[] = {
	{ "w", INT64_C(7) * 24 * 3600 * 1000 },
	{ "d", INT64_C(24) * 3600 * 1000 },
	{ "h", INT64_C(3600) * 1000 },
	{ "m", INT64_C(60) * 1000 },
	{ "s", 1000 },
	{ "ms", 1 },
}, size_units[] = {
	{ "T", INT64_C(1) << 40 },
	{ "G", INT64_C(1) << 30 },
	{ "M", INT64_C(1) << 20 },
	{ "K", INT64_C(1) << 10 },
};

/* What people write instead of a unit of ours. */
static const struct {
	const char *written, *meant;
} time_words[] = {
	{ "msec", "ms" }, { "millis", "ms" }, { "sec", "s" },     { "secs", "s" }, { "second", "s" },
	{ "seconds", "s" }, { "min", "m" },   { "mins", "m" },    { "minute", "m" }, { "minutes", "m" },
	{ "hr", "h" },    { "hrs", "h" },     { "hour", "h" },    { "hours", "h" }, { "day", "d" },
	{ "days", "d" },  { "week", "w" },    { "weeks", "w" },   { "S", "s" },    { "M", "m" },
	{ "H", "h" },     { "D", "d" },       { "W", "w" },
}, size_words[] = {
	{ "KB", "K" },  { "MB", "M" },  { "GB", "G" },  { "TB", "T" },  { "k", "K" },  { "m", "M" },
	{ "g", "G" },   { "t", "T" },   { "kb", "K" },  { "mb", "M" },  { "gb", "G" }, { "tb", "T" },
	{ "Ki", "K" },  { "Mi", "M" },  { "Gi", "G" },  { "Ti", "T" },  { "KiB", "K" }, { "MiB", "M" },
	{ "GiB", "G" }, { "TiB", "T" },
};

struct reading {
	const char *text;
	size_t at;
	size_t *at_out;
	struct err *err;
};

static int refuse_at(struct reading *reading, size_t at)
{
	if (reading->at_out != NULL)
		*reading->at_out = at;
	return ERR_INVALID;
}

/* Digits as a number; -1 when there are none, DURATION_MAX_MS or SIZE_MAX_BYTES are far below the ceiling. */
static int64_t take_number(struct reading *reading)
{
	const int64_t ceiling = INT64_C(1) << 61;
	size_t digits = strspn(reading->text + reading->at, "0123456789");
	int64_t number = 0;

	if (digits == 0)
		return -1;
	for (size_t i = 0; i < digits; i++) {
		if (number < ceiling / 10)
			number = number * 10 + (reading->text[reading->at + i] - '0');
		else
			number = ceiling;
	}
	reading->at += digits;
	return number;
}

static size_t unit_bytes(const struct reading *reading)
{
	return strspn(reading->text + reading->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

static const struct unit *find_unit(const struct reading *reading, const struct unit *units, size_t count)
{
	size_t bytes = unit_bytes(reading);

	for (size_t i = 0; i < count; i++) {
		if (strlen(units[i].name) == bytes &&
		    memcmp(reading->text + reading->at, units[i].name, bytes) == 0)
			return &units[i];
	}
	return NULL;
}

/* Of a number or a word put into a message: nobody reads more of it. */
static int shown_bytes(size_t bytes)
{
	return bytes > 20 ? 20 : (int)bytes;
}

static int refuse_number(struct reading *reading, const char *example)
{
	const char *rest = reading->text + reading->at;

	if (*rest == '\0')
		err_set(reading->err, ERR_INVALID, "is empty; write for example %s", example);
	else if (*rest == '-')
		err_set(reading->err, ERR_INVALID, "may not be negative");
	else if (*rest == ' ')
		err_set(reading->err, ERR_INVALID, "may hold no blanks; write for example %s", example);
	else
		err_set(reading->err, ERR_INVALID, "needs a number before '%.10s'; write for example %s",
			rest, example);
	return refuse_at(reading, reading->at);
}

static int refuse_time_unit(struct reading *reading, size_t number_at)
{
	const char *rest = reading->text + reading->at;
	const char *number = reading->text + number_at;
	int digits = shown_bytes(reading->at - number_at);
	int bytes = (int)unit_bytes(reading);

	for (size_t i = 0; i < COUNT_OF(time_words); i++) {
		if (strlen(time_words[i].written) == (size_t)bytes &&
		    memcmp(rest, time_words[i].written, (size_t)bytes) == 0) {
			err_set(reading->err, ERR_INVALID, "has an unknown unit '%.*s'; write %.*s%s", bytes,
				rest, digits, number, time_words[i].meant);
			return refuse_at(reading, reading->at);
		}
	}
	if (*rest == '.')
		err_set(reading->err, ERR_INVALID,
			"takes whole numbers only; write for example 1h30m instead of 1.5h");
	else if (*rest == ':')
		err_set(reading->err, ERR_INVALID, "takes no ':'; write for example 1h30m or 1m30s");
	else if (*rest == ' ')
		err_set(reading->err, ERR_INVALID, "may hold no blanks; write for example 1h30m");
	else if (bytes == 0 && *rest == '\0')
		err_set(reading->err, ERR_INVALID,
			"has no unit; write %.*ss for seconds, %.*sm for minutes, %.*sh for hours", digits,
			number, digits, number, digits, number);
	else
		err_set(reading->err, ERR_INVALID, "has an unknown unit '%.*s'; the units are w d h m s ms",
			bytes == 0 ? 1 : shown_bytes((size_t)bytes), rest);
	return refuse_at(reading, *rest == '\0' ? number_at : reading->at);
}

static int refuse_size_unit(struct reading *reading, size_t number_at)
{
	const char *rest = reading->text + reading->at;
	const char *number = reading->text + number_at;
	int digits = shown_bytes(reading->at - number_at);
	int bytes = (int)unit_bytes(reading);

	for (size_t i = 0; i < COUNT_OF(size_words); i++) {
		if (strlen(size_words[i].written) == (size_t)bytes &&
		    memcmp(rest, size_words[i].written, (size_t)bytes) == 0) {
			err_set(reading->err, ERR_INVALID,
				"has an unknown unit '%.*s'; write %.*s%s (a power of 1024)", bytes, rest,
				digits, number, size_words[i].meant);
			return refuse_at(reading, reading->at);
		}
	}
	if (*rest == '.')
		err_set(reading->err, ERR_INVALID,
			"takes whole numbers only; write for example 1536M instead of 1.5G");
	else if (*rest == ' ')
		err_set(reading->err, ERR_INVALID, "may hold no blanks; write for example 16G");
	else if (*rest == '\0')
		err_set(reading->err, ERR_INVALID,
			"has no unit; write %.*sM for mebibytes, %.*sG for gibibytes", digits, number, digits,
			number);
	else
		err_set(reading->err, ERR_INVALID, "has an unknown unit '%.*s'; the units are K M G T",
			bytes == 0 ? 1 : shown_bytes((size_t)bytes), rest);
	return refuse_at(reading, *rest == '\0' ? number_at : reading->at);
}

int duration_parse(const char *text, int64_t *ms_out, size_t *at_out, struct err *err)
{
	struct reading reading = { .text = text, .at_out = at_out, .err = err };
	const struct unit *last = NULL;
	int64_t total_ms = 0;

	do {
		size_t number_at = reading.at;
		int64_t number = take_number(&reading);
		const struct unit *unit = find_unit(&reading, time_units, COUNT_OF(time_units));

		if (number < 0)
			return refuse_number(&reading, "90s or 1h30m");
		if (unit == NULL)
			return refuse_time_unit(&reading, number_at);
		if (last != NULL && unit <= last) {
			err_set(err, ERR_INVALID,
				"has '%s' after '%s'; units go from large to small, each once, as in 1d12h",
				unit->name, last->name);
			return refuse_at(&reading, reading.at);
		}
		if (number > DURATION_MAX_MS / unit->size ||
		    total_ms + number * unit->size > DURATION_MAX_MS) {
			err_set(err, ERR_INVALID, "is longer than ten years");
			return refuse_at(&reading, number_at);
		}
		total_ms += number * unit->size;
		reading.at += strlen(unit->name);
		last = unit;
	} while (text[reading.at] != '\0');
	*ms_out = total_ms;
	return 0;
}

int size_parse(const char *text, int64_t *bytes_out, size_t *at_out, struct err *err)
{
	struct reading reading = { .text = text, .at_out = at_out, .err = err };
	int64_t number = take_number(&reading);
	const struct unit *unit = find_unit(&reading, size_units, COUNT_OF(size_units));

	if (number < 0)
		return refuse_number(&reading, "512M or 16G");
	if (unit == NULL)
		return refuse_size_unit(&reading, 0);
	if (number > SIZE_MAX_BYTES / unit->size) {
		err_set(err, ERR_INVALID, "is larger than 2^60 bytes");
		return refuse_at(&reading, 0);
	}
	reading.at += strlen(unit->name);
	if (text[reading.at] != '\0') {
		err_set(err, ERR_INVALID, "is one number and one unit; '%.10s' is too much",
			text + reading.at);
		return refuse_at(&reading, reading.at);
	}
	*bytes_out = number * unit->size;
	return 0;
}

const char *duration_text(int64_t ms, char text[DURATION_TEXT_BYTES])
{
	size_t used = 0;

	snprintf(text, DURATION_TEXT_BYTES, "0s");
	for (size_t i = 0; i < COUNT_OF(time_units) && ms > 0; i++) {
		int64_t number = ms / time_units[i].size;

		if (number == 0)
			continue;
		used += (size_t)snprintf(text + used, DURATION_TEXT_BYTES - used, "%" PRId64 "%s", number,
					 time_units[i].name);
		ms -= number * time_units[i].size;
	}
	return text;
}

const char *size_text(int64_t bytes, char text[DURATION_TEXT_BYTES])
{
	const struct unit *unit = &size_units[COUNT_OF(size_units) - 1];

	for (size_t i = COUNT_OF(size_units); i-- > 0;) {
		if (bytes >= size_units[i].size && bytes % size_units[i].size == 0)
			unit = &size_units[i];
	}
	snprintf(text, DURATION_TEXT_BYTES, "%" PRId64 "%s", bytes / unit->size, unit->name);
	return text;
}
