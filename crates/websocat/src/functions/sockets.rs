//! Sockets in a script's hands: taking them apart, putting them together, letting them go.
//!
//! A socket handle stays usable when halves were taken out of it; what it lost is simply missing then.

use super::tasks::until_aborted;
use crate::{
    error::{Error, Kind},
    register,
    scenario::{
        Handle, OptsReader, RhOpts, RhResult, Scenario, Take, TaskHandle, handle, kind_of, moved, stop_for, throw,
    },
};
use rhai::{Dynamic, Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    hangup::Hangup,
    info::SocketInfo,
    overlay::split_off::split_off,
    owners::{Half, Owner},
    socket::{DatagramSocket, StreamSocket},
    stream::{BoxStreamRead, BoxStreamWrite},
};
use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{Arc, PoisonError},
};

type StreamHandle = Handle<StreamSocket>;
type DatagramHandle = Handle<DatagramSocket>;

/// Takes the reader out of a stream socket.
fn take_read_part(h: StreamHandle) -> RhResult<Handle<BoxStreamRead>> {
    within(&h, |socket| socket.read.take())?.map(|half| moved(Some(half))).ok_or_else(|| lacks("reader"))
}

/// Takes the writer out of a stream socket.
fn take_write_part(h: StreamHandle) -> RhResult<Handle<BoxStreamWrite>> {
    within(&h, |socket| socket.write.take())?.map(|half| moved(Some(half))).ok_or_else(|| lacks("writer"))
}

/// Takes the reader out of a datagram socket.
fn take_source_part(h: DatagramHandle) -> RhResult<Handle<BoxDatagramRead>> {
    within(&h, |socket| socket.read.take())?.map(|half| moved(Some(half))).ok_or_else(|| lacks("reader"))
}

/// Takes the writer out of a datagram socket.
fn take_sink_part(h: DatagramHandle) -> RhResult<Handle<BoxDatagramWrite>> {
    within(&h, |socket| socket.write.take())?.map(|half| moved(Some(half))).ok_or_else(|| lacks("writer"))
}

/// Takes the hangup out of a socket of either kind. The handle is empty if the socket has none.
fn take_hangup_part(h: Dynamic) -> RhResult<Handle<Hangup>> {
    let hangup = match Either::of(h)? {
        Either::Stream(h) => within(&h, |socket| socket.hangup.take())?,
        Either::Datagram(h) => within(&h, |socket| socket.hangup.take())?,
    };
    Ok(moved(hangup))
}

/// Sets the reader of a stream socket; an old one is dropped.
fn put_read_part(h: StreamHandle, x: Handle<BoxStreamRead>) -> RhResult<()> {
    let x = x.take("reader")?;
    within(&h, |socket| socket.read = Some(x))
}

/// Sets the writer of a stream socket; an old one is dropped.
fn put_write_part(h: StreamHandle, x: Handle<BoxStreamWrite>) -> RhResult<()> {
    let x = x.take("writer")?;
    within(&h, |socket| socket.write = Some(x))
}

/// Sets the reader of a datagram socket; an old one is dropped.
fn put_source_part(h: DatagramHandle, x: Handle<BoxDatagramRead>) -> RhResult<()> {
    let x = x.take("reader")?;
    within(&h, |socket| socket.read = Some(x))
}

/// Sets the writer of a datagram socket; an old one is dropped.
fn put_sink_part(h: DatagramHandle, x: Handle<BoxDatagramWrite>) -> RhResult<()> {
    let x = x.take("writer")?;
    within(&h, |socket| socket.write = Some(x))
}

/// Sets the hangup of a socket of either kind; an empty handle takes it away.
fn put_hangup_part(h: Dynamic, x: Handle<Hangup>) -> RhResult<()> {
    let x = x.lock().unwrap_or_else(PoisonError::into_inner).take();
    match Either::of(h)? {
        Either::Stream(h) => within(&h, |socket| socket.hangup = x),
        Either::Datagram(h) => within(&h, |socket| socket.hangup = x),
    }
}

/// A new stream socket with the reader of `s1` and the writer of `s2`, and the hangups of both; they lose those parts.
fn combine_read_and_write_bytestream(s1: StreamHandle, s2: StreamHandle) -> RhResult<StreamHandle> {
    // One after the other: they may be the same socket.
    let (read, hangup1, link1, reader) =
        within(&s1, |s| (s.read.take(), s.hangup.take(), s.link.clone(), s.owner(Half::Read)))?;
    let (write, hangup2, link2, writer) =
        within(&s2, |s| (s.write.take(), s.hangup.take(), s.link.clone(), s.owner(Half::Write)))?;
    let hangup = Hangup::either(hangup1, hangup2);
    let info = info_of_both(&s1, &reader, &writer)?;
    Ok(handle(StreamSocket { read, write, hangup, link: link1.or(link2), info }))
}

/// A new datagram socket with the reader of `s1` and the writer of `s2`, and the hangups of both; they lose those parts.
fn combine_read_and_write_datagram(s1: DatagramHandle, s2: DatagramHandle) -> RhResult<DatagramHandle> {
    let (read, hangup1, link1, reader) =
        within(&s1, |s| (s.read.take(), s.hangup.take(), s.link.clone(), s.owner(Half::Read)))?;
    let (write, hangup2, link2, writer) =
        within(&s2, |s| (s.write.take(), s.hangup.take(), s.link.clone(), s.owner(Half::Write)))?;
    let hangup = Hangup::either(hangup1, hangup2);
    let info = info_of_both(&s1, &reader, &writer)?;
    Ok(handle(DatagramSocket { read, write, hangup, link: link1.or(link2), info }))
}

/// The record of a socket like the first one, of which at least one half is another socket's.
fn info_of_both<S: Halves>(s1: &Handle<S>, reader: &Owner, writer: &Owner) -> RhResult<Arc<SocketInfo>> {
    let own = within(s1, |s| s.info().clone())?;
    if Arc::ptr_eq(&own, &writer.info) && Arc::ptr_eq(&own, &reader.info) {
        return Ok(own);
    }
    let info = Arc::new(SocketInfo::clone(&own));
    info.set_owner(Half::Read, reader, true);
    info.set_owner(Half::Write, writer, true);
    Ok(info)
}

/// Options of `divert_writes`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct DivertOpts {
    /// The writer of the first socket is let go of without being shut down
    keep_open: bool,
}

/// A new datagram socket with the reader of `read` and the writer of `write`, which are used up. What can be read from
/// `write` is thrown away, so that a WebSocket there stays in order; when its peer leaves, so does the whole.
fn divert_writes(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<DivertOpts>,
    read: DatagramHandle,
    write: DatagramHandle,
) -> RhResult<DatagramHandle> {
    let DivertOpts { keep_open } = OptsReader::read(opts)?;
    if read.is(&write) {
        return Err("a socket cannot be diverted to itself".into());
    }
    let (mut read, write) = (read.take("socket")?, write.take("socket")?);
    if let Some(unused) = read.write.take().filter(|_| !keep_open) {
        shut_down(&ctx, datagram_shutdown(unused), ())?;
    }
    Ok(handle(split_off(read, write)))
}

/// Exchanges the readers of two sockets of one kind.
fn swap_readers(a: Dynamic, b: Dynamic) -> RhResult<()> {
    match Either::both(a, b)? {
        (Either::Stream(a), Either::Stream(b)) => swap(&a, &b, Half::Read, |s| &mut s.read),
        (Either::Datagram(a), Either::Datagram(b)) => swap(&a, &b, Half::Read, |s| &mut s.read),
        _ => Err(different_kinds()),
    }
}

/// Exchanges the writers of two sockets of one kind.
fn swap_writers(a: Dynamic, b: Dynamic) -> RhResult<()> {
    match Either::both(a, b)? {
        (Either::Stream(a), Either::Stream(b)) => swap(&a, &b, Half::Write, |s| &mut s.write),
        (Either::Datagram(a), Either::Datagram(b)) => swap(&a, &b, Half::Write, |s| &mut s.write),
        _ => Err(different_kinds()),
    }
}

/// Lets go of a socket, a half, a task or a hangup. Anything else only gives a warning.
fn drop(x: Dynamic) {
    let x = x.flatten();
    let emptied = empty::<StreamSocket>(&x)
        || empty::<DatagramSocket>(&x)
        || empty::<BoxStreamRead>(&x)
        || empty::<BoxStreamWrite>(&x)
        || empty::<BoxDatagramRead>(&x)
        || empty::<BoxDatagramWrite>(&x)
        || empty::<Hangup>(&x)
        || empty::<crate::scenario::Task>(&x);
    if !emptied {
        tracing::warn!("drop: there is nothing to let go of in a value of type {}", kind_of(&x));
    }
}

/// In the background, shuts the writer of a socket, or a writer alone, down, and lets go of it.
fn shutdown_and_drop(ctx: NativeCallContext<'_>, x: Dynamic) -> RhResult<()> {
    let x = x.flatten();
    if let Some(h) = x.read_lock::<StreamHandle>() {
        let mut socket = h.take("socket")?;
        if let Some(write) = socket.write.take() {
            // The socket stays whole until the direction has ended: closing it earlier could reset the connection.
            shut_down(&ctx, stream_shutdown(write), socket)?;
        }
    } else if let Some(h) = x.read_lock::<DatagramHandle>() {
        let mut socket = h.take("socket")?;
        if let Some(write) = socket.write.take() {
            shut_down(&ctx, datagram_shutdown(write), socket)?;
        }
    } else if let Some(h) = x.read_lock::<Handle<BoxStreamWrite>>() {
        shut_down(&ctx, stream_shutdown(h.take("writer")?), ())?;
    } else if let Some(h) = x.read_lock::<Handle<BoxDatagramWrite>>() {
        shut_down(&ctx, datagram_shutdown(h.take("writer")?), ())?;
    } else {
        return Err(format!("shutdown_and_drop takes a socket or a writer, not {}", kind_of(&x)).into());
    }
    Ok(())
}

async fn stream_shutdown(mut write: BoxStreamWrite) -> io::Result<()> {
    poll_fn(|cx| Pin::new(&mut *write).poll_shutdown(cx)).await
}

async fn datagram_shutdown(mut write: BoxDatagramWrite) -> io::Result<()> {
    poll_fn(|cx| write.poll_shutdown(cx)).await
}

fn shut_down(
    ctx: &NativeCallContext<'_>,
    shutdown: impl Future<Output = io::Result<()>> + Send + 'static,
    rest: impl Send + 'static,
) -> RhResult<()> {
    let stop = stop_for(&*Scenario::of(ctx)?);
    let runtime = tokio::runtime::Handle::try_current()
        .map_err(|e| throw(Error::with_source(Kind::Start, "cannot run anything in the background", e)))?;
    runtime.spawn(async move {
        if let Some(Err(error)) = until_aborted(&stop, shutdown).await {
            tracing::debug!(%error, "cannot shut a writer down before letting go of it");
        }
        std::mem::drop(rest);
    });
    Ok(())
}

/// A stream socket with every part missing, to be filled.
fn null_stream_socket() -> StreamHandle {
    handle(StreamSocket::default())
}

/// A datagram socket with every part missing, to be filled.
fn null_datagram_socket() -> DatagramHandle {
    handle(DatagramSocket::default())
}

/// Whether a handle is empty: its content was used, was taken away or never existed.
fn is_null(x: Dynamic) -> RhResult<bool> {
    let x = x.flatten();
    let null = is_empty::<StreamSocket>(&x)
        .or_else(|| is_empty::<DatagramSocket>(&x))
        .or_else(|| is_empty::<BoxStreamRead>(&x))
        .or_else(|| is_empty::<BoxStreamWrite>(&x))
        .or_else(|| is_empty::<BoxDatagramRead>(&x))
        .or_else(|| is_empty::<BoxDatagramWrite>(&x))
        .or_else(|| is_empty::<Hangup>(&x))
        .or_else(|| is_empty::<crate::scenario::Task>(&x));
    null.ok_or_else(|| format!("is_null takes a socket, a half, a task or a hangup, not {}", kind_of(&x)).into())
}

fn is_empty<T: Send + 'static>(x: &Dynamic) -> Option<bool> {
    x.read_lock::<Handle<T>>().map(|h| h.lock().unwrap_or_else(PoisonError::into_inner).is_none())
}

/// Takes the content out of a handle of this type.
fn empty<T: Send + 'static>(x: &Dynamic) -> bool {
    let Some(h) = x.read_lock::<Handle<T>>() else {
        return false;
    };
    let content = h.lock().unwrap_or_else(PoisonError::into_inner).take();
    std::mem::drop(content);
    true
}

/// A socket of either kind.
enum Either {
    Stream(StreamHandle),
    Datagram(DatagramHandle),
}

impl Either {
    fn of(x: Dynamic) -> RhResult<Self> {
        let x = x.flatten();
        if let Some(h) = x.read_lock::<StreamHandle>() {
            return Ok(Self::Stream(h.clone()));
        }
        if let Some(h) = x.read_lock::<DatagramHandle>() {
            return Ok(Self::Datagram(h.clone()));
        }
        Err(format!("a socket is needed here, not {}", kind_of(&x)).into())
    }

    fn both(a: Dynamic, b: Dynamic) -> RhResult<(Self, Self)> {
        Ok((Self::of(a)?, Self::of(b)?))
    }
}

fn different_kinds() -> Box<rhai::EvalAltResult> {
    "one socket carries bytes, the other messages; put chunks or lines on top of the first".into()
}

fn lacks(part: &str) -> Box<rhai::EvalAltResult> {
    format!("this socket has no {part}, or it was taken away before").into()
}

/// Works on the socket of a handle without taking it out. It may get parts of other arguments.
fn within<S, T>(h: &Handle<S>, f: impl FnOnce(&mut S) -> T) -> RhResult<T> {
    h.deepen();
    let mut socket = h.lock().unwrap_or_else(PoisonError::into_inner);
    socket.as_mut().map(f).ok_or_else(|| "this socket was used up or taken away before".into())
}

/// What both kinds of socket know of their halves.
trait Halves {
    fn info(&self) -> &Arc<SocketInfo>;
    fn is_linked(&self) -> bool;

    fn owner(&self, half: Half) -> Owner {
        self.info().owner(half, self.is_linked())
    }
}

impl Halves for StreamSocket {
    fn info(&self) -> &Arc<SocketInfo> {
        &self.info
    }

    fn is_linked(&self) -> bool {
        self.link.is_some()
    }
}

impl Halves for DatagramSocket {
    fn info(&self) -> &Arc<SocketInfo> {
        &self.info
    }

    fn is_linked(&self) -> bool {
        self.link.is_some()
    }
}

/// One after the other, since both may be the same socket. What the halves belong to goes with them.
fn swap<S: Halves, P>(
    a: &Handle<S>,
    b: &Handle<S>,
    half: Half,
    part: impl Fn(&mut S) -> &mut Option<P>,
) -> RhResult<()> {
    let (of_a, owner_a) = within(a, |s| (part(s).take(), s.owner(half)))?;
    let (of_b, owner_b) = within(b, |s| {
        let owner = s.owner(half);
        s.info().set_owner(half, &owner_a, false);
        (std::mem::replace(part(s), of_a), owner)
    })?;
    within(a, |s| {
        s.info().set_owner(half, &owner_b, false);
        if of_b.is_some() || part(s).is_none() {
            *part(s) = of_b;
        }
    })
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<StreamHandle>("StreamSocket");
    engine.register_type_with_name::<DatagramHandle>("DatagramSocket");
    engine.register_type_with_name::<Handle<BoxStreamRead>>("StreamRead");
    engine.register_type_with_name::<Handle<BoxStreamWrite>>("StreamWrite");
    engine.register_type_with_name::<Handle<BoxDatagramRead>>("DatagramRead");
    engine.register_type_with_name::<Handle<BoxDatagramWrite>>("DatagramWrite");
    engine.register_type_with_name::<TaskHandle>("Task");
    register!(
        engine,
        take_read_part,
        take_write_part,
        take_source_part,
        take_sink_part,
        take_hangup_part,
        put_read_part,
        put_write_part,
        put_source_part,
        put_sink_part,
        put_hangup_part,
        combine_read_and_write_bytestream,
        combine_read_and_write_datagram,
        divert_writes,
        swap_readers,
        swap_writers,
        drop,
        shutdown_and_drop,
        null_stream_socket,
        null_datagram_socket,
        is_null,
    );
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    /// Copies what a socket gives into a scripted peer that expects it.
    async fn gives(socket: &str, expected: &str) {
        let script = format!(
            "{socket} copy_bytes(100, take_read_part(s), take_write_part(mock_stream_socket(\"W {expected}|D\")))"
        );
        assert_eq!(run_script(&script).await.unwrap(), "", "{script}");
    }

    #[tokio::test]
    async fn parts_move_between_sockets() {
        gives("let s = mock_stream_socket(\"R ok\");", "ok").await;
        gives("let s = null_stream_socket(); put_read_part(s, take_read_part(mock_stream_socket(\"R ok\")));", "ok")
            .await;
        let combine =
            "let m = mock_stream_socket(\"R ok\"); let s = combine_read_and_write_bytestream(m, null_stream_socket());";
        gives(combine, "ok").await;
        gives("let m = mock_stream_socket(\"R ok\"); let s = null_stream_socket(); swap_readers(s, m);", "ok").await;
        gives("let s = mock_stream_socket(\"R ok\"); swap_readers(s, s);", "ok").await;
    }

    #[tokio::test]
    async fn writers_move_too() {
        let script = r#"
            let sink = mock_stream_socket("W ok|D");
            let s = null_stream_socket();
            let other = null_stream_socket();
            swap_writers(other, sink);
            put_write_part(s, take_write_part(other));
            copy_bytes(100, take_read_part(mock_stream_socket("R ok")), take_write_part(s))"#;
        assert!(run_script(script).await.is_ok());
    }

    #[tokio::test]
    async fn writes_are_diverted_and_what_the_other_socket_says_is_thrown_away() {
        for (options, read) in [("#{}", "D|R abc|X"), ("#{keep_open: true}", "R abc|X")] {
            let script = format!(
                r#"let read = stream_chunks(mock_stream_socket("{read}"));
                let write = stream_chunks(mock_stream_socket("R unheard|W xyz|D|X"));
                let both = divert_writes({options}, read, write);
                exchange_packets(#{{}}, stream_chunks(mock_stream_socket("W abc|D|R xyz|X")), both)"#
            );
            assert_eq!(run_script(&script).await.unwrap(), "", "{script}");
        }
        let twice = "let a = null_datagram_socket(); divert_writes(#{}, a, a); dummy_task()";
        assert!(eval_error(twice).contains("cannot be diverted to itself"));
    }

    #[tokio::test]
    async fn hangups_of_sockets() {
        let script = r#"
            let a = null_stream_socket();
            put_hangup_part(a, pre_triggered_hangup_handle());
            let b = null_datagram_socket();
            put_hangup_part(b, pre_triggered_hangup_handle());
            let c = null_datagram_socket();
            put_hangup_part(c, empty_hangup_handle());
            note(str(is_null(take_hangup_part(c))));
            let both = combine_read_and_write_bytestream(a, null_stream_socket());
            sequential([take_hangup_part(both), take_hangup_part(b), task_wrap(|| { note(" ok"); dummy_task() })])"#;
        assert_eq!(run_script(script).await.unwrap(), "true ok");
    }

    #[tokio::test]
    async fn errors_name_the_socket_that_a_half_came_from() {
        let swapped = r#"
            let a = mock_stream_socket("N first|X");
            let b = mock_stream_socket("N second|EW");
            swap_writers(a, b);
            exchange_bytes(#{unidirectional: true}, mock_stream_socket("R x"), a)"#;
        let combined = r#"
            let both = combine_read_and_write_bytestream(mock_stream_socket("N first|X"), mock_stream_socket("N second|EW"));
            exchange_bytes(#{unidirectional: true}, mock_stream_socket("R x"), both)"#;
        let relayed = r#"
            let a = mock_stream_socket("N first|R x|X");
            let b = mock_stream_socket("N second|EW");
            swap_writers(a, b);
            exchange_through_filters(#{}, [a], || dummy_task())"#;
        for script in [swapped, combined, relayed] {
            let (e, _) = run_script(script).await.unwrap_err();
            assert!(e.to_string().starts_with("writing to mock_stream_socket:N second"), "{e}");
        }
        let (e, _) = run_script(&relayed.replace("R x|X", "ER").replace("EW", "X")).await.unwrap_err();
        assert!(e.to_string().starts_with("reading from mock_stream_socket:N first"), "{e}");
    }

    #[tokio::test]
    async fn letting_go() {
        let script = r#"
            let s = null_stream_socket();
            drop(s);
            note(str(is_null(s)) + str(is_null(dummy_task())));
            drop(5);
            shutdown_and_drop(mock_stream_socket("D"));
            shutdown_and_drop(take_write_part(mock_stream_socket("D")));
            shutdown_and_drop(null_datagram_socket());
            sleep_ms(1)"#;
        assert_eq!(run_script(script).await.unwrap(), "truefalse");
    }

    #[tokio::test]
    async fn wrong_use() {
        for (script, part) in [
            ("take_read_part(null_stream_socket())", "has no reader"),
            ("take_sink_part(null_datagram_socket())", "has no writer"),
            ("let s = null_stream_socket(); drop(s); take_read_part(s)", "used up"),
            ("swap_readers(null_stream_socket(), null_datagram_socket())", "one socket carries bytes"),
            ("take_hangup_part(1)", "a socket is needed here"),
            ("shutdown_and_drop(1)", "takes a socket or a writer"),
            ("is_null(1)", "is_null takes"),
            ("take_read_part(null_datagram_socket())", "take_read_part (DatagramSocket)"),
            ("put_read_part(null_stream_socket(), null_stream_socket())", "put_read_part (StreamSocket, StreamSocket)"),
        ] {
            let e = eval_error(script);
            assert!(e.contains(part), "{script}: {e}");
        }
    }
}
