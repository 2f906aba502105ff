//! Puts the records of a source in order, however many they are.
//!
//! Owns the external merge: sorted runs on disk, each as large as the memory that is granted, then all of them read side
//! by side. Stores take sorted records several times faster, and a copy that goes on after a crash needs an order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use cutover_core::disk;

use super::waiting::{OVERHEAD, Parts, Waiting};
use crate::encoding::{read_value, value};
use crate::error::{KvError, Result};
use crate::record::Record;

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
    let mut waiting = Waiting::default();
    let mut taken = 0;
    for record in records {
        let record = record?;
        taken += record.key.len() + record.value.len() + OVERHEAD;
        waiting.push(&record);
        if taken > memory {
            if files.paths.len() == FAN_IN {
                let paths = files.paths.clone();
                let all = merge(paths.iter().map(|path| Run::open(path)).collect::<Result<_>>()?, Files::default());
                let whole = files.write_records(all)?;
                files.paths.retain(|path| *path == whole);
                paths.iter().try_for_each(|path| disk::remove_file(path).map_err(|error| KvError::of(path, error)))?;
            }
            waiting.sort();
            files.write_waiting(&waiting)?;
            waiting.clear();
            taken = 0;
        }
    }
    let mut runs: Vec<Run> = files.paths.iter().map(|path| Run::open(path)).collect::<Result<_>>()?;
    waiting.sort();
    runs.push(Run::Memory { waiting, next: 0 });
    Ok(merge(runs, files))
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
    Memory { waiting: Waiting, next: usize },
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
            Self::Memory { waiting, next } => {
                *next += 1;
                waiting.get(*next - 1).map(Ok)
            }
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
    let length = u32::from_le_bytes(length) as usize;
    // Mostly all of it is there; memory that is zeroed first is another, slower, sort of memory to glibc.
    if let Some(whole) = input.fill_buf()?.get(..length) {
        let bytes = whole.to_vec();
        input.consume(length);
        return Ok(bytes);
    }
    let mut bytes = vec![0; length];
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

    fn write_records(&mut self, records: impl Iterator<Item = Result<Record>>) -> Result<PathBuf> {
        let mut output = self.begin()?;
        for record in records {
            let record = record?;
            output.push((&record.key, record.version, &value(&record)))?;
        }
        output.end()
    }

    fn write_waiting(&mut self, waiting: &Waiting) -> Result<()> {
        let mut output = self.begin()?;
        waiting.parts().try_for_each(|parts| output.push(parts))?;
        output.end().map(drop)
    }

    fn begin(&mut self) -> Result<Output> {
        let path = self.folder.join(format!("run-{:06}", self.made));
        self.made += 1;
        let file = disk::create(&path).map_err(|error| KvError::of(&path, error))?;
        self.paths.push(path.clone());
        Ok(Output { file: BufWriter::with_capacity(BUFFER, file), path })
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

/// A run that is being written.
struct Output {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Output {
    fn push(&mut self, (key, version, rest): Parts<'_>) -> Result<()> {
        let mut write = || {
            self.file.write_all(&version.to_le_bytes())?;
            for part in [key, rest] {
                let length = u32::try_from(part.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
                self.file.write_all(&length.to_le_bytes())?;
                self.file.write_all(part)?;
            }
            io::Result::Ok(())
        };
        write().map_err(|error| KvError::of(&self.path, error))
    }

    fn end(mut self) -> Result<PathBuf> {
        self.file.flush().map_err(|error| KvError::of(&self.path, error))?;
        Ok(self.path)
    }
}
