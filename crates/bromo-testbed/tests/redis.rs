//! What tests may rely on.

use bromo_testbed::Redis;

#[test]
fn a_server_is_empty_after_a_restart_unless_it_is_durable() {
    for (server, kept) in [(Redis::start().unwrap(), "$-1"), (Redis::start_durable().unwrap(), "$5\r\nvalue")]
    {
        assert_eq!(server.command(&["SET", "key", "value"]).unwrap(), "+OK");
        server.kill().unwrap();
        assert!(server.command(&["PING"]).is_err());
        server.start_again().unwrap();
        assert_eq!(server.command(&["GET", "key"]).unwrap(), kept);
        server.restart_empty().unwrap();
        assert_eq!(server.command(&["GET", "key"]).unwrap(), "$-1");
        server.stop().unwrap();
        server.start_again().unwrap();
    }
}
