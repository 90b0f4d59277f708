//! What pages weigh on the wire, before compression.

use crate::support::routes::{DASHBOARD, Get};
use crate::support::{House, Visitor};

/// A page with everything it loads.
const PAGE_BYTES_MAX: usize = 150_000;
/// The first ten packets of a connection: one round trip.
const FIRST_BYTES_MAX: usize = 14_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_all_it_loads_is_below_150_kb_and_the_first_one_comes_in_one_round_trip() {
    let house = House::furnished().await;
    for number in 0..60 {
        house.customer.post("monitor/gemini", format!(r#"{{"prompt":"{number}"}}"#)).await;
    }
    let owner = house.visitor(&house.owner).await;
    let mut assets = 0;
    for name in ["style.css", "app.js", "icons.svg", "icon.svg"] {
        let asset = owner.get(&format!("/assets/{name}")).await;
        assert_eq!(asset.status, 200, "{name}");
        assets += asset.body.as_str().unwrap().len();
    }
    for route in DASHBOARD.iter().filter(|route| route.get == Get::Page) {
        let path = house.fill(route.path);
        let page = owner.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        let bytes = page.body.as_str().unwrap().len();
        assert!(bytes + assets < PAGE_BYTES_MAX, "{path}: {bytes} and {assets} bytes of assets");
    }
    let nobody = Visitor::nobody(house.bromo.running().api);
    let first = nobody.get("/sign-in").await.body.as_str().unwrap().len();
    assert!(first < FIRST_BYTES_MAX, "{first}");
}
