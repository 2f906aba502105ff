//! `notify.webhook`: the notice as a JSON document, posted to an address, signed where a secret is given.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cutover_core::{BuildContext, BuildError, Notice, Notifier, NotifierKind, StepError, register_notifier};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The header with the signature.
const SIGNATURE: &str = "Cutover-Signature";

/// Posts notices to an address.
#[derive(Debug)]
pub struct NotifyWebhook {
    config: WebhookConfig,
    timeout: Duration,
}

/// Where to, and how it is signed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebhookConfig {
    /// The address, `https://…` or `http://…`. An answer other than 2xx counts as not reached; redirections are not followed.
    pub url: String,
    /// A secret, as `${env.NAME}`: the header `Cutover-Signature: sha256=HEX` is the HMAC-SHA256 of the body with it.
    pub secret: Option<String>,
    /// More headers; those with secrets as `${env.NAME}`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The longest that it may take, at most 25 s.
    #[serde(default = "super::ten_seconds")]
    pub timeout: String,
}

register_notifier!(NotifyWebhook);

impl NotifierKind for NotifyWebhook {
    const KIND: &'static str = "notify.webhook";
    const SUMMARY: &'static str = "post the notice as JSON to an address, signed with HMAC-SHA256";
    const EXAMPLE: &'static str = r#"use = "notify.webhook"
on = ["waiting", "failed", "rolled-back", "milestone"]
with = { url = "https://hooks.example.org/cutover", secret = "${env.HOOK_SECRET}" }
"#;
    const SECRETS: &'static [&'static str] = &["secret"];
    type Config = WebhookConfig;

    fn build(config: WebhookConfig, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        let timeout = super::timeout(&config.timeout)?;
        let host = config.url.strip_prefix("https://").or_else(|| config.url.strip_prefix("http://"));
        // The address may hold a secret: it is not shown.
        if host.is_none_or(|host| host.is_empty() || config.url.contains(char::is_whitespace)) {
            return Err(BuildError::at("url", "the address does not begin with `https://` or `http://`")
                .with_help("write the whole address"));
        }
        if config.secret.as_deref() == Some("") {
            return Err(BuildError::at("secret", "the secret is empty").with_help("set its environment variable"));
        }
        Ok(Self { config, timeout })
    }
}

impl Notifier for NotifyWebhook {
    fn tell(&self, notice: &Notice, _: &Path) -> Result<(), StepError> {
        let body = serde_json::to_vec(notice)
            .map_err(|e| StepError::internal("the notice cannot be written as JSON").caused_by(e))?;
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(self.timeout))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("cutover/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let mut request = agent.post(&self.config.url).header("Content-Type", "application/json");
        for (name, value) in &self.config.headers {
            request = request.header(name, value);
        }
        if let Some(secret) = &self.config.secret {
            request = request.header(SIGNATURE, format!("sha256={}", hex(&hmac(secret.as_bytes(), &body))));
        }
        let answer =
            request.send(&body[..]).map_err(|e| StepError::unavailable("the address was not reached").caused_by(e))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(StepError::unavailable(format!("the address answered {status}"))),
        }
    }
}

/// HMAC-SHA256 (RFC 2104).
pub(super) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
