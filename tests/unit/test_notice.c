/*
 * What is told, and how it looks to each kind of receiver; when it is sent again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/arena.h"
#include "scheduler/notice.h"
#include "scheduler/notice_format.h"
#include "scheduler/resend.h"
#include "scheduler/view.h"
#include "tests/unit/run_fixture.h"

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

static struct notice failure(void)
{
	return (struct notice){
		.event = DAG_ON_FAILED,
		.dag = "night",
		.run = 3,
		.number = 7,
		.state = "failed",
		.trigger = "schedule",
		.actor = "stoker",
		.why = "night/7 failed because train failed: exit code 1",
		.task = "train",
		.attempt = 2,
		.at_wall_ms = FIXTURE_NOW_MS,
		.due_wall_ms = FIXTURE_NOW_MS - 3600000,
		.started_wall_ms = FIXTURE_NOW_MS - 60000,
		.ended_wall_ms = FIXTURE_NOW_MS,
	};
}

static const char *json_of(struct notice notice)
{
	return notice_json(&notice, &arena);
}

static const char *field(const char *json, const char *key)
{
	json_t *object = json_loads(json, 0, NULL);
	const char *text = json_string_value(json_object_get(object, key));
	const char *copy = text == NULL ? NULL : arena_strdup(&arena, text);

	assert_non_null(object);
	assert_non_null(json_object_get(object, key));
	json_decref(object);
	return copy;
}

/* --- facts --- */

static void every_field_is_there_also_when_it_is_not_known(void **state)
{
	static const char *const keys[] = { "event", "dag", "run", "state", "trigger", "actor", "title", "text", "why",
					    "task", "last_line", "canceled_by", "at", "due", "started", "ended", "url" };
	const char *full = json_of(failure());
	const char *bare = json_of((struct notice){ .event = DAG_ON_MISSED, .dag = "night" });

	(void)state;
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		field(full, keys[i]);
		field(bare, keys[i]);
	}
	assert_string_equal(field(full, "run"), "night/7");
	assert_string_equal(field(full, "title"), "night/7 failed");
	assert_string_equal(field(full, "due"), "2027-01-15T11:00:00.000Z");
	assert_null(field(bare, "run"));
	assert_null(field(bare, "due"));
	assert_string_equal(field(bare, "title"), "night missed a due time");
}

static void what_a_step_printed_is_part_of_the_text_and_always_utf8(void **state)
{
	struct notice notice = failure();

	(void)state;
	notice.last_line = "broken \xff \"quoted\"";
	assert_string_equal(field(json_of(notice), "text"),
			    "night/7 failed because train failed: exit code 1; the last line of its log is"
			    " \"broken \xef\xbf\xbd \"quoted\"\"");
}

static void a_long_reason_is_cut_between_characters(void **state)
{
	struct notice notice = failure();
	char *why = arena_alloc(&arena, 9001);
	const char *cut;

	(void)state;
	for (size_t i = 0; i < 3000; i++)
		memcpy(why + 1 + 2 * i, "\xc3\xa4", 2);
	why[0] = 'x';
	notice.why = why;
	cut = field(json_of(notice), "why");
	assert_in_range(strlen(cut), 1990, 2010);
	assert_null(strstr(cut, "\xef\xbf\xbd"));
}

static void links_lead_to_the_page(void **state)
{
	struct notice notice = failure();

	(void)state;
	notice.page = "https://stoker.lan";
	assert_string_equal(field(json_of(notice), "url"), "https://stoker.lan/#/runs/night/7");
	notice.run = 0;
	assert_string_equal(field(json_of(notice), "url"), "https://stoker.lan/#/dags/night");
}

/* --- receivers --- */

static const char yaml[] = "name: night\n"
			   "notify:\n"
			   "  - {on: [failed, late], webhook: {url: 'https://x.example/h', format: slack, secret: {env: S},\n"
			   "     headers: {B: {file: /f}, A: text}}}\n"
			   "  - {on: succeeded, run: tell}\n"
			   "  - {on: [recovered, failed], mail: [a@b.example, root]}\n"
			   "steps: {a: {run: 'true'}}\n";

static void a_receiver_is_read_as_it_was_stored(void **state)
{
	struct dag *dag = fixture_dag(yaml);
	struct dag_notify back;
	const char *dir, *text;
	struct err err;

	(void)state;
	for (size_t i = 0; i < dag->notify_count; i++) {
		text = notice_receiver_json(&dag->notify[i], "/dags", &arena);
		assert_int_equal(notice_read_receiver(text, &arena, &back, &dir, &err), 0);
		assert_string_equal(notice_receiver_json(&back, dir, &arena), text);
	}
	assert_int_equal(notice_read_receiver(notice_receiver_json(&dag->notify[0], "/dags", &arena), &arena, &back,
					      &dir, &err),
			 0);
	assert_int_equal(back.format, DAG_NOTIFY_SLACK);
	assert_string_equal(back.secret.env, "S");
	assert_int_equal(back.headers_count, 2);
	assert_int_equal(notice_read_receiver("{}", &arena, &back, &dir, &err), ERR_CORRUPT);
	assert_int_equal(notice_read_receiver("nonsense", &arena, &back, &dir, &err), ERR_CORRUPT);
	dag_free(dag);
}

static void only_who_asked_for_it_is_told(void **state)
{
	struct dag *dag = fixture_dag(yaml);
	struct notice_list list;

	(void)state;
	notice_list(NULL, dag, DAG_ON_FAILED, &arena, &list);
	assert_int_equal(list.count, 2);
	assert_non_null(strstr(list.receivers[1], "root"));
	assert_int_equal(list.on[1], DAG_ON_FAILED);
	notice_list(NULL, dag, DAG_ON_SUCCEEDED | DAG_ON_RECOVERED, &arena, &list);
	assert_int_equal(list.count, 2);
	assert_non_null(strstr(list.receivers[0], "\"dir\":\"/dags\""));
	notice_list(NULL, dag, DAG_ON_MISSED, &arena, &list);
	assert_int_equal(list.count, 0);
	dag_free(dag);
}

static void the_settings_count_for_dags_that_say_nothing(void **state)
{
	struct dag *silent = fixture_dag("steps: {a: {run: 'true'}}\n");
	struct dag *nobody = fixture_dag("notify: []\nsteps: {a: {run: 'true'}}\n");
	struct dag *own = fixture_dag(yaml);
	struct dag_notify receiver = { .on = DAG_ON_FAILED, .run = "all" };
	struct notice_terms terms = { .receivers = &receiver, .receivers_count = 1, .dir = "/etc/stoker" };
	struct notice_list list;

	(void)state;
	notice_list(&terms, silent, DAG_ON_FAILED, &arena, &list);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.receivers[0], "{\"dir\":\"/etc/stoker\",\"run\":\"all\"}");
	notice_list(&terms, nobody, DAG_ON_FAILED, &arena, &list);
	assert_int_equal(list.count, 0);
	notice_list(&terms, own, DAG_ON_FAILED, &arena, &list);
	assert_int_equal(list.count, 2);
	dag_free(silent);
	dag_free(nobody);
	dag_free(own);
}

/* --- formats --- */

static void a_post_is_the_facts_with_the_id(void **state)
{
	const char *post = notice_post(json_of(failure()), "abc-1", DAG_NOTIFY_JSON, &arena);

	(void)state;
	assert_string_equal(field(post, "id"), "abc-1");
	assert_string_equal(field(post, "state"), "failed");
	assert_string_equal(post, notice_post(json_of(failure()), "abc-1", DAG_NOTIFY_JSON, &arena));
}

static void slack_gets_text_alone_without_markup(void **state)
{
	struct notice notice = failure();

	(void)state;
	notice.why = "<!channel> & <b>";
	assert_string_equal(notice_post(json_of(notice), "abc-1", DAG_NOTIFY_SLACK, &arena),
			    "{\"text\":\"&lt;!channel&gt; &amp; &lt;b&gt;\"}");
}

/* RFC 4231, test case 2. */
static void the_signature_is_hmac_sha256(void **state)
{
	(void)state;
	assert_string_equal(notice_signature("Jefe", "what do ya want for nothing?", &arena),
			    "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void a_command_gets_variables_that_are_empty_where_nothing_is_known(void **state)
{
	const char **variables = notice_variables(json_of(failure()), "abc-1", &arena);
	bool run = false, url = false;

	(void)state;
	for (; *variables != NULL; variables++) {
		run |= strcmp(*variables, "STOKER_RUN=night/7") == 0;
		url |= strcmp(*variables, "STOKER_URL=") == 0;
	}
	assert_true(run && url);
}

static void mail_has_no_header_that_a_text_brought(void **state)
{
	static const char *const to[] = { "a@b.example", "root" };
	struct notice notice = failure();
	const char *mail, *body;

	(void)state;
	notice.why = "one\nBcc: evil@x.example\r\n.\r\n";
	notice.dag = "n\xc3\xa4ght\nBcc: y@z"; /* no DAG is called so, but who knows what is stored */
	mail = notice_mail(json_of(notice), "abc-1", "me@b.example", to, 2, "host", &arena);
	assert_true(strncmp(mail, "From: me@b.example\nTo: a@b.example,\n root\nSubject: =?UTF-8?B?", 60) == 0);
	assert_null(strstr(mail, "Bcc"));
	assert_non_null(strstr(mail, "\nMessage-ID: <stoker.abc-1@host>\n"));
	assert_non_null(strstr(mail, "\nDate: Fri, 15 Jan 2027 12:00:00 +0000\n"));
	body = strstr(mail, "\n\n");
	assert_non_null(body);
	for (const char *line = mail; *line != '\0'; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 78);
}

static void a_long_subject_is_folded_between_characters(void **state)
{
	static const char *const to[] = { "root" };
	struct notice notice = failure();
	char name[400] = "";

	(void)state;
	for (int i = 0; i < 60; i++)
		strcat(name, "\xe2\x82\xac");
	notice.dag = name;
	for (const char *line = notice_mail(json_of(notice), "1", NULL, to, 1, "h", &arena); *line != '\0';
	     line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 78);
}

static void a_secret_is_looked_up_and_never_told(void **state)
{
	char path[] = "/tmp/test_notice.XXXXXX";
	int fd = mkstemp(path);
	const char *value;
	struct err err;

	(void)state;
	setenv("NOTICE_SECRET", "top", 1);
	assert_int_equal(notice_secret(&(struct dag_secret){ .env = "NOTICE_SECRET" }, &arena, &value, &err), 0);
	assert_string_equal(value, "top");
	unsetenv("NOTICE_SECRET");
	assert_int_equal(notice_secret(&(struct dag_secret){ .env = "NOTICE_SECRET" }, &arena, &value, &err),
			 ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "NOTICE_SECRET"));
	assert_int_equal(write(fd, "from a file\r\n", 13), 13);
	assert_int_equal(notice_secret(&(struct dag_secret){ .file = path }, &arena, &value, &err), 0);
	assert_string_equal(value, "from a file");
	assert_int_equal(write(fd, "X-Evil: 1\n", 10), 10);
	assert_int_equal(notice_secret(&(struct dag_secret){ .file = path }, &arena, &value, &err), ERR_INVALID);
	assert_null(strstr(err.text, "from a file"));
	assert_int_equal(ftruncate(fd, 10000), 0);
	assert_int_equal(notice_secret(&(struct dag_secret){ .file = path }, &arena, &value, &err), ERR_LIMIT);
	unlink(path);
	assert_int_equal(notice_secret(&(struct dag_secret){ .file = path }, &arena, &value, &err), ERR_NOT_FOUND);
	close(fd);
}

/* --- again --- */

static void each_answer_has_its_verdict(void **state)
{
	static const struct {
		int status;
		enum resend_verdict verdict;
	} cases[] = { { 200, RESEND_DONE },  { 204, RESEND_DONE },  { 301, RESEND_NEVER }, { 302, RESEND_NEVER },
		      { 400, RESEND_NEVER }, { 404, RESEND_NEVER }, { 410, RESEND_NEVER }, { 408, RESEND_LATER },
		      { 429, RESEND_LATER }, { 500, RESEND_LATER }, { 503, RESEND_LATER } };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(resend_of_status(cases[i].status), cases[i].verdict);
	assert_int_equal(resend_of_exit(0), RESEND_DONE);
	assert_int_equal(resend_of_exit(1), RESEND_LATER);
	assert_int_equal(resend_of_exit(-1), RESEND_LATER);
	assert_int_equal(resend_of_exit(127), RESEND_NEVER);
	assert_int_equal(resend_of_mail(75), RESEND_LATER);
	assert_int_equal(resend_of_mail(67), RESEND_NEVER);
}

static void delays_double_to_half_an_hour(void **state)
{
	struct rng rng = rng_seeded(1);

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_in_range(resend_delay_ms(1, &rng), 1500, 2000);
		assert_in_range(resend_delay_ms(4, &rng), 12000, 16000);
		assert_in_range(resend_delay_ms(40, &rng), 1350000, 1800000);
		assert_in_range(resend_delay_ms(4000000000U, &rng), 1350000, 1800000);
	}
}

static void a_receiver_may_ask_for_a_delay(void **state)
{
	(void)state;
	assert_int_equal(resend_asked_ms("120", 0), 120000);
	assert_int_equal(resend_asked_ms(" 0", 0), 0);
	assert_int_equal(resend_asked_ms("99999999999999999999999", 0), RESEND_MOST_MS);
	assert_int_equal(resend_asked_ms("Sun, 06 Nov 1994 08:49:37 GMT", 784111777000 - 5000), 5000);
	assert_int_equal(resend_asked_ms("Sun, 06 Nov 1994 08:49:37 GMT", 784111777000 + 5000), 0);
	assert_int_equal(resend_asked_ms("soon", 0), -1);
	assert_int_equal(resend_asked_ms("-5", 0), -1);
	assert_int_equal(resend_asked_ms("Sun, 06 ovN 1994 08:49:37 GMT", 0), -1);
	assert_int_equal(resend_asked_ms("", 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_is_there_also_when_it_is_not_known),
		cmocka_unit_test(what_a_step_printed_is_part_of_the_text_and_always_utf8),
		cmocka_unit_test(a_long_reason_is_cut_between_characters),
		cmocka_unit_test(links_lead_to_the_page),
		cmocka_unit_test(a_receiver_is_read_as_it_was_stored),
		cmocka_unit_test(only_who_asked_for_it_is_told),
		cmocka_unit_test(the_settings_count_for_dags_that_say_nothing),
		cmocka_unit_test(a_post_is_the_facts_with_the_id),
		cmocka_unit_test(slack_gets_text_alone_without_markup),
		cmocka_unit_test(the_signature_is_hmac_sha256),
		cmocka_unit_test(a_command_gets_variables_that_are_empty_where_nothing_is_known),
		cmocka_unit_test(mail_has_no_header_that_a_text_brought),
		cmocka_unit_test(a_long_subject_is_folded_between_characters),
		cmocka_unit_test(a_secret_is_looked_up_and_never_told),
		cmocka_unit_test(each_answer_has_its_verdict),
		cmocka_unit_test(delays_double_to_half_an_hour),
		cmocka_unit_test(a_receiver_may_ask_for_a_delay),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
