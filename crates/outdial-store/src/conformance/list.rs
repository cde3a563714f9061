//! Calls as they are shown.

use outdial_core::attempt::{AttemptProgress, AttemptState};
use outdial_core::call::CallState;
use outdial_core::id::{BatchId, CallId};
use outdial_core::outcome::Disposition;
use outdial_ports::store::{CallQuery, CallSort, FilterField};

use super::Factory;
use super::world::{BERLIN, World, query, record, record_with, workspace};

async fn ids(w: &World, batch: BatchId, q: CallQuery) -> (Vec<CallId>, u64) {
    let list = w.store.call_list(batch, q).await.unwrap();
    (list.calls.iter().map(|c| c.id).collect(), list.total)
}

pub(super) async fn pages_in_order(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    assert_eq!(ids(&w, batch, query()).await, (vec![], 0));
    let mut all = w.add_numbers(batch, &[49_305, 49_301, 49_303]).await;
    w.advance_s(1);
    all.extend(w.add_numbers(batch, &[49_302, 49_304]).await);
    let page = |page, limit| CallQuery { page, limit, ..query() };
    assert_eq!(ids(&w, batch, page(1, 2)).await, (all[..2].to_vec(), 5));
    assert_eq!(ids(&w, batch, page(3, 2)).await, (all[4..].to_vec(), 5));
    assert_eq!(ids(&w, batch, page(4, 2)).await, (vec![], 5));
    let down = CallQuery { descending: true, ..page(2, 2) };
    assert_eq!(ids(&w, batch, down).await, (vec![all[2], all[1]], 5));

    let by = |sort, descending| CallQuery { sort, descending, ..query() };
    let phones = [all[1], all[3], all[2], all[4], all[0]];
    assert_eq!(ids(&w, batch, by(CallSort::PhoneNumber, false)).await.0, phones);
    let mut backwards = phones.to_vec();
    backwards.reverse();
    assert_eq!(ids(&w, batch, by(CallSort::PhoneNumber, true)).await.0, backwards);

    w.advance_s(1);
    w.add(batch, vec![record_with(49_301, r#"{"name":"B"}"#, BERLIN)]).await;
    w.advance_s(1);
    w.add(batch, vec![record_with(49_304, r#"{"name":"a\u0041"}"#, BERLIN)]).await;
    let updated = ids(&w, batch, by(CallSort::UpdatedAt, true)).await.0;
    assert_eq!(updated, [all[4], all[1], all[3], all[2], all[0]]);
    let named = ids(&w, batch, by(CallSort::Contact("name".into()), false)).await.0;
    assert_eq!(named, [all[0], all[2], all[3], all[1], all[4]], "absent, B, aA");
    let named = ids(&w, batch, by(CallSort::Contact("name".into()), true)).await.0;
    assert_eq!(named, [all[4], all[1], all[3], all[2], all[0]]);

    let due = w.due().await;
    let live = w.commit(vec![w.intent(&due[0])]).await.committed;
    let live = live[0].intent.intent.call;
    let by_status = ids(&w, batch, by(CallSort::CallStatus, false)).await.0;
    assert_eq!(by_status[0], live, "dialing comes before pending");
    let forged = BatchId::from_parts(batch.seconds() + 1, batch.seq());
    assert_eq!(ids(&w, forged, query()).await, (vec![], 0));
}

pub(super) async fn filters_and_search(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let records = vec![
        record_with(49_301, r#"{"name":"Zo\u00eb","n":1.50,"vip":true}"#, BERLIN),
        record_with(49_302, r#"{"name":"Max","n":1.5,"vip":"true"}"#, BERLIN),
        record_with(49_303, r#"{"name":null,"tags":["Max"],"timezone":"Europe/Berlin"}"#, BERLIN),
    ];
    let c = w.add(batch, records).await.calls;
    // The same fields in another batch are never found.
    let other = w.batch().await;
    w.add(other, vec![record_with(49_301, r#"{"name":"Max"}"#, BERLIN)]).await;

    let filter = |parts: &[(FilterField, &[&str])]| CallQuery {
        filter: parts
            .iter()
            .map(|(field, values)| (field.clone(), values.iter().map(|v| (*v).into()).collect()))
            .collect(),
        ..query()
    };
    let contact = |key: &str| FilterField::Contact(key.to_owned());
    let found = async |q| ids(&w, batch, q).await;
    // The total is that of all pages, also on one behind the last.
    let paged = |page| CallQuery { page, limit: 1, search: Some("max".into()), ..query() };
    assert_eq!(found(paged(1)).await, (vec![c[1]], 2));
    assert_eq!(found(paged(2)).await, (vec![c[2]], 2));
    assert_eq!(found(paged(3)).await, (vec![], 2));
    assert_eq!(found(paged(4)).await, (vec![], 2));
    assert_eq!(found(filter(&[(contact("name"), &["Zoë"])])).await, (vec![c[0]], 1));
    assert_eq!(found(filter(&[(contact("n"), &["1.50"])])).await, (vec![c[0]], 1), "as sent");
    assert_eq!(found(filter(&[(contact("vip"), &["true"])])).await, (c[..2].to_vec(), 2));
    assert_eq!(found(filter(&[(contact("name"), &["null"])])).await, (vec![c[2]], 1));
    assert_eq!(found(filter(&[(contact("timezone"), &["Europe/Berlin"])])).await.1, 1);
    assert_eq!(found(filter(&[(contact("absent"), &["", "null"])])).await, (vec![], 0));
    let two = filter(&[(contact("name"), &["Max", "Zoë"]), (FilterField::PhoneNumber, &["49302"])]);
    assert_eq!(found(two).await, (vec![c[1]], 1));

    let search = |text: &str| CallQuery { search: Some(text.to_owned()), ..query() };
    assert_eq!(found(search("ZOË")).await, (vec![c[0]], 1));
    assert_eq!(found(search("max")).await, (c[1..].to_vec(), 2), "in a list too");
    assert_eq!(found(search("9303")).await, (vec![c[2]], 1));
    assert_eq!(found(search("name")).await.1, 0, "keys are not values");
    assert_eq!(found(search("%")).await.1, 0);
    assert_eq!(found(search("")).await.1, 3);
    let page = CallQuery { page: 2, limit: 1, descending: true, ..search("max") };
    assert_eq!(found(page).await, (vec![c[1]], 2));

    let live = w.dial_all().await;
    let progress = |state| AttemptProgress { state, at: w.now() };
    let record = async |i: usize, state| {
        assert!(w.store.attempt_record(live[i].attempt, progress(state), None).await.unwrap());
    };
    record(1, AttemptState::Ringing).await;
    record(2, AttemptState::Answered).await;
    let status = |words: &[&str]| filter(&[(FilterField::CallStatus, words)]);
    assert_eq!(found(status(&["dialing"])).await.0, [live[0].intent.intent.call]);
    assert_eq!(found(status(&["ringing"])).await.0, [live[1].intent.intent.call]);
    assert_eq!(found(status(&["in-progress"])).await.0, [live[2].intent.intent.call]);
    w.complete(&live[2]).await;
    w.retry_later(&live[1]).await;
    assert_eq!(found(status(&["completed", "pending"])).await.1, 2);
    assert_eq!(found(status(&["no-answer"])).await.1, 0, "it is pending again");
}

pub(super) async fn one_call(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let batch = w.batch().await;
    let id = w.add_numbers(batch, &[49_301]).await[0];
    w.complete(&w.dial_all().await[0]).await;
    let (found, call) = w.store.call_fetch(w.ws, id).await.unwrap().unwrap();
    assert_eq!(found, w.store.batch_fetch(batch).await.unwrap().unwrap());
    assert_eq!((call.id, call.state, call.waiting), (id, CallState::Finished, None));
    assert_eq!(call.disposition, Some(Disposition::Completed));
    assert_eq!(call.attempts.len(), 1);
    assert!(w.store.call_fetch(other, id).await.unwrap().is_none());
    let forged = CallId::from_parts(id.seconds() + 1, id.seq());
    assert!(w.store.call_fetch(w.ws, forged).await.unwrap().is_none());
    w.store.batch_delete(w.ws, batch).await.unwrap();
    assert!(w.store.call_fetch(w.ws, id).await.unwrap().is_none());
}

/// Two batches that are filled by turns.
pub(super) async fn many_runs(f: &dyn Factory) {
    let w = World::new(f).await;
    let batches = [w.batch().await, w.batch().await];
    let mut all = [Vec::new(), Vec::new()];
    for chunk in 0..6_u64 {
        for (batch, all) in batches.iter().zip(&mut all) {
            // One number of the chunk before comes again.
            let first = 49_000 + chunk * 10;
            let records = (first..first + 11).map(record).collect();
            let stored = w.add(*batch, records).await;
            assert_eq!(stored.updated, u32::from(chunk > 0));
            all.extend(stored.calls.into_iter().filter(|c| !all.contains(c)).collect::<Vec<_>>());
        }
    }
    for (batch, all) in batches.iter().zip(&all) {
        assert_eq!(all.len(), 61);
        let mut up = Vec::new();
        let mut down = Vec::new();
        for page in 1..=10 {
            let q = CallQuery { page, limit: 7, ..query() };
            up.extend(ids(&w, *batch, q.clone()).await.0);
            down.extend(ids(&w, *batch, CallQuery { descending: true, ..q }).await.0);
        }
        assert_eq!(&up, all);
        down.reverse();
        assert_eq!(&down, all);
        let scan = CallQuery { limit: 100, sort: CallSort::CallStatus, ..query() };
        assert_eq!(&ids(&w, *batch, scan).await.0, all);
    }
}
