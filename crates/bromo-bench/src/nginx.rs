//! Debian's nginx as the measure: a reverse proxy with both of its limits and its log, one worker.

use std::net::SocketAddr;
use std::path::Path;

use crate::client::Target;
use crate::process::{Process, free_port};

/// nginx, running.
pub(crate) struct Nginx {
    pub(crate) process: Process,
    address: SocketAddr,
}

impl Nginx {
    pub(crate) fn start(folder: &Path, upstream: SocketAddr, slots: u32, few: u32) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let settings = settings(address, upstream, slots, few);
        std::fs::write(folder.join("nginx.conf"), settings)?;
        let prefix = folder.display().to_string();
        let arguments = ["-p", &prefix, "-c", "nginx.conf", "-e", "error.log"];
        let mut process = Process::start(Path::new("nginx"), &arguments, folder, &folder.join("out.log"))?;
        process.listening(address)?;
        Ok(Self { process, address })
    }

    /// Calls under the limit of many slots.
    pub(crate) fn answers(&self) -> Target {
        Target::post(self.address, "/v1/monitor/chatgpt", "sk_live_bench")
    }

    /// Calls under the limit of few slots.
    pub(crate) fn few_slots(&self) -> Target {
        Target::post(self.address, "/few", "sk_live_bench")
    }
}

fn settings(address: SocketAddr, upstream: SocketAddr, slots: u32, few: u32) -> String {
    // A rate counts whole milliseconds, so requests within one need the burst.
    format!(
        r#"daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log error.log error;
events {{ worker_connections 19000; }}
http {{
    log_format bench '$remote_addr [$time_iso8601] $request_id "$request" $status $body_bytes_sent $request_time "$http_user_agent"';
    access_log access.log bench buffer=64k flush=1s;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    limit_conn_zone $http_authorization zone=many:10m;
    limit_conn_zone $http_authorization zone=few:10m;
    limit_req_zone $http_authorization zone=rate:10m rate=1000000r/s;
    upstream model {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen {address} backlog=4096;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        limit_conn_status 429;
        limit_req_status 429;
        location = /v1/monitor/chatgpt {{
            limit_conn many {slots};
            limit_req zone=rate burst=100000 nodelay;
            proxy_pass http://model/v1/chat/completions;
        }}
        location = /few {{
            limit_conn few {few};
            limit_req zone=rate burst=100000 nodelay;
            proxy_pass http://model/v1/chat/completions;
        }}
    }}
}}
"#
    )
}
