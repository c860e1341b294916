//! The socket options of the command line: one set for all sockets of the program that know them.
//!
//! An endpoint names the groups that its sockets take ([`EndpointSpec::sockets`]), for warnings about options without
//! effect, and extends its function's option map by these groups of [`Script::socket_options`].
//!
//! [`EndpointSpec::sockets`]: crate::spec::EndpointSpec::sockets
//! [`Script::socket_options`]: crate::spec::Script::socket_options

use super::{
    datagram_sockopts::DatagramOpts,
    sockopts::{BacklogOpts, BindOpts, LocalOpts, PacketOpts, TcpOpts},
};
use clap::{Args as _, Command};

/// Options of the sockets that know them.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct SocketArgs {
    #[command(flatten)]
    pub local: LocalOpts,
    #[command(flatten)]
    pub backlog: BacklogOpts,
    #[command(flatten)]
    pub bind: BindOpts,
    #[command(flatten)]
    pub packet: PacketOpts,
    #[command(flatten)]
    pub tcp: TcpOpts,
    #[command(flatten)]
    pub datagram: DatagramOpts,
    /// Socket options are not for sockets that carry a WebSocket
    #[arg(long)]
    pub exclude_ws_from_sockopts: bool,
}

/// Under which heading they stand in the help.
pub const HEADING: &str = "Socket options";

/// Options that the same sockets take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionGroup {
    Local,
    Backlog,
    Bind,
    Packet,
    Tcp,
    Datagram,
    /// Of `Packet` what UNIX sockets know, too.
    Buffers,
}

/// The options of `OptionGroup::Buffers`.
const BUFFERS: [&str; 2] = ["--socket-recv-buffer-size", "--socket-send-buffer-size"];

/// What the socket options have to do with an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sockets {
    /// What its sockets take; nothing if it has none.
    pub groups: &'static [OptionGroup],
    /// Its only IP version, where that is known.
    pub v6: Option<bool>,
}

impl OptionGroup {
    const ALL: [Self; 6] = [Self::Local, Self::Backlog, Self::Bind, Self::Packet, Self::Tcp, Self::Datagram];

    /// The one that an option is in, by its long name with dashes.
    pub fn of(option: &str) -> Option<Self> {
        let is_it = |arg: &clap::Arg| arg.get_long() == option.strip_prefix("--");
        Self::ALL.into_iter().find(|group| group.command().get_arguments().any(is_it))
    }

    /// Whether it has this option.
    pub fn has(self, option: &str) -> bool {
        if self == Self::Buffers { BUFFERS.contains(&option) } else { Self::of(option) == Some(self) }
    }

    fn command(self) -> Command {
        let command = Command::new("group");
        match self {
            Self::Local => LocalOpts::augment_args(command),
            Self::Backlog => BacklogOpts::augment_args(command),
            Self::Bind => BindOpts::augment_args(command),
            Self::Packet | Self::Buffers => PacketOpts::augment_args(command),
            Self::Tcp => TcpOpts::augment_args(command),
            Self::Datagram => DatagramOpts::augment_args(command),
        }
    }

    /// Whose options they are, for messages.
    pub fn owner(self) -> &'static str {
        match self {
            Self::Local => "TCP client",
            Self::Backlog => "listener",
            Self::Bind | Self::Packet => "TCP or UDP socket",
            Self::Tcp => "TCP socket",
            Self::Datagram => "UDP socket",
            Self::Buffers => "socket",
        }
    }
}

/// The IP version that an option is for, if it is for one only.
pub fn only_version(option: &str) -> Option<bool> {
    match option {
        "--socket-tos-v4" => Some(false),
        "--socket-tclass-v6" | "--socket-only-v6" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Args;
    use clap::CommandFactory as _;

    #[test]
    fn every_socket_option_is_in_one_group() {
        let command = Args::command();
        let under_heading = command.get_arguments().filter(|arg| arg.get_help_heading() == Some(HEADING));
        let names: Vec<String> = under_heading.filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect();
        assert!(names.len() > 25, "{names:?}");
        for name in names.iter().filter(|name| *name != "--exclude-ws-from-sockopts") {
            assert!(OptionGroup::of(name).is_some(), "{name} is in no group");
        }
        for name in ["--socket-tos-v4", "--socket-tclass-v6", "--socket-only-v6"] {
            assert!(names.iter().any(|known| known == name) && only_version(name).is_some());
        }
    }
}
