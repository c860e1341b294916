//! Host names are looked up once, before anything listens, unless `--late-resolve` asks for a lookup per connection.

use super::super::{Plan, Prelude};
use crate::{
    endpoints::{Endpoint, tcp_connect::TcpTarget},
    error::Result,
};

/// Gives host names a script variable with their addresses, unless `--late-resolve` was asked for.
pub fn pass(plan: &mut Plan) -> Result<()> {
    if plan.args.endpoints.tcp_connect.late_resolve {
        return Ok(());
    }
    let (stacks, prelude, names) = plan.stacks_and_prelude();
    for stack in stacks {
        if let Endpoint::TcpConnect(tcp) = &mut stack.endpoint
            && let TcpTarget::Late(name) = &tcp.target
        {
            let (name, addrs) = (name.clone(), names.fresh("addrs"));
            prelude.push(Prelude::Lookup { name: name.clone(), addrs: addrs.clone() });
            tcp.target = TcpTarget::Early { name, addrs };
        }
    }
    Ok(())
}
