//! Random numbers for scripts.

use crate::{
    register,
    scenario::{RhResult, Scenario},
};
use rhai::{Engine, NativeCallContext};

/// A whole number from `from` to `to`, both included, each as likely as the others. Nobody can predict it, unless
/// `--random-seed` makes it repeatable.
fn random_int(ctx: NativeCallContext<'_>, from: i64, to: i64) -> RhResult<i64> {
    if from > to {
        return Err(format!("random_int: there is no number from {from} to {to}").into());
    }
    Ok(Scenario::of(&ctx)?.random().number(from, to))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, random_int);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test]
    async fn numbers_are_within_their_bounds() {
        let script = r#"let seen = #{}; for i in 0..200 { seen[`${random_int(-2, 2)}`] = true; }
            note(str(seen.keys().len()) + str(random_int(7, 7))); dummy_task()"#;
        assert_eq!(run_script(script).await.unwrap(), "57");
        let e = eval_error("random_int(1, 0)");
        assert!(e.contains("no number from 1 to 0") && e.contains("line 1"), "{e}");
    }
}
