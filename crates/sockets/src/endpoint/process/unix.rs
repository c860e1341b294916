//! What only Unix children have: a user, a group, a name of their own.

use std::{ffi::OsString, os::unix::process::CommandExt, process::Command};

/// Who the child is. Applied in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// argv[0], if it shall differ from the program.
    pub arg0: Option<OsString>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl Identity {
    /// The system sets the group before the user, and drops supplementary groups when root changes the user.
    pub fn apply(&self, command: &mut Command) {
        if let Some(arg0) = &self.arg0 {
            command.arg0(arg0);
        }
        if let Some(uid) = self.uid {
            command.uid(uid);
        }
        if let Some(gid) = self.gid {
            command.gid(gid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{endpoint::process::Child, info::SocketInfo, net::tcp::tests::BOUND};
    use std::process::Stdio;
    use tokio::{io::AsyncReadExt, time::timeout};

    #[tokio::test]
    async fn the_child_has_name_user_and_group() {
        // Only root may become somebody else; anybody may become who they are.
        let (uid, gid) = if rustix::process::getuid().is_root() {
            (65534, 65533)
        } else {
            (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
        };
        let mut command = Command::new("sh");
        command.args(["-c", "echo $0 `id -u` `id -g`"]).stdout(Stdio::piped());
        Identity { arg0: Some("zero".into()), uid: Some(uid), gid: Some(gid) }.apply(&mut command);
        let mut said = String::new();
        let mut socket = Child::spawn(command).unwrap().socket(SocketInfo::default());
        timeout(BOUND, socket.read.as_mut().unwrap().read_to_string(&mut said)).await.unwrap().unwrap();
        assert_eq!(said, format!("zero {uid} {gid}\n"));
    }
}
