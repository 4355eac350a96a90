//! Telemetry on its way: kept while the link is down, bounded, sent one after the other. Whatever keeps it across restarts
//! takes the place of [`Outbox`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::hub::message::Message;
use crate::link::{Backoff, Session, SessionError};

/// The most messages that wait, and the most bytes of their bodies. The oldest go first: the newest say how things stand.
const MAX_MESSAGES: usize = 1_000;
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The first pause before a message is tried again, and the longest one.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Messages that wait to be sent.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    waiting: Arc<Mutex<Waiting>>,
    changed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<(Message, usize)>,
    bytes: usize,
    dropped: u64,
    sent: u64,
}

/// How an [`Outbox`] stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) waiting: usize,
    pub(super) sent: u64,
    pub(super) dropped: u64,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { waiting: Arc::default(), changed: watch::Sender::new(false) }
    }

    /// Takes a message in; where there is no room, the oldest are dropped.
    pub(super) fn push(&self, message: Message) {
        let size = message.body.to_string().len();
        let mut waiting = self.lock();
        waiting.messages.push_back((message, size));
        waiting.bytes += size;
        while waiting.messages.len() > MAX_MESSAGES || waiting.bytes > MAX_BYTES {
            waiting.pop();
            waiting.dropped += 1;
        }
        drop(waiting);
        self.changed.send_modify(|_| {});
    }

    pub(super) fn standing(&self) -> Standing {
        let waiting = self.lock();
        Standing { waiting: waiting.messages.len(), sent: waiting.sent, dropped: waiting.dropped }
    }

    /// Says that nothing will be added any more.
    pub(super) fn close(&self) {
        self.changed.send_replace(true);
    }

    /// Ready once everything was sent.
    pub(super) async fn emptied(&self) {
        while self.standing().waiting > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn first(&self) -> Option<Message> {
        self.lock().messages.front().map(|(message, _)| message.clone())
    }

    /// Takes `message` out again, unless it was dropped meanwhile.
    fn done(&self, message: &Message, sent: bool) {
        let mut waiting = self.lock();
        if waiting.messages.front().is_some_and(|(first, _)| first.id == message.id) {
            waiting.pop();
        }
        if sent { waiting.sent += 1 } else { waiting.dropped += 1 }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn pop(&mut self) {
        if let Some((_, size)) = self.messages.pop_front() {
            self.bytes -= size;
        }
    }
}

/// Sends what waits, in order, each once edgeHub has stored the one before; ends when the outbox is closed and empty.
pub(super) async fn run<S: Session>(session: Arc<S>, outbox: Outbox) {
    let mut changed = outbox.changed.subscribe();
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
    loop {
        let closed = *changed.borrow_and_update();
        let Some(message) = outbox.first() else {
            if closed || changed.changed().await.is_err() {
                return;
            }
            continue;
        };
        match session.send(message.clone()).await {
            Ok(()) => {
                outbox.done(&message, true);
                backoff.succeeded();
            }
            Err(error @ SessionError::Refused { .. }) => {
                tracing::error!(%error, id = message.id, "A message was dropped.");
                outbox.done(&message, false);
            }
            Err(error) => {
                let pause = backoff.failed();
                tracing::warn!(%error, pause_s = pause.as_secs_f64(), "A message waits; it is sent again.");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use serde_json::json;

    fn message(number: usize, text: &str) -> Message {
        let body = json!({ "text": text });
        Message { output: "health", id: number.to_string(), created: Timestamp::UNIX_EPOCH, body }
    }

    #[test]
    fn the_oldest_make_room() {
        let outbox = Outbox::new();
        (0..=MAX_MESSAGES).for_each(|number| outbox.push(message(number, "x")));
        assert_eq!(outbox.standing(), Standing { waiting: MAX_MESSAGES, sent: 0, dropped: 1 });
        assert_eq!(outbox.first().unwrap().id, "1");
        let large = "x".repeat(MAX_BYTES / 2);
        (0..3).for_each(|number| outbox.push(message(number, &large)));
        assert_eq!(outbox.standing().waiting, 1);
    }

    #[test]
    fn what_was_dropped_meanwhile_is_not_taken_out_twice() {
        let outbox = Outbox::new();
        outbox.push(message(1, "x"));
        outbox.done(&message(0, "x"), true);
        assert_eq!(outbox.standing(), Standing { waiting: 1, sent: 1, dropped: 0 });
    }
}
