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
    hub::{Hub, HubOptions, JoinOptions, MAX_PREFIX},
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
}

/// Options of `join`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct JoinOpts {
    /// Stands before each text message that this member says, at most 256 bytes; binary messages are not changed
    prefix: String,
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
    let joined = hub.join(room, JoinOptions { prefix: opts.prefix.into() });
    joined.map(handle).map_err(|e| format!("join: {e}").into())
}

/// A task that says a string, as text, or a blob to all members of a room, and is over when it waits for each of them. A room
/// that does not exist is none with nobody in it: no error.
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
