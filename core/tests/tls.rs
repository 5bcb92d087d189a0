//! `rediss://`: what is trusted, what is refused, and that locks work as without it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::TcpListener;
use std::time::Duration;

use common::eventually;
use fencelock::blocking::Client;
use fencelock::{ClientOptions, Error, ErrorKind, Pem, TlsVersion};
use fencelock_testserver::{Authority, Issued, TestServer};

const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

struct Stage {
    authority: Authority,
    server: TestServer,
}

impl Stage {
    fn new() -> Self {
        Self::showing(|authority| authority.issue(&HERE), false)
    }

    fn showing(issue: impl FnOnce(&Authority) -> Issued, clients: bool) -> Self {
        let authority = Authority::new();
        let server = TestServer::start_tls(&authority, &issue(&authority), clients);
        Self { authority, server }
    }

    fn trusting(&self) -> ClientOptions {
        ClientOptions::new().tls_ca(Pem::file(self.authority.ca()))
    }

    fn with(&self, options: ClientOptions) -> fencelock::Result<Client> {
        Client::connect_with(&self.server.tls_url(), options)
    }

    fn refused(&self, options: ClientOptions) -> Error {
        self.with(options).unwrap_err()
    }
}

fn identified(options: ClientOptions, issued: &Issued) -> ClientOptions {
    options.tls_cert(Pem::file(&issued.cert)).tls_key(Pem::file(&issued.key))
}

/// Taken at once, waited for, renewed and given back.
fn locks_work(client: &Client) {
    let lock = client.lock("a").ttl(Duration::from_secs(2));
    let lease = lock.acquire().unwrap();
    assert!(lock.try_acquire().unwrap().is_none());
    let waiting = std::thread::spawn(move || lock.acquire().unwrap());
    eventually("it waits", || client.inspect("a").unwrap().waiters == 1);
    lease.renew().unwrap();
    lease.release().unwrap();
    let next = waiting.join().unwrap();
    assert!(next.is_held());
    next.release().unwrap();
}

#[track_caller]
fn says(error: &Error, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is missing: {error}");
    }
    assert!(!error.is_ambiguous(), "{error}");
}

#[test]
fn locks_work_with_a_given_ca() {
    let stage = Stage::new();
    let client = stage.with(stage.trusting()).unwrap();
    locks_work(&client);
    assert!(client.server().starts_with("rediss://127.0.0.1:"));
    let text = Pem::text(std::fs::read(stage.authority.ca()).unwrap());
    locks_work(&stage.with(ClientOptions::new().tls_ca(text)).unwrap());
    let in_url = format!("{}?tls_ca={}", stage.server.tls_url(), stage.authority.ca().display());
    locks_work(&Client::connect(&in_url).unwrap());
    let resp2 = format!("{in_url}&protocol=2&tls_min_version=1.3");
    locks_work(&Client::connect(&resp2).unwrap());
}

#[test]
fn an_async_caller_has_a_connection_of_its_own() {
    let stage = Stage::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = stage.server.tls_url();
        let client = fencelock::Client::connect_with(&url, stage.trusting()).await.unwrap();
        client.lock("a").acquire().await.unwrap().release().await.unwrap();
    });
}

#[test]
fn a_server_that_cannot_be_trusted_is_refused() {
    let stage = Stage::new();
    let strange = Authority::new();
    let trusts_another = ClientOptions::new().tls_ca(Pem::file(strange.ca()));
    says(&stage.refused(trusts_another), ErrorKind::Unavailable, &["no CA", "tls_ca"]);
    says(&stage.refused(ClientOptions::new()), ErrorKind::Unavailable, &["no CA", "tls_ca"]);
    let renamed = stage.trusting().tls_server_name("redis.example");
    says(&stage.refused(renamed), ErrorKind::Unavailable, &["redis.example", "tls_server_name"]);
    let expired = Stage::showing(|authority| authority.issue_expired(&HERE), false);
    says(&expired.refused(expired.trusting()), ErrorKind::Unavailable, &["expired", "clock"]);
}

#[test]
fn another_name_can_be_expected() {
    let stage = Stage::showing(|authority| authority.issue(&["redis.example"]), false);
    says(&stage.refused(stage.trusting()), ErrorKind::Unavailable, &["127.0.0.1"]);
    locks_work(&stage.with(stage.trusting().tls_server_name("redis.example")).unwrap());
}

#[test]
fn only_danger_takes_whoever_answers() {
    let stage = Stage::showing(|authority| authority.issue_expired(&["elsewhere"]), false);
    locks_work(&stage.with(ClientOptions::new().danger_accept_invalid_certs(true)).unwrap());
    let url = format!("{}?danger_accept_invalid_certs=true", stage.server.tls_url());
    locks_work(&Client::connect(&url).unwrap());
    let off = ClientOptions::new().danger_accept_invalid_certs(false);
    says(&stage.refused(off), ErrorKind::Unavailable, &["certificate"]);
}

#[test]
fn a_server_may_want_a_certificate_of_ours() {
    let stage = Stage::showing(|authority| authority.issue(&HERE), true);
    let own = stage.authority.issue(&["client"]);
    locks_work(&stage.with(identified(stage.trusting(), &own)).unwrap());
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let nobody = stage.trusting().tls_min_version(version);
        says(&stage.refused(nobody.clone()), ErrorKind::Denied, &["certificate", "tls_cert"]);
        // The first one to connect may be a thread of its own.
        let lazy = Client::lazy(&stage.server.tls_url(), nobody).unwrap();
        says(&lazy.lock("a").try_acquire().unwrap_err(), ErrorKind::Denied, &["tls_cert"]);
    }
    let strange = Authority::new();
    let stranger = identified(stage.trusting(), &strange.issue(&["client"]));
    says(&stage.refused(stranger), ErrorKind::Denied, &["refused our TLS certificate"]);
}

#[test]
fn the_old_version_is_spoken_unless_it_is_ruled_out() {
    let authority = Authority::new();
    let issued = authority.issue(&HERE);
    let server = TestServer::start_tls_with(&authority, &issued, false, "TLSv1.2");
    let stage = Stage { authority, server };
    locks_work(&stage.with(stage.trusting()).unwrap());
    let newer = stage.trusting().tls_min_version(TlsVersion::V1_3);
    says(&stage.refused(newer), ErrorKind::Unavailable, &["version", "tls_min_version"]);
}

#[test]
fn the_wrong_port_is_told() {
    let stage = Stage::new();
    let plain = stage.server.url().replace("redis:", "rediss:");
    let soon = stage.trusting().connect_timeout(Duration::from_millis(500));
    let error = Client::connect_with(&plain, soon).unwrap_err();
    says(&error, ErrorKind::Unavailable, &["TLS port"]);
    let error = Client::connect(&stage.server.tls_url().replace("rediss:", "redis:")).unwrap_err();
    says(&error, ErrorKind::Unavailable, &["rediss://"]);
}

#[test]
fn options_that_cannot_be_used_are_told_before_anything_is_sent() {
    let authority = Authority::new();
    let (issued, other) = (authority.issue(&["a"]), authority.issue(&["b"]));
    let (cert, key) = (Pem::file(&issued.cert), Pem::file(&issued.key));
    let secret = std::fs::read_to_string(&issued.key).unwrap();
    let body = secret.lines().nth(1).unwrap();
    let cut = Pem::text(secret.replace("-----END", "-----ENDE"));
    let new = ClientOptions::new;
    let ca = Pem::file(authority.ca());
    let wrong = [
        (new().tls_ca(Pem::file("/nowhere/ca.pem")), "/nowhere/ca.pem"),
        (new().tls_ca(Pem::text("no PEM")), "tls_ca"),
        (new().tls_ca(key.clone()), "tls_ca"),
        (new().tls_cert(cert.clone()), "tls_key"),
        (new().tls_key(key.clone()), "tls_cert"),
        (new().tls_cert(cert.clone()).tls_key(cut), "tls_key"),
        (new().tls_cert(cert.clone()).tls_key(Pem::file(&other.key)), "tls_key"),
        (new().tls_server_name("not a name"), "tls_server_name"),
        (new().tls_ca(ca.clone()).danger_accept_invalid_certs(true), "danger"),
    ];
    for (options, word) in wrong {
        assert!(!format!("{options:?}").contains(body));
        let error = Client::lazy("rediss://127.0.0.1:1", options).unwrap_err();
        says(&error, ErrorKind::InvalidArgument, &[word]);
        assert!(!format!("{error} {error:?}").contains(body));
    }
    for url in ["redis://127.0.0.1:1", "redis+unix:///nowhere"] {
        let error = Client::lazy(url, new().tls_ca(ca.clone())).unwrap_err();
        says(&error, ErrorKind::InvalidArgument, &["rediss://"]);
    }
    let twice = format!("rediss://127.0.0.1:1?tls_ca={}", issued.cert.display());
    let error = Client::lazy(&twice, new().tls_ca(ca)).unwrap_err();
    says(&error, ErrorKind::InvalidArgument, &["tls_ca"]);
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rediss://{}", silent.local_addr().unwrap());
    let options = ClientOptions::new()
        .danger_accept_invalid_certs(true)
        .connect_timeout(Duration::from_millis(200));
    let error = Client::connect_with(&url, options).unwrap_err();
    says(&error, ErrorKind::Unavailable, &["in time", "TLS port"]);
}

#[test]
fn what_is_held_and_waited_for_survives_its_connections() {
    let stage = Stage::new();
    let client = stage.with(stage.trusting()).unwrap();
    common::survives_its_connections(&client, &stage.server);
}

#[test]
fn an_interrupted_wait_leaves_nothing_behind() {
    let stage = Stage::new();
    let client = stage.with(stage.trusting()).unwrap();
    common::interrupted_while_unanswered(&client, &stage.server);
}
