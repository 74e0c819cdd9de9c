//! Numbers as people read them. What is no finite number becomes a dash, never `NaN`.

const NONE: &str = "–";

/// `98.79 %`
pub(crate) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.2} %", 100.0 * share) } else { NONE.into() }
}

/// `20,000`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 sample`, `20,000 samples`
pub(crate) fn samples(number: u64) -> String {
    format!("{} sample{}", count(number), if number == 1 { "" } else { "s" })
}

/// With so many decimals.
pub(crate) fn fixed(number: f64, decimals: usize) -> String {
    if number.is_finite() { format!("{number:.decimals$}") } else { NONE.into() }
}

/// `4.9 s`, `2 min 5 s`
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() => NONE.into(),
        s if s < 120.0 => format!("{s:.1} s"),
        s => format!("{:.0} min {:.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_what_is_no_number_is_a_dash() {
        assert_eq!([0, 999, 1000, 1234567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1, 1000].map(samples), ["0 samples", "1 sample", "1,000 samples"]);
        assert_eq!([percent(0.9879), percent(f64::NAN)], ["98.79 %", "–"]);
        assert_eq!([seconds(4.94), seconds(125.9), seconds(f64::INFINITY)], ["4.9 s", "2 min 5 s", "–"]);
        assert_eq!(fixed(f64::NEG_INFINITY, 2), "–");
    }
}
