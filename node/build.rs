//! Leaves Node's symbols to be found in the process that loads the module.

fn main() {
    napi_build::setup();
}
