//! What a request asks for.

use hyper::{Method, StatusCode};

use crate::assets::{self, Asset};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A file of the page.
    Asset(&'static Asset),
    /// Which runs there are.
    Runs,
    /// Something of a run, by its number.
    Run(usize, OfRun),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OfRun {
    /// What happens in it.
    Events,
    /// Its report.
    Report,
    /// Which digits its model sees in a picture.
    Digits,
}

/// What is at this path, if it may be asked for in this way.
pub(crate) fn of(method: &Method, path: &str) -> Result<Route, StatusCode> {
    let (route, allowed) = at(path).ok_or(StatusCode::NOT_FOUND)?;
    if *method == allowed { Ok(route) } else { Err(StatusCode::METHOD_NOT_ALLOWED) }
}

fn at(path: &str) -> Option<(Route, Method)> {
    if let Some(asset) = assets::at(path) {
        return Some((Route::Asset(asset), Method::GET));
    }
    if path == "/runs" {
        return Some((Route::Runs, Method::GET));
    }
    let (number, what) = path.strip_prefix("/runs/")?.split_once('/')?;
    let run = number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok()).flatten()?;
    match what {
        "events" => Some((Route::Run(run, OfRun::Events), Method::GET)),
        "report" => Some((Route::Run(run, OfRun::Report), Method::GET)),
        "digits" => Some((Route::Run(run, OfRun::Digits), Method::POST)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_of_the_table_or_nothing() {
        for (method, path, expect) in [
            (Method::GET, "/runs", Ok(Route::Runs)),
            (Method::GET, "/runs/0/events", Ok(Route::Run(0, OfRun::Events))),
            (Method::GET, "/runs/12/report", Ok(Route::Run(12, OfRun::Report))),
            (Method::POST, "/runs/1/digits", Ok(Route::Run(1, OfRun::Digits))),
            (Method::GET, "/runs/1/digits", Err(StatusCode::METHOD_NOT_ALLOWED)),
            (Method::POST, "/runs/1/events", Err(StatusCode::METHOD_NOT_ALLOWED)),
            (Method::HEAD, "/", Err(StatusCode::METHOD_NOT_ALLOWED)),
            (Method::OPTIONS, "*", Err(StatusCode::NOT_FOUND)),
        ] {
            assert_eq!(of(&method, path), expect, "{method} {path}");
        }
        for (path, name) in [("/", "<!doctype html>"), ("/report.css", ":root")] {
            let Ok(Route::Asset(asset)) = of(&Method::GET, path) else { panic!("{path}") };
            assert!(asset.text.to_lowercase().contains(name), "{path}");
        }
        for path in [
            "",
            "//",
            "/index.html",
            "/page.css/",
            "/PAGE.CSS",
            "/page%2ecss",
            "/../page.css",
            "/./",
            "/runs/",
            "/runs/0",
            "/runs//events",
            "/runs/-1/events",
            "/runs/+1/events",
            "/runs/0x1/events",
            "/runs/1/events/",
            "/runs/1//events",
            "/runs/../report",
            "/runs/99999999999999999999/report",
            "/runs/1/../../report",
            "/runs/1/report.html",
            "/runs/1/config.toml",
            "/runs/1/%72eport",
            "/etc/passwd",
            "/..%2f..%2fetc/passwd",
            "/runs/0/report\0",
        ] {
            assert_eq!(of(&Method::GET, path), Err(StatusCode::NOT_FOUND), "{path}");
        }
    }
}
