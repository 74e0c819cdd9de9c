//! Reads a drift as people write it. What is wrong is said of the change that it is wrong with.

use std::str::FromStr;

use sample::CLASSES;

use super::{Change, Digits, Drift, Kind};

/// Bytes of a drift at most: its name goes with every stream, behind the dataset's.
const MAX_BYTES: usize = 200;

pub(super) fn drift(text: &str) -> Result<Drift, String> {
    if text.trim() == "none" {
        return Ok(Drift::default());
    }
    let changes = text.split(',').map(|part| change(part.trim())).collect::<Result<_, _>>()?;
    let drift = Drift { changes };
    match drift.to_string().len() {
        0..=MAX_BYTES => Ok(drift),
        _ => Err(format!("that is too much: a drift is at most {MAX_BYTES} characters long")),
    }
}

fn change(text: &str) -> Result<Change, String> {
    let (kind, when) = text.split_once('@').ok_or_else(|| {
        let kinds =
            "rotate:45@20000, swap-labels@20000, permute@20000, digits:0-4@0..20000, in a list with commas, or none";
        if text.is_empty() {
            format!("give {kinds}")
        } else {
            format!("`{text}` says not from which sample on; give {kinds}")
        }
    })?;
    let kind = match kind.split_once(':') {
        Some(("rotate", degrees)) => Kind::Rotate(angle(degrees)?),
        Some(("digits", digits)) => Kind::Digits(set(digits)?),
        None if kind == "swap-labels" => Kind::SwapLabels,
        None if kind == "permute" => Kind::Permute,
        _ => return Err(format!("`{kind}` is none of rotate:DEGREES, swap-labels, permute, digits:SET")),
    };
    let (from, to) = range(when)?;
    Ok(Change { kind, from, to })
}

fn angle(text: &str) -> Result<i32, String> {
    let degrees = text.parse().ok().filter(|degrees| (-360..=360).contains(degrees) && *degrees != 0);
    degrees.ok_or_else(|| format!("`rotate:{text}`: give whole degrees from -360 to 360, and not 0"))
}

fn set(text: &str) -> Result<Digits, String> {
    let digits = || text.bytes().map(|byte| byte.is_ascii_digit().then(|| usize::from(byte - b'0')));
    let mut holds = [false; CLASSES];
    match text.as_bytes() {
        &[first @ b'0'..=b'9', b'-', last @ b'0'..=b'9'] if first < last => {
            holds[usize::from(first - b'0')..=usize::from(last - b'0')].fill(true);
        }
        [_, ..] if digits().all(|digit| digit.is_some()) => digits().flatten().for_each(|digit| holds[digit] = true),
        _ => return Err(format!("`digits:{text}`: give digits, such as 0-4 or 13579")),
    }
    Ok(Digits { holds })
}

/// `20000`, `20000..` or `20000..30000`
fn range(text: &str) -> Result<(u64, Option<u64>), String> {
    let number = |text: &str| u64::from_str(text).ok().filter(|_| !text.starts_with('+'));
    let (from, to) = text.split_once("..").unwrap_or((text, ""));
    let range =
        number(from).and_then(|from| if to.is_empty() { Some((from, None)) } else { Some((from, Some(number(to)?))) });
    match range {
        Some((from, Some(to))) if to <= from => {
            Err(format!("`@{text}` holds no sample; give the smaller number first"))
        }
        Some(range) => Ok(range),
        None => Err(format!("`@{text}`: give the number of a sample, or two of them, such as 20000..30000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(drift(text).unwrap_err(), expect);
    }

    #[test]
    fn each_malformed_drift_is_refused_with_what_to_write() {
        let all =
            "rotate:45@20000, swap-labels@20000, permute@20000, digits:0-4@0..20000, in a list with commas, or none";
        check("", &format!("give {all}"));
        check("permute@1,", &format!("give {all}"));
        check("rotate:45", &format!("`rotate:45` says not from which sample on; give {all}"));
        check("none,permute@1", &format!("`none` says not from which sample on; give {all}"));

        let kinds = "rotate:DEGREES, swap-labels, permute, digits:SET";
        for kind in ["blur", "rotate", "digits", "permute:2", "swap-labels:3", "Rotate:45", ""] {
            check(&format!("{kind}@5"), &format!("`{kind}` is none of {kinds}"));
        }
        for degrees in ["", "0", "361", "-400", "4.5", "45°", "9999999999"] {
            let expect = format!("`rotate:{degrees}`: give whole degrees from -360 to 360, and not 0");
            check(&format!("rotate:{degrees}@5"), &expect);
        }
        for digits in ["", "4-0", "3-3", "0-", "-4", "0-10", "1;2", "a", "0–4"] {
            check(&format!("digits:{digits}@5"), &format!("`digits:{digits}`: give digits, such as 0-4 or 13579"));
        }
        for when in
            ["", "x", "-1", "+1", "1..x", "..5", "1...5", "1..5..9", "1-5", "1e4", "20 000", "5@6", &"9".repeat(20)]
        {
            let expect = format!("`@{when}`: give the number of a sample, or two of them, such as 20000..30000");
            check(&format!("permute@{when}"), &expect);
        }
        for when in ["5..5", "5..4"] {
            check(&format!("permute@{when}"), &format!("`@{when}` holds no sample; give the smaller number first"));
        }
        let long = ["permute@1"; 21].join(",");
        check(&long, "that is too much: a drift is at most 200 characters long");
        assert!(drift(&long[..long.len() - 10]).is_ok());
    }
}
