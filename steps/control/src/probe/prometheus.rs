//! The probes `prometheus.query`, a PromQL query's one value, and `prometheus.text`, a sample of a metrics page.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use cutover_core::{BuildContext, BuildError, StepContext, StepError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::exposition;
use super::{Probe, ProbeKind, web};
use crate::register_probe;

/// The one value of a query.
#[derive(Debug)]
pub(crate) struct PrometheusQuery(QueryConfig);

/// The keys of `prometheus.query`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryConfig {
    /// The server: "http://127.0.0.1:9090".
    url: String,
    /// A PromQL query with one value: "sum(rate(errors_total[5m])) / sum(rate(requests_total[5m]))".
    query: String,
    /// Headers of the request; secrets as `${env.NAME}`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

register_probe!(PrometheusQuery);

impl ProbeKind for PrometheusQuery {
    const KIND: &'static str = "prometheus.query";
    const SUMMARY: &'static str = "the one value of a PromQL query";
    type Config = QueryConfig;

    fn build(config: QueryConfig, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        web::check("url", &config.url)?;
        Ok(Self(config))
    }
}

#[async_trait]
impl Probe for PrometheusQuery {
    fn shown(&self) -> String {
        format!("`{}` at {}", self.0.query, self.0.url)
    }

    async fn read(&self, cx: &StepContext, limit: Duration) -> Result<f64, StepError> {
        let url = format!("{}/api/v1/query", self.0.url.trim_end_matches('/'));
        let (query, headers) = (self.0.query.clone(), self.0.headers.clone());
        let answer = cx.blocking(move || web::get(&url, Some(("query", &query)), &headers, limit)).await?;
        one_value(&answer)
    }
}

/// The value of a scalar, or of a vector of one sample.
fn one_value(answer: &str) -> Result<f64, StepError> {
    let document: Value =
        serde_json::from_str(answer).map_err(|e| StepError::failed("the answer is no JSON").caused_by(e))?;
    let result = document.pointer("/data/result");
    let value = match document.pointer("/data/resultType").and_then(Value::as_str) {
        Some("scalar") => result.and_then(|r| r.get(1)),
        Some("vector") => match result.and_then(Value::as_array).map(Vec::as_slice) {
            Some([one]) => one.pointer("/value/1"),
            Some(all) => {
                let why = format!("the query has {} values, and must have one", all.len());
                return Err(StepError::failed(why).with_help("sum over what tells them apart: `sum(…)`"));
            }
            None => None,
        },
        _ => None,
    };
    let figure = value.and_then(Value::as_str).and_then(|text| text.parse().ok());
    figure.ok_or_else(|| StepError::failed("the answer is none of Prometheus to a query with one value"))
}

/// A sample of a metrics page.
#[derive(Debug)]
pub(crate) struct PrometheusText(TextConfig);

/// The keys of `prometheus.text`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextConfig {
    /// The metrics page: "http://127.0.0.1:8080/metrics".
    url: String,
    /// The name of the metric: "http_requests_total".
    metric: String,
    /// Labels that its sample has; of several samples the values are added.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Headers of the request; secrets as `${env.NAME}`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

register_probe!(PrometheusText);

impl ProbeKind for PrometheusText {
    const KIND: &'static str = "prometheus.text";
    const SUMMARY: &'static str = "a metric of a page in Prometheus' text format";
    type Config = TextConfig;

    fn build(config: TextConfig, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        web::check("url", &config.url)?;
        Ok(Self(config))
    }
}

#[async_trait]
impl Probe for PrometheusText {
    fn shown(&self) -> String {
        let labels: Vec<String> = self.0.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        format!("{}{labels} at {}", self.0.metric, self.0.url)
    }

    async fn read(&self, cx: &StepContext, limit: Duration) -> Result<f64, StepError> {
        let (url, headers) = (self.0.url.clone(), self.0.headers.clone());
        let page = cx.blocking(move || web::get(&url, None, &headers, limit)).await?;
        exposition::sum(&page, &self.0.metric, &self.0.labels).ok_or_else(|| {
            StepError::failed(format!("the page has no sample of `{}` with these labels", self.0.metric))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_one_value() {
        let vector = |samples: &str| {
            one_value(&format!(
                "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{samples}]}}}}"
            ))
        };
        let sample = "{\"metric\":{},\"value\":[1435781451.781,\"0.06\"]}";
        assert_eq!(vector(sample).unwrap(), 0.06);
        assert!(vector(&format!("{sample},{sample}")).unwrap_err().to_string().contains("has 2 values"));
        assert!(vector("").unwrap_err().to_string().contains("has 0 values"));
        let scalar = "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1435781451.781,\"1\"]}}";
        assert_eq!(one_value(scalar).unwrap(), 1.0);
        assert!(one_value("{\"status\":\"error\"}").is_err());
    }
}
