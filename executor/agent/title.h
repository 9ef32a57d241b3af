/*
 * title.h - what `ps` shows for this process
 *
 * The text is written over the argument vector and the environment strings behind it, which are moved away
 * first.
 */
#ifndef EXECUTOR_AGENT_TITLE_H
#define EXECUTOR_AGENT_TITLE_H

/* Once, at the start of main, before anything keeps a pointer into argv or the environment. */
void title_init(int argc, char **argv);

void title_set(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
