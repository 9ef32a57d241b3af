/*
 * migrate.h - brings a database to this version's schema
 *
 * Forward only, in the one exclusive moment of opening (store_open holds the folder's lock), after a copy of
 * the old database was made beside it as stoker.db.v<N>.backup. user_version tells the version;
 * application_id tells that the file is stoker's at all.
 */
#ifndef SCHEDULER_MIGRATE_H
#define SCHEDULER_MIGRATE_H

#include "common/err.h"

struct store;

/* Makes the schema in a new database, or brings an older one forward. ERR_VERSION for a newer one. */
int migrate(struct store *store, struct err *err);

/* For readers: this version or ERR_VERSION (newer: upgrade stoker; older: run any writing command first). */
int migrate_check(struct store *store, struct err *err);

#endif
