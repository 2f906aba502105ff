//! What a row of readings comes to: the least, the greatest, the mean and the percentiles. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which figure of the samples is held to the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// Each sample by itself.
    #[default]
    Each,
    /// Their mean.
    Mean,
    /// The median.
    P50,
    /// The 95th percentile: the smallest sample that 95 % of them do not exceed.
    P95,
}

impl Statistic {
    /// As a plan writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P95 => "p95",
        }
    }
}

/// A row of readings, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figures {
    pub(crate) samples: usize,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
}

impl Figures {
    /// Of at least one reading.
    pub(crate) fn of(readings: &[f64]) -> Option<Self> {
        let mut sorted = readings.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        let count = u32::try_from(sorted.len()).ok()?;
        let mean = sorted.iter().sum::<f64>() / f64::from(count);
        let p50 = rank(&sorted, 50)?;
        Some(Self { samples: sorted.len(), least, greatest, mean, p50, p95: rank(&sorted, 95)? })
    }

    /// What is held to the bounds; for single samples, their median.
    pub(crate) fn by(&self, statistic: Statistic) -> f64 {
        match statistic {
            Statistic::Each | Statistic::P50 => self.p50,
            Statistic::Mean => self.mean,
            Statistic::P95 => self.p95,
        }
    }
}

/// The nearest rank: the smallest of the sorted readings that `percent` of them do not exceed.
fn rank(sorted: &[f64], percent: usize) -> Option<f64> {
    let place = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(place - 1).copied()
}

/// A figure as people read it: at most three decimals.
pub(crate) fn shown(figure: f64, unit: &str) -> String {
    let rounded = (figure * 1000.0).round() / 1000.0;
    // Very small figures keep their digits.
    let number = if rounded == 0.0 && figure != 0.0 { format!("{figure:e}") } else { rounded.to_string() };
    match unit {
        "" => number,
        "%" => format!("{number} %"),
        unit => format!("{number} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_readings_by_nearest_rank() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let figures = Figures::of(&hundred).unwrap();
        assert_eq!((figures.p50, figures.p95, figures.mean), (50.0, 95.0, 50.5));
        let one = Figures::of(&[7.0]).unwrap();
        assert_eq!((one.p50, one.p95, one.least, one.greatest), (7.0, 7.0, 7.0, 7.0));
        assert_eq!(Figures::of(&[3.0, 1.0, 2.0]).unwrap().p95, 3.0);
        assert_eq!(Figures::of(&[]), None);
    }

    #[test]
    fn figures_are_short_and_small_ones_are_not_zero() {
        assert_eq!(shown(12.0, ""), "12");
        assert_eq!(shown(0.123_456, "ms"), "0.123 ms");
        assert_eq!(shown(0.000_01, ""), "1e-5");
    }
}
