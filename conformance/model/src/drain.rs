//! Playing a path to its quiet end: nothing goes wrong any more, and nothing may be left behind.

use std::time::Duration;

use fencelock::model::Moment;

use crate::client::Doing;
use crate::event::{Event, Who};
use crate::lab::{Lab, Rule, Seen, Violation};
use crate::world::World;

/// More steps than any path needs to come to rest: behind a dead head that hears of nothing, each
/// waiter may poll ten times a second for a minute, if the server's clock was set back.
const STEPS: usize = 5000;
/// The queue lives for 120 s after the last who joined or polled, and longer if the server's clock
/// has been set back since, by half a minute each time.
const QUEUE_LIFE: Duration = Duration::from_secs(600);

/// Plays a state to its end.
pub(crate) fn drain(
    mut world: World,
    lab: &mut Lab,
    path: &mut Vec<Event>,
) -> Result<(), Violation> {
    world.budget = 0;
    let mut steps = 0;
    while let Some(event) = next(&world) {
        path.push(event);
        world.apply(event, lab)?;
        steps += 1;
        if steps > STEPS {
            return Err(violation("it never comes to rest"));
        }
    }
    if !world.clients.iter().all(|client| !client.alive || client.is_quiet()) {
        return Err(violation("nothing will happen any more, but somebody waits"));
    }
    if world.clients.iter().any(|client| client.alive && !client.leases.is_empty()) {
        return Err(violation("a lease is remembered that nobody has"));
    }
    // What the dead left, and what was left to lapse, has a time to live.
    let moment = Moment::from_nanos(world.now.nanos()) + QUEUE_LIFE;
    world.now = moment;
    world.server.set_clock(moment);
    let left = [crate::server::L, crate::server::Q, crate::server::W];
    for key in left {
        if world.server.keyspace().entry(key).is_some() {
            let key = String::from_utf8_lossy(key).into_owned();
            return Err(violation(format!("the key {key} is left behind")));
        }
    }
    lab.saw(Seen::Drained);
    Ok(())
}

fn violation(what: impl Into<String>) -> Violation {
    Violation { rule: Rule::Rest, what: what.into() }
}

/// What happens next if nothing goes wrong and everybody wants to leave; `None` once all is quiet.
fn next(world: &World) -> Option<Event> {
    for (c, client) in world.clients.iter().enumerate() {
        if client.alive && client.stalled {
            return Some(Event::Resume(c));
        }
    }
    if world.server.keyspace().is_out_of_memory() {
        return Some(Event::Memory);
    }
    for (&conn, wire) in &world.wires {
        if wire.open_there && !wire.requests.is_empty() {
            return Some(Event::Execute(conn));
        }
        if wire.open_here && !wire.replies.is_empty() {
            return Some(Event::Receive(conn));
        }
        if !wire.open_here {
            return Some(Event::Notice(conn));
        }
    }
    if world.ledger.foreign.is_some() {
        return Some(Event::ForeignRelease);
    }
    for (client, of) in world.clients.iter().enumerate().filter(|(_, client)| client.alive) {
        for (caller, one) in (0_u8..).zip(&of.callers) {
            if matches!(one.doing, Doing::Holding { .. }) {
                return Some(Event::Release(Who { client, caller }));
            }
        }
    }
    let quiet = world.clients.iter().all(|client| !client.alive || client.is_quiet());
    (!quiet && world.next_moment().is_some()).then_some(Event::Advance)
}
