#include "executor/agent/title.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/mem.h"

static char *area;
static size_t area_bytes;

/* The kernel lays the strings of argv and of the environment out one behind the other. */
static void extend_over(char *string)
{
	if (string == area + area_bytes)
		area_bytes += strlen(string) + 1;
}

void title_init(int argc, char **argv)
{
	size_t count = 0;
	char **copy;

	if (argc < 1)
		return;
	area = argv[0];
	for (int i = 0; i < argc; i++) {
		extend_over(argv[i]);
		argv[i] = mem_strdup(argv[i]);
	}
	while (environ[count] != NULL)
		count++;
	copy = mem_array(count + 1, sizeof *copy);
	for (size_t i = 0; i < count; i++) {
		extend_over(environ[i]);
		copy[i] = mem_strdup(environ[i]);
	}
	environ = copy;
	prctl(PR_SET_NAME, "stoker-agent");
}

void title_set(const char *format, ...)
{
	va_list args;
	int n;

	if (area_bytes < 2)
		return;
	va_start(args, format);
	n = vsnprintf(area, area_bytes, format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < area_bytes)
		memset(area + n, 0, area_bytes - (size_t)n);
}
