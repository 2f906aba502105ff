//! The hash chain: each record's hash covers the one before it, so that no record can change or vanish unseen.

/// The hash before the first record.
pub(super) const GENESIS: &str = "cutover-journal-1";

/// The hash of a record: BLAKE3 over the previous hash and every stored column, length-prefixed.
pub(super) fn link(previous: &str, seq: u64, at: &str, run: &str, epoch: u64, plan: &str, body: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    let (seq, epoch) = (seq.to_string(), epoch.to_string());
    for part in [previous, &seq, at, run, &epoch, plan, body] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
