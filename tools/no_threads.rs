//! What the C library of WASI answers where there are no threads, for one that is too old to answer at all: none can be
//! started. Compiled on its own by `tools/test-browser.sh`, before there is a standard library.
#![feature(no_core, lang_items)]
#![allow(internal_features)]
#![no_core]
#![crate_type = "lib"]

#[lang = "pointee_sized"]
trait PointeeSized {}
#[lang = "meta_sized"]
trait MetaSized: PointeeSized {}
#[lang = "sized"]
trait Sized: MetaSized {}

const EAGAIN: i32 = 6;

#[unsafe(no_mangle)]
extern "C" fn pthread_create(_: usize, _: usize, _: usize, _: usize) -> i32 {
    EAGAIN
}
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_init(_: usize) -> i32 {
    0
}
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_setstacksize(_: usize, _: usize) -> i32 {
    0
}
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_destroy(_: usize) -> i32 {
    0
}
#[unsafe(no_mangle)]
extern "C" fn pthread_join(_: usize, _: usize) -> i32 {
    0
}
#[unsafe(no_mangle)]
extern "C" fn pthread_detach(_: usize) -> i32 {
    0
}
