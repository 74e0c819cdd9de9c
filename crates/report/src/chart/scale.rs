//! A scale takes numbers to places on an axis.

/// From numbers to pixels, linearly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    step: f64,
}

impl Scale {
    /// An axis for these numbers from pixel `from` to pixel `to`, widened to round numbers, with about `ticks` ticks.
    /// What is not finite does not count; without any number it is an axis from 0 to 1.
    pub fn around(numbers: impl Iterator<Item = f64>, from: f64, to: f64, ticks: u32) -> Self {
        let finite = numbers.filter(|number| number.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        // All alike, or so nearly that no tick would fit between.
        let (low, high) = if high - low > 1e-9 * high.abs().max(1e-9) {
            (low, high)
        } else {
            let margin = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low - margin, high + margin)
        };
        let step = round_step((high - low) / f64::from(ticks.max(1)));
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, from, to, step }
    }

    /// An axis of whole numbers, from the first to the last.
    pub fn whole(low: u32, high: u32, from: f64, to: f64, ticks: u32) -> Self {
        let step = round_step(f64::from(high.saturating_sub(low)) / f64::from(ticks.max(1))).max(1.0).round();
        let (low, high) = (f64::from(low), f64::from(high));
        Self { low, high, from, to, step }
    }

    /// Where a number is.
    pub fn at(&self, number: f64) -> f64 {
        let span = self.high - self.low;
        let share = if span > 0.0 { (number - self.low) / span } else { 0.5 };
        self.from + share * (self.to - self.from)
    }

    /// The numbers to write at the axis.
    pub fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step).ceil() as i64;
        let last = ((self.high / self.step) + 1e-9).floor() as i64;
        (first..=last).take(20).map(|index| index as f64 * self.step).collect()
    }

    /// Decimals that tell two ticks apart.
    pub fn decimals(&self) -> usize {
        (-self.step.log10().floor()).clamp(0.0, 8.0) as usize
    }
}

/// The nearest of 1, 2, 5, 10, 20, … above.
fn round_step(step: f64) -> f64 {
    if step <= 0.0 || !step.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_round_numbers() {
        let scale = Scale::around([0.962, 0.9879].into_iter(), 0.0, 100.0, 4);
        assert_eq!(
            scale.ticks().iter().map(|tick| format!("{tick:.2}")).collect::<Vec<_>>(),
            ["0.96", "0.97", "0.98", "0.99"]
        );
        assert_eq!((scale.decimals(), scale.at(0.96).round(), scale.at(0.99).round()), (2, 0.0, 100.0));
    }

    #[test]
    fn no_number_one_number_and_no_finite_number_are_axes_too() {
        for numbers in [vec![], vec![5.0], vec![0.0, 0.0], vec![f64::NAN, f64::INFINITY], vec![-1e300, 1e300]] {
            let scale = Scale::around(numbers.into_iter(), 0.0, 100.0, 4);
            assert!(scale.at(5.0).is_finite() && !scale.ticks().is_empty(), "{scale:?}");
        }
        assert_eq!(Scale::whole(1, 1, 0.0, 100.0, 4).at(1.0), 50.0);
        assert_eq!(Scale::whole(1, 5, 0.0, 100.0, 4).ticks(), [1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}
