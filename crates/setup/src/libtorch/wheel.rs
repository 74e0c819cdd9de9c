//! A wheel is a zip archive with a Python package. The checksum of each unpacked file is checked by the `zip` crate.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use process::{
    exit::{Code, failure},
    shutdown::{Shutdown, stopped},
};
use zip::ZipArchive;

use super::version::{VERSION, VERSION_FILE};
use crate::cache::create_dir;

/// Of the CUDA build's libraries, those that run on the CPU. Of a CPU build all are taken but Python's.
const CPU_LIBRARIES: [&str; 3] = ["libtorch_cpu.", "libc10.", "libgomp"];
const PYTHON_LIBRARIES: [&str; 2] = ["libtorch_python", "libshm"];

/// A wheel file that is complete: its directory, which stands at the end, can be read.
pub(crate) struct Wheel {
    path: PathBuf,
}

impl Wheel {
    /// The wheel of `package` in `directory`, if there is one; an incomplete one is removed.
    pub(crate) fn find(directory: &Path, package: &str) -> anyhow::Result<Option<Wheel>> {
        let prefix = format!("{}-", package.replace('-', "_"));
        let entries = fs::read_dir(directory).with_context(|| format!("failed to read `{}`", directory.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with(&prefix) || !name.ends_with(".whl") {
                continue;
            }
            if ZipArchive::new(BufReader::new(File::open(&path)?)).is_ok() {
                return Ok(Some(Wheel { path }));
            }
            fs::remove_file(&path).with_context(|| format!("failed to remove `{}`", path.display()))?;
        }
        Ok(None)
    }

    /// Whether this is torch's CUDA build.
    pub(crate) fn needs_cuda(&self) -> anyhow::Result<bool> {
        Ok(self.open()?.index_for_name("torch/lib/libtorch_cuda.so").is_some())
    }

    /// Unpacks headers and libraries of torch into `include` and `lib`.
    pub(crate) fn unpack_libtorch(&self, directory: &Path, shutdown: &Shutdown) -> anyhow::Result<()> {
        let cuda = self.needs_cuda()?;
        let starts_with = |name: &str, prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        self.unpack(directory, shutdown, |name| {
            let path = name.strip_prefix("torch/")?;
            let wanted = match path.strip_prefix("lib/") {
                Some(library) if cuda => starts_with(library, &CPU_LIBRARIES),
                Some(library) => !starts_with(library, &PYTHON_LIBRARIES),
                None => path.starts_with("include/"),
            };
            wanted.then(|| path.into())
        })
    }

    /// Unpacks one library into `lib`, wherever in the wheel it is.
    pub(crate) fn unpack_library(&self, library: &str, directory: &Path, shutdown: &Shutdown) -> anyhow::Result<()> {
        let target = Path::new("lib").join(library);
        self.unpack(directory, shutdown, |name| (name.rsplit('/').next() == Some(library)).then(|| target.clone()))?;
        if directory.join(target).is_file() {
            return Ok(());
        }
        Err(failure(Code::Data, anyhow!("`{}` has no `{library}`", self.path.display())))
    }

    /// Unpacks the files for which `choose` names a place below `directory`.
    fn unpack(
        &self,
        directory: &Path,
        shutdown: &Shutdown,
        choose: impl Fn(&str) -> Option<PathBuf>,
    ) -> anyhow::Result<()> {
        let mut archive = self.open()?;
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(|error| self.damaged(error))?;
            let name = entry.name().map_err(|error| self.damaged(error))?.into_owned();
            // `enclosed_name` refuses names that lead out of the directory.
            let safe = entry.enclosed_name().is_some() && entry.is_file();
            let Some(place) = choose(&name).filter(|_| safe) else { continue };
            let place = directory.join(place);
            if let Some(parent) = place.parent() {
                create_dir(parent)?;
            }
            let file = File::create(&place).with_context(|| format!("failed to create `{}`", place.display()))?;
            self.copy(&mut entry, file, &place, shutdown)?;
        }
        Ok(())
    }

    fn copy(&self, from: &mut impl Read, to: File, place: &Path, shutdown: &Shutdown) -> anyhow::Result<()> {
        let mut to = BufWriter::new(to);
        let mut buffer = vec![0; 1 << 20];
        loop {
            if let Some(cause) = shutdown.requested() {
                return Err(stopped(cause));
            }
            let read = from.read(&mut buffer).map_err(|error| self.damaged(error))?;
            if read == 0 {
                return to.flush().with_context(|| format!("failed to write `{}`", place.display()));
            }
            to.write_all(&buffer[..read]).with_context(|| format!("failed to write `{}`", place.display()))?;
        }
    }

    fn open(&self) -> anyhow::Result<ZipArchive<BufReader<File>>> {
        let file = File::open(&self.path).with_context(|| format!("failed to open `{}`", self.path.display()))?;
        ZipArchive::new(BufReader::new(file)).map_err(|error| self.damaged(error))
    }

    /// A damaged wheel is removed, so that the next attempt downloads it anew.
    fn damaged(&self, error: impl std::fmt::Display) -> anyhow::Error {
        drop(fs::remove_file(&self.path));
        failure(Code::Data, anyhow!("`{}` is damaged ({error}) and was removed; start again", self.path.display()))
    }
}

/// Writes the version file and moves the finished directory to its place, in an order that even a power cut keeps.
pub(crate) fn seal(partial: &Path, target: &Path) -> io::Result<()> {
    sync_all(partial)?;
    let mut version = File::create(partial.join(VERSION_FILE))?;
    version.write_all(format!("{VERSION}\n").as_bytes())?;
    version.sync_all()?;
    if target.exists() {
        fs::remove_dir_all(target)?; // Not whole, or nobody would have fetched it.
    }
    process::file::sync_directory(partial)?;
    fs::rename(partial, target)?;
    process::file::sync_directory(target.parent().unwrap_or(target))
}

fn sync_all(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_all(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    process::file::sync_directory(directory)
}

#[cfg(test)]
mod tests {
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn wheel(directory: &Path, files: &[&str]) -> PathBuf {
        let path = directory.join("torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for name in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(format!("content of {name}, content of {name}").as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        path
    }

    fn unpacked(files: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        wheel(dir.path(), files);
        let (_trigger, shutdown) = Shutdown::manual();
        let out = dir.path().join("out");
        Wheel::find(dir.path(), "torch").unwrap().unwrap().unpack_libtorch(&out, &shutdown).unwrap();
        let mut names = Vec::new();
        for part in ["include", "lib"] {
            for entry in fs::read_dir(out.join(part)).unwrap() {
                names.push(format!("{part}/{}", entry.unwrap().file_name().to_string_lossy()));
            }
        }
        names.sort();
        names
    }

    #[test]
    fn of_a_cuda_build_only_the_cpu_parts_are_taken_of_a_cpu_build_everything_but_python() {
        let cuda = [
            "torch/include/a.h",
            "torch/lib/libc10.so",
            "torch/lib/libc10_cuda.so",
            "torch/lib/libgomp.so.1",
            "torch/lib/libtorch.so",
            "torch/lib/libtorch_cpu.so",
            "torch/lib/libtorch_cuda.so",
            "torch/lib/libtorch_python.so",
            "torch/nn/__init__.py",
            "torch/include/../../../escape.h",
        ];
        assert_eq!(unpacked(&cuda), ["include/a.h", "lib/libc10.so", "lib/libgomp.so.1", "lib/libtorch_cpu.so"]);
        let cpu = ["torch/include/a.h", "torch/lib/libtorch.so", "torch/lib/libomp.dylib", "torch/lib/libshm.so"];
        assert_eq!(unpacked(&cpu), ["include/a.h", "lib/libomp.dylib", "lib/libtorch.so"]);
    }

    #[test]
    fn a_wheel_cut_short_is_removed_and_not_taken_for_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = wheel(dir.path(), &["torch/include/a.h"]);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
        assert!(Wheel::find(dir.path(), "torch").unwrap().is_none());
        assert!(!path.exists());
    }

    #[test]
    fn a_flipped_bit_is_found_while_unpacking_and_the_wheel_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = wheel(dir.path(), &["torch/include/a.h"]);
        let mut bytes = fs::read(&path).unwrap();
        bytes[60] ^= 1; // Within the file's content: the header before it is 47 bytes long.
        fs::write(&path, bytes).unwrap();
        let (_trigger, shutdown) = Shutdown::manual();
        let found = Wheel::find(dir.path(), "torch").unwrap().unwrap();
        let error = found.unpack_libtorch(&dir.path().join("out"), &shutdown).unwrap_err();
        assert_eq!(process::exit::code_of(&error), Code::Data, "{error:#}");
        assert!(!path.exists());
    }

    #[test]
    fn sealing_writes_the_version_and_moves_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (partial, target) = (dir.path().join("partial"), dir.path().join("target"));
        fs::create_dir_all(partial.join("lib")).unwrap();
        fs::write(partial.join("lib/x.so"), "x").unwrap();
        seal(&partial, &target).unwrap();
        assert_eq!(fs::read_to_string(target.join("build-version")).unwrap(), "2.13.0\n");
        assert!(target.join("lib/x.so").exists() && !partial.exists());
    }
}
