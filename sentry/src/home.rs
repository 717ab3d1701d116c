//! The home directory of a user, for an environment that does not say.

use abi::{Errno, fs::open};
use vfs::{BytesDst, Ctx, LookupFlags};

/// More than any image has in `/etc/passwd`; what is behind it counts for nothing.
const MOST_BYTES: usize = 1 << 20;

/// The home that `/etc/passwd` of the container gives to `uid`, else the root.
pub(crate) fn of(cx: &Ctx<'_>, uid: u32) -> String {
    let text = read(cx, b"/etc/passwd").unwrap_or_default();
    find(&text, uid).unwrap_or_else(|| "/".to_owned())
}

fn read(cx: &Ctx<'_>, path: &[u8]) -> Result<Vec<u8>, Errno> {
    let place = cx.lookup(cx.root, path, LookupFlags::default())?;
    // To open a pipe would wait for a writer.
    if !place.inode().metadata(cx)?.is_file() {
        return Err(Errno::EINVAL);
    }
    let file = cx.open_found(place, open::O_RDONLY, false)?;
    file.add_user();
    let mut text = Vec::new();
    let mut chunk = vec![0; 4096];
    while text.len() < MOST_BYTES {
        let mut dst = BytesDst::new(&mut chunk);
        match file.read(cx, &mut dst) {
            Ok(count) if count > 0 => text.extend(chunk.iter().take(count)),
            _ => break,
        }
    }
    file.remove_user(cx);
    Ok(text)
}

/// The sixth field of the first line whose third is `uid` (passwd(5)).
fn find(text: &[u8], uid: u32) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let mut lines = text.lines().map(fields);
    let line = lines.find(|line| line.get(2).and_then(|field| field.parse().ok()) == Some(uid))?;
    line.get(5).filter(|home| home.starts_with('/') && !home.contains('\0')).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\xffbad:x\nme:x:7:7::/home/me:/bin/sh\n\
                           none:x:8:8:::\nagain:x:7:7::/other:\n";

    #[test]
    fn the_first_line_of_a_user_counts() {
        assert_eq!(find(PASSWD, 0).as_deref(), Some("/root"));
        assert_eq!(find(PASSWD, 7).as_deref(), Some("/home/me"));
    }

    #[test]
    fn who_has_no_home_gets_none() {
        assert_eq!(find(PASSWD, 8), None);
        assert_eq!(find(PASSWD, 9), None);
        assert_eq!(find(b"", 0), None);
    }
}
