//! Runs code of libraries that panics over damaged input instead of giving an error, and makes that an error. Such a
//! panic is not printed: it is no bug of ours, and the error tells of it.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread runs contained code.
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// What `run` gives. It must leave nothing behind that a panic in its middle would have left half done.
///
/// # Errors
/// What the code said when it panicked.
pub(crate) fn contained<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if !IS_CONTAINED.get() {
                before(info);
            }
        }));
    });
    let was = IS_CONTAINED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    IS_CONTAINED.set(was);
    outcome.map_err(|said| text(&*said))
}

fn text(said: &(dyn Any + Send)) -> String {
    let text = said.downcast_ref::<&str>().copied();
    let text = text.or_else(|| said.downcast_ref::<String>().map(String::as_str));
    crate::text::shown(text.unwrap_or("a panic without words").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_words() {
        assert_eq!(contained(|| 7), Ok(7));
        assert_eq!(contained(|| -> u8 { panic!("at {}", 3) }), Err("at 3".to_owned()));
        assert!(!IS_CONTAINED.get());
    }
}
