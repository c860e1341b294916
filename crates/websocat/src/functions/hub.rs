//! Hubs: rooms in which each connection hears what the others say. The rooms themselves are `sockets::hub`.
//!
//! A script makes a hub once and has it in its closures; per connection it lets a socket join. No script runs per message.

use crate::{
    error::{Error, Kind},
    overlays::tee::Slow,
    register,
    scenario::{Flow, Handle, OptsReader, RhOpts, RhResult, TaskHandle, handle, task},
};
use rhai::{Blob, Dynamic, Engine};
use serde::Deserialize;
use sockets::{
    datagram::Flags,
    hub::{Hub, HubOptions, JoinOptions, MAX_NAME, MAX_PREFIX},
    socket::DatagramSocket,
};

/// Options of `hub`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct HubOpts {
    /// What happens to a member that does not keep up, when all that may wait for it does: `"disconnect"` (when absent), it is
    /// closed with code 1008 and cut off two seconds later; `"drop-oldest"`, it misses messages, which is logged; `"block"`,
    /// whoever says something waits for it
    slow: Option<Slow>,
    /// Members hear what they said themselves, too
    echo: bool,
    /// Rooms that may exist at the same time; 1024 when absent
    max_rooms: Option<usize>,
    /// Members of one room; 1024 when absent
    max_members: Option<usize>,
    /// Longest name of a room in bytes; 128 when absent
    max_name_bytes: Option<usize>,
    /// Longest message in bytes, in one piece or in several; 256 KiB when absent. A longer one is refused and ends what its
    /// member says; an exchange with `end_on_error` closes it with code 1009
    max_message_bytes: Option<usize>,
    /// Bytes that may wait for one member, and one message whatever its length; 1 MiB when absent
    max_backlog_bytes: Option<usize>,
    /// Messages that may wait for one member; 4096 when absent
    max_backlog_messages: Option<usize>,
    /// Memory in bytes that all messages which wait in the hub may take; 256 MiB when absent. A message that waits for several
    /// members counts once, and 40 bytes for each of them. When it is exceeded the members that take most of it, each its part of what
    /// it shares, are disconnected, whatever `slow` says, until a quarter is free; whoever speaks is, if that does not help
    max_total_bytes: Option<usize>,
}

/// Options of `join`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct JoinOpts {
    /// Stands before each text message that this member says, at most 256 bytes; binary messages are not changed
    prefix: String,
    /// Who it is in warnings of the log, such as the address of its client, at most 256 bytes
    name: String,
}

fn limit(option: &str, given: Option<usize>, absent: usize) -> RhResult<usize> {
    match given {
        Some(0) => Err(format!("option `{option}`: must be at least 1").into()),
        given => Ok(given.unwrap_or(absent)),
    }
}

/// Rooms for message sockets, made once and used by all connections. What a member of a room says goes to all other members of
/// it: whole messages, in one order for all, text as text. Pings, pongs and ends stay with the member.
fn hub(opts: RhOpts<HubOpts>) -> RhResult<Hub> {
    let opts: HubOpts = OptsReader::read(opts)?;
    let absent = HubOptions::default();
    Ok(Hub::new(HubOptions {
        slow: opts.slow.map_or(absent.slow, Into::into),
        echo: opts.echo,
        max_rooms: limit("max_rooms", opts.max_rooms, absent.max_rooms)?,
        max_members: limit("max_members", opts.max_members, absent.max_members)?,
        max_name: limit("max_name_bytes", opts.max_name_bytes, absent.max_name)?,
        max_message: limit("max_message_bytes", opts.max_message_bytes, absent.max_message)?,
        max_backlog: limit("max_backlog_bytes", opts.max_backlog_bytes, absent.max_backlog)?,
        max_backlog_messages: limit("max_backlog_messages", opts.max_backlog_messages, absent.max_backlog_messages)?,
        max_total: limit("max_total_bytes", opts.max_total_bytes, absent.max_total)?,
    }))
}

/// A new member of a room, as a datagram socket: what is written to it is said to the others, what they say is read from it. It
/// is a member from now on until the socket is gone; a room is there as long as it has members. Over a limit of the hub it is an
/// error, which a script can catch.
fn join(hub: &mut Hub, opts: RhOpts<JoinOpts>, room: &str) -> RhResult<Handle<DatagramSocket>> {
    let opts: JoinOpts = OptsReader::read(opts)?;
    if opts.prefix.len() > MAX_PREFIX {
        return Err(format!("option `prefix`: at most {MAX_PREFIX} bytes").into());
    }
    if opts.name.len() > MAX_NAME {
        return Err(format!("option `name`: at most {MAX_NAME} bytes").into());
    }
    let joined = hub.join(room, JoinOptions { prefix: opts.prefix.into(), name: opts.name.into() });
    joined.map(handle).map_err(|e| format!("join: {e}").into())
}

/// A task that says a string, as text, or a blob to all members of a room, and is over when it waits for each of them. After
/// five seconds it waits for nobody: whoever has no room for it then, misses it or is disconnected. It is no error if there is no
/// such room: then nobody is in it.
fn publish(hub: &mut Hub, room: &str, message: Dynamic) -> RhResult<TaskHandle> {
    let message = message.flatten();
    let kind = message.type_name();
    let (bytes, flags) = if message.is_string() {
        (message.into_string().ok().map(String::into_bytes), Flags::TEXT | Flags::UTF8)
    } else {
        (message.try_cast::<Blob>(), Flags::NONE)
    };
    let bytes = bytes.ok_or_else(|| format!("publish: the message must be a string or a blob, not {kind}"))?;
    let (hub, room) = (hub.clone(), room.to_owned());
    Ok(task(async move {
        let said = hub.publish(&room, &bytes, flags).await;
        said.map(|_| Flow::Done).map_err(|e| Error::with_source(Kind::Transfer, "publish", e))
    }))
}

/// How many members a room has now; 0 if it does not exist.
fn members(hub: &mut Hub, room: &str) -> i64 {
    hub.members(room).try_into().unwrap_or(i64::MAX)
}

/// Ends a hub: all members get what waits for them, then WebSockets are closed with code 1001, and nobody can join any more.
/// One that does not leave is cut off after ten seconds.
fn close_hub(hub: &mut Hub) {
    hub.close();
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Hub>("Hub");
    register!(engine, hub, join, publish, members, close_hub);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test]
    async fn members_hear_each_other_and_the_script() {
        let script = r#"
            let rooms = hub(#{slow: "block", max_rooms: 2, max_members: 3, max_name_bytes: 9, max_message_bytes: 99,
                max_backlog_bytes: 999, max_backlog_messages: 9, max_total_bytes: 9999});
            let a = rooms.join(#{prefix: "a: "}, "tea");
            let b = rooms.join(#{}, "tea");
            note(`${rooms.members("tea")}${rooms.members("coffee")} `);
            let lines = line_chunks(#{}, mock_stream_socket("R hello\\n|X"));
            sequential([
                copy_packets(99, take_source_part(lines), take_sink_part(a)),
                rooms.publish("tea", "all"),
                rooms.publish("coffee", "nobody"),
                rooms.publish("tea", blob(2, 33)),
                task_wrap(|| { rooms.close_hub(); note("closed "); dummy_task() }),
                exchange_packets(#{unidirectional: true}, b, stream_chunks(mock_stream_socket("W a: helloall!!|D"))),
                task_wrap(|| { note(`${rooms.members("tea")}`); dummy_task() }),
            ])"#;
        assert_eq!(run_script(script).await.unwrap(), "20 closed 0");
    }

    #[tokio::test]
    async fn echo_and_room_for_another_one() {
        let script = r#"
            let rooms = hub(#{echo: true, max_members: 1});
            let only = rooms.join(#{}, "x");
            try { rooms.join(#{}, "x"); } catch (why) { note(why + " "); }
            drop(only);
            let again = rooms.join(#{}, "x");
            exchange_packets(#{exit_on_eof: true}, stream_chunks(mock_stream_socket("R me|W me|X")), again)"#;
        assert_eq!(run_script(script).await.unwrap(), "join: the room has 1 members already (max_members) ");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_in_all_rooms_has_a_limit() {
        let script = r#"
            let rooms = hub(#{slow: "block", max_total_bytes: 300});
            let a = rooms.join(#{}, "a");
            let b = rooms.join(#{}, "b");
            sequential([
                rooms.publish("a", blob(150, 65)),
                rooms.publish("b", blob(90, 66)),
                on_failure(rooms.publish("b", blob(299, 67)), |why| { note(why.message); dummy_task() }),
                race([sleep_ms(60000), sequential([
                    exchange_packets(#{unidirectional: true}, a, dummy_datagram_socket()),
                    exchange_packets(#{unidirectional: true}, b, dummy_datagram_socket()),
                    task_wrap(|| { note(` ${rooms.members("a")}${rooms.members("b")}`); dummy_task() }),
                ])]),
            ])"#;
        let noted = run_script(script).await.unwrap();
        assert_eq!(
            noted,
            "publish: messages that wait take more than 300 bytes (max_total_bytes), and nobody else is to blame 00"
        );
    }

    #[tokio::test]
    async fn wrong_use() {
        for (script, part) in [
            ("hub(#{slow: \"drop\"})", "option `slow`: unknown variant `drop`, expected one of `block`, `drop-oldest`"),
            ("hub(#{max_rooms: 0})", "option `max_rooms`: must be at least 1"),
            ("hub(#{max_members: 0})", "option `max_members`: must be"),
            ("hub(#{max_backlog_bytes: -1})", "option `max_backlog_bytes`"),
            ("hub(#{max_total_bytes: 0})", "option `max_total_bytes`: must be"),
            ("hub(#{room: 1})", "unknown option `room`"),
            ("hub(#{}).join(#{prefix: 5}, \"x\")", "option `prefix`"),
            (
                "let p = \"\"; for i in 0..257 { p += \"x\"; } hub(#{}).join(#{prefix: p}, \"x\")",
                "`prefix`: at most 256",
            ),
            ("let n = \"\"; for i in 0..257 { n += \"x\"; } hub(#{}).join(#{name: n}, \"x\")", "`name`: at most 256"),
            ("hub(#{max_name_bytes: 3}).join(#{}, \"four\")", "join: the name of the room is longer than 3 bytes"),
            (
                "let h = hub(#{max_rooms: 1}); [h.join(#{}, \"a\"), h.join(#{}, \"b\")]",
                "join: there are 1 rooms already",
            ),
            ("let h = hub(#{}); h.close_hub(); h.join(#{}, \"x\")", "join: the hub was closed"),
            ("hub(#{}).publish(\"x\", 5)", "publish: the message must be a string or a blob, not i64"),
        ] {
            let e = eval_error(script);
            assert!(e.contains(part) && e.contains("line 1"), "{script}: {e}");
        }
        let (e, _) = run_script("hub(#{max_message_bytes: 3}).publish(\"x\", \"four\")").await.unwrap_err();
        assert!(e.to_string().contains("longer than the 3 bytes"), "{e}");
    }
}
