#include "dag/cron.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "common/scope.h"

enum cron_field { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

enum { LINE_BYTES_MAX = 1024, MINUTES_PER_HOUR = 60, HOURS_PER_DAY = 24 };

static const char *const month_names[] = { "jan", "feb", "mar", "apr", "may", "jun",
					   "jul", "aug", "sep", "oct", "nov", "dec" };
static const char *const weekday_names[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" };

static const struct field_rule {
	const char *title;
	int min, max;
	const char *const *names; /* of min, min + 1 ...; NULL: none */
	size_t names_count;
} rules[FIELDS] = {
	[MINUTE] = { "minute", 0, 59, NULL, 0 },
	[HOUR] = { "hour", 0, 23, NULL, 0 },
	[DAY] = { "day of the month", 1, 31, NULL, 0 },
	[MONTH] = { "month", 1, 12, month_names, COUNT_OF(month_names) },
	[WEEKDAY] = { "day of the week", 0, 7, weekday_names, COUNT_OF(weekday_names) },
};

static const struct {
	const char *name, *line;
} nicknames[] = {
	{ "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" },
	{ "@weekly", "0 0 * * 0" }, { "@daily", "0 0 * * *" },    { "@midnight", "0 0 * * *" },
	{ "@hourly", "0 * * * *" },
};

/* A field as it is read: from `at` to the blank or the end behind it. */
struct reading {
	const char *text;
	size_t at;
	enum cron_field field;
	const struct field_rule *rule;
	struct cron *cron;
	uint64_t bits; /* of the field at hand */
	size_t *at_out;
	struct err *err;
};

static int refuse(struct reading *reading, size_t at)
{
	if (reading->at_out != NULL)
		*reading->at_out = at;
	return ERR_INVALID;
}

static bool is_end(char c)
{
	return c == '\0' || c == ' ' || c == '\t' || c == ',';
}

static int refuse_value(struct reading *reading, size_t at)
{
	const char *text = reading->text + at;
	int bytes = 0;

	while (bytes < 20 && !is_end(text[bytes]) && text[bytes] != '/')
		bytes++;
	if (bytes == 0)
		err_set(reading->err, ERR_INVALID, "the %s is missing a value", reading->rule->title);
	else if (*text == '?')
		err_set(reading->err, ERR_INVALID, "'?' is not used here; write '*'");
	else if (strspn(text, "0123456789") >= (size_t)bytes)
		err_set(reading->err, ERR_INVALID, "%s %.*s is not in %d-%d", reading->rule->title, bytes,
			text, reading->rule->min, reading->rule->max);
	else
		err_set(reading->err, ERR_INVALID, "'%.*s' is no %s%s", bytes, text, reading->rule->title,
			reading->rule->names == NULL ? "" : " (numbers and three-letter names are)");
	return refuse(reading, at);
}

/* A number or a name; -1 when there is none, or none in the range. */
static int take_value(struct reading *reading)
{
	const struct field_rule *rule = reading->rule;
	const char *text = reading->text + reading->at;
	size_t digits = strspn(text, "0123456789");
	int value = 0;

	for (size_t i = 0; i < rule->names_count; i++) {
		if (strncasecmp(text, rule->names[i], 3) == 0) {
			reading->at += 3;
			return rule->min + (int)i;
		}
	}
	if (digits == 0 || digits > 4)
		return -1;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (text[i] - '0');
	if (value < rule->min || value > rule->max)
		return -1;
	reading->at += digits;
	return value;
}

/* `/n` behind a range; 1 when there is none, negative when it is wrong. */
static int take_step(struct reading *reading, bool of_range)
{
	const struct field_rule *rule = reading->rule;
	const char *text = reading->text + reading->at;
	size_t digits;
	int step = 0;

	if (*text != '/')
		return 1;
	if (!of_range) {
		err_set(reading->err, ERR_INVALID,
			"a step needs '*' or a range before it, as in */5 or 10-50/5");
		return refuse(reading, reading->at);
	}
	digits = strspn(text + 1, "0123456789");
	for (size_t i = 0; i < digits && step <= rule->max; i++)
		step = step * 10 + (text[1 + i] - '0');
	if (step == 0) {
		err_set(reading->err, ERR_INVALID, "a step is a number from 1, as in */5");
		return refuse(reading, reading->at + 1);
	}
	if (step > rule->max - rule->min) {
		err_set(reading->err, ERR_INVALID, "a step of %.*s is longer than the %s's range %d-%d",
			digits > 20 ? 20 : (int)digits, text + 1, rule->title, rule->min, rule->max);
		return refuse(reading, reading->at + 1);
	}
	if (reading->field == HOUR)
		reading->cron->elapsed = true;
	reading->at += 1 + digits;
	return step;
}

static void add_range(struct reading *reading, int from, int to, int step)
{
	for (int value = from; value <= to; value += step)
		reading->bits |= UINT64_C(1) << value;
}

/* `5L` and `5#2`. True when there was one; *rc_out is negative when it is wrong. */
static bool read_weekday_suffix(struct reading *reading, int weekday, int *rc_out)
{
	const char *text = reading->text + reading->at;
	uint8_t bit = (uint8_t)(1U << weekday % 7);

	*rc_out = 0;
	if (reading->field != WEEKDAY)
		return false;
	if (*text == 'L' || *text == 'l') {
		reading->cron->last_weekdays |= bit;
		reading->at++;
		return true;
	}
	if (*text != '#')
		return false;
	if (text[1] < '1' || text[1] > '0' + CRON_WEEKDAY_NTH_MAX || isdigit((unsigned char)text[2])) {
		err_set(reading->err, ERR_INVALID, "'#' takes a number from 1 to %d, as in mon#2",
			CRON_WEEKDAY_NTH_MAX);
		*rc_out = refuse(reading, reading->at + 1);
		return true;
	}
	reading->cron->nth_weekdays[text[1] - '1'] |= bit;
	reading->at += 2;
	return true;
}

/* One of the things between commas. */
static int read_item(struct reading *reading)
{
	const struct field_rule *rule = reading->rule;
	size_t from_at = reading->at;
	int from = rule->min, to = rule->max, step, rc;
	bool range = true;

	if (reading->text[reading->at] == '*') {
		reading->at++;
	} else if (reading->field == DAY && strchr("Ll", reading->text[reading->at]) != NULL &&
		   reading->text[reading->at] != '\0') {
		reading->cron->last_day = true;
		reading->at++;
		return 0;
	} else {
		from = to = take_value(reading);
		if (from < 0)
			return refuse_value(reading, from_at);
		if (read_weekday_suffix(reading, from, &rc))
			return rc;
		range = reading->text[reading->at] == '-';
		if (range) {
			size_t to_at = ++reading->at;

			to = take_value(reading);
			if (to < 0)
				return refuse_value(reading, to_at);
			if (reading->field == WEEKDAY && to == 0 && from > 0)
				to = 7; /* fri-sun, 5-0 */
		}
		if (to < from) {
			err_set(reading->err, ERR_INVALID,
				"the range of the %s runs backwards; split it in two, as in %s", rule->title,
				reading->field == HOUR ? "22-23,0-2" : "50-59,0-5");
			return refuse(reading, from_at);
		}
	}
	step = take_step(reading, range);
	if (step < 0)
		return step;
	add_range(reading, from, to, step);
	return 0;
}

static int read_field(struct reading *reading)
{
	int rc;

	reading->bits = 0;
	for (;;) {
		char c;

		rc = read_item(reading);
		if (rc < 0)
			return rc;
		c = reading->text[reading->at];
		if (!is_end(c)) {
			err_set(reading->err, ERR_INVALID, "unexpected '%.*s' in the %s", c == '\0' ? 0 : 1,
				(unsigned char)c < 0x80 ? reading->text + reading->at : "?",
				reading->rule->title);
			return refuse(reading, reading->at);
		}
		if (c != ',')
			return 0;
		reading->at++;
	}
}

static void store_field(struct reading *reading, bool star)
{
	struct cron *cron = reading->cron;

	switch (reading->field) {
	case MINUTE:
		cron->minutes = reading->bits;
		break;
	case HOUR:
		cron->hours = (uint32_t)reading->bits;
		cron->elapsed = cron->elapsed || star;
		break;
	case DAY:
		cron->days = (uint32_t)reading->bits;
		cron->any_day = star;
		break;
	case MONTH:
		cron->months = (uint16_t)reading->bits;
		break;
	case WEEKDAY:
		cron->weekdays = (uint8_t)((reading->bits & 0x7f) | reading->bits >> 7);
		cron->any_weekday = star;
		break;
	case FIELDS:
		break;
	}
}

static void skip_blanks(struct reading *reading)
{
	reading->at += strspn(reading->text + reading->at, " \t");
}

static int count_fields(const char *text)
{
	int fields = 0;

	for (text += strspn(text, " \t"); *text != '\0'; text += strspn(text, " \t")) {
		text += strcspn(text, " \t");
		fields++;
	}
	return fields;
}

static int read_line(struct reading *reading)
{
	int fields = count_fields(reading->text);

	if (fields != FIELDS) {
		err_set(reading->err, ERR_INVALID,
			"%d field%s instead of 5; they are minute hour day month weekday%s", fields,
			fields == 1 ? "" : "s", fields == 6 ? ", without seconds" : "");
		return refuse(reading, 0);
	}
	for (int field = MINUTE; field < FIELDS; field++) {
		bool star;
		int rc;

		skip_blanks(reading);
		reading->field = (enum cron_field)field;
		reading->rule = &rules[field];
		star = reading->text[reading->at] == '*';
		rc = read_field(reading);
		if (rc < 0)
			return rc;
		store_field(reading, star);
	}
	return 0;
}

static int read_nickname(struct reading *reading)
{
	for (size_t i = 0; i < COUNT_OF(nicknames); i++) {
		if (strcasecmp(reading->text, nicknames[i].name) == 0) {
			reading->text = nicknames[i].line;
			return read_line(reading);
		}
	}
	if (strcasecmp(reading->text, "@reboot") == 0)
		err_set(reading->err, ERR_INVALID, "'@reboot' names no time");
	else
		err_set(reading->err, ERR_INVALID,
			"'%.20s' is unknown; there are @yearly @annually @monthly @weekly @daily @midnight "
			"@hourly",
			reading->text);
	return refuse(reading, 0);
}

int cron_parse(const char *text, struct cron *cron_out, size_t *at_out, struct err *err)
{
	struct cron cron = { 0 };
	struct reading reading = { .text = text, .cron = &cron, .at_out = at_out, .err = err };
	int rc;

	if (strnlen(text, LINE_BYTES_MAX + 1) > LINE_BYTES_MAX) {
		err_set(err, ERR_INVALID, "longer than %d bytes", LINE_BYTES_MAX);
		return refuse(&reading, 0);
	}
	rc = *text == '@' ? read_nickname(&reading) : read_line(&reading);
	if (rc < 0)
		return rc;
	*cron_out = cron;
	return 0;
}

bool cron_ever_fires(const struct cron *cron)
{
	/* 28 years without a skipped leap year hold each kind of year: leap or not, beginning on each
	 * weekday. */
	const int first_year = 2001, years = 28;

	for (int year = first_year; year < first_year + years; year++) {
		for (int month = 1; month <= 12; month++) {
			for (int day = 1;
			     (cron->months >> month & 1) != 0 && day <= cron_days_in_month(year, month);
			     day++) {
				if (cron_matches_day(cron, year, month, day))
					return true;
			}
		}
	}
	return false;
}

bool cron_matches_day(const struct cron *cron, int year, int month, int day)
{
	int last = cron_days_in_month(year, month);
	uint8_t weekday = (uint8_t)(1U << cron_weekday(year, month, day));
	bool day_matches = (cron->days >> day & 1) != 0 || (cron->last_day && day == last);
	bool weekday_matches = ((cron->weekdays | cron->nth_weekdays[(day - 1) / 7]) & weekday) != 0 ||
			       ((cron->last_weekdays & weekday) != 0 && day + 7 > last);

	if ((cron->months >> month & 1) == 0)
		return false;
	return cron->any_day || cron->any_weekday ? day_matches && weekday_matches
						  : day_matches || weekday_matches;
}

int cron_next_minute(const struct cron *cron, int minute_of_day)
{
	for (int hour = minute_of_day / MINUTES_PER_HOUR; hour < HOURS_PER_DAY; hour++) {
		int from = hour == minute_of_day / MINUTES_PER_HOUR ? minute_of_day % MINUTES_PER_HOUR : 0;
		uint64_t left = cron->minutes >> from << from;

		if ((cron->hours >> hour & 1) != 0 && left != 0)
			return hour * MINUTES_PER_HOUR + __builtin_ctzll(left);
	}
	return -1;
}

int cron_days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

int cron_weekday(int year, int month, int day)
{
	/* Sakamoto's rule: January and February count to the year before; the table holds the months'
	 * offsets. */
	static const int offsets[] = { 0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4 };

	year -= month < 3;
	return (year + year / 4 - year / 100 + year / 400 + offsets[month - 1] + day) % 7;
}
