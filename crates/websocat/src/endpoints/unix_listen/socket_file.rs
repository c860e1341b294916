//! Socket files of listeners: who may connect to them, and what becomes of those that nobody serves any more.

/// Options of listeners with a socket file.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct SocketFileArgs {
    /// Remove a socket file that nobody serves any more before listening, and our own one at the end
    #[arg(long)]
    pub unlink: bool,
    /// Only the owner may connect to the socket file (mode 0600)
    #[arg(long)]
    pub chmod_owner: bool,
    /// Owner and group may connect to the socket file (mode 0660)
    #[arg(long)]
    pub chmod_group: bool,
    /// Everybody may connect to the socket file (mode 0666)
    #[arg(long)]
    pub chmod_everyone: bool,
}

impl SocketFileArgs {
    /// More than one kind of permissions was asked for.
    pub fn contradicts_itself(self) -> bool {
        [self.chmod_owner, self.chmod_group, self.chmod_everyone].into_iter().filter(|asked| *asked).count() > 1
    }

    /// In words, for `--explain`.
    pub fn explain(self) -> String {
        let who = match self {
            Self { chmod_owner: true, .. } => " Only its owner may connect.",
            Self { chmod_group: true, .. } => " Its owner and group may connect.",
            Self { chmod_everyone: true, .. } => " Everybody may connect.",
            _ => "",
        };
        let unlink = if self.unlink {
            " A file that nobody serves any more is replaced, and its own removed at the end."
        } else {
            ""
        };
        format!("{who}{unlink}")
    }

    /// Permissions; the narrowest that was asked for.
    pub fn mode(self) -> Option<&'static str> {
        match self {
            Self { chmod_owner: true, .. } => Some("0o600"),
            Self { chmod_group: true, .. } => Some("0o660"),
            Self { chmod_everyone: true, .. } => Some("0o666"),
            _ => None,
        }
    }
}
