//! Filters of a direction in which nothing is moved: with `-u` those from right to left, with `-U` those from left to right.
//!
//! They would get no data, but would hold the half behind them until it ends by itself: a session that is over would stay.

use super::super::Plan;
use crate::error::Result;

/// Takes them out.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let session = &plan.args.session;
    if session.unidirectional {
        plan.reverse_filters.clear();
    }
    if session.unidirectional_reverse {
        plan.filters.clear();
    }
    Ok(())
}
