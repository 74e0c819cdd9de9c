//! The network with its weights, and the forward pass.

use sample::{COLS, PIXELS, ROWS};
use weights::StateDict;

use crate::{
    Isa, conv1,
    ink::{Blank, Ink},
    layout::{Aligned, C1, C2, HIDDEN, INPUT, Input, Layers, Maps1, Maps2, PADDED1, SCORES, SIDE1, WINDOWS},
    linear,
    living::Living,
    pooling::{Winners1, Winners2, won},
    winograd::{self, Filters, Scratch},
};

/// Weights, also in the forms that the passes want.
pub(crate) struct Network {
    pub(crate) layers: Layers,
    filters: Box<Aligned<Filters>>,
    blank: Box<Blank>,
}

/// What the forward pass leaves behind, for each sample of a slice.
pub(crate) struct Activations {
    pub(crate) inputs: Vec<Aligned<Input>>,
    inks: Vec<Ink>,
    pub(crate) maps1: Vec<Aligned<Maps1>>,
    pub(crate) winners1: Vec<Winners1>,
    pub(crate) maps2: Vec<Aligned<Maps2>>,
    pub(crate) winners2: Vec<Winners2>,
    pub(crate) living: Vec<[Living; WINDOWS]>,
    pub(crate) hidden: Vec<Aligned<[f32; HIDDEN]>>,
    pub(crate) scores: Vec<[f32; SCORES]>,
    scratch: Scratch,
}

impl Network {
    /// [`prepare`](Self::prepare) must follow.
    pub(crate) fn new(weights: &StateDict) -> Self {
        Self {
            layers: Layers::from_state_dict(weights),
            filters: Box::new(Aligned([[[0.0; C2]; C1]; 16])),
            blank: Box::new(Blank::new()),
        }
    }

    /// After every change of the weights.
    pub(crate) fn prepare(&mut self, isa: Isa, activations: &mut Activations) {
        let Self { layers, filters, blank } = self;
        winograd::transform_filters(isa, layers, filters);
        let Activations { inputs, maps1, winners1, maps2, winners2, scratch, .. } = activations;
        normalise(&[0; PIXELS], &mut inputs[0]);
        conv1::forward(isa, layers, blank, &inputs[..1], &[Ink::ALL], &mut maps1[..1], &mut winners1[..1]);
        scratch.choose(&[Ink::ALL], blank, maps2, winners2);
        winograd::forward(isa, filters, &layers.bias2, maps1, scratch, maps2, winners2);
        **blank = Blank { maps1: maps1[0], winners1: winners1[0], maps2: maps2[0], winners2: winners2[0] };
    }

    /// The scores of some images, at most a slice, into `activations`.
    pub(crate) fn forward(&self, isa: Isa, images: &[u8], activations: &mut Activations) {
        activations.load(images);
        self.pass(isa, images.len() / PIXELS, activations);
    }

    /// The scores of the first `n` inputs.
    fn pass(&self, isa: Isa, n: usize, activations: &mut Activations) {
        let Activations { inputs, inks, maps1, winners1, maps2, winners2, living, hidden, scores, scratch } =
            activations;
        conv1::forward(isa, &self.layers, &self.blank, &inputs[..n], &inks[..n], &mut maps1[..n], &mut winners1[..n]);
        scratch.choose(&inks[..n], &self.blank, maps2, winners2);
        winograd::forward(isa, &self.filters, &self.layers.bias2, maps1, scratch, maps2, winners2);
        for (living, winners) in living[..n].iter_mut().zip(winners2.iter()) {
            *living = std::array::from_fn(|window| (0..4).map(|position| won(&winners[window], position)).sum());
        }
        linear::forward(isa, &self.layers, &maps2[..n], &living[..n], &mut hidden[..n], &mut scores[..n]);
    }
}

impl Activations {
    pub(crate) fn new(samples: usize) -> Self {
        Self {
            inputs: vec![Aligned([[0.0; INPUT]; INPUT]); samples],
            inks: vec![Ink::ALL; samples],
            maps1: vec![Aligned([[[0.0; C1]; PADDED1]; PADDED1]); samples],
            winners1: vec![[[0; C1]; SIDE1 * SIDE1]; samples],
            maps2: vec![Aligned([[0.0; C2]; WINDOWS]); samples],
            winners2: vec![[[0; C2]; WINDOWS]; samples],
            living: vec![[0; WINDOWS]; samples],
            hidden: vec![Aligned([0.0; HIDDEN]); samples],
            scores: vec![[0.0; SCORES]; samples],
            scratch: Scratch::new(),
        }
    }

    fn load(&mut self, images: &[u8]) {
        let places = self.inputs.iter_mut().zip(&mut self.inks);
        for (image, (input, ink)) in images.as_chunks::<PIXELS>().0.iter().zip(places) {
            normalise(image, input);
            *ink = Ink::of(image);
        }
    }
}

/// Mean and standard deviation of the pixels of MNIST's training set, on a scale from 0 to 1; the numbers of PyTorch's
/// own MNIST example.
const MEAN: f32 = 0.1307;
const STANDARD_DEVIATION: f32 = 0.3081;

/// Each pixel as the network sees it.
static NORMALISED: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut pixel = 0;
    while pixel < 256 {
        table[pixel] = (pixel as f32 / 255.0 - MEAN) / STANDARD_DEVIATION;
        pixel += 1;
    }
    table
};

fn normalise(image: &[u8; PIXELS], input: &mut Input) {
    for (row, pixels) in input[1..=ROWS].iter_mut().zip(image.chunks(COLS)) {
        for (value, &pixel) in row[1..=COLS].iter_mut().zip(pixels) {
            *value = NORMALISED[usize::from(pixel)];
        }
    }
}

#[cfg(test)]
mod tests {
    use weights::SIMPLE_CNN;

    use super::*;

    #[test]
    fn what_no_ink_reaches_is_what_it_would_have_been() {
        // Ink in every corner, in the middle, nowhere and everywhere.
        let places = [0..=1, 26..=29, 755..=758, 783..=783, 400..=410, 0..=783];
        let images: Vec<u8> = std::iter::once(vec![0; PIXELS])
            .chain(places.map(|place| {
                (0..PIXELS).map(|pixel| if place.contains(&pixel) { pixel as u8 | 1 } else { 0 }).collect()
            }))
            .flatten()
            .collect();
        let (isa, n) = (Isa::best(), images.len() / PIXELS);
        let (mut network, mut activations) = (Network::new(&SIMPLE_CNN.init(3)), Activations::new(n));
        network.prepare(isa, &mut activations);
        let mut results = [false, true].map(|all| {
            activations.load(&images);
            if all {
                activations.inks.fill(Ink::ALL);
            }
            network.pass(isa, n, &mut activations);
            let maps = activations.maps1.iter().flat_map(|maps| maps.as_flattened().as_flattened().to_vec());
            let numbers: Vec<u32> = maps.chain(activations.scores.as_flattened().to_vec()).map(f32::to_bits).collect();
            (numbers, activations.winners1.clone(), activations.winners2.clone())
        });
        assert!(results[0] == results[1]);
        // They must have been computed anew.
        results[1].0[5000] ^= 1;
        assert!(results[0] != results[1]);
    }
}
