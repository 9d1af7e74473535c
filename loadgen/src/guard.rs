//! What happens when the program itself is wrong: one sentence, and exit code 70.
//!
//! A panic in a worker ends that worker and is in the document; a panic of the front ends here.
//! Nothing here may hide a panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use loadgen_core::results::exit;

use crate::say::say;

/// Makes every panic, of any thread, one sentence on stderr that asks for a report.
pub(crate) fn install() {
    let wanted = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let standard = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if wanted {
            standard(info);
        }
        say(sentence(info));
    }));
}

fn sentence(info: &PanicHookInfo<'_>) -> String {
    let place = info
        .location()
        .map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    format!(
        "loadgen: this is a bug of ours: {}{place}; please report it with the command line and this line",
        said(info.payload()),
    )
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic")
}

/// Runs the program; its exit code, or 70 when it panics.
pub(crate) fn run(program: impl FnOnce() -> u8) -> u8 {
    catch_unwind(AssertUnwindSafe(program)).unwrap_or(exit::BUG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_bug_and_anything_else_is_not() {
        assert_eq!(run(|| 3), 3);
        assert_eq!(run(|| panic!("on purpose, by a test")), 70);
    }

    #[test]
    fn the_message_is_found_in_both_shapes() {
        assert_eq!(said(&"short"), "short");
        assert_eq!(said(&String::from("long")), "long");
        assert_eq!(said(&5_u8), "a panic");
    }
}
