//! One at a time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::event::Event;

/// Something that one task does at a time; others wait. Whoever has his turn may be dropped, and so may who waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_taken: Cell<bool>,
    /// As many as there are connections at most, and those that have given up since the last turn ended.
    waiting: RefCell<Vec<Rc<Event>>>,
}

/// A turn. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken(Rc<Inner>);

impl Turn {
    /// How many wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        // Who has given up has dropped his own.
        self.0.waiting.borrow().iter().filter(|event| Rc::strong_count(event) > 1).count()
    }

    /// Waits until nobody else has his turn.
    pub(crate) async fn take(&self) -> Taken {
        while self.0.is_taken.get() {
            let event = Rc::new(Event::default());
            self.0.waiting.borrow_mut().push(Rc::clone(&event));
            event.wait().await;
        }
        self.0.is_taken.set(true);
        Taken(Rc::clone(&self.0))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.is_taken.set(false);
        // All of them look, since some may be gone.
        self.0.waiting.take().into_iter().for_each(|event| event.ring());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn one_has_his_turn_whoever_gives_up() {
        let turn = Turn::default();
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(first) = pin!(turn.take()).poll(&mut context) else { panic!("nobody has it") };
        let mut gives_up = Box::pin(turn.take());
        let mut second = Box::pin(turn.take());
        assert!(gives_up.as_mut().poll(&mut context).is_pending() && second.as_mut().poll(&mut context).is_pending());
        assert_eq!(turn.waiting(), 2);
        drop(gives_up);
        assert_eq!(turn.waiting(), 1);
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(first);
        let Poll::Ready(second) = second.as_mut().poll(&mut context) else { panic!("it is free") };
        assert!(pin!(turn.take()).poll(&mut context).is_pending());
        drop(second);
        assert!(pin!(turn.take()).poll(&mut context).is_ready());
    }
}
