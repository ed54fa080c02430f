//! Buffers of long batches, used again: given back to the system after each batch, their pages would cost more than
//! what is copied into them.

use bytes::Bytes;
use parking_lot::Mutex;

/// Batches of at least this many bytes are collected in such a buffer.
const LONG_BYTES_MIN: usize = 8 << 10;
/// Room of a buffer: what one read brings in, and a little more for packets that become longer.
const BUFFER_BYTES: usize = 72 << 10;
/// A buffer that has grown beyond this is given back to the system.
const BUFFER_BYTES_MAX: usize = 160 << 10;
/// Buffers that are kept while nobody uses them, 2 MiB at the usual size.
const SPARES_MAX: usize = 28;

/// Not one for each thread: a batch may be let go by another one than it was made by, and always the same other one.
static SPARES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// An empty buffer for a batch of probably so many bytes.
pub(crate) fn buffer(bytes: usize) -> Vec<u8> {
    if bytes < LONG_BYTES_MIN {
        return Vec::with_capacity(bytes);
    }
    let spare = SPARES.lock().pop();
    spare.unwrap_or_else(|| Vec::with_capacity(bytes.max(BUFFER_BYTES)))
}

/// Makes the bytes of a batch shared. It may wait for a slow receiver, and so holds at most twice the memory that it
/// is charged for.
pub(crate) fn share(bytes: Vec<u8>) -> Bytes {
    let is_spare = bytes.capacity() >= BUFFER_BYTES;
    if bytes.capacity() / 2 > bytes.len() {
        let exact = Bytes::copy_from_slice(&bytes);
        drop(Reused(bytes));
        exact
    } else if is_spare {
        Bytes::from_owner(Reused(bytes))
    } else {
        Bytes::from(bytes)
    }
}

/// A buffer that becomes a spare one.
struct Reused(Vec<u8>);

impl AsRef<[u8]> for Reused {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Reused {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        if !(BUFFER_BYTES..=BUFFER_BYTES_MAX).contains(&buffer.capacity()) {
            return;
        }
        buffer.clear();
        let mut spares = SPARES.lock();
        if spares.len() < SPARES_MAX {
            spares.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one test of this process-wide state, so that no other one interferes.
    #[test]
    fn a_long_batch_is_collected_in_the_buffer_of_an_earlier_one_and_a_short_one_pins_none() {
        let mut first = buffer(50_000);
        first.extend_from_slice(&[1; 60_000]);
        let address = first.as_ptr();
        let shared = share(first);
        assert_eq!((shared.as_ptr(), shared.len()), (address, 60_000));
        let another = shared.clone();
        drop(shared);
        assert!(SPARES.lock().is_empty(), "it is still in use");
        drop(another);
        let mut second = buffer(50_000);
        assert_eq!((second.as_ptr(), second.len()), (address, 0));
        second.extend_from_slice(&[2; 100]);
        let short = share(second);
        assert_eq!(&short[..], &[2; 100]);
        assert_eq!(SPARES.lock().len(), 1, "it was copied out");
        drop(Reused(Vec::with_capacity(BUFFER_BYTES_MAX + 1)));
        (0..SPARES_MAX + 5).for_each(|_| drop(Reused(Vec::with_capacity(BUFFER_BYTES))));
        assert_eq!(SPARES.lock().len(), SPARES_MAX);
    }
}
