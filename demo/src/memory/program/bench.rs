//! How fast the store is to the program: one thought read, one thought written, each by itself.

use std::io::Write as _;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use cutover_steps_kv::store::{Batch, VersionedStore};
use cutover_steps_kv::{Record, Result};

use super::{Failure, live, text};
use crate::memory::random::Random;

pub(super) fn bench(store: &dyn VersionedStore, count: u64) -> std::result::Result<(), Failure> {
    let (reads, writes) = measure(store, count).map_err(text)?;
    writeln!(std::io::stdout(), "{{\"reads\":{reads:.0},\"writes\":{writes:.0}}}").map_err(text)
}

fn measure(store: &dyn VersionedStore, count: u64) -> Result<(f64, f64)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let keys: Vec<Vec<u8>> = store.live(b"", u64::MAX, now)?.map(|found| Ok(found?.key)).collect::<Result<_>>()?;
    let mut random = Random::of(7);
    let began = Instant::now();
    for _ in 0..count {
        let key = &keys[random.below(keys.len() as u64) as usize];
        let found = store.get(key, u64::MAX, now)?;
        assert!(found.is_some_and(|found| found.key == *key), "a live key has no value");
    }
    let reads = count as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    for n in 0..count {
        let version = store.max_version()? + 1;
        let key = format!("bench:{}", live::key(n)).into();
        let value = live::value(n, n).into();
        let mut batch = Batch::default();
        batch.put(Record { key, value, version, ..Record::default() });
        store.write(batch)?;
    }
    Ok((reads, count as f64 / began.elapsed().as_secs_f64()))
}
