//! A link that is cut, slowed and healed.
#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use bromo_testbed::{Cut, Proxy};

/// Whatever is expected comes sooner, and what must not come is not waited for so long.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(100);

/// Says everything back that it hears.
fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    Proxy::start(address).unwrap()
}

fn open(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn say(stream: &mut TcpStream, words: &[u8]) {
    stream.write_all(words).unwrap();
}

#[track_caller]
fn hears(stream: &mut TcpStream, words: &[u8]) {
    let mut heard = vec![0; words.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, words);
}

#[track_caller]
fn hears_nothing(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
}

#[test]
fn what_is_said_arrives_and_so_does_its_end() {
    let proxy = echo();
    let mut stream = open(&proxy);
    let long: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
    let mut other = stream.try_clone().unwrap();
    let saying = thread::spawn({
        let long = long.clone();
        move || {
            say(&mut other, &long);
            other.shutdown(Shutdown::Write).unwrap();
        }
    });
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    saying.join().unwrap();
    assert!(heard == long);
}

#[test]
fn a_reset_link_ends_what_is_open_and_refuses_what_is_new() {
    let proxy = echo();
    let mut stream = open(&proxy);
    say(&mut stream, b"one");
    hears(&mut stream, b"one");
    proxy.cut(Cut::Reset);
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect(proxy.address()).is_ok() {
        assert!(Instant::now() < deadline, "connections are still taken");
    }
    let refused = TcpStream::connect(proxy.address()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_refusing_link_takes_connections_again_once_it_is_healed() {
    let proxy = echo();
    for _ in 0..3 {
        proxy.cut(Cut::Reset);
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(proxy.address()).is_ok() {
            assert!(Instant::now() < deadline, "connections are still taken");
        }
        proxy.heal();
        let mut stream = loop {
            match TcpStream::connect(proxy.address()) {
                Ok(stream) => break stream,
                Err(_) => assert!(Instant::now() < deadline, "connections are still refused"),
            }
        };
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        say(&mut stream, b"again");
        hears(&mut stream, b"again");
    }
}

#[test]
fn a_silent_link_loses_nothing_and_tells_nobody() {
    let proxy = echo();
    let mut old = open(&proxy);
    say(&mut old, b"one");
    hears(&mut old, b"one");
    proxy.cut(Cut::Silent);
    say(&mut old, b"two");
    let mut new = open(&proxy);
    say(&mut new, b"three");
    hears_nothing(&mut old);
    hears_nothing(&mut new);
    proxy.heal();
    hears(&mut old, b"two");
    hears(&mut new, b"three");
}

#[test]
fn a_slow_link_delays_each_direction_and_does_not_narrow_it() {
    let proxy = echo();
    let mut stream = open(&proxy);
    say(&mut stream, b"zero");
    hears(&mut stream, b"zero");
    let delay = Duration::from_millis(100);
    proxy.slow(delay);
    let begun = Instant::now();
    for number in 0..50_u8 {
        say(&mut stream, &[number; 100]);
    }
    for number in 0..50_u8 {
        hears(&mut stream, &[number; 100]);
    }
    assert!(begun.elapsed() >= 2 * delay);
    // Fifty in a row would take a hundred delays.
    assert!(begun.elapsed() < 50 * delay, "{:?}", begun.elapsed());
}

#[test]
fn healing_a_slow_link_lets_what_is_on_its_way_arrive_at_once() {
    let proxy = echo();
    let mut stream = open(&proxy);
    proxy.slow(Duration::from_secs(3600));
    say(&mut stream, b"one");
    hears_nothing(&mut stream);
    proxy.heal();
    hears(&mut stream, b"one");
}

#[test]
fn a_caller_that_hangs_up_is_gone_at_once_however_slow_the_link() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(target.local_addr().unwrap()).unwrap();
    let caller = open(&proxy);
    let (_held, peer) = target.accept().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while !proxy.has_caller(peer) {
        assert!(Instant::now() < deadline, "the caller is never seen");
    }
    proxy.cut(Cut::Silent);
    assert!(proxy.has_caller(peer));
    drop(caller);
    assert!(!proxy.has_caller(peer));
}

#[test]
fn a_target_that_is_away_is_felt_as_a_reset() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start(gone).unwrap();
    let mut stream = open(&proxy);
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_refusing_link_is_whole_again_even_if_its_target_had_closed_connections() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(target.local_addr().unwrap()).unwrap();
    let mut stream = open(&proxy);
    drop(target.accept().unwrap());
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    drop(stream);
    // The port remembers such a connection for a minute.
    proxy.cut(Cut::Reset);
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect(proxy.address()).is_ok() {
        assert!(Instant::now() < deadline, "connections are still taken");
    }
    proxy.heal();
    while TcpStream::connect(proxy.address()).is_err() {
        assert!(Instant::now() < deadline, "connections are still refused");
    }
}
