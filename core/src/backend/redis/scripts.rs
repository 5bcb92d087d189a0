#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) source: String,
    pub(crate) sha1: String,
}
pub(crate) fn acquire() -> &'static Script {
    todo!()
}
pub(crate) fn poll() -> &'static Script {
    todo!()
}
pub(crate) fn release() -> &'static Script {
    todo!()
}
pub(crate) fn cancel() -> &'static Script {
    todo!()
}
pub(crate) fn extend() -> &'static Script {
    todo!()
}
pub(crate) fn inspect() -> &'static Script {
    todo!()
}
