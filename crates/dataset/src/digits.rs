//! A drawn digit stands in for a handwritten one on a machine that can reach no copy of MNIST: a [glyph](GLYPHS)
//! whose points are shaken, bent, slanted, turned and scaled, drawn with a pen of random width, with noise on top.
//!
//! Every image has a random stream of its own, so that they can be drawn in parallel. The arithmetic is additions,
//! multiplications, divisions and square roots alone, which are exact to the bit on every machine (sines and
//! cosines are not): the same images everywhere, and in every version that keeps the checksum in the tests below.

use std::{
    fs,
    path::Path,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use sample::{CLASSES, COLS, PIXELS, ROWS, Samples, random::Stream};

use crate::{
    Error, Split,
    glyphs::GLYPHS,
    idx::write_idx,
    page::{Page, Pen, Point},
    place::Place,
};

/// Draws a dataset of `counts` train and test images into `dir`, which appears at once and whole, unless it is there. Tells how
/// many are drawn, of how many.
///
/// # Errors
/// When `dir` is there but incomplete, or cannot be written.
pub fn draw_all(dir: &Path, counts: [usize; 2], progress: &mut dyn FnMut(u64, u64)) -> Result<(), Error> {
    if Place::complete(dir).is_ok() {
        return Ok(());
    }
    if dir.exists() {
        return Err(Error::unusable(
            dir,
            "lacks some of its four files; move it elsewhere, and the digits are drawn again",
        ));
    }
    let part = dir.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part).map_err(Error::io("remove", &part))?;
    }
    tracing::info!("drawing digits into `{}`", dir.display());
    let total = counts.iter().sum::<usize>() as u64;
    let mut before = 0;
    for (split, count) in [Split::Train, Split::Test].into_iter().zip(counts) {
        let Samples { images, labels } = draw(split, count, &mut |done| progress(before + done, total));
        write_idx(&part, split, &images, &labels)?;
        before += count as u64;
    }
    fs::rename(&part, dir).map_err(Error::io("create", dir))
}

/// Whether a dataset of this digest holds the first 60,000 training digits: what is drawn where MNIST cannot be had.
pub(crate) fn is_drawn(digest: [u8; 32]) -> bool {
    hex::encode(digest) == "0a097b240d1f92360afd0aa2e3bf69374460823000e370c9ead71520579815a9"
}

/// Images drawn between two reports of progress; a few milliseconds of work.
const BLOCK: usize = 500;

/// Draws the first `count` digits of `split` on all cores: their images and labels. Reports how many are done.
fn draw(split: Split, count: usize, progress: &mut dyn FnMut(u64)) -> Samples {
    let mut samples = Samples { labels: vec![0; count], images: vec![0; count * PIXELS] };
    let next = AtomicUsize::new(0);
    let (sender, blocks) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let start = next.fetch_add(BLOCK, Ordering::Relaxed);
                    if start >= count {
                        break;
                    }
                    let block: Vec<_> =
                        (start..count.min(start + BLOCK)).map(|index| digit(split, index as u64)).collect();
                    // The receiver outlives this thread, whose scope it encloses.
                    let _ = sender.send((start, block));
                }
            });
        }
        drop(sender);
        let mut done = 0;
        for (start, block) in blocks {
            done += block.len() as u64;
            for (index, (image, label)) in (start..).zip(block) {
                samples.images[index * PIXELS..][..PIXELS].copy_from_slice(&image);
                samples.labels[index] = label;
            }
            progress(done);
        }
    });
    samples
}

/// The label and the image of a training digit. There are as many as can be counted; a dataset holds the first of them.
pub(crate) fn drawn(seq: u64) -> (u8, [u8; PIXELS]) {
    let (image, label) = digit(Split::Train, seq);
    (label, image)
}

/// The label alone.
pub(crate) fn drawn_label(seq: u64) -> u8 {
    begin(Split::Train, seq).1 as u8
}

/// The random numbers of a digit, and its label, which is made of the first.
fn begin(split: Split, index: u64) -> (Stream, usize) {
    let key = [matches!(split, Split::Test).into(), index];
    let mut random = Stream::keyed("tributary generated digits, version 1", &key);
    let label = random.below(CLASSES as u64) as usize;
    (random, label)
}

fn digit(split: Split, index: u64) -> ([u8; PIXELS], u8) {
    let (mut random, label) = begin(split, index);
    let styles = GLYPHS[label];
    let glyph = styles[random.below(styles.len() as u64) as usize];

    let hand = Hand::new(&mut random);
    let pen = Pen::new(&mut random);
    let mut page = Page::new();
    for stroke in glyph {
        let points = hand.shake(stroke, &mut random);
        page.draw(&points, &pen);
    }
    (page.print(&pen, &mut random), label as u8)
}

/// How one writer distorts a glyph: a smooth bend, then slant, size, turn and place.
struct Hand {
    /// Coefficients of `y²` and `xy` in x, of `x²` and `xy` in y: what straight lines bend into.
    bend: [f32; 4],
    slant: f32,
    /// In pixels for the whole width and height.
    width: f32,
    height: f32,
    /// Cosine and sine of the turn.
    turn: (f32, f32),
    middle: Point,
}

impl Hand {
    fn new(random: &mut Stream) -> Self {
        let mut within = |low, high| random.between(low, high);
        // The tangent of half an angle gives its cosine and sine without either function; 0.16 is 18 degrees.
        let half = within(-0.16, 0.16);
        let height = within(15.0, 22.0);
        Self {
            bend: [within(-0.35, 0.35), within(-0.3, 0.3), within(-0.3, 0.3), within(-0.3, 0.3)],
            slant: within(-0.25, 0.55),
            width: height * within(0.55, 1.0),
            height,
            turn: ((1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half)),
            middle: Point { x: COLS as f32 / 2.0 + within(-2.5, 2.5), y: ROWS as f32 / 2.0 + within(-2.0, 2.0) },
        }
    }

    /// Where this hand, unsteady as it is, puts the points of a stroke on the page, in pixels.
    fn shake(&self, stroke: &[(f32, f32)], random: &mut Stream) -> Vec<Point> {
        let mut points: Vec<Point> = Vec::with_capacity(stroke.len());
        for (i, &(x, y)) in stroke.iter().enumerate() {
            if i > 0 && stroke[i - 1] == (x, y) {
                // A corner must stay one point.
                points.push(points[i - 1]);
                continue;
            }
            let x = x - 0.5 + random.between(-0.09, 0.09);
            let y = y - 0.5 + random.between(-0.08, 0.08);
            points.push(self.place(x, y));
        }
        points
    }

    fn place(&self, x: f32, y: f32) -> Point {
        let [yy, xy, xx, yx] = self.bend;
        let (x, y) = (x + yy * y * y + xy * x * y, y + xx * x * x + yx * x * y);
        let (x, y) = ((x - self.slant * y) * self.width, y * self.height);
        let (cos, sin) = self.turn;
        Point { x: self.middle.x + cos * x - sin * y, y: self.middle.y + sin * x + cos * y }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// The same machine-independent digits in every version; a change to them needs a new version in the key. Each digit
    /// is drawn by itself, so one of a hundred speaks for all.
    #[test]
    fn the_seventy_thousand_digits_never_change() {
        let sums = [(Split::Train, 60_000), (Split::Test, 10_000)].map(|(split, count)| {
            let mut sum = Sha256::new();
            for (image, label) in (0..count).step_by(100).map(|index| digit(split, index as u64)) {
                sum.update(image);
                sum.update([label]);
            }
            hex::encode(sum.finalize())
        });
        assert_eq!(
            sums,
            [
                "eef279f1b5e633bbf4c54ba1fb2979863b4ab55944551a70239bd7a576400603",
                "c4991a486c73fb97c61bd67fdc056920d26b7813a79e35b94d593096a02fd7fc"
            ]
        );
    }

    #[test]
    fn however_many_are_drawn_each_is_where_its_number_says() {
        for count in [0, 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let mut reported = 0;
            let samples = draw(Split::Test, count, &mut |done| reported = done);
            assert_eq!((samples.images.len(), samples.len(), reported), (count * PIXELS, count, count as u64));
            for (index, (label, image)) in samples.as_slice().iter().enumerate().step_by(7) {
                assert_eq!(
                    (image, label),
                    (&digit(Split::Test, index as u64).0[..], digit(Split::Test, index as u64).1)
                );
            }
        }
    }

    /// A classifier that knows only what the average digit looks like gets most of them right, so labels and images
    /// belong together; but far from all, so there is something left to learn.
    #[test]
    fn digits_resemble_their_class_but_are_not_trivial_to_tell_apart() {
        let train = draw(Split::Train, 5_000, &mut |_| ());
        let mut means = [[0.0f32; PIXELS]; CLASSES];
        for (label, image) in train.as_slice().iter() {
            let count = train.labels.iter().filter(|&&other| other == label).count() as f32;
            for (mean, &pixel) in means[usize::from(label)].iter_mut().zip(image) {
                *mean += f32::from(pixel) / count;
            }
        }
        let test = draw(Split::Test, 1_000, &mut |_| ());
        let right = test.as_slice().iter().filter(|&(label, image)| {
            let distance = |mean: &[f32; PIXELS]| -> f32 {
                image.iter().zip(mean).map(|(&pixel, mean)| (f32::from(pixel) - mean).powi(2)).sum()
            };
            let distances = means.each_ref().map(distance);
            distances.iter().all(|&other| other >= distances[usize::from(label)])
        });
        let right = right.count();
        assert!((500..850).contains(&right), "{right} of 1,000 right");
    }

    #[test]
    fn a_dataset_appears_whole_reports_every_digit_and_is_drawn_once() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("generated");
        // Left by a process that was killed.
        write_idx(&root.path().join("generated.part/stray"), Split::Train, &[], &[]).unwrap();
        let mut last = None;
        draw_all(&dir, [1_200, 300], &mut |done, total| last = Some([done, total])).unwrap();
        assert_eq!(last, Some([1_500, 1_500]));
        assert_eq!(crate::load(&dir, Split::Train).unwrap().samples.len(), 1_200);
        assert_eq!(crate::load(&dir, Split::Test).unwrap().name, "generated");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 4);

        draw_all(&dir, [1_200, 300], &mut |_, _| panic!("drawn twice")).unwrap();

        fs::remove_file(dir.join(crate::FILES[0])).unwrap();
        let error = draw_all(&dir, [1_200, 300], &mut |_, _| ()).unwrap_err();
        assert!(error.to_string().ends_with("move it elsewhere, and the digits are drawn again"), "{error}");
    }
}
