//! Values that lie in logs.

use std::collections::BTreeMap;

use super::bytes::Located;
use super::entry::{Pointer, Stored};
use super::layout::Layout;
use super::log::{Kind, Log};
use super::table::pointer;
use crate::record::Meta;
use crate::{KvError, KvErrorKind, Result};

/// Files that are open at a time.
const OPEN: usize = 16;

/// The logs that were asked for last.
#[derive(Debug)]
pub(super) struct Values<'a> {
    layout: &'a Layout,
    logs: BTreeMap<(bool, u32), Log>,
}

impl<'a> Values<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self { layout, logs: BTreeMap::new() }
    }

    /// The value of `key` at `version`; none when its file is gone, which garbage collection leaves behind.
    pub(super) fn fetch(&mut self, key: &[u8], version: u64, stored: Stored) -> Result<Option<Vec<u8>>> {
        match stored {
            Stored::Here(value) => Ok(Some(value)),
            Stored::Value(pointer) if !self.layout.values.contains_key(&pointer.file) => Ok(None),
            Stored::Value(pointer) => self.record(Kind::Value, pointer, key, version).map(|(_, value)| Some(value)),
            Stored::Memory(place) => {
                let (meta, value) = self.record(Kind::Memory, place, key, version)?;
                if meta & Meta::VALUE_POINTER == 0 {
                    return Ok(Some(value));
                }
                let log = self.layout.folder.join(format!("{:05}.mem", place.file));
                let onward = pointer(&value).at(&log, place.offset.into())?;
                self.fetch(key, version, Stored::Value(onward))
            }
        }
    }

    fn record(&mut self, kind: Kind, pointer: Pointer, key: &[u8], version: u64) -> Result<(u8, Vec<u8>)> {
        let which = (kind == Kind::Memory, pointer.file);
        if !self.logs.contains_key(&which) {
            if self.logs.len() == OPEN {
                self.logs.clear();
            }
            let log = match kind {
                Kind::Value => self.layout.value_log(pointer.file)?,
                Kind::Memory => self.layout.memory_log(pointer.file)?,
            };
            self.logs.insert(which, log);
        }
        let Some(log) = self.logs.get_mut(&which) else { return Ok((0, Vec::new())) };
        let record = log.at(pointer)?;
        let suffix = (u64::MAX - version).to_be_bytes();
        if record.key.strip_suffix(&suffix) != Some(key) {
            let text = "a pointer leads to the record of another key".to_owned();
            return Err(KvError::at(log.path(), pointer.offset.into(), KvErrorKind::Malformed(text)));
        }
        Ok((record.meta, record.value))
    }
}
