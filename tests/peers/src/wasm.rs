// SPDX-License-Identifier: MIT OR Apache-2.0
//! A function in a WebAssembly runtime: compiled once, an instance that is kept, typed calls.
//!
//! The runtime is Wasmtime with its Cranelift compiler, which generates code for this machine inside the guest.

use wasmtime::{Engine, Instance, Memory, Module, Store, TypedFunc};

use crate::checksum::{LENGTH, checksum, input};
use crate::error::Error;
use crate::rows::{MANY, Row, sample};

/// The module: a memory of one page, a null function, and the loop of [`checksum`].
const MODULE: &str = r#"
(module
  (memory (export "memory") 1)
  (func (export "null"))
  (func (export "checksum") (param $at i32) (param $length i32) (result i32)
    (local $end i32) (local $low i32) (local $high i32)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $low (i32.add (local.get $low) (i32.load8_u (local.get $at))))
        (local.set $high (i32.add (local.get $high) (local.get $low)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $high)))
"#;

/// Where the input lies in the instance's memory.
const INPUT: u32 = 0;

/// Measures a call of the null function.
pub(crate) fn null() -> Row {
    Row::new("wasm_null", null_samples())
}

fn null_samples() -> Result<Vec<u64>, Error> {
    let mut guest = Guest::new()?;
    let function: TypedFunc<(), ()> = guest.instance.get_typed_func(&mut guest.store, "null")?;
    sample(MANY, (), || Ok(function.call(&mut guest.store, ())?))
}

/// Measures 1 KiB copied into the instance's memory and the checksum over it.
pub(crate) fn checksum_1k() -> Row {
    Row::new("wasm_checksum_1k", checksum_samples())
}

fn checksum_samples() -> Result<Vec<u64>, Error> {
    let mut guest = Guest::new()?;
    let function: TypedFunc<(u32, u32), u32> = guest.instance.get_typed_func(&mut guest.store, "checksum")?;
    let memory: Memory = guest.instance.get_memory(&mut guest.store, "memory").ok_or(Error::WrongResult)?;
    let length = u32::try_from(LENGTH).map_err(|_| Error::WrongResult)?;
    let input = input();
    sample(MANY, checksum(&input), || {
        memory.write(&mut guest.store, INPUT as usize, &input).map_err(wasmtime::Error::from)?;
        Ok(function.call(&mut guest.store, (INPUT, length))?)
    })
}

/// The module, compiled and instantiated.
struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn new() -> Result<Guest, Error> {
        let engine = Engine::default();
        let module = Module::new(&engine, MODULE)?;
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        Ok(Guest { store, instance })
    }
}
