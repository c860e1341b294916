//! Sessions whose data passes through filters: an exchange and the copiers between it, the filters and the right side.
//!
//! Each part of the way ends by itself when the end of the data reaches it. What is here is the other ends: a part that fails,
//! and what becomes of the rest of the way when the exchange is over.

use super::tasks::{all, outcome, worse};
use crate::{
    error::Error,
    register,
    scenario::{Callback, Flow, OptsReader, RhFn, RhOpts, RhResult, Scenario, TaskHandle, run, task},
};
use rhai::{Array, Engine, NativeCallContext};
use serde::Deserialize;
use sockets::stop::Stop;
use std::{pin::pin, time::Duration};
use tokio::{task::JoinSet, time::sleep};

/// For what is on its way through the filters when the session did not end by the end of its data: as much as an exchange has
/// for its last writes.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Options of `exchange_through_filters`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct FiltersOpts {
    /// The end of one part of the way ends the session
    exit_on_eof: bool,
    /// The failure of one part of the way ends the session
    end_on_error: bool,
}

/// A task that runs copiers, which connect filters with each other and with the sides, together with the exchange that the
/// function gives. It is over when all of them are. If the exchange does not end in order, two seconds are left for the others.
fn exchange_through_filters(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<FiltersOpts>,
    copiers: Array,
    exchange: RhFn<()>,
) -> RhResult<TaskHandle> {
    let opts: FiltersOpts = OptsReader::read(opts)?;
    // Which one: what it is called is known to sockets, of which it has halves only.
    let copiers = all(copiers)?.into_iter().enumerate();
    let copiers = copiers
        .map(|(i, copier)| async move { run(copier).await.map_err(|e| e.context(format!("behind filter {}", i + 1))) });
    let callback = Callback::new(&ctx, exchange)?;
    let finisher = Scenario::of(&ctx)?.finishers.enter();
    Ok(task(async move {
        let _finisher = finisher;
        // Its own one: a filter that fails must end this session and no other.
        let stop = callback.stop().child();
        let exchange = callback.for_session(stop.clone()).task(())?;
        let mut copiers: JoinSet<_> = copiers.collect();
        let (result, failure) = until_exchanged(exchange, &mut copiers, &opts, &stop).await;
        let in_order = result.is_ok() && failure.is_none() && !opts.exit_on_eof;
        let rest = finish(&mut copiers, in_order, &stop).await;
        let failures = [result.err(), failure, rest].into_iter().flatten();
        failures.fold(None, |gravest, e| Some(worse(gravest, e))).map_or(Ok(Flow::Done), Err)
    }))
}

/// The result of the exchange, and what failed beside it.
async fn until_exchanged(
    exchange: crate::scenario::Task,
    copiers: &mut JoinSet<Result<(), Error>>,
    opts: &FiltersOpts,
    stop: &Stop,
) -> (Result<(), Error>, Option<Error>) {
    let mut exchange = pin!(run(exchange));
    let mut failure = None;
    loop {
        tokio::select! {
            result = &mut exchange => return (result, failure),
            Some(ended) = copiers.join_next() => {
                let error = outcome(ended).err();
                if opts.exit_on_eof || (opts.end_on_error && error.is_some()) {
                    stop.drain();
                }
                if let Some(error) = error {
                    failure = Some(worse(failure, error));
                }
            }
        }
    }
}

/// Waits for what is still on its way; gives the gravest failure.
async fn finish(copiers: &mut JoinSet<Result<(), Error>>, in_order: bool, stop: &Stop) -> Option<Error> {
    let mut failure = None;
    let mut too_long = pin!(async {
        if in_order {
            stop.drained().await;
        }
        sleep(LAST_WRITES).await;
    });
    loop {
        tokio::select! {
            biased;
            ended = copiers.join_next() => {
                let Some(ended) = ended else { return failure };
                if let Err(error) = outcome(ended) {
                    failure = Some(worse(failure, error));
                }
            }
            () = &mut too_long => {
                tracing::debug!("filters are left behind with what they still had");
                return failure;
            }
        }
    }
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

    #[test]
    fn wrong_use() {
        let e = eval_error("exchange_through_filters(#{}, [1], || dummy_task())");
        assert!(e.contains("item 1 of the list"), "{e}");
        let e = eval_error("exchange_through_filters(#{on_eof: true}, [], || dummy_task())");
        assert!(e.contains("`on_eof`"), "{e}");
    }
}
