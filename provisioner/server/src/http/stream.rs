//! What does not end by itself: the event stream (SSE) and consoles (WebSocket).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse, Response, Sse as SseResponse};
use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use weft_api::{Event, EventGap, Problem};

use super::App;
use super::handlers::{Path, Query};
use crate::accounts::Caller;
use crate::auth::{ObjectKind, Sight};
use crate::core::api_event;
use crate::error::Error;
use crate::search::{Asked, Wanted};

/// Events read from the store at once.
const PAGE: u32 = 200;
/// A session is looked at again so often while a stream lasts.
const RECHECK: Duration = Duration::from_secs(10);
/// Largest WebSocket message from a client.
const MAX_INPUT: usize = 64 * 1024;
/// A watcher that takes nothing for so long is let go.
const SEND_LIMIT: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
pub(crate) struct After {
    after: Option<u64>,
    from: Option<u64>,
}

/// What a reader is sent.
enum Told {
    Event(Box<Event>),
    Missed(EventGap),
}

/// One reader. It holds a page of events at most: while it does not take them nothing more is read for it, and nobody
/// waits for it.
struct Follow {
    app: App,
    caller: Caller,
    wanted: Wanted,
    after: u64,
    ready: VecDeque<Event>,
    missed: Option<EventGap>,
    live: tokio::sync::broadcast::Receiver<std::sync::Arc<Event>>,
    _turn: tokio::sync::OwnedSemaphorePermit,
}

impl Follow {
    /// The next event in order; `None` ends the stream.
    ///
    /// The store is read first and after each lag; the live feed only says that there is more. So no
    /// event is missed and none comes twice.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(gap) = self.missed.take() {
                return Some(Told::Missed(gap));
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(Told::Event(Box::new(event)));
            }
            // A session that ended takes its streams along, those of slow readers too.
            self.caller = self.app.core.accounts.holder(&self.caller.token_hash)?;
            self.app.core.allow_some(&self.caller, "view", ObjectKind::Event).ok()?;
            let rows = self.app.core.store.events(self.after, PAGE).await.ok()?;
            if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
                // Numbers grow by one; only what is older than is kept is dropped.
                let expected = self.after.saturating_add(1);
                if first.seq > expected && self.after > 0 {
                    self.missed = Some(gap(
                        expected,
                        first.seq.saturating_sub(1),
                        "these events are no longer kept",
                        "read again what they told of; --keep-events of the appliance keeps more",
                    ));
                }
                self.after = last.seq;
                self.take(rows.into_iter().map(api_event).collect());
                continue;
            }
            let mut stop = self.app.stop.clone();
            let fresh = tokio::select! {
                live = self.live.recv() => match live {
                    Ok(event) if event.seq == self.after.saturating_add(1) => Some((*event).clone()),
                    Ok(_) | Err(RecvError::Lagged(_)) => None,
                    Err(RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(RECHECK) => None,
                () = crate::util::stopped(&mut stop) => return None,
            };
            // Again: this may have taken a while.
            self.caller = self.app.core.accounts.holder(&self.caller.token_hash)?;
            self.app.core.allow_some(&self.caller, "view", ObjectKind::Event).ok()?;
            if let Some(event) = fresh {
                self.after = event.seq;
                self.take(vec![event]);
            }
        }
    }

    /// Puts in line what the caller may see.
    fn take(&mut self, mut events: Vec<Event>) {
        let mut sight = Sight::of(&self.app.core, &self.caller);
        let world = self.app.core.world();
        // What is left out tells nothing either.
        let wanted = &self.wanted;
        events
            .retain_mut(|event| wanted.fits(event) && sight.trim_event(&world, event) && wanted.fits(event));
        self.ready.extend(events);
    }
}

fn gap(first: u64, last: u64, text: &str, next: &str) -> EventGap {
    EventGap { first, last, text: text.to_string(), next: next.to_string() }
}

/// Follow events (SSE)
///
/// Replays from `after` (or the header `Last-Event-ID`), or from a transaction, then follows. `id:` is the sequence number.
/// A reader may be as slow as it likes: it is sent from the store where it stopped. What is no longer kept by then, or was
/// never there because the store was restored, it is told as `event: missed` with an [`EventGap`](weft_api::EventGap). The
/// conditions are those of a search.
#[utoipa::path(get, path = "/api/v1/events/stream", tag = "events",
    params(("after" = Option<u64>, Query, description = "Replay those behind this; without it, only new ones"),
        ("from" = Option<u64>, Query, description = "Replay from the events of this transaction on"),
        ("grep" = Option<String>, Query), ("node" = Option<String>, Query), ("vs" = Option<String>, Query),
        ("kind" = Option<String>, Query), ("state" = Option<String>, Query), ("actor" = Option<String>, Query),
        ("since" = Option<String>, Query), ("until" = Option<String>, Query)),
    responses((status = 200, content_type = "text/event-stream"), (status = 401, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn events_stream(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<After>,
    Query(asked): Query<Asked>,
) -> Result<SseResponse<impl Stream<Item = Result<Sse, Infallible>>>, Error> {
    let wanted = Wanted::of(asked)?;
    let turn = Arc::clone(&app.core.streams).try_acquire_owned().map_err(|_| {
        Error::refused(
            503,
            "too-many-readers",
            "too many follow events already",
            "end others, or try again later",
        )
    })?;
    let last_id = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let live = app.core.fan.subscribe();
    // What a browser saw last counts more than the address it first asked for.
    let last = app.core.store.last_event().await;
    let mut missed = None;
    let after = match (last_id.or(query.after), query.from) {
        (Some(after), _) if after > last => {
            let (text, next) = (
                "this appliance has no such event yet: its store was restored from a backup",
                "read everything again; the stream goes on with what is new",
            );
            missed = Some(gap(last.saturating_add(1), after, text, next));
            last
        }
        (Some(after), _) => after,
        (None, Some(transaction)) => {
            let first = app.core.store.first_event_of(transaction).await?;
            first.map_or(last, |first| first.saturating_sub(1))
        }
        (None, None) => last,
    };
    let follow = Follow { app, caller, wanted, after, ready: VecDeque::new(), missed, live, _turn: turn };
    let events = stream::unfold(follow, |mut follow| async move {
        let sse = match follow.next().await? {
            Told::Event(event) => {
                tracing::trace!(user = follow.caller.user, seq = event.seq, "event sent");
                Sse::default().id(event.seq.to_string()).json_data(&event).unwrap_or_default()
            }
            // Without an id of its own: a reader that breaks off here is told again.
            Told::Missed(gap) => Sse::default().event("missed").json_data(&gap).unwrap_or_default(),
        };
        Some((Ok(sse), follow))
    });
    Ok(SseResponse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(10))))
}

/// Attach to a console (WebSocket)
///
/// Binary frames: history first, then live; frames from the client are input.
#[utoipa::path(get, path = "/api/v1/vs/{name}/console", tag = "vs", params(("name" = String, Path)),
    responses((status = 101), (status = 404, body = Problem), (status = 426, body = Problem)))]
pub(crate) async fn console(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let vs = app.core.find_vs(&name)?;
    let upgrade = upgrade.map_err(|_| {
        Error::refused(426, "websocket-only", "a console is a WebSocket", "weft vs console NAME")
    })?;
    Ok(upgrade
        .max_message_size(MAX_INPUT)
        .max_frame_size(MAX_INPUT)
        .on_upgrade(move |socket| attach(app, caller, vs.row.id, socket))
        .into_response())
}

async fn attach(app: App, caller: Caller, id: String, mut socket: WebSocket) {
    let (history, mut live) = app.core.consoles.watch(&id);
    if !history.is_empty() && send(&mut socket, history).await.is_err() {
        return;
    }
    let mut stop = app.stop.clone();
    let mut recheck = tokio::time::interval(RECHECK);
    loop {
        let sent = tokio::select! {
            output = live.recv() => match output {
                Ok(bytes) => send(&mut socket, bytes).await,
                Err(RecvError::Lagged(_)) => {
                    send(&mut socket, Bytes::from_static(b"\r\n[output was lost: this link is too slow]\r\n")).await
                }
                Err(RecvError::Closed) => return,
            },
            input = socket.recv() => match input {
                Some(Ok(Message::Binary(bytes))) => typed(&app, &id, &mut socket, &bytes).await,
                Some(Ok(Message::Text(text))) => typed(&app, &id, &mut socket, text.as_bytes()).await,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            _ = recheck.tick() => {
                // So does one whose account may use this console no longer.
                let found = app.core.found(ObjectKind::Vs, &id).ok().flatten();
                let caller = app.core.accounts.holder(&caller.token_hash);
                let (Some(vs), Some(caller)) = (found, caller) else { return };
                if app.core.allow(&caller, "console", &vs.object()).is_err() {
                    return;
                }
                // Finds out whether the other side is still there.
                tokio::time::timeout(SEND_LIMIT, socket.send(Message::Ping(Bytes::new()))).await
                    .map_err(|_| ()).and_then(|sent| sent.map_err(|_| ()))
            }
            () = crate::util::stopped(&mut stop) => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn typed(app: &App, id: &str, socket: &mut WebSocket, bytes: &[u8]) -> Result<(), ()> {
    match app.core.vs_input(id, bytes).await {
        Ok(()) => Ok(()),
        Err(_) => send(socket, Bytes::from_static(b"\r\n[the node is away: nobody hears this]\r\n")).await,
    }
}

async fn send(socket: &mut WebSocket, bytes: Bytes) -> Result<(), ()> {
    match tokio::time::timeout(SEND_LIMIT, socket.send(Message::Binary(bytes))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}
