//! [`Throttle`]: how many events that are alike, of one subject and kind, are kept. What one guest does again and
//! again must not wash away what was kept of it before, or of others. What is left out is counted and said.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Event, EventKind, Subject};

/// Subjects and kinds that are told apart; with more at once, the rest of them share what they may.
const MOST: usize = 1 << 16;

/// How often those are looked for that need not be told apart any more, when there are too many.
const SWEEP: Duration = Duration::from_secs(1);

/// How many events that are alike are kept.
pub(super) struct Throttle {
    burst: f64,
    per_second: f64,
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    buckets: HashMap<(Subject, EventKind), Bucket>,
    swept: Option<Instant>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
    left_out: u64,
}

/// What becomes of an event.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is kept, behind one that says how many like it were left out before.
    Kept(Option<Box<Event>>),
    LeftOut,
}

/// Whether guests cannot bring it about as often as they like: whoever runs the host does it, or it ends them.
pub(super) const fn is_rare(kind: EventKind) -> bool {
    use EventKind as K;
    matches!(kind, K::Deployed | K::Replaced | K::Removed | K::LimitsChanged | K::Violation | K::Lost)
}

/// Whether it tells the life of a guest, for which there is a place when there is none for others.
pub(super) const fn is_life(kind: EventKind) -> bool {
    use EventKind as K;
    is_rare(kind) || matches!(kind, K::Started | K::Stopped | K::Ended | K::Restarted)
}

impl Throttle {
    pub(super) fn new(burst: u32, per_minute: u32) -> Self {
        let (burst, per_second) = (f64::from(burst.max(1)), f64::from(per_minute) / 60.0);
        Self { burst, per_second, most: MOST, state: Mutex::default() }
    }

    /// What becomes of `event` now.
    pub(super) fn admit(&self, event: &Event, now: Instant) -> Verdict {
        if is_rare(event.kind) {
            return Verdict::Kept(None);
        }
        let mut state = self.state.lock();
        let mut key = (event.subject.clone(), event.kind);
        if state.buckets.len() >= self.most && !state.buckets.contains_key(&key) {
            self.sweep(&mut state, now);
            if state.buckets.len() >= self.most {
                key.0 = Subject::host("others");
            }
        }
        let subject = key.0.clone();
        let bucket = state.buckets.entry(key).or_insert(Bucket { tokens: self.burst, filled: now, left_out: 0 });
        self.fill(bucket, now);
        if bucket.tokens < 1.0 {
            bucket.left_out += 1;
            return Verdict::LeftOut;
        }
        bucket.tokens -= 1.0;
        Verdict::Kept(summary(&subject, event.kind, std::mem::take(&mut bucket.left_out)).map(Box::new))
    }

    /// Everything that was left out and not said yet.
    pub(super) fn left_out(&self) -> Vec<Event> {
        let mut state = self.state.lock();
        let said = state
            .buckets
            .iter_mut()
            .filter_map(|((subject, kind), bucket)| summary(subject, *kind, std::mem::take(&mut bucket.left_out)));
        said.collect()
    }

    fn fill(&self, bucket: &mut Bucket, now: Instant) {
        let time = now.saturating_duration_since(bucket.filled);
        bucket.tokens = (bucket.tokens + time.as_secs_f64() * self.per_second).min(self.burst);
        bucket.filled = now;
    }

    /// Forgets those that would begin as they are now.
    fn sweep(&self, state: &mut State, now: Instant) {
        if state.swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP) {
            return;
        }
        state.swept = Some(now);
        state.buckets.retain(|_, bucket| {
            self.fill(bucket, now);
            bucket.left_out > 0 || bucket.tokens < self.burst
        });
    }
}

fn summary(subject: &Subject, kind: EventKind, left_out: u64) -> Option<Event> {
    (left_out > 0).then(|| Event::new(subject.clone(), kind, format!("{left_out} more like this were left out")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, kind: EventKind) -> Event {
        Event::new(Subject::tool(name), kind, "")
    }

    fn kept(throttle: &Throttle, name: &str, kind: EventKind, now: Instant) -> Option<String> {
        match throttle.admit(&event(name, kind), now) {
            Verdict::Kept(more) => Some(more.map(|more| more.detail.to_string()).unwrap_or_default()),
            Verdict::LeftOut => None,
        }
    }

    #[test]
    fn a_few_that_are_alike_are_kept_then_so_many_a_minute_and_the_rest_is_counted() {
        let (throttle, now) = (Throttle::new(3, 6), Instant::now());
        let trapped = |name, seconds| kept(&throttle, name, EventKind::Trapped, now + Duration::from_secs(seconds));
        assert!((0..3).all(|_| trapped("a", 0) == Some(String::new())));
        assert!((0..5).all(|_| trapped("a", 9).is_none()));
        assert_eq!(trapped("b", 9).as_deref(), Some(""), "others are not held back for it");
        let failed = kept(&throttle, "a", EventKind::Failed, now);
        assert_eq!(failed.as_deref(), Some(""), "nor what else it does");
        assert_eq!(trapped("a", 10).as_deref(), Some("5 more like this were left out"));
        assert!((0..2).all(|_| trapped("a", 11).is_none()));
        let said: Vec<_> = throttle.left_out().iter().map(|event| event.detail.to_string()).collect();
        assert_eq!(said, ["2 more like this were left out"]);
        assert!(throttle.left_out().is_empty(), "it was said");
        assert!((0..3).all(|_| trapped("a", 1_000).is_some()) && trapped("a", 1_000).is_none());
    }

    #[test]
    fn what_the_host_does_is_always_kept() {
        let (throttle, now) = (Throttle::new(1, 0), Instant::now());
        for kind in [EventKind::Removed, EventKind::Replaced, EventKind::Violation] {
            assert!((0..100).all(|_| kept(&throttle, "a", kind, now).is_some()), "{kind}");
        }
    }

    #[test]
    fn however_many_there_are_it_takes_bounded_memory() {
        let (mut throttle, now) = (Throttle::new(2, 6), Instant::now());
        throttle.most = 10;
        for n in 0..1_000 {
            kept(&throttle, &n.to_string(), EventKind::Trapped, now);
        }
        assert_eq!(throttle.state.lock().buckets.len(), 11);
        let said: Vec<_> = throttle.left_out();
        assert!(said.len() == 1 && said[0].detail.as_str().starts_with("988 more"), "{said:?}");
        // Those who have been quiet make room.
        assert!(kept(&throttle, "new", EventKind::Trapped, now + Duration::from_secs(60)).is_some());
        assert!(throttle.state.lock().buckets.contains_key(&(Subject::tool("new"), EventKind::Trapped)));
    }
}
