//! Messages between members.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::decision::{Epoch, RecordId};
use crate::frames::MAX_MESSAGE;
use crate::talk::Talk;

/// See the module. Postcard, one value, nothing after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Agreement.
    Talk(Talk),
    /// A member to its coordinator: here I am. See [`crate::lease`].
    Beat {
        /// The epoch that it agreed to.
        epoch: Epoch,
        /// Its clock.
        stamp_ns: u64,
        /// Grants a lease on this probe.
        echo: Option<u64>,
        /// Counter that has its promise.
        promised: u64,
    },
    /// The coordinator's answer.
    Pulse {
        /// The epoch.
        epoch: Epoch,
        /// Stamp of the beat.
        stamp_ns: u64,
        /// What is left of the majority's lease, milliseconds.
        remaining_ms: u32,
        /// The coordinator's clock.
        probe_ns: u64,
    },
    /// Here I am; tell me what was agreed, if you know more.
    Ask,
    /// Give me this record.
    Want(RecordId),
    /// A signed record: asked for, or given to one member for all.
    Record(Vec<u8>),
    /// A packet of the failure detector.
    Swim(Vec<u8>),
    /// I leave.
    Leave,
}

impl Message {
    /// Encodes. `None` if it is too long, which no message of sound contents is.
    pub fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_allocvec(self).ok().filter(|bytes| bytes.len() <= MAX_MESSAGE)
    }

    /// Decodes exactly one message.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_MESSAGE {
            return None;
        }
        let (message, rest) = postcard::take_from_bytes(bytes).ok()?;
        rest.is_empty().then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Decision, MAX_VOTERS, Voter};
    use crate::talk::Remaining;
    use alloc::boxed::Box;
    use weft_types::NodeId;

    #[test]
    fn the_longest_promise_fits_a_message() {
        let voters = (0..MAX_VOTERS)
            .map(|number| Voter { node: NodeId([u8::try_from(number).unwrap(); 16]), incarnation: u64::MAX })
            .collect();
        let mut decision = Decision::founding(u32::MAX, RecordId { epoch: u64::MAX, counter: 1 }, voters);
        decision.view = decision.voters.iter().map(|voter| voter.node).collect();
        let held = Some(Box::new(decision.clone()));
        let promise = Talk::Promise {
            epoch: decision.epoch,
            accepted: held.clone(),
            committed: held,
            remaining: Remaining { granted_ms: u32::MAX, quiet_ms: u32::MAX },
        };
        let bytes = Message::Talk(promise.clone()).encode().unwrap();
        assert_eq!(Message::decode(&bytes), Some(Message::Talk(promise)));
        assert_eq!(Message::decode(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn bytes_after_a_message_are_refused() {
        let mut bytes = Message::Ask.encode().unwrap();
        bytes.push(0);
        assert_eq!(Message::decode(&bytes), None);
    }
}
