//! A turn is one go of every contestant of a kind, one after the other. Turns are repeated, so that each contestant is
//! measured under the same conditions as the others, whatever else the machine does meanwhile.

use std::io::Write;

use anyhow::Context;

use crate::series::{Series, Unit};

/// One who takes part, and how it is measured.
pub struct Contestant<'a> {
    /// What it is called.
    pub name: String,
    measure: Box<dyn FnMut() -> anyhow::Result<Vec<Figure>> + 'a>,
}

/// What a contestant shows in one turn.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Whose what.
    pub name: String,
    /// What the value is a number of.
    pub unit: Unit,
    /// The value.
    pub value: f64,
}

impl<'a> Contestant<'a> {
    /// One that shows several figures, of the same names in each turn.
    pub fn new(name: impl Into<String>, measure: impl FnMut() -> anyhow::Result<Vec<Figure>> + 'a) -> Contestant<'a> {
        Contestant { name: name.into(), measure: Box::new(measure) }
    }

    /// One that shows a single figure, under its own name.
    pub fn of(
        name: impl Into<String>,
        unit: Unit,
        mut measure: impl FnMut() -> anyhow::Result<f64> + 'a,
    ) -> Contestant<'a> {
        let name = name.into();
        let figure = name.clone();
        Contestant::new(name, move || Ok(vec![Figure { name: figure.clone(), unit, value: measure()? }]))
    }
}

/// What the contestants showed.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// One for each figure, in the order of the contestants.
    pub series: Vec<Series>,
}

impl Results {
    /// The series of this name, if the contestant took part.
    pub fn get(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.name == name)
    }

    /// How many times the second series the first is, if both took part.
    pub fn ratio(&self, name: &str, over: &str) -> Option<Series> {
        Some(self.get(name)?.over(self.get(over)?))
    }

    fn add(&mut self, figure: Figure) {
        let Figure { name, unit, value } = figure;
        match self.series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.values.push(value),
            None => self.series.push(Series { name, unit, values: vec![value] }),
        }
    }
}

/// Lets the contestants take so many turns, and says on stderr how they do.
///
/// # Errors
/// When one of them fails.
pub fn take(turns: u32, contestants: &mut [Contestant<'_>]) -> anyhow::Result<Results> {
    let mut results = Results::default();
    for turn in 1..=turns {
        for contestant in &mut *contestants {
            let figures = (contestant.measure)().with_context(|| format!("{}, turn {turn}", contestant.name))?;
            for figure in figures {
                let (name, value) = (&figure.name, figure.unit.show(figure.value));
                let _ = writeln!(std::io::stderr(), "turn {turn} of {turns}: {name}: {value}"); // Nobody may be watching.
                results.add(figure);
            }
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn contestants_take_turns_and_keep_their_own_figures() {
        let order = RefCell::new(Vec::new());
        let count = |name: &'static str| {
            let order = &order;
            Contestant::of(name, Unit::Seconds, move || {
                order.borrow_mut().push(name);
                Ok(order.borrow().len() as f64)
            })
        };
        let results = take(2, &mut [count("a"), count("b")]).unwrap();
        assert_eq!(*order.borrow(), ["a", "b", "a", "b"]);
        assert_eq!(results.get("b").unwrap().values, [2.0, 4.0]);
        assert_eq!(results.ratio("b", "a").unwrap().values, [2.0, 4.0 / 3.0]);
        assert_eq!(results.ratio("b", "absent"), None);
    }

    #[test]
    fn a_failure_names_the_contestant_and_its_turn() {
        let mut failing = [Contestant::of("ours", Unit::Seconds, || anyhow::bail!("no data"))];
        let error = take(3, &mut failing).unwrap_err();
        assert_eq!(format!("{error:#}"), "ours, turn 1: no data");
    }
}
