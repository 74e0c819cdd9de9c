//! One bar of parts beside each other.

use maud::{Markup, html};

use crate::number;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 34.0;
/// A seam between two parts, in the colour of the page.
const SEAM: f64 = 3.0;

/// A bar of these parts (names and seconds), as long as they are together, over a list of what they are.
pub fn stacked_bar(id: &str, title: &str, parts: &[(String, f64)]) -> Markup {
    let parts: Vec<(usize, &str, f64)> = parts
        .iter()
        .enumerate()
        .filter(|(_, (_, seconds))| seconds.is_finite() && *seconds > 0.0)
        .map(|(index, (name, seconds))| (index, name.as_str(), *seconds))
        .collect();
    let total: f64 = parts.iter().map(|(_, _, seconds)| seconds).sum();
    let mut places = Vec::new();
    let mut left = 0.0;
    for (index, _, seconds) in &parts {
        let width = WIDTH * seconds / total;
        places.push((*index, left, (width - SEAM).max(1.0)));
        left += width;
    }
    let described = parts.iter().map(|(_, name, seconds)| format!("{name} {}", number::seconds(*seconds)));
    let (title_id, description) = (format!("{id}-title"), format!("{id}-description"));
    html! {
        svg class="bar" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img"
            aria-labelledby=(title_id) aria-describedby=(description) {
            title id=(title_id) { (title) }
            desc id=(description) { (described.collect::<Vec<_>>().join(", ")) }
            @for (index, x, width) in &places {
                rect class=(format!("p{}", index % 8)) x=(format!("{x:.1}")) y="0" width=(format!("{width:.1}")) height=(HEIGHT) {}
            }
        }
        ul class="parts" {
            @for (index, name, seconds) in &parts {
                li {
                    span class=(format!("swatch p{}", index % 8)) aria-hidden="true" {}
                    span { (name) } " "
                    b { (number::seconds(*seconds)) } " "
                    span class="quiet" { (format!("{:.0} %", 100.0 * seconds / total)) }
                }
            }
        }
    }
}
