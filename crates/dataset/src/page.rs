//! A page is what a digit is drawn on: lines of ink with soft edges, sampled into 28 by 28 pixels.

use sample::{COLS, PIXELS, ROWS, random::Stream};

/// A place on the page in pixels; the middle of the top left pixel is at (0.5, 0.5).
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f32,
    pub(crate) y: f32,
}

pub(crate) struct Pen {
    /// Half the width of a line in pixels, at the beginning and at the end of a stroke.
    radius: (f32, f32),
    /// Pixels over which a line's edge fades.
    softness: f32,
    /// Darkness of full ink, up to 255.
    ink: f32,
    /// How far a pixel may stray from its value.
    grain: f32,
    /// How far the paper may.
    dirt: f32,
}

impl Pen {
    pub(crate) fn new(random: &mut Stream) -> Self {
        let mut within = |low, high| random.between(low, high);
        let radius = within(0.7, 2.1);
        Self {
            radius: (radius, radius * within(0.7, 1.2)),
            softness: within(1.0, 1.8),
            ink: within(190.0, 255.0),
            grain: within(5.0, 60.0),
            // Half of the papers are clean.
            dirt: within(-50.0, 50.0).max(0.0),
        }
    }
}

/// For each pixel, how far outside of the nearest line its middle lies; negative inside.
pub(crate) struct Page {
    outside: [f32; PIXELS],
}

/// Pixels around a line that it can colour: half the largest softness, rounded up.
const REACH: f32 = 1.0;
/// Straight pieces between two points of a stroke.
const PIECES: usize = 5;

impl Page {
    pub(crate) fn new() -> Self {
        Self { outside: [REACH; PIXELS] }
    }

    /// Draws the Catmull-Rom curve through `points`: smooth, through every point, and made of cubic polynomials.
    pub(crate) fn draw(&mut self, points: &[Point], pen: &Pen) {
        let spans = points.len() - 1;
        let mut from = points[0];
        for span in 0..spans {
            let [a, b, c, d] =
                [points[span.saturating_sub(1)], points[span], points[span + 1], points[(span + 2).min(spans)]];
            for piece in 1..=PIECES {
                let t = piece as f32 / PIECES as f32;
                let to = Point { x: catmull_rom(a.x, b.x, c.x, d.x, t), y: catmull_rom(a.y, b.y, c.y, d.y, t) };
                let along = (span as f32 + t) / spans as f32;
                let radius = pen.radius.0 + (pen.radius.1 - pen.radius.0) * along;
                self.line(from, to, radius);
                from = to;
            }
        }
    }

    fn line(&mut self, from: Point, to: Point, radius: f32) {
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        let length_squared = dx * dx + dy * dy;
        let reach = radius + REACH;
        for row in pixels(from.y.min(to.y) - reach, from.y.max(to.y) + reach, ROWS) {
            for column in pixels(from.x.min(to.x) - reach, from.x.max(to.x) + reach, COLS) {
                let (x, y) = (column as f32 + 0.5 - from.x, row as f32 + 0.5 - from.y);
                let along =
                    if length_squared > 0.0 { ((x * dx + y * dy) / length_squared).clamp(0.0, 1.0) } else { 0.0 };
                let (x, y) = (x - along * dx, y - along * dy);
                let outside = &mut self.outside[row * COLS + column];
                *outside = outside.min((x * x + y * y).sqrt() - radius);
            }
        }
    }

    /// The finished image, with the noise of this pen and its paper.
    pub(crate) fn print(&self, pen: &Pen, random: &mut Stream) -> [u8; PIXELS] {
        let mut image = [0; PIXELS];
        for (pixels, distances) in image.chunks_exact_mut(4).zip(self.outside.chunks_exact(4)) {
            // Sixteen random bits are plenty for the noise of one pixel.
            let noise = random.next_u64();
            for (i, (pixel, outside)) in pixels.iter_mut().zip(distances).enumerate() {
                let noise = f32::from((noise >> (16 * i)) as u16) / 65_536.0;
                let ink = (0.5 - outside / pen.softness).clamp(0.0, 1.0);
                // Cubed, so that most of the dirt is faint.
                let paper = pen.dirt * noise * noise * noise;
                let value = ink * (pen.ink - pen.grain * noise) + (1.0 - ink) * paper;
                *pixel = value as u8;
            }
        }
        image
    }
}

/// The pixels, of `count` in a row or column, that the stretch from `low` to `high` touches.
fn pixels(low: f32, high: f32, count: usize) -> std::ops::Range<usize> {
    // Casts of floats stop at the ends of the range of integers.
    low as usize..(high.max(0.0) as usize + 1).min(count)
}

/// The point at `t` in `[0, 1]` between `b` and `c` on the curve through `a`, `b`, `c`, `d`.
fn catmull_rom(a: f32, b: f32, c: f32, d: f32, t: f32) -> f32 {
    b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
}
