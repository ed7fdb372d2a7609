//! The token of a virtual server: the instruction that has it goes first, so that every instruction ends.
//!
//! ```text
//!   member: none ──failed too often──▶ asked ──Token──▶ held for one waiter ──retired, or too long──▶ TokenBack
//!   keeper (member 0): free ──TokenAsk──▶ lent ──TokenBack──▶ lent to the next, in the order of asking
//! ```
//! Requests of the token's holder are urgent: they go to the front of their page's queue, also one that waits there
//! already (`Urge`), and other nodes give way at once, whatever their instructions hold. Pages that the holder has stay until its instruction retires. There
//! is one token, so it never meets another urgent request; pages it has are kept, an instruction needs finitely
//! many, and so it ends.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::codec::Message;
use crate::counters::count;
use crate::effect::Effect;
use crate::engine::Engine;
use crate::types::{Member, Waiter};

/// Who keeps the token.
pub(crate) const KEEPER: Member = Member(0);

/// The keeper's book.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Keeper {
    lent: Option<Member>,
    queue: VecDeque<Member>,
}

/// A member's part.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) enum Token {
    #[default]
    None,
    Asked,
    Held {
        waiter: Waiter,
        until: u64,
    },
}

impl Engine {
    /// The waiter whose requests are urgent, and until when.
    pub(crate) fn token_holder(&self) -> Option<(Waiter, u64)> {
        match self.token {
            Token::Held { waiter, until } => Some((waiter, until)),
            Token::None | Token::Asked => None,
        }
    }

    /// An instruction lost its pages too often.
    pub(crate) fn want_token(&mut self, waiter: Waiter, out: &mut Vec<Effect>) {
        self.waiters.want_token(waiter);
        self.ask_token(out);
    }

    fn ask_token(&mut self, out: &mut Vec<Effect>) {
        if self.token == Token::None {
            self.token = Token::Asked;
            self.send(KEEPER, Message::TokenAsk, out);
        }
    }

    pub(crate) fn on_token(&mut self, out: &mut Vec<Effect>) {
        if self.token != Token::Asked {
            return self.impossible();
        }
        match self.waiters.next_for_token() {
            Some(waiter) => {
                let until = self.now.saturating_add(self.limits.token_ns);
                self.token = Token::Held { waiter, until };
                count(&mut self.counters.tokens);
                if let Some(page) = self.waiters.parked_at(waiter)
                    && let Some(place) = self.layout.place(page)
                    && let Some(request) =
                        self.request(page).filter(|request| request.sent && !request.urgent)
                {
                    request.urgent = true;
                    self.send(place.locator, Message::Urge { page }, out);
                }
            }
            // The instruction ended meanwhile.
            None => self.give_token_back(out),
        }
    }

    /// The instruction of a waiter ended, or had the token for long enough.
    pub(crate) fn give_token_back(&mut self, out: &mut Vec<Effect>) {
        self.token = Token::None;
        self.send(KEEPER, Message::TokenBack, out);
        if self.waiters.anybody_wants_token() {
            self.ask_token(out);
        }
    }

    pub(crate) fn on_token_ask(&mut self, from: Member, out: &mut Vec<Effect>) {
        if self.keeper.queue.contains(&from) {
            return self.impossible();
        }
        self.keeper.queue.push_back(from);
        self.lend(out);
    }

    pub(crate) fn on_token_back(&mut self, from: Member, out: &mut Vec<Effect>) {
        if self.keeper.lent != Some(from) {
            return self.impossible();
        }
        self.keeper.lent = None;
        self.lend(out);
    }

    fn lend(&mut self, out: &mut Vec<Effect>) {
        if self.keeper.lent.is_none()
            && let Some(next) = self.keeper.queue.pop_front()
        {
            self.keeper.lent = Some(next);
            self.send(next, Message::Token, out);
        }
    }

    /// Whether the token is at home and nobody waits for it.
    pub(crate) fn token_is_idle(&self) -> bool {
        self.token == Token::None && self.keeper.lent.is_none() && self.keeper.queue.is_empty()
    }
}
