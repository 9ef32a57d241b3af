#include "dag/naming.h"

#include <stddef.h>
#include <string.h>

#include "dag/dag.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define DIGITS "0123456789"

static bool consists_of(const char *name, const char *first, const char *rest, size_t bytes_max)
{
	size_t bytes = strlen(name);

	return bytes > 0 && bytes <= bytes_max && strchr(first, name[0]) != NULL &&
	       name[strspn(name, rest)] == '\0';
}

bool naming_valid(const char *name)
{
	return consists_of(name, LETTERS DIGITS, LETTERS DIGITS ".-", DAG_NAME_BYTES_MAX);
}

bool naming_valid_param(const char *name)
{
	return consists_of(name, LETTERS, LETTERS DIGITS "-", DAG_NAME_BYTES_MAX);
}

bool naming_valid_variable(const char *name)
{
	return consists_of(name, LETTERS, LETTERS DIGITS, DAG_SCRIPT_BYTES_MAX);
}

bool naming_valid_output(const char *name)
{
	return consists_of(name, LETTERS, LETTERS DIGITS ".-", DAG_NAME_BYTES_MAX);
}
