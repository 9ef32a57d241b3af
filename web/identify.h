/*
 * identify.h - finds out who sent a request, and refuses what comes from a foreign page or under a foreign name
 *
 * Sets exchange->caller. A request that shows a token or a session that is not good is refused even where nobody would
 * have had to show one: it is better to be told.
 *
 * Returns 0, or a negative code after the exchange was answered, or put off to be answered later (EXCHANGE_ASKING).
 */
#ifndef WEB_IDENTIFY_H
#define WEB_IDENTIFY_H

#include "web/parts.h"

int identify(struct exchange *exchange, bool changes);

/* Takes a token for a session's cookie, or refuses it as above. */
void identify_login(struct exchange *exchange, const char *token);
void identify_logout(struct exchange *exchange);
void identify_tell(struct exchange *exchange); /* GET /session */

/* The peer of a new connection to the control socket, by the kernel's word. */
void identify_peer(struct connection *connection);

#endif
