//! Which digits a model sees in a picture that was drawn on the page: found and scored as `trainer predict` does it.

use std::path::Path;

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::StatusCode;
use native::{best, probabilities};
use picture::{Picture, Place, SIDE};
use sample::CLASSES;
use serde::Serialize;

use crate::model::{self, Model};

/// The most pixels of a drawing: more than a canvas has on a large screen, and little memory.
const MAX_PIXELS: u64 = 4_000_000;

/// Why there is no answer: a status, and a sentence.
pub(crate) type Refusal = (StatusCode, String);

#[derive(Serialize)]
struct Seen<'a> {
    round: Option<u32>,
    model_sha256: &'a str,
    digits: Vec<Digit>,
}

#[derive(Serialize)]
struct Digit {
    label: usize,
    probabilities: [f64; CLASSES],
    /// What the network saw, as the address of a picture.
    seen: String,
    place: Rectangle,
}

#[derive(Serialize)]
struct Rectangle {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

/// What the newest model of a run sees in the bytes of a PNG file, as JSON. `kept` is the model that was used last.
pub(crate) fn recognise(png: &[u8], run_folder: &Path, kept: &mut Option<Model>) -> Result<String, Refusal> {
    check_size(png)?;
    let picture = picture::read(png).map_err(|error| unusable(format!("the picture cannot be used: {error}")))?;
    let found = picture::digits(&picture);
    if found.is_empty() {
        return Err(unusable("the picture is blank: there is no digit on it".into()));
    }
    let none = |why: String| (StatusCode::CONFLICT, why);
    let model = model::newest(run_folder, kept)
        .map_err(|error| none(format!("{error:#}")))?
        .ok_or_else(|| none("there is no model yet: the first one comes with the end of the first round".into()))?;
    let images: Vec<u8> = found.iter().flat_map(|digit| &digit.pixels).copied().collect();
    let digit = |(digit, scores): (picture::Digit, [f32; CLASSES])| {
        let probabilities = probabilities(&scores);
        let Place { x, y, width, height } = digit.place;
        Digit {
            label: best(&scores),
            probabilities,
            seen: address(Picture::new(SIDE, SIDE, digit.pixels)),
            place: Rectangle { x, y, width, height },
        }
    };
    let digits = found.into_iter().zip(model.scorer.scores(&images)).map(digit).collect();
    let seen = Seen { round: model.round, model_sha256: &model.sha256, digits };
    Ok(serde_json::to_string(&seen).expect("texts and numbers are JSON"))
}

/// Looks at the header before anything is unpacked.
fn check_size(bytes: &[u8]) -> Result<(), Refusal> {
    let side = |at: usize| Some(u64::from(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?)));
    let is_png = bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.get(12..16) == Some(b"IHDR");
    match side(16).zip(side(20)).filter(|_| is_png) {
        Some((width, height)) if width * height <= MAX_PIXELS => Ok(()),
        Some((width, height)) => Err((
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the picture has {width} by {height} pixels, more than the {MAX_PIXELS} that are read here"),
        )),
        None => Err(unusable("this is no PNG file".into())),
    }
}

fn unusable(why: String) -> Refusal {
    (StatusCode::UNPROCESSABLE_ENTITY, why)
}

fn address(picture: Picture) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(picture.png()))
}
