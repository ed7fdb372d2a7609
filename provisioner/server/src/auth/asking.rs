//! The caller of a request, its key, and the version that its change is made of, for the second look at what it changes.
//!
//! What the appliance does by itself (agents, events, the machine's owner at its own socket) has no caller, and is not
//! asked for leave.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use weft_store::AnswerRow;

use crate::accounts::Caller;
use crate::versions::Expected;

/// The key that a request named, and its turn, which lasts as long as anybody works for that request.
#[derive(Clone, Debug)]
pub(crate) struct Keyed {
    pub(crate) row: AnswerRow,
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) turn: Arc<OwnedMutexGuard<()>>,
}

tokio::task_local! {
    static CALLER: Option<Caller>;
    static EXPECTED: Expected;
    static KEYED: Keyed;
}

/// Runs a request's work as its caller.
pub(crate) async fn scope<T>(caller: Caller, work: impl Future<Output = T>) -> T {
    CALLER.scope(Some(caller), Box::pin(work)).await
}

/// Runs a part of a request's work as the appliance's own: whoever may cause it need not be allowed to do it by hand.
pub(crate) async fn by_itself<T>(work: impl Future<Output = T>) -> T {
    CALLER.scope(None, Box::pin(work)).await
}

/// Who asks; `None`: nobody does.
pub(crate) fn current() -> Option<Caller> {
    CALLER.try_with(Clone::clone).ok().flatten()
}

/// Runs a request's work as a change of this version of an object.
pub(crate) async fn expecting<T>(expected: Expected, work: impl Future<Output = T>) -> T {
    EXPECTED.scope(expected, Box::pin(work)).await
}

/// Which version the change is made of; `None`: whichever there is.
pub(crate) fn expected() -> Option<Expected> {
    EXPECTED.try_with(Clone::clone).ok()
}

/// Runs a request's work under the key that it named.
pub(crate) async fn keyed<T>(key: Keyed, work: impl Future<Output = T>) -> T {
    KEYED.scope(key, Box::pin(work)).await
}

/// The key that the request named; `None`: none.
pub(crate) fn key() -> Option<Keyed> {
    KEYED.try_with(Clone::clone).ok()
}
