//! `trainer predict`: which digits a model sees in pictures. Each digit in a picture becomes an image as MNIST has them; an IDX
//! file holds such images already.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, ensure};
use cli::exit::{Code, OrExit, failure};
use dataset::{CLASSES, PIXELS};
use model::StateDict;
use picture::{Picture, SIDE};
use serde_json::json;

use crate::{disk, model_file::ModelFile, output};

/// The largest file that is read: a picture of as many pixels as may be, not compressed at all.
const MAX_BYTES: u64 = 512 << 20;

/// Endings of the files that are taken of a folder.
const PICTURES: [&str; 11] = ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "tif", "tiff"];

/// How the names of files begin in which macOS keeps what other file systems cannot hold beside a file.
const APPLE_DOUBLE: &str = "._";

/// How many classes are told after the most probable one.
const RUNNERS_UP: usize = 2;

/// What to predict, and how to show it.
#[derive(Clone, Debug)]
pub struct Predict {
    /// A model file or a run folder.
    pub model: PathBuf,
    /// Pictures, IDX files, and folders with pictures.
    pub paths: Vec<PathBuf>,
    /// A folder for pictures of what the network saw.
    pub explain: Option<PathBuf>,
    /// As JSON lines instead of text.
    pub json: bool,
}

/// An image to be classified.
struct Image {
    /// Its file.
    path: PathBuf,
    /// Its place in an IDX file, from 0.
    index: Option<usize>,
    /// The picture that it was made of.
    picture: Option<Picture>,
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
        let mut failed = 0;
        for path in &files {
            match images(path) {
                Ok(images) => self.show(&model.weights, &images, width)?,
                Err(error) if files.len() == 1 => return Err(error),
                Err(error) => {
                    failed += 1;
                    let _ = writeln!(io::stderr(), "trainer: {error:#}"); // The exit code says it as well.
                }
            }
        }
        ensure_none(failed, files.len())
    }

    fn show(&self, weights: &StateDict, images: &[Image], width: usize) -> anyhow::Result<()> {
        let pixels: Vec<u8> = images.iter().flat_map(|image| &image.pixels).copied().collect();
        for (image, scores) in images.iter().zip(model::logits(weights, &pixels)) {
            let probabilities = model::probabilities(&scores);
            output::say(&if self.json { json_line(image, &probabilities) } else { line(image, &probabilities, width) });
            if let Some(dir) = &self.explain {
                explain(dir, image)?;
            }
        }
        Ok(())
    }
}

fn ensure_none(failed: usize, of: usize) -> anyhow::Result<()> {
    let failed_of = || anyhow!("{failed} of {of} files held no digit that could be read");
    if failed == 0 { Ok(()) } else { Err(failure(Code::Data, failed_of())) }
}

/// The files named, and those in the folders named.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let context = || format!("failed to list `{}`", path.display());
        let entries = fs::read_dir(path).with_context(context)?;
        let found = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().with_context(context)?;
        let is_picture = |path: &PathBuf| {
            let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_lowercase();
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            PICTURES.contains(&ending.as_str()) && !name.starts_with(APPLE_DOUBLE.as_bytes())
        };
        let mut pictures: Vec<_> = found.into_iter().filter(is_picture).collect();
        if pictures.is_empty() {
            let error = anyhow!("there is no picture in `{}`; name a folder that has some", path.display());
            return Err(failure(Code::Data, error));
        }
        pictures.sort();
        files.append(&mut pictures);
    }
    Ok(files)
}

/// The images in a file.
fn images(path: &Path) -> anyhow::Result<Vec<Image>> {
    let bytes = read(path)?;
    if dataset::is_images(&bytes) {
        let pixels = dataset::images(path, bytes).map_err(|error| failure(error.exit_code(), error))?;
        let image = |(index, pixels): (usize, &[u8])| Image {
            path: path.to_owned(),
            index: Some(index),
            picture: None,
            pixels: pixels.to_vec(),
        };
        return Ok(pixels.chunks_exact(PIXELS).enumerate().map(image).collect());
    }
    let name = path.display();
    let read = picture::read(&bytes).map_err(|error| match error {
        picture::Error::Format => anyhow!("`{name}` is no picture that can be read, and no IDX file; save it as PNG"),
        error => anyhow!("`{name}` cannot be used: {error}"),
    });
    let picture = read.or_exit(Code::Data)?;
    let digit = picture::digit(&picture);
    let pixels = digit.with_context(|| format!("`{name}` is blank: there is no ink on it")).or_exit(Code::Data)?;
    Ok(vec![Image { path: path.to_owned(), index: None, picture: Some(picture), pixels }])
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

fn line(image: &Image, probabilities: &[f64; CLASSES], width: usize) -> String {
    let ranked = ranked(probabilities);
    let percent = |class: usize| 100.0 * probabilities[class];
    let others = ranked[1..=RUNNERS_UP].iter().map(|&class| format!("{class} {:.2} %", percent(class)));
    let (best, others) = (ranked[0], others.collect::<Vec<_>>().join(", "));
    format!("{:<width$}  {best}  {:>6.2} %  then {others}", name(image), percent(best))
}

fn json_line(image: &Image, probabilities: &[f64; CLASSES]) -> String {
    let label = ranked(probabilities)[0];
    let mut object = json!({
        "file": image.path, "label": label, "probability": probabilities[label], "probabilities": probabilities,
    });
    if let Some(index) = image.index {
        object["index"] = index.into();
    }
    object.to_string()
}

fn name(image: &Image) -> String {
    match image.index {
        Some(index) => format!("{}[{index}]", image.path.display()),
        None => image.path.display().to_string(),
    }
}

/// Writes a picture of what the network saw.
fn explain(dir: &Path, image: &Image) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("failed to create `{}`", dir.display()))?;
    // Of the whole path, so that files of the same name in two folders do not meet.
    let name: String =
        name(image).chars().map(|c| if c.is_alphanumeric() || "-.".contains(c) { c } else { '_' }).collect();
    let seen = Picture::new(SIDE, SIDE, image.pixels.clone());
    let picture = picture::comparison(image.picture.as_ref().unwrap_or(&seen), &seen);
    disk::replace(&dir.join(format!("{}.png", name.trim_matches(['_', '.']))), &picture.png())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_the_digit_and_the_runners_up() {
        let image = Image { path: "a/3.png".into(), index: None, picture: None, pixels: Vec::new() };
        let mut probabilities = [0.0; CLASSES];
        (probabilities[3], probabilities[8], probabilities[5]) = (0.98765, 0.01, 0.00235);
        assert_eq!(line(&image, &probabilities, 9), "a/3.png    3   98.77 %  then 8 1.00 %, 5 0.24 %");
    }
}
