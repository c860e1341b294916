//! What waits for one member of a room, and what becomes of it when that is too much. No I/O.

use super::{HubOptions, Message, lock};
use crate::backlog::{Backlog, Offer, SlowConsumer};
use std::{
    future::{Future, poll_fn},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Between two warnings of messages that one member has missed, while it is slow.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// Entries of a queue whose memory an idle member may keep: 320 bytes, for messages that come one by one.
const KEPT_ENTRIES: usize = 8;

/// Why the hub ends a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It does not keep up.
    TooSlow,
    /// The hub was closed.
    GoingAway,
}

impl Leave {
    /// Body of the Close frame: RFC 6455 7.4.1.
    pub fn body(self) -> &'static [u8] {
        match self {
            Self::TooSlow => b"\x03\xf0too slow", // 1008, a policy
            Self::GoingAway => b"\x03\xe9",       // 1001
        }
    }

    /// How long it has to leave by itself. One that is slow may never take its Close; after the end of a hub much may
    /// wait for a good member.
    fn grace(self) -> Duration {
        match self {
            Self::TooSlow => Duration::from_secs(2),
            Self::GoingAway => Duration::from_secs(10),
        }
    }
}

/// What a member's reader gets.
pub enum Taken {
    /// A message; more waits behind it.
    Message { message: Message, more: bool },
    /// Nothing more will come.
    Over(Leave),
}

/// What became of a message for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    Has,
    /// There was no room for it.
    Misses,
    /// The member is let go.
    LetGo,
}

/// What the user has to be told, when no lock is held: writing it may take its time, and all of a room would wait.
#[must_use]
pub struct Notice(String);

impl Notice {
    pub fn tell(self) {
        tracing::warn!("hub: {}", self.0);
    }
}

/// Shared by the room, the member's halves and its hangup.
pub struct Member(Mutex<Queue>);

struct Queue {
    /// For the log; may be empty.
    name: Box<str>,
    backlog: Backlog<Message>,
    /// Of what it hears, the message of which its reader has lent a part; of what it says, the one that waits for others. Here,
    /// since they have to go with it.
    lent: Option<Message>,
    said: Option<Message>,
    /// Messages that it did not get since that was last told, beside those that the backlog has dropped.
    missed: u64,
    blocks: bool,
    /// Its reader, when it waits for a message.
    reader: Option<Waker>,
    /// Its hangup.
    hangup: Option<Waker>,
    /// Its sink has refused a message since the queue was empty, or it did not read for too long: nobody waits for it, but
    /// as the policy says.
    slow: bool,
    /// Somebody waits for room here.
    refused: bool,
    over: Option<Leave>,
    /// When it was last told that messages were dropped.
    told: Option<Instant>,
}

impl Member {
    pub fn new(options: &HubOptions, name: Box<str>) -> Self {
        Self(Mutex::new(Queue {
            name,
            missed: 0,
            backlog: Backlog::new(options.slow, options.max_backlog).with_most(options.max_backlog_messages),
            blocks: options.slow == SlowConsumer::Block,
            lent: None,
            said: None,
            reader: None,
            hangup: None,
            slow: false,
            refused: false,
            over: None,
            told: None,
        }))
    }

    /// Whoever wants to say a message of `len` bytes has to wait for this member; it will wake the room when it has taken
    /// something. `forced`: enough of that, unless all have to wait by policy.
    pub fn refuses(&self, len: usize, forced: bool) -> bool {
        let mut queue = lock(&self.0);
        if queue.backlog.has_room(len) {
            return false;
        }
        queue.slow |= forced;
        queue.refused = queue.blocks || !queue.slow;
        queue.refused
    }

    /// A message for it. It misses one that [`Member::refuses`] refuses, if nobody is let go by policy.
    pub fn offer(&self, message: &Message, room: &str) -> (Given, Option<Notice>) {
        let mut queue = lock(&self.0);
        let len = message.len();
        let given = match queue.backlog.offer(message.clone(), len, true, &mut drop) {
            Offer::Disconnect(why) => {
                let notice = Notice(format!("{} of room {room:?} is disconnected: {why}", queue.who()));
                drop(queue);
                self.end(Leave::TooSlow);
                return (Given::LetGo, Some(notice));
            }
            Offer::Kept => Given::Has,
            Offer::Dropped(_) => Given::Misses,
            Offer::Full(_) => {
                queue.missed += 1;
                Given::Misses
            }
        };
        let tells = queue.has_missed() && queue.told.is_none_or(|told| told.elapsed() >= TELL_AGAIN);
        (given, if tells { queue.missed(room) } else { None })
    }

    /// Wakes its reader if something waits for it.
    pub fn wake_reader(&self) {
        let mut queue = lock(&self.0);
        let waits = !queue.backlog.is_empty();
        let reader = queue.reader.take_if(|_| waits);
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The next message. Also whether somebody waits for room, who has to be woken.
    pub fn poll_take(&self, cx: &Context<'_>, room: &str) -> (Poll<Taken>, bool) {
        let mut queue = lock(&self.0);
        if let Some(message) = queue.backlog.take() {
            let more = !queue.backlog.is_empty();
            return (Poll::Ready(Taken::Message { message, more }), std::mem::take(&mut queue.refused));
        }
        queue.slow = false;
        let missed = queue.missed(room);
        queue.backlog.release_beyond(KEPT_ENTRIES);
        let taken = match queue.over {
            Some(why) => Poll::Ready(Taken::Over(why)),
            None => {
                if !queue.reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    queue.reader = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        };
        let refused = std::mem::take(&mut queue.refused);
        drop(queue);
        missed.into_iter().for_each(Notice::tell);
        (taken, refused)
    }

    /// Memory that it is to blame for: its part of each message that waits for it, and what it has to say.
    pub fn memory(&self) -> usize {
        let queue = lock(&self.0);
        queue.backlog.iter().chain(&queue.lent).chain(&queue.said).map(Message::share).sum()
    }

    /// A part of this message was lent, the rest is to follow.
    pub fn keep_lent(&self, message: Message) {
        let mut queue = lock(&self.0);
        if queue.over != Some(Leave::TooSlow) {
            queue.lent = Some(message);
        }
    }

    /// The message whose rest is to follow, unless it was taken away with all that waited.
    pub fn take_lent(&self) -> Option<Message> {
        lock(&self.0).lent.take()
    }

    /// It has this to say, which waits for others.
    pub fn keep_said(&self, message: Message) {
        let mut queue = lock(&self.0);
        if queue.over != Some(Leave::TooSlow) {
            queue.said = Some(message);
        }
    }

    /// What it has to say, unless that was taken away.
    pub fn take_said(&self) -> Option<Message> {
        lock(&self.0).said.take()
    }

    /// Its name, for the log.
    pub fn who(&self) -> String {
        lock(&self.0).who()
    }

    /// What it was lent is not taken for now. Whether somebody waits for it who need not, by policy.
    pub fn is_slow(&self) -> bool {
        let mut queue = lock(&self.0);
        queue.slow = true;
        !queue.blocks && std::mem::take(&mut queue.refused)
    }

    /// Nothing more is put in; one that is too slow loses what waits for it.
    pub fn end(&self, why: Leave) {
        let mut queue = lock(&self.0);
        queue.over.get_or_insert(why);
        if why == Leave::TooSlow {
            queue.backlog = Backlog::new(SlowConsumer::Block, 0);
            (queue.lent, queue.said) = (None, None);
        }
        let wakers = [queue.reader.take(), queue.hangup.take()];
        drop(queue);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Its reader is gone: what waited is given back, and what it has missed is told.
    pub fn leave(&self, room: &str) {
        let mut queue = lock(&self.0);
        let missed = queue.missed(room);
        queue.backlog = Backlog::new(SlowConsumer::Block, 0);
        queue.lent = None;
        queue.reader = None;
        drop(queue);
        missed.into_iter().for_each(Notice::tell);
    }

    fn poll_over(&self, cx: &Context<'_>) -> Poll<Leave> {
        let mut queue = lock(&self.0);
        if let Some(why) = queue.over {
            return Poll::Ready(why);
        }
        if !queue.hangup.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            queue.hangup = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Queue {
    fn has_missed(&self) -> bool {
        self.missed > 0 || self.backlog.has_dropped()
    }

    fn missed(&mut self, room: &str) -> Option<Notice> {
        let missed = self.backlog.take_dropped() + std::mem::take(&mut self.missed);
        (missed > 0).then(|| {
            self.told = Some(Instant::now());
            Notice(format!("{} of room {room:?} is too slow: {missed} messages were dropped for it", self.who()))
        })
    }

    /// Names may come from clients.
    fn who(&self) -> String {
        if self.name.is_empty() { "a member".into() } else { format!("member {}", self.name.escape_debug()) }
    }
}

/// Resolves when a member was told to leave and had its time for it.
pub fn let_go(member: Arc<Member>) -> impl Future<Output = ()> + Send {
    let mut grace = None;
    poll_fn(move |cx| {
        if grace.is_none() {
            grace = Some(Box::pin(sleep(ready!(member.poll_over(cx)).grace())));
        }
        grace.as_mut().map_or(Poll::Ready(()), |grace| grace.as_mut().poll(cx))
    })
}
