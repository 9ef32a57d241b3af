#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "executor/agent/devices.h"
#include "executor/agent/json.h"

static void cards_are_read_with_commas_in_their_names(void **state)
{
	struct devices devices = { 0 };
	struct arena arena;

	(void)state;
	arena_init(&arena);
	devices_parse_gpus("GPU-1a, NVIDIA A100-SXM4-80GB, 81920\nWARNING: infoROM is corrupted\n"
			   "GPU-2b, Card, with a comma, 1024\n",
			   &arena, &devices);
	assert_int_equal(devices.gpus_count, 2);
	assert_string_equal(devices.gpus[0].uuid, "GPU-1a");
	assert_string_equal(devices.gpus[0].name, "NVIDIA A100-SXM4-80GB");
	assert_int_equal(devices.gpus[0].memory_bytes, 81920LL << 20);
	assert_string_equal(devices.gpus[1].name, "Card, with a comma");
	arena_fini(&arena);
}

static void instances_take_the_place_of_their_card(void **state)
{
	struct devices devices = { 0 };
	struct arena arena;

	(void)state;
	arena_init(&arena);
	devices_parse_gpus("GPU-1a, A, 81920\nGPU-2b, B, 81920\n", &arena, &devices);
	devices_parse_instances("GPU 0: A (UUID: GPU-1a)\n  MIG 1g.10gb     Device  0: (UUID: MIG-x)\n"
				"  MIG 2g.20gb     Device  1: (UUID: MIG-y)\nGPU 1: B (UUID: GPU-2b)\n",
				&arena, &devices);
	assert_int_equal(devices.gpus_count, 3);
	assert_string_equal(devices.gpus[0].uuid, "MIG-x");
	assert_string_equal(devices.gpus[0].name, "MIG 1g.10gb");
	assert_int_equal(devices.gpus[0].memory_bytes, 10LL << 30);
	assert_string_equal(devices.gpus[1].uuid, "GPU-2b");
	assert_string_equal(devices.gpus[2].uuid, "MIG-y");
	arena_fini(&arena);
}

static void quotas_are_thousandths(void **state)
{
	(void)state;
	assert_int_equal(devices_parse_quota("max 100000\n"), 0);
	assert_int_equal(devices_parse_quota("150000 100000\n"), 1500);
	assert_int_equal(devices_parse_quota(""), 0);
}

static void json_is_walked_with_its_keys(void **state)
{
	static const char *const good[] = {
		"{}", "[]", " 1 ", "\"a\\\"b\"", "{\"a\":[1,{\"b\":null}],\"c\":-1.5e3}", "NaN"
	};
	static const char *const bad[] = { "",	  "{",	 "{\"a\"}", "{\"a\":}",	  "[1,]", "{a:1}",
					   "1 2", "\"a", "tru",	    "{\"a\":1,}", "]",	  "\"\\" };
	char deep[300];

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		assert_true(json_walk(good[i], strlen(good[i]), NULL, NULL));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(json_walk(bad[i], strlen(bad[i]), NULL, NULL));
	memset(deep, '[', sizeof deep);
	assert_false(json_walk(deep, sizeof deep, NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cards_are_read_with_commas_in_their_names),
		cmocka_unit_test(instances_take_the_place_of_their_card),
		cmocka_unit_test(quotas_are_thousandths),
		cmocka_unit_test(json_is_walked_with_its_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
