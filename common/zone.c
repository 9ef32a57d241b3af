#include "common/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/calendar.h"
#include "common/mem.h"
#include "common/scope.h"
#include "common/zone_rule.h"

#define ZONES "/usr/share/zoneinfo"
#define LOCAL_ZONE "/etc/localtime"

/* 400 years of the calendar, after which weekdays and leap years come again as they were. */
#define CYCLE_S (INT64_C(146097) * CALENDAR_DAY_S)

enum {
	CYCLE_YEARS = 400,
	RULE_YEAR_MIN = 1900, /* of a rule without a file */
	FILE_BYTES_MAX = 1 << 20,
	NAME_BYTES_MAX = 64,
	TYPES_MAX = 256,
	HEADER_BYTES = 44,
	RULE_BYTES_MAX = 256,
	LINK_BYTES_MAX = 4096,
	NEAR_S = ZONE_OFFSET_S_MAX +
		 1, /* a clock that shows some time is nearer than this to that time UTC */
};

struct change {
	int64_t at_s;
	int32_t offset_s; /* from then on */
};

struct zone {
	char *name;
	int32_t first_offset_s; /* before the first change */
	struct change *changes;
	size_t count;
	bool repeats; /* the last 400 years of `changes` go on for ever */
};

/* --- reading a file ------------------------------------------------------------------------------------- */

/* A block of a TZif file: the counts of its header, and its data (RFC 8536, sections 3.1 and 3.2). */
struct block {
	char version;
	int time_bytes; /* 4 in the first block, 8 in the second */
	uint32_t utc_count, standard_count, leap_count, times_count, types_count, name_bytes;
	const uint8_t *data;
	size_t data_bytes;
};

static uint32_t get_u32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static int64_t get_time(const uint8_t *bytes, int time_bytes)
{
	if (time_bytes == 4)
		return (int32_t)get_u32(bytes);
	return (int64_t)((uint64_t)get_u32(bytes) << 32 | get_u32(bytes + 4));
}

static bool read_block(const uint8_t *bytes, size_t n, int time_bytes, struct block *block)
{
	size_t bytes_each_time = (size_t)time_bytes;

	if (n < HEADER_BYTES || memcmp(bytes, "TZif", 4) != 0)
		return false;
	*block = (struct block){
		.version = (char)bytes[4],
		.time_bytes = time_bytes,
		.utc_count = get_u32(bytes + 20),
		.standard_count = get_u32(bytes + 24),
		.leap_count = get_u32(bytes + 28),
		.times_count = get_u32(bytes + 32),
		.types_count = get_u32(bytes + 36),
		.name_bytes = get_u32(bytes + 40),
		.data = bytes + HEADER_BYTES,
	};
	/* No count is larger than the file, so nothing below can overflow. */
	if (block->utc_count > n || block->standard_count > n || block->leap_count > n ||
	    block->times_count > n || block->types_count > TYPES_MAX || block->name_bytes > n)
		return false;
	block->data_bytes = block->times_count * (bytes_each_time + 1) + block->types_count * (size_t)6 +
			    block->name_bytes + block->leap_count * (bytes_each_time + 4) +
			    block->standard_count + block->utc_count;
	return block->types_count > 0 && block->data_bytes <= n - HEADER_BYTES;
}

static int32_t last_offset_s(const struct zone *zone)
{
	return zone->count == 0 ? zone->first_offset_s : zone->changes[zone->count - 1].offset_s;
}

/*
 * Where the offset stays as it was (only the name changes, say) there is no change; of two at one instant the
 * later counts (daylight saving all the year ends and starts at new year).
 */
static void add_change(struct zone *zone, size_t *room, int64_t at_s, int32_t offset_s)
{
	if (zone->count > 0 && zone->changes[zone->count - 1].at_s == at_s)
		zone->count--;
	if (offset_s == last_offset_s(zone))
		return;
	mem_grow(&zone->changes, room, zone->count, sizeof *zone->changes);
	zone->changes[zone->count++] = (struct change){ at_s, offset_s };
}

static bool read_types(const struct block *block, int32_t offsets[TYPES_MAX])
{
	const uint8_t *types = block->data + block->times_count * (size_t)(block->time_bytes + 1);

	for (uint32_t i = 0; i < block->types_count; i++) {
		offsets[i] = (int32_t)get_u32(types + 6 * (size_t)i);
		if (offsets[i] > ZONE_OFFSET_S_MAX || offsets[i] < -ZONE_OFFSET_S_MAX)
			return false;
	}
	return true;
}

/* *last_s_out: up to when the file tells everything; INT64_MIN when it has no transition at all. */
static bool read_changes(struct zone *zone, size_t *room, const struct block *block, int64_t *last_s_out)
{
	const uint8_t *times = block->data;
	const uint8_t *types = times + block->times_count * (size_t)block->time_bytes;
	int32_t offsets[TYPES_MAX] = { 0 };

	if (!read_types(block, offsets))
		return false;
	*last_s_out = INT64_MIN;
	zone->first_offset_s = offsets[0];
	for (uint32_t i = 0; i < block->times_count; i++) {
		int64_t at_s = get_time(times + i * (size_t)block->time_bytes, block->time_bytes);

		if ((i > 0 && at_s <= *last_s_out) || types[i] >= block->types_count)
			return false;
		add_change(zone, room, at_s, offsets[types[i]]);
		*last_s_out = at_s;
	}
	return true;
}

/* --- the rule after the last transition ----------------------------------------------------------------- */

static int64_t year_of(int64_t instant_s)
{
	return calendar_date(calendar_floor(instant_s, CALENDAR_DAY_S)).year;
}

static void add_rule_change(struct zone *zone, size_t *room, int64_t after_s, int64_t at_s, int32_t offset_s)
{
	if (at_s > after_s)
		add_change(zone, room, at_s, offset_s);
}

/* From a year before `last_s` on: what a rule does at new year may belong to either. */
static void add_rule(struct zone *zone, size_t *room, const struct zone_rule *rule, int64_t last_s)
{
	int64_t first_year = last_s == INT64_MIN ? RULE_YEAR_MIN : year_of(last_s) - 1;
	int64_t last_year = first_year + CYCLE_YEARS + 3;

	if (last_s == INT64_MIN)
		zone->first_offset_s = rule->standard_s;
	for (int64_t year = first_year; rule->daylight && year <= last_year; year++) {
		int64_t start_s, end_s;

		zone_rule_year(rule, year, &start_s, &end_s);
		if (start_s < end_s) {
			add_rule_change(zone, room, last_s, start_s, rule->daylight_s);
			add_rule_change(zone, room, last_s, end_s, rule->standard_s);
		} else {
			add_rule_change(zone, room, last_s, end_s, rule->standard_s);
			add_rule_change(zone, room, last_s, start_s, rule->daylight_s);
		}
	}
	/* Not when daylight saving is for ever, or makes no difference. */
	zone->repeats = zone->count > 0 && year_of(zone->changes[zone->count - 1].at_s) >= last_year - 1;
}

/* The line behind the second block: a newline, the rule or nothing, a newline. */
static bool read_footer(const uint8_t *bytes, size_t n, char text[RULE_BYTES_MAX])
{
	const uint8_t *end = n < 2 || bytes[0] != '\n' ? NULL : memchr(bytes + 1, '\n', n - 1);

	if (end == NULL || (size_t)(end - bytes) > RULE_BYTES_MAX)
		return false;
	memcpy(text, bytes + 1, (size_t)(end - bytes) - 1);
	text[end - bytes - 1] = '\0';
	return true;
}

static bool are_in_order(const struct zone *zone)
{
	for (size_t i = 1; i < zone->count; i++)
		if (zone->changes[i].at_s <= zone->changes[i - 1].at_s)
			return false;
	return true;
}

static bool read_zone(struct zone *zone, const uint8_t *bytes, size_t n)
{
	struct block block;
	struct zone_rule rule;
	char footer[RULE_BYTES_MAX] = "";
	size_t room = 0;
	int64_t last_s;

	if (!read_block(bytes, n, 4, &block))
		return false;
	if (block.version != '\0') {
		size_t first_bytes = HEADER_BYTES + block.data_bytes, used;

		if (!read_block(bytes + first_bytes, n - first_bytes, 8, &block))
			return false;
		used = first_bytes + HEADER_BYTES + block.data_bytes;
		if (!read_footer(bytes + used, n - used, footer))
			return false;
	}
	/* Files below right/ count leap seconds; their instants are not those of anybody else. */
	if (block.leap_count > 0 || !read_changes(zone, &room, &block, &last_s))
		return false;
	if (footer[0] != '\0') {
		if (zone_rule_parse(footer, &rule, NULL) < 0)
			return false;
		add_rule(zone, &room, &rule, last_s);
	}
	return are_in_order(zone);
}

/* --- finding the file ----------------------------------------------------------------------------------- */

static struct zone *new_zone(const char *name)
{
	struct zone *zone = mem_zalloc(sizeof *zone);

	zone->name = mem_strdup(name);
	return zone;
}

static int open_file(const char *path, const char *name, struct zone **zone_out, struct err *err)
{
	autofclose FILE *file = fopen(path, "re");
	autofree uint8_t *bytes = NULL;
	size_t n;

	if (file == NULL)
		return err_errno(err, "open %s", path);
	bytes = mem_alloc(FILE_BYTES_MAX);
	n = fread(bytes, 1, FILE_BYTES_MAX, file);
	if (ferror(file))
		return err_errno(err, "read %s", path);
	return zone_parse(name, bytes, n, zone_out, err);
}

/* Nothing that leads out of the folder. */
static bool is_name(const char *name)
{
	size_t bytes = strnlen(name, NAME_BYTES_MAX + 1);

	return bytes > 0 && bytes <= NAME_BYTES_MAX && name[0] != '/' && name[0] != '.' &&
	       strstr(name, "/.") == NULL;
}

/* /etc/localtime is a link to the zone's file, as a rule. */
static const char *name_of_local(char text[LINK_BYTES_MAX])
{
	ssize_t bytes = readlink(LOCAL_ZONE, text, LINK_BYTES_MAX);
	const char *found;

	if (bytes <= 0 || bytes >= LINK_BYTES_MAX)
		return "localtime";
	text[bytes] = '\0';
	found = strstr(text, "/zoneinfo/");
	return found == NULL ? "localtime" : found + strlen("/zoneinfo/");
}

static int open_rule(const char *text, struct zone **zone_out, struct err *err)
{
	autozone struct zone *zone = NULL;
	struct zone_rule rule;
	size_t room = 0;
	int rc = zone_rule_parse(text, &rule, err);

	if (rc < 0)
		return rc;
	zone = new_zone(text);
	add_rule(zone, &room, &rule, INT64_MIN);
	if (!are_in_order(zone))
		return err_set(err, ERR_INVALID, "'%.60s' is no time zone: its days overlap", text);
	*zone_out = take(zone);
	return 0;
}

/* --- looking up ----------------------------------------------------------------------------------------- */

/* How many changes there have been at `instant_s`. */
static size_t changes_until(const struct zone *zone, int64_t instant_s)
{
	size_t low = 0, high = zone->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (zone->changes[middle].at_s <= instant_s)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct zone_span span_in_table(const struct zone *zone, int64_t instant_s)
{
	size_t past = changes_until(zone, instant_s);

	return (struct zone_span){
		.from_s = past == 0 ? INT64_MIN : zone->changes[past - 1].at_s,
		.until_s = past == zone->count ? INT64_MAX : zone->changes[past].at_s,
		.offset_s = past == 0 ? zone->first_offset_s : zone->changes[past - 1].offset_s,
	};
}

/* The first span in which the clock could show `local_s`: before it, it was earlier by any offset. */
static struct zone_span span_before(const struct zone *zone, int64_t local_s)
{
	return zone_span_at(zone, local_s - NEAR_S);
}

/* ------------------------------------------------------------------------------------------------------- */

int zone_open(const char *name, struct zone **zone_out, struct err *err)
{
	char path[sizeof ZONES + NAME_BYTES_MAX + 1];
	int rc;

	if (!is_name(name))
		return err_set(err, ERR_INVALID, "'%.60s' is not the name of a time zone", name);
	snprintf(path, sizeof path, ZONES "/%s", name);
	rc = open_file(path, name, zone_out, err);
	if (rc < 0 && strcmp(name, "UTC") == 0)
		return open_rule("UTC0", zone_out, err);
	if (rc < 0)
		err_wrap(err, "time zone '%s'", name);
	return rc;
}

int zone_open_local(struct zone **zone_out, struct err *err)
{
	char link[LINK_BYTES_MAX];
	const char *name = getenv("TZ");
	int rc;

	if (name == NULL) {
		if (access(LOCAL_ZONE, F_OK) < 0)
			return zone_open("UTC", zone_out, err);
		rc = open_file(LOCAL_ZONE, name_of_local(link), zone_out, err);
		if (rc < 0)
			err_wrap(err, "this machine's time zone");
		return rc;
	}
	name += *name == ':';
	if (*name == '\0')
		return zone_open("UTC", zone_out, err);
	rc = *name == '/' ? open_file(name, name, zone_out, err) : zone_open(name, zone_out, err);
	if (rc == 0 || open_rule(name, zone_out, NULL) == 0)
		return 0;
	return err_set(err, ERR_INVALID, "TZ is '%.60s', which is neither a time zone known here nor a rule",
		       name);
}

int zone_parse(const char *name, const void *bytes, size_t n, struct zone **zone_out, struct err *err)
{
	autozone struct zone *zone = new_zone(name);

	if (!read_zone(zone, bytes, n))
		return err_set(err, ERR_INVALID, "its file is damaged, or of a kind that is not known");
	*zone_out = take(zone);
	return 0;
}

void zone_free(struct zone *zone)
{
	if (zone == NULL)
		return;
	free(zone->changes);
	free(zone->name);
	free(zone);
}

const char *zone_name(const struct zone *zone)
{
	return zone->name;
}

bool zone_is_same(const struct zone *one, const struct zone *other)
{
	if (one->first_offset_s != other->first_offset_s || one->count != other->count ||
	    one->repeats != other->repeats)
		return false;
	for (size_t i = 0; i < one->count; i++)
		if (one->changes[i].at_s != other->changes[i].at_s ||
		    one->changes[i].offset_s != other->changes[i].offset_s)
			return false;
	return true;
}

struct zone_span zone_span_at(const struct zone *zone, int64_t instant_s)
{
	int64_t last_s, shift_s;
	struct zone_span span;

	if (!zone->repeats || instant_s < (last_s = zone->changes[zone->count - 1].at_s))
		return span_in_table(zone, instant_s);
	shift_s = ((instant_s - last_s) / CYCLE_S + 1) * CYCLE_S;
	span = span_in_table(zone, instant_s - shift_s);
	span.from_s += shift_s;
	span.until_s += shift_s;
	return span;
}

int zone_instants(const struct zone *zone, int64_t local_s, int64_t instants_s[ZONE_INSTANTS_MAX])
{
	struct zone_span span = span_before(zone, local_s);
	int count = 0;

	for (;;) {
		int64_t instant_s = local_s - span.offset_s;

		if (instant_s >= span.from_s && instant_s < span.until_s && count < ZONE_INSTANTS_MAX)
			instants_s[count++] = instant_s;
		if (span.until_s > local_s + NEAR_S)
			return count;
		span = zone_span_at(zone, span.until_s);
	}
}

int64_t zone_reach(const struct zone *zone, int64_t local_s)
{
	struct zone_span span = span_before(zone, local_s);

	while (span.until_s <= local_s - span.offset_s)
		span = zone_span_at(zone, span.until_s);
	return local_s - span.offset_s < span.from_s ? span.from_s : local_s - span.offset_s;
}

int64_t zone_latest_shown(const struct zone *zone, int64_t instant_s)
{
	/* Whatever was shown longer ago than two offsets is earlier than now by any offset. */
	struct zone_span span = zone_span_at(zone, instant_s - 2 * NEAR_S);
	int64_t latest_s = INT64_MIN;

	for (;;) {
		bool over = span.until_s <= instant_s;
		int64_t shown_s = (over ? span.until_s - 1 : instant_s) + span.offset_s;

		latest_s = shown_s > latest_s ? shown_s : latest_s;
		if (!over)
			return latest_s;
		span = zone_span_at(zone, span.until_s);
	}
}

const char *zone_offset_text(int32_t offset_s, char text[ZONE_OFFSET_BYTES])
{
	unsigned size = (unsigned)abs(offset_s) %
			100000; /* below two days: the compiler is told that it fits */
	int used = snprintf(text, ZONE_OFFSET_BYTES, "%c%02u:%02u", offset_s < 0 ? '-' : '+', size / 3600,
			    size / 60 % 60);

	if (size % 60 != 0)
		snprintf(text + used, ZONE_OFFSET_BYTES - (size_t)used, ":%02u", size % 60);
	return text;
}
