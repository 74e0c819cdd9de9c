//! Who gets in, and what an answer lets a browser do.

use std::fs;

use page::{Options, Run, Server};
use process::exit::{Code, code_of};

use crate::client::{Page, parts};

#[test]
fn the_address_that_is_printed_leads_through_a_cookie_to_the_page_and_nothing_else_does() {
    let page = Page::new();
    let host = format!("Host: {}\r\n", page.address);
    let welcome = page.ask(&format!("GET /?token={}", page.token), &host, b"");
    assert_eq!(welcome.status, 303);
    let line = |name: &str| {
        let lines: Vec<_> = welcome.head.lines().filter_map(|line| line.strip_prefix(name)).collect();
        assert_eq!(lines.len(), 1, "{}", welcome.head);
        lines[0].to_owned()
    };
    assert_eq!(line("location: "), "/");
    let cookie = line("set-cookie: ");
    let value = cookie.strip_suffix("; httponly; samesite=strict; path=/").unwrap();
    let entered = page.ask("GET /", &format!("{host}Cookie: {value}\r\n"), b"");
    assert_eq!(entered.status, 200);
    assert!(entered.text().to_lowercase().starts_with("<!doctype html>"));
    for (line, head) in [
        ("GET /", String::new()),
        ("GET /page.js", String::new()),
        ("GET /runs", String::new()),
        ("GET /runs/0/events", String::new()),
        ("POST /runs/0/digits", String::new()),
        ("GET /nothing", String::new()),
        ("GET /?token=0123456789abcdef0123456789abcdef", String::new()),
        ("GET /", format!("Cookie: {value}0\r\n")),
        ("GET /", format!("Cookie: x{value}\r\n")),
    ] {
        let refused = page.ask(line, &format!("{host}{head}"), b"");
        assert_eq!(refused.status, 401, "{line} {head}");
        assert!(refused.text().starts_with("Open the address that was printed"), "{line}");
        assert!(!refused.head.contains("set-cookie"));
    }
    for (host, head) in [
        (format!("evil.example:{}", page.address.port()), String::new()),
        (page.address.to_string(), "Origin: http://evil.example\r\n".into()),
        (page.address.to_string(), "Sec-Fetch-Site: cross-site\r\n".into()),
    ] {
        let refused = page.ask("GET /", &format!("Host: {host}\r\nCookie: {value}\r\n{head}"), b"");
        assert_eq!(refused.status, 403, "{host} {head}");
    }
}

#[test]
fn every_answer_says_what_a_browser_may_do_with_it() {
    let page = Page::new();
    fs::write(page.folder().join(run_folder::REPORT), "<!doctype html>of a run").unwrap();
    let paths = ["/", "/page.css", "/page.js", "/report.css", "/runs", "/runs/0/report", "/nothing"];
    for path in paths {
        let reply = page.get(path);
        for line in [
            "content-security-policy: default-src 'none'; ",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "cross-origin-resource-policy: same-origin",
            "cross-origin-opener-policy: same-origin",
        ] {
            assert!(reply.head.contains(line), "{path}: {line} is not in {}", reply.head);
        }
        let is_report = path == "/runs/0/report";
        assert_eq!(reply.head.contains("frame-ancestors 'self'"), is_report, "{path}");
        assert_eq!(reply.head.contains("script-src 'self'"), !is_report, "{path}");
        assert!(is_report || !reply.head.contains("unsafe-inline"), "{path}");
    }
    assert_eq!(page.get("/page.js").head.matches("text/javascript").count(), 1);
}

#[test]
fn runs_have_names_and_a_report_when_it_is_there_and_nothing_else_of_their_folder_is_shown() {
    let page = Page::new();
    assert_eq!(page.get("/runs").text(), r#"[{"name":"one"}]"#);
    let absent = page.get("/runs/0/report");
    assert_eq!((absent.status, absent.text()), (404, "There is no report yet.\n"));
    fs::write(page.folder().join(run_folder::REPORT), "<!doctype html>of a run").unwrap();
    fs::write(page.folder().join("config.toml"), "seed = 1").unwrap();
    let report = page.get("/runs/0/report");
    assert_eq!((report.status, report.text()), (200, "<!doctype html>of a run"));
    // A link could lead anywhere.
    #[cfg(unix)]
    {
        fs::remove_file(page.folder().join(run_folder::REPORT)).unwrap();
        std::os::unix::fs::symlink("config.toml", page.folder().join(run_folder::REPORT)).unwrap();
        assert_eq!(page.get("/runs/0/report").status, 404);
    }
    for path in ["/runs/1/report", "/runs/0/config.toml", "/runs/0/../config.toml", "/runs/0/report/../config.toml"] {
        assert_eq!(page.get(path).status, 404, "{path}");
    }
    assert_eq!(page.ask("POST /runs", &page.pass(), b"x").status, 405);
}

#[test]
fn an_address_that_cannot_be_served_is_one_line_with_what_to_do() {
    let page = Page::new();
    let runs = || vec![Run::new("one", page.folder())];
    let failure = |listen: &str, token_file: Option<&str>| {
        let token_file = token_file.map(|name| page.folder().join(name));
        let error = Server::start(&Options { listen: listen.parse().unwrap(), token_file }, runs()).unwrap_err();
        (code_of(&error), format!("{error:#}"))
    };
    let (code, line) = failure(&page.address.to_string(), Some("made too early"));
    assert!(!page.folder().join("made too early").exists(), "nothing is made for a page that cannot be served");
    assert!(code == Code::Unavailable && line.contains(&page.address.to_string()) && line.contains("in use"), "{line}");
    let (code, line) = failure("0.0.0.0:0", None);
    assert!(code == Code::Unsafe && line.contains("--page-token FILE"), "{line}");
    fs::write(page.folder().join("token"), "0123456789abcdef\n").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(page.folder().join("token"), fs::Permissions::from_mode(0o644)).unwrap();
        let (code, line) = failure("127.0.0.1:0", Some("token"));
        assert!(code == Code::Unsafe && line.contains("chmod 600"), "{line}");
        fs::set_permissions(page.folder().join("token"), fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(!line.contains('\n'));
    // With a file, others are let in, and told.
    let options = Options { listen: ([0, 0, 0, 0], 0).into(), token_file: Some(page.folder().join("token")) };
    let server = Server::start(&options, runs()).unwrap();
    assert!(server.warning().unwrap().contains("not encrypted") && page.server.warning().is_none());
    assert_eq!(parts(&server).1, "0123456789abcdef");
}
