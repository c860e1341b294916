//! How long script code may run at a time: nothing else does on its thread meanwhile, signals included.

use rhai::{Dynamic, Engine};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Steps of one evaluation or callback.
const MAX_OPERATIONS: u64 = 50_000_000;
/// Functions of the script that have called each other and are not done. Each costs stack, of which threads have 2 MiB.
const MAX_CALLS: usize = 64;
/// Time of one evaluation or callback: a thousand times what any sensible one takes.
const MAX_TIME: Duration = Duration::from_secs(1);
/// Bytes of a string, and items of an array or bytes of a blob with all inside it: what a child's output may have.
const MAX_SIZE: usize = 64 << 20;
/// Keys of a map with all inside it.
const MAX_KEYS: usize = 1 << 20;
/// Steps between looks at the clock: some microseconds.
const STRIDE: u64 = 1024;

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Puts the outer limit back, whatever way the call ends.
struct Restore(Option<Instant>);

impl Drop for Restore {
    fn drop(&mut self) {
        DEADLINE.set(self.0);
    }
}

/// Script code that `evaluate` runs has a limited time. Calls inside of calls share that of the outermost one.
pub fn limited<T>(evaluate: impl FnOnce() -> T) -> T {
    let outer = DEADLINE.get();
    let _restore = Restore(outer);
    DEADLINE.set(outer.or_else(|| Instant::now().checked_add(MAX_TIME)));
    evaluate()
}

/// Makes the engine keep the limits; over them an evaluation ends with an error that says where.
pub fn install(engine: &mut Engine) {
    engine.set_max_operations(MAX_OPERATIONS);
    engine.set_max_call_levels(MAX_CALLS);
    engine.set_max_string_size(MAX_SIZE).set_max_array_size(MAX_SIZE).set_max_map_size(MAX_KEYS);
    engine.on_progress(|steps| {
        let late = steps % STRIDE == 0 && DEADLINE.get().is_some_and(|deadline| Instant::now() > deadline);
        late.then(|| Dynamic::from("it ran for more than a second"))
    });
}
