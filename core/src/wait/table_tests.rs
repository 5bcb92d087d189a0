//! What the table makes of moments that no test with a real clock can wait for.

use super::*;
use crate::backend::withdrawal::Withdrawal;
use crate::clock::valid_until;

const TTL: Duration = Duration::from_secs(10);
const START: Moment = Moment::from_nanos(1_000_000_000);

fn claim() -> Arc<Claim> {
    Arc::new(Claim { ttl_ms: 10_000, ..stray("a", Token::generate().unwrap()) })
}

fn enter(table: &mut Table<&'static str>, until: Moment) -> (u64, Arc<Claim>) {
    let claim = claim();
    (table.enter(&claim, "caller", until, START), claim)
}

fn broken() -> Result<Answer> {
    Err(Error::unavailable("the connection broke").maybe_done())
}

fn queued(sent: Moment, look_at: Moment) -> Answer {
    Answer::Queued { ticket: Some(7), look_at, granted_until: valid_until(sent, TTL) }
}

fn plan(table: &mut Table<&'static str>, now: Moment) -> Plan<&'static str> {
    table.plan("a", now, true).unwrap()
}

#[test]
fn a_first_attempt_without_answer_for_a_ttl_goes_on_under_a_new_token() {
    let mut table = Table::default();
    let (id, claim) = enter(&mut table, Moment::NEVER);
    let now = START + TTL;
    let effects = table.stay(id, &broken(), now, Token::generate);
    let [Effect::Withdraw { claim: old, straggling: true }, Effect::Open(_)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(old.token, claim.token);
    let Some(Task::Join { claim: renamed, .. }) = plan(&mut table, now).task else {
        panic!("it joins at once")
    };
    assert_ne!(renamed.token, claim.token);
    // The grant of the new token is its own, and that of the old one nobody's.
    let own = table.granted("a", renamed.token, 5, now, |_| false);
    assert!(matches!(own, Some(Effect::Lease { fence: 5, .. })), "{own:?}");
    let old = table.granted("a", claim.token, 4, now, |_| false);
    assert!(matches!(old, Some(Effect::Withdraw { .. })), "{old:?}");
}

#[test]
fn a_grant_of_an_unsure_token_expects_a_straggler() {
    let mut table = Table::default();
    let (id, claim) = enter(&mut table, Moment::NEVER);
    table.stay(id, &broken(), START, Token::generate);
    let task = plan(&mut table, START).task.unwrap();
    assert_eq!(task, Task::Join { id, claim });
    let granted = Answer::Granted { fence: 5, valid_until: valid_until(START, TTL) };
    let effects = table.apply(task.answered(Ok(vec![granted])), START, Token::generate);
    assert!(matches!(effects[..], [Effect::Lease { straggler: true, .. }]), "{effects:?}");
}

#[test]
fn who_leaves_while_the_room_asks_may_be_overtaken_by_the_withdrawal() {
    let mut table = Table::default();
    let until = START + Duration::from_secs(1);
    for gives_up in [true, false] {
        let (id, _) = enter(&mut table, until);
        table.stay(id, &Ok(Answer::Busy), START, Token::generate);
        assert!(matches!(plan(&mut table, START).task, Some(Task::Join { .. })));
        // The engine's connection may be another by now than the one that was asked on.
        if gives_up {
            let left = table.leave(id);
            assert!(matches!(left, Some(Effect::Withdraw { straggling: true, .. })), "{left:?}");
        } else {
            let effects = table.plan("a", until, false).unwrap().effects;
            let [Effect::Expire(waiter)] = &effects[..] else { panic!("{effects:?}") };
            let (_, withdrawal) = waiter.clone().expired(true, until);
            assert_eq!(withdrawal, Some(Withdrawal::late(TTL, until)));
        }
    }
}

#[test]
fn a_room_is_closed_when_nobody_is_left_in_it() {
    let mut table = Table::default();
    let until = START + Duration::from_secs(1);
    let (id, _) = enter(&mut table, until);
    table.stay(id, &Ok(queued(START, START + TTL)), START, Token::generate);
    assert_eq!(plan(&mut table, START).next, until);
    let effects = plan(&mut table, until).effects;
    assert!(matches!(effects[..], [Effect::Expire(_)]), "{effects:?}");
    assert!(table.plan("a", until, true).is_none());
    let (id, _) = enter(&mut table, Moment::NEVER);
    let effects = table.stay(id, &Ok(Answer::Busy), until, Token::generate);
    assert!(matches!(effects[..], [Effect::Open(_)]), "{effects:?}");
}

#[test]
fn a_room_is_woken_for_what_it_would_not_look_at_in_time_by_itself() {
    let mut table = Table::default();
    let stays = |table: &mut Table<&'static str>, look_at| {
        let (id, _) = enter(table, Moment::NEVER);
        table.stay(id, &Ok(queued(START, look_at)), START, Token::generate)
    };
    let second = Duration::from_secs(1);
    assert!(matches!(stays(&mut table, START + second)[..], [Effect::Open(_)]));
    assert!(stays(&mut table, START).is_empty(), "it is about to plan");
    assert!(plan(&mut table, START).task.is_some());
    // Under way; so it plans anew when that is answered, but may not have planned for these.
    assert!(matches!(stays(&mut table, START + second)[..], [Effect::Wake(_)]));
    let mut table = Table::default();
    assert!(matches!(stays(&mut table, START + second)[..], [Effect::Open(_)]));
    assert_eq!(plan(&mut table, START).next, START + second);
    assert!(stays(&mut table, START + second).is_empty());
    assert!(stays(&mut table, START + 2 * second).is_empty());
    assert!(matches!(stays(&mut table, START + second / 2)[..], [Effect::Wake(_)]));
}

#[test]
fn signals_missed_while_a_request_is_under_way_are_looked_for_behind_its_answer() {
    let mut table = Table::default();
    let (id, _) = enter(&mut table, Moment::NEVER);
    let later = START + TTL;
    table.look_all(START);
    // The caller's own attempt, then a poll.
    table.stay(id, &Ok(queued(START, later)), START, Token::generate);
    for _ in 0..2 {
        let task = plan(&mut table, START).task.expect("it polls at once");
        table.look_all(START);
        let answers = task.answered(Ok(vec![queued(START, later)]));
        table.apply(answers, START, Token::generate);
    }
    let task = plan(&mut table, START).task.expect("it polls at once");
    table.apply(task.answered(Ok(vec![queued(START, later)])), START, Token::generate);
    let quiet = plan(&mut table, START);
    assert!(quiet.task.is_none() && quiet.next == later, "{quiet:?}");
}

#[test]
fn a_wait_whose_listener_breaks_goes_on_under_a_token_of_the_engines() {
    let mut table = Table::default();
    let (id, claim) = enter(&mut table, Moment::NEVER);
    table.listens(id, 3);
    table.stay(id, &Ok(queued(START, START + TTL)), START, Token::generate);
    assert!(plan(&mut table, START).task.is_none());
    let effects = table.deaf(3, START, Token::generate);
    let [Effect::Withdraw { claim: old, straggling: false }, Effect::Wake(_)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((old.token, old.listener), (claim.token, 3));
    let Some(Task::Join { claim: renamed, .. }) = plan(&mut table, START).task else {
        panic!("it joins at once")
    };
    assert_ne!(renamed.token, claim.token);
    assert_eq!((renamed.listener, renamed.ticket), (0, 7), "its place in the queue is kept");
    // What the engine listens for is not touched, nor what the caller itself is attempting.
    let (id, _) = enter(&mut table, Moment::NEVER);
    table.listens(id, 3);
    assert!(table.deaf(3, START, Token::generate).is_empty());
}

#[test]
fn a_first_attempt_that_was_lost_with_its_listener_is_not_repeated_with_its_token() {
    let mut table = Table::default();
    let (id, claim) = enter(&mut table, Moment::NEVER);
    table.listens(id, 3);
    let effects = table.stay(id, &broken(), START, Token::generate);
    let [Effect::Withdraw { claim: old, straggling: true }, Effect::Open(_)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(old.token, claim.token);
}

#[test]
fn each_listener_has_heartbeats_of_its_own() {
    let mut table = Table::default();
    let mut asked = Vec::new();
    for listener in [0, 1, 0, 2, 1] {
        let (id, _) = enter(&mut table, Moment::NEVER);
        table.listens(id, listener);
        table.stay(id, &Ok(queued(START, START)), START, Token::generate);
    }
    for _ in 0..3 {
        let task = plan(&mut table, START).task.unwrap();
        let Task::Poll { claims, .. } = &task else { panic!("{task:?}") };
        asked.push(claims.iter().map(|claim| claim.listener).collect::<Vec<_>>());
        let count = claims.len();
        let answers = task.answered(Ok(vec![queued(START, START + TTL); count]));
        table.apply(answers, START, Token::generate);
    }
    asked.sort_unstable();
    assert_eq!(asked, [vec![0, 0], vec![1, 1], vec![2]]);
    assert!(plan(&mut table, START).task.is_none());
}

#[test]
fn a_lease_is_kept_before_its_token_is_forgotten() {
    let mut table = Table::default();
    let (id, _) = enter(&mut table, Moment::NEVER);
    assert_eq!(table.settle(id, || "kept"), Some("kept"));
    assert_eq!(table.settle(id, || panic!("kept twice")), None);
}

#[test]
fn a_poll_that_answers_too_little_is_not_understood() {
    let claims = vec![claim(), claim()];
    let task = Task::Poll { ids: vec![1, 2], claims };
    let answers = task.answered(Ok(vec![Answer::Busy]));
    assert!(matches!(answers[..], [(1, _, Ok(Answer::Busy)), (2, _, Err(_))]), "{answers:?}");
}

/// Each bug on purpose does what it says, so that what the model checker finds is that bug.
#[cfg(feature = "model")]
mod flawed {
    use super::*;
    use crate::flaw::{Flaw, with_flaw};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_deadline_from_the_message() {
        let mut table = Table::default();
        let (_, claim) = enter(&mut table, Moment::NEVER);
        let now = START + SECOND;
        let granted = with_flaw(Some(Flaw::DeadlineFromMessage), || {
            table.granted("a", claim.token, 5, now, |_| false)
        });
        let Some(Effect::Lease { valid_until: until, .. }) = granted else { panic!("{granted:?}") };
        assert_eq!(until, valid_until(now, TTL));
    }

    #[test]
    fn a_token_reused() {
        let mut table = Table::default();
        let (id, claim) = enter(&mut table, Moment::NEVER);
        table.stay(id, &Ok(queued(START, START)), START, Token::generate);
        let task = plan(&mut table, START).task.unwrap();
        let effects = with_flaw(Some(Flaw::TokenReused), || {
            table.apply(task.answered(Ok(vec![Answer::Gone])), START, Token::generate)
        });
        assert!(effects.is_empty(), "{effects:?}");
        assert_eq!(plan(&mut table, START).task, Some(Task::Join { id, claim }));
    }
}
