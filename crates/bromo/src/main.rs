//! Arguments in, exit code out.

use std::process::ExitCode;

/// Fewer page faults and less contention than the system's allocator on the way of a request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bromo::command::main()
}
