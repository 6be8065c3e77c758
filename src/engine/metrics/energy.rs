//! Energy, by the counters of the processor (RAPL) that Linux shows as files.
//!
//! Each zone below `/sys/class/powercap` counts microjoules in `energy_uj`, up to `max_energy_range_uj` and then again
//! from 0. Zones named `package-…` are whole processors; `dram` zones below them count memory, which packages do not.
//! Other zones are parts of a package, or the whole platform, and would be counted twice. Most systems let only root
//! read the counters.
//! See <https://docs.kernel.org/power/powercap/powercap.html>.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Energy used, or why that is not known.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Energy {
    /// So many joules, of all processors of the machine and their memory, other programs' part among them.
    Joules(f64),
    /// The system does not tell, and this is why.
    NotAvailable(String),
}

impl Energy {
    /// The joules, if they are known.
    pub fn joules(&self) -> Option<f64> {
        match self {
            Self::Joules(joules) => Some(*joules),
            Self::NotAvailable(_) => None,
        }
    }
}

/// Reads how much energy the machine's processors use.
///
/// ```
/// use dino_llm::EnergyMeter;
///
/// match EnergyMeter::new() {
///     Ok(mut meter) => println!("{:?} J since it was made", meter.read()),
///     Err(error) => println!("not available: {error}"),
/// }
/// ```
#[derive(Debug)]
pub struct EnergyMeter {
    zones: Vec<Zone>,
    microjoules: u64,
}

#[derive(Debug)]
struct Zone {
    counter: PathBuf,
    last: u64,
    /// The counter goes from here to 0.
    most: u64,
}

impl EnergyMeter {
    /// A meter of this machine.
    ///
    /// # Errors
    /// As those of [`Self::at`].
    pub fn new() -> io::Result<Self> {
        Self::at(Path::new("/sys/class/powercap"))
    }

    /// A meter of the zones in another folder.
    ///
    /// # Errors
    /// If there is no such folder, no zone of a package in it, or a counter cannot be read.
    pub fn at(folder: &Path) -> io::Result<Self> {
        let mut zones = Vec::new();
        let entries = fs::read_dir(folder).map_err(|error| named(folder, &error))?;
        for entry in entries {
            let path = entry?.path();
            let Ok(name) = fs::read_to_string(path.join("name")) else {
                continue;
            };
            let name = name.trim();
            if name.starts_with("package") || name == "dram" {
                zones.push(Zone::open(&path)?);
            }
        }
        if zones.is_empty() {
            let message = format!("{}: no zone of a package", folder.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(Self {
            zones,
            microjoules: 0,
        })
    }

    /// Joules used since it was made. It has to be read before a counter has gone round, some minutes under full load.
    ///
    /// # Errors
    /// If a counter cannot be read any more.
    pub fn read(&mut self) -> io::Result<f64> {
        for zone in &mut self.zones {
            self.microjoules += zone.advance()?;
        }
        Ok(self.microjoules as f64 / 1e6)
    }
}

impl Zone {
    fn open(folder: &Path) -> io::Result<Self> {
        let counter = folder.join("energy_uj");
        Ok(Self {
            last: number(&counter)?,
            most: number(&folder.join("max_energy_range_uj"))?,
            counter,
        })
    }

    /// Microjoules since the last time.
    fn advance(&mut self) -> io::Result<u64> {
        let now = number(&self.counter)?;
        let last = std::mem::replace(&mut self.last, now);
        Ok(if now >= last {
            now - last
        } else {
            self.most.saturating_sub(last) + now
        })
    }
}

fn number(path: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(path).map_err(|error| named(path, &error))?;
    text.trim().parse().map_err(|_| {
        let message = format!("{}: expected a number, found {text:?}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(root: &Path, folder: &str, name: &str, microjoules: u64) {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("name"), format!("{name}\n")).unwrap();
        fs::write(folder.join("energy_uj"), format!("{microjoules}\n")).unwrap();
        fs::write(folder.join("max_energy_range_uj"), "1000000\n").unwrap();
    }

    #[test]
    fn packages_and_memory_count_and_their_parts_do_not() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir(root.join("intel-rapl")).unwrap();
        zone(root, "intel-rapl:0", "package-0", 100);
        zone(root, "intel-rapl:0:0", "core", 100);
        zone(root, "intel-rapl:0:1", "dram", 100);
        zone(root, "intel-rapl:1", "psys", 100);
        let mut meter = EnergyMeter::at(root).unwrap();
        assert_eq!(meter.read().unwrap(), 0.0);
        zone(root, "intel-rapl:0", "package-0", 300_100);
        zone(root, "intel-rapl:0:0", "core", 300_100);
        zone(root, "intel-rapl:0:1", "dram", 50_100);
        zone(root, "intel-rapl:1", "psys", 900_100);
        assert_eq!(meter.read().unwrap(), 0.35);
        // The first counter goes round.
        zone(root, "intel-rapl:0", "package-0", 100);
        assert_eq!(meter.read().unwrap(), 1.05);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let root = tempfile::tempdir().unwrap();
        let says = |folder: &Path| EnergyMeter::at(folder).unwrap_err().to_string();
        assert!(says(root.path()).contains("no zone of a package"));
        assert!(says(&root.path().join("none")).contains("none"));
        zone(root.path(), "intel-rapl:0", "package-0", 1);
        let counter = root.path().join("intel-rapl:0/energy_uj");
        fs::write(&counter, "much").unwrap();
        assert!(says(root.path()).contains("expected a number, found \"much\""));
        fs::remove_file(counter).unwrap();
        assert!(says(root.path()).contains("energy_uj"));
    }
}
