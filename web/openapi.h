/*
 * openapi.h - the API, described: OpenAPI 3.1, made from the table of routes.h
 *
 * What the answers look like is in schemas.json (JSON Schema), which a test checks real answers against; that each
 * route names one that is there is checked by another.
 *
 * Source: OpenAPI Specification 3.1.0.
 */
#ifndef WEB_OPENAPI_H
#define WEB_OPENAPI_H

#include <jansson.h>

struct exchange;

json_t *openapi_make(void);

void openapi_answer(struct exchange *exchange);

#endif
