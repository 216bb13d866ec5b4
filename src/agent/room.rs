//! [`Room`]: who waits for room in a mailbox, in the order they came; [`Ticket`]: one's place among them; and
//! [`Waits`]: which agent waits for which, so that none ever waits for itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

use super::actor::Actor;
use super::id::AgentId;

/// Who waits for room in a mailbox, in the order they came. Whoever is woken keeps its number, and with it its
/// turn, should it have to wait again.
#[derive(Debug)]
pub(super) struct Room {
    /// Messages that the mailbox holds.
    messages: usize,
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Room {
    pub fn new(messages: usize) -> Self {
        Self { messages, next: 0, wakers: BTreeMap::new() }
    }

    /// Whether somebody waits who came before the one of this number; without a number, whether anybody waits.
    pub fn is_before(&self, number: Option<u64>) -> bool {
        match (self.wakers.first_key_value(), number) {
            (Some((first, _)), Some(number)) => *first < number,
            (first, _) => first.is_some(),
        }
    }

    /// Has it wait: at its number, or last. Gives the number, and a waker that is not to be dropped under a lock.
    fn enter(&mut self, number: Option<u64>, waker: Waker) -> (u64, Option<Waker>) {
        let number = number.unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        (number, self.wakers.insert(number, waker))
    }

    /// Takes out, in order, those who may find room when `queued` messages are there, to be woken under no lock.
    pub fn call(&mut self, queued: usize, woken: &mut Vec<Waker>) {
        for _ in 0..self.messages.saturating_sub(queued) {
            let Some((_, waker)) = self.wakers.pop_first() else { break };
            woken.push(waker);
        }
    }

    /// Takes everybody out.
    pub fn clear(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.wakers).into_values()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.wakers.len()
    }
}

/// A sender's place among those who wait for room at `at`; given up when dropped.
pub(super) struct Ticket {
    at: Arc<Actor>,
    number: Option<u64>,
}

impl Ticket {
    /// Nobody waits yet.
    pub fn new(at: &Arc<Actor>) -> Self {
        Self { at: at.clone(), number: None }
    }

    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// Waits in `room`, which is the one it is for. What is given is not to be dropped under a lock.
    #[must_use]
    pub fn wait(&mut self, room: &mut Room, waker: Waker) -> Option<Waker> {
        let (number, before) = room.enter(self.number, waker);
        self.number = Some(number);
        before
    }

    /// Has found room. What is given is not to be dropped under a lock.
    #[must_use]
    pub fn done(&mut self, room: &mut Room) -> Option<Waker> {
        self.number.take().and_then(|number| room.wakers.remove(&number))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.number.is_none() {
            return;
        }
        let mut woken = Vec::new();
        let at = self.at.clone();
        let mut desk = at.desk.lock();
        let mine = self.done(&mut desk.room);
        if mine.is_none() {
            // It was called, and leaves: the next one may have what it was called for.
            let queued = desk.mailbox.len();
            desk.room.call(queued, &mut woken);
        }
        drop(desk);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Which agent waits for room at which other one.
#[derive(Default)]
pub(super) struct Waits(Mutex<HashMap<AgentId, AgentId>>);

/// An agent waits; it no longer does when this is dropped.
pub(super) struct Waiting {
    waits: Arc<Waits>,
    who: AgentId,
}

impl Waits {
    /// `who` waits for `whom`. `None` if it would wait for itself: if `whom` waits for it, at one or more removes.
    pub fn begin(self: &Arc<Self>, who: AgentId, whom: AgentId) -> Option<Waiting> {
        let mut waits = self.0.lock();
        let mut at = whom;
        while at != who {
            match waits.get(&at) {
                Some(next) => at = *next,
                None => {
                    waits.insert(who, whom);
                    return Some(Waiting { waits: self.clone(), who });
                }
            }
        }
        None
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waits = self.waits.0.lock();
        waits.remove(&self.who);
        if waits.is_empty() && waits.capacity() > 64 {
            waits.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_itself() {
        let waits = Arc::new(Waits::default());
        let [a, b, c] = [AgentId::new(), AgentId::new(), AgentId::new()];
        let first = waits.begin(a, b).expect("b waits for nobody");
        let _second = waits.begin(b, c).expect("c waits for nobody");
        assert!(waits.begin(c, a).is_none() && waits.begin(c, b).is_none() && waits.begin(c, c).is_none());
        drop(first);
        let _third = waits.begin(c, a).expect("a does not wait any more");
        assert!(waits.begin(a, b).is_none());
    }

    #[test]
    fn they_are_called_in_the_order_they_came() {
        struct Tell(std::sync::mpsc::Sender<u64>, u64);
        impl std::task::Wake for Tell {
            fn wake(self: Arc<Self>) {
                self.0.send(self.1).expect("the test receives");
            }
        }
        let (send, called) = std::sync::mpsc::channel();
        let waker = |n| Waker::from(Arc::new(Tell(send.clone(), n)));
        let mut room = Room::new(3);
        let numbers: Vec<u64> = (0..5).map(|n| room.enter(None, waker(n)).0).collect();
        let call = |room: &mut Room, queued| {
            let mut woken = Vec::new();
            room.call(queued, &mut woken);
            woken.into_iter().for_each(Waker::wake);
            called.try_iter().collect::<Vec<_>>()
        };
        assert!(call(&mut room, 3).is_empty());
        assert_eq!(call(&mut room, 1), [0, 1]);
        // It did not fit, and is the first again.
        assert_eq!(room.enter(Some(numbers[1]), waker(1)).0, numbers[1]);
        assert!(room.is_before(None) && room.is_before(Some(numbers[2])) && !room.is_before(Some(numbers[1])));
        assert_eq!(call(&mut room, 0), [1, 2, 3]);
        assert_eq!((call(&mut room, 0), room.len()), (vec![4], 0));
    }
}
