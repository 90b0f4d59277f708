//! Connections that are encrypted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bromo_testbed::Postgres;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::settings;
use crate::postgres::connect::{Connector, Durability};
use crate::postgres::open_postgres;

#[tokio::test]
async fn a_server_that_proves_who_it_is_is_spoken_to_in_secret_and_no_other() {
    let server = Postgres::start().unwrap();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    for (name, content) in [("server.crt", cert.pem()), ("server.key", signing_key.serialize_pem())] {
        // The server writes its own files, or they would not be its user's.
        let content = STANDARD.encode(content);
        let write = format!("echo {content} | base64 -d > {name}; chmod 600 {name}");
        server.execute("postgres", &format!("COPY (SELECT) TO PROGRAM '{write}'")).unwrap();
    }
    server.execute("postgres", "ALTER SYSTEM SET ssl = on").unwrap();
    server.stop().unwrap();
    server.start_again().unwrap();
    let database = server.database().unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, cert.pem()).unwrap();

    let trusting = format!("{}?sslmode=verify-full&sslrootcert={}", database.url(), root.display());
    let store = open_postgres(settings(trusting, 1)).unwrap();
    store.wait_ready().await.unwrap();
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = store.parts.shared.first(sql, &[]).await.unwrap().unwrap();
    assert!(row.get::<_, bool>(0));

    let other = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&root, other.cert.pem()).unwrap();
    let doubting = format!("{}?sslmode=require&sslrootcert={}", database.url(), root.display());
    let refused = Connector::new(&doubting, Durability::Full).unwrap().connect().await.err().unwrap();
    assert!(refused.to_string().contains("certificate"), "{refused}");
}
