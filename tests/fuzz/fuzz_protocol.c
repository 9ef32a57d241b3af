/*
 * fuzz_protocol.c - bytes from a worker: frames and records, whatever they hold
 *
 * With STOKER_FUZZING a libFuzzer target; else a program that feeds the same function frames it damaged
 * itself, from a fixed seed, as a test of `make check`.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "executor/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void decode(const struct frame *frame, struct arena *arena)
{
	union {
		struct frame_hello hello;
		struct frame_claim claim;
		struct spec spec;
		struct frame_stop stop;
		struct frame_attach attach;
		struct frame_stored stored;
		struct frame_attempt attempt;
		struct frame_ping ping;
		struct frame_pong pong;
		struct frame_welcome welcome;
		struct frame_present present;
		struct frame_data data;
		struct frame_exited exited;
		struct frame_note note;
		struct record_identity identity;
		struct record_started started;
		struct record_checkpoint checkpoint;
		struct record_metric metric;
		struct record_sample sample;
		struct record_output output;
		struct record_artifacts artifacts;
		struct record_stopping stopping;
		struct record_exit exit;
		struct frame_want want;
		struct frame_finding finding;
		struct frame_get get;
		struct frame_parcel parcel;
	} out;

	protocol_get_hello(frame, arena, &out.hello);
	protocol_get_claim(frame, arena, &out.claim);
	if (protocol_get_spec(frame, arena, &out.spec) == 0) {
		struct buf again = { 0 };

		protocol_put_spec(&again, &out.spec); /* what was decoded can be written */
		buf_fini(&again);
	}
	protocol_get_stop(frame, &out.stop);
	protocol_get_attach(frame, &out.attach);
	protocol_get_stored(frame, &out.stored);
	protocol_get_forget(frame, &out.attempt);
	protocol_get_ping(frame, &out.ping);
	protocol_get_pong(frame, &out.pong);
	protocol_get_welcome(frame, arena, &out.welcome);
	protocol_get_present(frame, &out.present);
	protocol_get_data(frame, &out.data);
	protocol_get_exited(frame, arena, &out.exited);
	protocol_get_note(frame, arena, &out.note);
	protocol_get_identity(frame, arena, &out.identity);
	protocol_get_started(frame, arena, &out.started);
	protocol_get_checkpoint(frame, arena, &out.checkpoint);
	protocol_get_metric(frame, arena, &out.metric);
	protocol_get_sample(frame, &out.sample);
	protocol_get_output(frame, arena, &out.output);
	protocol_get_artifacts(frame, arena, &out.artifacts);
	protocol_get_stopping(frame, &out.stopping);
	protocol_get_exit(frame, arena, &out.exit);
	protocol_get_want(frame, arena, &out.want);
	protocol_get_finding(frame, arena, &out.finding);
	protocol_get_get(frame, arena, &out.get);
	protocol_get_parcel(frame, arena, &out.parcel);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct arena arena;
	struct frame frame;
	struct err err;

	arena_init(&arena);
	while (protocol_next(bytes, n, &frame, &err) == 1) {
		decode(&frame, &arena);
		bytes += frame.whole_bytes;
		n -= frame.whole_bytes;
	}
	arena_fini(&arena);
	return 0;
}

#ifndef STOKER_FUZZING
enum { ROUNDS = 50000 };

static void put_samples(struct buf *out)
{
	const char *words[] = { "python3", "train.py", NULL };
	struct spec_checkpoint candidate = { "epoch-1", "abcd", 3, false };
	struct spec_provision provision = { PROVISION_CHECKPOINT, "abcd", 3, 4, "p", "n" };
	struct device device = { "GPU-1", "sim", 1 };
	struct spec spec = { .id = { 1, 2, 3 },
			     .argv = words,
			     .argc = 2,
			     .env = words,
			     .env_count = 2,
			     .workdir = "/w",
			     .candidates = &candidate,
			     .candidates_count = 1,
			     .devices = words,
			     .devices_count = 2,
			     .provisions = &provision,
			     .provisions_count = 1 };

	protocol_put_hello(out, &(struct frame_hello){ .version = 1, .home = "abc", .scheduler = "s" });
	protocol_put_spec(out, &spec);
	protocol_put_welcome(out,
			     &(struct frame_welcome){ .host = "h", .devices = &device, .devices_count = 1 });
	protocol_put_pong(out, &(struct frame_pong){ .number = 70000, .load = { 1250, 70000, -1, 0, 5 } });
	protocol_put_data(out,
			  &(struct frame_data){ .bytes = (const uint8_t *)"log", .n = 3, .offset = 70000 });
	protocol_put_finding(out, &(struct frame_finding){ .name = "n", .verdict = FINDING_PROBLEM, .last = true });
	protocol_put_want(out, &(struct frame_want){ .digest = "d", .offset = 70000, .begin = true });
	protocol_put_get(out, &(struct frame_get){ .digest = "d", .path = "p", .name = "n", .run = 4 });
	protocol_put_parcel(out, FRAME_PARCEL,
			    &(struct frame_parcel){ .digest = "d", .bytes = (const uint8_t *)"xyz", .n = 3 });
	protocol_put_exited(out, &(struct frame_exited){ .exit = { .kind = EXIT_LOST, .text = "gone" } });
	protocol_put_checkpoint(out, &(struct record_checkpoint){ .name = "n", .digest = "d", .step = 9 });
}

int main(void)
{
	struct buf samples = { 0 };
	struct rng rng = rng_seeded(20261123);

	put_samples(&samples);
	for (int i = 0; i < ROUNDS; i++) {
		size_t n = 1 + rng_below(&rng, samples.bytes);
		uint8_t *copy = malloc(n); /* of its exact size, so that a byte read past it is noticed */

		if (copy == NULL)
			return 1;
		memcpy(copy, samples.data, n);
		for (uint64_t k = rng_below(&rng, 6); k > 0; k--)
			copy[rng_below(&rng, n)] = (uint8_t)rng_next(&rng);
		LLVMFuzzerTestOneInput(copy, n);
		free(copy);
	}
	buf_fini(&samples);
	printf("1..1\nok 1 - %d damaged streams are decoded or refused\n", ROUNDS);
	return 0;
}
#endif
