use super::*;

fn rounds(count: u32) -> Vec<Round> {
    let round = |round| Round {
        round,
        train_loss: 0.5 / f64::from(round),
        test_loss: 0.25 / f64::from(round),
        test_accuracy: 0.95 + 0.005 * f64::from(round),
        partitions: vec![(10, 0.5), (9, 0.4)],
        ..Round::default()
    };
    (1..=count).map(round).collect()
}

fn report(count: u32) -> Report {
    let mut confusion = [[0; CLASSES]; CLASSES];
    confusion[3][3] = 90;
    confusion[3][5] = 10;
    let wrong = Wrong { index: 7, pixels: vec![9; 784], label: 3, predicted: 5, probability: 0.875 };
    Report {
        name: "2026-01-31".into(),
        rounds: rounds(count),
        phases: vec![("streaming".into(), 2.0), ("training".into(), 6.0)],
        ingest: [(0.0, 0), (1.0, 1000), (2.0, 3000)].map(|(seconds, samples)| Point { seconds, samples }).into(),
        bytes_per_sample: 785,
        test: Some(Test { confusion, wrong: vec![wrong] }),
        filters: vec![[0.5, -0.5, 0.0, 0.1, 0.2, 0.3, 0.4, -0.1, -0.2]; 32],
        seconds: 8.0,
        ..Report::default()
    }
}

/// What no page may hold: numbers that are none.
#[track_caller]
fn check_numbers(html: &str) {
    let text = html.split("</style>").nth(1).unwrap();
    for bad in ["NaN", "inf\"", ">inf", "-inf"] {
        assert!(!text.contains(bad), "{bad}");
    }
}

#[test]
fn the_page_says_what_it_was_given() {
    let html = report(5).html();
    check_numbers(&html);
    for expect in ["97.50 %", "Test image 7: a 3 that was taken for a 5", "87.50 %", "75 %", "1,000", "10 samples"] {
        assert!(html.contains(expect), "{expect}");
    }
    assert_eq!(html.matches("<img").count(), 33);
    assert_eq!(html.matches("<img").count(), html.matches("alt=").count());
}

#[test]
fn a_hostile_name_stays_text() {
    let hostile = "<script>alert(\"1\")</script>'&".to_owned();
    let mut report = report(2);
    report.name = hostile.clone();
    report.facts = vec![(hostile.clone(), hostile.clone())];
    report.notes = vec![hostile.clone()];
    report.phases = vec![(hostile.clone(), 1.0)];
    report.settings = vec![(hostile.clone(), hostile.clone())];
    report.others =
        vec![Report { name: hostile.clone(), settings: vec![(hostile.clone(), "x".into())], ..Report::default() }];
    let html = report.html();
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;"));
}

#[test]
fn nothing_at_all_and_one_round_are_pages_too() {
    let html = Report::default().html();
    check_numbers(&html);
    assert!(html.contains("No round was trained"));
    let html = report(1).html();
    check_numbers(&html);
    assert!(html.contains("<circle"), "a line of one point is a mark");
}

#[test]
fn figures_that_are_no_numbers_are_left_out() {
    let mut report = report(3);
    report.rounds[1].test_loss = f64::NAN;
    report.rounds[2].test_accuracy = f64::INFINITY;
    report.rounds[2].partitions[0].1 = f64::NEG_INFINITY;
    report.ingest.push(Point { seconds: 2.0, samples: 5 });
    report.phases.push(("other".into(), f64::NAN));
    report.filters[0][0] = f32::NAN;
    report.test.as_mut().unwrap().wrong[0].pixels.truncate(3);
    check_numbers(&report.html());
}

#[test]
fn runs_are_compared_by_what_differs() {
    let mut report = report(3);
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    report.settings = vec![setting("seed", "41"), setting("rounds", "3")];
    let settings = vec![setting("seed", "43"), setting("rounds", "3")];
    report.others =
        vec![Report { name: "another".into(), rounds: rounds(2), settings, seconds: 5.0, ..Report::default() }];
    let html = report.html();
    check_numbers(&html);
    let differing = html.rsplit("Settings that differ").next().unwrap();
    let differing = differing.split("</section>").next().unwrap();
    assert!(differing.contains("<td>43</td>") && !differing.contains("rounds"), "{differing}");
    assert!(html.contains("2 runs side by side"));
}

#[test]
fn a_live_run_shows_its_slices_and_its_drifts() {
    let mut report = report(5);
    assert!(!report.html().contains("prequential") && report.html().contains("not measured"));
    report.prequential_accuracy = Some(0.875);
    for round in &mut report.rounds {
        let share = 0.125 * f64::from(round.round);
        let position = 2000 * u64::from(round.round);
        let (accuracy, kappa, fading_accuracy) = (share, share - 0.01, share - 0.02);
        round.prequential = Some(Prequential { position, accuracy, loss: 1.0 - share, kappa, fading_accuracy });
    }
    let html = report.html();
    check_numbers(&html);
    let row = ["10,000", "62.50 %", "0.3750", "0.6150", "60.50 %", "0"].map(|cell| format!("<td>{cell}</td>")).concat();
    for expect in ["prequential accuracy", &row, "saw no increase"] {
        assert!(html.contains(expect), "{expect}");
    }
    assert!(!html.contains("not measured") && !html.contains("class=\"event\""));

    report.rounds[3].drifts = vec![6500, 7001];
    report.rounds[0].prequential = None;
    let html = report.html();
    check_numbers(&html);
    assert!(html.contains("increase at samples 6,500 (round 4), 7,001 (round 4). In the charts"));
    assert_eq!(html.matches("class=\"event\"").count(), 2, "one rule in each chart, however many drifts a round has");
    report.rounds[4].drifts = (8000..8020).collect();
    assert!(report.html().contains(", and 16 more."));
}

#[test]
fn the_page_loads_nothing() {
    let html = report(2).html();
    for reference in html.split("src=\"").skip(1).chain(html.split("href=\"").skip(1)) {
        assert!(reference.starts_with("data:") || reference.starts_with('#'), "{reference:.40}");
    }
    assert!(!html.contains("http") && !html.contains("url(") && !html.contains("@import"));
}
