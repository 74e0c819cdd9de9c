//! The guard decides who gets in, by the head of a request alone. A request must be for this server by its own name or
//! address, so that no name that somebody else gives to this machine opens the page; must come from the page itself or from
//! nowhere; and must show the token, once in the address and from then on in a cookie.

use std::net::{IpAddr, SocketAddr};

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{COOKIE, HOST, HeaderName, ORIGIN},
    http::request::Parts,
};

use crate::token::Token;

#[derive(Debug)]
pub(crate) struct Guard {
    token: Token,
    /// Where the server listens.
    address: SocketAddr,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It is answered.
    Admitted,
    /// It brings the token: it gets a cookie, and comes again.
    Welcome,
    /// It hears this and nothing more.
    Refused(StatusCode, &'static str),
}

const WRONG_HOST: Entry =
    Entry::Refused(StatusCode::FORBIDDEN, "This page answers only at the address that was printed at its start.\n");
const WRONG_ORIGIN: Entry = Entry::Refused(
    StatusCode::FORBIDDEN,
    "This page is not opened by another one. Put its address into the browser's address bar.\n",
);
const NO_TOKEN: Entry = Entry::Refused(
    StatusCode::UNAUTHORIZED,
    "Open the address that was printed at the start of this page: it has the token that is missing here.\n",
);

impl Guard {
    pub(crate) fn new(token: Token, address: SocketAddr) -> Guard {
        Guard { token, address }
    }

    #[cfg(test)]
    pub(crate) fn token(&self) -> &str {
        self.token.text()
    }

    pub(crate) fn entry(&self, head: &Parts) -> Entry {
        let Some(host) = one(&head.headers, &HOST).filter(|host| self.is_ours(host)) else { return WRONG_HOST };
        // A proxy's request names a server of its own; the path is all that is ours.
        if head.uri.authority().is_some() {
            return WRONG_HOST;
        }
        let is_from_here = |origin: &str| origin.strip_prefix("http://") == Some(host);
        if head.headers.contains_key(ORIGIN) && !one(&head.headers, &ORIGIN).is_some_and(is_from_here) {
            return WRONG_ORIGIN;
        }
        let site = HeaderName::from_static("sec-fetch-site");
        if head.headers.contains_key(&site) && !matches!(one(&head.headers, &site), Some("same-origin" | "none")) {
            return WRONG_ORIGIN;
        }
        let shown = head.uri.query().and_then(|query| query.strip_prefix("token=")).filter(|_| head.uri.path() == "/");
        match shown {
            Some(token) if head.method == Method::GET && self.token.is(token.as_bytes()) => Entry::Welcome,
            None if self.has_cookie(&head.headers) => Entry::Admitted,
            _ => NO_TOKEN,
        }
    }

    /// The cookie that a browser shows from now on, as a header.
    pub(crate) fn cookie(&self) -> String {
        format!("{}={}; HttpOnly; SameSite=Strict; Path=/", self.cookie_name(), self.token.text())
    }

    /// Cookies are not told apart by port.
    fn cookie_name(&self) -> String {
        format!("tributary-{}", self.address.port())
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let name = self.cookie_name();
        let cookies = headers.get_all(COOKIE).iter().flat_map(|cookies| cookies.as_bytes().split(|&byte| byte == b';'));
        let values = cookies.filter_map(|cookie| {
            cookie.trim_ascii().strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
        });
        values.fold(false, |found, value| self.token.is(value) | found)
    }

    /// Whether a request for this host is one for this server: by its address, or by the one name that cannot be given to
    /// another machine. Where others reach it, any address will do, as it may have several.
    fn is_ours(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                (name, port.parse().ok())
            }
            _ => (host, Some(80)),
        };
        let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let ip = match bracketed {
            Some(inner) => inner.parse().ok().map(IpAddr::V6),
            None => name.parse().ok().map(IpAddr::V4),
        };
        let is_ours = match ip.map(|ip| ip.to_canonical()) {
            Some(ip) => {
                let own = self.address.ip().to_canonical();
                !own.is_loopback() || ip.is_loopback()
            }
            None => name.eq_ignore_ascii_case("localhost"),
        };
        port == Some(self.address.port()) && is_ours
    }
}

/// The value of a header that is there once, if it is text.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn guard(address: &str) -> Guard {
        Guard::new(Token::draw().unwrap(), address.parse().unwrap())
    }

    /// The head of a request whose address and headers are given by name and value; TOKEN stands for the token.
    fn head(guard: &Guard, method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let fill = |text: &str| text.replace("TOKEN", guard.token());
        let mut request = Request::builder().method(method).uri(fill(uri));
        for (name, value) in headers {
            request = request.header(*name, fill(value));
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_server_answers_to_its_addresses_and_to_no_other_name() {
        for (listens, hosts, is_ours) in [
            ("127.0.0.1:4000", "127.0.0.1:4000 localhost:4000 LOCALHOST:4000 [::1]:4000 127.9.9.9:4000", true),
            ("[::1]:4000", "127.0.0.1:4000 localhost:4000 [::1]:4000 [::ffff:127.0.0.1]:4000", true),
            ("127.0.0.1:80", "127.0.0.1 localhost [::1] localhost:80", true),
            ("0.0.0.0:4000", "10.1.2.3:4000 localhost:4000 127.0.0.1:4000 [fe80::1]:4000", true),
            ("10.1.2.3:4000", "10.1.2.3:4000 192.168.0.9:4000", true),
            (
                "127.0.0.1:4000",
                "127.0.0.1 127.0.0.1:4001 127.0.0.1:40000 localhost 10.1.2.3:4000 evil.example:4000 evil.example localhost.:4000 \
                 localhost.evil.example:4000 127.0.0.1.evil.example:4000 2130706433:4000 0x7f.1:4000 127.1:4000 [::1] ::1:4000 \
                 localhost:4000:4000 localhost:+4000 localhost: :4000 user@localhost:4000 [127.0.0.1]:4000 [localhost]:4000 \
                 [::1%1]:4000 localhost:69536",
                false,
            ),
            ("0.0.0.0:4000", "evil.example:4000 10.1.2.3 10.1.2.3:4001 10.1.2.3.evil.example:4000", false),
        ] {
            let guard = guard(listens);
            for host in hosts.split_whitespace() {
                assert_eq!(guard.is_ours(host), is_ours, "{listens} asked for {host}");
            }
            assert!(!guard.is_ours(""));
        }
    }

    #[test]
    fn the_token_gets_a_cookie_and_the_cookie_gets_in() {
        let guard = guard("127.0.0.1:4000");
        let (host, cookie) = (("host", "127.0.0.1:4000"), ("cookie", "tributary-4000=TOKEN"));
        for (method, uri, headers, expect) in [
            ("GET", "/?token=TOKEN", &[host][..], Entry::Welcome),
            ("GET", "/?token=TOKEN", &[host, cookie], Entry::Welcome),
            ("GET", "/", &[host, cookie], Entry::Admitted),
            ("GET", "/?x=1", &[host, cookie], Entry::Admitted),
            ("POST", "/runs/0/digits", &[host, cookie], Entry::Admitted),
            ("GET", "/", &[host, ("cookie", "a=b; tributary-4000=TOKEN; c=d")], Entry::Admitted),
            ("GET", "/", &[host, ("cookie", "tributary-4000=x"), cookie], Entry::Admitted),
            ("GET", "/", &[host, cookie, ("origin", "http://127.0.0.1:4000")], Entry::Admitted),
            ("GET", "/", &[host, cookie, ("sec-fetch-site", "same-origin")], Entry::Admitted),
            ("GET", "/", &[host, cookie, ("sec-fetch-site", "none")], Entry::Admitted),
            // No token, or a wrong one.
            ("GET", "/", &[host], NO_TOKEN),
            ("GET", "/page.js", &[host], NO_TOKEN),
            ("GET", "/page.js?token=TOKEN", &[host], NO_TOKEN),
            ("POST", "/?token=TOKEN", &[host], NO_TOKEN),
            ("GET", "/?token=", &[host], NO_TOKEN),
            ("GET", "/?token=TOKENx", &[host], NO_TOKEN),
            ("GET", "/?token=TOKEN&x=1", &[host], NO_TOKEN),
            ("GET", "/?x=1&token=TOKEN", &[host], NO_TOKEN),
            ("GET", "/?Token=TOKEN", &[host], NO_TOKEN),
            ("GET", "/?token=x", &[host, cookie], NO_TOKEN),
            ("GET", "//?token=TOKEN", &[host], NO_TOKEN),
            ("GET", "/", &[host, ("cookie", "tributary-4000=")], NO_TOKEN),
            ("GET", "/", &[host, ("cookie", "tributary-4000=TOKENx")], NO_TOKEN),
            ("GET", "/", &[host, ("cookie", "tributary-4000=\"TOKEN\"")], NO_TOKEN),
            ("GET", "/", &[host, ("cookie", "tributary-4001=TOKEN")], NO_TOKEN),
            ("GET", "/", &[host, ("cookie", "xtributary-4000=TOKEN")], NO_TOKEN),
            ("GET", "/", &[host, ("cookie", "tributary-4000 =TOKEN")], NO_TOKEN),
            ("GET", "/", &[host, ("cookie", "TOKEN")], NO_TOKEN),
            ("GET", "/", &[host, ("authorization", "Bearer TOKEN")], NO_TOKEN),
            // From elsewhere, whatever is shown.
            ("GET", "/", &[host, cookie, ("origin", "http://evil.example")], WRONG_ORIGIN),
            ("GET", "/", &[host, cookie, ("origin", "https://127.0.0.1:4000")], WRONG_ORIGIN),
            ("GET", "/", &[host, cookie, ("origin", "http://localhost:4000")], WRONG_ORIGIN),
            ("GET", "/", &[host, cookie, ("origin", "http://127.0.0.1:4001")], WRONG_ORIGIN),
            ("GET", "/", &[host, cookie, ("origin", "null")], WRONG_ORIGIN),
            ("GET", "/", &[host, cookie, ("origin", "")], WRONG_ORIGIN),
            (
                "GET",
                "/",
                &[host, cookie, ("origin", "http://127.0.0.1:4000"), ("origin", "http://evil.example")],
                WRONG_ORIGIN,
            ),
            ("GET", "/", &[host, cookie, ("sec-fetch-site", "cross-site")], WRONG_ORIGIN),
            ("GET", "/", &[host, cookie, ("sec-fetch-site", "same-site")], WRONG_ORIGIN),
            ("GET", "/?token=TOKEN", &[host, ("sec-fetch-site", "cross-site")], WRONG_ORIGIN),
            // For another server.
            ("GET", "/", &[cookie], WRONG_HOST),
            ("GET", "/", &[("host", "evil.example:4000"), cookie], WRONG_HOST),
            ("GET", "/", &[host, host, cookie], WRONG_HOST),
            ("GET", "http://evil.example/", &[host, cookie], WRONG_HOST),
            ("GET", "http://127.0.0.1:4000/?token=TOKEN", &[host], WRONG_HOST),
            ("GET", "/?token=TOKEN", &[("host", "evil.example:4000")], WRONG_HOST),
            ("GET", "/", &[("host", "evil.example:4000"), cookie, ("origin", "http://evil.example:4000")], WRONG_HOST),
        ] {
            assert_eq!(guard.entry(&head(&guard, method, uri, headers)), expect, "{method} {uri} {headers:?}");
        }
        let cookie = guard.cookie();
        let expect = format!("tributary-4000={}; HttpOnly; SameSite=Strict; Path=/", guard.token());
        assert_eq!(cookie, expect);
    }
}
