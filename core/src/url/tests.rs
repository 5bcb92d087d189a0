use super::*;

fn tcp(host: &str, port: u16, tls: bool) -> Place {
    Place::Tcp { host: host.to_owned(), port, tls }
}

fn ok(url: &str) -> RedisUrl {
    parse_redis(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

#[test]
fn both_libraries_ways_are_taken() {
    let plain = ok("redis://localhost");
    assert_eq!((plain.place, plain.db), (tcp("localhost", 6379, false), 0));
    assert_eq!(ok("redis://h:7000/3").db, 3);
    assert_eq!(ok("redis://h?db=3").db, 3);
    assert_eq!(ok("redis://h/3?db=3").db, 3);
    assert_eq!(ok("REDIS://h/").place, tcp("h", 6379, false));
    assert_eq!(ok("redis://[::1]:7000").place, tcp("::1", 7000, false));
    assert!(ok("redis://h?protocol=2").resp2);
    assert_eq!(ok("redis://h?prefix=app%3A").prefix.as_deref(), Some("app:"));
    for url in ["redis://u:p%40s@h", "redis://h?username=u&password=p%40s"] {
        let url = ok(url);
        assert_eq!(url.username.unwrap().reveal(), "u");
        assert_eq!(url.password.unwrap().reveal(), "p@s");
    }
    assert_eq!(ok("redis://:secret@h").username, None);
}

#[test]
fn tls_and_its_options_are_taken() {
    let url = ok("rediss://u:p@h/1");
    assert_eq!((url.place, url.tls), (tcp("h", 6379, true), TlsOptions::default()));
    assert_eq!(ok("valkeys://h:7000").place, tcp("h", 7000, true));
    let url = ok("rediss://h?tls_ca=/a%20b&tls_cert=/c&tls_key=/k&tls_server_name=x\
                  &tls_min_version=1.3&danger_accept_invalid_certs=false");
    let tls = TlsOptions {
        ca: Some(Pem::file("/a b")),
        cert: Some(Pem::file("/c")),
        key: Some(Pem::file("/k")),
        server_name: Some("x".to_owned()),
        min_version: Some(TlsVersion::V1_3),
        danger_accept_invalid_certs: Some(false),
    };
    assert_eq!(url.tls, tls);
}

#[test]
fn unix_sockets_are_taken_as_both_libraries_write_them() {
    for url in [
        "redis+unix:///run/a%20b.sock?db=2&user=u&pass=p%40",
        "unix://u:p%40@/run/a%20b.sock?db=2",
        "valkey+unix:///run/a%20b.sock?username=u&password=p%40&db=2",
    ] {
        let parsed = ok(url);
        assert_eq!((parsed.place.clone(), parsed.db), (Place::Unix("/run/a b.sock".into()), 2));
        assert_eq!(parsed.username.as_ref().unwrap().reveal(), "u");
        assert_eq!(parsed.password.as_ref().unwrap().reveal(), "p@");
        assert_eq!(parsed.to_string(), "redis+unix:///run/a b.sock?db=2");
    }
}

#[test]
fn what_is_wrong_or_unknown_is_refused() {
    for url in [
        "",
        "localhost:6379",
        "http://h",
        "redis://",
        "redis://:6379",
        "redis://h:0",
        "redis://h:port",
        "redis://h:70000",
        "redis://h/one",
        "redis://h/-1",
        "redis://h/1/2",
        "redis://h/1?db=2",
        "redis://h?db=",
        "redis://h?timeout=3",
        "redis://h?db=1&db=1",
        "redis://u:p@w@h",
        "redis://h%4",
        "redis://h%ff",
        "redis://[::1",
        "redis://[x]",
        "redis://[::1]7000",
        "redis://h/#0",
        "redis://h /0",
        "redis://user@h",
        "redis://u:p@h?password=q",
        "redis://h?protocol=4",
        "rediss://h?ssl_cert_reqs=none",
        "rediss://h?tls_min_version=1.1",
        "rediss://h?danger_accept_invalid_certs=yes",
        "rediss://h#insecure",
        "unix://",
        "unix:///",
        "unix://tmp/redis.sock",
        "redis+unix://h:1/redis.sock",
        "unix:///a%00b",
        "unix:///redis.sock?db=x",
    ] {
        let error = parse_redis(url).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
    }
    assert_eq!(parse_redis("redis-cluster://h").unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn user_and_password_are_never_shown() {
    let url = ok("redis://canary:canary@host/1");
    assert!(!format!("{url:?} {url}").contains("canary"));
    for bad in [
        "redis://u:canary@h:x",
        "redis://u:canary@h/x",
        "redis://u:canary@@h",
        "x:canary",
        "redis://u:p?canary@h",
        "redis://u:p/canary@h",
        "redis://h?password=half&canary",
    ] {
        assert!(!format!("{0:?} {0}", parse_redis(bad).unwrap_err()).contains("canary"), "{bad}");
    }
}
