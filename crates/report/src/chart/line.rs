//! Lines over an axis, each with its name at its end.

use maud::{Markup, html};

use super::Scale;
use crate::number;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 206.0;
/// Between the names of two lines, so that both can be read.
const LINE_HEIGHT: f64 = 16.0;
/// Of a letter, nearly.
const LETTER: f64 = 6.6;
/// Marks on more points than these would run into each other.
const MARKS: usize = 24;

/// One line.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// What it is; empty for one of many that go without a name.
    pub name: String,
    /// The style sheet's class for its colour.
    pub class: String,
    /// Its points; those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// A chart of lines.
#[derive(Clone, Debug, Default)]
pub struct LineChart<'a> {
    /// Names the picture; unique within a page, also its identifier's beginning.
    pub id: &'a str,
    /// A name for who does not see it.
    pub title: &'a str,
    /// What is to be seen, in a sentence.
    pub description: &'a str,
    /// What the horizontal axis measures, with its unit.
    pub x: &'a str,
    /// Added to each number of the vertical axis.
    pub unit: &'a str,
    /// Whether the horizontal axis counts rounds.
    pub rounds: bool,
    /// Whether the vertical axis begins at nought.
    pub from_zero: bool,
    /// The lines.
    pub lines: Vec<Line>,
    /// Where upright rules stand on the horizontal axis; those that are not on it are left out.
    pub rules: Vec<f64>,
}

impl LineChart<'_> {
    /// The picture.
    pub fn svg(&self) -> Markup {
        let all = || self.lines.iter().flat_map(|line| &line.points).filter(|(x, y)| x.is_finite() && y.is_finite());
        let drawn = self.lines.iter().filter(|line| !line.points.is_empty());
        let longest = drawn.map(|line| line.name.chars().count()).max().unwrap_or(0) as f64;
        let right = WIDTH - (longest * LETTER + 16.0).clamp(16.0, 150.0);
        let x = if self.rounds {
            let numbers = || all().map(|(x, _)| *x as u32);
            Scale::whole(numbers().min().unwrap_or(1), numbers().max().unwrap_or(1), LEFT + 8.0, right, 6)
        } else {
            Scale::around(all().map(|(x, _)| *x).chain([0.0]), LEFT + 8.0, right, 5)
        };
        let zero = self.from_zero.then_some(0.0);
        let y = Scale::around(all().map(|(_, y)| *y).chain(zero), BOTTOM, TOP, 4);
        let (title, description) = (format!("{}-title", self.id), format!("{}-description", self.id));
        html! {
            svg class="chart" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
                aria-labelledby=(title) aria-describedby=(description) {
                title id=(title) { (self.title) }
                desc id=(description) { (self.description) }
                (self.axes(x, y, right))
                @for at in self.rules.iter().map(|rule| x.at(*rule)).filter(|at| (LEFT..=right).contains(at)) {
                    line class="event" x1=(px(at)) x2=(px(at)) y1=(px(TOP)) y2=(px(BOTTOM)) {}
                }
                @for line in &self.lines { (self.curve(line, x, y)) }
                @for (line, at) in self.lines.iter().zip(self.label_places(y)) {
                    @if let Some(at) = at {
                        text class=(format!("name {}", line.class)) x=(px(end_of(line, x) + 10.0)) y=(px(at + 4.0)) { (line.name) }
                    }
                }
            }
        }
    }

    fn axes(&self, x: Scale, y: Scale, right: f64) -> Markup {
        html! {
            g class="axis" {
                @for tick in y.ticks() {
                    line class="grid" x1=(px(LEFT)) x2=(px(right)) y1=(px(y.at(tick))) y2=(px(y.at(tick))) {}
                    text x=(px(LEFT - 7.0)) y=(px(y.at(tick) + 4.0)) text-anchor="end" {
                        (grouped(tick, y.decimals())) (self.unit)
                    }
                }
                @for tick in x.ticks() {
                    line class="tick" x1=(px(x.at(tick))) x2=(px(x.at(tick))) y1=(px(BOTTOM + 4.0)) y2=(px(BOTTOM + 8.0)) {}
                    text x=(px(x.at(tick))) y=(px(BOTTOM + 22.0)) text-anchor="middle" { (grouped(tick, x.decimals())) }
                }
                text x=(px((LEFT + 8.0 + right) / 2.0)) y=(px(BOTTOM + 40.0)) text-anchor="middle" { (self.x) }
            }
        }
    }

    /// Where the name of each line is written: at its end, but clear of the names above.
    fn label_places(&self, y: Scale) -> Vec<Option<f64>> {
        let mut places: Vec<Option<f64>> = vec![None; self.lines.len()];
        let end = |line: &Line| Some(y.at(line.points.iter().rev().find(|(_, y)| y.is_finite())?.1));
        let mut ends: Vec<(usize, f64)> = self
            .lines
            .iter()
            .enumerate()
            .filter(|(_, line)| !line.name.is_empty())
            .filter_map(|(index, line)| Some((index, end(line)?)))
            .collect();
        ends.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut free = f64::NEG_INFINITY;
        for (_, at) in &mut ends {
            *at = at.max(free);
            free = *at + LINE_HEIGHT;
        }
        // What was pushed out at the bottom pushes back.
        let mut limit = BOTTOM + LINE_HEIGHT;
        for (index, at) in ends.into_iter().rev() {
            let at = at.min(limit);
            limit = at - LINE_HEIGHT;
            places[index] = Some(at);
        }
        places
    }

    /// A line, with marks where its points are rounds.
    fn curve(&self, line: &Line, x: Scale, y: Scale) -> Markup {
        let points: Vec<(f64, f64)> = line
            .points
            .iter()
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .map(|&(a, b)| (x.at(a), y.at(b)))
            .collect();
        let path: Vec<String> = points.iter().map(|&(x, y)| format!("{},{}", px(x), px(y))).collect();
        html! {
            @if points.len() > 1 { polyline class=(format!("line {}", line.class)) points=(path.join(" ")) {} }
            @if self.rounds && points.len() <= MARKS && (points.len() == 1 || !line.name.is_empty()) {
                @for (x, y) in &points { circle class=(format!("mark {}", line.class)) cx=(px(*x)) cy=(px(*y)) r="3" {} }
            }
        }
    }
}

/// Where a line ends, which may be before the axis does.
fn end_of(line: &Line, x: Scale) -> f64 {
    line.points.iter().rev().find(|(_, y)| y.is_finite()).map_or(LEFT, |&(end, _)| x.at(end))
}

fn grouped(tick: f64, decimals: usize) -> String {
    if decimals == 0 && (0.0..1e15).contains(&tick) {
        number::count(tick as u64)
    } else {
        number::fixed(tick, decimals)
    }
}

/// A tenth of a pixel is finer than anybody sees.
fn px(place: f64) -> String {
    format!("{place:.1}")
}
