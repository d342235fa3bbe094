// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes words so that a shell, or gdb in one, reads them as they are.

/// Quotes a word for a POSIX shell, unless it means itself.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Quotes a path for a command of gdb.
pub(crate) fn for_gdb(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', r"\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_each_word_as_it_is() {
        for word in ["/a/b-c_d.e,f=1", "", "a b", "it's", "$HOME", "a\nb", "*", "\"x\" \\", "a;b", "~"] {
            let script = format!("printf %s {}", quoted(word));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), word);
        }
    }

    #[test]
    fn a_plain_path_is_not_quoted() {
        assert_eq!(quoted("/a/b-c.elf"), "/a/b-c.elf");
        assert_eq!(quoted("/a b/c"), "'/a b/c'");
    }

    #[test]
    fn gdb_reads_a_path_with_a_space() {
        assert_eq!(for_gdb("/a b/\"c\\"), r#""/a b/\"c\\""#);
    }
}
