//! Doing the same many times, a bounded number of times at once.

use std::future::Future;

use tokio::task::JoinSet;

use super::link::Broken;

/// Does `work` for each item, at most `at_once` at a time. The results are in the order of the items.
///
/// # Errors
/// The first error; what is under way then is cancelled.
pub(super) async fn in_parallel<I, T, F>(
    items: impl IntoIterator<Item = I>,
    at_once: usize,
    work: impl Fn(I) -> F,
) -> Result<Vec<T>, Broken>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Broken>> + Send + 'static,
{
    let mut items = items.into_iter();
    let mut results: Vec<Option<T>> = Vec::new();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < at_once.max(1) {
            let Some(item) = items.next() else { break };
            let (number, future) = (results.len(), work(item));
            under_way.spawn(async move { future.await.map(|result| (number, result)) });
            results.push(None);
        }
        let Some(done) = under_way.join_next().await else { break };
        let (number, result) = done.expect("the work does not panic")?;
        results[number] = Some(result);
    }
    Ok(results.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn results_keep_their_order_and_the_bound_is_kept() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let squares = in_parallel(0..100_usize, 7, |number| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..number % 5 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(number * number)
            }
        });
        let expected: Vec<usize> = (0..100).map(|number| number * number).collect();
        assert_eq!(squares.await, Ok(expected));
        assert!((2..=7).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn the_first_error_ends_it() {
        let result = in_parallel(0..10, 2, |number| async move {
            if number == 3 { Err("three".to_owned()) } else { Ok(number) }
        });
        assert_eq!(result.await, Err("three".to_owned()));
    }
}
