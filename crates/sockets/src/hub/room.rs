//! A room: its members, and the order in which messages enter it. No I/O.
//!
//! A message is given to all members under one lock, so that all get it at the same place in their order. Where it has to
//! wait for somebody, those that come later queue behind it: nobody is starved by shorter messages.

use super::{
    HubOptions, Message, lock,
    member::{Given, Leave, Member, Notice},
};
use crate::{backlog::SlowConsumer, info::SocketInfo};
use std::{
    collections::VecDeque,
    future::Future as _,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// How long a member that has not refused anything may take to come to it, when all that may wait for it does: its task
/// may not have had its turn. Then it is slow.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct Room {
    pub name: Box<str>,
    /// What is known of a member's socket is the same for all.
    pub info: Arc<SocketInfo>,
    echo: bool,
    /// The policy is that all wait, however long.
    blocks: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those who read.
    members: Vec<Arc<Member>>,
    /// Those who have a message that has to wait, in order.
    waiting: VecDeque<(u64, Waker)>,
    publishers: u64,
}

/// What became of a message.
enum Offered {
    /// So many members have it.
    Taken(usize),
    /// Its turn has not come.
    Behind,
    /// A member has no room for it.
    Waits,
}

impl Room {
    pub fn new(name: &str, options: HubOptions) -> Self {
        let info = SocketInfo {
            // Names may come from clients.
            specifier: Some(format!("hub:{}", name.escape_debug()).into()),
            // A member can end one direction alone: nobody needs to linger for it.
            half_close: true,
            ..SocketInfo::default()
        };
        let blocks = options.slow == SlowConsumer::Block;
        Self { name: name.into(), info: Arc::new(info), echo: options.echo, blocks, state: Mutex::default() }
    }

    pub fn add(&self, member: Arc<Member>) {
        lock(&self.state).members.push(member);
    }

    /// Those who read.
    pub fn members(&self) -> Vec<Arc<Member>> {
        lock(&self.state).members.clone()
    }

    /// A member that is too slow for the hub.
    pub fn let_go(&self, member: &Arc<Member>) {
        self.remove(member);
        member.end(Leave::TooSlow);
    }

    /// A member that reads no more.
    pub fn remove(&self, member: &Arc<Member>) {
        let mut state = lock(&self.state);
        if let Some(at) = state.members.iter().position(|other| Arc::ptr_eq(other, member)) {
            state.members.swap_remove(at);
            let (len, room) = (state.members.len(), state.members.capacity());
            if room > 4 * len + 16 {
                state.members.shrink_to(2 * len);
            }
        }
        state.wake_first();
    }

    /// All members have to leave.
    pub fn end(&self, why: Leave) {
        let mut state = lock(&self.state);
        for member in std::mem::take(&mut state.members) {
            member.end(why);
        }
        state.wake_first();
    }

    /// Whoever is the next to say something should look again.
    pub fn wake_first(&self) {
        lock(&self.state).wake_first();
    }

    fn wake_readers(&self) {
        lock(&self.state).members.iter().for_each(|member| member.wake_reader());
    }
}

impl State {
    fn wake_first(&self) {
        if let Some((_, waker)) = self.waiting.front() {
            waker.wake_by_ref();
        }
    }

    /// Gives a message to those who hear it; how many have it then, and what the user has to be told when the room is not
    /// locked any more. Those that are let go are members no more.
    fn give(&mut self, message: &Message, hears: impl Fn(&Arc<Member>) -> bool, room: &str) -> (usize, Vec<Notice>) {
        let (mut reached, mut notices) = (0, vec![]);
        self.members.retain(|member| {
            if !hears(member) {
                return true;
            }
            let (given, notice) = member.offer(message, room);
            notices.extend(notice);
            reached += usize::from(given == Given::Has);
            given != Given::LetGo
        });
        message.waits_for(reached);
        (reached, notices)
    }

    /// Puts this publisher into the queue, or remembers its new waker there.
    fn wait(&mut self, id: u64, waker: &Waker) {
        match self.waiting.iter_mut().find(|(waits, _)| *waits == id) {
            Some((_, known)) => known.clone_from(waker),
            None => self.waiting.push_back((id, waker.clone())),
        }
    }

    /// Takes this publisher out of the queue; the next one has its turn.
    fn stop_waiting(&mut self, id: u64) {
        self.waiting.retain(|(waits, _)| *waits != id);
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        self.wake_first();
    }
}

/// Somebody who says messages in a room, one after the other.
///
/// Pending: repeat with the same message. Drop: gives its turn up.
pub struct Publisher {
    room: Arc<Room>,
    id: u64,
    /// Stands in the room's queue.
    waits: bool,
    patience: Option<Pin<Box<Sleep>>>,
    /// Readers were not woken yet, since more is about to come.
    owes_wakes: bool,
}

impl Publisher {
    pub fn new(room: Arc<Room>) -> Self {
        let id = {
            let mut state = lock(&room.state);
            state.publishers += 1;
            state.publishers
        };
        Self { room, id, waits: false, patience: None, owes_wakes: false }
    }

    /// Gives a message to all members but the one that says it, or to none as long as it has to wait. Gives how many have it.
    /// They look at it after [`Publisher::flush`].
    pub fn poll_publish(&mut self, cx: &mut Context<'_>, message: &Message, by: Option<&Arc<Member>>) -> Poll<usize> {
        loop {
            let forced = self.patience.as_mut().is_some_and(|patience| patience.as_mut().poll(cx).is_ready());
            match self.offer(cx, message, by, forced) {
                Offered::Taken(reached) => {
                    self.patience = None;
                    self.owes_wakes = true;
                    return Poll::Ready(reached);
                }
                // Whoever it waits for may not know of what it has said before.
                Offered::Waits if self.patience.is_none() && !self.room.blocks => {
                    self.flush();
                    self.patience = Some(Box::pin(sleep(PATIENCE)));
                }
                Offered::Waits | Offered::Behind => {
                    self.flush();
                    return Poll::Pending;
                }
            }
        }
    }

    fn offer(&mut self, cx: &Context<'_>, message: &Message, by: Option<&Arc<Member>>, forced: bool) -> Offered {
        let (room, len) = (&*self.room, message.len());
        let hears = |member: &Arc<Member>| room.echo || !by.is_some_and(|by| Arc::ptr_eq(by, member));
        let mut state = lock(&room.state);
        if state.waiting.front().is_some_and(|(first, _)| *first != self.id) {
            self.waits = true;
            state.wait(self.id, cx.waker());
            return Offered::Behind;
        }
        if state.members.iter().any(|member| hears(member) && member.refuses(len, forced)) {
            // The member takes this lock before it wakes anybody, so that it finds us.
            self.waits = true;
            state.wait(self.id, cx.waker());
            return Offered::Waits;
        }
        let (reached, notices) = state.give(message, hears, &room.name);
        if std::mem::take(&mut self.waits) {
            state.stop_waiting(self.id);
        }
        drop(state);
        notices.into_iter().for_each(Notice::tell);
        Offered::Taken(reached)
    }

    /// Gives a message to all members without any more waiting, and before those that wait. Gives how many have it: not those
    /// for which too much waits.
    pub fn publish_now(&mut self, message: &Message) -> usize {
        let mut state = lock(&self.room.state);
        let (reached, notices) = state.give(message, |_| true, &self.room.name);
        if std::mem::take(&mut self.waits) {
            state.stop_waiting(self.id);
        }
        drop(state);
        notices.into_iter().for_each(Notice::tell);
        self.owes_wakes = true;
        reached
    }

    /// What it waited with is not to be said any more.
    pub fn give_up(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.patience = None;
            lock(&self.room.state).stop_waiting(self.id);
        }
    }

    /// Wakes those for whom there is something to read.
    pub fn flush(&mut self) {
        if std::mem::take(&mut self.owes_wakes) {
            self.room.wake_readers();
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.flush();
        self.give_up();
    }
}
