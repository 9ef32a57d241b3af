/*
 * The bytes of each frame, as they are: agents and spools of older versions lie on workers, and both ends of a
 * connection may be of different ages. A field that is added makes a row longer; nothing else of it may change.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/scope.h"
#include "executor/protocol.h"

static const struct attempt_id id = { .run = 7, .task = 300, .number = 2 };
static struct device gpus[] = { { "GPU-1", "A100", INT64_C(1) << 35 }, { "GPU-2", "", 0 } };
static const struct record_exit end = {
	.kind = EXIT_SIGNAL,
	.reason = REASON_OOM,
	.code = -1,
	.signal = 9,
	.stopped = true,
	.transient = true,
	.started_wall_ms = 1000,
	.ended_wall_ms = 2000,
	.cpu_ms = 900,
	.rss_peak_bytes = 1 << 30,
	.log_bytes = 5,
	.log_dropped_bytes = 6,
	.journal_bytes = 7,
	.text = "t",
};

static void put_start(struct buf *out)
{
	const char *argv[] = { "python3", "", NULL }, *env[] = { "A=1", NULL }, *devices[] = { "GPU-1", NULL };
	const char *artifacts[] = { "model.bin" };
	struct spec_checkpoint candidates[] = { { "e2", "0d", 10, false }, { "e1", "0e", 0, true } };
	struct spec_provision provisions[] = { { PROVISION_SOURCE, "0a", 77, 0, "", "" },
					       { PROVISION_CHECKPOINT, "0b", 1, 5, "out", "e2" } };

	protocol_put_spec(out, &(struct spec){
				       .id = id,
				       .epoch = 9,
				       .fence = 7000002,
				       .shell = true,
				       .argv = argv,
				       .argc = 2,
				       .workdir = "/data",
				       .env = env,
				       .env_count = 1,
				       .timeout_ms = INT64_MAX,
				       .stall_ms = 1,
				       .grace_ms = 30000,
				       .log_max_bytes = 1 << 30,
				       .checkpoint_dir = "out",
				       .checkpoint_declared = true,
				       .settle_ms = 5000,
				       .keep = 3,
				       .resume_required = true,
				       .resume_never = true,
				       .fresh = true,
				       .candidates = candidates,
				       .candidates_count = 2,
				       .devices = devices,
				       .devices_count = 1,
				       .provisions = provisions,
				       .provisions_count = 2,
				       .lease_ms = 1800000,
				       .lease_from_ms = 40,
				       .artifacts = artifacts,
				       .artifacts_count = 1,
			       });
}

/* --- one of each ---------------------------------------------------------------------------------------- */

static void put_hello(struct buf *out)
{
	protocol_put_hello(out, &(struct frame_hello){ .version = 1, .home = "0123456789ab",
		.scheduler = "s" });
}

static void put_claim(struct buf *out)
{
	protocol_put_claim(out, FRAME_CLAIM, &(struct frame_claim){ .run = 300, .epoch = 9,
		.lease_ms = 1800000 });
}

static void put_inventory(struct buf *out)
{
	protocol_put_claim(out, FRAME_INVENTORY, &(struct frame_claim){ .run = 1, .epoch = UINT64_MAX,
		.refused = true, .text = "late" });
}

static void put_release(struct buf *out)
{
	protocol_put_claim(out, FRAME_RELEASE, &(struct frame_claim){ .run = 1, .epoch = 2, .keep = true });
}

static void put_left(struct buf *out)
{
	protocol_put_claim(out, FRAME_LEFT, &(struct frame_claim){ .run = 1, .epoch = 2 });
}

static void put_stop(struct buf *out)
{
	protocol_put_stop(out, &(struct frame_stop){ .id = id, .reason = REASON_CANCELED,
		.grace_ms = 30000 });
}

static void put_attach(struct buf *out)
{
	protocol_put_attach(out, &(struct frame_attach){ .id = id, .journal_offset = 77,
		.log_offset = 1 << 20, .renew = true });
}

static void put_stored(struct buf *out)
{
	protocol_put_stored(out, &(struct frame_stored){ .id = id, .log_offset = 128 });
}

static void put_forget(struct buf *out)
{
	protocol_put_forget(out, &(struct frame_attempt){ .id = id });
}

static void put_ping(struct buf *out)
{
	protocol_put_ping(out, FRAME_PING, &(struct frame_ping){ .number = 5 });
}

static void put_pong(struct buf *out)
{
	protocol_put_pong(out,
			  &(struct frame_pong){ .number = 5, .load = { 1250, 1 << 20, 1 << 19, 0, -1 } });
}

static void put_lease_grant(struct buf *out)
{
	protocol_put_ping(out, FRAME_LEASE_GRANT, &(struct frame_ping){ .number = INT64_MAX });
}

static void put_lease_ask(struct buf *out)
{
	protocol_put_ping(out, FRAME_LEASE_ASK, &(struct frame_ping){ .number = 0 });
}

static void put_welcome(struct buf *out)
{
	protocol_put_welcome(out, &(struct frame_welcome){ .version = 1, .host = "h", .machine = "aarch64",
		.boot_id = "b", .pid = 4711, .wall_ms = INT64_C(1800014400000), .cpus_milli = 2500,
		.memory_bytes = INT64_C(1) << 36, .root = "/r", .devices = gpus,
		.devices_count = COUNT_OF(gpus) });
}

static void put_present(struct buf *out)
{
	protocol_put_present(out, &(struct frame_present){ .id = id, .state = PRESENT_ENDED });
}

static void put_data(struct buf *out)
{
	protocol_put_data(out, &(struct frame_data){ .id = id, .stream = STREAM_LOG, .offset = 1000,
		.bytes = (const uint8_t *)"line\n", .n = 5 });
}

static void put_exited(struct buf *out)
{
	protocol_put_exited(out, &(struct frame_exited){ .id = id, .exit = end });
}

static void put_note(struct buf *out)
{
	protocol_put_note(out, FRAME_NOTE, &(struct frame_note){ .id = id, .warning = true, .text = "t" });
}

static void put_check(struct buf *out)
{
	protocol_put_check(out);
}

static void put_finding(struct buf *out)
{
	protocol_put_finding(out, &(struct frame_finding){ .name = "disk", .verdict = FINDING_WARNING,
		.text = "t", .remedy = "r", .last = true });
}

static void put_want(struct buf *out)
{
	protocol_put_want(out, &(struct frame_want){ "0a", 9, true, id, PROVISION_ARTIFACTS, 4, "n" });
}

static void put_get(struct buf *out)
{
	protocol_put_get(out, &(struct frame_get){ "0b", 9, true, 1, 2, PROVISION_CHECKPOINT, "p", "n" });
}

static void put_parcel(struct buf *out)
{
	protocol_put_parcel(out, FRAME_PARCEL, &(struct frame_parcel){ "0c", 5, 8, (const uint8_t *)"xyz",
		3, "", false });
}

static void put_parcel_back(struct buf *out)
{
	protocol_put_parcel(out, FRAME_PARCEL_BACK, &(struct frame_parcel){ "0c", 0, 0, NULL, 0, "gone",
		true });
}

static void put_identity(struct buf *out)
{
	protocol_put_identity(out, &(struct record_identity){ "b", 4711, 99 });
}

static void put_started(struct buf *out)
{
	protocol_put_started(out, &(struct record_started){ 4712, 1000, "e1", "0d" });
}

static void put_checkpoint(struct buf *out)
{
	protocol_put_checkpoint(out, &(struct record_checkpoint){ CHECKPOINT_BROKEN, "e1", "0d", 10, -1,
		1000, "file", "cut" });
}

static void put_metric(struct buf *out)
{
	protocol_put_metric(out, &(struct record_metric){ 1000, "{}" });
}

static void put_sample(struct buf *out)
{
	protocol_put_sample(out, &(struct record_sample){ 1000, 20, 4096, 3 });
}

static void put_output(struct buf *out)
{
	protocol_put_output(out, &(struct record_output){ "k", "v" });
}

static void put_record_note(struct buf *out)
{
	protocol_put_note(out, (enum frame_type)RECORD_NOTE, &(struct frame_note){ .text = "t" });
}

static void put_artifacts(struct buf *out)
{
	protocol_put_artifacts(out, &(struct record_artifacts){ "0e", 300, 2 });
}

static void put_stopping(struct buf *out)
{
	protocol_put_stopping(out, &(struct record_stopping){ .wall_ms = 1000, .reason = REASON_TIMEOUT,
		.grace_ms = 500 });
}

static void put_exit(struct buf *out)
{
	protocol_put_exit(out, &end);
}

static const struct row {
	const char *name;
	void (*put)(struct buf *out);
	const char *bytes; /* in hexadecimal */
} rows[] = {
	{ "hello", put_hello, "1500000001010101020c303132333435363738396162030173" },
	{ "claim", put_claim, "0d000000020102ac020201090603c0ee6d" },
	{ "inventory", put_inventory, "1900000022010101020affffffffffffffffff0103010104046c617465" },
	{ "release", put_release, "0a00000008010101020102050101" },
	{ "left", put_left, "070000002b010101020102" },
	{ "start", put_start,
	  "af000000030101070202ac020301020401090504c29fab030601010c07707974686f6e330c000d052f646174"
	  "610e03413d310f09ffffffffffffffff7f1001011103b0ea011205808080800413036f757414010115028827"
	  "160103170107180b010265320202306403010a180b010265310202306504010119054750552d311e07020230"
	  "6103014d1e160101020202306203010104010505036f7574060265321a03c0ee6d1b01281c096d6f64656c2e"
	  "62696e" },
	{ "stop", put_stop, "13000000040101070202ac0203010204010c0503b0ea01" },
	{ "attach", put_attach, "16000000050101070202ac0203010204014d0503808040060101" },
	{ "stored", put_stored, "0f000000060101070202ac0203010204028001" },
	{ "forget", put_forget, "0b000000070101070202ac02030102" },
	{ "ping", put_ping, "0400000009010105" },
	{ "pong", put_pong, "15000000250101050202e30903038180400403818020050101" },
	{ "lease grant", put_lease_grant, "0c0000000c0109ffffffffffffffff7f" },
	{ "lease ask", put_lease_ask, "0100000029" },
	{ "welcome", put_welcome,
	  "4f000000200101010201680307616172636836340401620502e72406068094e0c9b1340702c4130806808080"
	  "80800209022f720a1501054750552d3102044131303003068080808080010a0701054750552d32" },
	{ "present", put_present, "0e000000210101070202ac02030102040101" },
	{ "data", put_data, "19000000230101070202ac020301020401010502e80706056c696e650a" },
	{ "exited", put_exited,
	  "42000000240101070202ac02030102040101050105060affffffffffffffffff010701090801030902e8070a"
	  "02d00f0b0284070c0580808080040d01050e01060f0107100174" },
	{ "note", put_note, "11000000260101070202ac02030102040101050174" },
	{ "check", put_check, "010000000d" },
	{ "finding", put_finding, "130000002a01046469736b020101030174040172050101" },
	{ "want", put_want, "1e000000270101070202ac020301020402306105010906010107010108010409016e" },
	{ "get", put_get, "1a0000000b0101010201020402306205010906010107010208017009016e" },
	{ "parcel", put_parcel, "100000000a04023063050105060108070378797a" },
	{ "parcel back", put_parcel_back, "10000000280402306307000804676f6e65090101" },
	{ "identity", put_identity, "0b000000400101620202e724030163" },
	{ "started", put_started, "11000000410102e8240202e8070302653104023064" },
	{ "checkpoint", put_checkpoint,
	  "1e00000042010102020265310302306404010a0602e807070466696c650803637574" },
	{ "metric", put_metric, "09000000430102e80702027b7d" },
	{ "sample", put_sample, "0f000000440102e80702011403028020040103" },
	{ "output", put_output, "070000004501016b020176" },
	{ "record note", put_record_note, "0400000046050174" },
	{ "artifacts", put_artifacts, "0c00000049010230650202ac02030102" },
	{ "stopping", put_stopping, "0c000000470102e8070201030302f403" },
	{ "exit", put_exit,
	  "3800000048040101050105060affffffffffffffffff010701090801030902e8070a02d00f0b0284070c0580"
	  "808080040d01050e01060f0107100174" },
};

static void the_bytes_of_each_frame_are_those_of_older_versions(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		autobuf struct buf frame = { 0 };
		autobuf struct buf text = { 0 };

		rows[i].put(&frame);
		for (size_t at = 0; at < frame.bytes; at++)
			buf_printf(&text, "%02x", frame.data[at]);
		if (strcmp(buf_text(&text), rows[i].bytes) != 0)
			fail_msg("%s is %s", rows[i].name, buf_text(&text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bytes_of_each_frame_are_those_of_older_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
