//! `--strategy`: how the updates of a round become the next global model. A strategy is written with its hyper-parameters,
//! `fedadam:eta=0.02,tau=0.001`, each by the name that it has in the strategy's paper; those left out have the paper's values.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// A strategy and its hyper-parameters. The trainer's `round::strategy` says what each does, and from which paper it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strategy {
    /// The average.
    FedAvg,
    /// The average, with momentum.
    FedAvgM {
        /// Momentum.
        beta: f64,
        /// The server's learning rate.
        eta: f64,
    },
    /// Adagrad on the averages.
    FedAdagrad(Adaptive),
    /// Adam on the averages.
    FedAdam(Adaptive),
    /// Yogi on the averages.
    FedYogi(Adaptive),
    /// Nesterov's momentum on the averages.
    DiLoCo {
        /// The outer learning rate.
        eta: f64,
        /// Momentum.
        mu: f64,
    },
    /// The median of each weight.
    Median,
    /// The average of each weight without its extremes.
    TrimmedMean {
        /// The share of the updates that is left out at either end.
        beta: f64,
    },
    /// The update that is nearest to the others.
    Krum {
        /// Updates that may be anything at all.
        f: u32,
    },
    /// The average of the updates that are nearest to the others.
    MultiKrum {
        /// Updates that may be anything at all.
        f: u32,
        /// Updates that are averaged; all but `f`, if it is not given.
        m: Option<u32>,
    },
}

/// The hyper-parameters of an adaptive server optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    /// The server's learning rate.
    pub eta: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment; Adagrad has none.
    pub beta2: f64,
    /// How adaptive it is: the larger, the less.
    pub tau: f64,
}

const NAMES: &str = "fedavg, fedavgm, fedadagrad, fedadam, fedyogi, diloco, median, trimmed-mean, krum, multi-krum";

impl Strategy {
    /// How many partitions it needs.
    pub fn needs(&self) -> u32 {
        let (f, m) = match *self {
            Strategy::Krum { f } => (f, None),
            Strategy::MultiKrum { f, m } => (f, m),
            _ => return 1,
        };
        // Blanchard et al. 2017: 2f + 2 < n.
        f.saturating_mul(2).saturating_add(3).max(m.unwrap_or(0))
    }

    /// Whether so many partitions are enough for it.
    ///
    /// # Errors
    /// Saying how many it needs.
    pub fn check(&self, partitions: u32) -> Result<(), String> {
        let needed = self.needs();
        if partitions < needed {
            return Err(format!(
                "--strategy {self} needs at least {needed} partitions, and there are {partitions}; give more --partitions"
            ));
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        match self {
            Strategy::FedAvg => "fedavg",
            Strategy::FedAvgM { .. } => "fedavgm",
            Strategy::FedAdagrad(_) => "fedadagrad",
            Strategy::FedAdam(_) => "fedadam",
            Strategy::FedYogi(_) => "fedyogi",
            Strategy::DiLoCo { .. } => "diloco",
            Strategy::Median => "median",
            Strategy::TrimmedMean { .. } => "trimmed-mean",
            Strategy::Krum { .. } => "krum",
            Strategy::MultiKrum { .. } => "multi-krum",
        }
    }
}

/// With every hyper-parameter, also those that were not given.
impl fmt::Display for Strategy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())?;
        match self {
            Strategy::FedAvg | Strategy::Median => Ok(()),
            Strategy::FedAvgM { beta, eta } => write!(out, ":beta={beta},eta={eta}"),
            Strategy::FedAdagrad(Adaptive { eta, beta1, tau, .. }) => write!(out, ":eta={eta},beta1={beta1},tau={tau}"),
            Strategy::FedAdam(Adaptive { eta, beta1, beta2, tau })
            | Strategy::FedYogi(Adaptive { eta, beta1, beta2, tau }) => {
                write!(out, ":eta={eta},beta1={beta1},beta2={beta2},tau={tau}")
            }
            Strategy::DiLoCo { eta, mu } => write!(out, ":eta={eta},mu={mu}"),
            Strategy::TrimmedMean { beta } => write!(out, ":beta={beta}"),
            Strategy::Krum { f } | Strategy::MultiKrum { f, m: None } => write!(out, ":f={f}"),
            Strategy::MultiKrum { f, m: Some(m) } => write!(out, ":f={f},m={m}"),
        }
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let mut given = Given::parse(rest)?;
        let strategy = match name {
            "fedavg" => Strategy::FedAvg,
            "fedavgm" => Strategy::FedAvgM { beta: given.fraction("beta", 0.9)?, eta: given.positive("eta", 1.0)? },
            "fedadagrad" => Strategy::FedAdagrad(Adaptive { beta2: 0.0, ..given.adaptive(0.0, None)? }),
            "fedadam" => Strategy::FedAdam(given.adaptive(0.9, Some(0.99))?),
            "fedyogi" => Strategy::FedYogi(given.adaptive(0.9, Some(0.99))?),
            "diloco" => Strategy::DiLoCo { eta: given.positive("eta", 0.7)?, mu: given.fraction("mu", 0.9)? },
            "median" => Strategy::Median,
            "trimmed-mean" => Strategy::TrimmedMean { beta: given.below("beta", 0.2, 0.5)? },
            "krum" => Strategy::Krum { f: given.count("f")?.unwrap_or(1) },
            "multi-krum" => Strategy::MultiKrum { f: given.count("f")?.unwrap_or(1), m: given.count("m")? },
            _ => return Err(format!("`{name}` is no strategy; give one of {NAMES}")),
        };
        match given.0.first() {
            Some((key, _)) => Err(format!("{name} has no `{key}`; written out it is {strategy}")),
            None => Ok(strategy),
        }
    }
}

impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Hyper-parameters as they were typed, of which none has been taken yet.
struct Given<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Given<'a> {
    fn parse(text: Option<&'a str>) -> Result<Self, String> {
        let pair = |pair: &'a str| {
            pair.split_once('=').ok_or_else(|| format!("`{pair}` is no hyper-parameter; write it as eta=0.1"))
        };
        let pairs: Vec<_> = text.into_iter().flat_map(|text| text.split(',')).map(pair).collect::<Result<_, _>>()?;
        match pairs.iter().enumerate().find(|(at, (key, _))| pairs[..*at].iter().any(|(earlier, _)| earlier == key)) {
            Some((_, (key, _))) => Err(format!("`{key}` is given twice")),
            None => Ok(Self(pairs)),
        }
    }

    fn take<T: FromStr>(&mut self, key: &str, is_good: impl Fn(&T) -> bool, what: &str) -> Result<Option<T>, String> {
        let Some(at) = self.0.iter().position(|(given, _)| *given == key) else { return Ok(None) };
        let (_, text) = self.0.remove(at);
        let value = text.parse().ok().filter(is_good);
        value.map(Some).ok_or_else(|| format!("`{key}={text}`: give {what}"))
    }

    fn positive(&mut self, key: &str, default: f64) -> Result<f64, String> {
        let is_good = |value: &f64| *value > 0.0 && value.is_finite();
        Ok(self.take(key, is_good, "a positive number")?.unwrap_or(default))
    }

    /// From 0 to below this.
    fn below(&mut self, key: &str, default: f64, end: f64) -> Result<f64, String> {
        let is_good = |value: &f64| (0.0..end).contains(value);
        Ok(self.take(key, is_good, &format!("a number from 0 to below {end}"))?.unwrap_or(default))
    }

    fn fraction(&mut self, key: &str, default: f64) -> Result<f64, String> {
        self.below(key, default, 1.0)
    }

    fn count(&mut self, key: &str) -> Result<Option<u32>, String> {
        self.take(key, |count| *count > 0, "a whole number, at least 1")
    }

    /// Reddi et al. 2020, section 5; they tune eta for each task, and this one is ours.
    fn adaptive(&mut self, beta1: f64, beta2: Option<f64>) -> Result<Adaptive, String> {
        Ok(Adaptive {
            eta: self.positive("eta", 0.01)?,
            beta1: self.fraction("beta1", beta1)?,
            beta2: beta2.map_or(Ok(0.0), |beta2| self.fraction("beta2", beta2))?,
            tau: self.positive("tau", 0.001)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_is_written_out_with_its_papers_values_and_read_again() {
        for (typed, whole) in [
            ("fedavg", "fedavg"),
            ("fedavgm", "fedavgm:beta=0.9,eta=1"),
            ("fedavgm:eta=0.5", "fedavgm:beta=0.9,eta=0.5"),
            ("fedadagrad", "fedadagrad:eta=0.01,beta1=0,tau=0.001"),
            ("fedadam:tau=1e-9,eta=0.1", "fedadam:eta=0.1,beta1=0.9,beta2=0.99,tau=0.000000001"),
            ("fedyogi:beta2=0.999", "fedyogi:eta=0.01,beta1=0.9,beta2=0.999,tau=0.001"),
            ("diloco", "diloco:eta=0.7,mu=0.9"),
            ("median", "median"),
            ("trimmed-mean", "trimmed-mean:beta=0.2"),
            ("krum", "krum:f=1"),
            ("multi-krum:f=2", "multi-krum:f=2"),
            ("multi-krum:m=3", "multi-krum:f=1,m=3"),
        ] {
            let strategy: Strategy = typed.parse().unwrap();
            assert_eq!(strategy.to_string(), whole);
            assert_eq!(whole.parse(), Ok(strategy));
        }
    }

    #[test]
    fn what_is_no_strategy_is_said() {
        let names = format!("; give one of {NAMES}");
        for (typed, expect) in [
            ("", &format!("`` is no strategy{names}")[..]),
            ("FedAvg", &format!("`FedAvg` is no strategy{names}")),
            ("fedavg:eta=1", "fedavg has no `eta`; written out it is fedavg"),
            (
                "fedadagrad:beta2=0.5",
                "fedadagrad has no `beta2`; written out it is fedadagrad:eta=0.01,beta1=0,tau=0.001",
            ),
            ("fedavgm:eta", "`eta` is no hyper-parameter; write it as eta=0.1"),
            ("fedavgm:", "`` is no hyper-parameter; write it as eta=0.1"),
            ("fedavgm:eta=1,eta=2", "`eta` is given twice"),
            ("fedavgm:eta=0", "`eta=0`: give a positive number"),
            ("fedavgm:eta=inf", "`eta=inf`: give a positive number"),
            ("fedavgm:beta=1", "`beta=1`: give a number from 0 to below 1"),
            ("trimmed-mean:beta=0.5", "`beta=0.5`: give a number from 0 to below 0.5"),
            ("trimmed-mean:beta=NaN", "`beta=NaN`: give a number from 0 to below 0.5"),
            ("krum:f=0", "`f=0`: give a whole number, at least 1"),
            ("krum:m=2", "krum has no `m`; written out it is krum:f=1"),
        ] {
            assert_eq!(typed.parse::<Strategy>(), Err(expect.to_owned()));
        }
    }

    #[test]
    fn krum_needs_more_partitions_than_may_lie() {
        for (strategy, partitions, is_enough) in [
            ("krum", 4, false),
            ("krum", 5, true),
            ("krum:f=2", 6, false),
            ("multi-krum:f=2", 7, true),
            ("multi-krum:m=6", 5, false),
            ("multi-krum:m=6", 6, true),
            ("krum:f=4294967295", u32::MAX, true),
            ("median", 1, true),
            ("trimmed-mean", 1, true),
        ] {
            let strategy: Strategy = strategy.parse().unwrap();
            assert_eq!(strategy.check(partitions).is_ok(), is_enough, "{strategy} {partitions}");
        }
        assert_eq!(
            Strategy::Krum { f: 1 }.check(2).unwrap_err(),
            "--strategy krum:f=1 needs at least 5 partitions, and there are 2; give more --partitions"
        );
    }
}
