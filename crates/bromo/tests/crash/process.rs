//! The real program, in a process of its own.

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::faults::wire::{Account, call};

/// All that is left to do at the end, and so much more a task.
const REST: Duration = Duration::from_secs(90);
const REST_A_TASK: Duration = Duration::from_millis(5);

pub(crate) fn write_settings(folder: &Path, provider: &str) {
    let settings = format!(
        "[listen]\napi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nshutdown_ms = 20\n\
         [store]\nurl = \"sqlite://data\"\n[admin]\ntoken_file = \"data/token\"\n[telemetry]\nformat = \"json\"\n\
         [limits]\nrequests_per_second = 1000000\n\
         [tasks]\nfirst_wait_ms = 5\nwait_max_ms = 50\n\
         [breaker]\nfailures_max = 0\n\
         [webhooks]\nallow_networks = [\"127.0.0.0/8\"]\nfailures_max = 0\nschedule_s = [{}]\n\
         [endpoints.chatgpt]\nprovider = \"openai-chat\"\nbase_url = \"{provider}\"\nmodel = \"m\"\n",
        ["1"; 60].join(", ")
    );
    std::fs::write(folder.join("bromo.toml"), settings).unwrap();
}

pub(crate) struct Process {
    child: Child,
    pub(crate) api: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    pub(crate) async fn start(folder: &Path) -> Self {
        let folder = folder.to_owned();
        tokio::task::spawn_blocking(move || Self::start_blocking(&folder)).await.unwrap()
    }

    fn start_blocking(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bromo"))
            .args(["serve", "--config", "bromo.toml"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let listening: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        std::thread::spawn(move || lines.for_each(drop)); // A full pipe would stop it.
        let address = |name: &str| listening["fields"][name].as_str().unwrap().parse().unwrap();
        Self { api: address("api"), admin: address("admin"), child }
    }

    /// SIGTERM or SIGKILL.
    pub(crate) fn end(mut self, gently: bool) {
        if gently {
            let id = self.child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        } else {
            self.child.kill().unwrap();
        }
        self.child.wait().unwrap();
    }

    pub(crate) async fn create_account(&self, folder: &Path, name: &str) -> Account {
        let token = std::fs::read_to_string(folder.join("data/token")).unwrap();
        let body = json!({ "name": name, "plan": "lite" }).to_string();
        let made = call(self.admin, Method::POST, "/admin/v1/accounts", token.trim(), body).await.unwrap();
        Account::read(made.body())
    }

    /// Waits until no task waits or runs, and no delivery is pending.
    pub(crate) async fn rest(&self, accounts: &[Account], tasks: usize) {
        let rest = REST + REST_A_TASK * u32::try_from(tasks).unwrap();
        let begun = Instant::now();
        loop {
            let mut left = 0;
            for account in accounts {
                let status =
                    call(self.api, Method::GET, "/v1/async/status", &account.key, String::new()).await;
                let status: Value = serde_json::from_slice(status.unwrap().body()).unwrap();
                left += status["queuedTasks"].as_u64().unwrap() + status["processingTasks"].as_u64().unwrap();
            }
            let metrics = call(self.admin, Method::GET, "/metrics", "", String::new()).await.unwrap();
            let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
            let pending = metrics.lines().find_map(|line| line.strip_prefix("bromo_deliveries_pending "));
            if left == 0 && pending == Some("0") {
                return;
            }
            assert!(begun.elapsed() < rest, "{left} tasks and {pending:?} deliveries are still not done");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // A test that failed leaves nothing behind.
        let _ = self.child.wait();
    }
}
