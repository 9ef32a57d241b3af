/*
 * core_parts.h - what the files of the core share with each other, and with nobody else
 *
 * core.c takes an event to the file that knows about it and decides what starts; core_moves.c makes moves
 * and notes what is to be stored and done; core_outcome.c ends attempts, tasks and runs; core_notice.c
 * says who is told of that; core_queue.c says what is next of all that is ready; core_start.c starts it;
 * core_worker.c knows claims and inventories; core_lease.c gives up what has moved out of reach;
 * core_copy.c has checkpoints fetched; core_journal.c reads what supervisors report; core_request.c does
 * what people ask for. Together they are as pure as core.h says.
 */
#ifndef SCHEDULER_CORE_PARTS_H
#define SCHEDULER_CORE_PARTS_H

#include "scheduler/core.h"

/* --- core_moves.c --- */
void core_save_run(const struct run *run, struct actions *out);
void core_save_task(const struct task *task, struct actions *out);
void core_save_attempt(const struct attempt *attempt, struct actions *out);
void core_save_checkpoint(const struct checkpoint_row *row, struct actions *out);
struct action *core_order(struct actions *out, enum action_kind kind, const struct worker *worker,
			  const struct attempt_id *id);
struct attempt_id core_whole_run(const struct run *run);
void core_tell(struct core *core, struct actions *out, const char *kind, struct attempt_id about,
	       const char *actor, const char *origin, const char *detail);
void core_tell_own(struct core *core, struct actions *out, const char *kind, struct attempt_id about,
		   const char *detail);
void core_queue_ready(struct core *core, struct task *task);
void core_move_task(struct core *core, struct task *task, enum task_state to, enum reason reason,
		    const char *message, struct actions *out);
void core_move_attempt(struct attempt *attempt, enum attempt_state to, enum reason reason);
void core_move_run(struct core *core, struct run *run, enum run_state to, enum reason reason,
		   struct actions *out);
size_t core_run_position(const struct core *core, uint64_t id);
struct task *core_find_task(const struct core *core, const struct attempt_id *id);
struct attempt *core_find_attempt(const struct core *core, const struct attempt_id *id);
struct worker *core_find_worker(const struct core *core, const char *name);

/* --- core_outcome.c --- */
void core_finish_run(struct core *core, struct run *run, struct actions *out);
void core_end_task(struct core *core, struct task *task, enum task_state to, enum reason reason,
		   const char *message, struct actions *out);
void core_end_attempt(struct core *core, struct attempt *attempt, const struct record_exit *exit,
		      struct actions *out);
void core_end_unseen(struct core *core, struct attempt *attempt, enum exit_kind kind, enum reason reason,
		     bool transient, const char *text, struct actions *out);
void core_free_attempt(struct attempt *attempt);

/* --- core_queue.c --- */
int64_t core_waited_ms(const struct core *core, const struct task *task, const struct ready_class *class);
void core_queue_fill(struct core *core);
void core_queue_put(struct core *core, struct task *task, struct ready_class *class);
bool core_queue_take(struct core *core, struct candidate *out);

/* --- core_notice.c --- */
void core_notify(const struct core *core, const struct run *run, struct actions *out);

/* --- core_start.c --- */
struct attempt *core_new_attempt(struct task *task, struct worker *worker);
int core_order_start(struct core *core, struct attempt *attempt, struct actions *out, struct err *err);
void core_start_ready(struct core *core, struct actions *out);
void core_wake_retrying(struct core *core, struct run *run, struct actions *out);

/* --- core_worker.c --- */
bool core_run_concerns(const struct worker *worker, const struct run *run);
void core_ask_for_claims(struct core *core, struct actions *out);
void core_attempt_back(struct attempt *attempt, struct actions *out);
void core_order_stop(const struct attempt *attempt, int64_t grace_ms, struct actions *out);
int64_t core_grace_of(const struct task *task);
void core_on_present(struct core *core, const struct event *event, struct worker *worker,
		     struct actions *out);
void core_on_inventory(struct core *core, const struct event *event, struct worker *worker,
		       struct actions *out);
void core_on_worker_up(struct core *core, const struct event *event, struct worker *worker,
		       struct actions *out);
void core_on_worker_down(struct core *core, const struct event *event, struct worker *worker,
			 struct actions *out);
void core_on_worker_failed(struct core *core, const struct event *event, struct worker *worker,
			   struct actions *out);
void core_count_start(struct core *core, struct worker *worker, bool began, const char *message,
		      struct actions *out);

/* --- core_lease.c --- */
void core_note_use(struct run *run, const struct worker *worker, const struct dag_step *step);
void core_on_lease(struct core *core, const struct event *event, struct worker *worker);
bool core_awaits_inventory(const struct core *core, const struct run *run, const struct worker *worker);
void core_end_leases(struct core *core, struct actions *out);
int64_t core_next_lease_end_ms(const struct core *core);

/* --- core_copy.c --- */
void core_want_copy(struct task *task); /* it may have a checkpoint to be fetched */
void core_look_for_copies(struct core *core, struct run *run, struct actions *out);
void core_on_copied(struct core *core, const struct event *event, struct actions *out);
void core_drop_older_copies(struct task *task, struct actions *out);
void core_refuse_copy(struct core *core, struct task *task, struct checkpoint_row *row, struct actions *out);
void core_drop_copies(struct task *task, struct actions *out); /* all of them */
void core_cancel_copies(struct run *run, struct actions *out); /* those under way */
int64_t core_next_copy_ms(const struct core *core);

/* --- core_journal.c --- */
void core_on_journal(struct core *core, const struct event *event, struct actions *out);
void core_on_exited(struct core *core, const struct event *event, struct actions *out);
void core_on_collected(struct core *core, const struct event *event, struct worker *worker,
		       struct actions *out);

/* --- core_request.c --- */
void core_cancel_task(struct core *core, struct task *task, bool again, struct actions *out);
void core_on_cancel(struct core *core, const struct event *event, struct actions *out);
void core_make_ready(struct core *core, struct run *run, struct actions *out);
void core_on_retry(struct core *core, const struct event *event, struct actions *out);

#endif
