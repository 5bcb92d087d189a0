//! Passwords and tokens are never shown. Every scenario's transcript is searched for tokens; here
//! are the passwords.

use fencelock_conformance::backend::Backend;
use fencelock_conformance::line::Fields;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::Stage;

pub(crate) const ALL: &[Scenario] =
    &[Scenario::solo("passwords_are_never_shown", passwords_are_never_shown).on(Backend::Redis)];

const RIGHT: &str = "canary-right-9f2c";
const WRONG: &str = "canary-wrong-51ab";

fn passwords_are_never_shown(stage: &Stage) {
    stage.keep_secret(RIGHT);
    stage.keep_secret(WRONG);
    stage.redis::<()>(&[
        "ACL",
        "SETUSER",
        "canary",
        "on",
        &format!(">{RIGHT}"),
        "~*",
        "&*",
        "+@all",
    ]);
    let host = format!("127.0.0.1:{}", stage.server.port());

    let driver = stage.driver(0);
    let bad = [
        format!("redis://canary:{WRONG}@{host}/0"),
        format!("redis://canary:{WRONG}@127.0.0.1:1/0"),
        // Where a password may end up in a part of the URL that is not its place.
        format!("redis://canary:{WRONG}@{host}/zero"),
        format!("redis://canary:{WRONG}@127.0.0.1:port/0"),
        format!("redis://canary:{WRONG}@@{host}/0"),
        format!("redis://canary:a/{WRONG}@{host}/0"),
        format!("redis://canary:a?{WRONG}@{host}/0"),
        format!("redis://canary:a#{WRONG}@{host}/0"),
        format!("redis://{host}/0?username=canary&password={WRONG}"),
        format!("redis://{host}/0?password=half&{WRONG}"),
        format!("redis://canary:{WRONG}%zz@{host}/0"),
        format!("canary:{WRONG}@{host}"),
        format!("http://canary:{WRONG}@{host}"),
    ];
    for url in bad {
        let options = Fields::default().with("url", &url);
        let refused = stage.connect(driver.clone(), &options);
        assert!(refused.is_err(), "{url}");
    }

    let party = stage.party_at(0, &format!("redis://canary:{RIGHT}@{host}/0"));
    let lease = party.acquire("x").lease();
    let waiting = party.acquire("x").ttl(600).start();
    stage.await_queue("x", 1);
    party.inspect("x");
    lease.release().unwrap();
    let lease = waiting.lease();
    // Broken connections and failed renewals are told, too.
    stage.server.kill();
    lease.lost();
    let _ = lease.release();
    let _ = party.acquire("x").timeout(300).start().outcome();
}
