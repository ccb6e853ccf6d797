//! Reads as of a moment: nothing that was committed after it, and everything that was committed a step before it.

use chronolith_engine::Db;

use crate::check::Outcome;
use crate::dice::Dice;
use crate::ledger::Ledger;

/// Nanoseconds of a step of the commit clock.
const STEP_NS: i64 = 100_000_000;

/// Asks for a moment. The first `shown` commits are published.
///
/// # Errors
/// A view that shows too much or too little.
pub fn check(db: &Db, ledger: &Ledger, shown: usize, dice: &mut Dice) -> Outcome {
    let entries = &ledger.entries[..shown];
    let moment = if dice.chance(30) || entries.is_empty() {
        ledger.now_ns()
    } else {
        dice.pick(entries).clock_ns.0
    };
    let moment = moment + dice.between(-2 * STEP_NS, 2 * STEP_NS);
    let seen = db.snapshot_as_of(moment).map_err(|error| format!("as of {moment}: {error}"))?;
    let count = seen.sequence().counter as usize;
    // Commit times never go back: a commit's is at least, and at most, what the clock showed up to it.
    let least = entries.iter().take(count).map(|entry| entry.clock_ns.0).max();
    if least.is_some_and(|least| least > moment) {
        return Err(format!("as of {moment}: {count} commits are seen, one of {least:?}"));
    }
    let most = entries.iter().take(count + 1).map(|entry| entry.clock_ns.1).max();
    if count < shown && most.is_some_and(|most| most.saturating_add(STEP_NS) <= moment) {
        return Err(format!("as of {moment}: only {count} of {shown} commits, up to {most:?}"));
    }
    Ok(())
}
