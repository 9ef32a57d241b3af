/*
 * test_bad_dags.c - each file of tests/e2e/bad gets the diagnostics beside it, each of tests/e2e/good none
 *
 * With STOKER_UPDATE_EXPECTED=1 the expectations are written anew, to be read in the diff.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/scope.h"
#include "dag/dag.h"
#include "dag/diagnostic.h"

enum { EXPECTED_BYTES_MAX = 1024 * 1024 };

static int number, failures;

static void report(bool ok, const char *name, const char *why)
{
	printf("%sok %d - %s%s%s\n", ok ? "" : "not ", ++number, name, *why == '\0' ? "" : " # ", why);
	failures += !ok;
}

/* What diagnostics_print writes; the caller frees it. */
static char *printed(struct diagnostics *diagnostics)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (out == NULL)
		abort();
	diagnostics_print(diagnostics, out, false);
	fclose(out);
	return text;
}

static void read_text(const char *path, struct buf *out)
{
	autofclose FILE *file = fopen(path, "re");
	char chunk[4096];
	size_t n;

	buf_init(out, EXPECTED_BYTES_MAX);
	while (file != NULL && (n = fread(chunk, 1, sizeof chunk, file)) > 0)
		buf_append(out, chunk, n);
}

static void write_text(const char *path, const char *text)
{
	autofclose FILE *file = fopen(path, "we");

	if (file == NULL || fputs(text, file) < 0)
		abort();
}

static void print_comment(const char *title, const char *text)
{
	printf("# %s\n", title);
	while (*text != '\0') {
		int length = (int)strcspn(text, "\n");

		printf("#   %.*s\n", length, text);
		text += length + (text[length] == '\n');
	}
}

/* One file expects the machine to know time zones. */
static bool lacks_zones(const char *name)
{
	return strcmp(name, "schedule_options.yaml") == 0 &&
	       access("/usr/share/zoneinfo/Europe/Berlin", R_OK) < 0;
}

static void check_bad(const char *name)
{
	autodiagnostics struct diagnostics diagnostics;
	autobuf struct buf expected = { 0 };
	autodag struct dag *dag = NULL;
	autofree char *found = NULL;
	char path[256];
	int rc;

	diagnostics_init(&diagnostics);
	if (lacks_zones(name)) {
		report(true, name, "SKIP no /usr/share/zoneinfo");
		return;
	}
	rc = dag_load(name, &dag, &diagnostics);
	found = printed(&diagnostics);
	snprintf(path, sizeof path, "%.*s.expected", (int)(strlen(name) - strlen(".yaml")), name);
	if (getenv("STOKER_UPDATE_EXPECTED") != NULL)
		write_text(path, found);
	read_text(path, &expected);
	if (rc >= 0) {
		report(false, name, "was accepted");
	} else if (strcmp(buf_text(&expected), found) != 0) {
		report(false, name, "other diagnostics than expected");
		print_comment("expected", buf_text(&expected));
		print_comment("found", found);
	} else {
		report(true, name, "");
	}
}

static void check_good(const char *name)
{
	autodiagnostics struct diagnostics diagnostics;
	autodag struct dag *dag = NULL;
	autofree char *found = NULL;
	int rc;

	diagnostics_init(&diagnostics);
	rc = dag_load(name, &dag, &diagnostics);
	found = printed(&diagnostics);
	report(rc == 0 && *found == '\0', name,
	       rc < 0           ? "was refused"
	       : *found == '\0' ? ""
				: "has warnings");
	if (*found != '\0')
		print_comment("found", found);
}

static void check_folder(const char *folder, void (*check)(const char *name), size_t least)
{
	const char *source = getenv("STOKER_SOURCE");
	autofree char *path = NULL;
	glob_t files;

	if (asprintf(&path, "%s/%s", source == NULL ? "." : source, folder) < 0 || chdir(path) < 0) {
		report(false, folder, "no such folder; is STOKER_SOURCE right?");
		return;
	}
	if (glob("*.yaml", 0, NULL, &files) != 0 || files.gl_pathc < least) {
		report(false, folder, "files are missing");
		return;
	}
	for (size_t i = 0; i < files.gl_pathc; i++)
		check(files.gl_pathv[i]);
	globfree(&files);
}

int main(void)
{
	if (getenv("STOKER_SOURCE") == NULL && access("tests/e2e/bad", R_OK) < 0)
		printf("# STOKER_SOURCE is not set\n");
	check_folder("tests/e2e/bad", check_bad, 45);
	check_folder("tests/e2e/good", check_good, 4);
	printf("1..%d\n", number);
	return failures > 0;
}
