#include "scheduler/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

const char *const checkpoint_state_names[CHECKPOINT_STATES] = {
	[CHECKPOINT_GOOD] = "good",
	[CHECKPOINT_IS_BROKEN] = "broken",
	[CHECKPOINT_QUARANTINED] = "quarantined",
	[CHECKPOINT_IS_REMOVED] = "removed",
	[CHECKPOINT_REPLACED] = "replaced",
};

static bool is_on_disk(const struct checkpoint_row *row)
{
	return row->state == CHECKPOINT_GOOD || row->state == CHECKPOINT_QUARANTINED;
}

void ledger_fini(struct ledger *ledger)
{
	free(ledger->rows);
	*ledger = (struct ledger){ 0 };
}

void ledger_add(struct ledger *ledger, const struct checkpoint_row *row)
{
	mem_grow(&ledger->rows, &ledger->room, ledger->count, sizeof *ledger->rows);
	ledger->rows[ledger->count++] = *row;
}

bool checkpoint_has_copy(const struct checkpoint_row *row)
{
	return row->copy != NULL && !row->copy_unfit && row->state != CHECKPOINT_QUARANTINED;
}

const struct checkpoint_row *ledger_newest(const struct ledger *ledger)
{
	for (size_t i = ledger->count; i > 0; i--) {
		const struct checkpoint_row *row = &ledger->rows[i - 1];

		if (row->state == CHECKPOINT_GOOD || checkpoint_has_copy(row))
			return row;
	}
	return NULL;
}

struct checkpoint_row *ledger_find(struct ledger *ledger, const char *worker, const char *name)
{
	for (size_t i = ledger->count; i > 0; i--) {
		struct checkpoint_row *row = &ledger->rows[i - 1];

		if (is_on_disk(row) && strcmp(row->name, name) == 0 &&
		    (worker == NULL || strcmp(row->worker, worker) == 0))
			return row;
	}
	return NULL;
}

struct checkpoint_row *ledger_find_begin(struct ledger *ledger, const char *worker, const char *name,
					 const char *digest)
{
	struct checkpoint_row *elsewhere = NULL;

	for (size_t i = ledger->count; i > 0; i--) {
		struct checkpoint_row *row = &ledger->rows[i - 1];

		if (strcmp(row->name, name) != 0 || (!is_on_disk(row) && row->copy == NULL) ||
		    (digest[0] != '\0' && strcmp(row->digest, digest) != 0))
			continue;
		if (strcmp(row->worker, worker) == 0)
			return row;
		if (elsewhere == NULL)
			elsewhere = row;
	}
	return elsewhere;
}

static bool is_brought_to(const struct checkpoint_row *row, const char *worker)
{
	return row->brought != NULL && strcmp(row->brought, worker) == 0;
}

struct checkpoint_row *ledger_find_brought(const struct ledger *ledger, const char *worker, const char *name)
{
	for (size_t i = ledger->count; i > 0; i--)
		if (is_brought_to(&ledger->rows[i - 1], worker) &&
		    strcmp(ledger->rows[i - 1].name, name) == 0)
			return &ledger->rows[i - 1];
	return NULL;
}

struct checkpoint_row *ledger_at(const struct ledger *ledger, uint32_t seq)
{
	for (size_t i = ledger->count; i > 0 && ledger->rows[i - 1].seq >= seq; i--)
		if (ledger->rows[i - 1].seq == seq)
			return &ledger->rows[i - 1];
	return NULL;
}

const struct checkpoint_row *ledger_brought(const struct ledger *ledger, const char *worker)
{
	for (size_t i = ledger->count; i > 0; i--) {
		const struct checkpoint_row *row = &ledger->rows[i - 1];

		if (row->state == CHECKPOINT_GOOD && strcmp(row->worker, worker) == 0)
			return NULL;
		if (checkpoint_has_copy(row))
			return row;
	}
	return NULL;
}

static const struct checkpoint_row *find_digest(const struct ledger *ledger, const char *digest)
{
	for (size_t i = ledger->count; i > 0; i--)
		if (strcmp(ledger->rows[i - 1].digest, digest) == 0)
			return &ledger->rows[i - 1];
	return NULL;
}

struct checkpoint_row *ledger_record(struct ledger *ledger, const struct record_checkpoint *record,
				     uint64_t run, uint32_t step, uint32_t attempt, const char *worker,
				     struct arena *arena, struct checkpoint_row **replaced_out, bool *new_out)
{
	const struct checkpoint_row *twin = find_digest(ledger, record->digest);
	bool poisoned = twin != NULL && twin->deaths >= LEDGER_DEATHS_MAX;
	struct checkpoint_row row = {
		.run = run,
		.step = step,
		.seq = ledger->count == 0 ? 1 : ledger->rows[ledger->count - 1].seq + 1,
		.attempt = attempt,
		.deaths = poisoned ? twin->deaths : 0,
		.state = poisoned ? CHECKPOINT_QUARANTINED : CHECKPOINT_GOOD,
		.at_step = record->step,
		.bytes = record->bytes,
		.created_wall_ms = record->wall_ms,
		.name = arena_strdup(arena, record->name),
		.digest = arena_strdup(arena, record->digest),
		.format = arena_strdup(arena, record->format),
		.worker = worker,
		.message = poisoned ? "the same contents as one that attempts died on" : "",
	};
	struct checkpoint_row *before;

	*new_out = twin == NULL;
	mem_grow(&ledger->rows, &ledger->room, ledger->count, sizeof *ledger->rows);
	before = ledger_find(ledger, worker, record->name);
	if (before != NULL)
		before->state = CHECKPOINT_REPLACED;
	*replaced_out = before;
	ledger->rows[ledger->count] = row;
	return &ledger->rows[ledger->count++];
}

/* What is brought takes the place of what has its name there. */
static bool is_candidate(const struct checkpoint_row *row, const char *worker,
			 const struct checkpoint_row *brought)
{
	if (row == brought)
		return true;
	if (brought != NULL && strcmp(row->name, brought->name) == 0)
		return false;
	return (is_on_disk(row) && strcmp(row->worker, worker) == 0) || is_brought_to(row, worker);
}

size_t ledger_candidates(const struct ledger *ledger, const char *worker,
			 const struct checkpoint_row *brought, struct arena *arena,
			 struct spec_checkpoint **out)
{
	size_t count = 0;

	*out = arena_alloc(arena, (ledger->count + 1) * sizeof **out);
	for (size_t i = ledger->count; i > 0; i--) {
		const struct checkpoint_row *row = &ledger->rows[i - 1];

		if (is_candidate(row, worker, brought))
			(*out)[count++] = (struct spec_checkpoint){
				.name = row->name,
				.digest = row->digest,
				.bytes = row->bytes,
				.quarantined = row->state == CHECKPOINT_QUARANTINED,
			};
	}
	return count;
}
