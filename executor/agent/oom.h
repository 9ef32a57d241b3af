/*
 * oom.h - was it the kernel, for want of memory?
 *
 * The kernel's own counter is compared: that of the control group, in either version, which counts kills of its
 * members whoever ran out of memory; only where there is none that of the whole machine (/proc/vmstat). A step
 * that died of a SIGKILL nobody here sent, while it grew, was most likely its victim.
 *
 * The agent lowers its own chance to be chosen where it may; a step gets back what the agent was started
 * with, but for a protection that was meant for the scheduler alone (stoker.service): what eats the memory
 * is to go before what does not.
 */
#ifndef EXECUTOR_AGENT_OOM_H
#define EXECUTOR_AGENT_OOM_H

#include <stdint.h>

/* Once, in the agent: protects this process and its children. */
void oom_open(void);

/* In the step, before it runs: back to the chance the agent was started with, or to the usual one. */
void oom_unprotect(void);

/* Finds the control group this process is in now, and counts. */
uint64_t oom_begin(void);

/* All kills counted so far, where oom_begin looked. */
uint64_t oom_count(void);

#endif
