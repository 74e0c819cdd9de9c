//! A turn is one go of every contestant of a kind, one after the other. Turns are repeated, so that each contestant is
//! measured under the same conditions as the others, whatever else the machine does meanwhile.

use anyhow::Context;

use crate::series::{Series, Unit};

pub(crate) struct Contestant<'a> {
    pub(crate) name: String,
    measure: Box<dyn FnMut() -> anyhow::Result<Vec<Series>> + 'a>,
}

impl<'a> Contestant<'a> {
    /// One that shows several quantities, of the same names in each turn and with one value each.
    pub(crate) fn new(
        name: impl Into<String>,
        measure: impl FnMut() -> anyhow::Result<Vec<Series>> + 'a,
    ) -> Contestant<'a> {
        Contestant { name: name.into(), measure: Box::new(measure) }
    }

    /// One that shows a single quantity, under its own name.
    pub(crate) fn of(
        name: impl Into<String>,
        unit: Unit,
        mut measure: impl FnMut() -> anyhow::Result<f64> + 'a,
    ) -> Contestant<'a> {
        let name = name.into();
        let figure = name.clone();
        Contestant::new(name, move || Ok(vec![Series::one(&figure, unit, measure()?)]))
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    pub(crate) series: Vec<Series>,
}

impl Results {
    pub(crate) fn get(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.name == name)
    }

    /// How many times the second series the first is, if both took part.
    pub(crate) fn ratio(&self, name: &str, over: &str) -> Option<Series> {
        Some(self.get(name)?.over(self.get(over)?))
    }

    fn add(&mut self, shown: Series) {
        match self.series.iter_mut().find(|series| series.name == shown.name) {
            Some(series) => series.values.extend(shown.values),
            None => self.series.push(shown),
        }
    }
}

/// Lets the contestants take so many turns, and says on stderr how they do.
pub(crate) fn take(turns: u32, contestants: &mut [Contestant<'_>]) -> anyhow::Result<Results> {
    let mut results = Results::default();
    for turn in 1..=turns {
        for contestant in &mut *contestants {
            let shown = (contestant.measure)().with_context(|| format!("{}, turn {turn}", contestant.name))?;
            for series in shown {
                let (name, value) = (&series.name, series.unit.show(series.median()));
                torture::progress(&format!("turn {turn} of {turns}: {name}: {value}"));
                results.add(series);
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
