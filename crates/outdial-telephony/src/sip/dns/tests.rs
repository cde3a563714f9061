//! Places out of a table, with a clock that is paused; never out of real DNS.

use std::sync::atomic::{AtomicU32, Ordering};

use outdial_core::time::Timestamp;

use super::*;

/// Tokio's paused clock as a port.
struct TestClock(tokio::time::Instant);

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH.after(self.monotonic().0)
    }
    #[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
    fn monotonic(&self) -> Monotonic {
        Monotonic(tokio::time::Instant::now() - self.0)
    }
    async fn sleep_until(&self, at: Monotonic) {
        tokio::time::sleep_until(self.0 + at.0).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
fn clock() -> Arc<TestClock> {
    Arc::new(TestClock(tokio::time::Instant::now()))
}

/// DNS as a table; names that begin with `slow` or `broken` are so.
#[derive(Default)]
struct Table {
    services: BTreeMap<String, Vec<Srv>>,
    hosts: BTreeMap<String, Vec<IpAddr>>,
    ttl: Duration,
    asked: AtomicU32,
}

impl Table {
    async fn find<T: Clone>(
        &self,
        all: &BTreeMap<String, Vec<T>>,
        name: &str,
    ) -> Result<Found<T>, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // tidy: sleeps because the clock is paused, and a lookup takes its time
        tokio::time::sleep(Duration::from_millis(10)).await;
        if name.contains("slow") {
            std::future::pending::<()>().await;
        }
        if name.contains("broken") {
            return Err("SERVFAIL".into());
        }
        Ok(Found { records: all.get(name).cloned().unwrap_or_default(), ttl: self.ttl })
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Lookup for Table {
    async fn srv(&self, name: &str) -> Result<Found<Srv>, String> {
        self.find(&self.services, name).await
    }
    async fn addresses(&self, name: &str) -> Result<Found<IpAddr>, String> {
        self.find(&self.hosts, name).await
    }
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
    Srv { priority, weight, port, target: target.into() }
}

fn table() -> Table {
    let mut table = Table { ttl: Duration::from_secs(60), ..Table::default() };
    let mut host = |name: &str, ips: &[&str]| {
        table.hosts.insert(name.into(), ips.iter().map(|ip| ip.parse().unwrap()).collect());
    };
    host("a.test", &["10.0.0.1", "fd00::1"]);
    host("b.test", &["10.0.0.2"]);
    host(
        "many.test",
        &(1..40)
            .map(|i| format!("10.1.0.{i}"))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    let mut service = |name: &str, all: Vec<Srv>| table.services.insert(name.into(), all);
    service("_sip._udp.carrier.test", vec![srv(20, 0, 5080, "b.test"), srv(10, 0, 5070, "A.test")]);
    service("_sips._tcp.carrier.test", vec![srv(1, 1, 5071, "b.test")]);
    service("_sip._tcp.carrier.test", vec![srv(0, 0, 0, ".")]);
    service("_sip._udp.half.test", vec![srv(1, 0, 5060, "broken.test"), srv(2, 0, 5060, "b.test")]);
    service("_sip._udp.gone.test", vec![srv(1, 0, 5060, "broken.test")]);
    table
}

fn resolver() -> (Resolver, Arc<Table>, Arc<TestClock>) {
    let (table, clock) = (Arc::new(table()), clock());
    let lookup: Arc<dyn Lookup> = Arc::clone(&table) as _;
    (Resolver::new(lookup, Arc::clone(&clock) as _), table, clock)
}

async fn found(resolver: &Resolver, host: &str, port: Option<u16>, t: Transport) -> Vec<String> {
    let places = resolver.locate(host, port, t, 1).await.unwrap();
    places.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn addresses_are_taken_as_they_are() {
    let (resolver, table, _) = resolver();
    assert_eq!(found(&resolver, "192.0.2.1", None, Transport::Udp).await, ["192.0.2.1:5060"]);
    assert_eq!(found(&resolver, "192.0.2.1", None, Transport::Tls).await, ["192.0.2.1:5061"]);
    assert_eq!(found(&resolver, "fd00::7", Some(9), Transport::Tcp).await, ["[fd00::7]:9"]);
    assert_eq!(found(&resolver, "[fd00::7]", None, Transport::Udp).await, ["[fd00::7]:5060"]);
    assert_eq!(table.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn names_by_service_else_by_address() {
    let (resolver, ..) = resolver();
    let both = ["10.0.0.1:5070", "[fd00::1]:5070", "10.0.0.2:5080"];
    assert_eq!(found(&resolver, "Carrier.test", None, Transport::Udp).await, both);
    assert_eq!(found(&resolver, "carrier.test", None, Transport::Tls).await, ["10.0.0.2:5071"]);
    // With a port there is no question of services.
    assert_eq!(found(&resolver, "b.test", Some(7), Transport::Udp).await, ["10.0.0.2:7"]);
    assert_eq!(found(&resolver, "b.test", None, Transport::Tls).await, ["10.0.0.2:5061"]);
    assert_eq!(found(&resolver, "many.test", Some(7), Transport::Udp).await.len(), MAX_PLACES);
    // One of two services answers.
    assert_eq!(found(&resolver, "half.test", None, Transport::Udp).await, ["10.0.0.2:5060"]);
}

#[tokio::test(start_paused = true)]
async fn why_there_is_no_place() {
    let (resolver, ..) = resolver();
    let why = async |host: &str, t| resolver.locate(host, None, t, 1).await.unwrap_err();
    assert_eq!(why("carrier.test", Transport::Tcp).await, ResolveError::NotOffered);
    assert_eq!(why("other.test", Transport::Udp).await, ResolveError::Nothing);
    let failed = ResolveError::Failed("SERVFAIL".into());
    assert_eq!(why("broken.test", Transport::Udp).await, failed);
    assert_eq!(why("gone.test", Transport::Udp).await, failed);
    for host in ["", ".", "a..b", "a b", "-\n", "é.test", "x;y", &"a.".repeat(130), &"a".repeat(64)]
    {
        assert_eq!(why(host, Transport::Udp).await, ResolveError::Name, "{host:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_ends_after_three_seconds_for_all_who_ask() {
    let (resolver, table, clock) = resolver();
    let ask = || resolver.locate("slow.test", Some(1), Transport::Udp, 1);
    let (one, two) = tokio::join!(ask(), ask());
    assert!(matches!((one, two), (Err(ResolveError::Failed(_)), Err(ResolveError::Failed(_)))));
    assert_eq!(clock.monotonic().0.as_secs(), 3);
    assert_eq!(table.asked(), 1);
    // And is not asked again at once.
    assert!(ask().await.is_err());
    assert_eq!(clock.monotonic().0.as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn answers_are_kept_for_a_bounded_time() {
    for (ttl, kept) in [(0, 5), (60, 60), (1_000_000, 3_600)] {
        let mut rows = table();
        rows.ttl = Duration::from_secs(ttl);
        let (table, clock) = (Arc::new(rows), clock());
        let lookup: Arc<dyn Lookup> = Arc::clone(&table) as _;
        let resolver = Resolver::new(lookup, Arc::clone(&clock) as _);
        let ask = || resolver.locate("b.test", Some(1), Transport::Udp, 1);
        let all = [ask(), ask(), ask()];
        for answer in all {
            assert!(answer.await.is_ok());
        }
        assert_eq!(table.asked(), 1);
        clock.sleep_until(Monotonic(Duration::from_secs(kept))).await;
        assert!(ask().await.is_ok());
        assert_eq!(table.asked(), 1, "{ttl}");
        clock.sleep_until(clock.monotonic().after(Duration::from_secs(1))).await;
        assert!(ask().await.is_ok());
        assert_eq!(table.asked(), 2, "{ttl}");
    }
    let (resolver, table, clock) = resolver();
    let ask = || resolver.locate("other.test", Some(1), Transport::Udp, 1);
    assert!(ask().await.is_err() && ask().await.is_err());
    assert_eq!(table.asked(), 1);
    clock.sleep_until(Monotonic(Duration::from_secs(6))).await;
    assert!(ask().await.is_err());
    assert_eq!(table.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_names_are_kept() {
    let (resolver, ..) = resolver();
    for i in 0..MAX_CACHED + 10 {
        let _ = resolver.locate(&format!("n{i}.test"), Some(1), Transport::Udp, 1).await;
    }
    assert!(resolver.0.hosts.kept.lock().unwrap().len() <= MAX_CACHED);
    assert!(resolver.0.hosts.asking.lock().unwrap().len() <= 1);
}

#[test]
fn weights_are_shares() {
    let all = || vec![srv(1, 3, 1, "a"), srv(1, 1, 2, "b"), srv(0, 0, 3, "c"), srv(1, 0, 4, "d")];
    let mut first = BTreeMap::<u16, u32>::new();
    for chance in 0..10_000 {
        let order: Vec<_> = in_order(all(), chance).iter().map(|s| s.port).collect();
        assert_eq!((order.len(), order[0]), (4, 3));
        *first.entry(order[1]).or_default() += 1;
    }
    // Of the points 0 to 4: `d` has one, `a` three, `b` one.
    let share = |port| first[&port];
    assert!((1_800..2_200).contains(&share(4)), "{first:?}");
    assert!((5_700..6_300).contains(&share(1)), "{first:?}");
    assert!((1_800..2_200).contains(&share(2)), "{first:?}");
}
