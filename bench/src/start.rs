//! Start to finish of a whole process, again and again.

use crate::{Result, arguments::Arguments};
use std::{
    process::{Command, Stdio},
    time::Instant,
};

/// Runs before the measured ones: the page cache has the program then.
const WARM_UP: usize = 10;

pub fn run(arguments: &Arguments) -> Result<()> {
    let runs: usize = arguments.or("runs", 200)?;
    let (program, rest) = arguments.command.split_first().ok_or(crate::USAGE)?;
    let mut times = Vec::new();
    for run in 0..WARM_UP + runs {
        let start = Instant::now();
        let status = Command::new(program).args(rest).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        let time = start.elapsed();
        if !status.success() {
            return Err(format!("{}: {status}", program.display()).into());
        }
        if run >= WARM_UP {
            times.push(time.as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    println!("median_us {:.1}", times[times.len() / 2]);
    println!("fastest_us {:.1}", times[0]);
    Ok(())
}
