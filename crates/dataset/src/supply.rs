//! A supply is where the samples come from that are sent, by seq: those of a dataset, over and over, or digits drawn for ever,
//! as a [`Drift`] changes them. What a sample is depends on its seq and on nothing else, however often and in whatever pieces
//! it is asked for; here and nowhere else a seq becomes a sample.

use std::ops::Range;

use sample::{CLASSES, PIXELS, SampleSlice, Samples, random::Stream};

use crate::{
    Dataset, digits,
    drift::{Change, Digits, Drift, Kind},
    turn::turn,
};

/// Samples by seq.
#[derive(Clone, Debug)]
pub struct Supply {
    origin: Origin,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Origin {
    /// These, of which the first has the seq `first`. After the last comes the first again.
    Memory { first: u64, samples: Samples },
    /// Drawn when they are asked for.
    Drawn,
}

/// A change, with all that can be made ready for it.
#[derive(Clone, Debug)]
struct Step {
    change: Change,
    /// Of [`Kind::Digits`]: where such samples are in memory.
    indices: Vec<u32>,
    /// Of [`Kind::Permute`]: which pixel goes to each place.
    pixels: Vec<u16>,
}

impl Supply {
    /// These samples, of which the first has the seq `first`.
    ///
    /// # Panics
    /// When there is none.
    pub fn new(first: u64, samples: Samples) -> Supply {
        assert!(!samples.is_empty(), "there are no samples to send");
        Supply { origin: Origin::Memory { first, samples }, steps: Vec::new() }
    }

    /// A whole dataset's, as the drift changes them. Of digits that the program drew, more are drawn after them: then the
    /// dataset's samples are the first 60,000, and their memory is given back.
    ///
    /// # Errors
    /// When the dataset is empty, or lacks all of the digits that are to be sent.
    pub fn of(dataset: Dataset, drift: &Drift) -> Result<Supply, String> {
        if digits::is_drawn(dataset.digest()) { Ok(Supply::drawn(drift)) } else { Supply::over(dataset.samples, drift) }
    }

    fn over(samples: Samples, drift: &Drift) -> Result<Supply, String> {
        let steps = steps(drift, |digits| {
            let is_held = |&index: &u32| digits.holds[usize::from(samples.labels[index as usize])];
            let indices: Vec<u32> = (0..samples.len() as u32).filter(is_held).collect();
            if indices.is_empty() { Err(format!("holds none of `digits:{digits}`")) } else { Ok(indices) }
        })?;
        match samples.is_empty() {
            true => Err("holds no sample".into()),
            false => Ok(Supply { steps, ..Supply::new(0, samples) }),
        }
    }

    fn drawn(drift: &Drift) -> Supply {
        let steps = steps(drift, |_| Ok::<_, std::convert::Infallible>(Vec::new()));
        Supply { origin: Origin::Drawn, steps: steps.unwrap_or_else(|never| match never {}) }
    }

    /// Appends the samples with these seqs.
    pub fn gather(&self, seqs: Range<u64>, into: &mut Samples) {
        match &self.origin {
            Origin::Memory { first, samples } if self.steps.is_empty() => copy(samples, seqs, *first, into),
            _ => seqs.map(|seq| self.sample(seq)).for_each(|(label, image)| {
                into.extend(SampleSlice { labels: &[label], images: &image });
            }),
        }
    }

    fn sample(&self, seq: u64) -> (u8, [u8; PIXELS]) {
        let (mut label, mut image) = self.original(seq);
        // Turns in a row are made at once: each one blurs.
        let mut degrees = 0.0;
        for Step { change, pixels, .. } in &self.steps {
            match change.kind {
                Kind::Rotate(by) => degrees += f64::from(by) * change.progress(seq),
                Kind::SwapLabels if change.holds(seq) => label ^= 1,
                Kind::Permute if change.holds(seq) => {
                    image = turned(image, std::mem::take(&mut degrees));
                    image = std::array::from_fn(|place| image[usize::from(pixels[place])]);
                }
                Kind::SwapLabels | Kind::Permute | Kind::Digits(_) => {}
            }
        }
        (label, turned(image, degrees))
    }

    /// The sample before anything is changed in it.
    fn original(&self, seq: u64) -> (u8, [u8; PIXELS]) {
        let choice = self.steps.iter().rev().find_map(|step| match step.change.kind {
            Kind::Digits(digits) if step.change.holds(seq) => Some((digits, &step.indices)),
            _ => None,
        });
        match (&self.origin, choice) {
            (Origin::Memory { first, samples }, choice) => {
                let index = match choice {
                    Some((_, indices)) => indices[nth(seq, indices.len())] as usize,
                    None => nth(seq - first, samples.len()),
                };
                (samples.labels[index], samples.image(index).try_into().expect("an image has so many pixels"))
            }
            (Origin::Drawn, Some((digits, _))) => digits::drawn(drawn_index(seq, digits)),
            (Origin::Drawn, None) => digits::drawn(seq),
        }
    }
}

/// Appends the samples with these seqs, of those of which the first has the seq `first`, in as few pieces as can be.
fn copy(samples: &Samples, seqs: Range<u64>, first: u64, into: &mut Samples) {
    let mut seq = seqs.start;
    while seq < seqs.end {
        let at = nth(seq - first, samples.len());
        let count = ((seqs.end - seq) as usize).min(samples.len() - at);
        into.extend(samples.slice(at..at + count));
        seq += count as u64;
    }
}

/// Where number `n` is of `count` that begin anew after the last.
fn nth(n: u64, count: usize) -> usize {
    (n % count as u64) as usize
}

fn steps<E>(drift: &Drift, mut indices: impl FnMut(Digits) -> Result<Vec<u32>, E>) -> Result<Vec<Step>, E> {
    let mut permutations = 0;
    let step = |&change: &Change| {
        let mut step = Step { change, indices: Vec::new(), pixels: Vec::new() };
        match change.kind {
            Kind::Digits(digits) => step.indices = indices(digits)?,
            Kind::Permute => {
                step.pixels = (0..PIXELS as u16).collect();
                Stream::keyed("tributary drift, permuted pixels", &[permutations]).shuffle(&mut step.pixels);
                permutations += 1;
            }
            Kind::Rotate(_) | Kind::SwapLabels => {}
        }
        Ok(step)
    };
    drift.changes.iter().map(step).collect()
}

fn turned(image: [u8; PIXELS], degrees: f64) -> [u8; PIXELS] {
    if degrees == 0.0 { image } else { turn(&image, degrees) }
}

/// Which drawn digit is sent where only some may be: that of the seq if it is one of them, else the first that is at random.
fn drawn_index(seq: u64, digits: Digits) -> u64 {
    let mut random = Stream::keyed("tributary drift, drawn digits", &[seq]);
    let others = std::iter::repeat_with(|| random.next_u64());
    let mut indices = std::iter::once(seq).chain(others);
    let is_held = |&index: &u64| digits.holds[usize::from(digits::drawn_label(index))];
    indices.find(is_held).expect("random numbers do not end")
}

const _: () = assert!(CLASSES == 10); // So many digits can be chosen from, and each has another to be swapped with.

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// Samples with these labels, each with another image.
    fn dataset(labels: &[u8]) -> Samples {
        let image = |index: usize| (0..PIXELS).map(move |pixel| (index * 100 + pixel * 7) as u8);
        Samples { labels: labels.to_vec(), images: (0..labels.len()).flat_map(image).collect() }
    }

    fn samples(supply: &Supply, seqs: Range<u64>) -> Samples {
        let mut samples = Samples::default();
        supply.gather(seqs, &mut samples);
        samples
    }

    fn drift(text: &str) -> Drift {
        text.parse().unwrap()
    }

    fn of(labels: &[u8], text: &str) -> Supply {
        Supply::over(dataset(labels), &drift(text)).unwrap()
    }

    #[test]
    fn without_a_drift_a_dataset_is_sent_over_and_over() {
        let sent = samples(&of(&[3, 1, 4], "none"), 2..7);
        assert_eq!(sent.labels, [4, 3, 1, 4, 3]);
        assert_eq!(sent.image(1), dataset(&[3]).image(0));
    }

    #[test]
    fn labels_are_swapped_in_pairs_and_only_where_it_is_said() {
        let labels = |text| samples(&of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], text), 0..10).labels;
        assert_eq!(labels("swap-labels@0"), [1, 0, 3, 2, 5, 4, 7, 6, 9, 8]);
        assert_eq!(labels("swap-labels@2..5"), [0, 1, 3, 2, 5, 5, 6, 7, 8, 9]);
        assert_eq!(labels("swap-labels@0,swap-labels@5"), [1, 0, 3, 2, 5, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn only_the_chosen_digits_are_sent_over_and_over_and_the_last_choice_counts() {
        let labels = |text| samples(&of(&[0, 1, 2, 0, 1, 2], text), 0..8).labels;
        assert_eq!(labels("digits:02@0..6"), [0, 2, 0, 2, 0, 2, 0, 1]);
        assert_eq!(labels("digits:0-1@0,digits:2@3..5"), [0, 1, 0, 2, 2, 1, 0, 1]);
        assert_eq!(labels("swap-labels@0,digits:2-3@0"), [3; 8], "by the dataset's label, wherever it stands");
        let error = |labels: &[u8], text| Supply::over(dataset(labels), &drift(text)).unwrap_err();
        assert_eq!(error(&[0, 1], "digits:5-9@7"), "holds none of `digits:5-9`");
        assert_eq!(error(&[], "none"), "holds no sample");
    }

    #[test]
    fn each_permutation_is_another_and_keeps_every_pixel() {
        let supply = of(&[0], "permute@1..3,permute@2");
        let images: Vec<_> = (0..4).map(|seq| samples(&supply, seq..seq + 1).images).collect();
        for (one, other) in [(0, 1), (1, 2), (2, 3), (0, 3), (1, 3)] {
            assert_ne!(images[one], images[other]);
        }
        let sorted = |image: &Vec<u8>| {
            let mut image = image.clone();
            image.sort_unstable();
            image
        };
        assert!(images.iter().all(|image| sorted(image) == sorted(&images[0])));
    }

    #[test]
    fn an_angle_grows_and_turns_in_a_row_are_made_at_once() {
        let original: [u8; PIXELS] = dataset(&[0]).images.try_into().unwrap();
        let supply = of(&[0], "rotate:90@10..14,rotate:-20@20,rotate:20@20,permute@30,rotate:-90@30");
        let image = |seq| samples(&supply, seq..seq + 1).images;
        for (seq, degrees) in [(9, 0.0), (10, 0.0), (11, 22.5), (13, 67.5), (14, 90.0), (25, 90.0)] {
            assert!(image(seq) == turned(original, degrees), "{seq}");
        }
        let after = samples(&of(&[0], "rotate:90@0,permute@0"), 30..31).images.try_into().unwrap();
        assert!(image(30) == turn(&after, -90.0), "turned, permuted and turned back");
    }

    #[test]
    fn drawn_digits_are_those_of_their_dataset_and_go_on_after_it() {
        let root = tempfile::tempdir().unwrap();
        let [whole, part] = [("whole", 60_000), ("part", 300)].map(|(name, count)| {
            let dir = root.path().join(name);
            digits::draw_all(&dir, [count, 1], &mut |_, _| ()).unwrap();
            crate::load(&dir, crate::Split::Train).unwrap()
        });
        let written = whole.samples.clone();
        let drawn = Supply::of(whole, &Drift::default()).unwrap();
        for seqs in [0..500, 59_900..60_000] {
            let same = written.slice(seqs.start as usize..seqs.end as usize).to_samples();
            assert!(samples(&drawn, seqs) == same);
        }
        assert_ne!(samples(&drawn, 60_000..60_300), samples(&drawn, 0..300));
        assert_eq!(samples(&drawn, u64::MAX - 3..u64::MAX).len(), 3);
        let part = Supply::of(part, &Drift::default()).unwrap();
        assert_eq!(samples(&part, 300..600), samples(&drawn, 0..300), "any other dataset begins anew");
    }

    #[test]
    fn of_drawn_digits_only_the_chosen_are_drawn() {
        let all = samples(&Supply::drawn(&Drift::default()), 0..200);
        let chosen = samples(&Supply::drawn(&drift("digits:0-4@0..100")), 0..200);
        assert!(chosen.labels[..100].iter().all(|label| *label < 5) && chosen.slice(100..200) == all.slice(100..200));
        let is_kept = |index: &usize| all.labels[*index] < 5;
        assert!((0..100).filter(is_kept).all(|index| all.image(index) == chosen.image(index)));
        assert!((0..5).all(|digit| chosen.labels[..100].contains(&digit)));
    }

    /// The same bytes on every machine and in every version: runs are compared by them.
    #[test]
    fn what_a_drift_makes_of_digits_never_changes() {
        let text = "digits:0-4@0..20,rotate:45@10..30,permute@30..40,swap-labels@35,rotate:-100@40,permute@45";
        let mut sum = Sha256::new();
        for (label, image) in samples(&Supply::drawn(&drift(text)), 0..60).as_slice().iter() {
            sum.update([label]);
            sum.update(image);
        }
        assert_eq!(hex::encode(sum.finalize()), "88ed29f5335bb12d6b74f1b8fbd9885f6b165654ccb6d2c35c2d51df10a57012");
    }
}
