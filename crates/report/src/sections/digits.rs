//! What the final model made of the test set, digit by digit, and what its first layer looks for.

use maud::{Markup, html};
use picture::Picture;

use super::{image, numbers};
use crate::{CLASSES, Report, Test, Wrong, number};

/// The side of a sample in pixels.
const SIDE: usize = 28;

pub(super) fn confusion(report: &Report) -> Markup {
    let Some(Test { confusion, .. }) = &report.test else { return html! {} };
    let most = (0..CLASSES)
        .flat_map(|label| (0..CLASSES).filter(move |&taken| taken != label).map(move |taken| (label, taken)));
    let most = most.map(|(label, taken)| confusion[label][taken]).max().unwrap_or(0).max(1);
    // The root shows a single mistake beside fifty.
    let shade = |mistakes: u64| (100.0 * (mistakes as f64 / most as f64).sqrt()).round();
    let rows: Vec<Vec<String>> = (0..CLASSES).map(|digit| scores(confusion, digit)).collect();
    let heads = ["digit", "images", "precision", "recall"].map(String::from);
    super::section(
        "confusion",
        "Which digits are taken for which",
        html! {
            div class="wide-beside" {
                figure {
                    figcaption { b { "Confusion" } ", rows: what it is, columns: what it was taken for" }
                    div class="scroll" role="region" tabindex="0" aria-label="Confusion matrix" {
                        table class="matrix" {
                            caption class="hidden" { "Number of test images by digit (row) and prediction (column)" }
                            thead { tr { td {} @for taken in 0..CLASSES { th scope="col" { (taken) } } } }
                            tbody {
                                @for (label, row) in confusion.iter().enumerate() {
                                    tr {
                                        th scope="row" { (label) }
                                        @for (taken, &images) in row.iter().enumerate() {
                                            @if taken == label { td class="right" { (images) } }
                                            @else if images == 0 { td class="none" { "0" } }
                                            @else if shade(images) > 60.0 {
                                                td class="miss deep" style=(format!("--shade:{}%", shade(images))) { (images) }
                                            }
                                            @else { td class="miss" style=(format!("--shade:{}%", shade(images))) { (images) } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                    p class="remark" { "Shade: the square root of the number of mistakes. The diagonal is right." }
                }
                figure {
                    figcaption { b { "Precision and recall" } ", digit by digit" }
                    (super::table("Precision and recall by digit", &heads, &rows))
                }
            }
        },
    )
}

/// A digit's row: how many there are, how many of those taken for it are it, how many of it are found.
fn scores(confusion: &[[u64; CLASSES]; CLASSES], digit: usize) -> Vec<String> {
    let right = confusion[digit][digit];
    let is: u64 = confusion[digit].iter().sum();
    let taken: u64 = confusion.iter().map(|row| row[digit]).sum();
    let share = |of: u64| number::percent(right as f64 / of as f64);
    vec![digit.to_string(), number::count(is), share(taken), share(is)]
}

pub(super) fn wrong(report: &Report) -> Markup {
    let Some(Test { wrong, confusion }) = &report.test else { return html! {} };
    let all: u64 = confusion.as_flattened().iter().sum();
    let right: u64 = (0..CLASSES).map(|digit| confusion[digit][digit]).sum();
    let rows: Vec<Vec<String>> = wrong.iter().map(wrong_row).collect();
    let heads = ["test image", "it is", "taken for", "probability"].map(String::from);
    super::section(
        "wrong",
        "Wrong, and sure of it",
        html! {
            @if wrong.is_empty() {
                p class="remark" { "Not one of " (number::count(all)) " test images is taken for another digit." }
            } @else {
                p class="remark" {
                    (number::count(all - right)) " of " (number::count(all)) " test images are taken for another digit. These "
                    (wrong.len()) " are those of which the model was surest."
                }
                ul class="gallery" {
                    @for sample in wrong.iter().filter(|sample| sample.pixels.len() == SIDE * SIDE) {
                        li { (specimen(sample)) }
                    }
                }
                (numbers("Mistakes, the surest first", &heads, &rows))
            }
        },
    )
}

fn specimen(sample: &Wrong) -> Markup {
    let Wrong { index, pixels, label, predicted, probability } = sample;
    let text = format!("Test image {index}: a {label} that was taken for a {predicted}");
    // Ink is dark on paper.
    let pixels = pixels.iter().map(|pixel| 255 - pixel).collect();
    html! {
        (image(&Picture::new(SIDE, SIDE, pixels), "digit", &text))
        p { b { (label) } " taken for " b class="taken" { (predicted) } }
        p class="quiet" { (number::percent(*probability)) " sure" }
    }
}

fn wrong_row(sample: &Wrong) -> Vec<String> {
    let Wrong { index, label, predicted, probability, .. } = sample;
    vec![index.to_string(), label.to_string(), predicted.to_string(), number::percent(*probability)]
}

pub(super) fn filters(report: &Report) -> Markup {
    let strongest =
        report.filters.iter().flatten().filter(|weight| weight.is_finite()).fold(0f32, |a, b| a.max(b.abs()));
    if strongest == 0.0 {
        return html! {};
    }
    let grey = |weight: &f32| (127.5 + 127.5 * weight / strongest).clamp(0.0, 255.0) as u8;
    let heads = super::row("filter", (1..=9).map(|place| format!("w{place}")));
    let row = |(index, filter): (usize, &[f32; 9])| {
        super::row(index + 1, filter.iter().map(|&weight| number::fixed(weight.into(), 3)))
    };
    let rows: Vec<Vec<String>> = report.filters.iter().enumerate().map(row).collect();
    super::section(
        "filters",
        "What the first layer looks for",
        html! {
            p class="remark" {
                "Its " (report.filters.len()) " filters of three by three pixels. Bright: ink adds to the filter's answer; dark: ink \
                 takes away from it. All are drawn on one scale, from −" (number::fixed(strongest.into(), 2)) " to "
                (number::fixed(strongest.into(), 2)) "; mid-grey is nought."
            }
            ul class="filters" {
                @for (index, filter) in report.filters.iter().enumerate() {
                    li { (image(&Picture::new(3, 3, filter.iter().map(grey).collect()), "filter", &format!("Filter {}", index + 1))) }
                }
            }
            (numbers("Weights of the first layer, row by row from the top left", &heads, &rows))
        },
    )
}
