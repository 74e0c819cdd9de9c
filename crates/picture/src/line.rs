//! Straight lines across a picture: where ink covers most of its width along a straight that is nearly level. That is the Hough
//! transform (R. Duda and P. Hart, Use of the Hough transformation to detect lines and curves in pictures, 1972), for few
//! angles.

use std::ops::Range;

use crate::paper::{Ink, quantile};

/// A line covers at least so much of the picture's width, as far as it is in the picture.
const LONG: f32 = 0.75;
/// What goes on beside a line belongs to it as far as it covers so much of the width.
const BESIDE: f32 = 0.3;
/// The steepest line, in rows a column: about 6 degrees.
const STEEPEST: f32 = 0.1;
/// The thickest line, in shares of the picture's longer side; a line is never said to be too thick below three pixels.
const THICKEST: f32 = 0.012;

#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Rows a column.
    slope: f32,
    /// The first row in the middle column.
    top: isize,
    /// Rows that it covers.
    pub(crate) thickness: usize,
    /// The share of ink that it has, where nothing crosses it.
    pub(crate) share: f32,
}

impl Line {
    /// Its rows in this column, and one more on either side, where it fades out.
    pub(crate) fn rows(&self, x: usize, ink: &Ink) -> Range<usize> {
        let top = self.top + shift(self.slope, x, ink.width);
        let end = top + self.thickness as isize + 1;
        (top - 1).clamp(0, ink.height as isize) as usize..end.clamp(0, ink.height as isize) as usize
    }
}

/// How much lower a line of this slope is in this column than in the middle.
fn shift(slope: f32, x: usize, width: usize) -> isize {
    (slope * (x as f32 - width as f32 / 2.0)).round() as isize
}

/// The nearly level lines, the most complete first.
pub(crate) fn lines(ink: &Ink) -> Vec<Line> {
    let (runs, margin) = (runs(ink), margin(ink.width));
    let steepest = (STEEPEST * ink.width as f32) as isize;
    let mut straights = Vec::new();
    for step in -steepest..=steepest {
        // From one slope to the next, the ends of a line move by half a row.
        let slope = step as f32 / ink.width as f32;
        let complete = completeness(ink, &runs, slope).into_iter().zip(-margin..).filter(|&(share, _)| share >= LONG);
        straights.extend(complete.map(|(share, row)| (share, slope, row)));
    }
    straights.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.abs().total_cmp(&b.1.abs())));
    let mut lines: Vec<Line> = Vec::new();
    for (_, slope, row) in straights {
        // The same line is nearly straight at other slopes, too.
        let is_known = |line: &Line| {
            let reach = line.thickness as isize + 2;
            (line.top - reach..line.top + 2 * reach).contains(&row)
        };
        if !lines.iter().any(is_known) {
            lines.push(line(ink, &completeness(ink, &runs, slope), slope, row));
        }
    }
    lines
}

/// The line that a straight is in the middle of.
fn line(ink: &Ink, completeness: &[f32], slope: f32, row: isize) -> Line {
    let margin = margin(ink.width);
    let goes_on = |row: &isize| completeness.get((row + margin) as usize).is_some_and(|&share| share >= BESIDE);
    let top = (-margin..row).rev().take_while(goes_on).last().unwrap_or(row);
    let end = (row + 1..ink.height as isize + margin).find(|row| !goes_on(row)).unwrap_or(row + 1);
    let mut line = Line { slope, top, thickness: (end - top) as usize, share: 0.0 };
    let darkest = |x: usize| line.rows(x, ink).map(|y| ink.shares[y * ink.width + x]).fold(0.0, f32::max);
    let darkest: Vec<f32> = (0..ink.width).map(darkest).filter(|&share| share > 0.0).collect();
    line.share = quantile(darkest, 0.5);
    line
}

/// In how many columns a straight with this row in the middle is in the picture, or half of all if it is in fewer.
fn visible(ink: &Ink, slope: f32, row: isize) -> f32 {
    let (width, height, row) = (ink.width as f32, ink.height as f32, row as f32);
    // From the middle column on, to the right and to the left.
    let columns = |slope: f32| match slope {
        0.0 if (0.0..height).contains(&row) => (0.0, width / 2.0),
        0.0 => (0.0, 0.0),
        _ => {
            let (top, bottom) = (-row / slope, (height - row) / slope);
            (top.min(bottom).clamp(0.0, width / 2.0), top.max(bottom).clamp(0.0, width / 2.0))
        }
    };
    let length = |(begin, end): (f32, f32)| end - begin;
    (length(columns(slope)) + length(columns(-slope))).max(width / 2.0)
}

/// The pixels with ink, as column and row, and whether the ink is not thicker there than lines are.
fn runs(ink: &Ink) -> Vec<(usize, usize, bool)> {
    let thickest = ((THICKEST * ink.width.max(ink.height) as f32) as usize).max(3);
    let mut runs = Vec::new();
    for x in 0..ink.width {
        let mut begin = 0;
        for y in 0..=ink.height {
            if y == ink.height || ink.shares[y * ink.width + x] == 0.0 {
                runs.extend((begin..y).map(|row| (x, row, y - begin <= thickest)));
                begin = y + 1;
            }
        }
    }
    runs
}

/// How much of each straight of a slope is thin ink, by the straight's row in the middle column after [`margin`] more. Where
/// a stroke crosses, nobody can say; a line is not under strokes for more than half of its length.
fn completeness(ink: &Ink, runs: &[(usize, usize, bool)], slope: f32) -> Vec<f32> {
    let margin = margin(ink.width);
    let offsets: Vec<isize> = (0..ink.width).map(|x| margin - shift(slope, x, ink.width)).collect();
    let mut counts = vec![[0; 2]; ink.height + 2 * margin as usize];
    for &(x, y, is_thin) in runs {
        counts[(y as isize + offsets[x]) as usize][usize::from(is_thin)] += 1;
    }
    let share = |([thick, thin], row): ([usize; 2], isize)| {
        let visible = visible(ink, slope, row);
        thin as f32 / (visible - thick as f32).max(visible / 2.0)
    };
    counts.into_iter().zip(-margin..).map(share).collect()
}

/// How much higher or lower the steepest line may be in the middle than at its ends.
fn margin(width: usize) -> isize {
    (STEEPEST * width as f32 / 2.0).ceil() as isize + 1
}
