//! The OpenAPI document, and words that the documents must have.

use outdial_core::batch::PauseReason;
use outdial_core::call::WaitReason;
use outdial_core::dispatcher::Gate;
use outdial_core::why::DATABASE_OLDER;

/// Made by `cargo xtask openapi`.
#[test]
fn the_committed_document_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.json");
    let committed = std::fs::read_to_string(path).expect("openapi.json: run `cargo xtask openapi`");
    assert!(committed == outdial_http::openapi(), "openapi.json: run `cargo xtask openapi`");
}

#[test]
fn operations_have_names_of_their_own() {
    let api = outdial_http::openapi();
    let mut names: Vec<_> = api.lines().filter(|l| l.contains("\"operationId\"")).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert!(all > 20 && names.len() == all, "{names:#?}");
}

#[test]
fn it_describes_itself_the_same_every_time() {
    let api = outdial_http::openapi();
    assert_eq!(api, outdial_http::openapi());
    for path in ["createBatch", "addCallsToBatch", "batches/{userId}", "start-calling"] {
        assert!(api.contains(&format!("\"/api/call/{path}\"")), "{path}");
    }
}

/// A word for why a call waits is explained in both documents.
#[test]
fn every_reason_to_wait_is_explained() {
    use Gate::{
        BatchConcurrency, Brake, Budget, CallsPerDay, Canary, Channels, Expired, Hours,
        NoCommonHours, NoNumbers, NoPrice, Pacing, PlaceUnknown, Rules, TrunkDown, TrunkPaused,
        Turn, WorkspaceConcurrency,
    };
    let gates = [
        BatchConcurrency,
        Brake,
        Budget,
        CallsPerDay,
        Canary,
        Channels,
        Expired,
        Hours,
        NoCommonHours,
        NoNumbers,
        NoPrice,
        Pacing,
        PlaceUnknown,
        Rules,
        TrunkDown,
        TrunkPaused,
        Turn,
        WorkspaceConcurrency,
    ];
    let pauses = [
        PauseReason::NoNumbers,
        PauseReason::CallsHeld,
        PauseReason::Budget,
        PauseReason::Failures,
        PauseReason::ShortCalls,
        PauseReason::Voicemail,
    ];
    let waits = WaitReason::ALL.into_iter().filter(|r| *r != WaitReason::Due);
    let states = ["batch_not_started", "batch_stopped", "batch_not_running", "batch_paused"];
    let words = gates
        .iter()
        .map(|gate| gate.as_str())
        .chain(pauses.iter().map(|reason| reason.as_str()))
        .chain(waits.map(|reason| reason.as_str()))
        .chain(states)
        .chain([DATABASE_OLDER]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    let operations = std::fs::read_to_string(path).unwrap();
    let api: serde_json::Value = serde_json::from_str(&outdial_http::openapi()).unwrap();
    let reason = &api["components"]["schemas"]["WhyNotYet"]["properties"]["reason"]["description"];
    for word in words {
        let word = format!("`{word}`");
        assert!(operations.contains(&word), "{word} in docs/operations.md");
        assert!(reason.as_str().unwrap().contains(&word), "{word} in openapi.json");
    }
}
