//! The wanted sysctls: those of `tuning/sysctl.d/60-ringway.conf`, which is built in, raised where
//! the configuration needs more.
//!
//! Each is a lower bound. Nothing here reads a host or writes anything.

use crate::doctor::needs::Needs;

/// The file in the repository: the only place where wanted values are defined.
pub const FILE: &str = include_str!("../../../../tuning/sysctl.d/60-ringway.conf");

/// A sysctl that should not be below a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Its name with dots.
    pub key: &'static str,
    /// The advised minimum: the file's value, or what the configuration needs.
    pub least: u64,
    /// The minimum that the gateway requires with this configuration.
    pub needed: u64,
}

/// A line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A comment or an empty line.
    Comment(&'static str),
    /// `key = value`
    Setting(&'static str, u64),
}

/// The file line by line (sysctl.d(5)).
pub fn lines() -> impl Iterator<Item = Line> {
    FILE.lines().map(|line| {
        let setting = line.split_once('=').filter(|_| !line.starts_with('#'));
        match setting {
            Some((key, value)) => Line::Setting(
                key.trim(),
                value.trim().parse().expect("the file's values are numbers, by a test"),
            ),
            None => Line::Comment(line),
        }
    })
}

/// All sysctls of the file, with the values for this configuration.
pub fn all(needs: &Needs) -> Vec<Wanted> {
    let wanted = lines().filter_map(|line| match line {
        Line::Setting(key, value) => Some((key, value)),
        Line::Comment(_) => None,
    });
    wanted
        .map(|(key, value)| {
            let needed = match key {
                "net.core.somaxconn" => needs.backlog,
                "net.ipv4.tcp_syncookies" => 1,
                "fs.nr_open" => needs.descriptors(),
                _ => 0,
            };
            Wanted { key, least: value.max(needed), needed }
        })
        .collect()
}

/// The sysctl with this name.
pub fn of(key: &str, needs: &Needs) -> Wanted {
    let found = all(needs).into_iter().find(|one| one.key == key);
    found.expect("a key of the file, by a test")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn every_setting_of_the_file_gives_its_reason_default_and_effect() {
        let mut comment = String::new();
        let mut settings = 0;
        for line in lines() {
            match line {
                Line::Comment("") => comment.clear(),
                Line::Comment(text) => comment.push_str(text),
                Line::Setting(key, value) => {
                    assert!(comment.contains("Default:"), "{key}");
                    assert!(comment.contains("Effect:"), "{key}");
                    assert!(value > 0, "{key}");
                    settings += 1;
                }
            }
        }
        assert!(settings > 0);
    }

    #[test]
    fn the_file_is_enough_for_the_default_configuration() {
        let needs = Needs::of(&Config::default(), 2);
        let file: Vec<_> = lines()
            .filter_map(|line| match line {
                Line::Setting(key, value) => Some((key, value)),
                Line::Comment(_) => None,
            })
            .collect();
        let wanted: Vec<_> = all(&needs).iter().map(|one| (one.key, one.least)).collect();
        assert_eq!(file, wanted);
        assert_eq!(of("net.core.somaxconn", &needs).needed, needs.backlog);
    }

    #[test]
    fn a_configuration_raises_the_settings_that_it_needs() {
        let mut config = Config::default();
        config.listeners[0].backlog = 20_000;
        let needs = Needs::of(&config, 2);
        assert_eq!(of("net.core.somaxconn", &needs).least, 20_000);
        assert_eq!(of("fs.nr_open", &needs).least, 1_048_576);
    }
}
