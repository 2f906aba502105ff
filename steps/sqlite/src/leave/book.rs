//! The file that rows go into: SQL that is one transaction, plain or in zstd frames, and read back in the same blocks.
//!
//! Owns the format:
//!
//! ```text
//! -- cutover rows 1: PLAN/STEP
//! -- (how to load it)
//! PRAGMA foreign_keys=OFF;
//! BEGIN TRANSACTION;
//! -- 1234
//! (1234 bytes of INSERT statements)
//! COMMIT;
//! ```
//!
//! A batch appends one block (of a packed file: one frame) and makes it durable. What lies behind the length that the
//! database knows is of a batch that was never committed, and is cut off. A file without its last line loads nothing.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Cursor, Read, Seek as _, SeekFrom, Take, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cutover_core::disk::{self, io_error};
use cutover_core::{StepError, StepInfo};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

const BEGIN: &str = "BEGIN TRANSACTION;\n";
const COMMIT: &str = "COMMIT;\n";

/// Such a file.
#[derive(Debug, Clone)]
pub(super) struct Book {
    pub(super) path: PathBuf,
    pub(super) packed: bool,
}

/// How far a file is known: its length, and the digest of all before.
#[derive(Debug, Clone, Default)]
pub(super) struct Mark {
    pub(super) bytes: u64,
    hasher: blake3::Hasher,
    /// How long the disk took to make the last of it durable.
    pub(super) synced: Duration,
}

impl Mark {
    pub(super) fn digest(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }

    /// The mark behind `bytes` more.
    fn behind(&self, bytes: &[u8], synced: Duration) -> Self {
        let mut hasher = self.hasher.clone();
        hasher.update(bytes);
        Self { bytes: self.bytes + bytes.len() as u64, hasher, synced }
    }
}

/// The first line of a file of that step.
pub(super) fn first_line(step: &StepInfo) -> String {
    format!("-- cutover rows 1: {}/{}\n", step.plan, step.id)
}

impl Book {
    /// Makes the file, whose folder is there and which is not: in one move, so that what is there has its first line.
    /// `about` is a line for whoever reads it.
    pub(super) fn begin(&self, step: &StepInfo, about: &str) -> Result<Mark, StepError> {
        if self.path.symlink_metadata().is_ok() {
            return Err(self.failed(io::ErrorKind::AlreadyExists.into()));
        }
        let about = about.replace(['\n', '\r'], " ");
        let head = format!("{}-- {about}\nPRAGMA foreign_keys=OFF;\n{BEGIN}", first_line(step));
        let bytes = self.packed(head.as_bytes());
        disk::write_atomic(&self.path, &bytes, disk::PRIVATE_FILE)?;
        Ok(Mark::default().behind(&bytes, Duration::ZERO))
    }

    /// What a failed or killed `begin` left, which the next one would replace, goes.
    pub(super) fn clean(&self) -> Result<(), StepError> {
        disk::remove_partial(&self.path)
    }

    /// Appends a block of statements behind `known`.
    pub(super) fn block(&self, known: &Mark, statements: &[u8]) -> Result<Mark, StepError> {
        let mut text = format!("-- {}\n", statements.len()).into_bytes();
        text.extend_from_slice(statements);
        self.append(known, &text)
    }

    /// Appends the last line.
    pub(super) fn end(&self, known: &Mark) -> Result<Mark, StepError> {
        self.append(known, COMMIT.as_bytes())
    }

    fn append(&self, known: &Mark, text: &[u8]) -> Result<Mark, StepError> {
        let bytes = self.packed(text);
        let write = || {
            let mut file = OpenOptions::new().write(true).open(&self.path)?;
            file.set_len(known.bytes)?;
            file.seek(SeekFrom::Start(known.bytes))?;
            file.write_all(&bytes)?;
            let began = Instant::now();
            file.sync_all()?;
            Ok(began.elapsed())
        };
        let synced = write().map_err(|e| self.failed(e))?;
        Ok(known.behind(&bytes, synced))
    }

    /// The text as the file has it.
    fn packed<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        if self.packed { compress_to_vec(text, CompressionLevel::Fastest).into() } else { text.into() }
    }

    /// The statements of the block that begins at `from` and is the last before `to`, as the file has them.
    pub(super) fn read_block(&self, from: &Mark, to: &Mark) -> Result<Vec<u8>, StepError> {
        let mut blocks = self.open(from.bytes, to.bytes)?;
        match blocks.next()? {
            Some(block) => Ok(block),
            None => Err(self.broken()),
        }
    }

    /// The blocks of the first `bytes` of the file.
    pub(super) fn blocks(&self, bytes: u64) -> Result<Blocks, StepError> {
        let mut blocks = self.open(0, bytes)?;
        loop {
            match blocks.line()?.as_deref() {
                Some(BEGIN) => return Ok(blocks),
                Some(_) => {}
                None => return Err(self.broken()),
            }
        }
    }

    fn open(&self, from: u64, to: u64) -> Result<Blocks, StepError> {
        let open = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(from))?;
            Ok(file.take(to.saturating_sub(from)))
        };
        let file = BufReader::with_capacity(1 << 16, open().map_err(|e| self.failed(e))?);
        let text = BufReader::with_capacity(1 << 16, Text { file, frame: self.packed.then(Cursor::default) });
        Ok(Blocks { book: self.clone(), text })
    }

    /// The mark of a file of `bytes`, whose digest must be `digest`.
    pub(super) fn known(&self, bytes: u64, digest: &str) -> Result<Mark, StepError> {
        let mut hasher = blake3::Hasher::new();
        let mut file = File::open(&self.path).map_err(|e| self.failed(e))?.take(bytes);
        let read = io::copy(&mut file, &mut hasher).map_err(|e| self.failed(e))?;
        let mark = Mark { bytes, hasher, synced: Duration::ZERO };
        if read == bytes && mark.digest() == digest { Ok(mark) } else { Err(self.broken()) }
    }

    /// The first line, as far as it is text; none where there is no file.
    pub(super) fn first(&self) -> Result<Option<String>, StepError> {
        match fs::symlink_metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.failed(e)),
            Ok(_) => {}
        }
        let mut blocks = self.open(0, 1 << 16)?;
        Ok(Some(blocks.line().ok().flatten().unwrap_or_default()))
    }

    /// Removes a file that no row went into.
    pub(super) fn discard(&self) -> Result<(), StepError> {
        disk::remove_file(&self.path).map_err(|e| self.failed(e))
    }

    /// Gives the file another name, the first free one of `NAME.END` and so on. Returns it.
    pub(super) fn set_aside(&self, end: &str) -> Result<PathBuf, StepError> {
        let first = format!("{}.{end}", self.path.display());
        let names = std::iter::once(first.clone()).chain((2..u32::MAX).map(|n| format!("{first}.{n}")));
        let free = names.map(PathBuf::from).find(|path| path.symlink_metadata().is_err());
        let free = free.unwrap_or_else(|| PathBuf::from(first));
        disk::rename(&self.path, &free).map_err(|e| self.failed(e))?;
        disk::sync_parent(&self.path)?;
        Ok(free)
    }

    fn failed(&self, error: io::Error) -> StepError {
        io_error("cannot read or write", &self.path, error)
    }

    fn broken(&self) -> StepError {
        StepError::conflict(format!("`{}` is not as this step left it", self.path.display())).with_help(
            "put the file back as it was (from a backup, or from where it was moved), then run the same command again",
        )
    }
}

/// The text of a file: of a packed one, frame after frame.
#[derive(Debug)]
struct Text {
    file: BufReader<Take<File>>,
    frame: Option<Cursor<Vec<u8>>>,
}

impl Read for Text {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(frame) = &mut self.frame else { return self.file.read(out) };
        loop {
            let read = frame.read(out)?;
            if read > 0 || out.is_empty() || self.file.fill_buf()?.is_empty() {
                return Ok(read);
            }
            let mut text = Vec::new();
            let mut decoder = StreamingDecoder::new(&mut self.file).map_err(|e| io::Error::other(e.to_string()))?;
            decoder.read_to_end(&mut text)?;
            *frame = Cursor::new(text);
        }
    }
}

/// The blocks of a file, one after the other.
#[derive(Debug)]
pub(super) struct Blocks {
    book: Book,
    text: BufReader<Text>,
}

impl Blocks {
    fn line(&mut self) -> Result<Option<String>, StepError> {
        let mut line = String::new();
        let read = self.text.by_ref().take(1 << 16).read_line(&mut line).map_err(|e| self.book.failed(e))?;
        Ok((read > 0).then_some(line))
    }

    /// The statements of the next block; none after the last.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, StepError> {
        let line = match self.line()? {
            None => return Ok(None),
            Some(line) if line == COMMIT => return Ok(None),
            Some(line) => line,
        };
        let length = line.strip_prefix("-- ").and_then(|rest| rest.trim_end().parse::<usize>().ok());
        let Some(length) = length else { return Err(self.book.broken()) };
        let mut block = Vec::new();
        let read = self.text.by_ref().take(length as u64).read_to_end(&mut block).map_err(|e| self.book.failed(e))?;
        if read == length { Ok(Some(block)) } else { Err(self.book.broken()) }
    }
}

/// The first free name of `rows-1.sql`, `rows-2.sql` and so on in a folder.
pub(super) fn free_name(folder: &Path) -> String {
    let mut names = (1_u64..).map(|n| format!("rows-{n}.sql"));
    names.find(|name| folder.join(name).symlink_metadata().is_err()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_back_and_what_lies_behind_it_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        for packed in [false, true] {
            let book = Book { path: folder.path().join(format!("rows-{packed}")), packed };
            let start = book.begin(&StepInfo::default(), "two\nlines").unwrap();
            let one = book.block(&start, b"INSERT INTO t VALUES ('a\nCOMMIT;\n-- 7\n');\n").unwrap();
            let large = format!("INSERT INTO t VALUES ('{}');\n", "words and words ".repeat(20_000));
            book.block(&one, b"of a batch that was undone").unwrap();
            let two = book.block(&one, large.as_bytes()).unwrap();
            assert_eq!(book.read_block(&one, &two).unwrap(), large.as_bytes());
            let all = book.end(&two).unwrap();
            assert_eq!(book.path.metadata().unwrap().len(), all.bytes);
            assert_eq!(packed, all.bytes < 100_000, "{}", all.bytes);
            for bytes in [two.bytes, all.bytes] {
                let mut blocks = book.blocks(bytes).unwrap();
                assert!(blocks.next().unwrap().unwrap().ends_with(b"-- 7\n');\n"));
                assert_eq!(blocks.next().unwrap().unwrap(), large.as_bytes());
                assert_eq!(blocks.next().unwrap(), None);
            }
            assert_eq!(book.known(all.bytes, &all.digest()).unwrap().digest(), all.digest());
            assert!(book.known(all.bytes, &two.digest()).is_err());
            let mut file = OpenOptions::new().write(true).open(&book.path).unwrap();
            file.seek(SeekFrom::Start(two.bytes - 9)).unwrap();
            file.write_all(b"damage").unwrap();
            assert!(book.known(all.bytes, &all.digest()).is_err());
        }
    }
}
