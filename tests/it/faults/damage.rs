//! What a failing disk does to a file: it is cut, a bit turns, a piece of it is overwritten.

use std::fmt;

/// One damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// The file ends there.
    Cut(usize),
    /// This bit of that byte is another.
    Bit(usize, usize),
    /// So many bytes from there are others.
    Over(usize, usize),
}

impl Damage {
    pub(super) fn of(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Cut(at) => bytes.truncate(at),
            Self::Bit(at, bit) => bytes[at] ^= 1 << bit,
            Self::Over(at, length) => bytes[at..at + length].fill(0x55),
        }
    }
}

/// As parts of a path.
impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(at) => write!(f, "cut/{at}"),
            Self::Bit(at, bit) => write!(f, "bit/{at}-{bit}"),
            Self::Over(at, length) => write!(f, "over/{at}-{length}"),
        }
    }
}
