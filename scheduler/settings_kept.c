#include "scheduler/settings_kept.h"

#include "dag/value.h"
#include "scheduler/settings.h"

void settings_read_fetched_max(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct settings *settings = *(struct settings **)member;

	value_size(spec, field, value, &settings->fetched_max_bytes);
}
