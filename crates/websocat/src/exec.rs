//! From script text to a task: compiles, evaluates, hands back what the script's last expression gave.
//!
//! The only way from text to something that runs, for planned scripts and `-x` alike. Errors of a script name their
//! position.

use crate::{
    error::{Error, Kind, Result},
    scenario::{Scenario, Take, Task, TaskHandle, limits, script_error},
};
use rhai::{
    Engine, Module, Shared,
    packages::{Package as _, StandardPackage},
};
use sockets::stop::Stop;
use std::sync::{Arc, LazyLock};

/// Rhai's own functions for numbers, ranges, strings, arrays, blobs and maps: two thousand, made once for all engines.
static STANDARD: LazyLock<Shared<Module>> = LazyLock::new(|| StandardPackage::new().as_shared_module());

/// An engine with the whole vocabulary of scenarios.
pub fn engine() -> Engine {
    let mut engine = Engine::new_raw();
    engine.register_global_module(STANDARD.clone());
    limits::install(&mut engine);
    crate::endpoints::register(&mut engine);
    crate::overlays::register(&mut engine);
    crate::functions::register(&mut engine);
    engine
}

/// Compiles and evaluates a script, inside a tokio runtime. The scenario must outlive the task.
pub fn load(text: &str, stop: Stop) -> Result<(Arc<Scenario>, Task)> {
    load_seeded(text, stop, None)
}

/// The same with a seed for all randomness of the scenario (`--random-seed`).
pub fn load_seeded(text: &str, stop: Stop, seed: Option<u64>) -> Result<(Arc<Scenario>, Task)> {
    let mut engine = engine();
    let ast = limits::compile(&mut engine, text)?;
    let scenario = Scenario::new(engine, ast, stop, seed)?;
    let value: rhai::Dynamic = limits::limited(|| scenario.engine.eval_ast(&scenario.ast)).map_err(script_error)?;
    let kind = scenario.engine.map_type_name(value.type_name()).to_owned();
    let handle = value
        .try_cast::<TaskHandle>()
        .ok_or_else(|| Error::new(Kind::Start, format!("script: its value must be a task, not {kind}")))?;
    let used_up = "script: its value is a task that was used up or taken away before";
    let task = handle.take("task").map_err(|_| Error::new(Kind::Start, used_up))?;
    Ok((scenario, task))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_without_end_is_an_error() {
        let e = load("let n = 0; while true { n += 1; }", Stop::new()).err().unwrap();
        assert!(e.to_string().contains("line 1"), "{e}");
    }

    #[test]
    fn calls_that_go_too_deep_are_an_error() {
        let deep =
            |n| load(&format!("fn f(n) {{ if n > 0 {{ f(n - 1) }} else {{ dummy_task() }} }}\nf({n})"), Stop::new());
        // Builds without optimisation have no stack for as many as there may be.
        assert!(deep(if cfg!(debug_assertions) { 40 } else { 62 }).is_ok());
        let e = deep(100).err().unwrap();
        let stopped = ["Stack overflow", "too deep"].iter().any(|part| e.to_string().contains(part));
        assert!(stopped && e.to_string().contains("line "), "{e}");
        assert_eq!(e.exit_code(), 1);
    }

    #[test]
    fn brackets_in_calls_that_go_too_deep_are_an_error() {
        let nested = |n: usize| format!("{}f(n - 1){}", "[".repeat(n), "]".repeat(n));
        let script = |n| format!("fn f(n) {{\nif n > 0 {{ {} }} else {{ 0 }} }}\nf(30); dummy_task()", nested(n));
        assert!(load(&script(1), Stop::new()).is_ok());
        let e = load(&script(300), Stop::new()).err().unwrap();
        assert!(e.to_string().contains("too deep (line "), "{e}");
        assert_eq!(e.exit_code(), 1);
    }

    #[test]
    fn text_that_nests_as_deep_as_it_may_is_read() {
        // More would not be: what the limit lets through must not need more stack than there is.
        for n in [150, 199] {
            assert!(load(&format!("{}dummy_task(){}", "task_wrap(|| ".repeat(n), ")".repeat(n)), Stop::new()).is_ok());
        }
        for (open, close) in [("task_wrap(|| ", ")"), ("[", "]"), ("(", ")"), ("if true {", "}"), ("`${", "}`")] {
            let e = load(&format!("{}1{}", open.repeat(2000), close.repeat(2000)), Stop::new()).err().unwrap();
            assert!(e.to_string().contains("maximum complexity (line 1"), "{open}: {e}");
        }
    }

    /// Half the stack of a thread has room for what is read without one of its own, and both ways have the same limit.
    #[test]
    fn shallow_text_is_read_where_it_is_wanted() {
        let work = || {
            for (open, close) in SHAPES {
                let mut told = vec![];
                for n in (1..100).chain([1001, 2000, 100_000]) {
                    let read = limits::compile(&mut engine(), &format!("{}1{}", open.repeat(n), close.repeat(n)));
                    told.extend(read.err().map(|e| (n, e.to_string())));
                }
                assert!(told.len() >= 3, "{open}: {told:?}");
                for (n, e) in told {
                    assert!(n > 100 && e.contains("maximum complexity (line 1"), "{open}: {n}: {e}");
                }
            }
        };
        std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap().join().unwrap();
        assert_eq!(engine().max_expr_depth(), 1000);
    }

    /// Ways in which text nests: what opens and what closes.
    const SHAPES: [(&str, &str); 11] = [
        ("task_wrap(|| ", ")"),
        ("[", "]"),
        ("#{a:", "}"),
        ("(", ")"),
        ("if true {", "}"),
        ("`${", "}`"),
        ("!", ""),
        ("- ", ""),
        ("2 ** ", ""),
        ("|| ", ""),
        ("f(1)[", "]"),
    ];

    #[test]
    fn values_that_grow_too_large_are_an_error() {
        for (body, part) in [
            ("let s = \"x\"; loop { s += s; }", "Length of string too large"),
            ("let s = \"x\"; s.pad(9000000000000000000, \"y\");", "Length of string too large"),
            ("let a = [1]; loop { a += a; }", "Size of array/BLOB too large"),
            ("let a = []; a.pad(9000000000000000000, 1);", "Size of array/BLOB too large"),
            ("blob(9000000000000000000)", "Size of array/BLOB too large"),
        ] {
            let e = load(body, Stop::new()).err().unwrap();
            assert!(e.to_string().contains(part) && e.to_string().contains("line 1"), "{body}: {e}");
            assert_eq!(e.exit_code(), 1);
        }
        assert_eq!(engine().max_map_size(), limits::MAX_KEYS);
    }

    #[tokio::test]
    async fn a_task_that_was_used_up_is_no_task() {
        let e = load("let t = dummy_task(); sequential([t]); t", Stop::new()).err().unwrap();
        assert_eq!(e.to_string(), "script: its value is a task that was used up or taken away before");
        let script = "let t = dummy_task();\nsequential([task_wrap(|| t),\ntask_wrap(|| t)])";
        let (_scenario, task) = load(script, Stop::new()).unwrap();
        let e = crate::scenario::run(task).await.unwrap_err();
        assert!(e.to_string().contains("a task that was used up or taken away before (line 3"), "{e}");
    }

    #[tokio::test]
    async fn callbacks_have_the_same_limits() {
        for (body, part, line) in [
            ("let s = \"x\"; loop { s += s; }", "string too large", "line "),
            ("g(60)", "go too deep", "line "),
            // Where Rhai does not know the place, it is that of the call that took the function.
            ("loop { let x = 1; }", "it ran for more than a second", "line "),
            ("f(1)", "Stack overflow", "line "),
            ("throw \"no\"", "Runtime error: no", "line 3"),
        ] {
            let deep = format!("{}g(n - 1){}", "[".repeat(300), "]".repeat(300));
            let script = format!(
                "fn f(n) {{ f(n + 1) }}\nfn g(n) {{ if n > 0 {{ {deep} }} else {{ 0 }} }} task_wrap(|| {{\n{body}; dummy_task() }})"
            );
            let (_scenario, task) = load(&script, Stop::new()).unwrap();
            let e = crate::scenario::run(task).await.unwrap_err();
            assert!(e.to_string().contains(part) && e.to_string().contains(line), "{body}: {e}");
            assert_eq!(e.exit_code(), 1);
        }
    }

    #[test]
    fn values_that_are_too_large_are_an_error() {
        for (script, part) in [
            ("let s = \"x\";\nfor i in 0..40 { s += s; }", "Length of string too large (line 2"),
            ("let s = \"x\";\ns.pad(2000000000, 'y');", "Length of string too large (line 2"),
            ("let a = [];\na.pad(2000000000, 1);", "Size of array/BLOB too large (line 2"),
            ("let b = 1;\nblob(5000000000, 1);", "Size of array/BLOB too large (line 2"),
        ] {
            let e = load(&format!("{script} dummy_task()"), Stop::new()).err().unwrap();
            assert!(e.to_string().contains(part) && e.exit_code() == 1, "{script}: {e}");
        }
    }

    /// Rhai's measuring takes it for impossible that a value within another one is shared.
    #[tokio::test]
    async fn variables_that_closures_share_are_measured() {
        let script = r#"
            let n = 1; let list = [n]; let map = #{n: n};
            let more = || { n += 1; list.push(n); list[0] = n; map.n = list; map.list = [n, list]; dummy_task() };
            more.call();
            let nested = [n, list, map, more];
            nested.push(map); nested += [n]; nested.insert(0, list);
            let pairs = nested.map(|x| [x, n]).filter(|x| x.len() > 0);
            let sent = || init_in_parallel([|slot| slot.send(n), |slot| slot.send(list)], |all| {
                all[1].push(n); all.push(list); list = all; let s = "" + all.len() + n;
                if list.len() != 3 { throw s; }
                parallel([
                    registry_send("x", list),
                    registry_recv_one("x", |got| { got.push(n); map.got = got; map.more = pairs; dummy_task() }),
                ])
            });
            sequential([task_wrap(more), task_wrap(sent), task_wrap(more)])"#;
        let (_scenario, task) = load(script, Stop::new()).unwrap();
        crate::scenario::run(task).await.unwrap();
    }

    #[tokio::test]
    async fn closures_of_other_arity_are_said_to_be() {
        let (_scenario, task) = load("task_wrap(|a, b| dummy_task())", Stop::new()).unwrap();
        let e = crate::scenario::run(task).await.unwrap_err().to_string();
        assert!(e.contains("a closure does not take what it is called with: ()") && e.contains("line 1"), "{e}");
    }

    #[test]
    fn too_many_operations_are_an_error() {
        // Few of them take long here, so that time is what runs out first unless it is taken away.
        let mut engine = engine();
        engine.on_progress(|_| None);
        engine.set_max_operations(10_000);
        let e = engine.run("let n = 0;\nloop { n += 1; }").map_err(script_error).unwrap_err();
        assert!(e.to_string().contains("Too many operations") && e.to_string().contains("line 2"), "{e}");
        assert_eq!(super::engine().max_operations(), 50_000_000);
        assert_eq!((e.exit_code(), super::engine().max_call_levels()), (1, 64));
    }

    #[test]
    fn the_operations_of_rhai_are_there() {
        for (script, expected) in [
            (
                "let a = [3, 1, 2]; a.sort(); a.push(4); a.map(|x| x * 2).filter(|x| x > 2).reduce(|s, x| s + x, 0)",
                "18",
            ),
            ("[1, 2, 3].index_of(2) + [1, 2, 3, 4].extract(1..3).len()", "3"),
            ("let m = #{a: 1, b: 2}; m.mixin(#{c: 3}); m.remove(\"a\"); m.keys().len() + m.values()[0]", "4"),
            (
                "let s = \" Hello \"; s.trim(); s.pad(6, '!'); s.to_lower().sub_string(1) + \"a-b\".split(\"-\").len()",
                "ello!2",
            ),
            (
                "let n = 0; for i in 0..5 { n += i; } for i in 1..=3 { n += i; } for i in range(0, 10, 5) { n += i; } n",
                "21",
            ),
            ("let b = blob(3, 7); b.push(1); b.len() + b[0] + parse_int(\"10\") + 7.max(9) + (1..4).start", "31"),
            (
                "let n = 0; for c in \"abc\".chars() { n += 1; } \"key=value\".index_of(\"=\") + n + if \"b\" in \"abc\" { 1 } else { 0 }",
                "7",
            ),
        ] {
            let text: String = engine().eval(&format!("str({{ {script} }})")).unwrap();
            assert_eq!(text.trim_matches('"'), expected, "{script}");
        }
    }

    #[test]
    fn engines_share_the_operations() {
        // More than other tests, which come and go meanwhile, have at a time.
        let engines: Vec<_> = (0..50).map(|_| engine()).collect();
        assert!(Shared::strong_count(&STANDARD) > engines.len());
    }

    #[test]
    fn the_value_must_be_a_task() {
        assert!(load("dummy_task()", Stop::new()).is_ok());
        let e = load("42", Stop::new()).err().unwrap();
        assert!(e.to_string().contains("must be a task"), "{e}");
        let e = load("let t = dummy_task(); spawn(t)", Stop::new()).err().unwrap();
        assert!(e.to_string().contains("line 1"), "{e}");
    }
}
