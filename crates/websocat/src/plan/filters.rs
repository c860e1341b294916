//! Filters in the script: opened together with the right side, put in the way of the data by swapping halves.

use super::Plan;
use crate::{
    error::Result,
    spec::{OptionMap, Script, SocketKind, Var, emit_together},
};

/// Opens the right side and all filters and connects them. `exchange` writes the exchange between the left side and what is
/// then the right side, as an expression.
pub fn around(
    plan: &Plan,
    script: &mut Script,
    exchange: &mut dyn FnMut(&mut Script, &Var) -> Result<String>,
) -> Result<()> {
    let stacks: Vec<_> = std::iter::once(&plan.right).chain(plan.all_filters()).collect();
    emit_together(&stacks, script, &mut |script, opened| {
        let Some((right, filters)) = opened.split_first() else { return Ok(()) };
        let (forward, reverse) = filters.split_at(plan.filters.len());
        // The right side gets the writer of the first filter, each filter the writer of the next, the last one its own.
        for filter in forward.iter().rev() {
            script.line(&format!("swap_writers({right}, {filter});"));
        }
        for filter in reverse {
            script.line(&format!("swap_readers({right}, {filter});"));
        }
        let call = exchange(script, right)?;
        let session = &plan.args.session;
        let mut options = OptionMap::new().flag("exit_on_eof", session.exit_on_eof);
        options = options.flag("end_on_error", plan.ends_on_error());
        options = options.flag("unidirectional", session.unidirectional);
        options = options.number("buffer_size", session.buffer_size.map(|size| size.0));
        if plan.kind() == SocketKind::Datagram && plan.is_complete() {
            options.push("linger_ms", session.linger.millis().map_or("-1".to_owned(), |ms| ms.to_string()));
        }
        let open = if session.exit_after_one_session { "exit_process_after(" } else { "" };
        let names: Vec<_> = filters.iter().map(ToString::to_string).collect();
        script.line(&format!("{open}exchange_through_filters({options}, [{}], || {{", names.join(", ")));
        script.indent(&mut |script| {
            script.line(&call);
            Ok(())
        })?;
        script.line(if session.exit_after_one_session { "}))" } else { "})" });
        Ok(())
    })
}
