//! Files by themselves, apart from what is read from them or written to them.

use crate::{register, scenario::RhResult};
use rhai::Engine;
use std::ffi::OsString;

/// Removes a file, whatever it is. With the flag a failure throws; otherwise it is nothing to speak of.
fn unlink_file(path: OsString, bail_if_fails: bool) -> RhResult<()> {
    match std::fs::remove_file(&path) {
        // Something that the script can catch.
        Err(e) if bail_if_fails => Err(format!("cannot remove {}: {e}", path.display()).into()),
        Err(error) => {
            tracing::debug!(%error, "cannot remove {}", path.display());
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, unlink_file);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test]
    async fn unlink_file_removes_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display().to_string();
        for _ in 0..2 {
            run_script(&format!("unlink_file(osstr_str(`{path}`), false); dummy_task()")).await.unwrap();
            assert!(!file.path().exists());
        }
        let e = eval_error("unlink_file(osstr_str(`/nonexistent/x`), true)");
        assert!(e.contains("cannot remove /nonexistent/x"), "{e}");
    }
}
