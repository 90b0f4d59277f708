//! Stylesheet, script and symbols: compiled in, named by their content, kept by browsers for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use sha2::{Digest, Sha256};

use crate::error::PageError;

struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 4] = [
    Asset { name: "style.css", kind: "text/css; charset=utf-8", text: include_str!("../assets/style.css") },
    Asset { name: "app.js", kind: "text/javascript; charset=utf-8", text: include_str!("../assets/app.js") },
    Asset { name: "icon.svg", kind: "image/svg+xml", text: include_str!("../assets/icon.svg") },
    Asset { name: "icons.svg", kind: "image/svg+xml", text: include_str!("../assets/icons.svg") },
];

/// What the addresses of assets change with: a new program's pages never meet an old stylesheet.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let hash = ASSETS.iter().fold(Sha256::new(), |hash, asset| hash.chain_update(asset.text)).finalize();
    hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
});

/// The address of an asset.
pub(crate) fn address(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// An asset by its name; its version only has to differ.
pub(crate) async fn show(Path((_, name)): Path<(String, String)>) -> Response {
    answer(&name, HeaderValue::from_static("public, max-age=31536000, immutable"))
}

/// The sprite as templates name it.
pub(crate) async fn show_plain(Path(name): Path<String>) -> Response {
    answer(&name, HeaderValue::from_static("public, max-age=3600"))
}

fn answer(name: &str, cached: HeaderValue) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return PageError::missing(format!("asset {name}")).into_response();
    };
    let mut response = asset.text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(CACHE_CONTROL, cached);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
