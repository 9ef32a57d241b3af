#include "executor/ssh_target.h"

static const char *copy_text(struct arena *arena, const char *text)
{
	return text == NULL || text[0] == '\0' ? NULL : arena_strdup(arena, text);
}

struct ssh_target *ssh_target_copy(struct arena *arena, const struct ssh_target *target)
{
	struct ssh_target *copy = arena_alloc(arena, sizeof *copy);
	const char **identities = arena_alloc(arena, (target->identities_count + 1) * sizeof *identities);

	for (size_t i = 0; i < target->identities_count; i++)
		identities[i] = arena_strdup(arena, target->identities[i]);
	*copy = (struct ssh_target){
		.worker = copy_text(arena, target->worker),
		.destination = copy_text(arena, target->destination),
		.root = copy_text(arena, target->root),
		.jump = copy_text(arena, target->jump),
		.config_file = copy_text(arena, target->config_file),
		.known_hosts = copy_text(arena, target->known_hosts),
		.identities = identities,
		.identities_count = target->identities_count,
		.choice = target->choice,
		.connect_timeout_ms = target->connect_timeout_ms,
	};
	if (copy->destination == NULL)
		copy->destination = copy->worker;
	if (copy->worker == NULL)
		copy->worker = copy->destination;
	if (copy->root == NULL)
		copy->root = "~/.stoker";
	if (copy->connect_timeout_ms <= 0)
		copy->connect_timeout_ms = SSH_CONNECT_MS;
	return copy;
}
