//! Sharing: when many connections of messages meet a right side that exists once, they share it through a `reuse-raw:`.

use super::super::{Names, Plan, Prelude};
use crate::{
    endpoints::{Endpoint, reuser::Reuser},
    error::{Error, Result},
    overlays::{Overlay, reuse::ReuseRaw},
    spec::{SocketKind, Stack},
};

/// Puts `reuse-raw:` on a right side that exists once and has many clients.
pub fn put(plan: &mut Plan) -> Result<()> {
    let many = plan.left.is_multi() && !plan.args.session.oneshot;
    let shared = plan.right.overlays.iter().any(|o| matches!(o, Overlay::ReuseRaw(_)));
    if plan.kind() == SocketKind::Datagram && many && !shared && plan.right.endpoint.exists_once(&plan.args.endpoints) {
        plan.right.overlays.push(Overlay::ReuseRaw(ReuseRaw));
    }
    Ok(())
}

/// Makes a shared endpoint of what each `reuse-raw:` stands on.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let shared = |stack: &Stack| stack.overlays.iter().any(|o| matches!(o, Overlay::ReuseRaw(_)));
    if plan.all_filters().any(|filter| filter.any(&shared)) {
        let text =
            "reuse-raw: cannot be a filter: it does not end with the session, and what it says may go to another one";
        return Err(Error::usage(text));
    }
    let (stacks, prelude, names) = plan.stacks_and_prelude();
    stacks.into_iter().try_for_each(|stack| stack.each(&mut |stack| share(stack, prelude, names)))
}

fn share(stack: &mut Stack, prelude: &mut Vec<Prelude>, names: &mut Names) -> Result<()> {
    while let Some(at) = stack.overlays.iter().position(|o| matches!(o, Overlay::ReuseRaw(_))) {
        let reuser = names.fresh("reuser");
        prelude.push(Prelude::Reuser { reuser: reuser.clone() });
        let above = stack.overlays.split_off(at + 1);
        stack.overlays.pop();
        let inner = Box::new(stack.take());
        *stack = Stack { endpoint: Endpoint::Reuser(Reuser { inner, reuser }), overlays: above };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{cli::Args, endpoints::Endpoint, plan};
    use clap::Parser as _;
    use std::{ffi::OsString, sync::Arc};

    #[test]
    fn what_exists_once_is_shared_by_many_and_by_nobody_else() {
        for (line, shared) in [
            (&["-b", "ws-l:1", "-"][..], true),
            (&["-b", "ws-l:1", "writefile:x"], true),
            (&["-b", "ws-l:1", "appendfile:x"], true),
            (&["-b", "ws-l:1", "regdg-c:x", "--tee", "-"], true),
            (&["-b", "ws-l:1", "readfile:x", "--write-splitoff", "writefile:y"], true),
            (&["-b", "regdg-l:x", "-"], true),
            // Each client gets a file of its own, or an error.
            (&["-b", "--write-file-auto-rename", "ws-l:1", "writefile:x"], false),
            (&["-b", "--write-file-no-overwrite", "ws-l:1", "writefile:x"], false),
            (&["-b", "--write-file-auto-rename", "ws-l:1", "appendfile:x"], true),
            // Each client hears its own echo.
            (&["-b", "ws-l:1", "mirror:"], false),
            (&["-b", "ws-l:1", "readfile:x"], false),
            // One client, or no messages.
            (&["-b", "--oneshot", "ws-l:1", "-"], false),
            (&["-b", "reuse-raw:ws-l:1", "-"], false),
            (&["-b", "write-splitoff:ws-l:1", "-", "--write-splitoff", "mirror:"], false),
            (&["-b", "tee:ws-l:1", "-", "--tee", "mirror:"], false),
            (&["-b", "tcp-l:1", "-"], false),
        ] {
            let words = [&["websocat"], line].concat().into_iter().map(OsString::from);
            let args = Arc::new(Args::try_parse_from(words).unwrap());
            let mut plan = plan::parse(&args).unwrap();
            plan::rewrite(&mut plan).unwrap();
            assert_eq!(matches!(plan.right.endpoint, Endpoint::Reuser(_)), shared, "{line:?}");
        }
    }
}
