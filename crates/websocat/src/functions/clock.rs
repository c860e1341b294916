//! The time of day.

use crate::{register, scenario::RhResult};
use rhai::Engine;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the beginning of 1970 (UTC), by the system's clock, which may be set back.
fn now_ms() -> RhResult<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.ok().and_then(|time| i64::try_from(time.as_millis()).ok());
    ms.ok_or_else(|| "the system's clock is set before 1970".into())
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, now_ms);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::run_script;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[tokio::test]
    async fn it_is_that_of_the_system() {
        let ms = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let before = ms();
        let said: u128 = run_script("note(str(now_ms())); dummy_task()").await.unwrap().parse().unwrap();
        assert!((before..=ms()).contains(&said), "{before} {said}");
    }
}
