//! Connections that are encrypted.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use bromo_testbed::Redis as Server;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::{Installation, block_on, until};
use crate::Admission;

#[test]
fn a_server_that_proves_who_it_is_is_spoken_to_in_secret_and_no_other() {
    block_on(async {
        let name = vec!["127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(name.clone()).unwrap();
        let other = generate_simple_self_signed(name).unwrap();
        let folder = tempfile::TempDir::new().unwrap();
        let file = |name: &str, content: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.into_os_string().into_string().unwrap()
        };
        let (proof, root) = (file("server.crt", cert.pem()), file("root.pem", cert.pem()));
        let (key, wrong) =
            (file("server.key", signing_key.serialize_pem()), file("wrong.pem", other.cert.pem()));
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let port = port.to_string();
        let tls = ["--tls-port", &port, "--tls-cert-file", &proof, "--tls-key-file", &key];
        let server = Server::start_with(&[&tls[..], &["--tls-auth-clients", "no"]].concat()).unwrap();
        let mut installation = Installation::on(&server);

        installation.url = format!("rediss://127.0.0.1:{port}?sslrootcert={root}");
        let believed = tokio::time::timeout(Duration::from_secs(10), installation.node(1)).await;
        let node = believed.expect("the server is believed");
        let ask = installation.ask();
        node.open(ask.facts).await;
        node.enter(&ask).await.release(None).await;
        // Commands of the node and of this thread, and subscriptions.
        until("all connections are encrypted", async || {
            server.command(&["CLIENT", "LIST"]).unwrap().matches(&format!("laddr=127.0.0.1:{port} ")).count()
                == 3
        })
        .await;

        installation.url = format!("rediss://127.0.0.1:{port}?sslrootcert={wrong}");
        let node = installation.node_unconnected(2);
        until("the server is not believed", async || {
            node.redis.admit(&ask).await.is_err_and(|error| error.reason.contains("certificate"))
        })
        .await;
    });
}
