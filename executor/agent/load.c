#include "executor/agent/load.h"

#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/scope.h"
#include "executor/agent/files.h"

enum { TEXT_BYTES_MAX = 16 * 1024, KIB = 1024, DIGITS_MAX = 15 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Steps over a number; -1: there is none, or it is one that no machine has. */
static int64_t take_number(const char **at)
{
	const char *from = *at;
	int64_t number = 0;

	for (; is_digit(**at) && *at - from < DIGITS_MAX; ++*at)
		number = number * 10 + (**at - '0');
	return *at == from || is_digit(**at) ? -1 : number;
}

int64_t load_parse_average(const char *text)
{
	int64_t milli = take_number(&text);

	if (milli < 0 || *text++ != '.' || !is_digit(*text))
		return -1;
	for (int i = 0; i < 3; i++)
		milli = milli * 10 + (is_digit(*text) ? *text++ - '0' : 0);
	return milli;
}

int64_t load_parse_memory(const char *text, const char *name)
{
	size_t n = strlen(name);
	int64_t kib;

	while (strncmp(text, name, n) != 0 || text[n] != ':') {
		text = strchr(text, '\n');
		if (text == NULL)
			return -1;
		text++;
	}
	text += n + 1;
	text += strspn(text, " ");
	kib = take_number(&text);
	return kib < 0 || strncmp(text, " kB\n", 4) != 0 ? -1 : kib * KIB;
}

static void measure_memory(struct load *out)
{
	autobuf struct buf text = { 0 };

	if (files_read(AT_FDCWD, "/proc/meminfo", TEXT_BYTES_MAX, &text) < 0)
		return;
	out->memory_bytes = load_parse_memory(buf_text(&text), "MemTotal");
	out->memory_available_bytes = load_parse_memory(buf_text(&text), "MemAvailable");
}

static void measure_disk(const char *root, struct load *out)
{
	struct statvfs fs;

	if (statvfs(root, &fs) < 0 || fs.f_blocks == 0)
		return;
	out->disk_bytes = (int64_t)(fs.f_blocks * fs.f_frsize);
	out->disk_free_bytes = (int64_t)(fs.f_bavail * fs.f_frsize);
}

void load_measure(const char *root, struct load *out)
{
	autobuf struct buf average = { 0 };

	*out = (struct load){ -1, -1, -1, -1, -1 };
	if (files_read(AT_FDCWD, "/proc/loadavg", TEXT_BYTES_MAX, &average) == 0)
		out->load1_milli = load_parse_average(buf_text(&average));
	measure_memory(out);
	measure_disk(root, out);
}
