//! What is said by a script, which is held up by no member for ever.

use super::*;

/// A member that reads nothing, and for which no more may wait.
fn full(hub: &Hub, speaker: &mut BoxDatagramWrite) -> BoxDatagramRead {
    let read = hub.join("", JoinOptions { name: "a\nb".into(), ..Default::default() }).unwrap().read.unwrap();
    say(speaker, "0");
    say(speaker, "1");
    read
}

#[tokio::test(start_paused = true)]
async fn one_that_never_reads_holds_it_up_for_seconds_only() {
    for slow in POLICIES {
        let hub = Hub::new(HubOptions { slow, max_backlog_messages: 2, ..HubOptions::default() });
        let (mut quick, mut speaker) = (join(&hub, ""), join(&hub, "").1);
        let mut full = full(&hub, &mut speaker);
        assert_eq!(heard(&mut quick.0), ["0", "1"]);
        let start = Instant::now();
        let reached = hub.publish("", b"from the script", Flags::TEXT).await;
        let (took, missing) = match slow {
            SlowConsumer::Block => (5, 1),
            SlowConsumer::DropOldest => (1, 0),
            SlowConsumer::Disconnect => (1, 1),
        };
        assert_eq!((reached, start.elapsed()), (Ok(2 - missing), Duration::from_secs(took)), "{slow:?}");
        assert_eq!(heard(&mut quick.0), ["from the script"]);
        let expected: &[&str] = match slow {
            SlowConsumer::Block => &["0", "1"],
            SlowConsumer::DropOldest => &["1", "from the script"],
            SlowConsumer::Disconnect => &[],
        };
        assert_eq!(heard(&mut full), expected);
        // And goes on with the others.
        say(&mut speaker, "2");
        assert_eq!(heard(&mut quick.0), ["2"]);
    }
}

/// Those that wait by policy stay in their order, and lose nothing.
#[tokio::test(start_paused = true)]
async fn it_passes_by_whoever_waits() {
    let hub = Hub::new(HubOptions { slow: SlowConsumer::Block, max_backlog_messages: 2, ..HubOptions::default() });
    let (mut quick, mut speaker, mut other) = (join(&hub, ""), join(&hub, "").1, join(&hub, "").1);
    let mut full = full(&hub, &mut speaker);
    assert!(!offer(&mut speaker, b"2", Flags::TEXT));
    assert!(!offer(&mut other, b"3", Flags::TEXT));
    assert_eq!(heard(&mut quick.0), ["0", "1"]);
    let publish = |text: &'static str| hub.publish("", text.as_bytes(), Flags::TEXT);
    let later = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        publish("b").await
    };
    let (first, second) = tokio::join!(publish("a"), later);
    assert_eq!((first, second, heard(&mut quick.0)), (Ok(1), Ok(1), vec!["a".into(), "b".into()]));
    assert_eq!(heard(&mut full), ["0", "1"]);
    assert!(!offer(&mut other, b"3", Flags::TEXT), "it is not its turn");
    assert!(offer(&mut speaker, b"2", Flags::TEXT));
    assert!(offer(&mut other, b"3", Flags::TEXT));
    assert_eq!((heard(&mut quick.0), heard(&mut full)), (vec!["2".into(), "3".into()], vec!["2".into(), "3".into()]));
    say(&mut speaker, "4");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_given_up_says_nothing() {
    let hub = Hub::new(HubOptions { slow: SlowConsumer::Block, max_backlog_messages: 2, ..HubOptions::default() });
    let (mut quick, mut speaker) = (join(&hub, ""), join(&hub, "").1);
    let mut full = full(&hub, &mut speaker);
    assert_eq!(heard(&mut quick.0), ["0", "1"]);
    assert!(timeout(Duration::from_secs(1), hub.publish("", b"no", Flags::TEXT)).await.is_err());
    assert_eq!(heard(&mut full), ["0", "1"]);
    say(&mut speaker, "2");
    assert_eq!((heard(&mut quick.0), heard(&mut full)), (vec!["2".into()], vec!["2".into()]));
}
