//! Digits on pages as people photograph them: small, several, half in a shadow, on lined paper. Each becomes the image that the
//! same strokes become on a white sheet of their own.

use picture::{Digit, Picture, Place, digits};

/// Strokes in a box 1 wide and 1.6 high.
type Strokes = &'static [&'static [(f32, f32)]];

const THREE: Strokes = &[&[(0.1, 0.1), (0.9, 0.0), (0.4, 0.7), (0.95, 1.0), (0.8, 1.5), (0.0, 1.5)]];
/// Its bar does not touch the rest.
const FIVE: Strokes = &[&[(0.3, 0.0), (1.0, 0.0)], &[(0.1, 0.2), (0.1, 0.7), (0.9, 0.9), (0.8, 1.5), (0.0, 1.6)]];
const SEVEN: Strokes = &[&[(0.0, 0.0), (1.0, 0.0), (0.4, 1.6)]];
const ONE: Strokes = &[&[(0.5, 0.0), (0.45, 1.6)]];

/// A digit on a page: its upper left corner, its height and the breadth of its strokes, in pixels.
#[derive(Clone, Copy)]
struct Written(Strokes, f32, f32, f32, f32);

impl Written {
    /// How much of a pixel is ink.
    fn share(&self, x: f32, y: f32) -> f32 {
        let Written(strokes, left, top, height, pen) = *self;
        let unit = height / 1.6;
        let lines = strokes.iter().flat_map(|stroke| stroke.windows(2));
        let distances = lines.map(|ends| {
            let [(x0, y0), (x1, y1)] = [ends[0], ends[1]].map(|(x, y)| (left + x * unit, top + y * unit));
            let (dx, dy) = (x1 - x0, y1 - y0);
            let along = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
            (x - x0 - along * dx).hypot(y - y0 - along * dy)
        });
        (pen / 2.0 + 0.5 - distances.fold(f32::INFINITY, f32::min)).clamp(0.0, 1.0)
    }
}

/// A page of this size; `paper` says how light each pixel of it is, and `black` what share of that ink leaves.
fn page(size: (usize, usize), written: &[Written], black: f32, paper: impl Fn(usize, usize) -> f32) -> Picture {
    let pixel = |i: usize| {
        let (x, y) = (i % size.0, i / size.0);
        let share = written.iter().map(|digit| digit.share(x as f32, y as f32)).fold(0.0, f32::max);
        (paper(x, y) * (1.0 - share + black * share)).round().clamp(0.0, 255.0) as u8
    };
    Picture::new(size.0, size.1, (0..size.0 * size.1).map(pixel).collect())
}

/// The digit alone, on a white sheet.
fn alone(digit: &Written) -> Digit {
    let &Written(strokes, _, _, height, pen) = digit;
    let side = (2.0 * height) as usize;
    let sheet = page((side, side), &[Written(strokes, 0.6 * height, height / 2.0, height, pen)], 0.1, |_, _| 255.0);
    let found = digits(&sheet);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// Whether exactly these digits are found, in this order, and look as they do alone.
#[track_caller]
fn check(page: &Picture, written: &[Written]) {
    let found = digits(page);
    let places: Vec<_> = found.iter().map(|digit| digit.place).collect();
    assert_eq!(found.len(), written.len(), "{places:?}");
    for (found, written) in found.iter().zip(written) {
        let pixels = found.pixels.iter().zip(alone(written).pixels);
        let difference = pixels.map(|(&a, b)| f32::from(a.abs_diff(b))).sum::<f32>() / found.pixels.len() as f32;
        assert!(difference < 16.0, "{difference} at {:?}", found.place);
    }
}

#[test]
fn a_small_digit_on_a_large_page_is_found() {
    let seven = Written(SEVEN, 1500.0, 1100.0, 70.0, 6.0);
    let page = page((2000, 1500), &[seven], 0.1, |_, _| 245.0);
    check(&page, &[seven]);
    let Place { x, y, width, height } = digits(&page)[0].place;
    assert!((1494..=1499).contains(&x) && (1094..=1099).contains(&y), "{x}, {y}");
    assert!((44..=56).contains(&width) && (70..=82).contains(&height), "{width}, {height}");
}

#[test]
fn the_edge_of_a_shadow_is_no_stroke() {
    for written in [Written(THREE, 95.0, 60.0, 180.0, 14.0), Written(SEVEN, 95.0, 60.0, 180.0, 14.0)] {
        for edge in [120, 150, 180] {
            check(&page((300, 300), &[written], 0.2, |x, _| if x < edge { 235.0 } else { 110.0 }), &[written]);
            check(&page((300, 300), &[written], 0.2, |_, y| if y < edge { 120.0 } else { 235.0 }), &[written]);
            check(
                &page((300, 300), &[written], 0.2, |x, y| if 2 * x + y < 3 * edge { 120.0 } else { 235.0 }),
                &[written],
            );
        }
    }
}

#[test]
fn chalk_half_in_the_shadow_is_read() {
    let written = Written(THREE, 95.0, 60.0, 180.0, 14.0);
    let board = |x: usize, _| if x < 150 { 65.0 } else { 35.0 };
    check(&page((300, 300), &[written], 3.6, board), &[written]);
}

#[test]
fn lines_of_the_paper_are_no_strokes() {
    for written in [Written(THREE, 95.0, 60.0, 180.0, 12.0), Written(SEVEN, 95.0, 60.0, 180.0, 12.0)] {
        for line in [190.0, 90.0] {
            let ruled = |is_line: bool| if is_line { line } else { 250.0 };
            check(&page((320, 300), &[written], 0.1, |_, y| ruled(y % 40 < 2)), &[written]);
            check(&page((320, 300), &[written], 0.1, |x, y| ruled(x % 30 < 2 || y % 30 < 2)), &[written]);
            check(&page((320, 300), &[written], 0.1, |x, y| ruled((y + x / 20) % 50 < 3)), &[written]);
            check(&page((320, 300), &[written], 0.1, |_, y| ruled((130..132).contains(&y))), &[written]);
        }
    }
}

#[test]
fn lines_without_a_digit_are_blank_paper() {
    let ruled = page((320, 300), &[], 0.1, |_, y| if y % 40 < 2 { 150.0 } else { 250.0 });
    assert_eq!(digits(&ruled), []);
    let squared = page((320, 300), &[], 0.1, |x, y| if x % 30 < 2 || y % 30 < 2 { 150.0 } else { 250.0 });
    assert_eq!(digits(&squared), []);
}

#[test]
fn several_digits_are_read_from_left_to_right_and_line_by_line() {
    let upper = [Written(SEVEN, 60.0, 40.0, 100.0, 9.0), Written(THREE, 170.0, 52.0, 90.0, 9.0)];
    let lower = [Written(ONE, 90.0, 200.0, 100.0, 9.0), Written(SEVEN, 190.0, 190.0, 95.0, 9.0)];
    let written = [upper[0], upper[1], lower[0], lower[1]];
    let mixed = [lower[1], upper[1], lower[0], upper[0]];
    check(&page((320, 340), &mixed, 0.1, |_, _| 250.0), &written);
    check(&page((320, 340), &mixed, 0.1, |x, _| if x < 140 { 120.0 } else { 250.0 }), &written);
    check(&page((320, 340), &mixed, 0.1, |_, y| if y % 40 < 2 { 170.0 } else { 250.0 }), &written);
}

#[test]
fn a_five_whose_bar_does_not_touch_is_one_digit() {
    let five = Written(FIVE, 95.0, 60.0, 180.0, 14.0);
    check(&page((300, 300), &[five], 0.1, |_, _| 250.0), &[five]);
    let row = [five, Written(SEVEN, 260.0, 60.0, 180.0, 14.0)];
    check(&page((450, 300), &row, 0.1, |_, _| 250.0), &row);
}

#[test]
fn a_picture_that_ends_at_the_strokes_is_read() {
    for strokes in [ONE, SEVEN, THREE] {
        let written = Written(strokes, 6.0, 6.0, 160.0, 12.0);
        let width = if strokes == ONE { 64 } else { 112 };
        check(&page((width, 172), &[written], 0.1, |_, _| 255.0), &[written]);
    }
}

#[test]
fn squares_of_a_chessboard_are_no_reason_to_panic() {
    for size in [1, 2, 5, 30] {
        let shade = |i: usize| if (i % 900 / size + i / 900 / size).is_multiple_of(2) { 255 } else { 0 };
        let found = digits(&Picture::new(900, 900, (0..810_000).map(shade).collect()));
        assert!(found.len() <= 1000, "{}", found.len());
    }
}
