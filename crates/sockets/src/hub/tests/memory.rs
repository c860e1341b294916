//! What all that waits in a hub takes, and who goes when that is too much.

use super::*;

const LIMIT: usize = 60_000;

/// What a hub has to count and whom it has to let go, by the plainest means.
#[derive(Default)]
struct Model {
    /// Of each message: bytes, and members that it was given to.
    said: Vec<(usize, usize)>,
    /// Room, and messages that wait.
    members: BTreeMap<usize, (usize, VecDeque<usize>)>,
}

impl Model {
    fn used(&self) -> usize {
        let waiting: std::collections::BTreeSet<_> = self.members.values().flat_map(|(_, waiting)| waiting).collect();
        waiting.into_iter().map(|n| self.said[*n].0 + 64 + 40 * self.said[*n].1).sum()
    }

    /// What a member is to blame for.
    fn blame(&self, member: usize) -> usize {
        let have = |n| self.members.values().filter(|(_, waiting)| waiting.contains(n)).count();
        self.members[&member].1.iter().map(|n| (self.said[*n].0 + 64 + 40 * self.said[*n].1) / have(n)).sum()
    }

    /// Those that are let go.
    fn say(&mut self, by: usize, len: usize) -> Vec<usize> {
        let mut gone = vec![];
        if self.used() + len + 64 > LIMIT {
            let mut fullest: Vec<_> = self.members.keys().copied().filter(|n| self.blame(*n) > 0).collect();
            fullest.sort_by_key(|n| std::cmp::Reverse(self.blame(*n)));
            for n in fullest {
                if self.used() + len + 64 <= LIMIT / 4 * 3 {
                    break;
                }
                self.members.get_mut(&n).unwrap().1.clear();
                gone.push(n);
            }
        }
        let room = self.members[&by].0;
        let hears = |n: usize, of: usize| of == room && n != by && !gone.contains(&n);
        let mut reached = 0;
        for (n, (of, waiting)) in &mut self.members {
            if hears(*n, *of) {
                waiting.push_back(self.said.len());
                reached += 1;
            }
        }
        self.said.push((len, reached));
        gone
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_counted_and_bounded_as_in_the_model() {
    let mut let_go = 0;
    for seed in 0..90 {
        let mut dice = Dice::new(seed);
        let options = HubOptions { max_total: LIMIT, slow: POLICIES[seed as usize % 3], ..HubOptions::default() };
        let hub = Hub::new(options);
        let mut model = Model::default();
        let mut members = BTreeMap::new();
        for step in 0..400 {
            let at = format!("seed {seed} step {step}");
            let who = members.keys().nth(dice.below(members.len().max(1))).copied();
            match (dice.below(10), who) {
                (0, _) | (_, None) if members.len() < 12 => {
                    let room = dice.below(4);
                    members.insert(step, join(&hub, &room.to_string()));
                    model.members.insert(step, (room, VecDeque::new()));
                }
                (1, Some(who)) if dice.below(4) == 0 => {
                    members.remove(&who);
                    model.members.remove(&who);
                }
                (2..6, Some(who)) => {
                    // No two sums are the same by chance.
                    let message = vec![b'x'; 1 + dice.below(9000)];
                    let gone = model.say(who, message.len());
                    assert!(offer(&mut members.get_mut(&who).unwrap().1, &message, Flags::NONE), "{at}");
                    for n in gone {
                        let end = Poll::Ready((b"\x03\xf0too slow".to_vec(), Flags::EOF | Flags::GONE));
                        assert_eq!(poll_read(&mut members.get_mut(&n).unwrap().0), end, "{at}");
                        members.remove(&n);
                        model.members.remove(&n);
                        let_go += 1;
                    }
                }
                (_, Some(who)) => {
                    let next = model.members.get_mut(&who).unwrap().1.pop_front();
                    let heard = match poll_read(&mut members.get_mut(&who).unwrap().0) {
                        Poll::Ready((bytes, Flags::NONE)) => Some(bytes.len()),
                        Poll::Pending => None,
                        other => panic!("{at}: {other:?}"),
                    };
                    assert_eq!(heard, next.map(|n| model.said[n].0), "{at}");
                }
                _ => {}
            }
            assert_eq!(hub.memory(), model.used(), "{at}");
            // Entries of the last message come on top.
            assert!(hub.memory() <= LIMIT + 12 * 40, "{at}");
        }
        drop(members);
        assert_eq!((hub.memory(), hub.rooms()), (0, 0));
    }
    assert!(let_go > 100, "{let_go}");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_slowest_goes_on() {
    let hub =
        Hub::new(HubOptions { max_total: 2000, slow: SlowConsumer::Block, max_backlog: 900, ..HubOptions::default() });
    let (mut stuck, mut speaker) = (join(&hub, "a"), join(&hub, "a"));
    assert!(offer(&mut speaker.1, &[b'x'; 900], Flags::NONE));
    let (woken, waker) = counter();
    let mut waiting = [b'y'; 500];
    let mut cx = Context::from_waker(&waker);
    assert!(speaker.1.poll_write(&mut cx, &mut waiting, Flags::NONE).is_pending());
    // Somebody in another room needs the memory.
    let (mut listener, mut other) = (join(&hub, "b"), join(&hub, "b"));
    assert!(offer(&mut other.1, &[b'z'; 400], Flags::NONE));
    assert_eq!(woken.0.load(Relaxed), 1);
    assert!(speaker.1.poll_write(&mut cx, &mut waiting, Flags::NONE).is_ready());
    assert_eq!(poll_read(&mut listener.0), Poll::Ready((vec![b'z'; 400], Flags::NONE)));
    assert!(matches!(poll_read(&mut stuck.0), Poll::Ready((why, _)) if why.ends_with(b"too slow")));
    assert!(timeout(Duration::from_secs(3), stuck.2).await.is_ok());
    assert_eq!(hub.memory(), 0);
}

#[test]
fn one_that_alone_takes_too_much_is_refused() {
    let hub = Hub::new(HubOptions { max_total: 1000, ..HubOptions::default() });
    let (mut read, mut write) = (join(&hub, "").0, join(&hub, "").1);
    let Poll::Ready(Err(error)) = write.poll_write(&mut noop(), &mut [0; 1000], Flags::NONE) else { panic!() };
    assert_eq!(error.get_ref().and_then(|e| e.downcast_ref()), Some(&HubError::NoMemory(1000)));
    assert_eq!(drive(hub.publish("", &[0; 1000], Flags::NONE)), Err(HubError::NoMemory(1000)));
    assert_eq!(hub.memory(), 0);
    assert!(offer(&mut write, &[1; 900], Flags::NONE));
    assert_eq!(poll_read(&mut read), Poll::Ready((vec![1; 900], Flags::NONE)));
}

/// Memory for so many bytes, and one more would be too much.
fn small(max_total: usize) -> Hub {
    Hub::new(HubOptions { max_total, slow: SlowConsumer::Block, ..HubOptions::default() })
}

fn is_let_go(read: &mut BoxDatagramRead) -> bool {
    let flags = read.poll_chunk(&mut noop(), usize::MAX);
    matches!(flags, Poll::Ready(Ok(flags)) if flags.any(Flags::EOF))
}

#[tokio::test(start_paused = true)]
async fn many_small_messages_count_as_much_as_they_take() {
    let hub = small(100_000);
    let (mut good, mut bad) = ([join(&hub, "good"), join(&hub, "good")], [join(&hub, "bad"), join(&hub, "bad")]);
    assert!(offer(&mut good[0].1, &[1; 5000], Flags::NONE));
    while !is_let_go(&mut bad[1].0) {
        bad[1].0.consume();
        // More than fit between two looks.
        for _ in 0..1000 {
            assert!(offer(&mut bad[0].1, b"", Flags::NONE));
        }
    }
    assert_eq!(poll_read(&mut good[1].0), Poll::Ready((vec![1; 5000], Flags::NONE)));
}

#[tokio::test(start_paused = true)]
async fn those_of_a_large_room_do_not_pay_for_each_other() {
    let hub = small(100_000);
    let mut crowd: Vec<_> = (0..20).map(|_| join(&hub, "crowd")).collect();
    assert!(offer(&mut crowd[0].1, &[1; 40_000], Flags::NONE));
    let mut pairs: Vec<_> = (0..3).map(|n| [join(&hub, &n.to_string()), join(&hub, &n.to_string())]).collect();
    for (n, pair) in pairs.iter_mut().enumerate() {
        assert!(offer(&mut pair[0].1, &vec![2; 29_999 - n], Flags::NONE));
    }
    assert!(is_let_go(&mut pairs[0][1].0));
    for member in &mut crowd[1..] {
        assert_eq!(poll_read(&mut member.0), Poll::Ready((vec![1; 40_000], Flags::NONE)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_half_read_counts_and_goes() {
    let hub = small(100_000);
    let mut pairs: Vec<_> = (0..3).map(|n| [join(&hub, &n.to_string()), join(&hub, &n.to_string())]).collect();
    for (n, [speaker, listener]) in pairs.iter_mut().enumerate() {
        let len = 30_000 + n;
        assert!(offer(&mut speaker.1, &vec![n as u8; len], Flags::NONE));
        let flags = listener.0.poll_chunk(&mut noop(), 10_000);
        assert!(matches!(flags, Poll::Ready(Ok(flags)) if flags.any(Flags::PARTIAL)));
    }
    let mut good = [join(&hub, "good"), join(&hub, "good")];
    assert!(offer(&mut good[0].1, &[7; 20_000], Flags::NONE));
    assert_eq!(poll_read(&mut good[1].0), Poll::Ready((vec![7; 20_000], Flags::NONE)));
    // The two with most, so that a quarter is free. What they have of the message is torn.
    let gone = pairs.iter_mut().map(|[_, listener]| {
        listener.0.consume();
        is_let_go(&mut listener.0)
    });
    assert_eq!(gone.collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(poll_read(&mut pairs[0][1].0), Poll::Ready((vec![0; 20_000], Flags::NONE)));
    drop((pairs, good));
    assert_eq!(hub.memory(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_speakers_wait_with_counts_and_goes() {
    let hub =
        Hub::new(HubOptions { max_total: 100_000, max_backlog: 1, slow: SlowConsumer::Block, ..HubOptions::default() });
    let mut bad: Vec<_> = (0..4).map(|_| join(&hub, "bad")).collect();
    let (woken, waker) = counter();
    let mut cx = Context::from_waker(&waker);
    // Nobody reads, and one after the other waits.
    assert!(offer(&mut bad[0].1, b"1", Flags::NONE));
    for (n, speaker) in bad.iter_mut().enumerate().skip(1) {
        assert!(speaker.1.poll_write(&mut cx, &mut vec![2; 29_000 + n], Flags::NONE).is_pending());
    }
    let mut good = [join(&hub, "good"), join(&hub, "good")];
    assert!(offer(&mut good[0].1, b"before", Flags::NONE));
    let mut other = [join(&hub, "other"), join(&hub, "other")];
    assert!(offer(&mut other[0].1, &[7; 20_000], Flags::NONE));
    assert_eq!(poll_read(&mut other[1].0), Poll::Ready((vec![7; 20_000], Flags::NONE)));
    assert_eq!(poll_read(&mut good[1].0), Poll::Ready((b"before".to_vec(), Flags::NONE)));
    // Those that were let go wait no more, and hold up nobody.
    assert!(woken.0.load(Relaxed) > 0);
    let gone: Vec<_> = bad.iter_mut().map(|member| is_let_go(&mut member.0)).collect();
    assert_eq!(gone, [false, false, true, true]);
    for n in [3, 2] {
        assert!(bad[n].1.poll_write(&mut cx, &mut [2], Flags::NONE).is_ready());
    }
    bad[0].0.consume();
    assert_eq!(poll_read(&mut bad[1].0), Poll::Ready((b"1".to_vec(), Flags::NONE)));
    assert!(bad[1].1.poll_write(&mut cx, &mut [2; 29_001], Flags::NONE).is_ready());
    drop((bad, good, other));
    assert_eq!(hub.memory(), 0);
}
