//! What the engine's connection tells when it is opened.

use std::sync::mpsc;

use fencelock_testserver::TestServer;

use super::*;
use crate::{token, url};

#[test]
fn a_connection_that_replaces_another_has_everybody_look() {
    let server = TestServer::start();
    let options = ClientOptions::new();
    let url::Url::Redis(url) = url::parse(&server.url()).unwrap() else { panic!("no Redis") };
    let endpoint = Endpoint::new(url, &options).unwrap();
    let (told, heard) = mpsc::channel();
    let sink: SignalSink = Arc::new(move |signal| told.send(signal).unwrap());
    let client = token::client_id().unwrap();
    let backend = Arc::new(RedisBackend::new(Arc::new(endpoint), &options, client, sink));
    let listen = || {
        let backend = backend.clone();
        let by = Moment::now() + Duration::from_secs(30);
        engine::block_on(async move { backend.listen(by).await }).unwrap().unwrap();
    };
    listen();
    listen();
    assert!(heard.try_recv().is_err(), "nothing was missed");
    // As after an answer that did not come in time: no end of the connection is heard.
    backend.core.engine.usable().unwrap().link.discard();
    listen();
    assert_eq!(heard.try_recv(), Ok(Signal::LookAll));
}
