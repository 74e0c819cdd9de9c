//! Charts as SVG within a page: lines over an axis, and one stacked bar. Each has a name and a description for who does
//! not see it, and labels at its lines in place of a legend.

mod bar;
mod line;
mod scale;

pub use bar::stacked_bar;
pub use line::{Line, LineChart};
pub use scale::Scale;
