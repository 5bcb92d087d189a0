//! Replays the corpus: what the fuzzer found worth keeping breaks no promise.

use std::fs;
use std::path::Path;

use fencelock_fuzz::TARGETS;

#[test]
fn every_target_bears_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let mut inputs: Vec<_> = fs::read_dir(corpus.join(name))
            .unwrap_or_else(|error| panic!("{name} has no corpus: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort();
        assert!(inputs.len() >= 10, "{name} has hardly any corpus");
        for path in inputs {
            // A panic does not say which input it was.
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
        }
        target(b"");
    }
}
