//! Requests in flight on one shard: a bound that its connections share.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::event::Event;
use crate::metrics::snapshot::Budget;

/// Places for requests. A connection takes one before it takes a request up; who comes first is served first.
#[derive(Debug)]
pub(crate) struct Requests {
    limit: usize,
    in_flight: Cell<usize>,
    /// One per connection at most.
    line: RefCell<VecDeque<Rc<Event>>>,
}

impl Requests {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, in_flight: Cell::new(0), line: RefCell::default() }
    }

    /// Takes a place; waits while there is none. Once it waits it must not be given up: a place that comes free is its own.
    pub(crate) async fn begin(&self) {
        if self.in_flight.get() < self.limit {
            self.in_flight.set(self.in_flight.get() + 1);
            return;
        }
        let turn = Rc::new(Event::default());
        self.line.borrow_mut().push_back(Rc::clone(&turn));
        turn.wait().await;
    }

    /// How many wait for a place, and how many of the places are taken.
    pub(crate) fn usage(&self) -> (usize, Budget) {
        let taken = Budget { name: "requests", used: self.in_flight.get(), limit: self.limit };
        (self.line.borrow().len(), taken)
    }

    /// Gives a place to whoever is next.
    pub(crate) fn end(&self) {
        match self.line.borrow_mut().pop_front() {
            Some(next) => next.ring(),
            None => self.in_flight.set(self.in_flight.get() - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn places_are_limited_and_go_to_who_came_first() {
        let requests = Requests::new(1);
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(requests.begin()).poll(&mut context).is_ready());
        let (mut first, mut second) = (pin!(requests.begin()), pin!(requests.begin()));
        assert!(first.as_mut().poll(&mut context).is_pending() && second.as_mut().poll(&mut context).is_pending());
        requests.end();
        assert!(second.as_mut().poll(&mut context).is_pending() && first.poll(&mut context).is_ready());
        requests.end();
        assert!(second.poll(&mut context).is_ready());
        requests.end();
        assert_eq!(requests.in_flight.get(), 0);
        assert!(pin!(requests.begin()).poll(&mut context).is_ready());
    }
}
