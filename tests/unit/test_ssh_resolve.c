#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "executor/openssh.h"
#include "executor/ssh_keyfile.h"
#include "executor/ssh_resolve.h"
#include "executor/base64.h"
#include "executor/ssh_wire.h"

static struct arena arena;

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

/* --- destinations --------------------------------------------------------------------------------------- */

static void expect_destination(const char *text, const char *user, const char *host, int port)
{
	struct ssh_destination destination;
	struct err err = { .text = "" };

	if (ssh_destination_parse(&arena, text, &destination, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	assert_string_equal(destination.host, host);
	assert_int_equal(destination.port, port);
	if (user == NULL)
		assert_null(destination.user);
	else
		assert_string_equal(destination.user, user);
}

static void a_destination_is_user_host_and_port(void **state)
{
	(void)state;
	expect_destination("gpu1", NULL, "gpu1", 0);
	expect_destination("alice@gpu1.lan:2222", "alice", "gpu1.lan", 2222);
	expect_destination("alice@corp@gpu1", "alice@corp", "gpu1", 0);
	expect_destination("ssh://alice@gpu1:22", "alice", "gpu1", 22);
	expect_destination("[::1]:22", NULL, "::1", 22);
	expect_destination("bob@[fe80::1]", "bob", "fe80::1", 0);
	expect_destination("fe80::1", NULL, "fe80::1", 0);
}

static void what_is_no_destination_is_refused(void **state)
{
	static const char *const bad[] = { "",	     "@gpu1",	"alice@",  "gpu1:", "gpu1:0", "gpu1:65536",
					   "gpu1:x", "gpu1:+1", "-oProxy", "a@-b",  "-a@b",   "gpu 1",
					   "gpu1\n", "[::1",	"[::1]x",  "[]:22" };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct ssh_destination destination;
		struct err err;

		if (ssh_destination_parse(&arena, bad[i], &destination, &err) != ERR_INVALID)
			fail_msg("'%s' is taken", bad[i]);
	}
}

/* --- what ssh -G says ----------------------------------------------------------------------------------- */

static struct ssh_host answer(const char *text)
{
	const struct ssh_destination destination = { .host = "gpu" };
	struct ssh_host host;
	struct err err = { .text = "" };

	if (ssh_resolve_answer(&arena, text, &destination, "/home/me", "me", &host, &err) < 0)
		fail_msg("%s", err.text);
	return host;
}

static void an_answer_is_taken_apart(void **state)
{
	struct ssh_host host = answer(
		"user alice\nhostname gpu1.lan\nport 2222\nhostkeyalias cluster\n"
		"identitiesonly yes\nidentityagent none\ngssapiauthentication yes\n"
		"identityfile ~/.ssh/%h_%p_%r_%u_%n_%%\nidentityfile none\nidentityfile /k\n"
		"globalknownhostsfile /etc/ssh/ssh_known_hosts\n"
		"userknownhostsfile /home/me/.ssh/known_hosts /home/me/.ssh/known_hosts2\n"
		"proxyjump none\nproxycommand none\ncertificatefile none\n");

	(void)state;
	assert_string_equal(host.user, "alice");
	assert_string_equal(host.host, "gpu1.lan");
	assert_string_equal(host.name, "gpu");
	assert_int_equal(host.port, 2222);
	assert_string_equal(host.alias, "cluster");
	assert_true(host.identities_only && host.gssapi);
	assert_null(host.agent);
	assert_int_equal(host.identities.count, 2);
	assert_string_equal(host.identities.words[0], "/home/me/.ssh/gpu1.lan_2222_alice_me_gpu_%");
	assert_int_equal(host.known_hosts.count, 3);
	assert_string_equal(host.known_hosts.words[0], "/home/me/.ssh/known_hosts");
	assert_string_equal(host.known_hosts.words[2], "/etc/ssh/ssh_known_hosts");
	assert_null(host.jump);
	assert_null(host.openssh_reason);
}

static void what_only_openssh_can_do_is_told(void **state)
{
	(void)state;
	assert_string_equal(answer("proxycommand nc %h %p\n").openssh_reason, "ProxyCommand");
	assert_string_equal(answer("certificatefile /c\n").openssh_reason, "CertificateFile");
	assert_string_equal(answer("proxyjump a,b\n").openssh_reason, "several jump hosts");
	assert_string_equal(answer("proxyjump a\n").jump, "a");
	assert_null(answer("proxyjump a\n").openssh_reason);
}

static void all_but_the_keys_and_what_is_in_the_way_is_settled(void **state)
{
	struct ssh_host host = answer(
		"host gpu\nuser alice\nidentityfile /k\nidentitiesonly no\nforwardagent yes\n"
		"proxycommand nc -x 'a b' %h %p\nsendenv LC_*\nsendenv LANG\n");

	(void)state;
	assert_string_equal(host.settled,
			    "user alice\nproxycommand nc -x 'a b' %h %p\nsendenv LC_*\nsendenv LANG\n");
}

static void the_cheapest_cipher_comes_first_where_ssh_itself_chose_the_order(void **state)
{
	struct ssh_host host = answer(
		"ciphers chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com,"
		"aes256-gcm@openssh.com\n");

	(void)state;
	assert_string_equal(
		openssh_order(&arena, host.ciphers),
		"aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr");
	assert_null(openssh_order(&arena, "aes128-ctr,aes128-gcm@openssh.com"));
	assert_null(openssh_order(&arena, "chacha20-poly1305@openssh.com,aes128-ctr"));
	assert_null(openssh_order(&arena, "chacha20-poly1305@openssh.com"));
	assert_null(openssh_order(&arena, ""));
	assert_null(answer("").ciphers);
}

static void the_agent_is_where_the_configuration_says(void **state)
{
	(void)state;
	setenv("SSH_AUTH_SOCK", "/from/environment", 1);
	setenv("MY_AGENT", "/from/variable", 1);
	assert_string_equal(answer("").agent, "/from/environment");
	assert_string_equal(answer("identityagent SSH_AUTH_SOCK\n").agent, "/from/environment");
	assert_string_equal(answer("identityagent $MY_AGENT\n").agent, "/from/variable");
	assert_string_equal(answer("identityagent ~/agent\n").agent, "/home/me/agent");
	unsetenv("SSH_AUTH_SOCK");
	assert_null(answer("").agent);
}

static void more_than_can_be_kept_is_dropped(void **state)
{
	struct buf text = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_printf(&text, "identityfile /k%d\nuserknownhostsfile /f%d\n", i, i);
	assert_int_equal(answer(buf_text(&text)).identities.count, SSH_WORDS_MAX);
	buf_fini(&text);
}

/* --- key files ------------------------------------------------------------------------------------------ */

#define PUBLIC "AAAAC3NzaC1lZDI1NTE5AAAAIKVnCA6Hvi6Pje5uxBi+URENthRziPGNB0E7Ir2aXDUv"

/* Its beginning, as far as it is in clear: the rest is not looked at. */
static void put_key_file(struct buf *out, const char *cipher)
{
	struct buf body = { 0 }, key = { 0 };

	assert_true(base64_decode(&key, PUBLIC, strlen(PUBLIC)));
	buf_append(&body, "openssh-key-v1", 15);
	ssh_wire_put_string(&body, cipher, strlen(cipher));
	ssh_wire_put_string(&body, "bcrypt", 6);
	ssh_wire_put_string(&body, "", 0);
	ssh_wire_put_u32(&body, 1);
	ssh_wire_put_string(&body, key.data, key.bytes);
	buf_append_text(out, "-----BEGIN OPENSSH "
			     "PRIVATE KEY-----\n");
	base64_encode(out, body.data, body.bytes, true);
	buf_append_text(out, "\n-----END OPENSSH "
			     "PRIVATE KEY-----\n");
	buf_fini(&body);
	buf_fini(&key);
}

static void a_key_file_says_what_it_is_without_being_opened(void **state)
{
	struct ssh_keyfile keyfile;
	struct buf text = { 0 };
	struct err err;

	(void)state;
	put_key_file(&text, "none");
	assert_int_equal(ssh_keyfile_parse(buf_text(&text), text.bytes, &keyfile, &err), 0);
	assert_string_equal(keyfile.type, "ssh-ed25519");
	assert_false(keyfile.encrypted || keyfile.public_only);
	assert_int_equal(keyfile.public_key.bytes, 51);
	ssh_keyfile_fini(&keyfile);
	buf_clear(&text);
	put_key_file(&text, "aes256-ctr");
	assert_int_equal(ssh_keyfile_parse(buf_text(&text), text.bytes, &keyfile, &err), 0);
	assert_true(keyfile.encrypted);
	ssh_keyfile_fini(&keyfile);
	/* However it is cut, it is refused and nothing is read that is not there. */
	for (size_t n = 0; n < text.bytes - 30; n++) {
		char *cut = strndup(buf_text(&text), n);

		if (ssh_keyfile_parse(cut, n, &keyfile, &err) == 0)
			fail_msg("%zu bytes of it are taken", n);
		free(cut);
	}
	buf_fini(&text);
}

static void pem_and_public_keys_are_told_apart(void **state)
{
	static const char rsa[] = "-----BEGIN RSA "
				  "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n";
	static const char public[] = "ssh-ed25519 " PUBLIC " me@here\n";
	static const char lie[] = "ssh-rsa " PUBLIC "\n";
	struct ssh_keyfile keyfile;
	struct err err;

	(void)state;
	assert_int_equal(ssh_keyfile_parse(rsa, strlen(rsa), &keyfile, &err), 0);
	assert_string_equal(keyfile.type, "ssh-rsa");
	assert_true(keyfile.encrypted);
	assert_int_equal(ssh_keyfile_parse(public, strlen(public), &keyfile, &err), 0);
	assert_true(keyfile.public_only);
	ssh_keyfile_fini(&keyfile);
	assert_int_equal(ssh_keyfile_parse(lie, strlen(lie), &keyfile, &err), ERR_INVALID);
	assert_int_equal(ssh_keyfile_parse("", 0, &keyfile, &err), ERR_INVALID);
	assert_int_equal(ssh_keyfile_parse("a\0b", 3, &keyfile, &err), ERR_INVALID);
}

/* --- what the ssh program says -------------------------------------------------------------------------- */

static void expect_judgement(const char *said, enum fault fault, const char *part)
{
	const struct ssh_target target = { .destination = "gpu1.lan", .worker = "gpu1" };
	struct buf why = { 0 };
	enum fault found;

	if (!openssh_judge(&target, said, &found, &why))
		fail_msg("'%s' is not understood", said);
	assert_int_equal(found, fault);
	if (strstr(buf_text(&why), part) == NULL)
		fail_msg("'%s' is not in '%s'", part, buf_text(&why));
	buf_fini(&why);
}

static void what_ssh_says_becomes_a_fault(void **state)
{
	const struct ssh_target target = { .destination = "gpu1.lan", .worker = "gpu1" };
	struct buf why = { 0 };
	enum fault fault;

	(void)state;
	expect_judgement("ssh: Could not resolve hostname gpu1.lan: Name or service not known\n", FAULT_NAME,
			 "(ssh: Could not resolve");
	expect_judgement("ssh: connect to host gpu1.lan port 22: Connection refused\n", FAULT_REFUSED,
			 "refuses");
	expect_judgement("alice@gpu1.lan: Permission denied (publickey).\r\n", FAULT_AUTH,
			 "none of our keys");
	expect_judgement(
		"No ED25519 host key is known for gpu1.lan and you have requested strict checking.\r\n"
		"Host key verification failed.\r\n",
		FAULT_HOSTKEY_UNKNOWN, "workers trust gpu1");
	/* What a jump host's ssh says, comes before what follows from it. */
	expect_judgement(
		"channel 0: open failed: administratively prohibited: open failed\n"
		"stdio forwarding failed\nkex_exchange_identification: Connection closed by remote host\n",
		FAULT_UNREACHABLE, "jump host");
	expect_judgement("x\033[2J: line 1: Bad configuration option: \007foo\n", FAULT_CONFIG,
			 "(ssh: x[2J: line 1");
	assert_false(openssh_judge(&target, "", &fault, &why));
	assert_false(openssh_judge(&target, "Killed by signal 15.\n", &fault, &why));
	buf_fini(&why);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_destination_is_user_host_and_port),
		TEST(what_is_no_destination_is_refused),
		TEST(an_answer_is_taken_apart),
		TEST(what_only_openssh_can_do_is_told),
		TEST(the_cheapest_cipher_comes_first_where_ssh_itself_chose_the_order),
		TEST(all_but_the_keys_and_what_is_in_the_way_is_settled),
		TEST(the_agent_is_where_the_configuration_says),
		TEST(more_than_can_be_kept_is_dropped),
		TEST(a_key_file_says_what_it_is_without_being_opened),
		TEST(pem_and_public_keys_are_told_apart),
		TEST(what_ssh_says_becomes_a_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
