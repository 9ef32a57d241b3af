/*
 * readiness.h - tells the service manager that the daemon is ready, at work, and stopping
 *
 * The protocol of sd_notify(3): a datagram to the socket that $NOTIFY_SOCKET names. It is stable and has one line, so
 * no library is linked for it. Without that variable nothing happens.
 */
#ifndef SCHEDULER_READINESS_H
#define SCHEDULER_READINESS_H

#include <stdint.h>

/* "READY=1", "STOPPING=1", "RELOADING=1", "WATCHDOG=1", "STATUS=..."; several are separated by newlines. */
void readiness_tell(const char *state);

/* How often the watchdog is to be fed; 0: there is none, or it watches another process. */
int64_t readiness_watchdog_ms(void);

#endif
