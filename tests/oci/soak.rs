//! What takes minutes. Names start with `soak`, so that `cargo xtask test soak` finds them.
#![forbid(unsafe_code)]

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{Bundle, Kind, Output, Rootfs, Runtime};

const LONG: Duration = Duration::from_secs(600);

fn nothing_left(runtime: &Runtime, bundle: &Bundle) -> Result<()> {
    let left = runtime.left_by(&bundle.id())?;
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}

fn one_after_the_other(kind: Kind, count: usize) -> Result<()> {
    let runtime = Runtime::new(kind)?;
    for round in 0..count {
        let bundle =
            Bundle::new(&Rootfs::busybox()?, &["/bin/sh", "-c", &format!("echo {round}")])?;
        let output = runtime.run(&bundle)?.success()?;
        ensure!(output.stdout == format!("{round}\n"), "{output:?}");
        nothing_left(&runtime, &bundle)?;
    }
    Ok(())
}

#[test]
#[ignore = "takes minutes: cargo xtask test soak"]
fn soak_fifty_sandboxes_one_after_the_other() -> Result<()> {
    one_after_the_other(Kind::Ptrace, 50)
}

#[test]
#[ignore = "takes minutes: cargo xtask test soak"]
fn soak_twenty_sandboxes_at_once() -> Result<()> {
    let workers: Vec<_> =
        (0..20).map(|_| thread::spawn(|| one_after_the_other(Kind::Ptrace, 1))).collect();
    for worker in workers {
        worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
    }
    Ok(())
}

/// Runs `script` by bash over a Debian root file system, with `/tmp` to write to.
fn debian(script: &str) -> Result<Output> {
    let runtime = Runtime::new(Kind::Ptrace)?;
    let bundle = Bundle::new(&Rootfs::debian()?, &["/bin/bash", "-euc", script])?
        .all_capabilities()?
        .env("HOME", "/tmp")?
        .edit(|config| config["process"]["cwd"] = "/tmp".into())?;
    let output = runtime.run_within(&bundle, LONG)?.success()?;
    nothing_left(&runtime, &bundle)?;
    Ok(output)
}

fn says(script: &str, wanted: &str) -> Result<()> {
    let output = debian(script)?;
    ensure!(output.stdout.contains(wanted), "no {wanted}: {output:?}");
    Ok(())
}

#[test]
#[ignore = "takes minutes: cargo xtask test soak"]
fn soak_debian_shell_pipeline() -> Result<()> {
    says("seq 1 1000 | grep 7 | sort -rn | head -1; ls -lR /usr | wc -l | sed s/^/lines:/", "997")
}

#[test]
#[ignore = "takes minutes: cargo xtask test soak"]
fn soak_debian_python_threads_subprocess_sqlite_sockets() -> Result<()> {
    says(&format!("python3 - <<'END'\n{PYTHON}\nEND"), "all is well")
}

const PYTHON: &str = r#"
import os, socket, sqlite3, subprocess, threading
total, lock = [0], threading.Lock()
def add():
    for _ in range(1000):
        with lock: total[0] += 1
threads = [threading.Thread(target=add) for _ in range(16)]
[t.start() for t in threads]; [t.join() for t in threads]
assert total[0] == 16000
assert subprocess.check_output(["sh", "-c", "echo $((6*7))"]) == b"42\n"
db = sqlite3.connect("/tmp/t.db")
db.execute("create table t(a int)")
db.executemany("insert into t values(?)", [(i,) for i in range(1000)])
db.commit()
assert db.execute("select sum(a) from t").fetchone()[0] == 499500
server = socket.create_server(("127.0.0.1", 0))
def serve():
    c, _ = server.accept()
    while d := c.recv(65536): c.sendall(d.upper())
    c.close()
t = threading.Thread(target=serve); t.start()
c = socket.create_connection(server.getsockname())
c.sendall(b"hello" * 10000); c.shutdown(socket.SHUT_WR)
got = b""
while d := c.recv(65536): got += d
assert got == b"HELLO" * 10000
t.join()
r, w = os.pipe()
if os.fork() == 0:
    os.write(w, b"child"); os._exit(3)
assert os.read(r, 10) == b"child" and os.wait()[1] == 3 << 8
print("all is well")
"#;

#[test]
#[ignore = "takes minutes: cargo xtask test soak"]
fn soak_debian_gcc_compiles_and_runs() -> Result<()> {
    let script = r#"printf '#include <stdio.h>\nint main(void){puts("compiled inside");}' >h.c
        gcc -O2 h.c -o h && ./h"#;
    says(script, "compiled inside")
}

#[test]
#[ignore = "takes minutes: cargo xtask test soak"]
fn soak_debian_git_init_add_commit_clone() -> Result<()> {
    let script = "git init -q r; cd r; git config user.email a@b; git config user.name n; \
        echo x >f; git add f; git commit -qm first; git clone -q . ../c; cd ../c; git log --oneline; \
        git fsck";
    says(script, "first")
}

#[test]
#[ignore = "takes minutes: cargo xtask test soak"]
fn soak_debian_perl_and_apt_start() -> Result<()> {
    says(
        "perl -e 'print join(\",\", map { $_ ** 2 } 1..5), \"\\n\"'; apt-get --version",
        "1,4,9,16,25",
    )
}

#[test]
#[ignore = "takes minutes: cargo xtask test soak"]
fn soak_debian_tar_and_gzip_round_trip() -> Result<()> {
    let script = "tar -C /usr/lib -czf p.tgz python3; mkdir out; tar -C out -xzf p.tgz; \
        diff -r /usr/lib/python3 out/python3 && echo the same";
    says(script, "the same")
}

#[test]
#[ignore = "takes minutes: cargo xtask test soak"]
fn soak_debian_sixty_four_threads_map_protect_unmap_for_a_minute() -> Result<()> {
    says(&format!("python3 - <<'END'\n{MAPPER}\nEND"), "all is well")
}

const MAPPER: &str = r#"
import mmap, os, threading, time
end, bad = time.monotonic() + 60, []
def work(n):
    r = 0
    while time.monotonic() < end:
        r += 1
        size = 4096 * (1 + (n * 7 + r) % 64)
        m = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        mark = bytes([(n + r) % 251]) * 64
        for at in range(0, size, 4096): m[at:at + 64] = mark
        for at in range(0, size, 4096):
            if m[at:at + 64] != mark or m[at + 64:at + 128] != bytes(64): bad.append((n, r, at))
        m.close()
threads = [threading.Thread(target=work, args=(n,)) for n in range(64)]
[t.start() for t in threads]; [t.join() for t in threads]
print("all is well" if not bad else bad[:5])
"#;
