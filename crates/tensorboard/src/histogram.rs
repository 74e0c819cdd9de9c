//! A histogram of weights: buckets of equal width from the least to the greatest.

use prost::Message;

/// Twice as many as TensorBoard draws.
const BUCKETS: usize = 60;

/// `HistogramProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Histogram {
    #[prost(double, tag = "1")]
    min: f64,
    #[prost(double, tag = "2")]
    max: f64,
    #[prost(double, tag = "3")]
    num: f64,
    #[prost(double, tag = "4")]
    sum: f64,
    #[prost(double, tag = "5")]
    sum_squares: f64,
    /// The upper end of each bucket.
    #[prost(double, repeated, tag = "6")]
    bucket_limit: Vec<f64>,
    /// How many values are in it.
    #[prost(double, repeated, tag = "7")]
    bucket: Vec<f64>,
}

impl Histogram {
    /// That of all values that are finite.
    pub(crate) fn of(values: &[f32]) -> Self {
        let values = || values.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value));
        let mut histogram = Self::default();
        let Some(first) = values().next() else { return histogram };
        (histogram.min, histogram.max) =
            values().fold((first, first), |(min, max), value| (value.min(min), value.max(max)));
        let (min, max) = (histogram.min, histogram.max);
        let buckets = if min < max { BUCKETS } else { 1 };
        let width = (max - min) / buckets as f64;
        let mut counts = vec![0u64; buckets];
        for value in values() {
            histogram.num += 1.0;
            histogram.sum += value;
            histogram.sum_squares += value * value;
            // Where the width is zero there is one bucket, and the index NaN becomes 0.
            counts[(((value - min) / width) as usize).min(buckets - 1)] += 1;
        }
        let limit = |bucket: usize| if bucket == buckets { max } else { min + bucket as f64 * width };
        histogram.bucket_limit = (1..=buckets).map(limit).collect();
        histogram.bucket = counts.into_iter().map(|count| count as f64).collect();
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_is_in_one_bucket_between_the_least_and_the_greatest() {
        let values = [-1.0, -1.0, 0.0, 0.5, 2.0, f32::NAN, f32::INFINITY];
        let histogram = Histogram::of(&values);
        assert_eq!((histogram.min, histogram.max, histogram.num), (-1.0, 2.0, 5.0));
        assert_eq!((histogram.sum, histogram.sum_squares), (0.5, 6.25));
        assert_eq!((histogram.bucket_limit.len(), histogram.bucket.len()), (BUCKETS, BUCKETS));
        assert_eq!((histogram.bucket_limit[0], histogram.bucket_limit[BUCKETS - 1]), (-0.95, 2.0));
        let filled: Vec<_> = histogram.bucket.iter().enumerate().filter(|(_, count)| **count > 0.0).collect();
        assert_eq!(filled, [(0, &2.0), (20, &1.0), (30, &1.0), (59, &1.0)]);
    }

    #[test]
    fn equal_values_are_one_bucket_and_none_are_none() {
        let histogram = Histogram::of(&[0.25; 3]);
        assert_eq!((histogram.bucket_limit, histogram.bucket), (vec![0.25], vec![3.0]));
        assert_eq!(Histogram::of(&[]), Histogram::default());
        assert_eq!(Histogram::of(&[f32::NAN]), Histogram::default());
    }
}
