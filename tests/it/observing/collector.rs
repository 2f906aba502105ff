//! A collector of traces: takes what is posted to it, and keeps the documents.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// The documents so far, each on a line, and the heads of the requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Collected {
    pub(super) documents: Arc<Mutex<String>>,
    pub(super) heads: Arc<Mutex<String>>,
}

/// Listens for as long as the test runs. Its address.
pub(super) fn collector() -> (String, Collected) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let collected = Collected::default();
    let keep = collected.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                keep.heads.lock().unwrap().push_str(&line);
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_ok() {
                keep.documents.lock().unwrap().push_str(&format!("{}\n", String::from_utf8(body).unwrap()));
                let _ =
                    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
            }
        }
    });
    (address, collected)
}
