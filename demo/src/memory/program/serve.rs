//! The program that owns the store and writes, and how it is asked.

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cutover_steps_kv::store::VersionedStore;

use super::live::{Entry, Log};
use super::{Failure, Options, store, text};

/// What both threads of the program know.
#[derive(Debug, Default)]
struct Running {
    stop: AtomicBool,
    written: AtomicU64,
    /// Held while something is written, and while a backup is: sled's iterators see what is written meanwhile.
    writing: Mutex<()>,
}

/// Serves until it is told to stop, or its folder is gone.
pub(super) fn serve(dir: &Path, options: &Options) -> Result<(), Failure> {
    let socket = Path::new(options.text("socket").ok_or("serve needs --socket")?);
    let mut log = Log::open(options.text("log").map(Path::new))?;
    let rate = options.number("rate", 500)?;
    let store = options.open(&dir.to_string_lossy())?;
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).map_err(text)?;
    let running = Running::default();
    let stopped = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let wrote = write(&*store, &mut log, rate, dir, &running);
            if wrote.is_err() || !running.stop.swap(true, Ordering::Relaxed) {
                // The one that answers waits for somebody to ask.
                let _ = UnixStream::connect(socket);
            }
            wrote
        });
        let asked = answer(&listener, &*store, &running);
        running.stop.store(true, Ordering::Relaxed);
        let wrote = writer.join().unwrap_or_else(|_| Err("the writer ended".to_owned()));
        wrote.and(asked)
    })?;
    store.flush().map_err(text)?;
    drop(store);
    stopped.map_or(Ok(()), |mut asker: UnixStream| asker.write_all(b"stopped\n").map_err(text))
}

/// Answers until somebody says stop, who is still to be told that it has stopped.
fn answer(
    listener: &UnixListener,
    store: &dyn VersionedStore,
    running: &Running,
) -> Result<Option<UnixStream>, Failure> {
    loop {
        let (mut connection, _) = listener.accept().map_err(text)?;
        if running.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut line = String::new();
        if BufReader::new(&connection).read_line(&mut line).is_err() {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        // Who asks and goes away is no failure of the program.
        let _ = match words.as_slice() {
            ["stop"] => return Ok(Some(connection)),
            ["status"] => {
                let max = store.max_version().map_err(text)?;
                let written = running.written.load(Ordering::Relaxed);
                writeln!(connection, "{{\"written\":{written},\"max_version\":{max}}}").map_err(text)
            }
            ["backup", since] => since.parse().map_err(text).and_then(|since| {
                let _writing = running.writing.lock().unwrap_or_else(PoisonError::into_inner);
                store::backup(store, since, Chunks(&connection))?;
                connection.write_all(&0_u32.to_be_bytes()).map_err(text)
            }),
            _ => Ok(()),
        };
    }
}

/// Writes as fast as it may. The writer is done when this returns.
fn write(store: &dyn VersionedStore, log: &mut Log, rate: u64, dir: &Path, running: &Running) -> Result<(), Failure> {
    let (began, mut looked) = (Instant::now(), Instant::now());
    for n in 0_u64.. {
        if running.stop.load(Ordering::Relaxed) {
            break;
        }
        if looked.elapsed() > Duration::from_secs(1) {
            looked = Instant::now();
            if !dir.exists() {
                return Err("its folder is gone".to_owned());
            }
        }
        let entry = Entry::of(log.next);
        {
            let _writing = running.writing.lock().unwrap_or_else(PoisonError::into_inner);
            entry.commit(store)?;
            log.write(&entry)?;
        }
        running.written.fetch_add(1, Ordering::Relaxed);
        if let Some(nanos) = (n * 1_000_000_000).checked_div(rate) {
            std::thread::sleep(Duration::from_nanos(nanos).saturating_sub(began.elapsed()));
        }
    }
    Ok(())
}

/// Asks the one that serves, and copies its answer to standard output.
pub(super) fn ask(socket: &Path, words: &[&str]) -> Result<(), Failure> {
    let mut connection = UnixStream::connect(socket).map_err(text)?;
    writeln!(connection, "{}", words.join(" ")).map_err(text)?;
    let mut out = io::stdout().lock();
    if words.first() != Some(&"backup") {
        io::copy(&mut connection, &mut out).map_err(text)?;
        return Ok(());
    }
    loop {
        let mut length = [0; 4];
        connection.read_exact(&mut length).map_err(text)?;
        let length = u64::from(u32::from_be_bytes(length));
        if length == 0 {
            return out.flush().map_err(text);
        }
        if io::copy(&mut (&connection).take(length), &mut out).map_err(text)? < length {
            return Err("the answer is cut short".to_owned());
        }
    }
}

/// Writes what it gets with its length, so that whoever reads knows whether he has all.
struct Chunks<'a>(&'a UnixStream);

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(1 << 20);
        if length > 0 {
            self.0.write_all(&(length as u32).to_be_bytes())?;
            self.0.write_all(&bytes[..length])?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
