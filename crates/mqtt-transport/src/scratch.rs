//! Buffers that belong to a thread instead of a connection, so that an idle connection holds none.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes one read can bring in, per thread.
pub(crate) const SCRATCH_BYTES: usize = 64 * 1024;

/// A spare write buffer above this capacity is given back to the allocator.
const SPARE_BYTES_MAX: usize = 256 * 1024;

thread_local! {
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    #[cfg(feature = "tls")]
    static SEAL: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static WRITE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends this thread's read buffer, [`SCRATCH_BYTES`] long, its old content meaningless.
///
/// The buffer is moved out of the thread local for the time of the call: a nested call gets one of its own, and after a
/// panic the next call makes a new one.
pub(crate) fn with_read_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = READ.take();
    if scratch.is_empty() {
        scratch = vec![0; SCRATCH_BYTES];
    }
    let result = work(&mut scratch);
    READ.set(scratch);
    result
}

/// One read of at most `bytes_max` bytes, shown to `work`; an empty slice means end of stream.
pub(crate) fn poll_read_slice<S, R>(
    cx: &mut Context<'_>,
    stream: &mut S,
    bytes_max: usize,
    work: impl FnOnce(&[u8]) -> R,
) -> Poll<io::Result<R>>
where
    S: AsyncRead + Unpin + ?Sized,
{
    with_read_scratch(|scratch| {
        let room = bytes_max.min(scratch.len());
        let mut buffer = ReadBuf::new(&mut scratch[..room]);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(work(buffer.filled())))
    })
}

/// An empty buffer for writing, with capacity when this thread has a spare one.
pub(crate) fn take_write_spare() -> Vec<u8> {
    WRITE.take()
}

/// Keeps `buffer` as this thread's spare if it is of a sensible size and larger than the present one.
pub(crate) fn give_write_spare(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > SPARE_BYTES_MAX {
        return;
    }
    let held = WRITE.take();
    if held.capacity() >= buffer.capacity() {
        WRITE.set(held);
    } else {
        buffer.clear();
        WRITE.set(buffer);
    }
}

/// The thread's buffer for sealed bytes: its old content is meaningless, its length what was needed before.
#[cfg(feature = "tls")]
pub(crate) fn take_seal_spare() -> Vec<u8> {
    SEAL.take()
}

/// Keeps `buffer` for the next taker if it is of a sensible size.
#[cfg(feature = "tls")]
pub(crate) fn give_seal_spare(buffer: Vec<u8>) {
    if buffer.capacity() <= SPARE_BYTES_MAX {
        SEAL.set(buffer);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_nested_use_gets_a_buffer_of_its_own() {
        with_read_scratch(|outer| {
            outer.fill(1);
            with_read_scratch(|inner| inner.fill(2));
            assert!(outer.iter().all(|byte| *byte == 1));
        });
        with_read_scratch(|again| assert_eq!(again.len(), SCRATCH_BYTES));
    }

    #[test]
    fn a_panic_while_the_buffer_is_lent_harms_nobody() {
        let outcome = catch_unwind(AssertUnwindSafe(|| with_read_scratch(|_| panic!("on purpose"))));
        assert!(outcome.is_err());
        with_read_scratch(|again| assert_eq!(again.len(), SCRATCH_BYTES));
    }

    #[test]
    fn the_larger_spare_is_kept_and_a_huge_one_is_not() {
        give_write_spare(Vec::with_capacity(100));
        give_write_spare(Vec::with_capacity(1000));
        give_write_spare(Vec::with_capacity(10));
        give_write_spare(Vec::with_capacity(SPARE_BYTES_MAX + 1));
        assert_eq!(take_write_spare().capacity(), 1000);
        assert_eq!(take_write_spare().capacity(), 0);
    }
}
