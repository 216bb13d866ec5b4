//! [`Bucket`]: fuel over time for one agent, a token bucket that can be in debt.

use std::time::{Duration, Instant};

use super::config::FuelRate;

const NANOS: u128 = 1_000_000_000;

/// Fuel over time. Counts in billionths of fuel, so that nothing is lost to rounding however often it is asked.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: FuelRate,
    /// Negative: debt.
    balance: i128,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: FuelRate, now: Instant) -> Self {
        Self { rate, balance: full(rate), at: now }
    }

    fn refill(&mut self, now: Instant) {
        let nanos = now.saturating_duration_since(self.at).as_nanos();
        self.at = self.at.max(now);
        let added = i128::try_from(nanos.saturating_mul(self.rate.per_second.into())).unwrap_or(i128::MAX);
        self.balance = self.balance.saturating_add(added).min(full(self.rate));
    }

    /// Takes what a call has cost.
    pub fn spend(&mut self, fuel: u64, now: Instant) {
        self.refill(now);
        self.balance = self.balance.saturating_sub(i128::from(fuel) * NANOS as i128);
    }

    /// How long until the debt is paid; `None` if there is none.
    pub fn debt(&mut self, now: Instant) -> Option<Duration> {
        self.refill(now);
        let owed = u128::try_from(-self.balance).ok().filter(|owed| *owed > 0)?;
        // With no income, it is asked again now and then: the rate may have changed.
        let nanos = owed.div_ceil(u128::from(self.rate.per_second.max(1)));
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(Duration::from_secs(3_600)))
    }

    /// Goes on at another rate, with what is there.
    pub fn set_rate(&mut self, rate: FuelRate, now: Instant) {
        self.refill(now);
        self.rate = rate;
        self.balance = self.balance.min(full(rate));
    }
}

fn full(rate: FuelRate) -> i128 {
    i128::from(rate.burst) * NANOS as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debt_is_paid_by_time_alone() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bucket = Bucket::new(FuelRate { per_second: 1_000, burst: 500 }, start);
        bucket.spend(500, at(0));
        assert_eq!(bucket.debt(at(0)), None, "nothing left is no debt");
        bucket.spend(2_000, at(0));
        assert_eq!(bucket.debt(at(0)), Some(Duration::from_secs(2)));
        assert_eq!(bucket.debt(at(1_500)), Some(Duration::from_millis(500)));
        assert_eq!(bucket.debt(at(2_000)), None);
        // Saved up: 500 at most, however long it was.
        bucket.spend(600, at(1_000_000));
        assert_eq!(bucket.debt(at(1_000_000)), Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_clock_that_goes_back_gives_and_takes_nothing() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut bucket = Bucket::new(FuelRate { per_second: 10, burst: 10 }, start);
        bucket.spend(20, start);
        assert_eq!(bucket.debt(start - Duration::from_secs(5)), Some(Duration::from_secs(1)));
        assert_eq!(bucket.debt(start + Duration::from_secs(1)), None);
    }

    #[test]
    fn asking_often_loses_nothing() {
        let start = Instant::now();
        let mut bucket = Bucket::new(FuelRate { per_second: 3, burst: 0 }, start);
        bucket.spend(3, start);
        for n in 1..1_000 {
            assert!(bucket.debt(start + Duration::from_millis(n)).is_some(), "{n} ms");
        }
        assert_eq!(bucket.debt(start + Duration::from_secs(1)), None);
    }
}
