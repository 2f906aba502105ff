//! Sends spans to a collector: in batches, on a thread of its own, out of a queue that holds so many and no more.
//!
//! Who fills the queue never waits. What the collector does not take is tried again while there is room for it, and counted
//! when there is not; only the end of the command waits, and not for long.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::document;
use super::span::Span;
use crate::error::{Result, RunnerError};

/// Spans that wait to be sent, at the most.
const MOST: usize = 2048;
/// Spans of one document, at the most.
const BATCH: usize = 256;
/// How long fewer spans than a batch wait for more.
const EVERY: Duration = Duration::from_secs(5);
/// How long the collector may take for one document.
const LIMIT: Duration = Duration::from_secs(10);
/// How long it may take when the command waits for it.
const LAST: Duration = Duration::from_secs(2);
/// How long the command waits in all.
const PATIENCE: Duration = Duration::from_secs(3);
/// Headers that a collector asks for, as OpenTelemetry has it.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// What waits to be sent.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: VecDeque<Span>,
    /// Spans that were given up, and why the last of them.
    lost: u64,
    why: Option<String>,
    ending: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a span, unless there is no room for it.
    pub(super) fn push(&self, span: Span) {
        let mut waiting = self.lock();
        if waiting.spans.len() >= MOST {
            waiting.lost += 1;
            waiting.why.get_or_insert_with(|| "it is slower than the run".to_owned());
            return;
        }
        waiting.spans.push_back(span);
        if waiting.spans.len() >= BATCH {
            self.more.notify_one();
        }
    }
}

/// The thread that sends.
#[derive(Debug)]
pub(super) struct Sender {
    queue: Arc<Queue>,
    url: String,
    ended: Receiver<()>,
}

impl Sender {
    /// Sends to the collector at `url`.
    pub(super) fn begin(url: &str) -> Result<Self> {
        let url = address(url)?;
        let (done, ended) = channel();
        let queue = Arc::<Queue>::default();
        let collector = Collector { url: url.clone(), headers: headers()?, queue: Arc::clone(&queue) };
        std::thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                collector.serve();
                let _ = done.send(());
            })
            .map_err(|e| RunnerError::io("the thread for traces", e))?;
        Ok(Self { queue, url, ended })
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    pub(super) fn push(&self, span: Span) {
        self.queue.push(span);
    }

    /// Sends what is left, for a short while. What did not arrive, if anything.
    pub(super) fn end(self) -> Option<String> {
        self.queue.lock().ending = true;
        self.queue.more.notify_one();
        let late = self.ended.recv_timeout(PATIENCE).is_err();
        let waiting = self.queue.lock();
        let lost = waiting.lost + waiting.spans.len() as u64;
        let why = match &waiting.why {
            _ if late => "it does not answer",
            Some(why) => why,
            None => "it does not take them",
        };
        let url = &self.url;
        match (lost, late) {
            (0, false) => None,
            (0, true) => Some(format!("the last spans may not have reached `{url}`: {why}")),
            (1, _) => Some(format!("1 span did not reach `{url}`: {why}")),
            (lost, _) => Some(format!("{lost} spans did not reach `{url}`: {why}")),
        }
    }
}

/// The address for traces of a collector.
fn address(url: &str) -> Result<String> {
    let wrong = |why: &str| {
        let shown = if url.contains('@') { "URL" } else { url };
        RunnerError::usage(format!("traces cannot be sent to `{shown}`: {why}; nothing was changed"))
            .with_help("name a collector that takes OTLP over HTTP: `--otlp http://127.0.0.1:4318`")
    };
    let rest = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if host.contains('@') {
        return Err(wrong("a name and a password do not belong there")
            .with_help(format!("what a collector asks for goes into {HEADERS}: `{HEADERS}=authorization=...`")));
    }
    if host.is_empty() || url.parse::<ureq::http::Uri>().is_err() {
        return Err(wrong("it is no address of a web server"));
    }
    let url = url.trim_end_matches('/');
    Ok(if url.ends_with("/v1/traces") { url.to_owned() } else { format!("{url}/v1/traces") })
}

/// What the collector asks for beside the document.
fn headers() -> Result<Vec<(String, String)>> {
    let all = std::env::var(HEADERS).unwrap_or_default();
    let mut headers = Vec::new();
    for pair in all.split(',').filter(|pair| !pair.trim().is_empty()) {
        let known = pair.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        headers.push(known.ok_or_else(|| {
            RunnerError::usage(format!("`{HEADERS}` is not NAME=VALUE,NAME=VALUE; nothing was changed"))
        })?);
    }
    Ok(headers)
}

/// The far side, as the thread sees it.
struct Collector {
    url: String,
    headers: Vec<(String, String)>,
    queue: Arc<Queue>,
}

impl Collector {
    /// Until the command ends.
    fn serve(&self) {
        let mut rest = EVERY;
        loop {
            let (batch, ending) = self.next(rest);
            if batch.is_empty() {
                if ending {
                    return;
                }
                continue;
            }
            match self.send(&batch, if ending { LAST } else { LIMIT }) {
                Ok(()) => rest = EVERY,
                Err(failed) => {
                    self.give_back(batch, failed, ending);
                    if ending {
                        return;
                    }
                    // It is not there, or busy: it is left alone, longer each time.
                    rest = (rest * 2).min(Duration::from_secs(60));
                }
            }
        }
    }

    /// What is to be sent now, and whether that is the end.
    fn next(&self, rest: Duration) -> (Vec<Span>, bool) {
        let few = |waiting: &mut Waiting| !waiting.ending && (rest > EVERY || waiting.spans.len() < BATCH);
        let waiting = self.queue.lock();
        let waited = self.queue.more.wait_timeout_while(waiting, rest, few);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let count = waiting.spans.len().min(BATCH);
        (waiting.spans.drain(..count).collect(), waiting.ending)
    }

    /// What was not taken is tried again, if it can be.
    fn give_back(&self, batch: Vec<Span>, failed: Failed, ending: bool) {
        let mut waiting = self.queue.lock();
        let room = if failed.again && !ending { MOST.saturating_sub(waiting.spans.len()) } else { 0 };
        waiting.lost += batch.len().saturating_sub(room) as u64;
        waiting.why = Some(failed.why);
        for span in batch.into_iter().take(room).rev() {
            waiting.spans.push_front(span);
        }
    }

    fn send(&self, batch: &[Span], limit: Duration) -> Result<(), Failed> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(limit))
            .max_redirects(0)
            .http_status_as_error(false)
            .build()
            .into();
        let mut request = agent.post(&self.url).header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = request.send(document::write(batch).to_string().as_bytes());
        match answer.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Ok(()),
            // What they are says the specification of OTLP.
            Ok(status) => Err(Failed {
                why: format!("it answers with {status}"),
                again: matches!(status.as_u16(), 429 | 502 | 503 | 504),
            }),
            Err(error) => Err(Failed { why: error.to_string(), again: true }),
        }
    }
}

/// Why a document was not taken.
struct Failed {
    why: String,
    /// Whether it may be taken later.
    again: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_holds_so_many_and_counts_the_rest() {
        let queue = Queue::default();
        for _ in 0..MOST + 10 {
            queue.push(Span::default());
        }
        let waiting = queue.lock();
        assert_eq!((waiting.spans.len(), waiting.lost), (MOST, 10));
    }

    #[test]
    fn the_address_for_traces_is_found() {
        for (said, meant) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector/otlp", "https://collector/otlp/v1/traces"),
            ("http://collector/v1/traces", "http://collector/v1/traces"),
        ] {
            assert_eq!(address(said).unwrap(), meant);
        }
        for wrong in ["127.0.0.1:4318", "grpc://a", "http://", "http:///v1/traces", "http://a b/"] {
            let error = address(wrong).unwrap_err();
            assert!(error.message.contains("nothing was changed"), "{wrong}: {error}");
        }
        let error = address("http://me:secret@collector").unwrap_err();
        assert!(!error.message.contains("secret"), "{error}");
    }
}
