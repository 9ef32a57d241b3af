#include "scheduler/trust.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/scope.h"
#include "executor/ssh_dial.h"
#include "scheduler/terminal.h"

static void say(const char *text)
{
	autobuf struct buf out = { 0 };

	terminal_escape(&out, text);
	fprintf(stderr, "%s\n", buf_text(&out));
}

/* --- what is shown -------------------------------------------------------------------------------------- */

static const char *describe_answer(struct arena *arena, const struct hostkey_finding *finding)
{
	switch (finding->answer) {
	case HOSTKEY_KNOWN:
		return arena_printf(arena, "known (%s:%d)", finding->file, finding->line);
	case HOSTKEY_CHANGED:
		return arena_printf(arena, "CHANGED: %s:%d has %s", finding->file, finding->line,
				    finding->old_fingerprint);
	case HOSTKEY_REVOKED:
		return arena_printf(arena, "REVOKED in %s:%d", finding->file, finding->line);
	default:
		return "not known";
	}
}

static void show(struct arena *arena, const struct ssh_look *look, const char *name)
{
	say(arena_printf(arena, "%s %s shows %s:", look->is_jump ? "the jump host" : "the host", name,
			 look->keys_count == 1 ? "this key" : "these keys"));
	for (size_t i = 0; i < look->keys_count; i++) {
		const struct hostkey_finding *finding = &look->keys[i].finding;

		say(arena_printf(arena, "  %-20s %s  %s", finding->type, finding->fingerprint,
				 describe_answer(arena, finding)));
	}
}

static size_t count(const struct ssh_look *look, enum hostkey_answer answer)
{
	size_t n = 0;

	for (size_t i = 0; i < look->keys_count; i++)
		n += look->keys[i].finding.answer == answer;
	return n;
}

static const struct hostkey_finding *first(const struct ssh_look *look, enum hostkey_answer answer)
{
	for (size_t i = 0; i < look->keys_count; i++)
		if (look->keys[i].finding.answer == answer)
			return &look->keys[i].finding;
	return NULL;
}

/* --- whether it is accepted ----------------------------------------------------------------------------- */

/* Fingerprints are compared as people copy them: with SHA256: or without. */
static bool is_meant(const struct trust_plan *plan, const struct ssh_shown *shown)
{
	const char *wanted = plan->fingerprint, *is = shown->finding.fingerprint;

	if (wanted == NULL)
		return true;
	if (strncasecmp(wanted, "SHA256:", 7) == 0)
		wanted += 7;
	return strcmp(wanted, is + strlen("SHA256:")) == 0;
}

static int refuse(const struct trust_plan *plan, const struct ssh_look *look, const char *name,
		  struct err *err)
{
	const struct hostkey_finding *finding = first(look, HOSTKEY_REVOKED);
	size_t meant = 0;

	if (finding != NULL)
		return err_set(err, ERR_DENIED, "a key of %s is marked as revoked in %s:%d", name,
			       finding->file, finding->line);
	finding = first(look, HOSTKEY_CHANGED);
	if (finding != NULL && !plan->replace)
		return err_set(
			err, ERR_DENIED,
			"the key of %s has changed: either it was installed anew, or somebody else answers in"
			" its place. When you are sure: stoker workers trust %s --replace",
			name, plan->target->worker);
	if (look->file == NULL)
		return err_set(err, ERR_INVALID,
			       "there is no known_hosts file to add a line to"
			       " (UserKnownHostsFile)");
	if (finding != NULL && strcmp(finding->file, look->file) != 0)
		return err_set(err, ERR_DENIED, "the old key of %s is in %s, which is not yours to change",
			       name, finding->file);
	for (size_t i = 0; i < look->keys_count; i++)
		meant += is_meant(plan, &look->keys[i]);
	if (meant == 0)
		return err_set(err, ERR_DENIED, "%s has no key with the fingerprint %s", name,
			       plan->fingerprint);
	return 0;
}

/* 1: yes, 0: no, negative: nobody can be asked. */
static int ask(const struct trust_plan *plan, struct err *err)
{
	char answer[16] = "";

	if (plan->yes || plan->fingerprint != NULL)
		return 1;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return err_set(
			err, ERR_INVALID,
			"there is no terminal to ask on: compare the fingerprint with the machine's, and"
			" give --fingerprint SHA256:... or --yes");
	fputs("Compare with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says on the machine "
	      "itself.\n"
	      "Accept? [yes/no] ",
	      stderr);
	if (fgets(answer, sizeof answer, stdin) == NULL)
		return 0;
	answer[strcspn(answer, "\r\n")] = '\0';
	return strcasecmp(answer, "yes") == 0 || strcasecmp(answer, "y") == 0;
}

/* --- accepting ------------------------------------------------------------------------------------------ */

static int add(const struct trust_plan *plan, const struct ssh_look *look, const char *name,
	       char text[TRUST_TEXT_BYTES], struct err *err)
{
	autobuf struct buf added = { 0 };

	if (count(look, HOSTKEY_CHANGED) > 0 && hostkey_remove(look->file, &look->place, err) < 0)
		return err->code;
	buf_append_text(&added, name);
	for (size_t i = 0; i < look->keys_count; i++) {
		const struct ssh_shown *shown = &look->keys[i];

		if (!is_meant(plan, shown))
			continue;
		if (hostkey_add(look->file, &look->place, shown->key, shown->key_bytes, err) < 0)
			return err->code;
		buf_printf(&added, " %s %s", shown->finding.type, shown->finding.fingerprint);
	}
	snprintf(text, TRUST_TEXT_BYTES, "%s", buf_text(&added));
	fprintf(stderr, "stoker: %s is trusted now, by %s\n", name, look->file);
	return 0;
}

static int trust_host(struct arena *arena, const struct trust_plan *plan, const struct ssh_look *look,
		      enum trust_outcome *outcome, char text[TRUST_TEXT_BYTES], struct err *err)
{
	autobuf struct buf name = { 0 };
	int rc;

	hostkey_name(&look->place, &name);
	show(arena, look, buf_text(&name));
	/* One key that is known is enough, for it is the one that is asked for. */
	if (count(look, HOSTKEY_KNOWN) > 0 &&
	    count(look, HOSTKEY_KNOWN) + count(look, HOSTKEY_UNKNOWN) == look->keys_count) {
		*outcome = TRUST_KNOWN_ALREADY;
		return 0;
	}
	rc = refuse(plan, look, buf_text(&name), err);
	if (rc == 0)
		rc = ask(plan, err);
	if (rc < 0)
		return rc;
	*outcome = rc == 0 ? TRUST_DECLINED : TRUST_ADDED;
	return rc == 0 ? 0 : add(plan, look, buf_text(&name), text, err);
}

int trust_run(const struct trust_plan *plan, enum trust_outcome *outcome_out, char text_out[TRUST_TEXT_BYTES],
	      struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	enum trust_outcome outcome = TRUST_KNOWN_ALREADY;
	struct ssh_look look;
	enum fault fault;

	text_out[0] = '\0';
	*outcome_out = TRUST_KNOWN_ALREADY;
	for (int hop = 0; hop < SSH_HOPS_MAX; hop++) {
		if (ssh_dial_look(&arena, plan->target, &look, &fault, err) < 0)
			return err->code;
		if (trust_host(&arena, plan, &look, &outcome, text_out, err) < 0)
			return err->code;
		if (outcome != TRUST_KNOWN_ALREADY)
			*outcome_out = outcome;
		if (!look.is_jump || outcome != TRUST_ADDED)
			break;
		if (plan->fingerprint != NULL) { /* it was that one's */
			fputs("stoker: the host behind it comes next: give its fingerprint\n", stderr);
			break;
		}
	}
	return 0;
}
