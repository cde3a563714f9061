//! I9: one workspace never sees another's data, counts or errors.

use crate::support::World;

#[tokio::test]
async fn a_stranger_sees_nothing() {
    let world = World::new().await;
    let stranger = world.stranger().await;
    let agent = world.agent("[]").await;
    let phone = world.phone("12125551234", Some(&agent)).await;
    let batch = world.batch_over(&phone, "").await;
    let record = r#"{"phoneNumber":"12125551001","secret":"tulip"}"#;
    let added = world.add(&batch, &[record]).send().await.json();
    let call = added["data"]["callIds"][0].as_str().unwrap().to_owned();
    let (own, theirs) = (world.own.user, stranger.user);
    let nobody = "64e5f12345abcdef87654321";

    // What exists elsewhere is answered like what exists nowhere, letter for letter.
    for (id, path) in [
        (&batch, "/api/call/batch/"),
        (&batch, "/api/call/batch-details/"),
        (&call, "/api/call/call-details/"),
        (&agent, "/api/agents/"),
    ] {
        let foreign = world.get(&format!("{path}{id}")).by(&stranger).send().await;
        let unknown = world.get(&format!("{path}{nobody}")).by(&stranger).send().await;
        foreign.refusal(404);
        assert_eq!(foreign.text(), unknown.text(), "{path}");
    }
    for (id, path) in [
        (&batch, "/api/call/delete-batch/"),
        (&phone, "/api/call/delete-phone/"),
        (&agent, "/api/agents/"),
    ] {
        world.delete(&format!("{path}{id}")).by(&stranger).send().await.refusal(404);
    }
    for path in ["/api/call/start-calling", "/api/call/stop-calling"] {
        let body = format!(r#"{{"batchId":"{batch}","userId":"{theirs}"}}"#);
        world.post(path, body).by(&stranger).send().await.refusal(404);
        let body = format!(r#"{{"batchId":"{batch}","userId":"{own}"}}"#);
        world.post(path, body).by(&stranger).send().await.refusal(404);
    }
    for (path, body) in [
        (format!("/api/call/batch/{batch}"), r#"{"weight":2}"#),
        (format!("/api/phones/{phone}"), "{}"),
        (format!("/api/agents/{agent}"), r#"{"name":"x"}"#),
    ] {
        world.patch(&path, body).by(&stranger).send().await.refusal(404);
    }
    world.get(&format!("/api/call/batches/{own}")).by(&stranger).send().await.refusal(404);
    world.get(&format!("/api/call/batches/{theirs}")).by(&stranger).send().await.refusal(404);

    // The two documented exceptions say that it is somebody else's.
    world.add(&batch, &[record]).by(&stranger).send().await.refusal(403);
    world.add(nobody, &[record]).by(&stranger).send().await.refusal(404);
    let create = |id: &str| format!(r#"{{"batchName":"x","callingNumbers":["{id}"]}}"#);
    let create = |id: &str| world.post("/api/call/createBatch", create(id)).by(&stranger);
    create(&phone).send().await.refusal(403);
    create(nobody).send().await.refusal(404);

    for path in ["/api/agents", "/api/phones", "/api/keys"] {
        let text = world.get(path).by(&stranger).send().await.text();
        assert!(!text.contains(&agent) && !text.contains(&phone), "{path}: {text}");
    }
    // Another's number can be added here too, and another's agent cannot be bound.
    let bind = format!(
        r#"{{"userId":"{theirs}","phoneNumber":"12125551234","integration":"simulated",
            "agentId":"{agent}"}}"#
    );
    world.post("/api/call/add-phone", bind).by(&stranger).send().await.refusal(404);
    let add =
        format!(r#"{{"userId":"{theirs}","phoneNumber":"12125551234","integration":"simulated"}}"#);
    assert_eq!(world.post("/api/call/add-phone", add).by(&stranger).send().await.status, 201);
    assert_eq!(world.total(&batch).await, 1);
}

#[tokio::test]
async fn a_call_is_taken_back_by_its_own() {
    let world = World::new().await;
    let stranger = world.stranger().await;
    let batch = world.batch().await;
    let added = world.add(&batch, &[r#"{"phoneNumber":"12125551001"}"#]).send().await.json();
    let call = added["data"]["callIds"][0].as_str().unwrap();
    let cancel = |id: &str| world.post("/api/call/cancel-call", format!(r#"{{"callId":"{id}"}}"#));
    let foreign = cancel(call).by(&stranger).send().await;
    foreign.refusal(404);
    let unknown = cancel("64e5f12345abcdef87654321").by(&stranger).send().await;
    assert_eq!(foreign.text(), unknown.text());
    assert_eq!(world.records(&batch).await[0]["callStatus"], "pending");
}

#[tokio::test]
async fn a_list_of_who_is_not_called_is_nobody_elses() {
    let world = World::new().await;
    let stranger = world.stranger().await;
    let batch = world.batch().await;
    world.add(&batch, &[r#"{"phoneNumber":"12125551001"}"#]).send().await;
    let attempt = world.dial().await;
    world.hang_up(attempt, std::time::Duration::from_secs(5)).await;
    let body = format!(
        r#"{{"phoneNumber":"12125551001","batchId":"{batch}",
            "requestUUID":"abababab-abab-abab-abab-abababababab"}}"#
    );
    let add = || world.post("/api/dnc/add", body.clone());
    add().by(&stranger).send().await.refusal(404);
    assert_eq!(add().send().await.status, 200);
    let list = async |by| world.get("/api/dnc/list").by(by).send().await.json()["data"].clone();
    assert_eq!(list(&stranger).await["dncList"], serde_json::json!([]));
    let entry = list(&world.own).await["dncList"][0]["_id"].as_str().unwrap().to_owned();
    // The documented exception: another organization's entry is 403.
    let path = format!("/api/dnc/delete/{entry}");
    world.delete(&path).by(&stranger).send().await.refusal(403);
    assert_eq!(list(&world.own).await["pagination"]["total"], 1);
    // Switching one's own check off leaves the other's on.
    let off = world.post("/api/dnc/enable-disable", r#"{"enable":false}"#).by(&stranger);
    assert_eq!(off.send().await.status, 200);
    assert_eq!(world.get("/api/settings").send().await.json()["data"]["doNotCall"], true);
}
