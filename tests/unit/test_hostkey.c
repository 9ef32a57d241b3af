#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "executor/base64.h"
#include "executor/hostkey.h"

/* A key, as ssh-keygen made it, with its fingerprint, and the names that ssh-keygen -H hashed. */
#define KEY "AAAAC3NzaC1lZDI1NTE5AAAAIKVnCA6Hvi6Pje5uxBi+URENthRziPGNB0E7Ir2aXDUv"
#define OTHER "AAAAC3NzaC1lZDI1NTE5AAAAIE4lBCZmRZm/K3STWH3Fe3RfUSoPoe+f/+vHf5HhXxcX"
#define FINGERPRINT "SHA256:WXHHee1ra8PgctNZohWcOmlLWUrajfznkZFCZe+PChI"
#define HASHED "|1|FAA+niQCz0R2j7Y6XPDefiZlrQI=|h6lq9eKOICD+vFEo0SwROCkxfgI="
#define HASHED_PORT "|1|+LM64XmsVHQhoqoY3CC+QkJENXc=|lEvidJiv3l6YofazHHkBcrac2F8="
#define ED " ssh-ed25519 "

static char file[64], second[72];
static struct buf key;

static void write_to(const char *path, const char *text)
{
	autofclose FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(file, sizeof file, "/tmp/stoker-hostkey-%d", (int)getpid());
	snprintf(second, sizeof second, "%s.2", file);
	assert_true(base64_decode(&key, KEY, strlen(KEY)));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(file);
	unlink(second);
	buf_fini(&key);
	return 0;
}

static struct hostkey_finding look_up(const char *host, int port, const char *alias)
{
	const char *files[] = { file, second };
	const struct hostkey_place place = { files, 2, host, port, alias };
	struct hostkey_finding finding;
	struct err err = { .text = "" };

	if (hostkey_check(&place, key.data, key.bytes, &finding, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(finding.fingerprint, FINGERPRINT);
	assert_string_equal(finding.type, "ssh-ed25519");
	return finding;
}

static void expect(const char *text, const char *host, int port, enum hostkey_answer answer)
{
	struct hostkey_finding finding;

	write_to(file, text);
	finding = look_up(host, port, NULL);
	if (finding.answer != answer)
		fail_msg("%s:%d is %d and not %d with\n%s", host, port, finding.answer, answer, text);
}

static void names_are_compared_as_ssh_does(void **state)
{
	(void)state;
	expect("gpu1.lan" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_KNOWN);
	expect("GPU1.lan" ED KEY "\n", "gpu1.LAN", 22, HOSTKEY_KNOWN);
	expect("a,gpu1.lan,10.0.0.1" ED KEY " with a comment\n", "gpu1.lan", 22, HOSTKEY_KNOWN);
	expect("  gpu1.lan\t" ED "\t" KEY "\r\n", "gpu1.lan", 22, HOSTKEY_KNOWN);
	expect("gpu1.lan" ED KEY, "gpu1.lan", 22, HOSTKEY_KNOWN);
	expect("gpu1.lan.de" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_UNKNOWN);
	expect("gpu1" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_UNKNOWN);
	expect("", "gpu1.lan", 22, HOSTKEY_UNKNOWN);
}

static void wildcards_match_and_negation_decides(void **state)
{
	(void)state;
	expect("*.lan" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_KNOWN);
	expect("gpu?.l*n" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_KNOWN);
	expect("*a*b*c*" ED KEY "\n", "xxaxxbxxaxx", 22, HOSTKEY_UNKNOWN);
	expect("*,!gpu1.lan" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_UNKNOWN);
	expect("!gpu1.lan,*" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_UNKNOWN);
	expect("!gpu2.lan,*.lan" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_KNOWN);
	expect("!gpu2.lan" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_UNKNOWN);
	expect("!,,*" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_KNOWN);
}

static void hashed_names_are_found(void **state)
{
	(void)state;
	expect(HASHED ED KEY "\n", "gpu1.lan", 22, HOSTKEY_KNOWN);
	expect(HASHED ED KEY "\n", "gpu2.lan", 22, HOSTKEY_UNKNOWN);
	expect(HASHED_PORT ED KEY "\n", "gpu1.lan", 2222, HOSTKEY_KNOWN);
	expect(HASHED_PORT ED KEY "\n", "gpu1.lan", 22, HOSTKEY_UNKNOWN);
	expect(HASHED ED OTHER "\n", "gpu1.lan", 22, HOSTKEY_CHANGED);
	expect("|1|" ED KEY "\n|1||" ED KEY "\n|1|AA|AA" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_UNKNOWN);
}

static void a_port_is_part_of_the_name(void **state)
{
	(void)state;
	expect("[gpu1.lan]:2222" ED KEY "\n", "gpu1.lan", 2222, HOSTKEY_KNOWN);
	expect("[gpu1.lan]:2222" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_UNKNOWN);
	/* The same key under the name without a port will do, another one is no change. */
	expect("gpu1.lan" ED KEY "\n", "gpu1.lan", 2222, HOSTKEY_KNOWN);
	expect("gpu1.lan" ED OTHER "\n", "gpu1.lan", 2222, HOSTKEY_UNKNOWN);
	expect("gpu1.lan" ED KEY "\n[gpu1.lan]:2222" ED OTHER "\n", "gpu1.lan", 2222, HOSTKEY_CHANGED);
}

static void another_key_of_the_type_is_a_change_and_of_another_type_is_told(void **state)
{
	struct hostkey_finding finding;

	(void)state;
	expect("# comment\n\ngpu1.lan" ED OTHER "\n", "gpu1.lan", 22, HOSTKEY_CHANGED);
	finding = look_up("gpu1.lan", 22, NULL);
	assert_string_equal(finding.file, file);
	assert_int_equal(finding.line, 3);
	assert_memory_equal(finding.old_fingerprint, "SHA256:", 7);
	expect("gpu1.lan" ED OTHER "\ngpu1.lan" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_KNOWN);
	expect("gpu1.lan ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY=\n", "gpu1.lan", 22,
	       HOSTKEY_UNKNOWN);
	assert_string_equal(look_up("gpu1.lan", 22, NULL).other_types, "ecdsa-sha2-nistp256");
}

static void a_revoked_key_is_refused_wherever_it_stands(void **state)
{
	(void)state;
	expect("@revoked *" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_REVOKED);
	expect("gpu1.lan" ED KEY "\n@revoked *" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_REVOKED);
	expect("@revoked gpu1.lan" ED KEY "\ngpu1.lan" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_REVOKED);
	expect("@revoked gpu2.lan" ED KEY "\ngpu1.lan" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_KNOWN);
	expect("@revoked *" ED OTHER "\ngpu1.lan" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_KNOWN);
	write_to(second, "@revoked *" ED KEY "\n");
	expect("gpu1.lan" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_REVOKED);
}

static void authorities_and_garbage_are_passed_over(void **state)
{
	(void)state;
	expect("@cert-authority *" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_UNKNOWN);
	expect("@cert-authority *" ED OTHER "\ngpu1.lan" ED KEY "\n", "gpu1.lan", 22, HOSTKEY_KNOWN);
	expect("what is this\n@\n@revoked\ngpu1.lan\ngpu1.lan ssh-ed25519\ngpu1.lan ssh-rsa " KEY "\n"
	       "gpu1.lan ssh-ed25519 !!!!\ngpu1.lan ssh-ed25519 AAAA\n|1|x|y" ED KEY "\n\x01\xff\xfe\n"
	       "gpu1.lan" ED KEY "\n",
	       "gpu1.lan", 22, HOSTKEY_KNOWN);
}

static void an_alias_stands_for_name_and_port(void **state)
{
	(void)state;
	write_to(file, "cluster" ED KEY "\n");
	assert_int_equal(look_up("10.0.0.1", 2222, "cluster").answer, HOSTKEY_KNOWN);
	assert_int_equal(look_up("cluster", 2222, "other").answer, HOSTKEY_UNKNOWN);
}

static void the_types_that_are_known_are_told_once_each(void **state)
{
	const char *files[] = { file, second };
	const struct hostkey_place place = { files, 2, "gpu1.lan", 2222, NULL };
	char types[HOSTKEY_TYPES_BYTES];

	(void)state;
	write_to(file,
		 "gpu1.lan" ED KEY "\n[gpu1.lan]:2222" ED OTHER "\n@revoked * ssh-rsa AAAAB3NzaC1yc2E=\n");
	write_to(second, "* ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY=\n");
	assert_int_equal(hostkey_types(&place, types, NULL), 0);
	assert_string_equal(types, "ssh-ed25519,ecdsa-sha2-nistp256");
}

static void what_is_added_is_known_then(void **state)
{
	const struct hostkey_place place = { .host = "gpu1.lan", .port = 2222 };
	char path[128], folder[100];
	struct err err;

	(void)state;
	write_to(file, "other" ED OTHER); /* its line has no end */
	assert_int_equal(hostkey_add(file, &place, key.data, key.bytes, &err), 0);
	assert_int_equal(look_up("gpu1.lan", 2222, NULL).answer, HOSTKEY_KNOWN);
	assert_int_equal(look_up("gpu1.lan", 22, NULL).answer, HOSTKEY_UNKNOWN);
	snprintf(folder, sizeof folder, "%s.d", file);
	snprintf(path, sizeof path, "%s/known_hosts", folder);
	assert_int_equal(hostkey_add(path, &place, key.data, key.bytes, &err), 0);
	unlink(path);
	rmdir(folder);
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
	const char *files[] = { "/" };
	const struct hostkey_place place = { files, 1, "gpu1.lan", 22, NULL };
	struct hostkey_finding finding;
	struct err err;

	(void)state;
	assert_true(hostkey_check(&place, key.data, key.bytes, &finding, &err) < 0);
}

static void a_malformed_key_is_refused(void **state)
{
	const struct hostkey_place place = { .host = "gpu1.lan", .port = 22 };
	const uint8_t bad[] = { 0, 0, 0, 200, 's', 's', 'h' };
	struct hostkey_finding finding;
	struct err err;

	(void)state;
	for (size_t n = 0; n <= sizeof bad; n++)
		assert_true(hostkey_check(&place, bad, n, &finding, &err) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_are_compared_as_ssh_does),
		TEST(wildcards_match_and_negation_decides),
		TEST(hashed_names_are_found),
		TEST(a_port_is_part_of_the_name),
		TEST(another_key_of_the_type_is_a_change_and_of_another_type_is_told),
		TEST(a_revoked_key_is_refused_wherever_it_stands),
		TEST(authorities_and_garbage_are_passed_over),
		TEST(an_alias_stands_for_name_and_port),
		TEST(the_types_that_are_known_are_told_once_each),
		TEST(what_is_added_is_known_then),
		TEST(a_file_that_cannot_be_read_is_an_error),
		TEST(a_malformed_key_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
