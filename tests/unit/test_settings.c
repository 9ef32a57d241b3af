#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/scope.h"
#include "dag/diagnostic.h"
#include "scheduler/settings.h"

static char path[] = "/tmp/test_settings.XXXXXX";
static struct settings *settings;
static struct diagnostics diagnostics;

static int set_up(void **state)
{
	(void)state;
	strcpy(path + sizeof path - 7, "XXXXXX");
	close(mkstemp(path));
	setenv("HOME", "/home/alice", 1);
	diagnostics_init(&diagnostics);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	settings_free(settings);
	settings = NULL;
	diagnostics_fini(&diagnostics);
	return 0;
}

static int load(const char *text)
{
	FILE *file = fopen(path, "w");

	fputs(text, file);
	fclose(file);
	return settings_load(path, &settings, &diagnostics);
}

static void assert_refused(const char *text, uint32_t line, uint32_t column, const char *message)
{
	assert_true(load(text) < 0);
	assert_null(settings);
	diagnostics_sort(&diagnostics);
	assert_string_equal(diagnostics.items[0].message, message);
	assert_int_equal(diagnostics.items[0].at.line, line);
	assert_int_equal(diagnostics.items[0].at.column, column);
}

static void an_empty_file_leaves_this_machine(void **state)
{
	(void)state;
	assert_int_equal(load("# nothing\n"), 0);
	assert_int_equal(settings->workers_count, 1);
	assert_string_equal(settings->workers[0].name, "local");
	assert_false(settings->workers[0].terms.remote);
}

static void a_name_alone_is_an_alias_of_ssh(void **state)
{
	(void)state;
	assert_int_equal(load("workers:\n  gpu1:\n  gpu2: bob@x:2222\n"), 0);
	assert_int_equal(settings->workers_count, 3);
	assert_string_equal(settings_find(settings, "gpu1")->target.destination, "gpu1");
	assert_string_equal(settings_find(settings, "gpu1")->target.root, "~/.stoker");
	assert_string_equal(settings_find(settings, "gpu2")->target.destination, "bob@x:2222");
	assert_true(settings_find(settings, "gpu2")->terms.remote);
}

static void every_key_is_read(void **state)
{
	const struct settings_worker *worker;

	(void)state;
	assert_int_equal(load("workers:\n"
			      "  gpu1:\n"
			      "    ssh: alice@gpu1.lan\n"
			      "    labels: [gpu, big]\n"
			      "    root: /data/stoker\n"
			      "    resources: {cpus: 2.5, memory: 1G, gpus: 0}\n"
			      "    slots: 3\n"
			      "    transport: openssh\n"
			      "    identity: [~/.ssh/a, /b]\n"
			      "    known_hosts: ~/known\n"
			      "    jump: bastion\n"
			      "    ssh_config: ~/config\n"
			      "    connect_timeout: 20s\n"
			      "  local: false\n"),
			 0);
	assert_int_equal(settings->workers_count, 1);
	worker = &settings->workers[0];
	assert_int_equal(worker->terms.labels_count, 2);
	assert_string_equal(worker->terms.labels[1], "big");
	assert_int_equal(worker->terms.slots, 3);
	assert_int_equal(worker->terms.most.cpus_milli, 2500);
	assert_int_equal(worker->terms.most.memory_bytes, 1 << 30);
	assert_true(worker->terms.gpus_set);
	assert_int_equal(worker->terms.most.gpus, 0);
	assert_string_equal(worker->target.root, "/data/stoker");
	assert_int_equal(worker->target.choice, SSH_OPENSSH);
	assert_int_equal(worker->target.identities_count, 2);
	assert_string_equal(worker->target.identities[0], "/home/alice/.ssh/a");
	assert_string_equal(worker->target.identities[1], "/b");
	assert_string_equal(worker->target.known_hosts, "/home/alice/known");
	assert_string_equal(worker->target.config_file, "/home/alice/config");
	assert_string_equal(worker->target.jump, "bastion");
	assert_int_equal(worker->target.connect_timeout_ms, 20000);
}

static void an_unknown_key_is_told_with_its_place(void **state)
{
	(void)state;
	assert_refused("workers:\n  gpu1: {sssh: x}\n", 2, 10, "unknown key 'sssh' in worker 'gpu1'");
	assert_string_equal(diagnostics.items[0].remedy, "did you mean 'ssh'?");
}

static void resources_are_told_as_the_workers(void **state)
{
	(void)state;
	assert_refused("workers:\n  gpu1: {resources: {cpu: 3}}\n", 2, 22,
		       "unknown key 'cpu' in 'resources' of worker 'gpu1'");
}

static void precedence_is_taken(void **state)
{
	(void)state;
	assert_int_equal(load("max_active_runs: 3\n"), 0);
	assert_false(settings->daemon.realtime_off);
}

static void precedence_can_be_given_up(void **state)
{
	(void)state;
	assert_int_equal(load("realtime: false\n"), 0);
	assert_true(settings->daemon.realtime_off);
}

static void precedence_is_no_matter_of_degree(void **state)
{
	(void)state;
	assert_refused("realtime: sometimes\n", 1, 11, "'realtime' must be true or false, found 'sometimes'");
}

static void an_address_that_ssh_would_take_for_an_option_is_refused(void **state)
{
	(void)state;
	assert_refused("workers:\n  gpu1: -oProxyCommand=x\n", 2, 9,
		       "'-oProxyCommand=x' is no address: it begins with '-'");
}

static void this_machine_has_no_address(void **state)
{
	(void)state;
	assert_refused("workers:\n  local: {ssh: x}\n", 2, 11, "unknown key 'ssh' in worker 'local'");
}

static void pools_are_a_number_or_a_map(void **state)
{
	const struct settings_pool *db;

	(void)state;
	assert_int_equal(load("pools:\n  gpu-jobs: 2\n  db: {slots: 0, description: closed for now}\n"), 0);
	assert_int_equal(settings->pools_count, 2);
	assert_int_equal(settings_find_pool(settings, "gpu-jobs")->slots, 2);
	assert_null(settings_find_pool(settings, "gpu-jobs")->description);
	db = settings_find_pool(settings, "db");
	assert_int_equal(db->slots, 0);
	assert_string_equal(db->description, "closed for now");
	assert_null(settings_find_pool(settings, "elsewhere"));
	assert_int_equal(settings->workers_count, 1);
}

static void a_pool_must_have_slots(void **state)
{
	(void)state;
	assert_refused("pools:\n  db: {description: x}\n", 2, 3, "pool 'db' has no 'slots'");
	assert_string_equal(diagnostics.items[0].remedy,
			    "how many of its steps may run at a time, for example: db: 2");
}

static void slots_of_a_pool_are_a_number(void **state)
{
	(void)state;
	assert_refused("pools:\n  db: many\n", 2, 7, "'db' must be a whole number, found 'many'");
}

static void a_pool_has_no_negative_slots(void **state)
{
	(void)state;
	assert_refused("pools:\n  db: -1\n", 2, 7, "'db' must be from 0 to 10000, found -1");
}

static void an_unknown_key_of_a_pool_is_told(void **state)
{
	(void)state;
	assert_refused("pools:\n  db: {slot: 1}\n", 2, 8, "unknown key 'slot' in pool 'db'");
	assert_string_equal(diagnostics.items[0].remedy, "did you mean 'slots'?");
}

static void pools_are_a_map(void **state)
{
	(void)state;
	assert_refused("pools: [a, b]\n", 1, 8, "'pools' must be a map, found a list");
}

static void a_named_file_must_be_there(void **state)
{
	(void)state;
	assert_true(settings_load("/nowhere/stoker.yaml", &settings, &diagnostics) < 0);
	assert_int_equal(diagnostics.errors, 1);
}

static void who_is_told_is_read_as_in_a_dag(void **state)
{
	const struct notice_terms *terms;

	(void)state;
	assert_int_equal(load("notify:\n"
			      "  - {on: [failed, missed], mail: ops@example.org}\n"
			      "  - {on: recovered, webhook: {url: 'https://x.example', format: slack}}\n"
			      "sendmail: /opt/sendmail\n"
			      "mail_from: stoker@example.org\n"
			      "url: https://stoker.example.org//\n"),
			 0);
	terms = &settings->notices;
	assert_int_equal(terms->receivers_count, 2);
	assert_int_equal(terms->receivers[0].on, DAG_ON_FAILED | DAG_ON_MISSED);
	assert_string_equal(terms->receivers[1].webhook, "https://x.example");
	assert_string_equal(terms->dir, "/tmp");
	assert_string_equal(terms->sendmail, "/opt/sendmail");
	assert_string_equal(terms->mail_from, "stoker@example.org");
	assert_string_equal(terms->page, "https://stoker.example.org");
}

static void mistakes_about_notices_are_told_at_their_place(void **state)
{
	(void)state;
	assert_refused("notify:\n  - {on: failed}\n", 2, 5, "'notify' needs one of 'webhook', 'run' and 'mail'");
	diagnostics_fini(&diagnostics);
	diagnostics_init(&diagnostics);
	assert_refused("sendmail: sendmail\n", 1, 11,
		       "'sendmail' must be the absolute path of a program, found 'sendmail'");
	diagnostics_fini(&diagnostics);
	diagnostics_init(&diagnostics);
	assert_refused("mail_from: 'Stoker <s@x>'\n", 1, 12, "'Stoker <s@x>' is no address of mail");
	diagnostics_fini(&diagnostics);
	diagnostics_init(&diagnostics);
	assert_refused("url: stoker.lan\n", 1, 6, "'url' must be a URL with http or https, found 'stoker.lan'");
}

static void a_time_zone_is_one_that_there_is(void **state)
{
	(void)state;
	if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) < 0)
		skip();
	assert_refused("timezone: Europe/Belrin\n", 1, 11, "there is no time zone 'Europe/Belrin'");
	assert_int_equal(load("timezone: Europe/Berlin\n"), 0);
	assert_string_equal(settings->timezone, "Europe/Berlin");
}

static void without_one_this_machines_holds(void **state)
{
	(void)state;
	assert_int_equal(load("workers: {}\n"), 0);
	assert_null(settings->timezone);
}

static void what_is_kept_is_a_year_unless_said(void **state)
{
	(void)state;
	assert_int_equal(load("retention:\n  runs: {age: 30d, most: 50}\n  logs: {age: never}\n  fetched: 1G\n"), 0);
	assert_int_equal(settings->retention.runs.age_ms, INT64_C(30) * 24 * 3600 * 1000);
	assert_int_equal(settings->retention.runs_most, 50);
	assert_int_equal(settings->retention.runs.keep, 50); /* no more than all that stay */
	assert_int_equal(settings->retention.logs.age_ms, 0);
	assert_int_equal(settings->retention.logs.keep, 20);
	assert_int_equal(settings->retention.fetched_bytes, INT64_C(1) << 30);
	assert_int_equal(settings->retention.events_age_ms, INT64_C(730) * 24 * 3600 * 1000);
}

static void a_retention_that_contradicts_itself_is_refused(void **state)
{
	(void)state;
	assert_refused("retention: {runs: {keep: 9, most: 5}}\n", 1, 19, "'most' (5) is less than 'keep' (9)");
}

static void the_newest_run_cannot_be_given_up(void **state)
{
	(void)state;
	assert_refused("retention: {runs: {keep: 0}}\n", 1, 26, "'keep' must be from 1 to 1000000, found 0");
}

static void a_key_of_retention_is_told_with_its_place(void **state)
{
	(void)state;
	assert_refused("retention: {log: {age: 3d}}\n", 1, 13, "unknown key 'log' in 'retention'");
	assert_string_equal(diagnostics.items[0].remedy, "did you mean 'logs'?");
}

static void the_page_is_on_this_machine_unless_said_otherwise(void **state)
{
	(void)state;
	assert_int_equal(load("workers: {}\n"), 0);
	assert_int_equal(settings->web.listen_count, 1);
	assert_string_equal(settings->web.listen[0], "127.0.0.1:8765");
	assert_false(settings->web.listen_given);
	settings_free(settings);
	assert_int_equal(load("web: false\n"), 0);
	assert_true(settings->web.off);
	settings_free(settings);
	assert_int_equal(load("web:\n  listen: [\"127.0.0.1:1\", \"[::1]:1\"]\n  hosts: gpu-head.lan\n"
			      "  tls: {certificate: ~/c.pem, key: /k.pem}\n  behind_proxy: true\n"
			      "  shared: {socket: /run/s.sock, group: ops}\n"),
			 0);
	assert_true(settings->web.listen_given && settings->web.behind_proxy);
	assert_int_equal(settings->web.listen_count, 2);
	assert_string_equal(settings->web.hosts[0], "gpu-head.lan");
	assert_string_equal(settings->web.certificate_path, "/home/alice/c.pem");
	assert_string_equal(settings->web.shared_group, "ops");
}

static void mistakes_about_the_page_are_told_at_their_place(void **state)
{
	static const struct {
		const char *text;
		uint32_t line, column;
		const char *message;
	} wrong[] = {
		{ "web: {listen: example.com:80}\n", 1, 15, "'example.com:80' is no address to listen on" },
		{ "web: {hosts: [http://a]}\n", 1, 15, "'http://a' is no host name" },
		{ "web: {tls: {key: /k}}\n", 1, 12, "'tls' lacks 'certificate'" },
		{ "web: {shared: {socket: a, group: g}}\n", 1, 24, "'socket' is an absolute path" },
		{ "web: {lisen: x}\n", 1, 7, "unknown key 'lisen' in 'web'" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		assert_refused(wrong[i].text, wrong[i].line, wrong[i].column, wrong[i].message);
		diagnostics_fini(&diagnostics);
		diagnostics_init(&diagnostics);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_empty_file_leaves_this_machine),
		TEST(a_name_alone_is_an_alias_of_ssh),
		TEST(every_key_is_read),
		TEST(an_unknown_key_is_told_with_its_place),
		TEST(resources_are_told_as_the_workers),
		TEST(precedence_is_taken),
		TEST(precedence_can_be_given_up),
		TEST(precedence_is_no_matter_of_degree),
		TEST(an_address_that_ssh_would_take_for_an_option_is_refused),
		TEST(this_machine_has_no_address),
		TEST(pools_are_a_number_or_a_map),
		TEST(a_pool_must_have_slots),
		TEST(slots_of_a_pool_are_a_number),
		TEST(a_pool_has_no_negative_slots),
		TEST(an_unknown_key_of_a_pool_is_told),
		TEST(pools_are_a_map),
		TEST(a_named_file_must_be_there),
		TEST(who_is_told_is_read_as_in_a_dag),
		TEST(mistakes_about_notices_are_told_at_their_place),
		TEST(the_page_is_on_this_machine_unless_said_otherwise),
		TEST(mistakes_about_the_page_are_told_at_their_place),
		TEST(a_time_zone_is_one_that_there_is),
		TEST(without_one_this_machines_holds),
		TEST(what_is_kept_is_a_year_unless_said),
		TEST(a_retention_that_contradicts_itself_is_refused),
		TEST(the_newest_run_cannot_be_given_up),
		TEST(a_key_of_retention_is_told_with_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
