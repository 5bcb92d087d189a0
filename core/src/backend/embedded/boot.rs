//! Which start of the machine it is, and by which clock: leases of another one are over.

use std::fs;

/// What the boot clock counts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Boot {
    /// Another at every start of the machine; empty where the system does not tell.
    id: String,
    /// How far this container's clock is set apart from the machine's.
    offset: String,
}

impl Boot {
    pub(super) fn read() -> Self {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
        let boot = |line: &str| {
            let mut words = line.split_whitespace();
            let ours = words.next() == Some("boottime");
            ours.then(|| words.collect::<Vec<_>>().join("."))
        };
        let offset = offsets.lines().find_map(boot).unwrap_or_default();
        Self { id: id.trim().to_owned(), offset }
    }

    /// As the store keeps it.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.id, self.offset)
    }

    /// Whether a store was used since the same start, but by a clock that is set apart.
    pub(super) fn is_apart_from(&self, text: &str) -> bool {
        text.split_once(' ').is_some_and(|(id, offset)| id == self.id && offset != self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_clock_of_the_same_start_is_known_from_another_start() {
        let boot = |id: &str, offset: &str| Boot { id: id.to_owned(), offset: offset.to_owned() };
        let here = boot("a", "0.0");
        assert!(!here.is_apart_from(&here.text()));
        assert!(here.is_apart_from(&boot("a", "7.0").text()));
        assert!(!here.is_apart_from(&boot("b", "7.0").text()));
    }

    #[test]
    fn the_machine_tells_its_start() {
        assert_eq!(Boot::read(), Boot::read());
        assert!(!cfg!(target_os = "linux") || !Boot::read().id.is_empty());
    }
}
