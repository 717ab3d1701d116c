//! First light.
use abi::*;
use platform::*;
use std::sync::Arc;

#[test]
fn hello() {
    let memory = Arc::new(host::MemoryObject::new(1 << 24).unwrap());
    let p = ptrace_fallback::Ptrace::new(memory.clone(), 1).unwrap();
    let space = p.new_space().unwrap();
    // mov eax, 42; syscall; jmp .-4
    memory.write(0, &[0xb8, 42, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7]);
    let base = UserAddr::new(0x40_0000);
    space
        .apply(&[Change::Map {
            range: base.range(4096).unwrap(),
            backing: Backing::Memory { offset: 0 },
            protection: Protection::READ_EXECUTE,
        }])
        .unwrap();
    let cx = p.context(0).unwrap();
    let mut state =
        UserState::new(Registers::for_exec(0x40_0000, 0), FpuState::initial(p.fpu_size_bytes()));
    let t = std::time::Instant::now();
    for i in 0..10000 {
        assert_eq!(cx.switch(&space, &mut state).unwrap(), Exit::Syscall);
        assert_eq!(state.regs.orig_rax, 42);
        state.regs.rax = i;
    }
    println!("{:?} per call; fpu {}", t.elapsed() / 10000, p.fpu_size_bytes());
    let t = std::time::Instant::now();
    for i in 0..1000u64 {
        let r = UserAddr::new(0x1000_0000 + (i % 100) * 0x2000).range(4096).unwrap();
        space
            .apply(&[Change::Map {
                range: r,
                backing: Backing::Memory { offset: 0 },
                protection: Protection::READ,
            }])
            .unwrap();
    }
    println!("{:?} per order", t.elapsed() / 1000);
    let t = std::time::Instant::now();
    for _ in 0..100 {
        let s = space.fork().unwrap();
        drop(s);
    }
    println!("{:?} per fork+drop", t.elapsed() / 100);
    let t = std::time::Instant::now();
    for _ in 0..100 {
        let s = space.fork().unwrap();
        assert_eq!(cx.switch(&s, &mut state).unwrap(), Exit::Syscall);
        drop(s);
    }
    println!("{:?} per fork+switch+drop", t.elapsed() / 100);
}
