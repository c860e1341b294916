//! `tcp-listen:` and `listen_tcp`: a TCP server.

use super::{
    listen_address::{FORMAT, ListenAddress},
    sockopts::{BindOpts, TcpStreamOpts},
};
use crate::{
    error::{Error, Result},
    spec::{EndpointSpec, Form, Listening, Script, SocketKind, Then, string_literal},
};
use std::ffi::OsStr;

/// A TCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpListen {
    pub address: ListenAddress,
}

/// What happens once a listener is ready; shared by all listeners.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ListenArgs {
    /// Print `LISTEN proto=tcp,ip=IP,port=PORT` on standard output when a listener is ready
    #[arg(long)]
    pub stdout_announce_listening_ports: bool,
    /// Run this shell command when a listener is ready; connections are accepted when it is over
    #[arg(long, value_name = "COMMAND")]
    pub exec_after_listen: Option<String>,
    /// Append the port number to that command
    #[arg(long, requires = "exec_after_listen")]
    pub exec_after_listen_append_port: bool,
}

impl ListenArgs {
    /// Tasks of the when-listening closure; `addr`: the variable with the address, for listeners that have one.
    pub fn tasks(&self, proto: &str, addr: Option<&str>) -> Vec<String> {
        let mut tasks = Vec::new();
        if self.stdout_announce_listening_ports {
            let line = match addr {
                Some(addr) => {
                    format!(
                        "\"LISTEN proto={proto},ip=\" + {addr}.get_ip() + \",port=\" + str({addr}.get_port()) + \"\\n\""
                    )
                }
                None => format!("\"LISTEN proto={proto}\\n\""),
            };
            tasks.push(format!("task_wrap(|| {{ print_stdout({line}); dummy_task() }})"));
        }
        if let Some(command) = &self.exec_after_listen {
            let port = match addr {
                Some(addr) if self.exec_after_listen_append_port => format!(" + \" \" + str({addr}.get_port())"),
                _ => String::new(),
            };
            tasks.push(format!("task_wrap(|| {{ hangup2task(system({}{port})) }})", string_literal(command)));
        }
        tasks
    }
}

impl EndpointSpec for TcpListen {
    const FORMS: &'static [Form] = &[Form {
        name: "tcp-listen",
        prefixes: &["tcp-listen:", "listen-tcp:", "tcp-l:", "l-tcp:"],
        value: FORMAT,
        doc: "Accepts TCP connections. A bare port listens on the loopback addresses only.",
    }];

    fn parse(_: &'static Form, value: &OsStr) -> Result<Self> {
        Ok(Self { address: ListenAddress::parse(value)? })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn is_listener(&self) -> bool {
        true
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let Listening { autospawn, oneshot } = script.listening;
        let mut map = self.address.option_map();
        map.push("autospawn", autospawn.to_string());
        map.push("oneshot", oneshot.to_string());
        map.extend(&script.args.endpoints.tcp_bind)?;
        map.extend(&script.args.endpoints.tcp)?;
        let addr = script.var("addr");
        let tasks = script.args.endpoints.listen.tasks("tcp", Some(&addr));
        let (tcp, from) = (script.var("tcp"), script.var("from"));
        script.nest(&format!("listen_tcp({map}, |{addr}| {{"), &format!("}}, |{tcp}, {from}| {{"), &mut |script| {
            match &tasks[..] {
                [] => script.line("dummy_task()"),
                tasks => {
                    script.nest("sequential([", "])", &mut |script| {
                        tasks.iter().for_each(|task| script.line(&format!("{task},")));
                        Ok(())
                    })?;
                }
            }
            Ok(())
        })?;
        script.indent(&mut |script| then(script, tcp.clone()))?;
        script.line("})");
        Ok(())
    }
}

pub(super) fn register(_: &mut rhai::Engine) {}
