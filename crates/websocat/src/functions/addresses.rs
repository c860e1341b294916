//! Addresses: looking names up, taking addresses apart and putting them together.
//!
//! Lookups are tasks and may be bounded; the rest happens at once and opens nothing.

use crate::{
    error::{Error, Kind},
    register,
    scenario::{Callback, Flow, OptsReader, RegisterNative as _, RhFn, RhOpts, RhResult, TaskHandle, task},
};
use rhai::{Engine, NativeCallContext};
use serde::Deserialize;
use sockets::net::resolve::{LookupError, SystemResolver, lookup_within};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// A list of addresses, as scripts pass it from `lookup_host` to `connect_tcp_race`.
pub type Addresses = Vec<SocketAddr>;

/// Options of `lookup_host`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct LookupOpts {
    /// Milliseconds after which the lookup fails; absent: as long as the system tries
    timeout_ms: Option<u64>,
}

/// A task that looks up `HOST:PORT` and goes on with a function that gets the list of addresses. Between the two an option
/// map may stand.
fn lookup_host(ctx: NativeCallContext<'_>, addr: &str, continuation: RhFn<(Addresses,)>) -> RhResult<TaskHandle> {
    start_lookup(&ctx, addr, LookupOpts::default(), continuation)
}

fn lookup_host_with(
    ctx: NativeCallContext<'_>,
    addr: &str,
    opts: RhOpts<LookupOpts>,
    continuation: RhFn<(Addresses,)>,
) -> RhResult<TaskHandle> {
    start_lookup(&ctx, addr, OptsReader::read(opts)?, continuation)
}

fn start_lookup(
    ctx: &NativeCallContext<'_>,
    addr: &str,
    opts: LookupOpts,
    continuation: rhai::FnPtr,
) -> RhResult<TaskHandle> {
    let callback = Callback::new(ctx, continuation)?;
    let name = addr.to_owned();
    Ok(task(async move {
        let limit = opts.timeout_ms.map(Duration::from_millis);
        let addrs = lookup_within(&SystemResolver, &name, limit).await.map_err(lookup_error)?;
        Ok(Flow::Then(callback.task((addrs,))?))
    }))
}

/// With the exit status that scripts around the program know.
pub fn lookup_error(e: LookupError) -> Error {
    let kind = match &e {
        LookupError::NoAddresses { .. } => Kind::NoAddresses,
        LookupError::TimedOut { .. } => Kind::ConnectTimeout,
        LookupError::Malformed { .. } | LookupError::Failed { .. } => Kind::Lookup,
    };
    Error::with_source(kind, e.to_string(), e)
}

/// IP address of a socket address as text, IPv6 without brackets.
fn get_ip(sa: &mut SocketAddr) -> String {
    sa.ip().to_string()
}

/// Port of a socket address.
fn get_port(sa: &mut SocketAddr) -> i64 {
    sa.port().into()
}

/// A socket address from the text of an IP address and a port, of which the low 16 bits count.
fn make_socket_addr(ip: &str, port: i64) -> RhResult<SocketAddr> {
    let ip: IpAddr = ip.parse().map_err(|_| format!("`{ip}` is not an IP address"))?;
    Ok(SocketAddr::new(ip, port as u16))
}

/// The first of the addresses that a lookup gave; what has several may have one that is not reachable.
fn first_address(addrs: Addresses) -> RhResult<SocketAddr> {
    addrs.first().copied().ok_or_else(|| "a lookup never gives an empty list of addresses".into())
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<SocketAddr>("SocketAddr");
    engine.register_type_with_name::<Addresses>("Addresses");
    register!(engine, lookup_host, get_ip, get_port, make_socket_addr, first_address);
    engine.register_native("lookup_host", lookup_host_with);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test]
    async fn parts_of_addresses() {
        let script =
            "let a = make_socket_addr(\"::1\", 8080); note(a.get_ip() + \" \" + str(a.get_port())); dummy_task()";
        assert_eq!(run_script(script).await.unwrap(), "::1 8080");
        assert!(eval_error("make_socket_addr(\"h\", 1); dummy_task()").contains("`h` is not an IP address"));
        let script = "lookup_host(\"127.0.0.1:7\", |addrs| { note(str(first_address(addrs))); dummy_task() })";
        assert_eq!(run_script(script).await.unwrap(), "127.0.0.1:7");
    }

    #[tokio::test]
    async fn lookups() {
        let script = "lookup_host(\"127.0.0.1:1\", #{timeout_ms: 5000}, |addrs| { note(str(addrs)); dummy_task() })";
        assert_eq!(run_script(script).await.unwrap(), "Addresses");
        let (e, _) = run_script("lookup_host(\"no-port\", |addrs| dummy_task())").await.unwrap_err();
        assert_eq!(e.exit_code(), 21, "{e}");
        assert!(e.to_string().contains("no-port"), "{e}");
        let e = eval_error("lookup_host(\"h:1\", #{timeout_ms: \"x\"}, |a| dummy_task())");
        assert!(e.contains("timeout_ms"), "{e}");
        let e = eval_error("lookup_host(\"h:1\", #{nope: 1}, |a| dummy_task())");
        assert!(e.contains("unknown option `nope`"), "{e}");
    }
}
