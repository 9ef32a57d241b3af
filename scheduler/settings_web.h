/*
 * settings_web.h - what stoker.yaml says of the page and the API
 *
 *   web:
 *     listen: ["127.0.0.1:8765"]
 *     hosts: [gpu-head.lan]
 *     tls: {certificate: /etc/stoker/cert.pem, key: /etc/stoker/key.pem}
 *     behind_proxy: false
 *     shared: {socket: /run/stoker/stoker.sock, group: ops}
 *
 * `web: false` leaves the control socket. Without the key, SETTINGS_WEB_LISTEN is listened on where nobody else does.
 *
 * Errors: as diagnostics, like all of settings.h.
 */
#ifndef SCHEDULER_SETTINGS_WEB_H
#define SCHEDULER_SETTINGS_WEB_H

#include "dag/field.h"

#define SETTINGS_WEB_LISTEN "127.0.0.1:8765"

struct settings;

/* Reader for the table of the file; the member is a struct settings *. */
field_reader settings_read_web;

extern const struct field_level settings_web_level, settings_web_tls_level, settings_web_shared_level;

/* Once the file is read, if there is one: "~/" in paths, and the usual address. */
void settings_place_web(struct settings *settings);

#endif
