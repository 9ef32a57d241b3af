/*
 * api.h - what is done for a request, once it is known who asks
 *
 *   api_begin    when the header is there: host, path, person, role. What cannot be is answered without its body
 *   api_finish   when the body is there: reads at once; changes suspend the exchange until the source has decided
 */
#ifndef WEB_API_H
#define WEB_API_H

#include "web/parts.h"

void api_begin(struct exchange *exchange, const char *method, const char *version);
void api_finish(struct exchange *exchange);

/* What was read aside becomes the answer. */
void api_take_made(struct exchange *exchange);

/* The exchange goes away while its change is being made: what comes of it is told to nobody. */
void api_forget(struct exchange *exchange);

#endif
