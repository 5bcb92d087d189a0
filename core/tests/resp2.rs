//! Servers and proxies that speak RESP2 only, or pass no messages on: locks work, by polling.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Stage, eventually};
use fencelock::blocking::Client;

/// Passes commands on, but for some that it says it does not know.
struct Proxy {
    port: u16,
    refused: Arc<AtomicUsize>,
}

impl Proxy {
    fn start(server: u16, unknown: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let refused = Arc::new(AtomicUsize::new(0));
        let count = refused.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, count) = (client.unwrap(), count.clone());
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
                std::thread::spawn(move || pass(client, &server, unknown, &count));
            }
        });
        Self { port, refused }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}

fn pass(mut client: TcpStream, mut server: &TcpStream, unknown: &[&str], refused: &AtomicUsize) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    while let Some((name, command)) = read_command(&mut reader) {
        if unknown.contains(&name.to_ascii_uppercase().as_str()) {
            refused.fetch_add(1, Ordering::SeqCst);
            if write!(client, "-ERR unknown command '{name}'\r\n").is_err() {
                break;
            }
        } else if server.write_all(&command).is_err() {
            break;
        }
    }
    let _ = server.shutdown(std::net::Shutdown::Write);
}

/// One command's first word, and all of its bytes.
fn read_command(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let words = read_number(reader, &mut bytes)?;
    let mut name = String::new();
    for at in 0..words {
        let length = read_number(reader, &mut bytes)?;
        let start = bytes.len();
        bytes.resize(start + length + 2, 0);
        reader.read_exact(&mut bytes[start..]).ok()?;
        if at == 0 {
            name = String::from_utf8_lossy(&bytes[start..start + length]).into_owned();
        }
    }
    Some((name, bytes))
}

fn read_number(reader: &mut BufReader<TcpStream>, bytes: &mut Vec<u8>) -> Option<usize> {
    let start = bytes.len();
    reader.read_until(b'\n', bytes).ok()?;
    std::str::from_utf8(bytes.get(start + 1..)?).ok()?.trim_end().parse().ok()
}

/// In which mode the only waiter is in the queue.
fn mode(stage: &Stage) -> String {
    let entries: Vec<String> = stage.ask("HVALS {a}:fl:w");
    let waiter = entries.iter().find_map(|entry| entry.split(' ').nth(2));
    waiter.unwrap().to_owned()
}

/// Waits behind a holder, and is served; tells the mode in which it waited.
fn waits_its_turn(stage: &Stage, url: &str) -> String {
    let client = Client::connect(url).unwrap();
    let lock = client.lock("a");
    let lease = lock.acquire().unwrap();
    let waiting = std::thread::spawn(move || lock.acquire().unwrap());
    eventually("it waits", || stage.waiters("a") == 1);
    let mode = mode(stage);
    lease.renew().unwrap();
    lease.release().unwrap();
    let next = waiting.join().unwrap();
    assert!(next.is_held());
    next.release().unwrap();
    mode
}

#[test]
fn without_resp3_messages_come_on_a_second_connection() {
    let stage = Stage::new();
    let proxy = Proxy::start(stage.server.port(), &["HELLO"]);
    assert_eq!(waits_its_turn(&stage, &proxy.url()), "P");
    assert!(proxy.refused.load(Ordering::SeqCst) > 0);
    let proxy = Proxy::start(stage.server.port(), &["HELLO"]);
    assert_eq!(waits_its_turn(&stage, &format!("{}?protocol=2", proxy.url())), "P");
    assert_eq!(proxy.refused.load(Ordering::SeqCst), 0, "HELLO was sent");
}

#[test]
fn without_messages_the_head_of_the_queue_polls() {
    let stage = Stage::new();
    for unknown in [
        &["HELLO", "SUBSCRIBE"][..],
        &["HELLO", "SUBSCRIBE", "PUBLISH", "PUBSUB"],
        &["SUBSCRIBE"],
        &["PUBLISH"],
        &["PUBSUB"],
    ] {
        let proxy = Proxy::start(stage.server.port(), unknown);
        assert_eq!(waits_its_turn(&stage, &proxy.url()), "-", "{unknown:?}");
        assert!(proxy.refused.load(Ordering::SeqCst) > 0);
    }
}

#[test]
fn both_kinds_of_waiters_stand_in_one_line() {
    let stage = Stage::new();
    let proxy = Proxy::start(stage.server.port(), &["HELLO", "SUBSCRIBE"]);
    let clients = [&stage.url(), &proxy.url(), &stage.url(), &proxy.url()];
    let clients = clients.map(|url| Client::connect(url).unwrap());
    let lease = clients[0].lock("a").acquire().unwrap();
    let (send, order) = std::sync::mpsc::channel();
    let waiting: Vec<_> = (0..8)
        .map(|number| {
            let (lock, send) = (clients[number % 4].lock("a"), send.clone());
            let thread = std::thread::spawn(move || {
                let lease = lock.acquire().unwrap();
                send.send(number).unwrap();
                lease.release().unwrap();
            });
            eventually("it waits", || stage.waiters("a") == number as u64 + 1);
            thread
        })
        .collect();
    lease.release().unwrap();
    for thread in waiting {
        thread.join().unwrap();
    }
    assert_eq!(order.try_iter().collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
}
