//! A small HTTP server of one page, on a thread of its own: one request after another, each with a time limit. It ends when
//! it is dropped.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Result, RunnerError};

/// How long one request and its answer may take.
const LIMIT: Duration = Duration::from_secs(2);
/// A longer request is refused.
const MOST: usize = 8 * 1024;

/// The page, made anew for each request.
pub(super) type Page = Box<dyn Fn() -> String + Send>;

/// The server.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `page` on `address`.
    pub(super) fn begin(address: &str, page: Page) -> Result<Self> {
        let refused = |why: &dyn std::fmt::Display| {
            RunnerError::usage(format!("metrics cannot be served on `{address}`: {why}; nothing was changed"))
                .with_help("name a host and a port that nobody listens on: `--metrics-listen 127.0.0.1:9464`")
        };
        let known: Vec<SocketAddr> = address.to_socket_addrs().map_err(|e| refused(&e))?.collect();
        let listener = TcpListener::bind(&known[..]).map_err(|e| refused(&e))?;
        let at = listener.local_addr().map_err(|e| refused(&e))?;
        let ending = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ending);
        let serve = move || {
            for asked in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                match asked {
                    // Who asks and goes away, or asks for ever, is no concern of a run.
                    Ok(stream) => drop(answer(stream, &page)),
                    // No more files may be open, say: another moment.
                    Err(_) => std::thread::sleep(Duration::from_millis(100)),
                }
            }
        };
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(serve).map_err(|e| refused(&e))?;
        Ok(Self { address: at, ending, thread: Some(thread) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // It waits for somebody to ask: that is us now.
        let mut own = self.address;
        match own.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => own.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => own.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        if TcpStream::connect_timeout(&own, LIMIT).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, page: &Page) -> std::io::Result<()> {
    let until = Instant::now() + LIMIT;
    let request = read(&mut stream, until)?;
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let (status, kind, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", page()),
        ("GET" | "HEAD", _) => ("404 Not Found", "text/plain; charset=utf-8", "it is at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "text/plain; charset=utf-8", "only GET\n".to_owned()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let body = if method == "HEAD" { "" } else { &body };
    write(&mut stream, &[head.as_bytes(), body.as_bytes()].concat(), until)
}

fn write(stream: &mut TcpStream, text: &[u8], until: Instant) -> std::io::Result<()> {
    let mut left = text;
    while !left.is_empty() {
        stream.set_write_timeout(Some(time_left(until)?))?;
        match stream.write(left)? {
            0 => return Err(ErrorKind::WriteZero.into()),
            n => left = &left[n..],
        }
    }
    Ok(())
}

fn time_left(until: Instant) -> std::io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The head of a request.
fn read(stream: &mut TcpStream, until: Instant) -> std::io::Result<String> {
    let mut read = Vec::new();
    let mut part = [0; 1024];
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        if read.len() > MOST {
            return Err(ErrorKind::InvalidData.into());
        }
        stream.set_read_timeout(Some(time_left(until)?))?;
        match stream.read(&mut part)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => read.extend_from_slice(&part[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}
