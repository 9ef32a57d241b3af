#include "dag/scalar.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/scope.h"

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

static size_t digits_at(const char *text)
{
	return strspn(text, "0123456789");
}

/* Digits without a leading zero, after an optional minus. */
static const char *skip_int(const char *text)
{
	size_t digits;

	text += *text == '-';
	digits = digits_at(text);
	return digits == 0 || (digits > 1 && *text == '0') ? NULL : text + digits;
}

static bool looks_float(const char *text)
{
	const char *rest = skip_int(text);

	if (rest == NULL) {
		rest = text + (*text == '-');
		if (rest[0] != '.' || digits_at(rest + 1) == 0)
			return false;
	}
	if (*rest == '.')
		rest += 1 + digits_at(rest + 1);
	if (*rest == 'e' || *rest == 'E') {
		rest += 1 + (rest[1] == '-' || rest[1] == '+');
		if (digits_at(rest) == 0)
			return false;
		rest += digits_at(rest);
	}
	return *rest == '\0';
}

static bool looks_sexagesimal(const char *text)
{
	text += *text == '-' || *text == '+';
	if (digits_at(text) == 0 || text[digits_at(text)] != ':')
		return false;
	while (digits_at(text) > 0 && text[digits_at(text)] == ':')
		text += digits_at(text) + 1;
	return digits_at(text) > 0 && text[digits_at(text)] == '\0';
}

static bool looks_leading_zero(const char *text)
{
	text += *text == '-' || *text == '+';
	return text[0] == '0' && isdigit((unsigned char)text[1]) &&
	       text[1 + strspn(text + 1, "0123456789._eE")] == '\0';
}

static bool looks_like_notation(const char *text)
{
	static const char *const special[] = { ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN" };

	text += *text == '-' || *text == '+';
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'o' || text[1] == 'b'))
		return isxdigit((unsigned char)text[2]) &&
		       text[2 + strspn(text + 2, "0123456789abcdefABCDEF_")] == '\0';
	if (digits_at(text) > 0 && strchr(text, '_') != NULL)
		return text[strspn(text, "0123456789_")] == '\0';
	return is_one_of(text, special, COUNT_OF(special));
}

enum scalar_kind scalar_kind(const char *text)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
	int64_t number;
	double real;
	bool flag;

	switch (*text) { /* Most scalars are words: the first character settles it. */
	case '\0':
	case '~':
	case 'n':
	case 'N':
		return is_one_of(text, nulls, COUNT_OF(nulls)) ? SCALAR_NULL : SCALAR_STRING;
	case 't':
	case 'T':
	case 'f':
	case 'F':
		return scalar_bool(text, &flag) ? SCALAR_BOOL : SCALAR_STRING;
	default:
		if (scalar_int(text, &number))
			return SCALAR_INT;
		return scalar_float(text, &real) ? SCALAR_FLOAT : SCALAR_STRING;
	}
}

enum scalar_trap scalar_trap(const char *text)
{
	static const char *const words[] = { "yes", "no", "on", "off", "y", "n" };

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (strcasecmp(text, words[i]) == 0)
			return SCALAR_TRAP_BOOL;
	}
	if (looks_sexagesimal(text))
		return SCALAR_TRAP_SEXAGESIMAL;
	if (looks_leading_zero(text))
		return SCALAR_TRAP_LEADING_ZERO;
	return looks_like_notation(text) ? SCALAR_TRAP_NOTATION : SCALAR_NO_TRAP;
}

const char *scalar_trap_reason(enum scalar_trap trap)
{
	switch (trap) {
	case SCALAR_TRAP_LEADING_ZERO:
		return "readers of YAML disagree about a leading zero (octal or not)";
	case SCALAR_TRAP_SEXAGESIMAL:
		return "some readers of YAML take digits with ':' for a number to the base of 60";
	case SCALAR_TRAP_NOTATION:
		return "only plain decimal numbers are read as numbers";
	case SCALAR_TRAP_BOOL:
		return "some readers of YAML take it for a truth value, others for a string";
	case SCALAR_NO_TRAP:
		break;
	}
	return "";
}

const char *scalar_trap_truth(const char *text)
{
	return strcasecmp(text, "yes") == 0 || strcasecmp(text, "on") == 0 || strcasecmp(text, "y") == 0
		   ? "true"
		   : "false";
}

bool scalar_bool(const char *text, bool *out)
{
	static const char *const words[] = { "true", "True", "TRUE", "false", "False", "FALSE" };

	if (!is_one_of(text, words, COUNT_OF(words)))
		return false;
	*out = tolower((unsigned char)text[0]) == 't';
	return true;
}

bool scalar_int(const char *text, int64_t *out)
{
	const char *rest = skip_int(text);
	long long number;

	if (rest == NULL || *rest != '\0' || strcmp(text, "-0") == 0)
		return false;
	errno = 0;
	number = strtoll(text, NULL, 10);
	if (errno != 0)
		return false;
	*out = number;
	return true;
}

bool scalar_float(const char *text, double *out)
{
	double number;

	if (!looks_float(text))
		return false;
	number = strtod(text, NULL);
	if (!isfinite(number))
		return false;
	*out = number;
	return true;
}
