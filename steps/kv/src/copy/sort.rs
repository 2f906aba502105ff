//! Puts the records of a source in order, however many they are.
//!
//! Owns the external merge: sorted runs on disk, each as large as the memory that is granted, then all of them read side
//! by side. Stores take sorted records several times faster, and a copy that goes on after a crash needs an order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::vec;

use cutover_core::disk;

use crate::encoding::{read_value, value};
use crate::error::{KvError, Result};
use crate::record::Record;

/// What a record takes beside its key and value while it waits in memory.
const OVERHEAD: usize = size_of::<Record>() + 2 * 16;
/// Files that are read side by side; when there are as many, they become one.
const FAN_IN: usize = 64;
const BUFFER: usize = 64 << 10;

/// Sorted records, each key and version once. The files are removed with it.
#[derive(Debug)]
pub struct Sorted {
    heads: BinaryHeap<Reverse<Head>>,
    runs: Vec<Run>,
    /// The first error of a run; it ends the records.
    wrong: Option<KvError>,
    _files: Files,
}

/// Sorts `records` with about `memory` bytes; what does not fit goes into files in the folder `scratch`, which is made,
/// emptied of what a crash left there, and in the end empty. Of two records with one key and version the later counts.
pub fn sorted(records: impl Iterator<Item = Result<Record>>, memory: usize, scratch: &Path) -> Result<Sorted> {
    let mut files = Files::in_folder(scratch)?;
    let mut waiting = Vec::new();
    let mut taken = 0;
    for record in records {
        let record = record?;
        taken += record.key.len() + record.value.len() + OVERHEAD;
        waiting.push(record);
        if taken > memory {
            if files.paths.len() == FAN_IN {
                let paths = files.paths.clone();
                let all = merge(paths.iter().map(|path| Run::open(path)).collect::<Result<_>>()?, Files::default());
                let whole = files.write(all)?;
                files.paths.retain(|path| *path == whole);
                paths.iter().try_for_each(|path| disk::remove_file(path).map_err(|error| KvError::of(path, error)))?;
            }
            files.write(in_order(&mut waiting).map(Ok))?;
            taken = 0;
        }
    }
    let mut runs: Vec<Run> = files.paths.iter().map(|path| Run::open(path)).collect::<Result<_>>()?;
    let last: Vec<Record> = in_order(&mut waiting).collect();
    runs.push(Run::Memory(last.into_iter()));
    Ok(merge(runs, files))
}

/// The records, sorted; of those with one key and version the last.
fn in_order(records: &mut Vec<Record>) -> impl Iterator<Item = Record> + use<> {
    // Stable: what came later stays behind, and takes the place of what came before.
    records.sort_by(Record::order);
    records.dedup_by(|later, kept| {
        let same = later.order(kept).is_eq();
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    std::mem::take(records).into_iter()
}

fn merge(runs: Vec<Run>, files: Files) -> Sorted {
    let mut sorted = Sorted { heads: BinaryHeap::new(), runs, wrong: None, _files: files };
    for run in 0..sorted.runs.len() {
        sorted.pull(run);
    }
    sorted
}

impl Sorted {
    fn pull(&mut self, run: usize) {
        match self.runs[run].next().transpose() {
            Ok(Some(record)) => self.heads.push(Reverse(Head { record, run })),
            Ok(None) => {}
            Err(error) => drop(self.wrong.get_or_insert(error)),
        }
    }
}

impl Iterator for Sorted {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = match (self.wrong.take(), self.heads.pop()) {
            (Some(error), _) => {
                self.heads.clear();
                return Some(Err(error));
            }
            (None, None) => return None,
            (None, Some(Reverse(first))) => first,
        };
        self.pull(first.run);
        while let Some(Reverse(next)) = self.heads.peek()
            && next.record.order(&first.record).is_eq()
        {
            let run = next.run;
            self.heads.pop();
            self.pull(run);
        }
        Some(Ok(first.record))
    }
}

/// The next record of a run. Of equal ones that of the later run comes first: it counts.
#[derive(Debug)]
struct Head {
    record: Record,
    run: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.record.order(&other.record).then(other.run.cmp(&self.run))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

#[derive(Debug)]
enum Run {
    File { input: BufReader<File>, path: PathBuf },
    Memory(vec::IntoIter<Record>),
}

impl Run {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| KvError::of(path, error))?;
        Ok(Self::File { input: BufReader::with_capacity(BUFFER, file), path: path.to_owned() })
    }
}

impl Iterator for Run {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Memory(records) => records.next().map(Ok),
            Self::File { input, path } => read(input).map_err(|error| KvError::of(path, error)).transpose(),
        }
    }
}

fn read(input: &mut BufReader<File>) -> io::Result<Option<Record>> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut version = [0; 8];
    input.read_exact(&mut version)?;
    let key = part(input)?;
    let rest = part(input)?;
    let record = read_value(key, u64::from_le_bytes(version), &rest);
    record.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a file of ours was changed"))
}

fn part(input: &mut BufReader<File>) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The files of the runs, in the order of the source.
#[derive(Debug, Default)]
struct Files {
    folder: PathBuf,
    paths: Vec<PathBuf>,
    made: usize,
}

impl Files {
    fn in_folder(folder: &Path) -> Result<Self> {
        let wrong = |error: cutover_core::StepError| KvError::of(folder, error);
        disk::private_dir(folder).map_err(wrong)?;
        let files = Self { folder: folder.to_owned(), paths: Vec::new(), made: 0 };
        files.clear();
        Ok(files)
    }

    fn write(&mut self, records: impl Iterator<Item = Result<Record>>) -> Result<PathBuf> {
        let path = self.folder.join(format!("run-{:06}", self.made));
        self.made += 1;
        let file = disk::create(&path).map_err(|error| KvError::of(&path, error))?;
        self.paths.push(path.clone());
        let mut output = BufWriter::with_capacity(BUFFER, file);
        for record in records {
            let record = record?;
            let (key, rest) = (&record.key, value(&record));
            let mut write = || {
                output.write_all(&record.version.to_le_bytes())?;
                for part in [key, &rest] {
                    let length = u32::try_from(part.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
                    output.write_all(&length.to_le_bytes())?;
                    output.write_all(part)?;
                }
                io::Result::Ok(())
            };
            write().map_err(|error| KvError::of(&path, error))?;
        }
        output.flush().map_err(|error| KvError::of(&path, error))?;
        Ok(path)
    }

    /// Removes the runs of the folder: those of this sort, and those that a killed one left.
    fn clear(&self) {
        let Ok(entries) = self.folder.read_dir() else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with("run-") {
                let _ = disk::remove_file(&entry.path());
            }
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if !self.folder.as_os_str().is_empty() {
            self.clear();
        }
    }
}
