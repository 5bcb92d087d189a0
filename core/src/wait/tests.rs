//! What the engine makes of answers and signals (protocol, "The client's part").

use std::time::Duration;

use super::*;
use crate::backend::Signal;
use crate::backend::fake::{Asked, Stage};
use crate::backend::withdrawal::{self, Withdrawal};
use crate::clock::valid_until;
use crate::error::{Error, ErrorKind, LossReason};

const TTL: Duration = Duration::from_secs(10);

fn claim() -> Arc<Claim> {
    Arc::new(Claim::new("a".into(), Token::generate().unwrap(), 10_000, "".into()))
}

fn granted(token: Token, fence: u64) -> Signal {
    Signal::Granted { name: "a".to_owned(), token, fence }
}

/// In the queue, asked so long ago, with nothing to look at for a while.
fn queued(ago: Duration) -> Answer {
    let now = Moment::now();
    Answer::Queued {
        ticket: Some(7),
        look_at: now + Duration::from_secs(60),
        granted_until: valid_until(now - ago, TTL),
    }
}

fn enter(stage: &Stage, claim: &Arc<Claim>) -> Place {
    stage.session.waiting.enter(&stage.session, claim, &Arc::default(), Moment::NEVER)
}

fn unavailable() -> Error {
    Error::unavailable("the connection broke").maybe_done()
}

#[tokio::test]
async fn a_message_ends_the_wait_without_another_request() {
    let mut stage = Stage::new();
    let claim = claim();
    let place = enter(&stage, &claim);
    place.stay(&Ok(queued(Duration::from_secs(1))), 0);
    stage.signal(granted(claim.token, 5));
    let lease = place.wait().await.unwrap();
    assert_eq!(lease.fence(), 5);
    let latest = TTL.checked_sub(Duration::from_secs(1)).unwrap();
    assert!(lease.remaining() < latest, "it counts from the request, not from the message");
    assert!(stage.is_quiet());
}

#[tokio::test]
async fn a_wait_whose_listener_broke_before_it_was_registered_is_the_engines() {
    let mut stage = Stage::new();
    let claim = claim();
    let place = enter(&stage, &claim);
    place.stay(&Ok(queued(Duration::ZERO)), 9);
    let mut asked = [stage.next().await, stage.next().await];
    asked.sort_by_key(|asked| matches!(asked, Asked::Attempt(..)));
    let [Asked::Withdraw(old), Asked::Attempt(new, ticket)] = asked else { panic!("{asked:?}") };
    assert!(old == claim.token && new != old && ticket == 7, "{asked:?}");
    stage.signal(granted(new, 5));
    assert_eq!(place.wait().await.unwrap().fence(), 5);
}

#[tokio::test]
async fn a_message_that_may_be_old_is_asked_about_first() {
    let mut stage = Stage::new();
    let claim = claim();
    let place = enter(&stage, &claim);
    place.stay(&Ok(queued(Duration::from_secs(6))), 0);
    let until = valid_until(Moment::now(), TTL);
    stage.poll_answers(Ok(Answer::Granted { fence: 6, valid_until: until }));
    stage.signal(granted(claim.token, 5));
    assert_eq!(stage.next().await, Asked::Poll(claim.token));
    assert_eq!(place.wait().await.unwrap().fence(), 6);
}

#[tokio::test]
async fn a_message_may_come_before_the_answer() {
    let stage = Stage::new();
    let claim = claim();
    let place = enter(&stage, &claim);
    stage.signal(granted(claim.token, 5));
    place.stay(&Ok(queued(Duration::ZERO)), 0);
    let lease = place.wait().await.unwrap();
    assert!(lease.is_held());
}

#[tokio::test]
async fn a_message_and_an_answer_that_both_grant_make_one_lease() {
    let mut stage = Stage::new();
    let claim = claim();
    let place = enter(&stage, &claim);
    stage.signal(granted(claim.token, 5));
    let Err(place) = place.settle(|| unreachable!("the message was first")) else {
        panic!("two leases of one token")
    };
    let lease = place.wait().await.unwrap();
    assert!(lease.is_held() && stage.is_quiet());
}

#[tokio::test]
async fn a_message_that_nobody_waits_for_is_given_back_at_once() {
    let mut stage = Stage::new();
    let token = Token::generate().unwrap();
    stage.signal(granted(token, 5));
    assert_eq!(stage.next().await, Asked::Withdraw(token));
}

#[tokio::test]
async fn a_late_message_about_a_lease_does_not_end_it() {
    let mut stage = Stage::new();
    let claim = claim();
    let place = enter(&stage, &claim);
    place.stay(&Ok(queued(Duration::ZERO)), 0);
    stage.signal(granted(claim.token, 5));
    let lease = place.wait().await.unwrap();
    stage.signal(granted(claim.token, 5));
    let other = Token::generate().unwrap();
    stage.signal(granted(other, 6));
    assert_eq!(stage.next().await, Asked::Withdraw(other), "and nothing before it");
    assert!(lease.is_held());
}

#[tokio::test]
async fn a_late_message_does_not_overtake_a_release_with_a_cancel() {
    let mut stage = Stage::new();
    let (token, lease) = lease(&stage, Duration::ZERO).await;
    stage.leave_releases_open(true);
    let releasing = tokio::spawn(lease.release());
    assert_eq!(stage.next().await, Asked::Release(token));
    stage.signal(granted(token, 5));
    let other = Token::generate().unwrap();
    stage.signal(granted(other, 6));
    assert_eq!(stage.next().await, Asked::Withdraw(other), "and nothing before it");
    stage.leave_releases_open(false);
    releasing.await.unwrap().unwrap();
    stage.signal(granted(token, 5));
    assert_eq!(stage.next().await, Asked::Withdraw(token), "it is nobody's any more");
}

#[tokio::test]
async fn a_token_that_is_gone_is_given_up_and_the_place_is_kept() {
    let mut stage = Stage::new();
    let claim = claim();
    let place = enter(&stage, &claim);
    stage.poll_answers(Ok(Answer::Gone));
    place.stay(&Ok(queued(Duration::ZERO)), 0);
    stage.signal(Signal::LookAll);
    assert_eq!(stage.next().await, Asked::Poll(claim.token));
    let (mut withdrawn, mut joined) = (false, None);
    for _ in 0..2 {
        match stage.next().await {
            Asked::Withdraw(token) => withdrawn |= token == claim.token,
            Asked::Attempt(token, ticket) => joined = Some((token, ticket)),
            other => panic!("{other:?}"),
        }
    }
    let (token, ticket) = joined.unwrap();
    assert!(withdrawn && token != claim.token && ticket == 7);
    drop(place);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_token() {
    let mut stage = Stage::new();
    let claim = claim();
    let place = enter(&stage, &claim);
    let until = valid_until(Moment::now(), TTL);
    stage.attempt_answers(Err(unavailable()));
    stage.attempt_answers(Ok(Answer::Granted { fence: 5, valid_until: until }));
    place.stay(&Err(unavailable()), 0);
    assert_eq!(stage.next().await, Asked::Attempt(claim.token, 0));
    assert_eq!(stage.next().await, Asked::Attempt(claim.token, 0));
    assert_eq!(place.wait().await.unwrap().fence(), 5);
}

#[tokio::test]
async fn a_wait_that_is_never_answered_fails_and_is_withdrawn() {
    let mut stage = Stage::new();
    let claim = claim();
    let place = enter(&stage, &claim);
    for _ in 0..20 {
        stage.attempt_answers(Err(unavailable()));
    }
    place.stay(&Err(unavailable()), 0);
    let error = place.wait().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.is_ambiguous());
    let mut asked = stage.next().await;
    while asked == Asked::Attempt(claim.token, 0) {
        asked = stage.next().await;
    }
    assert_eq!(asked, Asked::Withdraw(claim.token));
    assert_eq!(stage.next().await, Asked::Withdraw(claim.token), "again, 1 s later");
}

#[tokio::test]
async fn a_wait_that_is_given_up_is_withdrawn() {
    let mut stage = Stage::new();
    let claim = claim();
    let place = enter(&stage, &claim);
    place.stay(&Ok(queued(Duration::ZERO)), 0);
    drop(place);
    assert_eq!(stage.next().await, Asked::Withdraw(claim.token));
    stage.signal(granted(claim.token, 5));
    assert_eq!(stage.next().await, Asked::Withdraw(claim.token), "and passed on if it raced");
}

#[tokio::test]
async fn many_waiters_are_polled_for_in_one_request() {
    let mut stage = Stage::new();
    let claims = [claim(), claim(), claim()];
    let places: Vec<Place> = claims.iter().map(|claim| enter(&stage, claim)).collect();
    for place in &places {
        place.stay(&Ok(queued(Duration::ZERO)), 0);
    }
    stage.signal(Signal::LookAll);
    // The fake leaves the poll open: all three are asked for before any answer.
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(stage.next().await);
    }
    assert!(claims.iter().all(|claim| asked.contains(&Asked::Poll(claim.token))));
}

/// A lease that a signal brought, on a request that was sent so long ago.
async fn lease(stage: &Stage, ago: Duration) -> (Token, Lease) {
    let claim = claim();
    let place = enter(stage, &claim);
    place.stay(&Ok(queued(ago)), 0);
    stage.signal(granted(claim.token, 5));
    (claim.token, place.wait().await.unwrap())
}

#[tokio::test]
async fn an_extension_refused_after_the_release_is_no_loss() {
    let mut stage = Stage::new();
    // Its renewal is due at once: a third of the TTL after the request is over.
    let (token, lease) = lease(&stage, Duration::from_secs(4)).await;
    assert_eq!(stage.next().await, Asked::Extend(token));
    let lost = lease.lost();
    lease.release().await.unwrap();
    assert_eq!(stage.next().await, Asked::Release(token));
    stage.extend_answers(None);
    assert!(tokio::time::timeout(Duration::from_millis(50), lost).await.is_err());
}

#[tokio::test]
async fn a_refused_extension_is_a_loss() {
    let mut stage = Stage::new();
    stage.extend_answers(None);
    let (token, lease) = lease(&stage, Duration::from_secs(4)).await;
    assert_eq!(stage.next().await, Asked::Extend(token));
    assert_eq!(lease.lost().await, LossReason::Refused);
}

#[tokio::test]
async fn one_extension_at_a_time() {
    let mut stage = Stage::new();
    let (token, lease) = lease(&stage, Duration::from_secs(4)).await;
    assert_eq!(stage.next().await, Asked::Extend(token));
    let by_hand = tokio::time::timeout(Duration::from_millis(50), lease.renew()).await;
    assert!(by_hand.is_err() && stage.is_quiet(), "it waits for the one under way");
}

#[tokio::test]
async fn an_extension_never_shortens_a_lease() {
    let mut stage = Stage::new();
    stage.extend_answers(Some(Moment::now()));
    let (token, lease) = lease(&stage, Duration::from_secs(4)).await;
    assert_eq!(stage.next().await, Asked::Extend(token));
    assert!(lease.remaining() > Duration::from_secs(5) && lease.is_held());
}

#[tokio::test]
async fn a_repeated_request_that_a_grant_overtook_is_withdrawn_after_the_release() {
    let mut stage = Stage::new();
    let claim = claim();
    let place = enter(&stage, &claim);
    // The reply to the first request is lost, though it got the claim into the queue.
    place.stay(&Err(unavailable()), 0);
    assert_eq!(stage.next().await, Asked::Attempt(claim.token, 0));
    stage.signal(granted(claim.token, 5));
    let lease = place.wait().await.unwrap();
    lease.release().await.unwrap();
    assert_eq!(stage.next().await, Asked::Release(claim.token));
    // Arriving only now, it takes the lock for nobody.
    let until = valid_until(Moment::now(), TTL);
    stage.attempt_answers(Ok(Answer::Granted { fence: 6, valid_until: until }));
    assert_eq!(stage.next().await, Asked::Withdraw(claim.token));
}

#[tokio::test]
async fn a_withdrawal_is_repeated_until_it_is_heard() {
    let (tries, claim) = (std::cell::Cell::new(0), claim());
    withdrawal::withdraw(&claim, Withdrawal::new(TTL, false, Moment::now()), |_| {
        tries.set(tries.get() + 1);
        let heard = tries.get() == 2;
        Box::pin(async move { if heard { Ok(()) } else { Err(unavailable()) } })
    })
    .await;
    assert_eq!(tries.get(), 2);
}
