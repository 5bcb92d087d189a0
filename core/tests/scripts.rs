//! The six scripts on a real server: a test for each rule of `docs/protocol.md`, "Scripts" and
//! "The fence". ⚔ marks the answer to a failure that was once reproduced; each of these tests was
//! seen to fail with its rule broken.
//!
//! | of | rule | tests |
//! |---|---|---|
//! | Keys | nothing stays when the queue is empty; @client goes at count 0 ⚔ | `queue::an_empty_queue_leaves_nothing` |
//! |  | `…q` and `…w` live 120 s after each join and poll | `queue::joining_and_polling_keep_the_queue_for_two_minutes` |
//! |  | stale meta is dropped when a queue begins anew | `queue::what_an_evicted_queue_left_behind_is_not_counted` |
//! |  | any byte in names and labels | `faults::any_byte_may_be_in_a_name_or_a_label` |
//! |  | channel of mode S | `walk::in_a_cluster_the_channel_is_in_the_queues_slot` |
//! | Fence | max(last + 1, clock) | `fence::a_fence_is_the_clock_or_one_more_than_the_last` |
//! |  | grows over the loss of any key | `fence::fences_grow_even_when_every_key_is_lost` |
//! |  | unreadable counts as absent | `fence::what_cannot_be_read_counts_as_absent` |
//! |  | the limit of 2^53 ⚔ | `fence::at_the_limit_nothing_is_granted`, `fence::at_the_limit_a_waiter_learns_it_and_a_release_frees` |
//! |  | remembered while ahead of the clock ⚔ | `fence::a_fence_ahead_of_the_clock_is_remembered_until_the_clock_has_caught_up` |
//! | acquire | holds and records | `holding::a_free_lock_is_held_and_recorded`, `holding::another_is_busy_or_queued` |
//! |  | seven commands for an uncontended pair | `cost::an_uncontended_pair_costs_seven_commands` |
//! |  | no barging ⚔ | `walk::nobody_barges_past_a_living_waiter`, `walk::nobody_barges_where_the_walk_ends_early`, `walk::the_dead_bar_nobody` |
//! | held | full TTL and the grant's fence at every answer ⚔ | `holding::a_retry_is_answered_with_the_grants_fence_and_a_full_ttl` |
//! |  | recorded ⚔ | `holding::a_retry_with_another_ttl_is_recorded`, `holding::a_retry_after_the_record_was_lost_gets_a_greater_fence` |
//! |  | takes the token out of the queue ⚔ | `holding::a_retry_leaves_no_place_in_the_queue` |
//! |  | never shortens ⚔ | `holding::a_retry_does_not_shorten_an_extension` |
//! | join | order, ticket, counted once | `queue::waiters_stand_in_the_order_they_came`, `queue::a_ticket_brings_back_the_old_place`, `queue::a_repeated_acquire_keeps_its_place_and_is_counted_once` |
//! |  | 10,000 at most | `queue::a_full_queue_takes_no_more` |
//! |  | drops up to 8 dead, as poll does | `queue::joining_and_polling_drop_eight_dead_at_the_head` |
//! |  | @client = max(old, now + window) ⚔ | `queue::a_shorter_window_never_takes_back_a_promise` |
//! | walk | FIFO, one message, state first | `walk::the_lock_is_handed_on_in_order_by_one_message` |
//! |  | dead: deadline, meta, no listener | `walk::a_waiter_whose_clients_deadline_has_passed_is_dead`, `walk::a_waiter_without_meta_is_dead`, `walk::a_waiter_that_nobody_listens_for_is_dead` |
//! |  | NUMSUB, not PUBLISH's count ⚔; once per client | `walk::a_listener_by_pattern_does_not_revive_the_dead`, `walk::a_client_is_asked_about_once_in_a_walk` |
//! |  | past 1,000 dead ⚔ | `walk::the_walk_passes_a_thousand_dead` |
//! |  | publish under pcall, an error is no receiver ⚔ | `faults::a_refused_message_counts_as_no_receiver` |
//! |  | a polling head is waited for, while it lives | `walk::a_head_that_fetches_the_lock_itself_is_waited_for`, `walk::a_head_that_fetches_the_lock_itself_can_die` |
//! |  | deadlines far ahead become 30 s | `walk::deadlines_from_before_a_step_back_of_the_clock_are_cut` |
//! |  | grants to the caller are not published | `queue::a_poll_finds_the_free_lock_and_takes_it_unpublished`, `queue::a_repeated_acquire_finds_the_free_lock_and_takes_it_unpublished` |
//! | cap | cuts to the recorded ttl | `holding::a_remainder_above_the_recorded_ttl_is_cut` |
//! |  | never what is not ours ⚔ | `holding::a_value_that_is_not_the_recorded_grant_is_never_cut` |
//! |  | never an extension ⚔ | `holding::an_extension_is_not_cut`, `holding::an_extension_under_a_clock_that_stepped_back_is_recorded` |
//! | poll | one heartbeat, many tokens | `queue::one_poll_speaks_for_all_waiters_of_a_client` |
//! |  | rescue | `queue::a_poll_that_finds_the_free_lock_hands_it_to_the_head` |
//! |  | gone; never enqueues | `queue::a_poll_says_gone_and_clears_away` |
//! |  | answers and counts under OOM ⚔ | `faults::without_memory_a_poll_answers_and_counts_as_a_heartbeat` |
//! | release | only ours | `holding::release_frees_only_what_the_token_holds` |
//! |  | frees whatever fails; hands on under OOM | `faults::a_lock_given_up_is_free_even_if_it_cannot_be_granted`, `faults::without_memory_a_release_still_hands_on` |
//! | cancel | each state | `queue::cancel_undoes_an_acquire_in_each_state`, `queue::a_cancelled_head_does_not_leave_the_lock_lying`, `faults::without_memory_a_cancel_still_leaves_or_passes_on` |
//! | extend | only ours; pipelined | `holding::extend_is_for_the_holder_only`, `holding::extensions_can_be_pipelined`, `holding::many_are_extended_by_one_call_and_each_for_itself` |
//! |  | never shortens ⚔ | `holding::extend_never_shortens_and_records_what_is_in_force` |
//! |  | recorded before set, or refused ⚔ | `faults::without_memory_nothing_is_granted_and_no_lease_is_lost`, `faults::a_shorter_extension_needs_no_record` |
//! |  | renews `…f` below a day | `holding::extend_keeps_the_fence_remembered` |
//! | inspect |  | `holding::inspect_tells_and_changes_nothing` |
//! | all | foreign holders | `holding::foreign_holders_are_told_apart_and_left_alone` |
//! |  | a wrong type at L | `faults::a_wrong_type_is_an_error_and_stays_as_it_is` |
//! |  | permissions | `faults::the_permissions_that_are_documented_suffice` |
//! |  | EVALSHA's names | `holding::the_scripts_are_named_by_their_hash` |
//! |  | what they cost the server | `cost::*` |
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "scripts/cost.rs"]
mod cost;
#[path = "scripts/faults.rs"]
mod faults;
#[path = "scripts/fence.rs"]
mod fence;
#[path = "scripts/holding.rs"]
mod holding;
#[path = "scripts/queue.rs"]
mod queue;
#[path = "../src/backend/redis/scripts.rs"]
mod scripts;
#[path = "scripts/stage.rs"]
mod stage;
#[path = "scripts/walk.rs"]
mod walk;
