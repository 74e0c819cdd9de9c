//! `trainer evaluate`: how good a model is on a test set, whether we trained it or PyTorch did.

use std::path::Path;

use model::{Evaluation, measure};
use process::{exit::Code, file};
use sample::CLASSES;
use terminal::count;

use super::model_file::ModelFile;
use crate::{data::test_set, output};

/// Evaluates a model file, or a run folder's final model or else its newest checkpoint, and says the result on stdout. What
/// each image scores goes into the file `logits`, if one is named.
///
/// # Errors
/// When there is no such model, or the test set is missing or damaged; when none was named, and the usual one is of another
/// dataset than the model was trained on; when `logits` cannot be written.
pub fn run(model: &Path, test_data: Option<&Path>, logits: Option<&Path>) -> anyhow::Result<()> {
    let ModelFile { path, weights, metadata } = ModelFile::read(model)?;
    let trained_on = metadata.get("dataset").map(String::as_str);
    let dir = test_data.map_or_else(|| dataset::default_dir(trained_on.unwrap_or("mnist")), Path::to_owned);
    let test_set = test_set::load(&dir)?;
    let other = trained_on.filter(|name| *name != test_set.name);
    if let (Some(trained_on), None) = (other, test_data) {
        fail!(
            Code::Data,
            "model `{}` was trained on dataset `{trained_on}`, but the test set in `{}` belongs to `{}`; name the \
             folder of the one to measure by with --test-data",
            path.display(),
            dir.display(),
            test_set.name
        );
    }
    let scores = model::logits(&weights, &test_set.samples.images);
    let Evaluation { n, correct, loss, .. } = measure(&scores, &test_set.samples.labels);
    if let Some(path) = logits {
        file::write(path, csv(&test_set.samples.labels, &scores).as_bytes())?;
    }
    let accuracy = 100.0 * correct as f64 / n as f64;
    let foreign = other.map(|name| format!("; the model was trained on `{name}`")).unwrap_or_default();
    output::say(&format!(
        "model          {}\n\
         model SHA-256  {}\n\
         test set       {}, {}{foreign}\n\
         test SHA-256   {}\n\
         test loss      {loss:.4}\n\
         test accuracy  {accuracy:.2} %",
        path.display(),
        weights.sha256(),
        test_set.name,
        count(n, "sample"),
        hex::encode(test_set.digest()),
    ));
    Ok(())
}

/// A row for each image, after a line of headings. A score read back is the same to the bit.
fn csv(labels: &[u8], scores: &[[f32; CLASSES]]) -> String {
    let headings = (0..CLASSES).map(|class| format!(",logit_{class}"));
    let mut text = format!("label{}\n", headings.collect::<String>());
    for (label, scores) in labels.iter().zip(scores) {
        let scores = scores.map(|score| format!(",{score}")).concat();
        text += &format!("{label}{scores}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_written_to_the_last_bit() {
        let scores = [0.1, -2.5, 1e-7, f32::MIN_POSITIVE, 0.0, 1.0, 2.0, 16_777_216.0, 0.3, f32::MAX];
        let text = csv(&[7], &[scores]);
        let (headings, row) = text.trim_end().split_once('\n').unwrap();
        assert!(headings.starts_with("label,logit_0,") && headings.ends_with(",logit_9"), "{headings}");
        let (label, row) = row.split_once(',').unwrap();
        let back: Vec<f32> = row.split(',').map(|score| score.parse().unwrap()).collect();
        assert_eq!((label, &back[..]), ("7", &scores[..]));
    }
}
