//! The caller of a request, for the second look at what it changes.
//!
//! What the appliance does by itself (agents, events, the machine's owner at its own socket) has no caller, and is not
//! asked for leave.

use crate::accounts::Caller;

tokio::task_local! {
    static CALLER: Caller;
}

/// Runs a request's work as its caller.
pub(crate) async fn scope<T>(caller: Caller, work: impl Future<Output = T>) -> T {
    CALLER.scope(caller, work).await
}

/// Who asks; `None`: nobody does.
pub(crate) fn current() -> Option<Caller> {
    CALLER.try_with(Clone::clone).ok()
}
