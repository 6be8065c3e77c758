//! The way of a request's tokens from the engine to its stream.
//!
//! Nothing in it ever makes the sender wait: a slow reader finds its tokens piled up, at most one context of them. Each
//! end sees when the other is gone. The receiver waits by blocking or by leaving a waker, as futures do.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub(super) struct Sender<T>(Arc<Shared<T>>);

pub(super) struct Receiver<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    news: Condvar,
}

struct State<T> {
    queue: VecDeque<T>,
    sender_is_gone: bool,
    receiver_is_gone: bool,
    waker: Option<Waker>,
}

pub(super) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            queue: VecDeque::new(),
            sender_is_gone: false,
            receiver_is_gone: false,
            waker: None,
        }),
        news: Condvar::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<'_, State<T>>) {
        let waker = state.waker.take();
        drop(state);
        self.news.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Sender<T> {
    pub(super) fn send(&self, value: T) {
        let mut state = self.0.lock();
        if !state.receiver_is_gone {
            state.queue.push_back(value);
            self.0.wake(state);
        }
    }

    /// Whether nobody will receive any more.
    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().receiver_is_gone
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.sender_is_gone = true;
        self.0.wake(state);
    }
}

impl<T> Receiver<T> {
    /// Waits for the next value; `None` if none will come.
    pub(super) fn receive(&self) -> Option<T> {
        let mut state = self.0.lock();
        loop {
            if let Some(value) = state.queue.pop_front() {
                return Some(value);
            }
            if state.sender_is_gone {
                return None;
            }
            state = self
                .0
                .news
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next value if it is there; else the task is woken when something has changed.
    #[cfg_attr(not(feature = "async"), allow(dead_code))]
    pub(super) fn poll(&self, task: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        if let Some(value) = state.queue.pop_front() {
            return Poll::Ready(Some(value));
        }
        if state.sender_is_gone {
            return Poll::Ready(None);
        }
        state.waker = Some(task.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.receiver_is_gone = true;
        state.queue = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread;

    use super::*;

    #[test]
    fn values_come_in_order_and_then_the_end() {
        let (sender, receiver) = channel();
        let reader =
            thread::spawn(move || std::iter::from_fn(|| receiver.receive()).collect::<Vec<u32>>());
        (0..1000).for_each(|value| sender.send(value));
        drop(sender);
        assert_eq!(reader.join().unwrap(), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_sender_sees_that_nobody_listens() {
        let (sender, receiver) = channel();
        assert!(!sender.is_closed());
        drop(receiver);
        assert!(sender.is_closed());
        sender.send(1);
    }

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_is_woken_by_a_value_and_by_the_end() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Arc::clone(&count).into();
        let task = Context::from_waker(&waker);
        let (sender, receiver) = channel();
        assert!(receiver.poll(&task).is_pending());
        sender.send(5);
        sender.send(6);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(receiver.poll(&task), Poll::Ready(Some(5)));
        assert_eq!(receiver.poll(&task), Poll::Ready(Some(6)));
        assert!(receiver.poll(&task).is_pending());
        drop(sender);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert_eq!(receiver.poll(&task), Poll::Ready(None));
    }
}
