//! The probe `http.json`: a number of a JSON document that a server answers with.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use cutover_core::{BuildContext, BuildError, StepContext, StepError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::json::{check_pointer, figure_of};
use super::{Probe, ProbeKind, web};
use crate::register_probe;

/// A number of a JSON document.
#[derive(Debug)]
pub(crate) struct HttpJson(HttpJsonConfig);

/// The keys of `http.json`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpJsonConfig {
    /// What is got: "http://127.0.0.1:8080/health".
    url: String,
    /// Where the number stands in the answer, as a JSON pointer: "/latency/p95". Empty: the whole of it.
    #[serde(default)]
    pointer: String,
    /// Headers of the request; secrets as `${env.NAME}`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

register_probe!(HttpJson);

impl ProbeKind for HttpJson {
    const KIND: &'static str = "http.json";
    const SUMMARY: &'static str = "a number of a JSON document that a web server answers with";
    type Config = HttpJsonConfig;

    fn build(config: HttpJsonConfig, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        web::check("url", &config.url)?;
        check_pointer(&config.pointer)?;
        Ok(Self(config))
    }
}

#[async_trait]
impl Probe for HttpJson {
    fn shown(&self) -> String {
        format!("{} {}", self.0.url, self.0.pointer).trim_end().to_owned()
    }

    async fn read(&self, cx: &StepContext, limit: Duration) -> Result<f64, StepError> {
        let (url, headers) = (self.0.url.clone(), self.0.headers.clone());
        let answer = cx.blocking(move || web::get(&url, None, &headers, limit)).await?;
        figure_of(&answer, &self.0.pointer)
    }
}
