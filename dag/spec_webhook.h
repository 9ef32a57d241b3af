/*
 * spec_webhook.h - reading `webhook` of `notify`: a URL, or a map with the format, a secret and headers
 *
 * What must not be known to everybody who reads the file is named and not written: `secret` and the values of
 * `headers` may be a map {env: NAME} or {file: PATH}, looked up on the scheduler's machine when something is sent.
 */
#ifndef DAG_SPEC_WEBHOOK_H
#define DAG_SPEC_WEBHOOK_H

#include "dag/field.h"

extern const struct field_level spec_webhook_level, spec_secret_level;

field_reader spec_webhook_read; /* fills in a struct dag_notify */

#endif
