//! One body, several runtimes.

/// Makes three tests of each body `fn name(runtime: &Runtime) -> Result<()>`: on runc, which tells
/// whether the test is right, and on our runsc with each platform.
#[macro_export]
macro_rules! for_each_runtime {
    ($($name:ident)*) => {
        mod runc {
            $(#[test] fn $name() -> anyhow::Result<()> {
                super::$name(&$crate::Runtime::new($crate::Kind::Runc)?)
            })*
        }
        mod ptrace {
            $(#[test] fn $name() -> anyhow::Result<()> {
                super::$name(&$crate::Runtime::new($crate::Kind::Ptrace)?)
            })*
        }
        mod kvm {
            $(#[test] #[ignore = "skipped: the kvm platform is not built yet"]
            fn $name() -> anyhow::Result<()> {
                super::$name(&$crate::Runtime::new($crate::Kind::Kvm)?)
            })*
        }
    };
}
