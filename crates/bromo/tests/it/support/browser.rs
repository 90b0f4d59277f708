//! Headless Chromium, driven by WebDriver.
//!
//! One chromedriver a test binary; it ends with the binary, however that ends: it lives behind a pipe whose other end
//! the binary holds. Chromium hangs on a pipe of chromedriver's in the same way. Each [`Browser`] is a Chromium of its
//! own with a fresh profile.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use fantoccini::elements::Element;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::{ParseError, Url};

use super::{Bromo, found};

/// Starts chromedriver and waits for the end of its own input, which is the end of the tests.
const KEEPER: &str =
    "chromedriver --port=0 </dev/null & driver=$!; cat >/dev/null; kill $driver; wait $driver";
/// Browsers at once, so that each has the processor time to keep its deadlines.
const BROWSERS_MAX: usize = 2;
/// Checks accessibility; `tests/clients/setup` brings it.
const AXE: &str = "../../target/clients-node/node_modules/axe-core/axe.min.js";

struct Driver {
    url: String,
    room: Arc<Semaphore>,
    /// Its input is the pipe that keeps chromedriver; its output must stay open too.
    _keeper: (Child, BufReader<ChildStdout>),
}

static DRIVER: Mutex<Option<Driver>> = Mutex::new(None);

/// The address of chromedriver, started if it is not, and who shares it.
fn driver() -> (String, Arc<Semaphore>) {
    let mut driver = DRIVER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let driver = driver.get_or_insert_with(|| {
        for tool in ["chromium", "chromedriver"] {
            let is_there = Command::new(tool).arg("--version").output().is_ok();
            assert!(is_there, "{tool} is missing: apt-get install chromium chromium-driver");
        }
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(keeper.stdout.take().unwrap());
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "chromedriver ended before it listened");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim().trim_end_matches('.').to_owned();
            }
        };
        let room = Arc::new(Semaphore::new(BROWSERS_MAX));
        Driver { url: format!("http://127.0.0.1:{port}"), room, _keeper: (keeper, output) }
    });
    (driver.url.clone(), Arc::clone(&driver.room))
}

/// A command of chromedriver's that WebDriver itself does not have.
#[derive(Debug)]
struct Extra {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extra {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// A browser that looks at one server. Dropping it ends its Chromium; drop it before the server.
pub(crate) struct Browser {
    base: String,
    client: Option<Client>,
    _room: OwnedSemaphorePermit,
}

impl Browser {
    /// One that looks at the address that customers call.
    pub(crate) async fn open(bromo: &Bromo) -> Self {
        Self::at(format!("http://{}", bromo.running().api)).await
    }

    /// One that looks at the operator's pages.
    pub(crate) async fn open_operator(bromo: &Bromo) -> Self {
        Self::at(format!("http://{}", bromo.running().admin)).await
    }

    async fn at(base: String) -> Self {
        let (driver, room) = tokio::task::block_in_place(driver);
        let room = room.acquire_owned().await.unwrap();
        let arguments = json!({
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                "--remote-debugging-pipe", "--window-size=1280,900", "--force-prefers-reduced-motion",
            ] },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let capabilities: Capabilities = serde_json::from_value(arguments).unwrap();
        let client =
            ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&driver).await;
        Self { base, client: Some(client.unwrap()), _room: room }
    }

    fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    /// What Chromium's developer tools can do.
    async fn tell(&self, command: &str, params: Value) -> Value {
        let body = json!({ "cmd": command, "params": params });
        self.client().issue_cmd(Extra { path: "goog/cdp/execute", body }).await.unwrap()
    }

    pub(crate) async fn go(&self, path: &str) {
        self.client().goto(&format!("{}{path}", self.base)).await.unwrap();
    }

    pub(crate) async fn reload(&self) {
        self.client().refresh().await.unwrap();
    }

    /// Path and query of the page shown.
    pub(crate) async fn path(&self) -> String {
        let url = self.client().current_url().await.unwrap();
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// The first element of a CSS selector, which must come.
    pub(crate) async fn one(&self, selector: &str) -> Element {
        found(selector, async || self.client().find(Locator::Css(selector)).await.ok()).await
    }

    pub(crate) async fn has(&self, selector: &str) -> bool {
        !self.client().find_all(Locator::Css(selector)).await.unwrap().is_empty()
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.one(selector).await.click().await.unwrap();
    }

    /// Clicks the first button or link that shows this text.
    pub(crate) async fn press(&self, text: &str) {
        let path = format!("//*[self::button or self::a][normalize-space()={text:?}]");
        let shown = found(text, async || {
            for element in self.client().find_all(Locator::XPath(&path)).await.ok()? {
                if element.is_displayed().await.ok()? {
                    return Some(element);
                }
            }
            None
        });
        shown.await.click().await.unwrap();
    }

    /// Empties a field and types into it.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let field = self.one(selector).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Types where the focus is.
    pub(crate) async fn keys(&self, keys: &str) {
        self.client().active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// The visible text of the page.
    pub(crate) async fn text(&self) -> String {
        self.script("return document.body?.innerText ?? ''", vec![]).await.as_str().unwrap().to_owned()
    }

    /// Waits until the visible text of the page has this.
    pub(crate) async fn reads(&self, text: &str) {
        let last = Mutex::new(String::new());
        let shown = found(text, async || {
            let now = self.text().await;
            let has = now.contains(text);
            *last.lock().unwrap() = now;
            has.then_some(())
        });
        if tokio::time::timeout(super::DEADLINE / 2, shown).await.is_err() {
            panic!("{text:?} does not come in:\n{}", last.lock().unwrap());
        }
    }

    /// Waits until this expression holds.
    pub(crate) async fn holds(&self, expression: &str) {
        let script = format!("return !!({expression})");
        found(expression, async || (self.script(&script, vec![]).await == true).then_some(())).await;
    }

    /// What a script of the test's answers; the page's policy does not bind it.
    pub(crate) async fn script(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client().execute(script, arguments).await.unwrap()
    }

    /// Lays pages out for a screen of this width; `--window-size` has a floor of 500.
    pub(crate) async fn set_width(&self, width: u32) {
        let metrics = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.tell("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// What the system prefers: `light` or `dark`.
    pub(crate) async fn set_system_theme(&self, theme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": theme });
        self.tell("Emulation.setEmulatedMedia", json!({ "features": [feature] })).await;
    }

    /// Switches the scripts of pages off, those of tests excepted.
    pub(crate) async fn without_scripts(&self) {
        self.tell("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    /// Gives the browser a cookie of the server's.
    pub(crate) async fn keep_cookie(&self, name: &str, value: &str) {
        let cookie = json!({ "name": name, "value": value, "url": self.base });
        self.tell("Network.setCookie", cookie).await;
    }

    /// What the console says and did not say before: faults of scripts, and everything that the policy forbade.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let lines = self.client().issue_cmd(Extra { path: "se/log", body: json!({ "type": "browser" }) });
        let lines = lines.await.unwrap();
        let severe = lines.as_array().unwrap().iter().filter(|line| line["level"] == "SEVERE");
        severe.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    /// What this page loaded from other hosts.
    pub(crate) async fn strangers(&self) -> Vec<String> {
        let script = "return performance.getEntriesByType('resource').map(e => e.name)";
        let names = self.script(script, vec![]).await;
        let names = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        names.filter(|name| !name.starts_with(&self.base)).collect()
    }

    /// What axe finds wrong on the page as it is shown: each rule, and where.
    pub(crate) async fn violations(&self) -> Vec<String> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(AXE);
        let axe = std::fs::read_to_string(file);
        let axe = axe.unwrap_or_else(|_| panic!("axe-core is missing: tests/clients/setup brings it"));
        self.script(&axe, vec![]).await;
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => done(violations.map(
                ({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ html, any }) =>
                    `${html.slice(0, 160)} (${any[0]?.message ?? ''})`).join(' | ')}`)), (error) => done([`${error}`]))";
        let found = self.client().execute_async(script, vec![]).await.unwrap();
        found.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let ending = client.close();
            // If it does not end, it ends with chromedriver.
            let _ = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(tokio::time::timeout(super::DEADLINE, ending))
            });
        }
    }
}
