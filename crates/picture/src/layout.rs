//! Which components are digits, and in what order they are read. A digit may have several parts, such as a 5 whose bar does
//! not touch the rest, and a picture has specks, commas and edges that are none.

use std::cmp::Reverse;

use crate::component::{Bounds, Component};

/// Parts that are looked at: the largest. More than anybody writes on a page.
const MOST_PARTS: usize = 1000;
/// A part has at least this share of the ink of the largest one, or else it is a speck.
const SPECK: f32 = 0.04;
/// The longer side of the smallest digit: in pixels, and in shares of that of the picture.
const SMALLEST: (usize, f32) = (5, 0.015);
/// A digit is at least this high, in shares of the highest; commas and dashes are not.
const LOWEST: f32 = 0.35;
/// No digit is so many times as wide as it is high.
const WIDEST: usize = 5;
/// A component of which only so much does not lie along the picture's border is the edge of the table, or a shadow.
const EDGE: f32 = 0.3;
/// A part this much lower than another is no digit of its own.
const PART: f32 = 0.6;

/// The digits on a picture of this size, line by line, from left to right.
pub(crate) fn digits(components: Vec<Component>, width: usize, height: usize) -> Vec<Component> {
    let mut parts = components;
    parts.sort_by(|a, b| b.ink.total_cmp(&a.ink));
    parts.truncate(MOST_PARTS);
    let longer = |bounds: &Bounds| bounds.width().max(bounds.height());
    let smallest = SMALLEST.0.max((SMALLEST.1 * width.max(height) as f32) as usize);
    parts.retain(|part| part.inner >= EDGE * part.ink);
    let least = SPECK * parts.iter().map(|part| part.ink).fold(0.0, f32::max);
    parts.retain(|part| part.ink >= least);

    let mut digits = joined(parts);
    digits.retain(|digit| longer(&digit.bounds) >= smallest);
    digits.retain(|digit| digit.bounds.width() < WIDEST * digit.bounds.height());
    let highest = digits.iter().map(|digit| digit.bounds.height()).max().unwrap_or(0);
    digits.retain(|digit| digit.bounds.height() as f32 >= LOWEST * highest as f32);
    in_order(digits)
}

/// The parts of each digit as one.
fn joined(mut parts: Vec<Component>) -> Vec<Component> {
    // The highest first, so that whatever belongs to a digit finds it.
    parts.sort_by_key(|part| Reverse(part.bounds.height()));
    let mut digits: Vec<Component> = Vec::new();
    for part in parts {
        match digits.iter_mut().find(|digit| is_of_one(&digit.bounds, &part.bounds)) {
            Some(digit) => digit.join(part),
            None => digits.push(part),
        }
    }
    digits
}

/// Whether two parts are of one digit. What is as high as a digit must be nearly above or below the other to be a part of it,
/// and touch it but for a gap in a stroke; of a small part, such as a bar, less is asked.
fn is_of_one(digit: &Bounds, part: &Bounds) -> bool {
    let high = digit.height().max(part.height()) as f32;
    let is_small = (part.height() as f32) < PART * high;
    let (overlap, gap) = if is_small { (0.4, 0.2) } else { (0.8, 0.06) };
    let narrow = digit.width().min(part.width()) as f32;
    let (columns, rows) = (digit.common_columns(part) as f32, digit.common_rows(part) as f32);
    let is_above_or_below = columns >= overlap * narrow && -rows <= gap * high;
    // An end of a stroke, after a gap that no pen leaves between two digits.
    let is_end = is_small && -columns <= 0.04 * high && -rows <= 0.04 * high;
    is_above_or_below || is_end
}

/// Lines of digits, the uppermost first, each from left to right.
fn in_order(mut digits: Vec<Component>) -> Vec<Component> {
    digits.sort_by_key(|digit| digit.bounds.left);
    let mut lines: Vec<Vec<Component>> = Vec::new();
    for digit in digits {
        // A line may rise or fall, so the last digit tells where it is.
        let common = |line: &Vec<Component>| {
            let last = &line[line.len() - 1].bounds;
            let low = last.height().min(digit.bounds.height()) as isize;
            let rows = last.common_rows(&digit.bounds);
            (2 * rows >= low).then_some(rows)
        };
        match lines.iter_mut().filter(|line| common(line).is_some()).max_by_key(|line| common(line)) {
            Some(line) => line.push(digit),
            None => lines.push(vec![digit]),
        }
    }
    lines.sort_by_key(|line| line[0].bounds.top + line[0].bounds.bottom);
    lines.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Boxes full of ink, as left, top, width and height.
    fn found(boxes: &[[usize; 4]]) -> Vec<[usize; 4]> {
        let component = |&[left, top, width, height]: &[usize; 4]| {
            let bounds = Bounds { left, top, right: left + width, bottom: top + height };
            let ink = (width * height) as f32;
            Component { pixels: Vec::new(), ink, inner: if left == 0 { 0.2 * ink } else { ink }, bounds }
        };
        let digits = digits(boxes.iter().map(component).collect(), 1000, 600);
        let bounds = digits.iter().map(|digit| digit.bounds);
        bounds.map(|bounds| [bounds.left, bounds.top, bounds.width(), bounds.height()]).collect()
    }

    #[test]
    fn digits_are_read_as_text_is() {
        let [a, b, c, d] = [[100, 130, 50, 80], [200, 110, 20, 90], [300, 80, 60, 80], [120, 300, 60, 90]];
        assert_eq!(found(&[d, c, b, a]), [a, b, c, d]);
        assert_eq!(found(&[b, d, a, c]), [a, b, c, d]);
    }

    #[test]
    fn parts_of_a_digit_are_one() {
        // A 5 with a bar that starts at its right end; an 8 in two halves; a 7 with its own bar inside.
        assert_eq!(found(&[[110, 110, 50, 90], [140, 98, 40, 8]]), [[110, 98, 70, 102]]);
        assert_eq!(found(&[[100, 100, 50, 50], [98, 152, 55, 50]]), [[98, 100, 55, 102]]);
        assert_eq!(found(&[[100, 100, 60, 90], [110, 140, 30, 8]]), [[100, 100, 60, 90]]);
        // A 1 that leans over a 7, and digits in two lines that are close.
        let [one, seven] = [[150, 100, 40, 90], [100, 100, 60, 90]];
        assert_eq!(found(&[one, seven]), [seven, one]);
        assert_eq!(found(&[[100, 100, 60, 90], [100, 205, 60, 90]]).len(), 2);
    }

    #[test]
    fn specks_commas_dashes_and_edges_are_no_digits() {
        let digit = [100, 100, 60, 90];
        assert_eq!(found(&[digit, [300, 300, 3, 3]]), [digit]);
        assert_eq!(found(&[digit, [180, 175, 20, 25]]), [digit]);
        assert_eq!(found(&[digit, [200, 140, 60, 10]]), [digit]);
        assert_eq!(found(&[digit, [0, 0, 30, 600]]), [digit]);
        assert_eq!(found(&[[10, 10, 8, 8], [30, 30, 8, 8]]), [[0; 4]; 0]);
    }
}
