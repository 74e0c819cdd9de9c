//! The local time.

use std::{
    env,
    io::{self, Write},
    sync::Once,
};

use jiff::{Zoned, tz::TimeZone};

/// Now, in the local time zone; in UTC where `TZ` names a zone that this machine does not know, which is said once.
pub fn now() -> Zoned {
    static SAID: Once = Once::new();
    let time = Zoned::now();
    if !time.time_zone().is_unknown() {
        return time;
    }
    if let Some(name) = env::var_os("TZ").filter(|name| !name.is_empty()) {
        let name = name.display().to_string();
        let advice = "times are in UTC; install the time zone database (tzdata), or name a zone that it has";
        SAID.call_once(|| drop(writeln!(io::stderr(), "the time zone TZ={name} is not known here: {advice}")));
    }
    time.with_time_zone(TimeZone::UTC)
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    /// What the test below says in a process of its own.
    const ASKED: &str = "TRIBUTARY_TEST_TIME";

    #[test]
    fn a_zone_is_known_by_name_and_one_that_is_not_is_told_once() {
        if env::var_os(ASKED).is_some() {
            for _ in 0..2 {
                let _ = writeln!(io::stdout(), "offset {}", now().strftime("%:z"));
            }
            return;
        }
        let said = |zone: &str| {
            let mut command = Command::new(env::current_exe().unwrap());
            command.args(["--exact", "time::tests::a_zone_is_known_by_name_and_one_that_is_not_is_told_once"]);
            let output = command.arg("--nocapture").env("TZ", zone).env(ASKED, "1").output().unwrap();
            let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
            (text.matches("offset ").count(), text)
        };
        for (zone, offset) in
            [("UTC", "+00:00"), ("EST5", "-05:00"), ("America/Bogota", "-05:00"), (":Asia/Tokyo", "+09:00")]
        {
            if zone.contains('/') && !std::path::Path::new("/usr/share/zoneinfo").exists() {
                let _ = writeln!(io::stderr(), "skipped: there is no time zone database here");
                continue;
            }
            let (times, text) = said(zone);
            assert!(
                times == 2 && text.contains(&format!("offset {offset}")) && !text.contains("not known"),
                "{zone}: {text}"
            );
        }
        let (times, text) = said("No/Where");
        assert!(times == 2 && text.contains("offset +00:00"), "{text}");
        assert_eq!(text.matches("TZ=No/Where is not known").count(), 1, "{text}");
    }
}
