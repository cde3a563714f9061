//! The OpenAPI document.

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
