//! Asking over HTTP: one GET, its time limit, and how much of the answer is looked at. Knows no format of an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_core::{BuildError, StepError};

/// An answer that is longer is refused.
const MOST: u64 = 4 * 1024 * 1024;

/// Refuses what is no address of a web server.
pub(super) fn check(field: &str, url: &str) -> Result<(), BuildError> {
    let known = ["http://", "https://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
    if known {
        return Ok(());
    }
    Err(BuildError::at(field, format!("`{url}` is no address"))
        .with_help("write it whole: \"http://127.0.0.1:9090/x\""))
}

/// The body of the answer. A status that is not 2xx is no answer; nothing is followed elsewhere.
pub(super) fn get(
    url: &str,
    query: Option<(&str, &str)>,
    headers: &BTreeMap<String, String>,
    limit: Duration,
) -> Result<String, StepError> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(limit)).max_redirects(0).build().into();
    let mut request = agent.get(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if let Some((name, value)) = query {
        request = request.query(name, value);
    }
    // A redirect is an answer of its own here, and no figure.
    let unanswered = |e: ureq::Error| StepError::failed("no answer").caused_by(e);
    let mut answer = request.call().map_err(unanswered)?;
    if !answer.status().is_success() {
        return Err(StepError::failed(format!("the answer has status {}", answer.status())));
    }
    answer.body_mut().with_config().limit(MOST).read_to_string().map_err(unanswered)
}
