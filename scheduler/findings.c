#include "scheduler/findings.h"

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "common/scope.h"
#include "scheduler/view_rows.h"

enum { NAME_COLUMNS = 12 };

static void print_mark(const struct findings *findings, struct terminal_line *line, enum finding_verdict verdict)
{
	static const struct {
		const char *plain, *sign;
		enum terminal_style style;
	} marks[FINDING_VERDICTS] = {
		[FINDING_OK] = { "ok  ", "\u2713", TERMINAL_GREEN },
		[FINDING_WARNING] = { "warn", "!", TERMINAL_YELLOW },
		[FINDING_PROBLEM] = { "FAIL", "\u2717", TERMINAL_RED },
	};

	terminal_put(line, marks[verdict].style,
		     findings->is_terminal && findings->terminal.utf8 ? marks[verdict].sign
								  : marks[verdict].plain);
}

/* Whole, for what there is to do about it stands at the end. */
static void print_finding(const struct findings *findings, const struct frame_finding *finding)
{
	autobuf struct buf text = { 0 };
	struct terminal_line line = terminal_line_start(&findings->terminal, &text, SIZE_MAX);
	size_t columns = terminal_columns(finding->name);

	print_mark(findings, &line, finding->verdict);
	terminal_put(&line, TERMINAL_PLAIN, " ");
	terminal_put(&line, TERMINAL_BOLD, finding->name);
	terminal_blanks(&line, columns < NAME_COLUMNS ? NAME_COLUMNS - columns : 0);
	terminal_put(&line, TERMINAL_PLAIN, " ");
	terminal_put(&line, TERMINAL_PLAIN, finding->text);
	if (finding->remedy[0] != '\0')
		terminal_printf(&line, TERMINAL_PLAIN, "; %s", finding->remedy);
	printf("%s\n", buf_text(&text));
	fflush(stdout);
}

void findings_init(struct findings *findings, bool json)
{
	*findings = (struct findings){ .terminal = terminal_of(stdout), .is_terminal = isatty(STDOUT_FILENO) };
	findings->terminal.columns = SIZE_MAX; /* nothing of it is cut */
	if (json)
		findings->steps = json_array();
}

void findings_add(struct findings *findings, const struct frame_finding *finding)
{
	findings->problems += finding->verdict == FINDING_PROBLEM;
	findings->warnings += finding->verdict == FINDING_WARNING;
	if (findings->steps == NULL)
		print_finding(findings, finding);
	else
		json_array_append_new(findings->steps,
				      json_pack("{s:o, s:s, s:o, s:o}", "name", view_string(finding->name),
						"verdict", finding_names[finding->verdict], "text",
						view_string(finding->text), "remedy",
						view_string(finding->remedy)));
}
