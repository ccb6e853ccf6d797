//! A disk whose calls take time: on the clock that the database sees, for nothing here waits. Timers, commit times and deadlines
//! meet what a real disk does to them.

use std::sync::Arc;

use chronolith_engine::clock::Clock;

use crate::dice::Dice;
use crate::world::World;

/// From now on the calls of the world's disk that change it take time: most none, some milliseconds, few a minute and a half.
pub fn slow_down(world: &World) {
    let (clock, ledger) = (Arc::clone(&world.clock), Arc::clone(&world.ledger));
    let seed = world.setup.seed;
    world.vfs.set_observer(Some(Arc::new(move |_, call| {
        let mut dice = Dice::new(seed ^ call.index.rotate_left(32));
        let longest_ns = match dice.below(100) {
            0 => 90_000_000_000,
            1..=15 => 20_000_000,
            _ => return,
        };
        clock.advance_ns(dice.between(0, longest_ns));
        // Where the ledger is being written in, it is told at the next call.
        if let Some(mut ledger) = ledger.try_lock() {
            ledger.clock(clock.wall_ns());
        }
    })));
}
