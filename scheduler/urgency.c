#include "scheduler/urgency.h"

int64_t urgency_of(int priority, int64_t waited_ms)
{
	if (waited_ms >= URGENCY_FIRST_MS)
		return INT64_MAX;
	return priority + (waited_ms > 0 ? waited_ms / URGENCY_STEP_MS : 0);
}
