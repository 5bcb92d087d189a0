//! Each model in every interleaving.

use fencelock_interleavings::{events, handles, waits};

macro_rules! models {
    ($($module:ident::$model:ident)*) => {
        $(
            #[test]
            fn $model() {
                $module::$model();
            }
        )*
    };
}

models! {
    handles::freed_once_and_dropped_by_the_last
    handles::an_old_handle_never_shows_what_came_after
    handles::no_place_is_given_out_twice
    handles::one_chunk_of_new_places_is_kept
    waits::a_blocked_caller_gets_its_lease
    waits::an_interrupted_caller_leaves_no_lease
    waits::a_caller_that_is_told_gets_its_lease_or_it_is_given_back
    waits::a_caller_that_listens_by_itself_misses_no_end
    waits::a_future_is_woken_for_its_lease
    waits::a_dropped_future_leaves_no_lease
    events::the_reader_of_a_queue_gets_all_in_order
    events::every_push_wakes_the_reader
    events::an_event_loop_is_woken_for_every_result
    events::a_closed_inbox_keeps_nothing
}
