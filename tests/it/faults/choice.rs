//! Which combinations of faults are met: a sample, the same sample again, all, or those that are asked for by name.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{SystemTime, UNIX_EPOCH};

/// Read from the environment: `CUTOVER_KILLS=all`, `CUTOVER_KILLS=pairs`, `CUTOVER_SEED=N`, `CUTOVER_FAULT=NAME`.
///
/// A combination's name is a path; to ask for the beginning of one is to ask for everything below it. `*` is any part.
#[derive(Debug)]
pub(super) struct Choice {
    all: bool,
    pairs: bool,
    seed: u64,
    name: Option<String>,
}

impl Choice {
    pub(super) fn of_environment() -> Self {
        let var = |name: &str| std::env::var(name).ok();
        let name = var("CUTOVER_FAULT");
        let kills = var("CUTOVER_KILLS").unwrap_or_default();
        let pairs = name.is_some() || kills == "pairs";
        let all = pairs || kills == "all";
        let seed = var("CUTOVER_SEED").map(|seed| seed.parse().expect("CUTOVER_SEED is a number"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self { all, pairs, seed: seed.unwrap_or(now.as_secs()), name }
    }

    /// What decides about the sample.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether no sample is wanted but everything (that the name allows).
    pub(super) fn all(&self) -> bool {
        self.all
    }

    /// What is asked for by name.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether every pair of two faults is wanted: weeks, unless the name says which.
    pub(super) fn pairs(&self) -> bool {
        self.pairs
    }

    /// Whether something is asked for by name: it need not be a combination of every test.
    pub(super) fn by_name(&self) -> bool {
        self.name.is_some()
    }

    /// Whether `name`, or something below it, may be met.
    pub(super) fn allows(&self, name: &str) -> bool {
        let same = |(wanted, part): (&str, &str)| wanted == "*" || wanted == part;
        self.name.as_ref().is_none_or(|wanted| wanted.split('/').zip(name.split('/')).all(same))
    }

    /// Whether `name` belongs to a sample of one in `of`.
    pub(super) fn samples(&self, name: &str, of: usize) -> bool {
        self.allows(name) && (self.all || self.draw(name, of) == 0)
    }

    /// A number below `limit` that only the seed and the name decide, whatever runs at the same time.
    pub(super) fn draw(&self, name: &str, limit: usize) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.seed, name).hash(&mut hasher);
        usize::try_from(hasher.finish() % u64::try_from(limit).unwrap()).unwrap()
    }
}
