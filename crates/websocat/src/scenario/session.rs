//! Which session script code is being run for: native functions hang what they start on that session's stop token.
//!
//! Scripts are evaluated on one thread from start to end of a call, so that a thread-local carries the token from the
//! caller of a callback to the native functions called by it. Callbacks made meanwhile keep it for later calls.

use super::Scenario;
use sockets::stop::Stop;
use std::cell::RefCell;

thread_local! {
    static CURRENT: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

/// Puts the former token back, whatever way the call ends.
struct Restore(Option<Stop>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Calls `evaluate`; script code in it runs for the session of this token.
pub fn under<T>(stop: &Stop, evaluate: impl FnOnce() -> T) -> T {
    let _restore = Restore(CURRENT.replace(Some(stop.clone())));
    evaluate()
}

/// The stop token of the session that script code is being run for; the scenario's own at start.
pub fn stop_for(scenario: &Scenario) -> Stop {
    CURRENT.with_borrow(Clone::clone).unwrap_or_else(|| scenario.stop.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth_is_top() -> Option<bool> {
        CURRENT.with_borrow(|s| s.as_ref().map(Stop::is_top_level))
    }

    #[test]
    fn nested_calls_put_the_former_token_back() {
        let root = Stop::new();
        under(&root, || {
            assert_eq!(depth_is_top(), Some(true));
            under(&root.child(), || assert_eq!(depth_is_top(), Some(false)));
            assert_eq!(depth_is_top(), Some(true));
        });
        assert_eq!(depth_is_top(), None);
    }
}
