#include "executor/transport.h"

const char *const fault_names[FAULTS] = {
	[FAULT_BROKEN] = "broken",
	[FAULT_CONFIG] = "config",
	[FAULT_NAME] = "name",
	[FAULT_REFUSED] = "refused",
	[FAULT_UNREACHABLE] = "unreachable",
	[FAULT_PROTOCOL] = "protocol",
	[FAULT_HOSTKEY_UNKNOWN] = "hostkey_unknown",
	[FAULT_HOSTKEY_CHANGED] = "hostkey_changed",
	[FAULT_HOSTKEY_REVOKED] = "hostkey_revoked",
	[FAULT_AUTH] = "auth",
	[FAULT_SHELL] = "shell",
	[FAULT_DEPLOY] = "deploy",
};

bool fault_needs_person(enum fault fault)
{
	switch (fault) {
	case FAULT_CONFIG:
	case FAULT_HOSTKEY_UNKNOWN:
	case FAULT_HOSTKEY_CHANGED:
	case FAULT_HOSTKEY_REVOKED:
	case FAULT_AUTH:
		return true;
	default:
		return false;
	}
}
