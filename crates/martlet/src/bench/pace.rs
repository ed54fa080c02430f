//! When the messages of a publisher are due.

/// How fast a publisher sends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// As fast as its window allows.
    Unbounded,
    /// One message every so many nanoseconds, the first after `first_ns`.
    Every { interval_ns: f64, first_ns: f64 },
}

impl Pace {
    /// The pace of one of `publishers`, which take turns.
    pub(super) fn new(messages_per_s: Option<f64>, publisher: u32, publishers: u32) -> Self {
        match messages_per_s {
            None => Self::Unbounded,
            Some(rate) => {
                let interval_ns = 1e9 / rate;
                Self::Every {
                    interval_ns,
                    first_ns: interval_ns * f64::from(publisher) / f64::from(publishers),
                }
            }
        }
    }

    /// How many messages are due once `elapsed_ns` have passed since the start.
    pub(super) fn due(self, elapsed_ns: u64) -> u64 {
        match self {
            Self::Unbounded => u64::MAX,
            Self::Every { interval_ns, first_ns } => {
                ((elapsed_ns as f64 - first_ns) / interval_ns + 1.0).max(0.0) as u64
            }
        }
    }

    /// When the message of this number is due, in nanoseconds since the start; at once when there is no pace.
    pub(super) fn due_ns(self, message: u64) -> u64 {
        match self {
            Self::Unbounded => 0,
            Self::Every { interval_ns, first_ns } => (first_ns + interval_ns * message as f64).ceil() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_even_distances() {
        let pace = Pace::new(Some(1000.0), 1, 2);
        assert_eq!([0, 499_999, 500_000, 1_499_999, 1_500_000].map(|ns| pace.due(ns)), [0, 0, 1, 1, 2]);
        (0..1000).for_each(|message| assert_eq!(pace.due(pace.due_ns(message)), message + 1));
    }

    #[test]
    fn without_a_rate_everything_is_due_at_once() {
        assert_eq!(Pace::new(None, 0, 1).due(0), u64::MAX);
    }
}
