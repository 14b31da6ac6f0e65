//! README.md as data: its fenced `sh` and `console` blocks, split into commands. Never runs any of
//! them; a shell is only asked whether a command is complete.

use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};

/// One fenced block for a shell.
#[derive(Debug)]
pub struct Block {
    /// The line of its opening fence, from 1.
    pub line: usize,
    /// The reason given after `no-run`.
    pub no_run: Option<String>,
    pub entries: Vec<Entry>,
}

/// One command, and in a transcript its output.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub line: usize,
    pub command: String,
    /// `None` if the block does not give the output.
    pub output: Option<String>,
}

#[derive(Clone, Copy)]
enum Kind {
    Script,
    Transcript,
}

/// The shell blocks of a document, in order. Errors name the line.
pub fn parse(document: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((at, text)) = lines.next() {
        let Some((indent, fence, info)) = opening(text) else {
            continue;
        };
        let mut body = Vec::new();
        let mut closed = false;
        for (number, text) in lines.by_ref() {
            if closes(text, fence) {
                closed = true;
                break;
            }
            let own = text.len() - text.trim_start_matches(' ').len();
            body.push((number + 1, &text[own.min(indent)..]));
        }
        ensure!(closed, "line {}: the block is never closed", at + 1);
        let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
        let kind = match language {
            "sh" => Kind::Script,
            "console" => Kind::Transcript,
            "bash" | "shell" | "zsh" | "shell-session" => bail!(
                "line {}: write `sh` for commands or `console` for a transcript, not \
                 `{language}`: only those are run",
                at + 1
            ),
            _ => continue,
        };
        let no_run = reason(rest.trim(), at + 1)?;
        let entries = match kind {
            Kind::Script => script(&body)?,
            Kind::Transcript => transcript(&body)?,
        };
        blocks.push(Block { line: at + 1, no_run, entries });
    }
    Ok(blocks)
}

/// Indentation, fence and info string (CommonMark §4.5).
fn opening(text: &str) -> Option<(usize, &str, &str)> {
    let inner = text.trim_start_matches(' ');
    let mark = inner.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let length = inner.chars().take_while(|other| *other == mark).count();
    let info = inner[length..].trim();
    (length >= 3 && !info.contains('`')).then(|| (text.len() - inner.len(), &inner[..length], info))
}

fn closes(text: &str, fence: &str) -> bool {
    let text = text.trim();
    text.starts_with(fence) && text.chars().all(|mark| fence.starts_with(mark))
}

fn reason(rest: &str, line: usize) -> Result<Option<String>> {
    if rest.is_empty() {
        return Ok(None);
    }
    let Some(reason) = rest.strip_prefix("no-run") else {
        bail!("line {line}: after the language only `no-run REASON` may stand, not `{rest}`");
    };
    let reason = reason.trim();
    ensure!(!reason.is_empty(), "line {line}: `no-run` needs its reason after it");
    Ok(Some(reason.to_owned()))
}

fn script(body: &[(usize, &str)]) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut open = false;
    for (line, text) in body {
        match entries.last_mut().filter(|_| open) {
            Some(entry) => {
                entry.command.push('\n');
                entry.command.push_str(text);
            }
            None if text.trim().is_empty() || text.trim_start().starts_with('#') => continue,
            None => entries.push(Entry { line: *line, command: (*text).to_owned(), output: None }),
        }
        open = !complete(&entries[entries.len() - 1].command)?;
    }
    if let Some(entry) = entries.last().filter(|_| open) {
        bail!("line {}: `{}` is not a complete command", entry.line, entry.command);
    }
    Ok(entries)
}

fn transcript(body: &[(usize, &str)]) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut open = false;
    for (line, text) in body {
        let command = text.strip_prefix("$ ");
        match (entries.last_mut(), command) {
            (Some(entry), None) if open => {
                entry.command.push('\n');
                entry.command.push_str(text.strip_prefix("> ").unwrap_or(text));
            }
            (_, Some(command)) => entries.push(Entry {
                line: *line,
                command: command.to_owned(),
                output: Some(String::new()),
            }),
            (Some(entry), None) => {
                let output = entry.output.get_or_insert_default();
                output.push_str(text);
                output.push('\n');
                continue;
            }
            (None, None) => {
                bail!("line {line}: a `console` block begins with a command after `$ `")
            }
        }
        open = !complete(&entries[entries.len() - 1].command)?;
    }
    if let Some(entry) = entries.last().filter(|_| open) {
        bail!("line {}: `{}` is not a complete command", entry.line, entry.command);
    }
    Ok(entries)
}

/// Whether bash would run this rather than ask for more lines.
fn complete(command: &str) -> Result<bool> {
    if command.ends_with('\\') {
        return Ok(false);
    }
    let output = Command::new("bash").args(["-n", "-c", command]).stdin(Stdio::null()).output()?;
    // bash only warns about a here-document without its end.
    Ok(output.status.success() && output.stderr.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(document: &str) -> Vec<String> {
        parse(document)
            .unwrap()
            .into_iter()
            .flat_map(|block| block.entries)
            .map(|entry| entry.command)
            .collect()
    }

    #[test]
    fn only_shell_blocks_count_and_comments_do_not() {
        let document =
            "# T\n```toml\na = 1\n```\n```sh\n# build\nmake\n\nmake test\n```\n```\nx\n```\n";
        assert_eq!(commands(document), ["make", "make test"]);
        assert_eq!(parse(document).unwrap()[0].entries[1].line, 9);
    }

    #[test]
    fn a_command_may_span_lines() {
        let document = "```sh\ncurl -s \\\n  url\nfor x in 1 2; do\n  echo $x\ndone\n\
                        cat > f <<END\nbody\nEND\necho 'a\nb' |\n  wc\n```\n";
        assert_eq!(
            commands(document),
            [
                "curl -s \\\n  url",
                "for x in 1 2; do\n  echo $x\ndone",
                "cat > f <<END\nbody\nEND",
                "echo 'a\nb' |\n  wc",
            ]
        );
    }

    #[test]
    fn a_transcript_has_commands_and_their_output() {
        let document =
            "1. First\n\n   ```console\n   $ echo a \\\n   > b\n   a b\n   $ true\n   ```\n";
        let blocks = parse(document).unwrap();
        let expected = |line, command: &str, output: &str| Entry {
            line,
            command: command.to_owned(),
            output: Some(output.to_owned()),
        };
        assert_eq!(
            blocks[0].entries,
            [expected(4, "echo a \\\nb", "a b\n"), expected(7, "true", "")]
        );
    }

    #[test]
    fn blocks_that_are_not_run_say_why() {
        let blocks = parse("```sh no-run needs a NATS server\nnats pub\n```\n").unwrap();
        assert_eq!(blocks[0].no_run.as_deref(), Some("needs a NATS server"));
    }

    #[test]
    fn mistakes_are_reported_with_their_line() {
        for (document, words) in [
            ("x\n```bash\nls\n```\n", "line 2: write `sh`"),
            ("```sh no-run\nls\n```\n", "needs its reason"),
            ("```sh skip\nls\n```\n", "only `no-run REASON`"),
            ("```sh\nls\n", "never closed"),
            ("```sh\necho 'a\n```\n", "line 2: `echo 'a` is not a complete"),
            ("```console\nls\n```\n", "begins with a command"),
        ] {
            let error = parse(document).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
