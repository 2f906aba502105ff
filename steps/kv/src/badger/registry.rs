//! KEYREGISTRY: the keys that files are encrypted with, under the master key.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use prost::Message;

use super::bytes::{Bytes, Located, Parsed};
use super::cipher::{IV, Key};
use super::proto::DataKey;
use crate::{KvError, KvErrorKind, Result};

/// The file's name.
pub(super) const NAME: &str = "KEYREGISTRY";
/// What decrypts to itself under the right master key.
const SANITY: &[u8] = b"Hello Badger";

/// The keys by number.
#[derive(Debug, Default)]
pub(super) struct Registry {
    keys: BTreeMap<u64, Key>,
    /// Whether there is a master key.
    pub(super) encrypted: bool,
}

impl Registry {
    /// One key that is not sealed.
    #[cfg(any(test, feature = "fuzzed"))]
    pub(super) fn of_one(id: u64, key: Option<Key>) -> Self {
        Self { keys: key.map(|key| (id, key)).into_iter().collect(), encrypted: true }
    }

    /// Reads the file; a database without one is not encrypted.
    pub(super) fn read(path: &Path, master: Option<&Key>) -> Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(path, &bytes, master),
            Err(error) if error.kind() == ErrorKind::NotFound && master.is_none() => Ok(Self::default()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(KvError::of(path, KvErrorKind::Encrypted("a key is given for a database that has none".into())))
            }
            Err(error) => Err(KvError::of(path, error)),
        }
    }

    /// Reads what is in the file.
    pub(super) fn parse(path: &Path, bytes: &[u8], master: Option<&Key>) -> Result<Self> {
        let mut rest = Bytes::of(bytes, "the key registry");
        head(&mut rest, master).at(path, 0)?;
        let mut registry = Self { keys: BTreeMap::new(), encrypted: master.is_some() };
        while !rest.rest().is_empty() {
            let offset = (bytes.len() - rest.rest().len()) as u64;
            let (id, key) = data_key(&mut rest, master).at(path, offset)?;
            registry.keys.insert(id, key);
        }
        Ok(registry)
    }

    /// The key with that number; none for 0, which is plain.
    pub(super) fn key(&self, id: u64) -> Parsed<Option<&Key>> {
        match id {
            0 => Ok(None),
            _ => self.keys.get(&id).map(Some).ok_or_else(|| {
                KvErrorKind::Encrypted(format!("is encrypted with key {id}, which the key registry lacks"))
            }),
        }
    }
}

fn head(rest: &mut Bytes<'_>, master: Option<&Key>) -> Parsed<()> {
    let iv = rest.array::<IV>()?;
    let stored = rest.take(SANITY.len())?;
    let mut opened = stored.to_vec();
    if let Some(master) = master {
        master.apply(&iv, &mut opened);
    }
    match (opened == SANITY, master) {
        (true, _) => Ok(()),
        (false, None) => Err(KvErrorKind::Encrypted("is encrypted, and no key is given".into())),
        (false, Some(_)) if stored == SANITY => {
            Err(KvErrorKind::Encrypted("a key is given for a database that is not encrypted".into()))
        }
        (false, Some(_)) => {
            Err(KvErrorKind::Encrypted("the key that is given is not the one that it is encrypted with".into()))
        }
    }
}

fn data_key(rest: &mut Bytes<'_>, master: Option<&Key>) -> Parsed<(u64, Key)> {
    let length = rest.u32_be()?;
    let sum = rest.u32_be()?;
    let stored = rest.take(length as usize)?;
    if crc32c::crc32c(stored) != sum {
        return Err(KvErrorKind::Checksum("the checksum of a key does not match".into()));
    }
    let mut stored =
        DataKey::decode(stored).map_err(|error| KvErrorKind::Malformed(format!("a key is no message: {error}")))?;
    if let Some(master) = master {
        let iv = stored.iv.as_slice().try_into().map_err(|_| {
            KvErrorKind::Malformed(format!("key {} has an initial counter of {} bytes", stored.key_id, stored.iv.len()))
        })?;
        master.apply(&iv, &mut stored.data);
    }
    let length = stored.data.len();
    let key = Key::of(stored.data)
        .ok_or_else(|| KvErrorKind::Malformed(format!("key {} has {length} bytes", stored.key_id)))?;
    Ok((stored.key_id, key))
}
