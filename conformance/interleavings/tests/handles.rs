//! Each model in every interleaving.

use fencelock_interleavings::handles;

#[test]
fn freed_once_and_dropped_by_the_last() {
    handles::freed_once_and_dropped_by_the_last();
}

#[test]
fn an_old_handle_never_shows_what_came_after() {
    handles::an_old_handle_never_shows_what_came_after();
}

#[test]
fn no_place_is_given_out_twice() {
    handles::no_place_is_given_out_twice();
}

#[test]
fn one_chunk_of_new_places_is_kept() {
    handles::one_chunk_of_new_places_is_kept();
}
