//! For tests of scenario functions: scripts with three more functions: `note(text)`, `fail(status)` and `drain()`.

use crate::{
    error::{Error, Kind},
    exec,
    scenario::{Scenario, Take as _, TaskHandle, run, script_error, throw},
};
use sockets::stop::Stop;
use std::sync::{Arc, Mutex};

/// Runs a script; gives what it noted, and the error if it failed.
pub(crate) async fn run_script(text: &str) -> Result<String, (Error, String)> {
    run_under(text, Stop::new()).await
}

pub(crate) async fn run_under(text: &str, stop: Stop) -> Result<String, (Error, String)> {
    let notes = Arc::new(Mutex::new(String::new()));
    let result = match prepare(text, stop, notes.clone()) {
        Ok((_scenario, task)) => match task.take("task") {
            Ok(task) => run(task).await,
            Err(e) => Err(script_error(e)),
        },
        Err(e) => Err(e),
    };
    let notes = notes.lock().unwrap().clone();
    result.map(|()| notes.clone()).map_err(|e| (e, notes))
}

/// The error that evaluating a script gives.
pub(crate) fn eval_error(text: &str) -> String {
    match prepare(text, Stop::new(), Arc::default()) {
        Ok(_) => panic!("no error: {text}"),
        Err(e) => e.to_string(),
    }
}

fn prepare(text: &str, stop: Stop, notes: Arc<Mutex<String>>) -> Result<(Arc<Scenario>, TaskHandle), Error> {
    let mut engine = exec::engine();
    let root = stop.clone();
    engine.register_fn("drain", move || root.drain());
    engine.register_fn("note", move |text: &str| notes.lock().unwrap().push_str(text));
    engine.register_fn("fail", |status: i64| -> crate::scenario::RhResult<TaskHandle> {
        let kinds = [Kind::Start, Kind::Connect, Kind::Listen, Kind::File, Kind::Process];
        let kind = kinds.into_iter().find(|k| *k as i64 == status).unwrap();
        Err(throw(Error::new(kind, "made to fail")))
    });
    let ast = engine.compile(text).map_err(|e| Error::new(Kind::Start, format!("script: {e}")))?;
    let scenario = Scenario::new(engine, ast, stop, Some(1))?;
    let handle = scenario.engine.eval_ast::<TaskHandle>(&scenario.ast).map_err(script_error)?;
    Ok((scenario, handle))
}
