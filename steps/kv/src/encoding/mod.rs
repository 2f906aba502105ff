//! How records lie in an ordered store: keys that sort as Badger sorts, values that lose nothing.
//!
//! Owns the bytes, for every store alike. One tree holds all, in spaces that a key's first byte tells apart. Knows no
//! store.

mod key;
mod value;

pub(crate) use key::{
    DATA, EXPIRY, NOTE, after, data_key, data_prefix, expiry_key, expiry_until, note_key, read_data_key,
    read_expiry_key,
};
pub(crate) use value::{read_uvarint, read_value, uvarint, value};
