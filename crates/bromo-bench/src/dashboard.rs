//! What people in a browser cost: calls beside three who watch live, and pages over a full log.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::bromo::{Bromo, run};
use crate::latency::{Latencies, Spread};
use crate::report::{Goal, Row};
use crate::{client::Target, load, machine_load};

/// Arrivals a second, and connections: far below what the server can do, so that a tail is not a queue.
const RATE: u32 = 2000;
const CONNECTIONS: usize = 64;
/// Lines of a full log.
pub(crate) const LINES: usize = 1_000_000;
/// Looks at each page.
const LOOKS: usize = 21;

/// A browser that is signed in.
struct Viewer {
    address: SocketAddr,
    cookie: String,
}

/// p99 of calls with three viewers, over that without, by rounds; then pages over a million lines.
pub(crate) async fn rows(
    bromo: &Bromo,
    program: &Path,
    folder: &Path,
    rounds: usize,
    length: Duration,
) -> anyhow::Result<Vec<Row>> {
    let viewer = Viewer::sign_in(bromo, program, folder).await?;
    let mut beside = Vec::with_capacity(rounds);
    for number in 1..=rounds {
        eprintln!("viewers, round {number} of {rounds}, load {}", machine_load());
        // In turn, so that neither has the quieter half of the round.
        let (mut alone, mut watched) = (Latencies::default(), Latencies::default());
        for _ in 0..3 {
            alone.append(load::open(&bromo.free(), RATE, CONNECTIONS, length).await?);
            let viewers = ["/live/overview", "/live/logs?after=0", "/live/logs?status=2xx&after=0"];
            let viewers = viewers.map(|path| viewer.watch(path));
            watched.append(load::open(&bromo.free(), RATE, CONNECTIONS, length).await?);
            for viewer in viewers {
                ensure!(!viewer.is_finished(), "a live page ended");
                viewer.abort();
            }
        }
        beside.push((watched.p50_p99_us().1 / 1e3, alone.p50_p99_us().1 / 1e3));
    }
    eprintln!("a log of {LINES} lines");
    let cheap = Target::get(bromo.free().address, "/v1/states", bromo.many_key());
    let mut lines = 0;
    while lines < LINES {
        lines += load::closed(&cheap, CONNECTIONS, Duration::from_secs(5)).await?.latencies.len();
    }
    tokio::time::sleep(Duration::from_secs(2)).await; // What is gathered is written.
    let mut pages = Vec::new();
    for (what, path, goal) in [
        ("logs page over 1,000,000 lines, ms", "/logs", 100.0),
        ("… filtered for a rare code, ms", "/logs?range=24h&code=VALIDATION_ERROR", 300.0),
        ("… its 30 days, ms", "/logs?range=30d", 100.0),
        ("overview over them, 1 hour, ms", "/", 200.0),
        ("… 30 days, ms", "/?range=30d", 200.0),
    ] {
        let mut times = Vec::with_capacity(LOOKS);
        for _ in 0..LOOKS {
            times.push(viewer.look(path).await?.as_secs_f64() * 1e3);
        }
        pages.push(Row::alone(what, [Spread::of(times).median]).reaching(Goal::AtMost(goal)));
    }
    let ratio = beside.iter().map(|(watched, alone)| watched / alone).collect::<Vec<_>>();
    let mut rows = vec![
        Row::alone("p99 of calls with three live viewers, ms", beside.iter().map(|(watched, _)| *watched)),
        Row::alone("… without, ms", beside.iter().map(|(_, alone)| *alone)),
        Row::alone("… with, of without", ratio).reaching(Goal::AtMost(1.05)),
    ];
    rows.extend(pages);
    Ok(rows)
}

impl Viewer {
    async fn sign_in(bromo: &Bromo, program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let address = bromo.free().address;
        let made = run(program, folder, &["sign-in-link", "many", "--email", "many@example.com"])?;
        let url = made["url"].as_str().context("no link")?;
        let path = &url[url.find("/sign-in/").context("no link")?..];
        let page = exchange(
            address,
            &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"),
        )
        .await?;
        let cookie = between(&page, "set-cookie: ", ";").context("no cookie")?;
        let token = between(&page, "name=\"token\" value=\"", "\"").context("no token")?;
        let form = format!("token={token}");
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncookie: {cookie}\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            form.len()
        );
        let entered = exchange(address, &request).await?;
        let cookie = between(&entered, "set-cookie: ", ";").context("not signed in")?.to_owned();
        Ok(Self { address, cookie })
    }

    fn request(&self, path: &str) -> String {
        let Self { address, cookie } = self;
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n")
    }

    /// Takes all that comes until it is aborted.
    fn watch(&self, path: &str) -> JoinHandle<anyhow::Result<()>> {
        let (address, request) = (self.address, self.request(path));
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut buffer = [0; 16 * 1024];
            while stream.read(&mut buffer).await? > 0 {}
            Ok(())
        })
    }

    /// How long a page takes, from the connection to its last byte.
    async fn look(&self, path: &str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let page = exchange(self.address, &self.request(path)).await?;
        ensure!(page.starts_with("HTTP/1.1 200"), "{path}: {}", page.lines().next().unwrap_or_default());
        Ok(begun.elapsed())
    }
}

async fn exchange(address: SocketAddr, request: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    rest.get(..rest.find(after)?)
}
