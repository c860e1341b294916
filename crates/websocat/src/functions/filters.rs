//! Sessions whose data passes through filters: an exchange and the copiers between it, the filters and the right side.
//!
//! Each part of the way ends by itself when the end of the data reaches it. What is here is the other ends: a part that fails,
//! and what becomes of the rest of the way when the exchange is over.

use super::{
    exchange::{PipeClosed, Relay, copy_size, linger, relay},
    tasks::{all_of, outcome, worse},
};
use crate::{
    error::Error,
    register,
    scenario::{Callback, Flow, OptsReader, RhFn, RhOpts, RhResult, Scenario, Task, TaskHandle, run, task},
};
use rhai::{Array, Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{exchange::HandedOn, info::SocketInfo, stop::Stop};
use std::{error, io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    task::{AbortHandle, JoinError, JoinSet},
    time::sleep,
};

/// For what is on its way through the filters when the session did not end by the end of its data: as much as an exchange has
/// for its last writes.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Largest piece that goes through a filter at once: what keeps usual messages whole.
const PIECE: i64 = 256 << 10;

/// Options of `exchange_through_filters`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct FiltersOpts {
    /// The end of one part of the way ends the session
    exit_on_eof: bool,
    /// The failure of one part of the way ends the session
    end_on_error: bool,
    /// Nothing comes from the right side: when the filters have nothing more for it, the session ends
    unidirectional: bool,
    /// Largest piece that is moved at once, in bytes; 256 KiB when absent
    buffer_size: Option<i64>,
    /// Milliseconds of silence of a WebSocket after which it is told that the filters have nothing more to say; -1: never
    linger_ms: Option<i64>,
}

/// A task that moves what filters say to their own writers, while the exchange that the function gives goes on. Filters are
/// sockets one of whose halves was swapped with another's; in their list tasks can stand, too. It is over when all of that is.
/// If the exchange does not end in order, two seconds are left for the filters, and nothing if the right side is to be reset.
/// That a filter takes no more is no failure if what it said ends in order.
fn exchange_through_filters(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<FiltersOpts>,
    filters: Array,
    exchange: RhFn<()>,
) -> RhResult<TaskHandle> {
    let opts: FiltersOpts = OptsReader::read(opts)?;
    let (mut tasks, mut relays) = (vec![], vec![]);
    let size = copy_size(opts.buffer_size.unwrap_or(PIECE))?;
    let in_full = !opts.exit_on_eof && !opts.unidirectional;
    let linger = opts.linger_ms.filter(|_| in_full).map(linger).transpose()?;
    for (i, filter) in filters.into_iter().enumerate() {
        match relay(size, linger, &filter.clone().flatten()) {
            Some(made) => relays.push(made?),
            None => tasks.push((i, filter)),
        }
    }
    let tasks = all_of(tasks)?;
    let callback = Callback::new(&ctx, exchange)?;
    let finisher = Scenario::of(&ctx)?.finishers.enter();
    Ok(task(async move {
        let _finisher = finisher;
        // Its own one: a filter that fails must end this session and no other.
        let stop = callback.stop().child();
        let exchange = callback.stopped_by(stop.clone()).task(())?;
        let mut session =
            Session { parts: tasks.into_iter().map(|task| over(None, task)).collect(), ..Session::default() };
        for (i, Relay { task, bytes, through, reader, writer }) in relays.into_iter().enumerate() {
            let moves = session.parts.spawn(over(Some(i), task));
            session.relays.push(Part { moves, bytes, through, reader, writer, over: false });
        }
        session.run(exchange, &opts, &stop).await;
        session.failure().map_or(Ok(Flow::Done), Err)
    }))
}

/// The number of a relay, and how it ended.
async fn over(relay: Option<usize>, task: Task) -> Result<Option<usize>, Error> {
    run(task).await.map(|()| relay)
}

/// A relay, without what it does.
struct Part {
    moves: AbortHandle,
    bytes: bool,
    through: Arc<SocketInfo>,
    reader: Arc<SocketInfo>,
    writer: Arc<SocketInfo>,
    /// It has ended in order, or nobody is there for what it moves.
    over: bool,
}

/// The parts of the way, and what came of those that are over.
#[derive(Default)]
struct Session {
    parts: JoinSet<Result<Option<usize>, Error>>,
    relays: Vec<Part>,
    /// The gravest one.
    failure: Option<Error>,
    /// Filters, or others, that took no more.
    refused: Vec<Error>,
}

impl Session {
    async fn run(&mut self, exchange: Task, opts: &FiltersOpts, stop: &Stop) {
        let result = self.until_exchanged(exchange, opts, stop).await;
        let mut in_order = self.failure.is_none() && !opts.exit_on_eof;
        if let Err(error) = result {
            if find::<HandedOn>(&error).is_some() {
                // The end would look like one in order to the right side, and to filters on the way.
                self.parts.abort_all();
            }
            in_order &= !self.failed(error);
        }
        self.finish(in_order, stop).await;
    }

    /// Something failed. Returns false if that may turn out to be none.
    fn failed(&mut self, error: Error) -> bool {
        if find::<PipeClosed>(&error).is_some() {
            self.refused.push(error);
            return false;
        }
        self.failure = Some(worse(self.failure.take(), error));
        true
    }

    /// One part is over. Returns whether it failed.
    fn ended(&mut self, ended: Result<Result<Option<usize>, Error>, JoinError>) -> bool {
        match outcome(ended) {
            Ok(relay) => {
                if let Some(part) = relay.flatten().and_then(|i| self.relays.get_mut(i)) {
                    part.over = true;
                }
                self.give_up_what_is_in_vain();
                false
            }
            Err(error) => {
                self.failed(error);
                true
            }
        }
    }

    /// What is said to a filter whose own words have ended, or reach nobody any more, is in vain.
    fn give_up_what_is_in_vain(&mut self) {
        loop {
            let deaf = |info: &Arc<SocketInfo>| {
                self.relays.iter().any(|part| part.over && Arc::ptr_eq(&part.reader, info)) || self.has_ended(info)
            };
            let in_vain = |part: &Part| !part.over && deaf(&part.writer);
            let Some(i) = self.relays.iter().position(in_vain) else { return };
            if let Some(part) = self.relays.get_mut(i) {
                part.over = true;
            }
        }
    }

    /// This is a filter, of which all that it said was read. The right side may go on listening.
    fn has_ended(&self, info: &Arc<SocketInfo>) -> bool {
        let is_filter = self.relays.iter().any(|part| Arc::ptr_eq(&part.through, info));
        is_filter && info.outcome.is_read_to_end()
    }

    /// Nothing that the exchange says reaches the right side any more.
    fn is_in_vain(&self) -> bool {
        let fed = |part: &Part| self.relays.iter().any(|other| Arc::ptr_eq(&other.writer, &part.through));
        // The filter that no other part writes to is the one that the exchange does.
        self.relays.iter().any(|part| !fed(part) && part.over)
    }

    /// The result of the exchange.
    async fn until_exchanged(&mut self, exchange: Task, opts: &FiltersOpts, stop: &Stop) -> Result<(), Error> {
        let mut exchange = pin!(run(exchange));
        loop {
            tokio::select! {
                result = &mut exchange => return result,
                Some(ended) = self.parts.join_next() => {
                    let failed = self.ended(ended);
                    let in_vain = opts.unidirectional && self.is_in_vain();
                    if in_vain && self.relays.iter().any(|part| part.bytes) {
                        return Ok(()); // there are no good-byes
                    }
                    if in_vain || opts.exit_on_eof || opts.end_on_error && failed {
                        stop.drain();
                    }
                }
            }
        }
    }

    /// Waits for what is still on its way.
    async fn finish(&mut self, in_order: bool, stop: &Stop) {
        let mut too_long = pin!(async {
            if in_order {
                stop.drained().await;
            }
            sleep(LAST_WRITES).await;
        });
        loop {
            self.give_up_what_is_in_vain();
            self.relays.iter().filter(|part| part.over).for_each(|part| part.moves.abort());
            tokio::select! {
                biased;
                ended = self.parts.join_next() => {
                    let Some(ended) = ended else { return };
                    self.ended(ended);
                }
                () = &mut too_long => {
                    tracing::debug!("filters are left behind with what they still had");
                    return;
                }
            }
        }
    }

    /// The gravest failure of all.
    fn failure(mut self) -> Option<Error> {
        for error in std::mem::take(&mut self.refused) {
            if find::<PipeClosed>(&error).is_some_and(|closed| self.has_ended(&closed.to)) {
                tracing::debug!(%error, "a filter took no more, and ended in order");
            } else {
                self.failure = Some(worse(self.failure.take(), error));
            }
        }
        self.failure
    }
}

/// Looks for a cause of this type.
fn find<T: error::Error + 'static>(error: &Error) -> Option<&T> {
    let mut next = error::Error::source(error);
    while let Some(e) = next {
        if let Some(found) = e.downcast_ref() {
            return Some(found);
        }
        // An io::Error answers `source()` with the source of what it wraps.
        next = match e.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => e.source(),
        };
    }
    None
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, exchange_through_filters);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test(start_paused = true)]
    async fn all_parts_are_waited_for() {
        let late = "sequential([sleep_ms(5000), task_wrap(|| { note(\"late\"); dummy_task() })])";
        for (options, exchange, out) in [
            ("#{}", "dummy_task()", "late"),
            ("#{end_on_error: true}", "dummy_task()", "late"),
            ("#{exit_on_eof: true}", "dummy_task()", ""),
        ] {
            let script = format!("exchange_through_filters({options}, [{late}], || {exchange})");
            assert_eq!(run_script(&script).await.unwrap(), out, "{script}");
        }
        // After a failure they have two seconds.
        let (e, out) =
            run_script(&format!("exchange_through_filters(#{{}}, [{late}], || fail(14))")).await.unwrap_err();
        assert_eq!((e.exit_code(), &*out), (14, ""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_filter_that_fails_ends_the_exchange_if_it_shall() {
        let start = tokio::time::Instant::now();
        for (option, seconds) in [("true", 1), ("false", 60)] {
            let script = format!(
                r#"exchange_through_filters(#{{end_on_error: {option}}}, [sequential([sleep_ms(1000), task_wrap(|| fail(26))])], || {{
                    exchange_packets(#{{}}, line_chunks(#{{}}, mock_stream_socket("T 60000|X")), dummy_datagram_socket())
                }})"#
            );
            let before = start.elapsed().as_secs();
            let (e, _) = run_script(&script).await.unwrap_err();
            assert_eq!((e.exit_code(), start.elapsed().as_secs() - before), (26, seconds), "{e}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_behind_filters_waits_for_replies() {
        let start = tokio::time::Instant::now();
        let cases = [
            // A second of silence, noticed an eighth late; without the option at once; at once when the peer has left.
            (
                1000,
                r"W \\x81\\x02hi|T 800|R \\x81\\x82\\0\\0\\0\\0ho|W \\x88\\0|R \\x88\\x80\\0\\0\\0\\0|X",
                1800..=1925,
            ),
            (0, r"W \\x81\\x02hi|W \\x88\\0|T 800|R \\x81\\x82\\0\\0\\0\\0ho|R \\x88\\x80\\0\\0\\0\\0|X", 800..=800),
            (-1, r"W \\x81\\x02hi|T 100|R \\x81\\x82\\0\\0\\0\\0ho\\x88\\x80\\0\\0\\0\\0|W \\x88\\0|X", 100..=350),
        ];
        for (linger, right, takes) in cases {
            let script = format!(
                r#"let left = line_chunks(#{{}}, mock_stream_socket("R hi\\n|X|W ho\\n|D"));
                let filter = line_chunks(#{{}}, mock_stream_socket("W hi\\n|D|R hi\\n|X"));
                let right = ws_wrap(#{{client: false, answer_close: true, own_control: true}}, mock_stream_socket("{right}"));
                swap_writers(right, filter);
                exchange_through_filters(#{{linger_ms: {linger}}}, [filter], || {{
                    exchange_packets(#{{linger_ms: {linger}}}, left, right)
                }})"#
            );
            let before = start.elapsed().as_millis();
            run_script(&script).await.map_err(|(e, _)| e.to_string()).expect(right);
            let took = start.elapsed().as_millis() - before;
            assert!(takes.contains(&took), "{right} took {took} ms");
        }
    }

    #[tokio::test]
    async fn a_filter_that_takes_no_more_may_have_had_enough() {
        for (says, right, status) in [("R xyz|X", "X|W xyz|D", 0), ("R xyz|ER", "X|W xyz", 27)] {
            let script = format!(
                r#"let deaf = bytemirror_socket(#{{max_buf_size: 10}});
                drop(take_read_part(deaf));
                let filter = mock_stream_socket("{says}");
                put_write_part(filter, take_write_part(deaf));
                let right = mock_stream_socket("{right}");
                swap_writers(right, filter);
                exchange_through_filters(#{{}}, [filter], || exchange_bytes(#{{}}, mock_stream_socket("R abc|X"), right))"#
            );
            let result = run_script(&script).await;
            assert_eq!(result.as_ref().err().map_or(0, |(e, _)| e.exit_code()), status, "{result:?}");
        }
    }

    #[test]
    fn wrong_use() {
        let lacks = eval_error("exchange_through_filters(#{}, [null_datagram_socket()], || dummy_task())");
        assert!(lacks.contains("no reader or no writer"), "{lacks}");
        let e = eval_error("exchange_through_filters(#{}, [1], || dummy_task())");
        assert!(e.contains("item 1 of the list"), "{e}");
        let e = eval_error("exchange_through_filters(#{on_eof: true}, [], || dummy_task())");
        assert!(e.contains("`on_eof`"), "{e}");
    }
}
