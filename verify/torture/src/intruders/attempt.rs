//! What intruders say, and what they may hear.

use std::{fmt::Write, net::SocketAddr};

use anyhow::{Context, ensure};
use picture::Picture;
use sample::random::Stream;

use super::SECRET;

/// A page, and what opens it.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    token: String,
}

impl Target {
    pub(super) fn of(printed: &str) -> anyhow::Result<Target> {
        let parts = printed.strip_prefix("http://").and_then(|rest| rest.split_once("/?token="));
        let (address, token) = parts.context("the page has another address")?;
        Ok(Target { address: address.parse()?, token: token.to_owned() })
    }

    fn host(&self) -> String {
        format!("Host: {}\r\n", self.address)
    }

    fn cookie(&self, token: &str) -> String {
        format!("Cookie: tributary-{}={token}\r\n", self.address.port())
    }

    /// The lines of a head that let a request in.
    pub(super) fn pass(&self) -> String {
        self.host() + &self.cookie(&self.token)
    }
}

/// A hostile request.
pub(super) struct Attempt {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    /// Whether it keeps its side of the connection open.
    pub(super) lingers: bool,
    /// Whether a good request comes before it, on the same connection.
    is_second: bool,
    /// Whether it has the token, so that it may hear what there is and what not.
    has_token: bool,
}

/// How it is made.
type Make = fn(&Target, &mut Stream) -> Vec<u8>;

/// All kinds: name, whether it has the token, whether it lingers, and how it is made. The first few are made most often.
const KINDS: [(&str, bool, bool, Make); 13] = [
    ("wrong token in the address", false, true, wrong_address),
    ("wrong token in a cookie", false, true, wrong_cookie),
    ("foreign Host", true, true, foreign_host),
    ("foreign Origin", true, true, foreign_origin),
    ("path out of the page", true, true, path),
    ("method that is not served", true, true, method),
    ("huge head", true, true, huge_head),
    ("garbage", false, false, garbage),
    ("lengths that contradict", true, false, lengths),
    ("body that is too large", true, true, large_body),
    ("picture that is a bomb or damaged", true, true, bomb),
    ("second request on a connection that was let in", false, true, second),
    ("slow or silent", true, true, slow),
];
/// Of so many requests one is slow, which takes as long as the server waits.
const SLOW: u64 = 40;

impl Attempt {
    pub(super) fn any(target: &Target, random: &mut Stream) -> Attempt {
        let last = KINDS.len() - 1;
        let kind = if random.below(SLOW) == 0 { last } else { random.below(last as u64) as usize };
        let (name, has_token, lingers, make) = KINDS[kind];
        Attempt { name, bytes: make(target, random), lingers, is_second: kind == last - 1, has_token }
    }

    /// Whether the answer is a refusal, or none.
    pub(super) fn judge(&self, target: &Target, answer: &[u8]) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(answer);
        let said = || format!("it said {:?}", text.chars().take(300).collect::<String>());
        ensure!(!text.contains(SECRET) && !text.contains(&target.token), "{}", said());
        let statuses: Vec<u16> =
            text.match_indices("HTTP/1.").filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok()).collect();
        // A crowd may have dropped it before it was heard. A connection is for one request, so no other is answered.
        if self.is_second && !answer.is_empty() {
            ensure!(statuses == [200], "{}", said());
            return Ok(());
        }
        for status in &statuses {
            let is_refusal = match self.has_token {
                true => (400..500).contains(status),
                // Who has no token does not even hear what there is.
                false => [400, 401, 403, 408, 414, 431].contains(status),
            };
            ensure!(is_refusal, "{}", said());
        }
        ensure!(statuses.len() <= 1 && (answer.is_empty() || statuses.len() == 1), "{}", said());
        Ok(())
    }
}

fn pick<T: Copy>(random: &mut Stream, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize]
}

fn request(line: &str, head: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\n{head}Connection: close\r\n\r\n").into_bytes()
}

/// A path with something behind it.
const PATHS: [&str; 7] =
    ["/", "/page.js", "/report.css", "/runs", "/runs/0/events", "/runs/0/report", "/runs/0/digits"];

/// Something like the token.
fn wrong(target: &Target, random: &mut Stream) -> String {
    let token = &target.token;
    let at = random.below(token.len() as u64) as usize;
    let other = pick(random, &["0", "f", "A", "%30", "+", "-", "\0", " ", "", "é"]);
    match random.below(10) {
        0 => String::new(),
        1 => token[..at].to_owned(),
        2 => token[at + 1..].to_owned(),
        3 => format!("{token}{other}x"),
        4 => format!("{token}{token}"),
        5 => format!("{}G", token.to_uppercase()),
        6 => format!("\"{token}\""),
        7 => token.chars().rev().collect::<String>() + "0",
        8 => format!("%{:02x}{}", token.as_bytes()[0], &token[1..]),
        // One character is another: never the same, as it is none of the token's alphabet.
        _ => format!("{}{}{}", &token[..at], pick(random, &["g", "Z", "_", "."]), &token[at + 1..]),
    }
}

fn wrong_address(target: &Target, random: &mut Stream) -> Vec<u8> {
    let wrong = wrong(target, random).replace(['\0', ' '], "");
    let token = &target.token;
    let line = match random.below(8) {
        0 => format!("GET /?Token={token}"),
        1 => format!("GET /?x={token}"),
        2 => format!("GET /?token={wrong}&token={token}"),
        3 => format!("GET {}?token={token}", pick(random, &PATHS[1..])),
        4 => format!("POST /?token={token}"),
        5 => format!("GET {}?token={wrong}", pick(random, &PATHS)),
        _ => format!("GET /?token={wrong}"),
    };
    request(&line, &target.host())
}

fn wrong_cookie(target: &Target, random: &mut Stream) -> Vec<u8> {
    let (wrong, token, port) = (wrong(target, random), &target.token, target.address.port());
    let cookie = match random.below(8) {
        0 => format!("Cookie: token={token}\r\n"),
        1 => format!("Cookie: tributary-{}={token}\r\n", port ^ 1),
        2 => format!("Cookie: Tributary-{port}={token}\r\n"),
        3 => format!("Cookie: tributary-{port}={wrong}; x=tributary-{port}={token}\r\n"),
        4 => format!("Authorization: Bearer {token}\r\n"),
        5 => (0..random.below(40)).map(|_| target.cookie(&wrong)).collect(),
        _ => target.cookie(&wrong),
    };
    let method = pick(random, &["GET", "GET", "POST", "HEAD"]);
    request(&format!("{method} {}", pick(random, &PATHS)), &(target.host() + &cookie))
}

fn foreign_host(target: &Target, random: &mut Stream) -> Vec<u8> {
    let (port, cookie, path) = (target.address.port(), target.cookie(&target.token), pick(random, &PATHS));
    let host = match random.below(12) {
        0 => String::new(),
        1 => "Host: \r\n".into(),
        2 => format!("Host: evil.example:{port}\r\n"),
        3 => format!("Host: 127.0.0.1.evil.example:{port}\r\n"),
        4 => format!("Host: localhost.evil.example:{port}\r\n"),
        5 => format!("Host: 192.168.0.{}:{port}\r\n", random.below(256)),
        6 => format!("Host: localhost:{}\r\n", port ^ 1),
        7 => "Host: localhost\r\n".into(),
        8 => format!("Host: evil.example@127.0.0.1:{port}\r\n"),
        9 => format!("{}Host: evil.example\r\n", target.host()),
        10 => return request(&format!("GET http://evil.example{path}"), &(target.host() + &cookie)),
        _ => format!("Host: 2130706433:{port}\r\nX-Forwarded-Host: 127.0.0.1:{port}\r\n"),
    };
    request(&format!("GET {path}"), &(host + &cookie))
}

fn foreign_origin(target: &Target, random: &mut Stream) -> Vec<u8> {
    let Target { address, .. } = target;
    let line = match random.below(9) {
        0 => "Origin: http://evil.example\r\n".to_owned(),
        1 => "Origin: null\r\n".into(),
        2 => format!("Origin: https://{address}\r\n"),
        3 => format!("Origin: http://localhost:{}\r\n", address.port()),
        4 => format!("Origin: http://{address}.evil.example\r\n"),
        5 => format!("Origin: http://{address}\r\nOrigin: http://evil.example\r\n"),
        6 => "Sec-Fetch-Site: cross-site\r\n".into(),
        7 => "Sec-Fetch-Site: same-site\r\n".into(),
        _ => format!("Origin: http://{address}/\r\n"),
    };
    let method = pick(random, &["GET", "POST"]);
    let path = if random.below(4) == 0 { format!("/?token={}", target.token) } else { pick(random, &PATHS).to_owned() };
    request(&format!("{method} {path}"), &(target.pass() + &line))
}

fn path(target: &Target, random: &mut Stream) -> Vec<u8> {
    let up = ["..", "%2e%2e", ".%2e", "%2E.", "%252e%252e", "%c0%ae%c0%ae", "..;", ".", "", "%00"];
    let slash = ["/", "//", "%2f", "%5c", "\\", "/./", "%252f"];
    let to = [
        "secret",
        "config.toml",
        "run/secret",
        ".lock",
        "etc/passwd",
        "proc/self/environ",
        "report.html",
        "%72eport",
        "report%00",
        "index.html",
        "page.js%20",
        "0/report",
    ];
    let from = ["/", "/runs/0/report/", "/runs/0/", "/runs/", "/assets/", "/page.js/", "/runs/-1/", "/runs/%30/"];
    let mut text = pick(random, &from).to_owned();
    for _ in 0..=random.below(6) {
        let _ = write!(text, "{}{}", pick(random, &up), pick(random, &slash));
    }
    text += pick(random, &to);
    request(&format!("{} {text}", pick(random, &["GET", "GET", "GET", "POST"])), &target.pass())
}

fn method(target: &Target, random: &mut Stream) -> Vec<u8> {
    let (method, path) = match random.below(3) {
        0 => ("POST", pick(random, &["/", "/page.js", "/runs", "/runs/0/events", "/runs/0/report"])),
        1 => (pick(random, &["get", "GETS", "post", "EVENTS", "HEAD"]), pick(random, &PATHS)),
        _ => {
            let methods = ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "PROPFIND"];
            (pick(random, &methods), pick(random, &PATHS))
        }
    };
    request(&format!("{method} {path}"), &target.pass())
}

fn huge_head(target: &Target, random: &mut Stream) -> Vec<u8> {
    let size = 20_000 + random.below(60_000) as usize;
    let (line, more) = match random.below(4) {
        0 => (format!("GET /{}", "x".repeat(size)), String::new()),
        1 => ("GET /".into(), format!("X: {}\r\n", "x".repeat(size))),
        2 => ("GET /".into(), "X: y\r\n".repeat(size / 6)),
        _ => ("GET /".into(), format!("{}: y\r\n", "x".repeat(size))),
    };
    request(&line, &(target.pass() + &more))
}

fn garbage(target: &Target, random: &mut Stream) -> Vec<u8> {
    let noise = |random: &mut Stream| -> Vec<u8> {
        let length = 1 + random.below(2000);
        (0..length).map(|_| random.next_u64() as u8).collect()
    };
    match random.below(6) {
        0 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        1 => [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &noise(random)].concat(),
        2 => format!("GET / HTTP/9.9\r\n{}\r\n", target.host()).into_bytes(),
        3 => [format!("GET / HTTP/1.1\r\n{}", target.host()).as_bytes(), &noise(random)].concat(),
        4 => {
            let mut request = request("GET /", &target.host());
            for _ in 0..=random.below(4) {
                let at = random.below(request.len() as u64) as usize;
                request[at] = random.next_u64() as u8;
            }
            request
        }
        _ => noise(random),
    }
}

fn lengths(target: &Target, random: &mut Stream) -> Vec<u8> {
    let more = pick(
        random,
        &[
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length: 3, 3, 4\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: x, y\r\n",
        ],
    );
    let body = pick(random, &["zzz\r\n", "-1\r\n\r\n", "ffffffffffffffffff\r\nx", "5\r\nab"]);
    let head = format!("{}Content-Type: image/png\r\n{more}", target.pass());
    [request("POST /runs/0/digits", &head), body.into()].concat()
}

fn digits(target: &Target, body: &[u8]) -> Vec<u8> {
    let head = format!("{}Content-Type: image/png\r\nContent-Length: {}\r\n", target.pass(), body.len());
    [&request("POST /runs/0/digits", &head)[..], body].concat()
}

fn large_body(target: &Target, random: &mut Stream) -> Vec<u8> {
    let large = vec![b'x'; (1 << 20) + 1 + random.below(1 << 16) as usize];
    match random.below(8) {
        0 => digits(target, &large),
        1 => {
            let head = format!("{}Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n", target.pass());
            let chunk = format!("{:x}\r\n", large.len());
            [&request("POST /runs/0/digits", &head)[..], chunk.as_bytes(), &large, b"\r\n0\r\n\r\n"].concat()
        }
        2 => digits(target, &vec![0; random.below(1000) as usize]),
        _ => {
            // It says that there is more than anybody would read.
            let more = 1_u64 << (21 + random.below(40));
            let head = format!("{}Content-Type: image/png\r\nContent-Length: {more}\r\n", target.pass());
            [&request("POST /runs/0/digits", &head)[..], &large[..1000]].concat()
        }
    }
}

/// Pictures of nothing, too large, damaged or of another kind: no digit is on any of them.
fn bomb(target: &Target, random: &mut Stream) -> Vec<u8> {
    let side = 1 + random.below(200) as usize;
    let mut png = Picture::new(side, side, vec![255; side * side]).png();
    match random.below(6) {
        0 => {
            let sides = [1_u32 << 12, 1 << 16, 1 << 24, u32::MAX >> 1, u32::MAX];
            png[16..20].copy_from_slice(&pick(random, &sides).to_be_bytes());
            png[20..24].copy_from_slice(&pick(random, &sides).to_be_bytes());
        }
        1 => png.truncate(random.below(png.len() as u64) as usize),
        2 => {
            let at = random.below(png.len() as u64) as usize;
            png[at] ^= 1 << random.below(8);
        }
        3 => {
            png = pick(random, &[&b"GIF89a\x01\x00\x01\x00"[..], b"II*\0\x08\0\0\0", b"RIFF\0\0\0\0WEBP", b"%PDF-1.7"])
                .to_vec()
        }
        4 => png.extend(vec![0; 1000]),
        _ => {}
    }
    digits(target, &png)
}

fn second(target: &Target, random: &mut Stream) -> Vec<u8> {
    let good = format!("GET /runs HTTP/1.1\r\n{}\r\n", target.pass()).into_bytes();
    let bad = if random.below(2) == 0 { wrong_cookie(target, random) } else { request("GET /", &target.host()) };
    [good, bad].concat()
}

fn slow(target: &Target, random: &mut Stream) -> Vec<u8> {
    match random.below(4) {
        0 => Vec::new(),
        1 => {
            let whole = request("GET /", &target.pass());
            whole[..random.below(whole.len() as u64) as usize].to_vec()
        }
        2 => b"\r\n".repeat(random.below(20) as usize),
        _ => {
            let head = format!("{}Content-Type: image/png\r\nContent-Length: 1000\r\n", target.pass());
            [&request("POST /runs/0/digits", &head)[..], b"\x89PNG"].concat()
        }
    }
}
