//! Files about the system.

use std::fmt::Write as _;

use kernel::{Kernel, Uts};

/// A file about the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub(super) enum Kind {
    Cmdline,
    Cpuinfo,
    Devices,
    Filesystems,
    Loadavg,
    Meminfo,
    Stat,
    Swaps,
    Uptime,
    Version,
    Vmstat,
    Diskstats,
    Partitions,
    Interrupts,
    Cgroups,
    Modules,
    NetDev,
    NetRoute,
    NetTcp,
    NetTcp6,
    NetUdp,
    NetUdp6,
    NetUnix,
    NetIfInet6,
    NetSnmp,
}

/// The files of the root directory.
pub(super) const FILES: &[(&str, Kind)] = &[
    ("cgroups", Kind::Cgroups),
    ("cmdline", Kind::Cmdline),
    ("cpuinfo", Kind::Cpuinfo),
    ("devices", Kind::Devices),
    ("diskstats", Kind::Diskstats),
    ("filesystems", Kind::Filesystems),
    ("interrupts", Kind::Interrupts),
    ("loadavg", Kind::Loadavg),
    ("meminfo", Kind::Meminfo),
    ("modules", Kind::Modules),
    ("partitions", Kind::Partitions),
    ("stat", Kind::Stat),
    ("swaps", Kind::Swaps),
    ("uptime", Kind::Uptime),
    ("version", Kind::Version),
    ("vmstat", Kind::Vmstat),
];

/// The files of `/proc/net`.
pub(super) const NET_FILES: &[(&str, Kind)] = &[
    ("dev", Kind::NetDev),
    ("if_inet6", Kind::NetIfInet6),
    ("route", Kind::NetRoute),
    ("snmp", Kind::NetSnmp),
    ("tcp", Kind::NetTcp),
    ("tcp6", Kind::NetTcp6),
    ("udp", Kind::NetUdp),
    ("udp6", Kind::NetUdp6),
    ("unix", Kind::NetUnix),
];

/// Ticks of a second as `/proc/stat` counts (`USER_HZ`).
pub(super) const TICK_NS: u64 = 10_000_000;

/// Its text.
pub(super) fn text(kernel: &Kernel, kind: Kind) -> Vec<u8> {
    let text = match kind {
        Kind::Cmdline => "runsc\n".to_owned(),
        Kind::Cpuinfo => cpuinfo(kernel),
        Kind::Devices => devices(),
        Kind::Filesystems => filesystems(),
        Kind::Loadavg => loadavg(kernel),
        Kind::Meminfo => meminfo(kernel),
        Kind::Stat => stat(kernel),
        Kind::Swaps => "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_owned(),
        Kind::Uptime => uptime(kernel),
        Kind::Version => format!(
            "{} version {} (runsc) {}\n",
            Uts::SYSNAME,
            Uts::RELEASE,
            Uts::VERSION
        ),
        Kind::Vmstat => vmstat(kernel),
        Kind::Diskstats | Kind::Modules => String::new(),
        Kind::Partitions => "major minor  #blocks  name\n\n".to_owned(),
        Kind::Interrupts => interrupts(kernel),
        Kind::Cgroups => "#subsys_name\thierarchy\tnum_cgroups\tenabled\n".to_owned(),
        Kind::NetDev => net_dev(),
        Kind::NetRoute => {
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
                .to_owned()
        }
        Kind::NetTcp | Kind::NetTcp6 | Kind::NetUdp | Kind::NetUdp6 => {
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
                .to_owned()
        }
        Kind::NetUnix => {
            "Num       RefCount Protocol Flags    Type St Inode Path\n".to_owned()
        }
        Kind::NetIfInet6 => {
            "00000000000000000000000000000001 01 80 10 80       lo\n".to_owned()
        }
        Kind::NetSnmp => String::new(),
    };
    text.into_bytes()
}

fn cpuinfo(kernel: &Kernel) -> String {
    let cpus = kernel.sched.executors();
    let cpu = host::describe_cpu();
    let mut text = String::new();
    for number in 0..cpus {
        let _ = writeln!(
            text,
            "processor\t: {number}\nvendor_id\t: {}\ncpu family\t: {}\nmodel\t\t: {}\n\
             model name\t: {}\nstepping\t: {}\ncpu MHz\t\t: {}.000\ncache size\t: 8192 KB\n\
             physical id\t: 0\nsiblings\t: {cpus}\ncore id\t\t: {number}\ncpu cores\t: {cpus}\n\
             apicid\t\t: {number}\ninitial apicid\t: {number}\nfpu\t\t: yes\nfpu_exception\t: yes\n\
             cpuid level\t: 13\nwp\t\t: yes\nflags\t\t: {}\nbogomips\t: {}.00\n\
             clflush size\t: 64\ncache_alignment\t: 64\n\
             address sizes\t: 46 bits physical, 48 bits virtual\npower management:\n",
            cpu.vendor,
            cpu.family,
            cpu.model,
            cpu.name,
            cpu.stepping,
            cpu.mhz,
            cpu.flags,
            cpu.mhz * 2,
        );
    }
    text
}

fn devices() -> String {
    "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\n\
     Block devices:\n"
        .to_owned()
}

fn filesystems() -> String {
    ["9p", "cgroup", "devpts", "mqueue", "overlay", "proc", "sysfs", "tmpfs"]
        .iter()
        .fold(String::new(), |text, name| text + "nodev\t" + name + "\n")
}

fn loadavg(kernel: &Kernel) -> String {
    let (tasks, last) = {
        let tree = kernel.tree.lock();
        (tree.tasks.len(), tree.tasks.keys().next_back().copied().unwrap_or_default())
    };
    format!("0.00 0.00 0.00 1/{tasks} {last}\n")
}

fn meminfo(kernel: &Kernel) -> String {
    let total = kernel.charge.limit().min(kernel.memory.limit_bytes()) / 1024;
    let used = kernel.memory.used_bytes() / 1024;
    let free = total.saturating_sub(used);
    let usage = kernel.charge.usage();
    let (cached, shmem) = (usage.file / 1024, usage.shmem / 1024);
    let mut text = String::new();
    for (name, value) in [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free + cached),
        ("Buffers", 0),
        ("Cached", cached + shmem),
        ("SwapCached", 0),
        ("Active", used),
        ("Inactive", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", used.saturating_sub(cached + shmem)),
        ("Mapped", cached),
        ("Shmem", shmem),
        ("Slab", 0),
        ("CommitLimit", total),
        ("Committed_AS", used),
        ("VmallocTotal", 34_359_738_367),
        ("HugePages_Total", 0),
        ("Hugepagesize", 2048),
    ] {
        let unit = if name.starts_with("HugePages_") { "" } else { " kB" };
        let _ = writeln!(text, "{:<15}{value:>9}{unit}", format!("{name}:"));
    }
    text
}

/// User and system time of all processes together, in ticks.
fn times(kernel: &Kernel) -> (u64, u64) {
    let tree = kernel.tree.lock();
    let sums = tree.processes.values().map(|node| node.process.cpu_times());
    let (user, system) = sums.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    (user / TICK_NS, system / TICK_NS)
}

fn stat(kernel: &Kernel) -> String {
    let cpus = kernel.sched.executors() as u64;
    let (user, system) = times(kernel);
    let up = kernel.sched.now_ns().saturating_sub(kernel.boot_ns) / TICK_NS;
    let idle = (up * cpus).saturating_sub(user + system);
    let mut text = format!("cpu  {user} 0 {system} {idle} 0 0 0 0 0 0\n");
    for cpu in 0..cpus {
        let (user, system, idle) = (user / cpus, system / cpus, idle / cpus);
        let _ = writeln!(text, "cpu{cpu} {user} 0 {system} {idle} 0 0 0 0 0 0");
    }
    let age = kernel.sched.now_ns().saturating_sub(kernel.boot_ns);
    let boot = host::clock::realtime_ns().saturating_sub(age) / 1_000_000_000;
    let tasks = kernel.tree.lock().tasks.len();
    let _ = write!(
        text,
        "intr 0\nctxt 0\nbtime {boot}\nprocesses {tasks}\nprocs_running 1\nprocs_blocked 0\n\
         softirq 0 0 0 0 0 0 0 0 0 0 0\n"
    );
    text
}

fn uptime(kernel: &Kernel) -> String {
    let up = kernel.sched.now_ns().saturating_sub(kernel.boot_ns);
    let cpus = kernel.sched.executors() as u64;
    let (user, system) = times(kernel);
    let idle = (up / TICK_NS * cpus).saturating_sub(user + system);
    let hundredths = up / TICK_NS;
    format!("{}.{:02} {}.{:02}\n", hundredths / 100, hundredths % 100, idle / 100, idle % 100)
}

fn vmstat(kernel: &Kernel) -> String {
    let total = kernel.memory.limit_bytes() / abi::PAGE_SIZE;
    let used = kernel.memory.used_bytes() / abi::PAGE_SIZE;
    format!("nr_free_pages {}\npgfault 0\npgmajfault 0\n", total.saturating_sub(used))
}

fn interrupts(kernel: &Kernel) -> String {
    let cpus = 0..kernel.sched.executors();
    cpus.fold("    ".to_owned(), |text, cpu| format!("{text}       CPU{cpu}")) + "\n"
}

fn net_dev() -> String {
    "Inter-|   Receive                                                |  Transmit\n \
     face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop \
     fifo colls carrier compressed\n    lo:       0       0    0    0    0     0          0         \
     0        0       0    0    0    0     0       0          0\n"
        .to_owned()
}
