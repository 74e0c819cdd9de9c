//! Answers, and the headers that keep browsers from doing more with them than they are for.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use serde_json::json;

use crate::events::Events;

pub(crate) type Answer = Response<Either<Full<Bytes>, Events>>;

/// Scripts and styles of the page's own files, and nothing from elsewhere.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                    frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A report holds its style and pictures, and has no script. The page shows it in a frame.
const REPORT: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'self'";

pub(crate) fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    of(status, content_type, PAGE, Either::Left(Full::new(body.into())))
}

pub(crate) fn text(status: StatusCode, text: &'static str) -> Answer {
    whole(status, "text/plain; charset=utf-8", text)
}

pub(crate) fn json(status: StatusCode, json: String) -> Answer {
    whole(status, "application/json", json)
}

/// An error for the page's script.
pub(crate) fn error(status: StatusCode, error: &str) -> Answer {
    self::json(status, json!({ "error": error }).to_string())
}

pub(crate) fn report(html: Vec<u8>) -> Answer {
    of(StatusCode::OK, "text/html; charset=utf-8", REPORT, Either::Left(Full::new(html.into())))
}

pub(crate) fn events(events: Events) -> Answer {
    of(StatusCode::OK, "text/event-stream", PAGE, Either::Right(events))
}

fn of(
    status: StatusCode,
    content_type: &'static str,
    policy: &'static str,
    body: Either<Full<Bytes>, Events>,
) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().extend(
        [
            (CONTENT_TYPE, content_type),
            (CONTENT_SECURITY_POLICY, policy),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (CACHE_CONTROL, "no-store"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        ]
        .map(|(name, value)| (name, HeaderValue::from_static(value))),
    );
    answer
}
