/*
 * framing.h - refuses requests of which two programs may disagree where they end, or whom they are for
 *
 * A proxy in front and this server must not read one stream of bytes as different requests (request smuggling): a field
 * that may stand once stands once, a body has a length or comes in chunks and not both, and the only coding of a transfer
 * is `chunked`. The library takes more than that. What is refused here is the last of its connection.
 *
 * Source: RFC 9112, sections 3.2, 6.1, 6.3 and 11.2.
 */
#ifndef WEB_FRAMING_H
#define WEB_FRAMING_H

#include "web/parts.h"

/* ERR_INVALID, with a sentence. `version`: "HTTP/1.1". */
int framing_check(const struct exchange *exchange, const char *version, struct err *err);

#endif
