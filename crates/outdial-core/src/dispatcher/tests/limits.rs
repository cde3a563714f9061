//! No limit is exceeded, whatever the limits and the arrivals.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

prop_compose! {
    fn any_line()(
        cps in proptest::option::of(0.2f64..20.0), channels in proptest::option::of(0u32..12),
    ) -> LineLimits {
        LineLimits { calls_per_second: cps, channels, calls_per_day: None }
    }
}

proptest! {
    /// Many turns over random limits: live calls never above any of them, slots within the horizon
    /// and paced, no call taken twice.
    #[test]
    fn no_limit_is_exceeded(
        lines in proptest::collection::vec(any_line(), 1..4),
        trunk in any_line(),
        concurrency in proptest::option::of(0u32..20),
        batch_limits in proptest::collection::vec(proptest::option::of(0u32..8), 1..4),
        steps in proptest::collection::vec((1u64..900, 0usize..6), 1..40),
    ) {
        let numbers: Vec<u64> = (1..=lines.len() as u64).collect();
        let batches = batch_limits.iter().enumerate().map(|(i, limit)| {
            let settings = BatchSettings { concurrency: *limit, ..BatchSettings::default() };
            batch_head(i as u64 + 1, settings, &numbers)
        });
        let numbers = lines.iter().zip(1..).map(|(l, n)| number(n, *l)).collect();
        let mut h = head(batches.collect(), numbers, trunk);
        h.concurrency = concurrency;
        let groups: Vec<Group> = (1..=batch_limits.len() as u64)
            .flat_map(|b| [group(b, false, &utc()), group(b, true, &utc())])
            .collect();
        let mut d = Dispatcher::new();
        let mut t = turn(7);
        let mut live: VecDeque<Intent> = VecDeque::new();
        let mut seen = BTreeSet::new();
        let mut trunk_starts = Vec::new();
        for (wait, ended) in steps {
            t.now = t.now.after(Duration::from_millis(wait));
            live.drain(..ended.min(live.len()));
            count(&mut h, &live);
            let plan = run(&mut d, &h, &groups, &t, 1_000);
            for i in &plan.intents {
                prop_assert!(i.send_at >= earliest(&t) && i.send_at <= latest(&t));
                prop_assert!(seen.insert(i.call), "taken twice");
                trunk_starts.push(i.send_at);
            }
            prop_assert!(plan.intents.len() <= 7);
            live.extend(plan.intents);
            for (line, slots) in plan.slots {
                match line {
                    Line::Trunk(_) => h.trunks[0].slots = slots,
                    Line::Number(id) => {
                        let n = h.numbers.iter_mut().find(|n| n.id == id).unwrap();
                        n.slots = slots;
                    }
                }
            }
            count(&mut h, &live);
            prop_assert!(h.live <= concurrency.unwrap_or(u32::MAX));
            prop_assert!(h.trunks[0].live <= trunk.channels.unwrap_or(u32::MAX));
            for n in &h.numbers {
                prop_assert!(n.live <= n.limits.channels.unwrap_or(u32::MAX));
            }
            for b in &h.batches {
                prop_assert!(b.live <= b.settings.concurrency.unwrap_or(u32::MAX));
            }
        }
        if let Some(cps) = trunk.calls_per_second.filter(|c| *c >= 1.0) {
            for (i, first) in trunk_starts.iter().enumerate() {
                let end = first.after(Duration::from_millis(1100));
                let within = trunk_starts[i..].iter().filter(|s| **s < end).count();
                prop_assert!(within <= cps as usize, "{within} in 1.1 s at {cps}/s");
            }
        }
    }
}

fn count(h: &mut Head, live: &VecDeque<Intent>) {
    h.live = live.len() as u32;
    h.trunks[0].live = h.live;
    for n in &mut h.numbers {
        n.live = live.iter().filter(|i| i.caller == n.id).count() as u32;
    }
    for b in &mut h.batches {
        b.live = live.iter().filter(|i| i.batch == b.id).count() as u32;
    }
}
