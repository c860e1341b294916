//! Scripts that put things into each other: as deep as they may, on the stack that threads have, and deeper.

use crate::{
    exec,
    scenario::{nesting::MAX_NESTING, run},
};
use sockets::stop::Stop;

/// What a script begins with, and what it does over and over; the function that is to be named.
const WAYS: &[(&str, &str, &str)] = &[
    ("let x = dummy_task();", "x = sequential([x, dummy_task()])", "sequential"),
    ("let x = dummy_task();", "x = sequential([x])", "sequential"),
    ("let x = dummy_task();", "x = parallel([x])", "parallel"),
    ("let x = sleep_ms(1);", "x = race([(), x, sleep_ms(9000)])", "race"),
    ("let x = dummy_task();", "x = hangup2task(task2hangup(x, 0))", ""),
    ("let x = dummy_task();", "x = on_failure(x, |e| dummy_task())", "on_failure"),
    ("let x = dummy_task();", "x = exchange_through_filters(#{}, [x], || dummy_task())", "exchange_through_filters"),
    ("let x = dummy_task();", "let y = x; x = exchange_through_filters(#{}, [], || y)", "exchange_through_filters"),
    ("let x = dummy_task();", "let y = x; x = task_wrap(|| y)", "task_wrap"),
    ("let x = dummy_task();", "let y = [#{a: x}]; x = task_wrap(|| y[0].a)", "task_wrap"),
    ("let x = dummy_task();", "let y = x; x = sequential([task_wrap(|| y), dummy_task()])", ""),
    ("let x = dummy_task();", "let y = x; x = init_in_parallel([], |v| y)", "init_in_parallel"),
    ("let x = dummy_task();", "x = race([registry_send(\"a\", x), dummy_task()])", ""),
    ("let x = dummy_task();", "let y = x; x = close_on_failure(dummy_datagram_socket(), || y)", "close_on_failure"),
    ("let x = dummy_task();", "let y = x; x = watch_peer(#{}, dummy_datagram_socket(), || y)", "watch_peer"),
    (STREAM, "s = rate_limit(#{bytes_per_second: 1000000}, s)", "rate_limit"),
    (STREAM, "s = stream_logger(#{}, s)", "stream_logger"),
    (STREAM, "put_read_part(s, read_chunk_limiter(take_read_part(s), 2))", "read_chunk_limiter"),
    (
        STREAM,
        "let o = null_stream_socket(); swap_readers(s, o); \
        s = combine_read_and_write_bytestream(o, s); \
        put_read_part(s, read_chunk_limiter(take_read_part(s), 2))",
        "",
    ),
    (
        STREAM,
        "put_hangup_part(s, task2hangup(sleep_ms(5000), 0)); \
        s = combine_read_and_write_bytestream(s, s)",
        "combine_read_and_write_bytestream",
    ),
    (SINK, "put_write_part(t, write_chunk_limiter(take_write_part(t), 2))", "write_chunk_limiter"),
    (SINK, "put_write_part(t, write_buffer(take_write_part(t), 3))", "write_buffer"),
    (MESSAGES, "m = datagram_logger(#{}, m)", "datagram_logger"),
    (MESSAGES, "m = defragment_writes(#{}, m)", "defragment_writes"),
    (MESSAGES, "m = rate_limit(#{messages_per_second: 1000}, m)", "rate_limit"),
    (MESSAGES, "m = tee(#{}, [m])", "tee"),
    (MESSAGES, "m = simple_reuser(m, true).connect()", ""),
    (MESSAGES, "m = divert_writes(#{}, m, dummy_datagram_socket())", "divert_writes"),
];

const STREAM: &str =
    "let s = literal_socket(\"some bytes\"); let x = task_wrap(|| exchange_bytes(#{}, s, dummy_stream_socket()));";
const SINK: &str = "let t = dummy_stream_socket(); \
    let x = task_wrap(|| exchange_bytes(#{}, literal_socket(\"some bytes\"), t));";
const MESSAGES: &str = "let m = line_chunks(#{}, literal_socket(\"some\\nlines\\n\")); \
    let x = task_wrap(|| exchange_packets(#{}, m, dummy_datagram_socket()));";

/// Runs a script where the stack is half as large as the runtime's threads have it. `drops`: just drops its task.
fn on_a_thread(script: String, drops: bool) -> Result<(), String> {
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_scenario, task) = exec::load(&script, Stop::new()).map_err(|e| e.to_string())?;
            if drops { Ok(()) } else { run(task).await.map_err(|e| e.to_string()) }
        })
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap().join().unwrap()
}

fn times(n: usize, way: &(&str, &str, &str)) -> String {
    format!("{}\nfor i in 0..{n} {{ {} }}\nx", way.0, way.1)
}

#[test]
fn what_is_too_deep_is_an_error_that_says_where() {
    for way in WAYS {
        let e = on_a_thread(times(100_000, way), true).unwrap_err();
        let said = format!("{}: more than {MAX_NESTING} tasks, sockets or functions are inside of each other", way.2);
        assert!(e.contains(&said) && e.contains("line 2"), "{way:?}: {e}");
    }
}

#[test]
fn as_deep_as_may_be_runs_and_drops() {
    for way in WAYS {
        // Some put several things around what there was before.
        let deepest = (1..MAX_NESTING as usize).rev().find(|n| on_a_thread(times(*n, way), true).is_ok()).unwrap();
        assert!(deepest >= 30, "{way:?}: {deepest}");
        // The exchange is around it all.
        let deepest = deepest - 1;
        assert_eq!(on_a_thread(times(deepest, way), false), Ok(()), "{way:?}: {deepest}");
    }
}

/// Lists, maps and closures, which no native function sees.
#[test]
fn values_that_grow_into_each_other_are_an_error() {
    for (begin, again) in [
        ("let x = || 0;", "let y = x; x = || y.call();"),
        ("let x = || 0;", "let y = [1, #{a: x}, 2]; x = || y[1].a.call();"),
        ("let x = [];", "let y = x; x = [|| y];"),
        ("let x = [0];", "x = [x];"),
        ("let x = #{};", "x = #{a: 1, next: x, z: 2};"),
        ("let x = [0]; x.pad(50, 1);", "let y = x; x[49] = || y;"),
        ("fn f(x) { x } let x = Fn(\"f\");", "x = Fn(\"f\").curry(x);"),
        ("let x = || 0; fn add(x) { || x.call() }", "x = add(x);"),
    ] {
        let script = format!("{begin}\nfor i in 0..100000 {{ {again} }} dummy_task()");
        let e = on_a_thread(script, true).unwrap_err();
        let said = format!("more than {MAX_NESTING} lists, maps or functions are inside of each other here");
        assert!(e.contains(&said) && e.contains("line "), "{again}: {e}");
        // As deep as may be, also where each of many tasks has so much in it.
        let some = format!("{begin}\nfor i in 0..30 {{ {again} }} task_wrap(|| {{ let y = x; dummy_task() }})");
        assert_eq!(on_a_thread(some, false), Ok(()), "{again}");
    }
    let both =
        "let t = dummy_task(); for i in 0..1000 { let x = t; for i in 0..90 { x = [x]; } t = task_wrap(|| x); } t";
    let e = on_a_thread(both.into(), true).unwrap_err();
    assert!(e.contains("task_wrap: more than") && e.contains("line 1"), "{e}");
}

/// Functions that give tasks which wait for what the same function gives.
#[test]
fn tasks_that_wait_for_ever_more_are_an_error() {
    for again in [
        "sequential([task_wrap(|| f()), dummy_task()])",
        "race([task_wrap(|| f())])",
        "close_on_failure(dummy_datagram_socket(), || task_wrap(|| f()))",
        "watch_peer(#{}, dummy_datagram_socket(), || task_wrap(|| f()))",
        "exchange_through_filters(#{}, [], || task_wrap(|| f()))",
        "hangup2task(task2hangup(task_wrap(|| f()), 0))",
        "on_failure(task_wrap(|| f()), |e| { throw e.message })",
        "init_in_parallel([|v| f()], |v| dummy_task())",
    ] {
        let said = on_a_thread(format!("fn f() {{ {again} }}\nf()"), false);
        // What a hangup waits for is only logged.
        let ends = again.starts_with("hangup2task") && said.is_ok();
        let is_error = |e: &String| e.contains(&format!("more than {MAX_NESTING} tasks wait for each other"));
        assert!(ends || said.as_ref().is_err_and(is_error), "{again}: {said:?}");
    }
}

#[test]
fn what_comes_after_each_other_is_not_deep() {
    for script in [
        // A task that goes on with one like itself.
        "fn f(n) { sequential([dummy_task(), task_wrap(|| if n > 0 { f(n - 1) } else { dummy_task() })]) } f(1000)",
        // Arguments of calls that are over.
        "let x = sequential([sequential([dummy_task()])]); for i in 0..1000 { is_null(x); spawn_task(dummy_task()); } x",
        "let l = []; for i in 0..1000 { l.push(dummy_task()); } parallel([sequential(l)])",
        "let s = dummy_stream_socket(); for i in 0..1000 { put_read_part(s, take_read_part(s)); \
            swap_readers(s, dummy_stream_socket()); put_hangup_part(s, take_hangup_part(s)); } \
            exchange_bytes(#{}, s, dummy_stream_socket())",
        "let r = simple_reuser(dummy_datagram_socket(), true); for i in 0..1000 { drop(r.connect()); } dummy_task()",
        "let l = simple_reuser_listener(); let all = []; for i in 0..500 { all.push(l.maybe_init_then_connect(#{}, \
            |slot| slot.send(dummy_datagram_socket()), |s| { drop(s); dummy_task() })); } sequential(all)",
        // A closure that holds itself.
        "let f = (); f = || if f == () { dummy_task() } else { dummy_task() }; task_wrap(f)",
        "let m = #{}; let f = || { m.n = 1; dummy_task() }; m.f = [f, #{f: f, m: m}]; for i in 0..300 { f.call(); } \
            task_wrap(f)",
        "let l = []; for i in 0..200 { l.push([|| i, #{l: [i]}]); } dummy_task()",
        // A session that has the socket of the one before.
        "fn f(n, s) { file_socket(#{}, osstr_str(\"Cargo.toml\"), |t| { drop(s); if n > 0 { f(n - 1, t) } else { dummy_task() } }) } \
            f(300, dummy_stream_socket())",
        // Made anew from what there was before.
        "let f = || 0; for i in 0..1000 { let g = f.call(); f = || g; } dummy_task()",
    ] {
        assert_eq!(on_a_thread(script.into(), false), Ok(()), "{script}");
    }
}

/// Sockets that go from task to task, with one more around them each time.
#[test]
fn what_callbacks_get_is_as_deep_as_what_the_function_got() {
    let script = "fn f(s) { let l = simple_reuser_listener(); \
        l.maybe_init_then_connect(#{}, |slot| slot.send(s), |both| f(both)) }\nf(dummy_datagram_socket())";
    let e = on_a_thread(script.into(), false).unwrap_err();
    assert!(e.contains("maybe_init_then_connect: more than") && e.contains("line 1"), "{e}");
}
