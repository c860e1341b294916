//! The script of a plan: what is made once, both sides nested, and the exchange in the middle.
//!
//! The last step of planning: it prints and decides nothing. Brackets are opened and closed by one function, since each
//! part is given what comes inside.

use super::{Plan, Prelude, filters};
use crate::{
    endpoints::{Endpoint, tcp_connect::lookup_options},
    error::{Error, Result},
    spec::{Listening, OptionMap, Script, SocketKind, Stack, Var, string_literal},
};

/// Script text that does what the plan says.
pub fn print(plan: &Plan) -> Result<String> {
    let mut script = Script::new(plan.args.clone(), plan.names.clone());
    script.stdio_stays_open = plan.shares_stdio;
    timed(plan, &mut script)?;
    Ok(script.finish())
}

/// The global timeout around everything, then the initial pause, then the rest.
fn timed(plan: &Plan, script: &mut Script) -> Result<()> {
    let session = &plan.args.session;
    let Some(ms) = session.global_timeout_ms else { return delayed(plan, script) };
    script.line("race([task_wrap(|| {");
    script.indent(&mut |script| delayed(plan, script))?;
    script.line("}),");
    if session.global_timeout_force_exit {
        script.line(&format!("sequential([sleep_ms({ms}), task_wrap(|| {{ exit_process(1); dummy_task() }})])])"));
    } else {
        script.line(&format!("sleep_ms({ms})])"));
    }
    Ok(())
}

fn delayed(plan: &Plan, script: &mut Script) -> Result<()> {
    match plan.args.session.sleep_ms_before_start {
        None => prelude(plan, &plan.prelude, script),
        Some(ms) => script.nest(&format!("sequential([sleep_ms({ms}), task_wrap(|| {{"), "})])", &mut |script| {
            prelude(plan, &plan.prelude, script)
        }),
    }
}

fn prelude(plan: &Plan, steps: &[Prelude], script: &mut Script) -> Result<()> {
    let Some((first, rest)) = steps.split_first() else { return sides(plan, script) };
    match first {
        Prelude::Lookup { name, addrs } => {
            let options = lookup_options(plan.args.endpoints.tcp_connect.connect_timeout.limit_millis());
            let call = format!("lookup_host({}{options}, |{addrs}| {{", string_literal(name));
            script.nest(&call, "})", &mut |script| prelude(plan, rest, script))
        }
        Prelude::TlsConnector { connector } => {
            let options = OptionMap::of(&plan.args.overlays.tls.connector_options())?;
            script.line(&format!("let {connector} = tls_client_connector({options});"));
            prelude(plan, rest, script)
        }
        Prelude::Reuser { reuser } => {
            script.line(&format!("let {reuser} = simple_reuser_listener();"));
            prelude(plan, rest, script)
        }
    }
}

fn sides(plan: &Plan, script: &mut Script) -> Result<()> {
    let oneshot = plan.args.session.oneshot;
    script.listening = Listening { autospawn: !oneshot, oneshot };
    // A Close with a code cannot say that only one direction has ended.
    let half_close = plan.args.overlays.ws_framer.close_status_code.is_none();
    script.half_close = half_close && plan.right.can_half_close();
    script.http_first = plan.left.begins_with_http();
    script.console = plan.left.reaches_stdio() || plan.right.reaches_stdio();
    script.nodelay = plan.kind() == SocketKind::Datagram && plan.is_complete();
    plan.left.emit(script, &mut |script, left| {
        script.listening = Listening { autospawn: false, oneshot: true };
        script.half_close = half_close && plan.left.can_half_close();
        script.http_first = plan.right.begins_with_http();
        let waits = plan.stacks().skip(1).any(Stack::waits_for_a_part);
        let right = &mut |script: &mut Script| {
            if !waits {
                return right_side(plan, script, &left);
            }
            let options = OptionMap::new().flag("reads", plan.left.is_complete());
            script.nest(&format!("watch_peer({options}, {left}, || {{"), "})", &mut |script| {
                right_side(plan, script, &left)
            })
        };
        if plan.left.is_complete() && plan.stacks().skip(1).any(Stack::may_fail_to_open) {
            script.nest(&format!("close_on_failure({left}, || {{"), "})", right)
        } else {
            right(script)
        }
    })
}

/// Everything but the left side, and what is done with all of it.
fn right_side(plan: &Plan, script: &mut Script, left: &Var) -> Result<()> {
    if let (Some(numbers), Endpoint::Process(child)) = (&plan.args.endpoints.process.exec_dup2, &plan.right.endpoint) {
        return child.emit_handover(script, numbers, left);
    }
    if plan.all_filters().next().is_some() {
        return filters::around(plan, script, &mut |script, right| exchange(plan, script, left, right));
    }
    if let Endpoint::RegistrySend(send) = &plan.right.endpoint {
        let call = send.call(left);
        script.session_end(&call);
        return Ok(());
    }
    plan.right.emit(script, &mut |script, right| {
        let call = exchange(plan, script, left, &right)?;
        script.session_end(&call);
        Ok(())
    })
}

/// The exchange as an expression; writes what comes before it.
fn exchange(plan: &Plan, script: &mut Script, left: &Var, right: &Var) -> Result<String> {
    let session = &plan.args.session;
    if session.exit_on_hangup {
        for side in [left, right] {
            // A socket that cannot hang up has no such part: then there is nothing to wait for.
            script.line(&format!(
                "try {{ handle_hangup(take_hangup_part({side}), || {{ exit_process(0); dummy_task() }}); }} catch {{ }}"
            ));
        }
    }
    let mut options = OptionMap::new()
        .flag("unidirectional", session.unidirectional)
        .flag("unidirectional_reverse", session.unidirectional_reverse)
        .flag("exit_on_eof", session.exit_on_eof);
    let complete = plan.is_complete();
    let one_way = session.unidirectional || session.unidirectional_reverse;
    options = options.flag("unidirectional_late_drop", session.unidirectional_late_drop || (complete && one_way));
    if let Some(size) = session.buffer_size {
        options.push("buffer_size_forward", size.0.to_string());
        options.push("buffer_size_reverse", size.0.to_string());
    }
    let kind = plan.kind();
    if kind == SocketKind::Datagram && complete {
        // No limit is -1: absent means that an end is handed on at once.
        options.push("linger_ms", session.linger.millis().map_or("-1".to_owned(), |ms| ms.to_string()));
    }
    options = options.flag("end_on_error", plan.ends_on_error());
    let idle = session.idle_timeout.and_then(|time| time.limit_millis());
    if kind == SocketKind::Datagram {
        options = options.number("idle_ms", idle);
    } else if idle.is_some() {
        return Err(Error::usage("--idle-timeout is for sessions of messages; this one moves bytes only"));
    }
    Ok(match kind {
        SocketKind::Stream => format!("exchange_bytes({options}, {left}, {right})"),
        SocketKind::Datagram => format!("exchange_packets({options}, {left}, {right})"),
    })
}
