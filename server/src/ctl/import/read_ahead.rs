//! Reads and unpacks on a thread of its own, a few blocks ahead.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

/// Bytes of a block.
const BLOCK_BYTES: usize = 256 << 10;
/// Blocks ahead, at most.
const BLOCKS_AHEAD: usize = 8;

/// What was read ahead; errors come through as they are, typed ones too.
pub(super) struct ReadAhead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    at: usize,
}

impl ReadAhead {
    /// Reads `source` on a thread of `scope`, which ends when this is dropped.
    pub(super) fn spawn<'scope>(
        scope: &'scope Scope<'scope, '_>,
        source: impl Read + Send + 'scope,
    ) -> Self {
        let (sender, blocks) = sync_channel(BLOCKS_AHEAD);
        scope.spawn(move || read_blocks(source, &sender));
        Self { blocks, current: Vec::new(), at: 0 }
    }
}

fn read_blocks(mut source: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let result = source.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block);
        let ends = !matches!(result, Ok(count) if count > 0);
        // Bytes before an error count.
        let whole = block.is_empty() || sender.send(Ok(block)).is_ok();
        let failed = result.is_err_and(|error| sender.send(Err(error)).is_err());
        if ends || !whole || failed {
            return;
        }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() {
            match self.blocks.recv() {
                Ok(Ok(block)) => (self.current, self.at) = (block, 0),
                Ok(Err(error)) => return Err(error),
                // The thread is done: the end.
                Err(_) => return Ok(0),
            }
        }
        let rest = self.current.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_errors_come_through_in_order() {
        struct Failing(u8);
        impl Read for Failing {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 > 3 {
                    return Err(io::Error::other("gone"));
                }
                buf[..1000].fill(self.0);
                Ok(1000)
            }
        }
        std::thread::scope(|scope| {
            let mut ahead = ReadAhead::spawn(scope, Failing(0));
            let mut all = Vec::new();
            let error = ahead.read_to_end(&mut all).unwrap_err();
            assert_eq!((all.len(), error.to_string().as_str()), (3000, "gone"));
            assert_eq!((all[0], all[2999]), (1, 3));
        });
        let long: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        std::thread::scope(|scope| {
            let mut ahead = ReadAhead::spawn(scope, &long[..]);
            let mut all = Vec::new();
            ahead.read_to_end(&mut all).unwrap();
            assert!(all == long);
            // Dropped in the middle, the thread ends and the scope with it.
            drop(ReadAhead::spawn(scope, &long[..]));
        });
    }
}
