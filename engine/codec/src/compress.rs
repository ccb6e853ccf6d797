//! Zstd (RFC 8878) as a last step over a whole page. The decompressed length stands in front of the
//! frame and is checked before anything is allocated.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use crate::encoding::id;
use crate::error::{CodecError, check_max, corrupt};
use crate::num;
use crate::varint::{self, Reader};

thread_local! {
    /// Contexts are hundreds of kilobytes; making one a page would cost more than the page.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
}

/// Wraps the page that starts at `start` of `out` where that saves at least `1 / saving_divisor` of
/// it; otherwise, or where Zstd fails, leaves it as it is.
pub(crate) fn wrap(out: &mut Vec<u8>, start: usize, level: i32, saving_divisor: usize) {
    let page = out.get(start..).unwrap_or_default();
    let Some(frame) = compress(page, level) else { return };
    let mut head = vec![id::ZSTD];
    varint::put_u64(&mut head, page.len() as u64);
    if head.len() + frame.len() + page.len() / saving_divisor < page.len() {
        out.truncate(start);
        out.extend_from_slice(&head);
        out.extend_from_slice(&frame);
    }
}

fn compress(page: &[u8], level: i32) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(of_level, _)| *of_level != level) {
            let mut fresh = Compressor::new(level).ok()?;
            fresh.include_contentsize(false).ok()?;
            fresh.include_checksum(false).ok()?;
            *slot = Some((level, fresh));
        }
        slot.as_mut().and_then(|(_, compressor)| compressor.compress(page).ok())
    })
}

/// Unwraps the body of a Zstd page (what follows its id) into the page inside, of at most
/// `bytes_max` bytes.
pub(crate) fn unwrap(mut body: Reader<'_>, bytes_max: usize) -> Result<Vec<u8>, CodecError> {
    let len = num::to_usize(body.u64()?);
    check_max("decompressed bytes of a page", len, bytes_max)?;
    let mut page = Vec::with_capacity(len);
    let read = DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        slot.as_mut()?.decompress_to_buffer(body.rest(), &mut page).ok()
    });
    if read != Some(len) || page.len() != len {
        return Err(corrupt("a zstd frame does not give its stated length"));
    }
    Ok(page)
}
