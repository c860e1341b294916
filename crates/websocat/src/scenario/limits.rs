//! What script code may use up at a time: time, since nothing else runs on its thread meanwhile, signals included; stack and
//! memory, since running out of those ends the whole program.

use crate::error::{Error, Kind};
use rhai::{AST, Dynamic, Engine, ParseError, ParseErrorType};
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
/// Stack of one evaluation or callback. Calls are not all of it: what stands inside of brackets inside of brackets costs as
/// much. Threads have 1 MiB at least, the main one of Windows, and the tasks around it and native functions need the rest. A
/// build without optimisation needs several times as much for the same, and runs where threads have 2 MiB.
const MAX_STACK: usize = if cfg!(debug_assertions) { 3 << 19 } else { 640 << 10 };
/// Bytes of a text or blob, and items of an array with all that is in them: far more than what a script can do anything with
/// in its time.
pub const MAX_SIZE: usize = 16 << 20;
/// Keys of a map with all that is in it, each of which takes more than an item of an array.
pub const MAX_KEYS: usize = 1 << 20;
/// Brackets inside of brackets. The planner needs some dozen for a usual command line.
const MAX_NESTING: usize = 1000;
/// The same for reading a script where it is wanted: what planned scripts have, as a rule, and little enough for the stack of
/// any thread (see [`COMPILER_STACK`]).
pub const SHALLOW: usize = 64;
/// Stack for reading a script, whose nesting is all that bounds the need: builds without optimisation take 20 KiB for a level.
const COMPILER_STACK: usize = 64 << 20;
/// Memory is taken when it is used, but counts at once where address space is limited.
const NO_THREAD: &str = "cannot read the script, which takes a thread with 64 MiB of stack; raise the limits of address space \
                         (ulimit -v) or of processes (ulimit -u)";
/// Steps between looks at the clock: some microseconds.
const STRIDE: u64 = 1024;

/// What began on this thread and is not over.
#[derive(Clone, Copy)]
struct Begun {
    deadline: Option<Instant>,
    /// Where on the stack.
    at: usize,
}

thread_local! {
    static BEGUN: Cell<Option<Begun>> = const { Cell::new(None) };
}

/// Puts the outer limits back, whatever way the call ends.
struct Restore(Option<Begun>);

impl Drop for Restore {
    fn drop(&mut self) {
        BEGUN.set(self.0);
    }
}

/// Some address near the end of the stack.
#[inline(never)]
fn stack_address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

/// Script code that `evaluate` runs has limited time and stack. Calls inside of calls share those of the outermost one.
pub fn limited<T>(evaluate: impl FnOnce() -> T) -> T {
    let outer = BEGUN.get();
    let _restore = Restore(outer);
    let begins = || Begun { deadline: Instant::now().checked_add(MAX_TIME), at: stack_address() };
    BEGUN.set(Some(outer.unwrap_or_else(begins)));
    evaluate()
}

/// Makes the engine keep the limits; over them an evaluation ends with an error that says where.
pub fn install(engine: &mut Engine) {
    engine.set_max_operations(MAX_OPERATIONS);
    engine.set_max_call_levels(MAX_CALLS);
    engine.set_max_expr_depths(MAX_NESTING, MAX_NESTING);
    engine.set_max_string_size(MAX_SIZE);
    engine.set_max_array_size(MAX_SIZE);
    engine.set_max_map_size(MAX_KEYS);
    super::nesting::look_at_variables(engine);
    engine.on_progress(|steps| {
        let begun = BEGUN.get()?;
        if begun.at.abs_diff(stack_address()) > MAX_STACK {
            return Some(Dynamic::from("calls and brackets go too deep"));
        }
        let late = steps % STRIDE == 0 && begun.deadline.is_some_and(|deadline| Instant::now() > deadline);
        late.then(|| Dynamic::from("it ran for more than a second"))
    });
}

/// Reads a script. What nests deeper than usual is read on a stack that is large enough for all that the limits let through:
/// another thread would take longer than most scripts do.
pub fn compile(engine: &mut Engine, text: &str) -> Result<AST, Error> {
    engine.set_max_expr_depths(SHALLOW, SHALLOW);
    let compiled = engine.compile(text);
    engine.set_max_expr_depths(MAX_NESTING, MAX_NESTING);
    let compiled = match compiled {
        Err(ParseError(why, _)) if *why == ParseErrorType::ExprTooDeep => compile_apart(engine, text)?,
        compiled => compiled,
    };
    compiled.map_err(|e| Error::new(Kind::Start, format!("script: {e}")))
}

fn compile_apart(engine: &Engine, text: &str) -> Result<Result<AST, ParseError>, Error> {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().stack_size(COMPILER_STACK).spawn_scoped(scope, || engine.compile(text));
        let thread = thread.map_err(|e| Error::with_source(Kind::Start, NO_THREAD, e))?;
        thread.join().map_err(|panic| std::panic::resume_unwind(panic))
    })
}
