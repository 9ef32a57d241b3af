#include "web/metrics.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "common/scope.h"
#include "common/utf8.h"

static void append_escaped(struct buf *out, const char *text)
{
	for (size_t rest = strlen(text), n; rest > 0; text += n, rest -= n) {
		uint32_t code;

		n = utf8_decode(text, rest, &code);
		if (n == 0) {
			buf_append_text(out, "\xef\xbf\xbd");
			n = 1;
		} else if (*text == '\\' || *text == '"') {
			buf_printf(out, "\\%c", *text);
		} else if (*text == '\n') {
			buf_append_text(out, "\\n");
		} else {
			buf_append(out, text, n);
		}
	}
}

void metrics_family(struct metrics *metrics, const char *name, const char *type, const char *help)
{
	metrics->name = name;
	buf_printf(&metrics->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The shortest text that reads back as the same number; whole numbers as such. */
static void append_value(struct buf *out, double value)
{
	if (isnan(value))
		buf_append_text(out, "NaN");
	else if (isinf(value))
		buf_append_text(out, value > 0 ? "+Inf" : "-Inf");
	else if (value == floor(value) && fabs(value) < 1e15)
		buf_printf(out, "%.0f", value);
	else
		buf_printf(out, "%.15g", value);
}

void metrics_sample(struct metrics *metrics, double value, ...)
{
	struct buf *out = &metrics->text;
	const char *label;
	bool first = true;
	va_list args;

	buf_append_text(out, metrics->name);
	va_start(args, value);
	while ((label = va_arg(args, const char *)) != NULL) {
		buf_printf(out, "%s%s=\"", first ? "{" : ",", label);
		append_escaped(out, va_arg(args, const char *));
		buf_append_byte(out, '"');
		first = false;
	}
	va_end(args);
	buf_append_text(out, first ? " " : "} ");
	append_value(out, value);
	buf_append_byte(out, '\n');
}

void metrics_single(struct metrics *metrics, const char *name, const char *type, const char *help, double value)
{
	metrics_family(metrics, name, type, help);
	metrics_sample(metrics, value, NULL);
}
