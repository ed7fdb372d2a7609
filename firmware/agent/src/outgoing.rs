//! Messages that wait for the channel, in order and bounded: when it is slow, what matters least goes first.

use alloc::collections::VecDeque;

use weft_wire::agent::ToServer;

/// Messages that wait. Beyond it the oldest log lines, heartbeats and figures go first.
const MAX_OUTGOING: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    queue: VecDeque<ToServer>,
}

impl Outgoing {
    /// Messages that still fit.
    pub(crate) fn room(&self) -> usize {
        MAX_OUTGOING.saturating_sub(self.queue.len())
    }

    /// Puts a message last. Figures that still wait give their place to newer ones of the same server, and load to newer
    /// load.
    pub(crate) fn push(&mut self, message: ToServer) {
        if let Some(old) = self.queue.iter_mut().find(|waiting| replaces(&message, waiting)) {
            *old = message;
            return;
        }
        if self.queue.len() >= MAX_OUTGOING {
            let least = self.queue.iter().position(|waiting| {
                matches!(
                    waiting,
                    ToServer::Log(_)
                        | ToServer::Heartbeat(_)
                        | ToServer::Console { .. }
                        | ToServer::SpanFigures(_)
                        | ToServer::Load(_)
                )
            });
            self.queue.remove(least.unwrap_or(0));
        }
        self.queue.push_back(message);
    }

    /// Puts a message first.
    pub(crate) fn push_front(&mut self, message: ToServer) {
        self.queue.push_front(message);
    }

    /// The next message.
    pub(crate) fn pop(&mut self) -> Option<ToServer> {
        self.queue.pop_front()
    }

    /// A new connection: keeps what is told once only; state is told anew.
    pub(crate) fn keep_words(&mut self) {
        self.queue.retain(|message| {
            matches!(message, ToServer::Log(_) | ToServer::Event(_) | ToServer::RecordResult(_))
        });
    }
}

/// Whether what waits says nothing any more beside a newer message.
fn replaces(new: &ToServer, waiting: &ToServer) -> bool {
    match (new, waiting) {
        (ToServer::SpanFigures(new), ToServer::SpanFigures(old)) => new.vs == old.vs,
        (ToServer::Load(_), ToServer::Load(_)) => true,
        _different => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use weft_types::VsId;
    use weft_wire::agent::RecordResult;
    use weft_wire::figures::SpanFigures;

    fn figures(vs: u8, uptime_ms: u64) -> ToServer {
        ToServer::SpanFigures(Box::new(SpanFigures {
            vs: VsId([vs; 16]),
            uptime_ms,
            ..SpanFigures::default()
        }))
    }

    fn result(number: u64) -> ToServer {
        ToServer::RecordResult(RecordResult { record: (1, number), result: Ok(()) })
    }

    fn rest(mut outgoing: Outgoing) -> Vec<ToServer> {
        core::iter::from_fn(|| outgoing.pop()).collect()
    }

    #[test]
    fn figures_that_wait_are_replaced_by_newer_ones_of_the_same_server() {
        let mut outgoing = Outgoing::default();
        for message in [figures(1, 10), figures(2, 11), result(1), figures(1, 20)] {
            outgoing.push(message);
        }
        assert_eq!(rest(outgoing), [figures(1, 20), figures(2, 11), result(1)]);
    }

    #[test]
    fn load_that_waits_is_replaced_by_newer_load() {
        let load = |uptime_ms| {
            ToServer::Load(Box::new(weft_wire::load::NodeLoad { uptime_ms, ..Default::default() }))
        };
        let mut outgoing = Outgoing::default();
        for message in [load(1), figures(1, 10), load(2), result(1)] {
            outgoing.push(message);
        }
        assert_eq!(rest(outgoing), [load(2), figures(1, 10), result(1)]);
    }

    #[test]
    fn a_full_queue_drops_figures_before_answers() {
        let mut outgoing = Outgoing::default();
        outgoing.push(result(0));
        outgoing.push(figures(1, 10));
        (1..300).for_each(|number| outgoing.push(result(number)));
        assert_eq!(outgoing.room(), 0);
        let kept = rest(outgoing);
        assert_eq!(kept.len(), MAX_OUTGOING);
        assert!(!kept.contains(&figures(1, 10)) && kept.contains(&result(299)));
    }

    #[test]
    fn a_new_connection_takes_words_along_and_no_state() {
        let mut outgoing = Outgoing::default();
        outgoing.push(figures(1, 10));
        outgoing.push(result(1));
        outgoing.keep_words();
        assert_eq!(rest(outgoing), [result(1)]);
    }
}
