//! Every path up to a depth, the shortest first; each state is looked at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::drain::drain;
use crate::event::Event;
use crate::lab::{Bug, Lab, Rule, Tally, Violation};
use crate::setting::Setting;
use crate::trace::{Story, story, with_bug};
use crate::world::World;

/// One in so many states is played to its end.
const DRAINED: u64 = 64;

/// What a search has found.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was searched.
    pub name: String,
    /// How many different states there are.
    pub states: u64,
    /// How many steps between them were taken.
    pub transitions: u64,
    /// Every path of so many steps was looked at, with at most `budget` troubles on it.
    pub depth: usize,
    /// See `depth`.
    pub budget: u8,
    /// How long it took.
    pub time: Duration,
    /// What was seen.
    pub tally: Tally,
    /// The path that breaks a rule, if there is one.
    pub found: Option<Story>,
}

/// Looks at every state that can be reached, deeper and deeper until there are `enough`; blind to
/// one rule, if asked to be.
pub(crate) fn search(
    setting: &Arc<Setting>,
    bug: Option<Bug>,
    blind: Option<Rule>,
    enough: usize,
) -> Report {
    with_bug(bug, || {
        let mut search = Search {
            setting,
            bug,
            lab: Lab::new(setting, bug),
            seen: HashSet::new(),
            reached: vec![(0, 0)],
            transitions: 0,
        };
        search.lab.blind = blind;
        search.run(enough)
    })
}

struct Search<'a> {
    setting: &'a Arc<Setting>,
    bug: Option<Bug>,
    lab: Lab,
    seen: HashSet<u64>,
    /// By which step from which state each was reached first.
    reached: Vec<(u32, u16)>,
    transitions: u64,
}

impl Search<'_> {
    fn run(mut self, enough: usize) -> Report {
        let began = Instant::now();
        let first = World::new(self.setting);
        self.seen.insert(first.number());
        let mut level = vec![(first, 0_u32)];
        let (mut depth, mut found) = (0, None);
        while !level.is_empty() && found.is_none() && self.seen.len() < enough {
            depth += 1;
            let mut next = Vec::new();
            for (world, from) in std::mem::take(&mut level) {
                found = self.follow(&world, from, &mut next);
                if found.is_some() {
                    break;
                }
            }
            level = next;
        }
        Report {
            name: self.setting.name.to_owned(),
            states: self.seen.len() as u64,
            transitions: self.transitions,
            depth,
            budget: self.setting.budget,
            time: began.elapsed(),
            tally: self.lab.tally,
            found,
        }
    }

    /// Takes every step from a state.
    fn follow(&mut self, world: &World, from: u32, next: &mut Vec<(World, u32)>) -> Option<Story> {
        for (step, event) in (0_u16..).zip(world.events()) {
            let mut after = world.clone();
            self.transitions += 1;
            if let Err(violation) = after.apply(event, &mut self.lab) {
                return Some(self.tell(from, step, &[], violation));
            }
            let number = after.number();
            if !self.seen.insert(number) {
                continue;
            }
            let at = u32::try_from(self.reached.len()).unwrap_or(u32::MAX);
            self.reached.push((from, step));
            if number.is_multiple_of(DRAINED) {
                let mut path = Vec::new();
                if let Err(violation) = drain(after.clone(), &mut self.lab, &mut path) {
                    return Some(self.tell(from, step, &path, violation));
                }
            }
            next.push((after, at));
        }
        None
    }

    /// The path to a state, a step from there, and what comes behind it.
    fn tell(&self, from: u32, step: u16, behind: &[Event], end: Violation) -> Story {
        let mut steps = vec![step];
        let mut at = from;
        while at != 0 {
            let (before, step) = self.reached[at as usize];
            steps.push(step);
            at = before;
        }
        let mut world = World::new(self.setting);
        let mut lab = Lab::new(self.setting, self.bug);
        let mut path: Vec<Event> = Vec::new();
        for step in steps.into_iter().rev() {
            let event = world.events()[usize::from(step)];
            path.push(event);
            // It is told again, with its violation.
            let _ = world.apply(event, &mut lab);
        }
        path.extend(behind);
        story(self.setting, self.bug, &path, Some(end), self.lab.blind)
    }
}
