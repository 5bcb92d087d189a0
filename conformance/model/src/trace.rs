//! A path as people read it, and as it is replayed.

use std::sync::Arc;

use fencelock::model::{Value, with_flaw};

use crate::event::Event;
use crate::lab::{Bug, Lab, Rule, Violation};
use crate::server::START;
use crate::setting::Setting;
use crate::world::World;

/// A value that the server sent.
pub(crate) fn value(reply: &Value) -> String {
    match reply {
        Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Int(number) => number.to_string(),
        Value::Array(parts) => {
            let parts: Vec<String> = parts.iter().map(value).collect();
            format!("[{}]", parts.join(" "))
        }
        other => format!("{other:?}").chars().take(100).collect(),
    }
}

/// A path, told step by step, with the rule that it breaks in the end if it does.
#[derive(Clone, Debug)]
pub struct Story {
    /// Each step, as people read it.
    pub lines: Vec<String>,
    /// The steps' words, by which it is replayed.
    pub words: String,
    /// What it comes to.
    pub violation: Option<Violation>,
}

/// Runs something with a bug.
pub(crate) fn with_bug<T>(bug: Option<Bug>, run: impl FnOnce() -> T) -> T {
    let flaw = match bug {
        Some(Bug::Flaw(flaw)) => Some(flaw),
        _ => None,
    };
    with_flaw(flaw, run)
}

/// Tells a path, which comes to this in the end unless a rule is broken on the way.
pub(crate) fn story(
    setting: &Arc<Setting>,
    bug: Option<Bug>,
    path: &[Event],
    end: Option<Violation>,
    blind: Option<Rule>,
) -> Story {
    with_bug(bug, || {
        let mut lab = Lab::new(setting, bug);
        lab.blind = blind;
        let mut world = World::new(setting);
        let mut story = Story { lines: Vec::new(), words: words(path), violation: None };
        for (at, &event) in path.iter().enumerate() {
            lab.notes = Some(Vec::new());
            let outcome = world.apply(event, &mut lab);
            let passed = world.now.since(START).as_secs_f64();
            story.lines.push(format!("{:4}. {passed:9.3} s  {event}", at + 1));
            story.lines.append(&mut lab.notes.take().unwrap_or_default());
            if let Err(violation) = outcome {
                story.lines.push(format!("  ⇒ {violation}"));
                story.violation = Some(violation);
                return story;
            }
        }
        if let Some(violation) = end {
            story.lines.push(format!("  ⇒ {violation}"));
            story.violation = Some(violation);
        }
        story
    })
}

pub(crate) fn words(path: &[Event]) -> String {
    path.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The steps that these words stand for; what can't be found is told.
pub(crate) fn path(
    setting: &Arc<Setting>,
    bug: Option<Bug>,
    words: &str,
) -> Result<Vec<Event>, String> {
    with_bug(bug, || find_path(setting, bug, words))
}

fn find_path(setting: &Arc<Setting>, bug: Option<Bug>, words: &str) -> Result<Vec<Event>, String> {
    let mut lab = Lab::new(setting, bug);
    let mut world = World::new(setting);
    let mut path = Vec::new();
    for word in words.split_whitespace() {
        let events = world.events();
        let found = events.into_iter().find(|event| event.to_string() == word);
        let event =
            found.ok_or_else(|| format!("{word} can't happen behind {:?}", self::words(&path)))?;
        path.push(event);
        // A rule that is broken on the way is told by whoever plays it.
        let _ = world.apply(event, &mut lab);
    }
    Ok(path)
}
