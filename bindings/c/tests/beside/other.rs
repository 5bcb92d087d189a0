//! Another Rust static library, for `beside.c`: it panics, and catches that.

#[unsafe(no_mangle)]
pub extern "C" fn other_panics_and_lives() -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    let caught = std::panic::catch_unwind(|| {
        let numbers = std::hint::black_box(Vec::<i32>::new());
        numbers[1]
    });
    if caught.is_err() { 7 } else { 0 }
}
