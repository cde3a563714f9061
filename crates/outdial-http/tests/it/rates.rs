//! Whoever asks too often is told when to come again, and nobody else is.

use std::time::Duration;

use outdial_http::{ConnectionConfig, HttpConfig, Networks, RateConfig};

use crate::support::{Answer, World};

const SECOND: Duration = Duration::from_secs(1);

/// From 127.0.0.1 as from anywhere; the proxy there is trusted if `proxies`.
async fn world(rates: RateConfig, proxies: bool) -> World {
    let none = Networks::default();
    let trusted_proxies = if proxies { Networks::loopback() } else { none.clone() };
    let unlimited_addresses = none;
    let connections =
        ConnectionConfig { trusted_proxies, unlimited_addresses, ..ConnectionConfig::default() };
    World::with(HttpConfig { rates, connections, ..HttpConfig::default() }, |store| store).await
}

fn refused(answer: &Answer) -> bool {
    if answer.status != 429 {
        return false;
    }
    let seconds: u32 = answer.header("retry-after").expect("when to come").parse().unwrap();
    assert!(answer.refusal(429).contains(&format!("in {seconds} s")));
    assert!(answer.header("x-request-id").is_some());
    seconds > 0
}

#[tokio::test]
async fn a_key_has_its_rate() {
    let rates =
        RateConfig { key_requests_per_s: 1, key_requests_burst: 3, ..RateConfig::default() };
    let world = world(rates, false).await;
    let other = world.stranger().await;
    for _ in 0..3 {
        assert_eq!(world.get("/api/me").send().await.status, 200);
    }
    assert!(refused(&world.get("/api/me").send().await));
    // A batch is not made, and a body not read.
    assert!(refused(&world.post("/api/agents", "{").send().await));
    assert_eq!(world.get("/api/me").by(&other).send().await.status, 200);
    world.clock.advance(SECOND);
    assert_eq!(world.get("/api/me").send().await.status, 200);
    assert!(refused(&world.get("/api/me").send().await));
}

#[tokio::test]
async fn an_address_has_its_rate() {
    let rates = RateConfig {
        address_requests_per_s: 1,
        address_requests_burst: 3,
        ..RateConfig::default()
    };
    let direct = world(rates.clone(), false).await;
    for _ in 0..3 {
        assert_eq!(direct.get("/api/me").send().await.status, 200);
    }
    // What it says of others does not help.
    let lying = direct.get("/api/me").header("x-forwarded-for", "198.51.100.7");
    assert!(refused(&lying.send().await));
    assert!(refused(&direct.get("/nowhere").anonymous().send().await));
    // Who watches is answered.
    assert_eq!(direct.get("/healthz").anonymous().send().await.status, 200);
    direct.clock.advance(SECOND);
    assert_eq!(direct.get("/api/me").send().await.status, 200);

    let proxied = world(rates, true).await;
    let from = async |who: &str| proxied.get("/api/me").header("x-forwarded-for", who).send().await;
    for _ in 0..3 {
        assert_eq!(from("198.51.100.7").await.status, 200);
    }
    assert!(refused(&from("198.51.100.7").await));
    assert!(refused(&from("192.0.2.1, 198.51.100.7").await));
    assert_eq!(from("198.51.100.8").await.status, 200);
    // One who has a whole network has one share.
    for last in 1..=3 {
        assert_eq!(from(&format!("2001:db8::{last}")).await.status, 200);
    }
    assert!(refused(&from("2001:db8::4").await));
    // The proxy itself.
    for _ in 0..10 {
        assert_eq!(proxied.get("/api/me").send().await.status, 200);
    }
}

#[tokio::test]
async fn who_guesses_keys_is_slowed_down_and_locks_nobody_out() {
    let rates = RateConfig {
        address_failures_per_s: 1,
        address_failures_burst: 3,
        ..RateConfig::default()
    };
    let world = world(rates, false).await;
    let newcomer = world.stranger().await;
    assert_eq!(world.get("/api/me").send().await.status, 200);
    let wrong =
        async |path: &str| world.get(path).anonymous().header("x-api-key", "od_guess").send().await;
    for _ in 0..3 {
        assert_eq!(wrong("/api/me").await.status, 401);
    }
    assert!(refused(&wrong("/api/me").await));
    // A good key of the same address is served if it was good lately, and the rest waits.
    assert_eq!(world.get("/api/me").send().await.status, 200);
    assert!(refused(&world.get("/api/me").by(&newcomer).send().await));
    // To send none is no guess.
    assert_eq!(world.get("/api/me").anonymous().send().await.status, 401);
    world.clock.advance(SECOND);
    assert_eq!(world.get("/api/me").by(&newcomer).send().await.status, 200);
    assert_eq!(wrong("/api/me").await.status, 401);
    assert!(refused(&wrong("/api/me").await));
}
