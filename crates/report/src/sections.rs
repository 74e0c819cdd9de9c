//! The page from top to bottom: what matters most comes first.

mod comparison;
mod digits;
mod live;
mod rounds;
mod time;

use base64::{Engine, prelude::BASE64_STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use picture::Picture;

use crate::{Report, STYLE, number};

pub(crate) fn page(report: &Report) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (report.name) " – Tributary" }
                // Without one in the page, a browser asks a server for it.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) (PreEscaped(include_str!("report.css"))) }
            }
            body {
                a class="skip" href="#main" { "Skip to the figures" }
                (head(report))
                main id="main" tabindex="-1" {
                    (comparison::section(report))
                    (rounds::section(report))
                    (digits::confusion(report))
                    (digits::wrong(report))
                    (rounds::partitions(report))
                    (time::section(report))
                    (digits::filters(report))
                    (settings(report))
                }
                footer { p { "Made by Tributary from the files of the run. This page is one file and loads nothing." } }
            }
        }
    }
}

fn head(report: &Report) -> Markup {
    let n_test = report.test.as_ref().map(|test| test.confusion.as_flattened().iter().sum::<u64>());
    html! {
        header {
            p class="over" { "Tributary · run " (report.name) }
            @for note in &report.notes { p class="note" role="note" { (note) } }
            @match report.rounds.last() {
                None => h1 { "No round was trained" },
                Some(last) => {
                    h1 {
                        span class="figure" { (number::percent(last.test_accuracy)) }
                        span class="what" {
                            "test accuracy"
                            @if let Some(n) = n_test { ", on " (number::count(n)) " images never trained on" }
                        }
                    }
                    dl class="headline" {
                        (headline("test loss", &number::fixed(last.test_loss, 4)))
                        @if let Some(share) = report.received_accuracy {
                            (headline("received accuracy", &number::percent(share)))
                        }
                        @if let Some(share) = report.prequential_accuracy {
                            (headline("prequential accuracy", &number::percent(share)))
                        }
                        (headline("trained on", &number::samples(report.n_samples)))
                        (headline("rounds", &last.round.to_string()))
                        (headline("receiving and training", &number::seconds(report.seconds)))
                    }
                }
            }
            (facts(report))
        }
    }
}

fn headline(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn facts(report: &Report) -> Markup {
    html! {
        dl class="facts" {
            @for (name, value) in &report.facts {
                div {
                    dt { (name) }
                    @if name == "command" || name.contains("SHA") || name.contains("digest") {
                        dd { code { (value) } }
                    } @else { dd { (value) } }
                }
            }
        }
    }
}

/// A section with its heading, named by it.
fn section(id: &str, heading: &str, content: Markup) -> Markup {
    let heading_id = format!("{id}-heading");
    html! {
        section aria-labelledby=(heading_id) {
            h2 id=(heading_id) { (heading) }
            (content)
        }
    }
}

/// A chart under its caption, over the numbers that it is drawn from.
fn figure(caption: &str, chart: Markup, numbers: Markup) -> Markup {
    html! {
        figure {
            figcaption { (caption) }
            (chart)
            (numbers)
        }
    }
}

/// A table that opens when it is wanted, and scrolls by itself where it is wider than the page.
fn numbers(what: &str, heads: &[String], rows: &[Vec<String>]) -> Markup {
    html! {
        details {
            summary { "Numbers" span class="hidden" { ": " (what) } }
            (table(what, heads, rows))
        }
    }
}

fn table(what: &str, heads: &[String], rows: &[Vec<String>]) -> Markup {
    html! {
        div class="scroll" role="region" tabindex="0" aria-label=(what) {
            table {
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (index, cell) in row.iter().enumerate() {
                                @if index == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A table's row of this name.
fn row(name: impl ToString, cells: impl IntoIterator<Item = String>) -> Vec<String> {
    [name.to_string()].into_iter().chain(cells).collect()
}

/// A picture within the page.
fn image(picture: &Picture, class: &str, text: &str) -> Markup {
    let source = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(picture.png()));
    html! { img class=(class) src=(source) alt=(text) width=(picture.width()) height=(picture.height()); }
}

fn settings(report: &Report) -> Markup {
    if report.settings.is_empty() {
        return html! {};
    }
    let rows: Vec<Vec<String>> =
        report.settings.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
    section(
        "settings",
        "Settings",
        html! {
            details {
                summary { "All " (rows.len()) " values in effect" }
                (table("All values in effect", &["setting", "value"].map(String::from), &rows))
            }
        },
    )
}
