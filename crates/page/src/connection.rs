//! One connection: a request in, an answer out.

use std::{convert::Infallible, fs, path::Path, sync::Arc, time::Duration};

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Request, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, SET_COOKIE},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, oneshot, watch},
    task::spawn_blocking,
    time::timeout,
};

use crate::{
    Limits,
    answer::{self, Answer},
    digits,
    events::Events,
    guard::{Entry, Guard},
    places::Place,
    route::{self, OfRun, Route},
    run::{Run, Runs},
    socket::Socket,
};

/// The most bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;
/// The most bytes of a request's body.
const MAX_BODY: usize = 1 << 20;
/// The most bytes of a report that are shown.
const MAX_REPORT: u64 = 32 << 20;
/// Pictures that are looked at, or reports that are read, at the same time.
pub(crate) const WORKERS: usize = 2;
/// Until one of them is free.
const BUSY: Duration = Duration::from_secs(10);

/// What all connections share.
pub(crate) struct Site {
    pub(crate) guard: Guard,
    pub(crate) runs: Runs,
    pub(crate) limits: Limits,
    pub(crate) workers: Arc<Semaphore>,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Serves a connection until it ends, has to leave, or the server stops and it has had its answer.
pub(crate) async fn serve(site: Arc<Site>, stream: TcpStream, place: Place, must_leave: oneshot::Receiver<()>) {
    let _ = stream.set_nodelay(true); // Without it, events are late.
    let mut stopping = site.stopping.clone();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(site.limits.head).max_buf_size(MAX_HEAD);
    // One request for each connection: a browser that keeps several would take the places of others.
    http.keep_alive(false);
    let socket = TokioIo::new(Socket::new(stream, site.limits.write));
    let service = service_fn(|request| async { Ok::<_, Infallible>(site.answer(request, &place).await) });
    let mut connection = std::pin::pin!(http.serve_connection(socket, service));
    let leaves = async {
        if must_leave.await.is_err() {
            std::future::pending().await // He became a member.
        }
    };
    let stops = async {
        let _ = stopping.wait_for(|is_stopping| *is_stopping).await; // A server that is gone stops as well.
    };
    // What went wrong is the peer's own doing.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = leaves => {}
        () = stops => {
            connection.as_mut().graceful_shutdown();
            if place.is_member() {
                let _ = connection.await;
            }
        }
    }
}

impl Site {
    async fn answer(&self, request: Request<Incoming>, place: &Place) -> Answer {
        let (head, body) = request.into_parts();
        match self.guard.entry(&head) {
            Entry::Refused(status, why) => return answer::text(status, why),
            Entry::Welcome => return self.welcome(),
            Entry::Admitted if !place.admit() => {
                let why = "Too many are watching: try again later.\n";
                return answer::text(StatusCode::SERVICE_UNAVAILABLE, why);
            }
            Entry::Admitted => {}
        }
        match route::of(&head.method, head.uri.path()) {
            Ok(Route::Asset(asset)) => answer::whole(StatusCode::OK, asset.content_type, asset.text),
            Ok(Route::Runs) => {
                let runs = self.runs.names().into_iter().map(|name| json!({ "name": name }));
                answer::json(StatusCode::OK, serde_json::Value::from_iter(runs).to_string())
            }
            Ok(Route::Run(number, what)) => match (self.runs.get(number), what) {
                (Some(run), OfRun::Events) => self.events(&run, &head),
                (Some(run), OfRun::Report) => self.report(&run).await,
                (Some(run), OfRun::Digits) => self.digits(&run, &head, body).await,
                (None, _) => answer::text(StatusCode::NOT_FOUND, "There is no such run.\n"),
            },
            Err(status) => answer::text(status, "There is nothing here.\n"),
        }
    }

    fn welcome(&self) -> Answer {
        let mut answer = answer::text(StatusCode::SEE_OTHER, "");
        answer.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
        if let Ok(cookie) = HeaderValue::try_from(self.guard.cookie()) {
            answer.headers_mut().insert(SET_COOKIE, cookie);
        }
        answer
    }

    fn events(&self, run: &Run, head: &Parts) -> Answer {
        let last = head.headers.get(HeaderName::from_static("last-event-id")).and_then(|id| id.to_str().ok());
        answer::events(Events::new(run, last, self.stopping.clone(), self.limits.heartbeat))
    }

    async fn digits(&self, run: &Run, head: &Parts, body: Incoming) -> Answer {
        // A form of another site cannot send this type.
        if head.headers.get(CONTENT_TYPE).is_none_or(|given| given != "image/png") {
            return answer::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send a PNG file, as image/png");
        }
        let png = match timeout(self.limits.body, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let why = format!("the picture has more than {MAX_BODY} bytes");
                return answer::error(StatusCode::PAYLOAD_TOO_LARGE, &why);
            }
            Ok(Err(_)) => return answer::error(StatusCode::BAD_REQUEST, "the picture broke off"),
            Err(_) => return answer::error(StatusCode::REQUEST_TIMEOUT, "the picture took too long"),
        };
        let run = run.clone();
        let answered = self.work(move || digits::recognise(&png, run.folder(), &mut run.model())).await;
        match answered {
            Some(Ok(json)) => answer::json(StatusCode::OK, json),
            Some(Err((status, why))) => answer::error(status, &why),
            None => busy(),
        }
    }

    async fn report(&self, run: &Run) -> Answer {
        let path = run.folder().join(run_folder::REPORT);
        match self.work(move || read(&path)).await {
            Some(Some(html)) => answer::report(html),
            Some(None) => answer::text(StatusCode::NOT_FOUND, "There is no report yet.\n"),
            None => busy(),
        }
    }

    /// Does what takes its time on another thread; nothing if all are busy for long.
    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let permit = timeout(BUSY, Arc::clone(&self.workers).acquire_owned()).await.ok()?.ok()?;
        let done = spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.ok()
    }
}

fn busy() -> Answer {
    answer::error(StatusCode::SERVICE_UNAVAILABLE, "too many ask at the same time: try again")
}

/// A report. A link could lead to any file, and a pipe is waited for, for ever.
fn read(path: &Path) -> Option<Vec<u8>> {
    let found = fs::symlink_metadata(path).ok()?;
    if !found.is_file() || found.len() > MAX_REPORT {
        return None;
    }
    fs::read(path).ok()
}
