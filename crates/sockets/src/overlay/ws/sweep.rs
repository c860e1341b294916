//! Who asks each connection of a thread for its pulse: one task and one timer for all that have the same step.
//!
//! Connections hang in the slots of a wheel by when they began, so that their pings do not all leave at once. The task
//! sleeps until the next slot that has any, and ends with the last connection.

use super::control::Control;
use std::{
    cell::RefCell,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

/// Slots of a wheel; connections are asked once per turn.
const SLOTS: u64 = 16;
/// Timers are not that inexact while a program runs.
const LATE: Duration = Duration::from_millis(100);

thread_local! {
    /// Wheels with connections that began on this thread, by the length of their turn.
    static WHEELS: RefCell<Vec<(Duration, Weak<Mutex<Wheel>>)>> = const { RefCell::new(Vec::new()) };
}

struct Wheel {
    start: Instant,
    turn: Duration,
    slots: [Vec<Weak<Control>>; SLOTS as usize],
    /// The task has ended.
    over: bool,
}

impl Wheel {
    fn slot(&mut self, tick: u64) -> &mut Vec<Weak<Control>> {
        let [slots @ .., last] = &mut self.slots;
        slots.get_mut((tick % SLOTS) as usize).unwrap_or(last)
    }

    /// When this tick is due.
    fn at(&self, tick: u64) -> Instant {
        let time = self.turn.as_nanos().saturating_mul(tick.into()) / u128::from(SLOTS);
        let time = Duration::from_nanos(u64::try_from(time).unwrap_or(u64::MAX));
        self.start.checked_add(time).unwrap_or_else(|| self.start + self.turn)
    }

    /// The first tick that is not over.
    fn now(&self) -> u64 {
        let passed = self.start.elapsed().as_nanos().saturating_mul(SLOTS.into());
        u64::try_from(passed.div_ceil(self.turn.as_nanos().max(1))).unwrap_or(u64::MAX)
    }

    /// The next tick after `tick` at which somebody is to be asked.
    fn next(&mut self, tick: u64) -> Option<u64> {
        (tick + 1..=tick + SLOTS).find(|tick| !self.slot(*tick).is_empty())
    }

    fn add(&mut self, control: &Arc<Control>) {
        let first = self.now().saturating_add(SLOTS);
        control.begin_pulse(first);
        self.slot(first).push(Arc::downgrade(control));
    }
}

fn lock(wheel: &Mutex<Wheel>) -> MutexGuard<'_, Wheel> {
    // Nothing in here can be left half done by a panic.
    wheel.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on `control` is asked for its pulse every `turn`. Must be called within a runtime, or nothing will come of it.
pub fn watch(control: &Arc<Control>, turn: Duration) {
    WHEELS.with_borrow_mut(|wheels| {
        wheels.retain(|(_, wheel)| wheel.strong_count() > 0);
        for wheel in wheels.iter().filter(|(its, _)| *its == turn).filter_map(|(_, wheel)| wheel.upgrade()) {
            let mut wheel = lock(&wheel);
            if !wheel.over {
                return wheel.add(control);
            }
        }
        let Ok(runtime) = Handle::try_current() else {
            tracing::error!("no keepalive: the WebSocket was made outside of a runtime");
            return;
        };
        let mut wheel = Wheel { start: Instant::now(), turn, slots: Default::default(), over: false };
        wheel.add(control);
        let wheel = Arc::new(Mutex::new(wheel));
        wheels.push((turn, Arc::downgrade(&wheel)));
        runtime.spawn(sweep(wheel));
    });
}

async fn sweep(wheel: Arc<Mutex<Wheel>>) {
    let mut tick = 0;
    loop {
        let due = {
            let mut wheel = lock(&wheel);
            let Some(next) = wheel.next(tick) else {
                wheel.over = true;
                return;
            };
            tick = next;
            wheel.at(tick)
        };
        sleep_until(due).await;
        let late = due.elapsed();
        let mut connections = {
            let mut wheel = lock(&wheel);
            if late <= LATE.max(wheel.turn / 4) {
                mem::take(wheel.slot(tick))
            } else {
                // Our own program stood still (SIGSTOP, a busy machine), and what the peers said meanwhile was not read. Such
                // time does not count, and readers get a tick before anybody is judged.
                let pause = late + wheel.turn / SLOTS as u32;
                wheel.start = wheel.start.checked_add(pause).unwrap_or(wheel.start);
                tick -= 1; // the same again
                continue;
            }
        };
        // Without the lock: woken tasks may make new connections on other threads meanwhile.
        connections.retain(|control| control.upgrade().is_some_and(|control| control.beat(tick)));
        connections.shrink_to(2 * connections.len());
        let mut wheel = lock(&wheel);
        let new = mem::replace(wheel.slot(tick), connections);
        wheel.slot(tick).extend(new);
    }
}
