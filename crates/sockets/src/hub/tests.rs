//! Rooms: against a model, through the chopper, with members that do not keep up, come, leave and mean harm.

use super::*;
use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    exchange::{ExchangeOptions, ExchangePackets},
    stop::Stop,
    testing::{
        Chunk, Dice, PendingAt, Recorder, Schedule, chunk_source, collect_chunks, datagram_pair, drive, messages,
        schedules, write_chunks,
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};
use tokio::time::{Instant, timeout};

mod memory;
mod publish;

const PART: Flags = Flags::PARTIAL;
const POLICIES: [SlowConsumer; 3] = [SlowConsumer::Block, SlowConsumer::DropOldest, SlowConsumer::Disconnect];

fn hub(slow: SlowConsumer) -> Hub {
    Hub::new(HubOptions { slow, ..HubOptions::default() })
}

fn join(hub: &Hub, room: &str) -> (BoxDatagramRead, BoxDatagramWrite, Hangup) {
    let socket = hub.join(room, JoinOptions::default()).unwrap();
    (socket.read.unwrap(), socket.write.unwrap(), socket.hangup.unwrap())
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Writes one chunk; whether it was taken.
fn offer(write: &mut BoxDatagramWrite, bytes: &[u8], flags: Flags) -> bool {
    let written = write.poll_write(&mut noop(), &mut bytes.to_vec(), flags);
    matches!(written, Poll::Ready(Ok(())))
}

fn say(write: &mut BoxDatagramWrite, text: &str) {
    assert!(offer(write, text.as_bytes(), Flags::TEXT), "{text}");
    assert!(write.poll_flush(&mut noop()).is_ready());
}

fn poll_read(read: &mut BoxDatagramRead) -> Poll<Chunk> {
    let flags = ready!(read.poll_chunk(&mut noop(), usize::MAX)).unwrap();
    let chunk = (read.chunk_mut().to_vec(), flags - Flags::MORE);
    read.consume();
    Poll::Ready(chunk)
}

fn text(text: &str) -> Poll<Chunk> {
    Poll::Ready((text.into(), Flags::TEXT))
}

/// All that waits, as text.
fn heard(read: &mut BoxDatagramRead) -> Vec<String> {
    let next = || match poll_read(read) {
        Poll::Ready((bytes, flags)) if !flags.any(Flags::EOF) => Some(String::from_utf8(bytes).unwrap()),
        _ => None,
    };
    std::iter::from_fn(next).collect()
}

struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn counter() -> (Arc<Counter>, Waker) {
    let counter = Arc::new(Counter(AtomicUsize::new(0)));
    (counter.clone(), Waker::from(counter))
}

#[test]
fn all_others_hear_what_one_says_in_its_room_only() {
    for echo in [false, true] {
        let hub = Hub::new(HubOptions { echo, ..HubOptions::default() });
        let [mut a, mut b, mut c, mut other] = ["x", "x", "x", "y"].map(|room| join(&hub, room));
        assert_eq!((hub.members("x"), hub.members("y"), hub.members("z"), hub.rooms()), (3, 1, 0, 2));
        say(&mut a.1, "from a");
        say(&mut b.1, "from b");
        assert!(offer(&mut c.1, b"\0\xff", Flags::NONE) && c.1.poll_flush(&mut noop()).is_ready());
        let all = |own: &str| ["from a", "from b"].into_iter().filter(|m| echo || *m != own).collect::<Vec<_>>();
        for (reader, own) in [(&mut a.0, "from a"), (&mut b.0, "from b"), (&mut c.0, "")] {
            for expected in all(own) {
                assert_eq!(poll_read(reader), text(expected));
            }
            if !own.is_empty() || echo {
                assert_eq!(poll_read(reader), Poll::Ready((b"\0\xff".to_vec(), Flags::NONE)));
            }
            assert!(poll_read(reader).is_pending());
        }
        assert!(poll_read(&mut other.0).is_pending());
    }
}

fn some_chunks() -> Vec<Chunk> {
    let chunk = |bytes: &[u8], flags| (bytes.to_vec(), flags);
    vec![
        chunk(b"hello", Flags::TEXT),
        chunk(b"one", Flags::TEXT | PART),
        chunk(b"!", Flags::PING),
        chunk(b"", Flags::TEXT | PART),
        chunk(b"two", Flags::TEXT),
        chunk(b"", Flags::NONE),
        chunk(&[7; 3000], Flags::NONE),
        chunk(b"torn", Flags::TEXT | PART),
        chunk(b"\x03\xe8", Flags::EOF),
    ]
}

/// What the others get of these: whole messages, no control chunks.
fn said() -> Vec<Chunk> {
    messages(&some_chunks()).into_iter().filter(|(_, flags)| !flags.any(Flags::CONTROL | PART)).collect()
}

#[test]
fn every_schedule_gives_the_same() {
    for slow in POLICIES {
        for schedule in schedules() {
            let hub = hub(slow);
            let ((read, write, _), (read_b, write_b, _)) = (join(&hub, ""), join(&hub, ""));
            let mut write = schedule.datagram_write_half(write);
            let readers = [read_b, read].map(|read| schedule.datagram_read_half(read));
            drive(write_chunks(&mut *write, &some_chunks())).unwrap();
            drop((write, write_b));
            hub.close();
            for (mut read, expected) in readers.into_iter().zip([said(), vec![]]) {
                let mut got = messages(&drive(collect_chunks(&mut *read, schedule.read)).unwrap());
                let end = got.pop().unwrap();
                assert_eq!(end, (b"\x03\xe9".to_vec(), Flags::EOF | Flags::GONE));
                assert!(got == expected, "{slow:?} {schedule:?} {got:?}");
            }
        }
    }
}

#[test]
fn text_that_was_checked_stays_so_if_all_of_it_was() {
    let hub = hub(SlowConsumer::Block);
    let ((mut read, ..), (_, mut write, _)) = (join(&hub, ""), join(&hub, ""));
    let checked = Flags::TEXT | Flags::UTF8;
    for (first, last, expected) in
        [(checked, checked, checked), (checked, Flags::TEXT, Flags::TEXT), (Flags::TEXT, checked, Flags::TEXT)]
    {
        assert!(offer(&mut write, b"a", first | PART) && offer(&mut write, b"b", last));
        assert_eq!(poll_read(&mut read), Poll::Ready((b"ab".to_vec(), expected)));
    }
}

#[test]
fn text_is_prefixed_and_binary_is_not() {
    let hub = hub(SlowConsumer::Block);
    let (mut read, ..) = join(&hub, "");
    let mut write = hub.join("", JoinOptions { prefix: "me: ".into(), ..Default::default() }).unwrap().write.unwrap();
    say(&mut write, "hi");
    assert!(offer(&mut write, b"a", Flags::TEXT | PART));
    say(&mut write, "b");
    assert!(offer(&mut write, b"x", Flags::NONE));
    assert_eq!((poll_read(&mut read), poll_read(&mut read)), (text("me: hi"), text("me: ab")));
    assert_eq!(poll_read(&mut read), Poll::Ready((b"x".to_vec(), Flags::NONE)));
    let prefix = "x".repeat(MAX_PREFIX + 1).into();
    assert_eq!(hub.join("", JoinOptions { prefix, ..Default::default() }).err(), Some(HubError::PrefixTooLong));
    let name = "x".repeat(MAX_NAME + 1).into();
    assert_eq!(hub.join("", JoinOptions { name, ..Default::default() }).err(), Some(HubError::MemberNameTooLong));
}

#[test]
fn limits() {
    let hub =
        Hub::new(HubOptions { max_rooms: 2, max_members: 2, max_name: 3, max_message: 4, ..HubOptions::default() });
    let refused = |name: &str| hub.join(name, JoinOptions::default()).err();
    let mut members: Vec<_> = ["a", "a", "bcd"].iter().map(|room| join(&hub, room)).collect();
    assert_eq!(refused("a"), Some(HubError::RoomFull(2)));
    assert_eq!(refused("c"), Some(HubError::TooManyRooms(2)));
    assert_eq!(refused("abcd"), Some(HubError::NameTooLong(3)));
    // Whole or in parts; and what follows it is heard.
    let (_, write, _) = &mut members[0];
    for chunks in [vec![("12345", Flags::TEXT)], vec![("123", Flags::TEXT | PART), ("45", Flags::TEXT)]] {
        let error = drive(async {
            for (text, flags) in chunks {
                let mut bytes = text.as_bytes().to_vec();
                poll_fn(|cx| write.poll_write(cx, &mut bytes, flags)).await?;
            }
            io::Result::Ok(())
        });
        let error = error.unwrap_err();
        assert_eq!(error.get_ref().and_then(|e| e.downcast_ref()), Some(&HubError::MessageTooLong(4)));
    }
    say(write, "1234");
    assert_eq!(drive(hub.publish("a", b"12345", Flags::TEXT)), Err(HubError::MessageTooLong(4)));
    assert_eq!(heard(&mut members[1].0), ["1234"]);
    members.truncate(1);
    assert_eq!((hub.members("a"), hub.members("bcd"), hub.rooms()), (1, 0, 1));
    assert_eq!((refused("a"), refused("c")), (None, None));
    hub.close();
    assert_eq!((refused("a"), hub.members("a")), (Some(HubError::Closed), 1));
    drop(members);
    assert_eq!((hub.rooms(), lock(&hub.0.rooms).by_name.len()), (0, 0));
}

#[test]
fn ten_thousand_names_leave_nothing() {
    let hub = Hub::new(HubOptions { max_rooms: 10_000, ..HubOptions::default() });
    let members: Vec<_> = (0..10_000).map(|n| join(&hub, &n.to_string())).collect();
    assert_eq!(hub.join("one more", JoinOptions::default()).err(), Some(HubError::TooManyRooms(10_000)));
    assert_eq!(hub.rooms(), 10_000);
    drop(members);
    assert_eq!(hub.rooms(), 0);
    assert!(lock(&hub.0.rooms).by_name.capacity() < 32);
}

/// One that reads nothing, and refuses what it was lent.
fn stuck(hub: &Hub) -> (BoxDatagramRead, BoxDatagramWrite, Hangup) {
    let mut member = join(hub, "");
    let mut speaker = join(hub, "");
    say(&mut speaker.1, "first");
    assert!(member.0.poll_chunk(&mut noop(), usize::MAX).is_ready());
    member.0.sink_waits();
    member
}

#[tokio::test(start_paused = true)]
async fn who_does_not_keep_up() {
    for slow in POLICIES {
        let hub = Hub::new(HubOptions { slow, max_backlog: 30, max_backlog_messages: 8, ..HubOptions::default() });
        let (mut slow_one, mut quick, mut speaker) = (stuck(&hub), join(&hub, ""), join(&hub, ""));
        let mut got = Vec::new();
        let mut taken = 0;
        for n in 0..40 {
            if !offer(&mut speaker.1, format!("{n:05}").as_bytes(), Flags::TEXT) {
                break;
            }
            taken += 1;
            got.extend(heard(&mut quick.0));
        }
        assert_eq!(got, (0..taken).map(|n| format!("{n:05}")).collect::<Vec<_>>(), "{slow:?}: the quick one gets all");
        assert_eq!(poll_read(&mut slow_one.0), text("first"), "what it was lent is not taken back");
        let rest = heard(&mut slow_one.0);
        match slow {
            SlowConsumer::Block => {
                assert_eq!((taken, &*rest), (6, &got[..]), "30 bytes are six messages");
                assert!(offer(&mut speaker.1, b"00006", Flags::TEXT));
            }
            SlowConsumer::DropOldest => assert_eq!((taken, &*rest), (40, &got[34..])),
            SlowConsumer::Disconnect => {
                assert_eq!((taken, rest.len()), (40, 0));
                let end = (b"\x03\xf0too slow".to_vec(), Flags::EOF | Flags::GONE);
                assert_eq!(
                    [poll_read(&mut slow_one.0), poll_read(&mut slow_one.0)],
                    [Poll::Ready(end.clone()), Poll::Ready(end)]
                );
                // Who takes not even that is cut off.
                let start = Instant::now();
                slow_one.2.await;
                assert_eq!(start.elapsed(), Duration::from_secs(2));
            }
        }
        // It can still speak, until its session ends.
        let before = heard(&mut quick.0).len();
        say(&mut slow_one.1, "alive");
        assert_eq!(
            (before, &*heard(&mut quick.0)),
            (usize::from(slow == SlowConsumer::Block), &["alive".to_owned()][..])
        );
    }
}

#[tokio::test]
async fn many_small_messages_are_bounded_by_their_number() {
    let hub = Hub::new(HubOptions { slow: SlowConsumer::DropOldest, max_backlog_messages: 8, ..HubOptions::default() });
    let (mut slow_one, mut speaker) = (stuck(&hub), join(&hub, ""));
    (0..100).for_each(|n| say(&mut speaker.1, &n.to_string()));
    let rest: Vec<_> = (92..100).map(|n| n.to_string()).collect();
    assert_eq!((poll_read(&mut slow_one.0), heard(&mut slow_one.0)), (text("first"), rest));
}

/// Whoever had no turn is waited for, but not for long.
#[tokio::test(start_paused = true)]
async fn a_member_that_had_no_time_is_waited_for() {
    for slow in [SlowConsumer::DropOldest, SlowConsumer::Disconnect] {
        let hub = Hub::new(HubOptions { slow, max_backlog_messages: 4, ..HubOptions::default() });
        let (mut late, mut speaker) = (join(&hub, ""), join(&hub, ""));
        (0..4).for_each(|n| say(&mut speaker.1, &n.to_string()));
        assert!(!offer(&mut speaker.1, b"4", Flags::TEXT));
        assert_eq!(poll_read(&mut late.0), text("0"));
        assert!(offer(&mut speaker.1, b"4", Flags::TEXT));
        let start = Instant::now();
        poll_fn(|cx| speaker.1.poll_write(cx, &mut b"5".to_vec(), Flags::TEXT)).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        // From now on it is slow, until it has caught up.
        assert!(offer(&mut speaker.1, b"6", Flags::TEXT));
        let expected: &[&str] = if slow == SlowConsumer::DropOldest { &["3", "4", "5", "6"] } else { &[] };
        assert_eq!(heard(&mut late.0), expected);
        if slow == SlowConsumer::DropOldest {
            (0..4).for_each(|n| say(&mut speaker.1, &n.to_string()));
            assert!(!offer(&mut speaker.1, b"4", Flags::TEXT));
        }
    }
}

#[test]
fn whoever_waits_is_woken() {
    let options = HubOptions { slow: SlowConsumer::Block, max_backlog_messages: 1, ..HubOptions::default() };
    // By a member that takes something, that leaves, and by the end of the hub.
    for how in 0..3 {
        let hub = Hub::new(options);
        let (mut full, mut a, mut b) = (join(&hub, ""), join(&hub, ""), join(&hub, ""));
        drop((std::mem::replace(&mut a.0, chunk_source(vec![])), std::mem::replace(&mut b.0, chunk_source(vec![]))));
        let (read, reader) = counter();
        assert!(full.0.poll_chunk(&mut Context::from_waker(&reader), 9).is_pending());
        assert!(offer(&mut a.1, b"1", Flags::TEXT | Flags::MORE));
        assert_eq!(read.0.load(Relaxed), 0, "more is about to come");
        let ((first, waker_a), (second, waker_b)) = (counter(), counter());
        let write = |write: &mut BoxDatagramWrite, waker: &Waker, text: &str| {
            write.poll_write(&mut Context::from_waker(waker), &mut text.as_bytes().to_vec(), Flags::TEXT).is_ready()
        };
        assert!(!write(&mut a.1, &waker_a, "2"));
        assert_eq!(read.0.load(Relaxed), 1, "whoever waits for a reader has told it");
        assert!(!write(&mut b.1, &waker_b, "3"));
        let mut got = vec![];
        match how {
            0 => got.push(poll_read(&mut full.0)),
            1 => drop(std::mem::replace(&mut full.0, chunk_source(vec![]))),
            _ => hub.close(),
        }
        assert_eq!((first.0.load(Relaxed), second.0.load(Relaxed)), (1, 0));
        // The second one has to wait for the first, whatever it tries.
        assert!(!write(&mut b.1, &waker_b, "3"));
        assert!(write(&mut a.1, &waker_a, "2"));
        assert_eq!(second.0.load(Relaxed), 1);
        if how == 0 {
            assert!(!write(&mut b.1, &waker_b, "3"));
            got.push(poll_read(&mut full.0));
            assert_eq!((second.0.load(Relaxed), got), (2, vec![text("1"), text("2")]));
        }
        assert!(write(&mut b.1, &waker_b, "3"));
    }
}

#[test]
fn one_that_gives_up_lets_the_next_one_go_on() {
    let hub = Hub::new(HubOptions { slow: SlowConsumer::Block, max_backlog_messages: 1, ..HubOptions::default() });
    let (mut full, mut a) = (join(&hub, ""), join(&hub, ""));
    say(&mut a.1, "1");
    let (woken, waker) = counter();
    let mut b = hub.join("", JoinOptions::default()).unwrap().write.unwrap();
    assert!(!offer(&mut a.1, b"2", Flags::TEXT));
    assert!(b.poll_write(&mut Context::from_waker(&waker), &mut b"3".to_vec(), Flags::TEXT).is_pending());
    drop(a);
    assert_eq!(woken.0.load(Relaxed), 1);
    assert!(!offer(&mut b, b"3", Flags::TEXT));
    assert_eq!(poll_read(&mut full.0), text("1"));
    assert!(offer(&mut b, b"3", Flags::TEXT));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_hub_comes_after_what_waits() {
    let hub = hub(SlowConsumer::Disconnect);
    let (mut listener, mut speaker) = (join(&hub, ""), join(&hub, ""));
    say(&mut speaker.1, "last");
    hub.close();
    say(&mut speaker.1, "too late");
    assert_eq!(poll_read(&mut listener.0), text("last"));
    assert_eq!(poll_read(&mut listener.0), Poll::Ready((b"\x03\xe9".to_vec(), Flags::EOF | Flags::GONE)));
    let start = Instant::now();
    listener.2.await;
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

#[test]
fn scripts_speak_to_all() {
    let hub = hub(SlowConsumer::Disconnect);
    let (mut a, mut b) = (join(&hub, "x"), join(&hub, "x"));
    let publish = |room, bytes| drive(hub.publish(room, bytes, Flags::TEXT)).unwrap();
    assert_eq!((publish("x", b"hear"), publish("y", b"nobody")), (2, 0));
    assert_eq!([poll_read(&mut a.0), poll_read(&mut b.0)], [text("hear"), text("hear")]);
}

/// Long messages come in parts as long as readers want, and as buffers are.
#[test]
fn long_messages() {
    let hub = Hub::new(HubOptions { slow: SlowConsumer::Block, max_message: 1 << 20, ..HubOptions::default() });
    let ((mut read, ..), (_, mut write, _)) = (join(&hub, ""), join(&hub, ""));
    for (len, max, parts) in [(600_000, usize::MAX, 3), (200_000, usize::MAX, 1), (1000, 300, 4)] {
        let bytes: Vec<_> = (0..len).map(|n| n as u8).collect();
        assert!(offer(&mut write, &bytes, Flags::NONE));
        let mut got = vec![];
        for part in 1..=parts {
            let Poll::Ready(Ok(flags)) = read.poll_chunk(&mut noop(), max) else { panic!("{len}") };
            assert_eq!(flags.any(PART), part < parts);
            got.extend_from_slice(read.chunk_mut());
            // As masking does: nobody else sees it.
            read.chunk_mut().fill(0);
            read.consume();
        }
        assert!(got == bytes, "{len}");
    }
}

/// What each member has to get, by the plainest means: whole messages in lists.
struct Model {
    echo: bool,
    slow: SlowConsumer,
    most: usize,
    limit: usize,
    members: BTreeMap<usize, ModelMember>,
}

#[derive(Default)]
struct ModelMember {
    waiting: VecDeque<Vec<u8>>,
    /// Its sink has refused something since nothing waited.
    slow: bool,
    /// It was let go.
    over: bool,
}

impl Model {
    fn has_room(&self, member: &ModelMember, len: usize) -> bool {
        let bytes: usize = member.waiting.iter().map(Vec::len).sum();
        member.waiting.is_empty() || member.waiting.len() < self.most && bytes + len <= self.limit
    }

    /// Whether it is taken.
    fn say(&mut self, by: usize, message: &[u8]) -> bool {
        let hears: Vec<usize> =
            self.members.iter().filter(|(n, m)| !m.over && (self.echo || **n != by)).map(|(n, _)| *n).collect();
        let waits = |m: &ModelMember| !self.has_room(m, message.len()) && (self.slow == SlowConsumer::Block || !m.slow);
        if hears.iter().any(|n| waits(&self.members[n])) {
            return false;
        }
        for n in hears {
            let mut member = self.members.remove(&n).unwrap();
            while !self.has_room(&member, message.len()) && !member.over {
                member.over = self.slow == SlowConsumer::Disconnect;
                member.waiting.pop_front();
            }
            if member.over {
                member.waiting.clear();
            } else {
                member.waiting.push_back(message.to_vec());
            }
            self.members.insert(n, member);
        }
        true
    }
}

#[tokio::test(start_paused = true)]
async fn does_what_the_model_does() {
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let (slow, echo) = (POLICIES[seed as usize % 3], dice.below(2) == 0);
        let (most, limit) = ([1, 3, 20][dice.below(3)], [5, 30, 1000][dice.below(3)]);
        let options =
            HubOptions { slow, echo, max_backlog: limit, max_backlog_messages: most, ..HubOptions::default() };
        let hub = Hub::new(options);
        let mut model = Model { echo, slow, most, limit, members: BTreeMap::new() };
        let mut members = BTreeMap::new();
        let mut next = 0u32;
        for step in 0..400 {
            let at = format!("seed {seed} step {step}");
            let who = members.keys().nth(dice.below(members.len().max(1))).copied();
            match (dice.below(10), who) {
                (0, _) | (_, None) => {
                    if members.len() < 5 {
                        members.insert(step, join(&hub, ""));
                        model.members.insert(step, ModelMember::default());
                    }
                }
                (1, Some(who)) if dice.below(4) == 0 => {
                    members.remove(&who);
                    model.members.remove(&who);
                }
                (2..6, Some(who)) => {
                    // In one to three parts.
                    let mut message = next.to_be_bytes().to_vec();
                    message.extend(vec![who as u8; dice.below(12)]);
                    next += 1;
                    let write = &mut members.get_mut(&who).unwrap().1;
                    let cuts = [dice.below(message.len()), dice.below(3) * message.len()];
                    let first = cuts[0].min(cuts[1]);
                    if first > 0 {
                        assert!(offer(write, &message[..first], PART), "{at}");
                    }
                    let expected = model.say(who, &message);
                    assert_eq!(offer(write, &message[first..], Flags::NONE), expected, "{at}");
                    if !expected {
                        // Whoever cannot speak leaves, and others may.
                        members.remove(&who);
                        model.members.remove(&who);
                    } else {
                        assert!(write.poll_flush(&mut noop()).is_ready());
                    }
                }
                (6, Some(who)) => {
                    // Lent, refused once, then taken.
                    let (read, member) = (&mut members.get_mut(&who).unwrap().0, model.members.get_mut(&who).unwrap());
                    if member.waiting.is_empty() {
                        continue;
                    }
                    assert!(read.poll_chunk(&mut noop(), 99).is_ready(), "{at}");
                    read.sink_waits();
                    assert_eq!(Some(read.chunk_mut().to_vec()), member.waiting.pop_front(), "{at}");
                    member.slow = true;
                    read.consume();
                }
                (_, Some(who)) => {
                    let (read, member) = (&mut members.get_mut(&who).unwrap().0, model.members.get_mut(&who).unwrap());
                    let expected = match member.waiting.pop_front() {
                        Some(message) => Poll::Ready((message, Flags::NONE)),
                        None if member.over => Poll::Ready((b"\x03\xf0too slow".to_vec(), Flags::EOF | Flags::GONE)),
                        None => {
                            member.slow = false;
                            Poll::Pending
                        }
                    };
                    assert_eq!(poll_read(read), expected, "{at}");
                }
            }
            assert_eq!(hub.members(""), members.len(), "{at}");
        }
    }
}

/// Members on several threads that say and hear things, some of which come late and leave early: each hears the messages of
/// each other one in order and whole, and all hear them in one order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_hear_the_same_order() {
    const SPEAKERS: u32 = 4;
    const EACH: u32 = 400;
    for slow in POLICIES {
        let hub = Hub::new(HubOptions { slow, echo: true, max_backlog_messages: 64, ..HubOptions::default() });
        let mut tasks = tokio::task::JoinSet::new();
        let mut speakers = vec![];
        for n in 0..SPEAKERS {
            let (mut read, write, _) = join(&hub, "");
            speakers.push((n, write));
            tasks.spawn(async move {
                let mut got = vec![];
                while got.len() < (SPEAKERS * EACH) as usize {
                    let flags = poll_fn(|cx| read.poll_chunk(cx, usize::MAX)).await.unwrap();
                    let end = (slow, n, &*read.chunk_mut());
                    assert!(!flags.any(Flags::EOF), "{end:?}: a member that reads is never let go");
                    got.push(<[u8; 8]>::try_from(&*read.chunk_mut()).unwrap());
                    read.consume();
                }
                got
            });
        }
        for (n, mut write) in speakers {
            let hub = hub.clone();
            tasks.spawn(async move {
                for i in 0..EACH {
                    let (who, what) = (n.to_be_bytes(), i.to_be_bytes());
                    poll_fn(|cx| write.poll_write(cx, &mut who.to_vec(), PART)).await.unwrap();
                    poll_fn(|cx| write.poll_write(cx, &mut what.to_vec(), Flags::NONE)).await.unwrap();
                    if i % 7 == 0 {
                        poll_fn(|cx| write.poll_flush(cx)).await.unwrap();
                        // Comes and goes.
                        let (mut read, ..) = join(&hub, "");
                        let _ = poll_fn(|cx| Poll::Ready(read.poll_chunk(cx, 1))).await;
                    }
                }
                poll_fn(|cx| write.poll_flush(cx)).await.unwrap();
                vec![]
            });
        }
        let mut orders = vec![];
        while let Some(got) = timeout(Duration::from_secs(60), tasks.join_next()).await.expect("a wake-up was lost") {
            orders.push(got.unwrap());
        }
        orders.retain(|order| !order.is_empty());
        assert_eq!(orders.len(), SPEAKERS as usize);
        for n in 0..SPEAKERS {
            let of = orders[0]
                .iter()
                .filter(|m| m[..4] == n.to_be_bytes())
                .map(|m| u32::from_be_bytes([m[4], m[5], m[6], m[7]]));
            assert!(of.eq(0..EACH), "{slow:?}");
        }
        assert!(orders.iter().all(|order| *order == orders[0]), "{slow:?}");
        assert_eq!(hub.rooms(), 0);
    }
}

/// Exchanges between rooms and clients that are slow here and there.
#[test]
fn through_exchanges_of_choppy_clients() {
    for schedule in schedules().step_by(3).chain([Schedule { pending: PendingAt::Each, ..Schedule::WHOLE }]) {
        let hub = hub(SlowConsumer::Block);
        let recorder = Recorder::new();
        let client = |chunks: Vec<Chunk>| DatagramSocket {
            read: Some(chunk_source(chunks)),
            write: Some(recorder.datagrams()),
            ..DatagramSocket::default()
        };
        let (mut read, ..) = join(&hub, "");
        let speaker = schedule.datagram(client(some_chunks()));
        let member = hub.join("", JoinOptions::default()).unwrap();
        let options = ExchangeOptions { exit_on_eof: true, ..Default::default() };
        let exchange = ExchangePackets::new(speaker, member, options, Stop::new());
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(exchange)
            .unwrap();
        assert_eq!(hub.members(""), 1);
        let got: Vec<_> = std::iter::from_fn(|| match poll_read(&mut read) {
            Poll::Ready(chunk) => Some(chunk),
            Poll::Pending => None,
        })
        .collect();
        assert!(got == said(), "{schedule:?} {got:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_is_told_if_it_listens_and_cut_off_if_not() {
    for listens in [true, false] {
        let hub = Hub::new(HubOptions { max_backlog_messages: 2, ..HubOptions::default() });
        let (client, mut far) = datagram_pair(1);
        let member = hub.join("", JoinOptions::default()).unwrap();
        let options =
            ExchangeOptions { linger: Some(Duration::from_secs(1)), end_on_error: true, ..Default::default() };
        let session = tokio::spawn(ExchangePackets::new(client, member, options, Stop::new()));
        let (_read, mut write, _) = join(&hub, "");
        for n in 0..8 {
            // With turns for the session, which finds out that its client takes nothing.
            tokio::task::yield_now().await;
            say(&mut write, &n.to_string());
        }
        let start = Instant::now();
        if listens {
            let mut got = messages(&collect_chunks(&mut **far.read.as_mut().unwrap(), 99).await.unwrap());
            assert_eq!(got.pop(), Some((b"\x03\xf0too slow".to_vec(), Flags::EOF)));
            assert_eq!(got.first(), Some(&(b"0".to_vec(), Flags::TEXT)));
            assert!(got.len() < 4, "{got:?}");
            drop(far);
            session.await.unwrap().unwrap();
            assert_eq!(start.elapsed(), Duration::ZERO);
        } else {
            session.await.unwrap().unwrap();
            assert_eq!(start.elapsed(), Duration::from_secs(2));
        }
        assert_eq!(hub.members(""), 1);
    }
}

/// Halves that were taken apart: who only speaks hears nothing, and stays a member.
#[test]
fn a_half_alone() {
    let hub = hub(SlowConsumer::Block);
    let (mut listener, (read, mut write, hangup)) = (join(&hub, ""), join(&hub, ""));
    drop((read, hangup));
    assert_eq!(hub.members(""), 2);
    say(&mut write, "deaf");
    assert_eq!(drive(hub.publish("", b"to one", Flags::TEXT)), Ok(1));
    assert_eq!(heard(&mut listener.0), ["deaf", "to one"]);
    drop(write);
    assert_eq!(hub.members(""), 1);
}
