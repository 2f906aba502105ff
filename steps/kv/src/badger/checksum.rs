//! The checksums of blocks and indexes.

use prost::Message;
use twox_hash::XxHash64;

use super::bytes::Parsed;
use super::proto::Checksum;
use crate::KvErrorKind;

/// The message is never longer.
pub(super) const LONGEST: u32 = 64;

/// Compares what a stored checksum says of `data`; `what` is for messages: "the index".
pub(super) fn verify(data: &[u8], stored: &[u8], what: &str) -> Parsed<()> {
    let stored = Checksum::decode(stored)
        .map_err(|error| KvErrorKind::Malformed(format!("the checksum of {what} is no message: {error}")))?;
    let sum = match stored.algorithm {
        0 => u64::from(crc32c::crc32c(data)),
        1 => XxHash64::oneshot(0, data),
        other => {
            return Err(KvErrorKind::Unsupported(format!("the checksum of {what} is of the unknown kind {other}")));
        }
    };
    if sum == stored.sum {
        Ok(())
    } else {
        Err(KvErrorKind::Checksum(format!("the checksum of {what} does not match")))
    }
}
