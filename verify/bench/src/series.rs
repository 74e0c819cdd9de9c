//! A series is one quantity, measured once in each turn. It is shown as its median, with the least and the most beside
//! it; two series of the same turns have a ratio, which is a series too.

use indicatif::HumanCount;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    /// One value for each turn, never none.
    pub(crate) values: Vec<f64>,
}

/// What a value is a number of. M is 10^6, G is 10^9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    SamplesPerSecond,
    MegabytesPerSecond,
    GflopPerSecond,
    Megabytes,
    Seconds,
    Milliseconds,
    Times,
    Percent,
    /// Percent, to the hundredth: of 10,000 images, one.
    Accuracy,
}

impl Series {
    pub(crate) fn one(name: impl Into<String>, unit: Unit, value: f64) -> Series {
        Series { name: name.into(), unit, values: vec![value] }
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
    }

    pub(crate) fn least(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn most(&self) -> f64 {
        self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// What follows from this and another series of the same turns, turn by turn.
    pub(crate) fn with(
        &self,
        other: &Series,
        name: impl Into<String>,
        unit: Unit,
        f: impl Fn(f64, f64) -> f64,
    ) -> Series {
        assert_eq!(self.values.len(), other.values.len(), "`{}` and `{}` took other turns", self.name, other.name);
        let values = self.values.iter().zip(&other.values).map(|(&a, &b)| f(a, b)).collect();
        Series { name: name.into(), unit, values }
    }

    pub(crate) fn over(&self, other: &Series) -> Series {
        self.with(other, format!("{} / {}", self.name, other.name), Unit::Times, |a, b| a / b)
    }
}

impl Unit {
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::SamplesPerSecond => format!("{} samples/s", grouped(value)),
            Unit::MegabytesPerSecond => format!("{} MB/s", grouped(value)),
            Unit::GflopPerSecond => format!("{} GFLOP/s", grouped(value)),
            Unit::Megabytes => format!("{value:.1} MB"),
            Unit::Seconds => format!("{value:.2} s"),
            Unit::Milliseconds => format!("{value:.1} ms"),
            Unit::Times => format!("{value:.2}×"),
            Unit::Percent => format!("{value:.1} %"),
            Unit::Accuracy => format!("{value:.2} %"),
        }
    }
}

/// A whole number with a comma between thousands.
fn grouped(value: f64) -> HumanCount {
    HumanCount(value.round_ties_even() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        Series { name: "a".into(), unit: Unit::Seconds, values: values.into() }
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(series(&[5.0]).median(), 5.0);
        assert_eq!(series(&[9.0, 1.0, 3.0]).median(), 3.0);
        assert_eq!(series(&[4.0, 100.0, 1.0, 2.0]).median(), 3.0);
    }

    #[test]
    fn the_spread_is_from_the_least_to_the_most() {
        let series = series(&[2.0, -1.0, 7.0]);
        assert_eq!((series.least(), series.most()), (-1.0, 7.0));
    }

    #[test]
    fn a_ratio_is_taken_within_each_turn() {
        // The machine was ten times as slow in the second turn: the ratio of the medians would be 10.
        let ratio = series(&[100.0, 10.0, 100.0]).over(&series(&[50.0, 5.0, 1.0]));
        assert_eq!(ratio.values, [2.0, 2.0, 100.0]);
        assert_eq!((ratio.median(), ratio.unit), (2.0, Unit::Times));
    }

    #[test]
    fn thousands_are_set_apart() {
        for (value, text) in [(0.4, "0"), (999.6, "1,000"), (12_345.0, "12,345"), (1e6, "1,000,000")] {
            assert_eq!(grouped(value).to_string(), text);
        }
        assert_eq!(Unit::Times.show(2.345), "2.35×");
    }
}
