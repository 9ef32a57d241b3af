/*
 * settings_notify.h - what stoker.yaml says of notices: `notify`, `sendmail`, `mail_from`, `url`
 *
 * Each reader takes a `struct settings **`.
 */
#ifndef SCHEDULER_SETTINGS_NOTIFY_H
#define SCHEDULER_SETTINGS_NOTIFY_H

#include "dag/field.h"

field_reader settings_notify_read;
field_reader settings_notify_read_sendmail;
field_reader settings_notify_read_from;
field_reader settings_notify_read_url;

#endif
