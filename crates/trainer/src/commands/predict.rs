//! `trainer predict`: which digits a model sees in pictures. Each digit in a picture becomes an image as MNIST has them; an IDX
//! file holds such images already.

mod explanation;

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, ensure};
use flags::path;
use model::StateDict;
use picture::{Picture, Place};
use process::exit::{Code, OrExit, failure};
use sample::{CLASSES, PIXELS};
use serde_json::json;

use self::explanation::Explanations;
use super::model_file::ModelFile;
use crate::output;

/// The largest file that is read: a picture of as many pixels as may be, not compressed at all.
const MAX_BYTES: u64 = 512 << 20;
/// Endings of the files that are taken of a folder.
const PICTURES: [&str; 11] = ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "tif", "tiff"];
/// How many classes are told after the most probable one.
const RUNNERS_UP: usize = 2;

/// Say which digits are in pictures
#[derive(clap::Args, Clone, Debug)]
pub struct Predict {
    /// Pictures (PNG, JPEG, WebP, GIF, BMP or TIFF), IDX files, and folders with pictures. A picture shows digits
    /// that do not touch each other, of any size, dark on light or light on dark
    #[arg(required = true, value_parser = path::parser())]
    paths: Vec<PathBuf>,
    /// A .safetensors or .pth file, or a run folder
    #[arg(long, value_name = "FILE|RUN", default_value = "runs/latest", value_parser = path::parser())]
    model: PathBuf,
    /// Write a picture of what the network saw of each digit, beside the original, into this folder
    #[arg(long, value_name = "DIR", value_parser = path::parser())]
    explain: Option<PathBuf>,
    /// One JSON object a digit, with the probabilities of all ten and with its place in the picture
    #[arg(long)]
    json: bool,
}

/// What a file holds: images to be classified.
struct Images {
    path: PathBuf,
    /// The picture that they were made of, if it is no IDX file.
    picture: Option<Picture>,
    images: Vec<Image>,
}

struct Image {
    /// Which it is in its file, from 0, if the file is an IDX file or shows several digits.
    index: Option<usize>,
    place: Option<Place>,
    pixels: Vec<u8>,
}

impl Predict {
    /// Predicts image by image, on stdout. A file that holds none is told on stderr, and the others go on.
    ///
    /// # Errors
    /// When there is no model, when a file held no image, and when an explanation cannot be written.
    pub fn run(&self) -> anyhow::Result<()> {
        let model = ModelFile::read(&self.model)?;
        let files = files(&self.paths)?;
        let width = files.iter().map(|path| path.display().to_string().chars().count()).max().unwrap_or(0);
        let mut explanations = self.explain.as_deref().map(Explanations::new);
        let mut failed = 0;
        for path in &files {
            match images(path) {
                Ok(images) => self.show(&model.weights, &images, width, explanations.as_mut())?,
                Err(error) if files.len() == 1 => return Err(error),
                Err(error) => {
                    failed += 1;
                    let _ = writeln!(io::stderr(), "trainer: {error:#}"); // The exit code says it as well.
                }
            }
        }
        if failed > 0 {
            fail!(Code::Data, "{failed} of {} files held no digit that could be read", files.len());
        }
        Ok(())
    }

    fn show(
        &self,
        weights: &StateDict,
        file: &Images,
        width: usize,
        mut explanations: Option<&mut Explanations>,
    ) -> anyhow::Result<()> {
        let pixels: Vec<u8> = file.images.iter().flat_map(|image| &image.pixels).copied().collect();
        let width = file.images.iter().map(|image| name(&file.path, image).chars().count()).fold(width, usize::max);
        for (image, scores) in file.images.iter().zip(model::logits(weights, &pixels)) {
            let probabilities = model::probabilities(&scores);
            output::say(&match self.json {
                true => json_line(&file.path, image, &probabilities),
                false => line(&file.path, image, &probabilities, width),
            });
            if let Some(explanations) = &mut explanations {
                // Of several digits, each with a little of what is around it.
                let part = match (&file.picture, image.place) {
                    (Some(picture), Some(place)) if image.index.is_some() => {
                        Some(picture.cut_out(place, place.width.max(place.height) / 5))
                    }
                    _ => None,
                };
                let original = part.as_ref().or(file.picture.as_ref());
                explanations.write(&name(&file.path, image), original, &image.pixels)?;
            }
        }
        Ok(())
    }
}

/// The files named, and those in the folders named.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut pictures = super::files_in(path, |ending| PICTURES.contains(&ending.to_lowercase().as_str()))?;
        if pictures.is_empty() {
            fail!(Code::Data, "there is no picture in `{}`; name a folder that has some", path.display());
        }
        files.append(&mut pictures);
    }
    Ok(files)
}

fn images(path: &Path) -> anyhow::Result<Images> {
    let bytes = read(path)?;
    if dataset::is_images(&bytes) {
        let pixels = dataset::images(path, bytes).map_err(|error| failure(error.exit_code(), error))?;
        let image =
            |(index, pixels): (usize, &[u8])| Image { index: Some(index), place: None, pixels: pixels.to_vec() };
        let images = pixels.chunks_exact(PIXELS).enumerate().map(image).collect();
        return Ok(Images { path: path.to_owned(), picture: None, images });
    }
    let name = path.display();
    let read = picture::read(&bytes).map_err(|error| match error {
        picture::Error::Format => anyhow!("`{name}` is no picture that can be read, and no IDX file; save it as PNG"),
        error => anyhow!("`{name}` cannot be used: {error}"),
    });
    let picture = read.or_exit(Code::Data)?;
    let digits = picture::digits(&picture);
    ensure!(!digits.is_empty(), failure(Code::Data, anyhow!("`{name}` is blank: there is no digit on it")));
    let are_several = digits.len() > 1;
    let image = |(index, digit): (usize, picture::Digit)| Image {
        index: are_several.then_some(index),
        place: Some(digit.place),
        pixels: digit.pixels,
    };
    let images = digits.into_iter().enumerate().map(image).collect();
    Ok(Images { path: path.to_owned(), picture: Some(picture), images })
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let context = || format!("failed to read `{}`", path.display());
    let file = File::open(path).with_context(context)?;
    // Whoever opens a pipe may wait for ever.
    let is_file = file.metadata().with_context(context)?.is_file();
    ensure!(is_file, failure(Code::Data, anyhow!("`{}` is no file", path.display())));
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(context)?;
    let size = || anyhow!("`{}` has more than {} MB; make it smaller", path.display(), MAX_BYTES >> 20);
    ensure!(bytes.len() as u64 <= MAX_BYTES, failure(Code::Data, size()));
    Ok(bytes)
}

/// The classes, the most probable first.
fn ranked(probabilities: &[f64; CLASSES]) -> [usize; CLASSES] {
    let mut classes = std::array::from_fn(|class| class);
    classes.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    classes
}

fn line(path: &Path, image: &Image, probabilities: &[f64; CLASSES], width: usize) -> String {
    let ranked = ranked(probabilities);
    let percent = |class: usize| 100.0 * probabilities[class];
    let others = ranked[1..=RUNNERS_UP].iter().map(|&class| format!("{class} {:.2} %", percent(class)));
    let (best, others) = (ranked[0], others.collect::<Vec<_>>().join(", "));
    let line = format!("{:<width$}  {best}  {:>6.2} %  then {others}", name(path, image), percent(best));
    match (image.index, image.place) {
        (Some(_), Some(Place { x, y, width, height })) => format!("{line}  at {x},{y} {width}×{height}"),
        _ => line,
    }
}

fn json_line(path: &Path, image: &Image, probabilities: &[f64; CLASSES]) -> String {
    let label = ranked(probabilities)[0];
    let mut object = json!({
        // Not every file name is UTF-8, and JSON is nothing else.
        "file": path.to_string_lossy(),
        "label": label,
        "probability": probabilities[label],
        "probabilities": probabilities,
    });
    if let Some(index) = image.index {
        object["index"] = index.into();
    }
    if let Some(Place { x, y, width, height }) = image.place {
        object["place"] = json!({ "x": x, "y": y, "width": width, "height": height });
    }
    object.to_string()
}

fn name(path: &Path, image: &Image) -> String {
    match image.index {
        Some(index) => format!("{}[{index}]", path.display()),
        None => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_the_digit_and_the_runners_up_and_where_one_of_several_is() {
        let mut probabilities = [0.0; CLASSES];
        (probabilities[3], probabilities[8], probabilities[5]) = (0.98765, 0.01, 0.00235);
        let place = Some(Place { x: 12, y: 30, width: 40, height: 60 });
        let said = |index| line(Path::new("a/3.png"), &Image { index, place, pixels: Vec::new() }, &probabilities, 9);
        assert_eq!(said(None), "a/3.png    3   98.77 %  then 8 1.00 %, 5 0.24 %");
        assert_eq!(said(Some(1)), "a/3.png[1]  3   98.77 %  then 8 1.00 %, 5 0.24 %  at 12,30 40×60");
    }
}
