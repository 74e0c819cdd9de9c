//! A sequence is what a source sends, by seq: the samples of a dataset, or digits drawn for ever, as a [`Drift`] changes them.
//! It is asked for any piece at any time, and gives the same.

use std::ops::Range;

use sample::{CLASSES, PIXELS, Samples, random::Stream};

use crate::{
    Dataset, digits,
    drift::{Change, Digits, Drift, Kind},
    turn::turn,
};

/// Samples by seq.
#[derive(Clone, Debug)]
pub struct Sequence {
    source: Source,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Source {
    /// A dataset's, which begin anew after the last.
    Dataset(Samples),
    /// Drawn when they are asked for.
    Drawn,
}

/// A change, with all that can be made ready for it.
#[derive(Clone, Debug)]
struct Step {
    change: Change,
    /// Of [`Kind::Digits`]: where such samples are in the dataset.
    indices: Vec<u32>,
    /// Of [`Kind::Permute`]: which pixel goes to each place.
    pixels: Vec<u16>,
}

impl Sequence {
    /// The samples of a dataset, over and over, as the drift changes them. Of digits that the program drew, more are drawn
    /// instead: then the dataset's samples are the first 60,000, and its memory is given back.
    ///
    /// # Errors
    /// When the dataset is empty, or lacks all of the digits that are to be sent.
    pub fn of(dataset: Dataset, drift: &Drift) -> Result<Sequence, String> {
        if digits::is_drawn(dataset.digest()) {
            Ok(Sequence::drawn(drift))
        } else {
            Sequence::over(dataset.samples, drift)
        }
    }

    fn over(samples: Samples, drift: &Drift) -> Result<Sequence, String> {
        let steps = steps(drift, |digits| {
            let is_held = |&index: &u32| digits.holds[usize::from(samples.labels[index as usize])];
            let indices: Vec<u32> = (0..samples.len() as u32).filter(is_held).collect();
            if indices.is_empty() { Err(format!("there is no sample of `digits:{digits}`")) } else { Ok(indices) }
        })?;
        match samples.is_empty() {
            true => Err("there is no sample".into()),
            false => Ok(Sequence { source: Source::Dataset(samples), steps }),
        }
    }

    /// Digits that are drawn for ever, as the drift changes them.
    fn drawn(drift: &Drift) -> Sequence {
        let steps = steps(drift, |_| Ok::<_, std::convert::Infallible>(Vec::new()));
        Sequence { source: Source::Drawn, steps: steps.unwrap_or_else(|never| match never {}) }
    }

    /// The samples with these seqs.
    pub fn samples(&self, seqs: Range<u64>) -> Samples {
        let count = seqs.end.saturating_sub(seqs.start) as usize;
        let mut samples = Samples { labels: Vec::with_capacity(count), images: Vec::with_capacity(count * PIXELS) };
        for seq in seqs {
            let (label, image) = self.sample(seq);
            samples.labels.push(label);
            samples.images.extend_from_slice(&image);
        }
        samples
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
        let is_choice = |step: &&Step| matches!(step.change.kind, Kind::Digits(_)) && step.change.holds(seq);
        let choice = self.steps.iter().rfind(is_choice);
        match (&self.source, choice.map(|step| (step.change.kind, &step.indices))) {
            (Source::Dataset(samples), choice) => {
                let index = match choice {
                    Some((_, indices)) => indices[(seq % indices.len() as u64) as usize] as usize,
                    None => (seq % samples.len() as u64) as usize,
                };
                (samples.labels[index], samples.image(index).try_into().expect("an image has so many pixels"))
            }
            (Source::Drawn, Some((Kind::Digits(digits), _))) => digits::drawn(drawn_index(seq, digits)),
            (Source::Drawn, _) => digits::drawn(seq),
        }
    }
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

    fn drift(text: &str) -> Drift {
        text.parse().unwrap()
    }

    fn of(labels: &[u8], text: &str) -> Sequence {
        Sequence::over(dataset(labels), &drift(text)).unwrap()
    }

    #[test]
    fn without_a_drift_a_dataset_is_sent_over_and_over() {
        let samples = of(&[3, 1, 4], "none").samples(2..7);
        assert_eq!(samples.labels, [4, 3, 1, 4, 3]);
        assert_eq!(samples.image(1), dataset(&[3]).image(0));
    }

    #[test]
    fn labels_are_swapped_in_pairs_and_only_where_it_is_said() {
        let labels = |text| of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], text).samples(0..10).labels;
        assert_eq!(labels("swap-labels@0"), [1, 0, 3, 2, 5, 4, 7, 6, 9, 8]);
        assert_eq!(labels("swap-labels@2..5"), [0, 1, 3, 2, 5, 5, 6, 7, 8, 9]);
        assert_eq!(labels("swap-labels@0,swap-labels@5"), [1, 0, 3, 2, 5, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn only_the_chosen_digits_are_sent_over_and_over_and_the_last_choice_counts() {
        let labels = |text| of(&[0, 1, 2, 0, 1, 2], text).samples(0..8).labels;
        assert_eq!(labels("digits:02@0..6"), [0, 2, 0, 2, 0, 2, 0, 1]);
        assert_eq!(labels("digits:0-1@0,digits:2@3..5"), [0, 1, 0, 2, 2, 1, 0, 1]);
        assert_eq!(labels("swap-labels@0,digits:2-3@0"), [3; 8], "by the dataset's label, wherever it stands");
        let error = |labels: &[u8], text| Sequence::over(dataset(labels), &drift(text)).unwrap_err();
        assert_eq!(error(&[0, 1], "digits:5-9@7"), "there is no sample of `digits:5-9`");
        assert_eq!(error(&[], "none"), "there is no sample");
    }

    #[test]
    fn each_permutation_is_another_and_keeps_every_pixel() {
        let sequence = of(&[0], "permute@1..3,permute@2");
        let images: Vec<_> = (0..4).map(|seq| sequence.samples(seq..seq + 1).images).collect();
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
        let sequence = of(&[0], "rotate:90@10..14,rotate:-20@20,rotate:20@20,permute@30,rotate:-90@30");
        let image = |seq| sequence.samples(seq..seq + 1).images;
        for (seq, degrees) in [(9, 0.0), (10, 0.0), (11, 22.5), (13, 67.5), (14, 90.0), (25, 90.0)] {
            assert!(image(seq) == turned(original, degrees), "{seq}");
        }
        let after = of(&[0], "rotate:90@0,permute@0").samples(30..31).images.try_into().unwrap();
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
        let samples = whole.samples.clone();
        let drawn = Sequence::of(whole, &Drift::default()).unwrap();
        for seqs in [0..500, 59_900..60_000] {
            let same = samples.slice(seqs.start as usize..seqs.end as usize).to_samples();
            assert!(drawn.samples(seqs) == same);
        }
        assert_ne!(drawn.samples(60_000..60_300), drawn.samples(0..300));
        assert_eq!(drawn.samples(u64::MAX - 3..u64::MAX).len(), 3);
        let part = Sequence::of(part, &Drift::default()).unwrap();
        assert_eq!(part.samples(300..600), drawn.samples(0..300), "any other dataset begins anew");
    }

    #[test]
    fn of_drawn_digits_only_the_chosen_are_drawn() {
        let all = Sequence::drawn(&Drift::default()).samples(0..200);
        let chosen = Sequence::drawn(&drift("digits:0-4@0..100")).samples(0..200);
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
        for (label, image) in Sequence::drawn(&drift(text)).samples(0..60).as_slice().iter() {
            sum.update([label]);
            sum.update(image);
        }
        assert_eq!(hex::encode(sum.finalize()), "88ed29f5335bb12d6b74f1b8fbd9885f6b165654ccb6d2c35c2d51df10a57012");
    }
}
