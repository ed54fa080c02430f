//! Whose turn it is to ask somebody else.

use std::time::Duration;

use tokio::sync::Semaphore;

use crate::Bounds;

/// Keeps [`Bounds`]: so many questions at a time, so many that wait, a deadline for each.
pub(crate) struct Turns {
    deadline: Duration,
    /// Both those that are asked and those that wait.
    admitted: Semaphore,
    asking: Semaphore,
}

/// Why a question was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// Too many wait.
    Busy,
    /// Its time was over.
    Late,
}

impl Turns {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            deadline: bounds.deadline,
            admitted: Semaphore::new(bounds.concurrent_max + bounds.waiting_max),
            asking: Semaphore::new(bounds.concurrent_max),
        }
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Asks when it is its turn.
    pub(crate) async fn take<F: Future>(&self, question: F) -> Result<F::Output, NoTurn> {
        let _place = self.admitted.try_acquire().map_err(|_| NoTurn::Busy)?;
        let asked = async {
            let _turn = self.asking.acquire().await.map_err(|_| NoTurn::Busy)?;
            Ok(question.await)
        };
        tokio::time::timeout(self.deadline, asked).await.unwrap_or(Err(NoTurn::Late))
    }
}
