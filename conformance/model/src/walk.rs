//! Random paths, far longer than a search can go, each played to its end.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use crate::drain::drain;
use crate::event::Event;
use crate::lab::Lab;
use crate::search::Report;
use crate::setting::Setting;
use crate::trace::story;
use crate::world::World;

/// How long a path is, before it is played to its end.
const STEPS: usize = 150;

/// Chance that the same seed repeats.
struct Dice(u64);

impl Dice {
    /// Splitmix64.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap_or(0) % sides.max(1)
    }
}

/// Walks so many random paths, the first with this seed, the next with the next.
pub(crate) fn walk(setting: &Arc<Setting>, seed: u64, paths: u64) -> Report {
    let began = Instant::now();
    let mut lab = Lab::new(setting, None);
    let mut states = HashSet::new();
    let (mut transitions, mut longest, mut found) = (0, 0, None);
    let mut walked = seed;
    for own in seed..seed + paths {
        walked = own;
        let mut dice = Dice(own);
        let mut world = World::new(setting);
        let mut path: Vec<Event> = Vec::new();
        let mut outcome = Ok(());
        while path.len() < STEPS && outcome.is_ok() {
            let events = world.events();
            let trouble = dice.roll(8) == 0;
            let mut fitting: Vec<Event> =
                events.iter().copied().filter(|event| event.costs() == trouble).collect();
            if fitting.is_empty() {
                fitting = events;
            }
            if fitting.is_empty() {
                break;
            }
            let event = fitting[dice.roll(fitting.len())];
            path.push(event);
            outcome = world.apply(event, &mut lab);
            states.insert(world.number());
            transitions += 1;
        }
        longest = longest.max(path.len());
        let outcome = outcome.and_then(|()| drain(world, &mut lab, &mut path));
        if let Err(violation) = outcome {
            found = Some(story(setting, None, &path, Some(violation), None));
            break;
        }
    }
    Report {
        name: format!("{}, seeds {seed} to {walked}", setting.name),
        states: states.len() as u64,
        transitions,
        depth: longest,
        budget: setting.budget,
        time: began.elapsed(),
        tally: lab.tally,
        found,
    }
}
