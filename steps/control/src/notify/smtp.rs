//! `notify.smtp`: the notice as a mail in plain text.

use std::path::Path;
use std::time::Duration;

use cutover_core::{BuildContext, BuildError, Notice, Notifier, NotifierKind, StepError, register_notifier};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Message, SmtpTransport, Transport};
use schemars::JsonSchema;
use serde::Deserialize;

/// Sends notices by mail.
#[derive(Debug)]
pub struct NotifySmtp {
    config: SmtpConfig,
    from: Mailbox,
    to: Vec<Mailbox>,
    timeout: Duration,
}

/// By which server, from whom and to whom.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SmtpConfig {
    /// The server's name.
    pub host: String,
    /// Its port. Default: 587 with `starttls`, 465 with `tls`, 25 with `none`.
    pub port: Option<u16>,
    /// How the connection is kept secret.
    #[serde(default)]
    pub tls: Tls,
    /// Who logs in; none: nobody does.
    pub user: Option<String>,
    /// With which password, as `${env.NAME}`.
    pub password: Option<String>,
    /// The sender: "Cutover <cutover@example.org>".
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// The longest that it may take, at most 25 s.
    #[serde(default = "super::ten_seconds")]
    pub timeout: String,
}

/// How a connection to a mail server is kept secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// TLS is asked for, and nothing is sent without it.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// Not at all; then nobody may log in.
    None,
}

register_notifier!(NotifySmtp);

impl NotifierKind for NotifySmtp {
    const KIND: &'static str = "notify.smtp";
    const SUMMARY: &'static str = "send the notice by mail";
    const EXAMPLE: &'static str = r#"use = "notify.smtp"
on = ["failed", "rolled-back"]
with = { host = "mail.example.org", user = "cutover", password = "${env.MAIL_PASSWORD}", from = "cutover@example.org", to = ["ops@example.org"] }
"#;
    const SECRETS: &'static [&'static str] = &["password"];
    type Config = SmtpConfig;

    fn build(config: SmtpConfig, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        let timeout = super::timeout(&config.timeout)?;
        let mailbox = |field: String, text: &str| {
            text.parse::<Mailbox>().map_err(|e| BuildError::at(field, format!("`{text}` is no address of a mail: {e}")))
        };
        let from = mailbox("from".to_owned(), &config.from)?;
        let to = config.to.iter().enumerate().map(|(i, to)| mailbox(format!("to[{i}]"), to));
        let to = to.collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err(BuildError::at("to", "nobody gets it").with_help("name at least one address"));
        }
        if config.user.is_some() != config.password.is_some() {
            return Err(BuildError::at("user", "`user` and `password` belong together").with_help("give both, or none"));
        }
        if config.tls == Tls::None && config.password.is_some() {
            return Err(BuildError::at("password", "without TLS the password would go over the network in the open")
                .with_help("use `tls = \"starttls\"` or `tls = \"tls\"`, or log in as nobody"));
        }
        Ok(Self { config, from, to, timeout })
    }
}

impl Notifier for NotifySmtp {
    fn tell(&self, notice: &Notice, _: &Path) -> Result<(), StepError> {
        let failed = |e: lettre::transport::smtp::Error| StepError::unavailable("the mail was not taken").caused_by(e);
        let host = self.config.host.as_str();
        let builder = match self.config.tls {
            Tls::Starttls => SmtpTransport::starttls_relay(host).map_err(failed)?,
            Tls::Tls => SmtpTransport::relay(host).map_err(failed)?,
            Tls::None => SmtpTransport::builder_dangerous(host),
        };
        // Of each of its commands; the greeting, envelope and mail are a handful.
        let mut builder = builder.timeout(Some(self.timeout));
        if let Some(port) = self.config.port {
            builder = builder.port(port);
        }
        if let (Some(user), Some(password)) = (&self.config.user, &self.config.password) {
            builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
        }
        let mut message = Message::builder().from(self.from.clone()).subject(notice.text.replace(['\r', '\n'], " "));
        for to in &self.to {
            message = message.to(to.clone());
        }
        let message = message
            .header(ContentType::TEXT_PLAIN)
            .body(text(notice))
            .map_err(|e| StepError::internal("the mail cannot be written").caused_by(e))?;
        builder.build().send(&message).map_err(failed).map(drop)
    }
}

/// The mail's text: a line for each thing that is known.
fn text(notice: &Notice) -> String {
    let mut text = format!("{}\n\n", notice.text);
    let steps = notice.steps.join(", ");
    let lines = [
        ("phase", notice.phase.as_deref()),
        ("steps", Some(steps.as_str()).filter(|s| !s.is_empty())),
        ("message", notice.message.as_deref()),
        ("help", notice.help.as_deref()),
        ("next", notice.next.as_deref()),
        ("plan", Some(notice.plan.as_str())),
        ("run", Some(notice.run.as_str())),
        ("host", Some(notice.host.as_str())),
        ("at", Some(notice.at.as_str())),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    text
}
