//! Bad input and bad circumstances: each a typed error that says what to do, and nothing is left
//! on the server.

use std::net::{Ipv4Addr, TcpListener};

use fencelock::ErrorKind;
use fencelock_conformance::backend::{Backend, NOBODY};
use fencelock_conformance::line::{Fault, Fields};
use fencelock_conformance::party::Wish;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::Stage;

pub(crate) const ALL: &[Scenario] = &[
    Scenario::solo("unreachable_server", unreachable_server).on(Backend::Redis),
    Scenario::solo("wrong_password", wrong_password).on(Backend::Redis),
    Scenario::solo("missing_permission", missing_permission).on(Backend::Redis),
    Scenario::solo("malformed_urls", malformed_urls).on(Backend::Redis),
    Scenario::solo("wrong_type_on_the_key", wrong_type_on_the_key).on(Backend::Redis),
    Scenario::solo("names_that_are_refused", names_that_are_refused),
    Scenario::solo("limits_of_ttl_and_label", limits_of_ttl_and_label),
    Scenario::solo("use_after_close", use_after_close),
    Scenario::solo("full_queue", full_queue),
    Scenario::solo("a_server_without_memory", a_server_without_memory).on(Backend::Redis),
];

/// The fault is of this kind, with its number, and says what happened and what to do.
fn assert_fault(fault: &Fault, kind: ErrorKind) {
    assert_eq!(fault.kind, kind.name(), "{fault:?}");
    assert_eq!(fault.fields.number("code"), Ok(u64::try_from(kind.code()).unwrap()), "{fault:?}");
    assert!(fault.message().contains("; "), "what happened; what to do: {fault:?}");
}

fn refused(stage: &Stage, url: &str) -> Fault {
    let options = Fields::default().with("url", url);
    match stage.connect(stage.driver(0), &options) {
        Ok(_) => panic!("{url} was taken"),
        Err(fault) => fault,
    }
}

/// The wish is refused before anything is sent.
fn assert_refused(stage: &Stage, wish: Wish) {
    let calls = || match stage.backend {
        Backend::Redis => stage.calls("evalsha") + stage.calls("eval"),
        Backend::File => 0,
    };
    let before = calls();
    assert_fault(&wish.clone().fault(), ErrorKind::InvalidArgument);
    let fault = wish.attempt_fault();
    assert_fault(&fault, ErrorKind::InvalidArgument);
    assert_eq!(calls(), before);
    stage.is_untouched();
}

fn unreachable_server(stage: &Stage) {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let fault = refused(stage, &format!("redis://{free}/0"));
    assert_fault(&fault, ErrorKind::Unavailable);
    assert_eq!(fault.fields.get("retryable"), Some("1"));

    // And one that goes away later.
    let party = stage.party(0);
    stage.server.kill();
    assert_fault(&party.acquire("x").timeout(2_000).fault(), ErrorKind::Unavailable);
    assert_fault(&party.acquire("x").attempt_fault(), ErrorKind::Unavailable);
}

fn wrong_password(stage: &Stage) {
    let port = stage.server.port();
    stage.redis::<()>(&["CONFIG", "SET", "requirepass", "right"]);
    for url in [
        format!("redis://:wrong@127.0.0.1:{port}/0"),
        format!("redis://nobody:right@127.0.0.1:{port}/0"),
        format!("redis://127.0.0.1:{port}/0"),
    ] {
        let fault = refused(stage, &url);
        assert_fault(&fault, ErrorKind::Denied);
        assert_eq!(fault.fields.get("retryable"), Some("0"));
    }
    let party = stage.party_at(0, &format!("redis://:right@127.0.0.1:{port}/0"));
    party.acquire("x").lease().release().unwrap();
}

fn missing_permission(stage: &Stage) {
    let rules = ["on", ">pw", "~*", "&*", "+@all", "-evalsha", "-eval"];
    stage.redis::<()>(&[&["ACL", "SETUSER", "poor"], &rules[..]].concat());
    let url = format!("redis://poor:pw@127.0.0.1:{}/0", stage.server.port());
    let party = stage.party_at(0, &url);
    let fault = party.acquire("x").fault();
    assert_fault(&fault, ErrorKind::Denied);
    assert!(fault.message().contains("evalsha"), "names what is missing: {fault:?}");
    stage.nothing_left("x");
}

fn malformed_urls(stage: &Stage) {
    let at = format!("127.0.0.1:{}", stage.server.port());
    for url in [
        String::new(),
        at.clone(),
        "redis://".to_owned(),
        "redis:///0".to_owned(),
        format!("rediss:{at}"),
        format!("http://{at}"),
        "redis://127.0.0.1:0/0".to_owned(),
        "redis://127.0.0.1:port/0".to_owned(),
        "redis://127.0.0.1:65536/0".to_owned(),
        format!("redis://{at}/zero"),
        format!("redis://{at}/-1"),
        format!("redis://{at}/0?db=1"),
        format!("redis://{at}/0?unknown=1"),
        format!("redis://{at}/0?db=0&db=0"),
        format!("redis://{at}/0#part"),
        format!("redis://user@{at}/0"),
        format!("redis://a b@{at}/0"),
        format!("redis://:%zz@{at}/0"),
    ] {
        let fault = refused(stage, &url);
        assert_fault(&fault, ErrorKind::InvalidArgument);
    }
    assert_fault(&refused(stage, "zookeeper://127.0.0.1:2181"), ErrorKind::Unsupported);
    assert_eq!(stage.redis::<u64>(&["DBSIZE"]), 0);
}

fn wrong_type_on_the_key(stage: &Stage) {
    let party = stage.party(0);
    stage.redis::<()>(&["RPUSH", "x", "mine"]);
    assert_fault(&party.acquire("x").fault(), ErrorKind::Backend);
    assert_fault(&party.acquire("x").attempt_fault(), ErrorKind::Backend);
    assert_eq!(stage.redis::<Vec<String>>(&["LRANGE", "x", "0", "-1"]), ["mine"]);
    assert_eq!(stage.redis::<u64>(&["DBSIZE"]), 1);
}

fn names_that_are_refused(stage: &Stage) {
    let party = stage.party(0);
    for name in ["", "x:fl:f", "x:fl:q", "x:fl:w", "{x}:flt:h", "a{b", "a}b", "a{}b"] {
        assert_refused(stage, party.acquire(name));
    }
    assert_refused(stage, party.acquire(&"n".repeat(513)));
    // Bytes count, not characters.
    assert_refused(stage, party.acquire(&"é".repeat(257)));
}

fn limits_of_ttl_and_label(stage: &Stage) {
    let party = stage.party(0);
    for wish in [
        party.acquire("x").ttl(0),
        party.acquire("x").ttl(49),
        // Ten seconds in the wrong unit.
        party.acquire("x").ttl(10_000_000),
        party.acquire("x").ttl(24 * 3_600_000 + 1).unrenewed(),
        party.acquire("x").max_hold(1),
        party.acquire("x").label(&"l".repeat(129)),
    ] {
        assert_refused(stage, wish);
    }
    let longest = party.acquire("x").ttl(24 * 3_600_000).unrenewed().lease();
    longest.release().unwrap();
}

fn use_after_close(stage: &Stage) {
    let party = stage.party(0);
    let lease = party.acquire("x").lease();
    party.close();
    party.close();
    assert_fault(&party.acquire("y").fault(), ErrorKind::Closed);
    assert_fault(&party.acquire("y").attempt_fault(), ErrorKind::Closed);
    let fault = lease.release().unwrap_err();
    assert_fault(&fault, ErrorKind::Lost);
    assert_eq!(fault.loss(), Some("closed"));
    stage.nothing_left("x");
    stage.nothing_left("y");
}

fn full_queue(stage: &Stage) {
    let party = stage.party(0);
    stage.plant("x", NOBODY, 60_000);
    // A few more than fit: those that are dead at the head are dropped first.
    stage.fill_queue("x", 10_020);
    let fault = party.acquire("x").fault();
    assert_fault(&fault, ErrorKind::Backend);
    assert!(fault.message().contains("10000"), "{fault:?}");
    let (filled, others) = stage.filled_queue("x");
    assert!(filled >= 10_000 && others == 0, "it is not in the queue: {others}");
    assert_eq!(stage.value("x").as_deref(), Some(NOBODY));
}

fn a_server_without_memory(stage: &Stage) {
    let party = stage.party(0);
    let lease = party.acquire("x").ttl(60_000).lease();
    stage.redis::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_fault(&party.acquire("y").attempt_fault(), ErrorKind::Unavailable);
    assert_fault(&party.acquire("y").timeout(500).fault(), ErrorKind::Unavailable);
    lease.release().unwrap();
    stage.nothing_left("x");
    stage.nothing_left("y");
}
