//! Backups as files, each with its sidecar.
//!
//! Owns that nothing is there under a backup's name before it is whole and on the disk, and who reads, hashes and writes at the
//! same time: one thread the records, or several a part each, while another hashes and writes the frames that are full. Parts
//! follow one another in the file as they do in the store; of each that is not at its turn a frame or two are held.

use std::io::{self, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::{panic, thread, vec};

use cutover_core::{StepError, disk};

use super::Sidecar;
use super::writer::{Count, FRAME, Frames, Sink};
use crate::error::{KvError, Result};
use crate::record::Record;
use crate::store::Part;

/// More threads than these wait for the one that writes.
const READERS: usize = 4;

/// Writes records, in Badger's order, as the backup `path` with its sidecar beside it. Until it is whole and on the disk,
/// nothing is there under its name.
pub fn write_backup(path: &Path, since: u64, records: impl Iterator<Item = Result<Record>>) -> Result<Sidecar> {
    written(path, None, |output| beside(output, path, since, records))
}

/// The same of records in parts, which are read at the same time.
pub fn write_backup_parts(path: &Path, since: u64, parts: Vec<Part<'_>>) -> Result<Sidecar> {
    write_backup_of(path, since, None, parts, &mut |_| ())
}

/// The same by a step, which its sidecar names. `told` is told now and then how many records are written.
pub(crate) fn write_backup_of(
    path: &Path,
    since: u64,
    made_by: Option<&str>,
    mut parts: Vec<Part<'_>>,
    told: &mut dyn FnMut(u64),
) -> Result<Sidecar> {
    written(path, made_by, |output| match parts.pop() {
        Some(only) if parts.is_empty() => {
            let counted = (1..).zip(only()?).map(|(count, record)| {
                if count % 10_000 == 0 {
                    told(count);
                }
                record
            });
            beside(output, path, since, counted)
        }
        last => {
            parts.extend(last);
            beside_each_other((output, FRAME), path, since, parts, told)
        }
    })
}

fn written(
    path: &Path,
    made_by: Option<&str>,
    work: impl FnOnce(std::fs::File) -> Result<(std::fs::File, Sidecar)>,
) -> Result<Sidecar> {
    let of_disk = |error: StepError| KvError::of(path, error);
    let partial = disk::partial_name(path).map_err(of_disk)?;
    let of_file = |error: io::Error| KvError::of(path, error);
    let (file, mut sidecar) = work(disk::create(&partial).map_err(of_file)?)?;
    sidecar.made_by = made_by.map(str::to_owned);
    file.sync_all().map_err(of_file)?;
    drop(file);
    // The sidecar first: a backup without one would be taken for one of Badger's own.
    sidecar.write(path)?;
    disk::rename(&partial, path).map_err(of_file)?;
    disk::sync_parent(path).map_err(of_disk)?;
    Ok(sidecar)
}

/// Frames are hashed and written beside the reading of the next ones.
fn beside<W: Write + Send>(
    output: W,
    path: &Path,
    since: u64,
    records: impl Iterator<Item = Result<Record>>,
) -> Result<(W, Sidecar)> {
    let (mut frames, mut sink) = (Frames::new(path, FRAME), Sink::new(output, path));
    thread::scope(|scope| {
        let (full, coming) = mpsc::sync_channel::<Vec<u8>>(1);
        let writing = scope.spawn(move || coming.into_iter().try_for_each(|frame| sink.write(&frame)).map(|()| sink));
        for record in records {
            // Who takes no more has failed, and says why.
            if let Some(frame) = frames.push(&record?)?
                && full.send(frame).is_err()
            {
                break;
            }
        }
        if let Some(frame) = frames.rest() {
            let _ = full.send(frame);
        }
        drop(full);
        let sink = writing.join().unwrap_or_else(|panic| panic::resume_unwind(panic))?;
        sink.finish(&frames.count, since)
    })
}

/// What comes of a part.
enum Piece {
    Frame(Vec<u8>),
    /// It is all read.
    End(Count),
}

type Pieces = Receiver<Result<Piece>>;

/// The same, with parts read by a thread each, in frames of at most so many bytes.
pub(super) fn beside_each_other<W: Write>(
    (output, frame): (W, usize),
    path: &Path,
    since: u64,
    parts: Vec<Part<'_>>,
    told: &mut dyn FnMut(u64),
) -> Result<(W, Sidecar)> {
    let readers = thread::available_parallelism().map_or(1, NonZero::get).clamp(1, READERS).min(parts.len());
    let parts = Mutex::new(parts.into_iter());
    thread::scope(|scope| {
        let (turns, coming) = mpsc::channel();
        for _ in 0..readers {
            let (turns, parts) = (turns.clone(), &parts);
            scope.spawn(move || while read_next(Frames::new(path, frame), parts, &turns) {});
        }
        drop(turns);
        let (mut sink, mut count) = (Sink::new(output, path), Count::default());
        for pieces in coming {
            for piece in pieces {
                match piece? {
                    Piece::Frame(frame) => sink.write(&frame)?,
                    Piece::End(part) => count.add(path, part)?,
                }
            }
            told(count.tally.records);
        }
        sink.finish(&count, since)
    })
}

/// Reads the next part; whether somebody wants another.
fn read_next(mut frames: Frames, parts: &Mutex<vec::IntoIter<Part<'_>>>, turns: &Sender<Pieces>) -> bool {
    let (part, pieces) = {
        let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(part) = parts.next() else { return false };
        let (pieces, coming) = mpsc::sync_channel(1);
        // Under the lock: who is written next is who was taken next.
        if turns.send(coming).is_err() {
            return false;
        }
        (part, pieces)
    };
    let read = || -> Result<bool> {
        for record in part()? {
            if let Some(frame) = frames.push(&record?)?
                && pieces.send(Ok(Piece::Frame(frame))).is_err()
            {
                return Ok(false);
            }
        }
        let rest = frames.rest().map(Piece::Frame);
        Ok(rest.into_iter().chain([Piece::End(frames.count)]).all(|piece| pieces.send(Ok(piece)).is_ok()))
    };
    read().unwrap_or_else(|error| {
        let _ = pieces.send(Err(error));
        false
    })
}
