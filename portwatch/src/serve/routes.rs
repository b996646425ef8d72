//! A request → its answer.

use std::sync::atomic::Ordering;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};

use super::{Site, negotiate};
use crate::sink::metrics::TurnedAway;

type Answer = Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

const LANDING: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>portwatch</title></head>\n\
<body><h1>portwatch</h1>\n<p>Names the process that holds the port your service could not bind.</p>\n\
<ul>\n<li><a href=\"/metrics\">/metrics</a>: for Prometheus</li>\n\
<li><a href=\"/healthz\">/healthz</a>: portwatch runs</li>\n\
<li><a href=\"/readyz\">/readyz</a>: its kernel hooks are attached</li>\n</ul></body></html>\n";

/// The body of a request is not read: nothing here needs one.
pub(super) async fn answer<B>(site: &Site, request: &Request<B>, is_tls: bool) -> Answer {
    let path = request.uri().path();
    // Probes of a service manager know no password, and learn nothing but that portwatch is there.
    let is_probe = matches!(path, "/healthz" | "/readyz");
    if let Some(refusal) = refusal(site, request, is_tls, is_probe).await {
        return refusal;
    }
    if !matches!(path, "/" | "/metrics" | "/healthz" | "/readyz") {
        return plain(StatusCode::NOT_FOUND, "there is only /metrics, /healthz and /readyz\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match path {
        "/metrics" => metrics(site, request),
        "/healthz" => plain(StatusCode::OK, "ok\n"),
        "/readyz" if site.ready.load(Ordering::Relaxed) => plain(StatusCode::OK, "ready\n"),
        "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, "the kernel hooks are not attached\n"),
        _ => respond(StatusCode::OK, HTML, LANDING),
    }
}

/// What the file of TLS and passwords has against the request.
async fn refusal<B>(site: &Site, request: &Request<B>, is_tls: bool, is_probe: bool) -> Option<Answer> {
    let web = site.web.as_ref()?;
    let now = web.current();
    if now.is_broken {
        site.metrics.turned_away(TurnedAway::WebConfig);
        let said = "the file of --web-config is broken; portwatch's log says how\n";
        return Some(plain(StatusCode::INTERNAL_SERVER_ERROR, said));
    }
    if now.rules.acceptor().is_some() && !is_tls {
        // The connection is older than the file: what it sends now must not go unencrypted any more.
        site.metrics.turned_away(TurnedAway::Connection);
        let mut answer = plain(StatusCode::BAD_REQUEST, "this is by TLS only now: connect anew, by https\n");
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return Some(answer);
    }
    let shown = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    if is_probe || web.admits(&now.rules, shown).await {
        return None;
    }
    site.metrics.turned_away(TurnedAway::Unauthorized);
    let mut answer = plain(StatusCode::UNAUTHORIZED, "a name and a password are needed\n");
    let scheme = HeaderValue::from_static("Basic realm=\"portwatch\", charset=\"UTF-8\"");
    answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    Some(answer)
}

fn metrics<B>(site: &Site, request: &Request<B>) -> Answer {
    let accept = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = negotiate::format(accept);
    let mut answer = respond(StatusCode::OK, format.content_type(), site.metrics.encode(format));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    respond(status, TEXT, text)
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
