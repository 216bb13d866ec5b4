//! [`Throttle`]: how many events that are alike, of one subject and kind, are kept, and how many of all subjects
//! together. Neither what one guest does again and again nor what many do once must wash away what was kept before.
//! What is left out is counted and said.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Event, EventKind, Subject};

/// Subjects and kinds that are told apart; with more at once, the rest of them share what they may.
const MOST: usize = 1 << 16;

/// How often those are looked for that need not be told apart any more, when there are too many.
const SWEEP: Duration = Duration::from_secs(1);

/// Of the events of all together, this part is kept for those that tell the life of a guest.
const FOR_LIVES: f64 = 0.25;

/// How often it is said how many of all together were left out.
const SAY: Duration = Duration::from_secs(10);

/// How many events are kept.
pub(super) struct Throttle {
    alike: Rate,
    all: Rate,
    most: usize,
    state: Mutex<State>,
}

/// So many at once, and then so many over time.
#[derive(Clone, Copy)]
struct Rate {
    burst: f64,
    per_second: f64,
}

struct State {
    buckets: HashMap<(Subject, EventKind), Bucket>,
    /// What all of them may have together.
    all: Bucket,
    swept: Option<Instant>,
    said: Option<Instant>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
    left_out: u64,
}

impl Rate {
    fn new(burst: u32, per_minute: u32) -> Self {
        Self { burst: f64::from(burst.max(1)), per_second: f64::from(per_minute) / 60.0 }
    }

    fn bucket(self, now: Instant) -> Bucket {
        Bucket { tokens: self.burst, filled: now, left_out: 0 }
    }

    fn fill(self, bucket: &mut Bucket, now: Instant) {
        let time = now.saturating_duration_since(bucket.filled);
        bucket.tokens = (bucket.tokens + time.as_secs_f64() * self.per_second).min(self.burst);
        bucket.filled = now;
    }
}

/// What becomes of an event.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is kept, behind those that say how many were left out before.
    Kept(Vec<Event>),
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
    /// `alike` and `all`: so many at once, and so many a minute then, of events of one subject and kind, and of all
    /// together.
    pub(super) fn new(alike: (u32, u32), all: (u32, u32)) -> Self {
        let (alike, all) = (Rate::new(alike.0, alike.1), Rate::new(all.0, all.1));
        let bucket = all.bucket(Instant::now());
        let state = State { buckets: HashMap::new(), all: bucket, swept: None, said: None };
        Self { alike, all, most: MOST, state: Mutex::new(state) }
    }

    /// What becomes of `event` now.
    pub(super) fn admit(&self, event: &Event, now: Instant) -> Verdict {
        if is_rare(event.kind) {
            return Verdict::Kept(Vec::new());
        }
        let mut locked = self.state.lock();
        let state = &mut *locked;
        let mut key = (event.subject.clone(), event.kind);
        if state.buckets.len() >= self.most && !state.buckets.contains_key(&key) {
            self.sweep(state, now);
            if state.buckets.len() >= self.most {
                key.0 = Subject::host("others");
            }
        }
        let subject = key.0.clone();
        let bucket = state.buckets.entry(key).or_insert_with(|| self.alike.bucket(now));
        self.alike.fill(bucket, now);
        if bucket.tokens < 1.0 {
            bucket.left_out += 1;
            return Verdict::LeftOut;
        }
        self.all.fill(&mut state.all, now);
        let least = if is_life(event.kind) { 1.0 } else { 1.0 + (self.all.burst * FOR_LIVES).floor() };
        if state.all.tokens < least {
            state.all.left_out += 1;
            return Verdict::LeftOut;
        }
        state.all.tokens -= 1.0;
        bucket.tokens -= 1.0;
        let mut before: Vec<_> =
            summary(&subject, event.kind, std::mem::take(&mut bucket.left_out)).into_iter().collect();
        if state.said.is_none_or(|said| now.saturating_duration_since(said) >= SAY)
            && let Some(said) = of_all(std::mem::take(&mut state.all.left_out))
        {
            state.said = Some(now);
            before.push(said);
        }
        Verdict::Kept(before)
    }

    /// Everything that was left out and not said yet: one event for each subject and kind as long as there is room
    /// for all of them, and one for the rest.
    pub(super) fn left_out(&self, now: Instant) -> Vec<Event> {
        let mut locked = self.state.lock();
        let State { buckets, all, .. } = &mut *locked;
        self.all.fill(all, now);
        let mut said = Vec::new();
        for ((subject, kind), bucket) in buckets {
            let left_out = std::mem::take(&mut bucket.left_out);
            if left_out > 0 && all.tokens < 1.0 {
                all.left_out += left_out;
            } else if let Some(event) = summary(subject, *kind, left_out) {
                all.tokens -= 1.0;
                said.push(event);
            }
        }
        said.extend(of_all(std::mem::take(&mut all.left_out)));
        said
    }

    /// Forgets those that would begin as they are now.
    fn sweep(&self, state: &mut State, now: Instant) {
        if state.swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP) {
            return;
        }
        state.swept = Some(now);
        state.buckets.retain(|_, bucket| {
            self.alike.fill(bucket, now);
            bucket.left_out > 0 || bucket.tokens < self.alike.burst
        });
    }
}

fn summary(subject: &Subject, kind: EventKind, left_out: u64) -> Option<Event> {
    (left_out > 0).then(|| Event::new(subject.clone(), kind, format!("{left_out} more like this were left out")))
}

fn of_all(left_out: u64) -> Option<Event> {
    let detail = || format!("{left_out} events were left out: too many of many agents and tools at once");
    (left_out > 0).then(|| Event::new(Subject::host("audit"), EventKind::Lost, detail()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: (u32, u32) = (1_000_000, 0);

    fn event(name: &str, kind: EventKind) -> Event {
        Event::new(Subject::tool(name), kind, "")
    }

    fn kept(throttle: &Throttle, name: &str, kind: EventKind, now: Instant) -> Option<String> {
        match throttle.admit(&event(name, kind), now) {
            Verdict::Kept(more) => Some(more.iter().map(|more| more.detail.to_string()).collect::<Vec<_>>().join("; ")),
            Verdict::LeftOut => None,
        }
    }

    #[test]
    fn a_few_that_are_alike_are_kept_then_so_many_a_minute_and_the_rest_is_counted() {
        let (throttle, now) = (Throttle::new((3, 6), MANY), Instant::now());
        let trapped = |name, seconds| kept(&throttle, name, EventKind::Trapped, now + Duration::from_secs(seconds));
        assert!((0..3).all(|_| trapped("a", 0) == Some(String::new())));
        assert!((0..5).all(|_| trapped("a", 9).is_none()));
        assert_eq!(trapped("b", 9).as_deref(), Some(""), "others are not held back for it");
        let failed = kept(&throttle, "a", EventKind::Failed, now);
        assert_eq!(failed.as_deref(), Some(""), "nor what else it does");
        assert_eq!(trapped("a", 10).as_deref(), Some("5 more like this were left out"));
        assert!((0..2).all(|_| trapped("a", 11).is_none()));
        let said: Vec<_> = throttle.left_out(now).iter().map(|event| event.detail.to_string()).collect();
        assert_eq!(said, ["2 more like this were left out"]);
        assert!(throttle.left_out(now).is_empty(), "it was said");
        assert!((0..3).all(|_| trapped("a", 1_000).is_some()) && trapped("a", 1_000).is_none());
    }

    #[test]
    fn what_the_host_does_is_always_kept() {
        let (throttle, now) = (Throttle::new((1, 0), (1, 0)), Instant::now());
        for kind in [EventKind::Removed, EventKind::Replaced, EventKind::Violation] {
            assert!((0..100).all(|_| kept(&throttle, "a", kind, now).is_some()), "{kind}");
        }
    }

    #[test]
    fn however_many_there_are_it_takes_bounded_memory() {
        let (mut throttle, now) = (Throttle::new((2, 6), MANY), Instant::now());
        throttle.most = 10;
        for n in 0..1_000 {
            kept(&throttle, &n.to_string(), EventKind::Trapped, now);
        }
        assert_eq!(throttle.state.lock().buckets.len(), 11);
        let said: Vec<_> = throttle.left_out(now);
        assert!(said.len() == 1 && said[0].detail.as_str().starts_with("988 more"), "{said:?}");
        // Those who have been quiet make room.
        assert!(kept(&throttle, "new", EventKind::Trapped, now + Duration::from_secs(60)).is_some());
        assert!(throttle.state.lock().buckets.contains_key(&(Subject::tool("new"), EventKind::Trapped)));
    }

    #[test]
    fn many_subjects_together_have_a_bound_and_lives_a_place_in_it() {
        let (throttle, now) = (Throttle::new((5, 0), (100, 6)), Instant::now());
        let at =
            |name: usize, kind, seconds| kept(&throttle, &name.to_string(), kind, now + Duration::from_secs(seconds));
        let trapped = (0..1_000).filter(|n| at(*n, EventKind::Trapped, 0).is_some()).count();
        assert_eq!(trapped, 75, "a quarter is for lives");
        let lost = |n| format!("{n} events were left out: too many of many agents and tools at once");
        let ended: Vec<_> = (0..1_000).filter_map(|n| at(n, EventKind::Ended, 0)).collect();
        assert_eq!((ended.len(), &ended[0], &*ended[1]), (25, &lost(925), ""));
        assert_eq!(at(0, EventKind::Removed, 0).as_deref(), Some(""), "what the host does is always kept");
        let said = |seconds| -> Vec<String> {
            let said = throttle.left_out(now + Duration::from_secs(seconds));
            assert!(said.iter().all(|event| event.kind == EventKind::Lost));
            said.iter().map(|event| event.detail.to_string()).collect()
        };
        assert_eq!((said(0), said(0)), (vec![lost(975)], vec![]), "all of them, in one event, once");
        // Time gives room again; what was left out before is said with what is kept then.
        assert!(at(5_000, EventKind::Ended, 1).is_none());
        assert_eq!(at(5_001, EventKind::Ended, 60), Some(lost(1)));
    }

    #[test]
    fn what_is_said_of_each_has_a_bound_too() {
        let (throttle, now) = (Throttle::new((1, 0), (40, 0)), Instant::now());
        for n in 0..30 {
            assert!(kept(&throttle, &n.to_string(), EventKind::Trapped, now).is_some());
            assert!(kept(&throttle, &n.to_string(), EventKind::Trapped, now).is_none());
        }
        let said = throttle.left_out(now);
        let (of_all, of_each): (Vec<_>, Vec<_>) = said.iter().partition(|event| event.kind == EventKind::Lost);
        assert_eq!((of_each.len(), of_all.len()), (10, 1));
        assert!(of_all[0].detail.as_str().starts_with("20 events"), "{of_all:?}");
    }
}
