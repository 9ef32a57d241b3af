/*
 * session.h - the conversation of frames with one scheduler, on standard input and output
 *
 * Everything it knows is on disk or belongs to the connection; it may be killed at any byte. Several sessions
 * may serve the same attempts at the same time.
 *
 * What happens is noticed by inotify on each live attempt's folder, by a pidfd (or SIGCHLD) of its
 * supervisor, and where these are not to be had, by looking five times a second.
 */
#ifndef EXECUTOR_AGENT_SESSION_H
#define EXECUTOR_AGENT_SESSION_H

/* Until the end of standard input: the exit status of the program. `root` is created if need be. */
int session_serve(const char *root);

#endif
