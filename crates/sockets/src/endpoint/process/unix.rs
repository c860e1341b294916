//! What only Unix children have: a user, a group, a name of their own.

use super::SpawnError;
use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

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

    /// The error of a child that was to be like this, in this directory, with what the system refused: all that it says itself
    /// is why.
    pub fn explain(&self, directory: Option<&Path>, error: SpawnError) -> SpawnError {
        let SpawnError::Failed { program, source } = error else { return error };
        // In the order in which the system is asked: each step needs the ones before.
        let group = Self { gid: self.gid, ..Self::default() };
        let user = Self { uid: self.uid, ..group.clone() };
        if let (Some(gid), Some(source)) = (self.gid, group.refusal(None)) {
            return SpawnError::Identity { program, identity: format!("group {gid} (--exec-gid)"), source };
        }
        if let (Some(uid), Some(source)) = (self.uid, user.refusal(None)) {
            return SpawnError::Identity { program, identity: format!("user {uid} (--exec-uid)"), source };
        }
        if let (Some(directory), Some(source)) = (directory, user.refusal(directory)) {
            return SpawnError::Directory { program, directory: directory.to_owned(), source };
        }
        SpawnError::Failed { program, source }
    }

    /// Why there can be no such child in this directory, whatever its program.
    fn refusal(&self, directory: Option<&Path>) -> Option<io::Error> {
        // Longer than any path may be: that is found out last, and nothing is ever run.
        let mut command = Command::new(format!("/{}", "x".repeat(TOO_LONG)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.apply(&mut command);
        directory.map(|directory| command.current_dir(directory));
        command.spawn().err().filter(|e| e.kind() != io::ErrorKind::InvalidFilename)
    }
}

/// Paths end at 4096 bytes on Linux, and earlier elsewhere.
const TOO_LONG: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{endpoint::process::Child, info::SocketInfo, net::tcp::tests::BOUND};
    use std::process::Stdio;
    use tokio::{io::AsyncReadExt, time::timeout};

    /// Only root may become somebody else, where there is somebody: not in every user namespace.
    fn may_be_others() -> bool {
        let done = Command::new("sh").args(["-c", ":"]).uid(65534).gid(65533).status();
        done.is_ok_and(|status| status.success())
    }

    #[tokio::test]
    async fn the_child_has_name_user_and_group() {
        // Anybody may become who they are.
        let (uid, gid) = if may_be_others() {
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

    #[test]
    fn what_was_refused_is_named() {
        let explained = |uid, gid, directory: Option<&str>| {
            let error = SpawnError::Failed { program: "p".into(), source: io::ErrorKind::PermissionDenied.into() };
            Identity { uid, gid, arg0: None }.explain(directory.map(Path::new), error).to_string()
        };
        // Nobody may be this one: it is the number that means none.
        let nobody = Some(u32::MAX);
        assert!(explained(None, nobody, None).starts_with("cannot start `p`: group 4294967295 (--exec-gid): "));
        assert!(explained(nobody, None, None).starts_with("cannot start `p`: user 4294967295 (--exec-uid): "));
        let e = explained(None, None, Some("/dev/null"));
        assert!(e.starts_with("cannot start `p`: working directory /dev/null (--exec-chdir): Not a directory"), "{e}");
        assert_eq!(explained(None, None, Some("/")), "cannot start `p`: permission denied");
        if may_be_others() {
            let private = tempfile::tempdir().unwrap();
            std::fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
            assert_eq!(explained(Some(65534), Some(65533), Some("/")), "cannot start `p`: permission denied");
            let e = explained(Some(65534), None, private.path().to_str());
            assert!(e.contains(" (--exec-chdir): Permission denied"), "root may be there, but not this user: {e}");
        }
    }
}
