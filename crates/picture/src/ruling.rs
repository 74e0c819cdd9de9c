//! Lined and squared paper: its lines are ink that nobody wrote. They cross most of the picture, level or upright, and are finer
//! or fainter than the strokes of a pen, or many.

use crate::{
    line::{Line, lines},
    paper::{FAINT, Ink, quantile},
};

/// Pictures with a shorter side than this show no lines that are not strokes.
const SMALLEST: usize = 64;
/// A picture with more ink than this share of its pixels is no page with lines.
const MOST_INK: f32 = 0.4;
/// A line has at most so much of the pen's blackness, or else of its breadth.
const UNLIKE_A_STROKE: f32 = 0.7;
/// So many lines of the pen's own kind are lines.
const MANY: usize = 3;

/// The ink without ruled lines, and with the strokes that cross them.
pub(crate) fn without_lines(ink: Ink) -> Ink {
    let inked = ink.shares.iter().filter(|&&share| share > 0.0).count();
    if ink.width.min(ink.height) < SMALLEST || inked as f32 > MOST_INK * ink.shares.len() as f32 {
        return ink;
    }
    let turned = ink.transposed();
    let (level, upright) = (lines(&ink), lines(&turned));
    if level.is_empty() && upright.is_empty() {
        return ink;
    }
    let pen = Pen::of(&without(&without(&ink, &level).transposed(), &upright).transposed());
    let (level, upright) = (pen.others(level), pen.others(upright));
    let mut written = without(&without(&ink, &level).transposed(), &upright).transposed();
    // The second time for strokes where two lines cross.
    for _ in 0..2 {
        let mut kept_upright = kept(&turned, &written.transposed(), &upright, &pen);
        kept_upright.iter_mut().for_each(|(x, y)| std::mem::swap(x, y));
        let kept_level = kept(&ink, &written, &level, &pen);
        for (x, y) in kept_upright.into_iter().chain(kept_level) {
            written.shares[y * ink.width + x] = ink.shares[y * ink.width + x];
        }
    }
    written
}

/// The ink without these lines and whatever crosses them.
fn without(ink: &Ink, lines: &[Line]) -> Ink {
    let mut rest = ink.clone();
    for line in lines {
        for x in 0..ink.width {
            line.rows(x, ink).for_each(|y| rest.shares[y * ink.width + x] = 0.0);
        }
    }
    rest
}

/// The pixels of lines, as column and row, that belong to a stroke: those much blacker than the line, and those that ink of
/// two pixels ends at, above or below.
fn kept(ink: &Ink, written: &Ink, lines: &[Line], pen: &Pen) -> Vec<(usize, usize)> {
    let is_inked = |x: usize, y: Option<usize>| {
        y.is_some_and(|y| written.shares.get(y * ink.width + x).is_some_and(|&share| share > 0.0))
    };
    let mut kept = Vec::new();
    for line in lines {
        let is_fainter = line.share <= UNLIKE_A_STROKE * pen.share;
        let black = if is_fainter { (line.share + pen.share) / 2.0 } else { f32::INFINITY };
        for x in 0..ink.width {
            let rows = line.rows(x, ink);
            let columns = x.saturating_sub(1)..(x + 2).min(ink.width);
            let ends_here = |near: Option<usize>, far: Option<usize>| {
                columns.clone().any(|x| is_inked(x, near) && is_inked(x, far))
            };
            let is_crossed = ends_here(rows.start.checked_sub(1), rows.start.checked_sub(2))
                || ends_here(Some(rows.end), Some(rows.end + 1));
            let is_kept = |&y: &usize| is_crossed || ink.shares[y * ink.width + x] > black;
            kept.extend(rows.clone().filter(is_kept).map(|y| (x, y)));
        }
    }
    kept
}

struct Pen {
    /// The share of ink that strokes have.
    share: f32,
    /// How broad they are, in pixels.
    breadth: f32,
}

impl Pen {
    /// The pen that has written this; of none, strokes are infinitely fine and have no ink.
    fn of(written: &Ink) -> Self {
        let (width, shares) = (written.width, &written.shares);
        let inked: Vec<usize> = (0..shares.len()).filter(|&i| shares[i] > 2.0 * FAINT).collect();
        let is_inked = |i: usize| shares.get(i).is_some_and(|&share| share > 0.0);
        let is_inside = |&&i: &&usize| {
            is_inked(i + 1) && is_inked(i + width) && i >= width && is_inked(i - 1) && is_inked(i - width)
        };
        let outline = inked.len() - inked.iter().filter(is_inside).count();
        // A stroke has two sides.
        let breadth = 2.0 * inked.len() as f32 / outline.max(1) as f32;
        Self { share: quantile(inked.iter().map(|&i| shares[i]).collect(), 0.75), breadth }
    }

    /// The lines that are no strokes of this pen.
    fn others(&self, lines: Vec<Line>) -> Vec<Line> {
        let are_many = lines.len() >= MANY;
        let is_other = |line: &Line| {
            let is_fainter = line.share <= UNLIKE_A_STROKE * self.share;
            are_many || is_fainter || line.thickness as f32 <= UNLIKE_A_STROKE * self.breadth
        };
        lines.into_iter().filter(is_other).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which pixels of a square of 200 are inked, with a pen of 8 pixels and lines of 2.
    fn drawn(lines: impl Fn(usize, usize) -> bool, line: f32) -> Ink {
        let share = |i: usize| match (i % 200, i / 200) {
            (x, y) if stroke(x, y) => 0.9,
            (x, y) if lines(x, y) => line,
            _ => 0.0,
        };
        Ink { width: 200, height: 200, shares: (0..40_000).map(share).collect(), inner: Vec::new() }
    }

    /// A 7 whose bar is level.
    fn stroke(x: usize, y: usize) -> bool {
        let is_bar = (60..140).contains(&x) && (40..48).contains(&y);
        let is_stem = (40..160).contains(&y) && (136 - (y - 40) / 2..144 - (y - 40) / 2).contains(&x);
        is_bar || is_stem
    }

    /// Whether the 7 remains, and nothing else but what is at most a pixel beside it.
    #[track_caller]
    fn check(ink: Ink) {
        for (i, share) in without_lines(ink).shares.into_iter().enumerate() {
            let (x, y) = (i % 200, i / 200);
            let is_near = (x.saturating_sub(3)..x + 4).any(|x| (y.saturating_sub(3)..y + 4).any(|y| stroke(x, y)));
            assert!(share > 0.0 || !stroke(x, y), "the stroke at {x}, {y} is gone");
            assert!(share == 0.0 || is_near, "{share} remains at {x}, {y}");
        }
    }

    #[test]
    fn lines_are_removed_and_what_crosses_them_is_not() {
        for share in [0.3, 0.9] {
            check(drawn(|_, y| y % 32 < 2, share));
            check(drawn(|x, y| y % 32 < 2 || x % 32 < 2, share));
            check(drawn(|x, y| (y + x / 15 + 20) % 40 < 2, share));
            check(drawn(|_, y| y == 100 || y == 101, share));
        }
    }

    #[test]
    fn strokes_as_long_as_the_picture_are_no_lines() {
        // A cross, as of a 4 in a picture that is cut at its strokes.
        let share = |i: usize| if (i % 100).abs_diff(50) < 2 || (i / 100).abs_diff(60) < 2 { 0.9 } else { 0.0 };
        let ink = Ink { width: 100, height: 100, shares: (0..10_000).map(share).collect(), inner: Vec::new() };
        assert_eq!(without_lines(ink.clone()).shares, ink.shares);
    }
}
