//! `floodmark completions` and `floodmark man`: what packages install beside the program, made from the
//! same declarations that read the arguments.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, exit::Exit};

/// The flags of `floodmark completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell that they are for
    shell: Shell,
}

/// Prints a script with which a shell completes our commands and flags.
pub fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "floodmark", &mut script);
    print(&script)
}

/// Prints the manual page: the program, then each command with its flags.
pub fn man() -> ExitCode {
    match page(Cli::command()) {
        Ok(page) => print(&page),
        Err(e) => failed(&e),
    }
}

/// The page in roff. clap_mangen writes one page a command; a server has one page for all of it.
fn page(mut program: Command) -> io::Result<Vec<u8>> {
    program.build();
    let whole = clap_mangen::Man::new(program.clone());
    let mut page = Vec::new();
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    writeln!(page, ".SH COMMANDS")?;
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(page, ".SS floodmark {}\n{about}\n", command.get_name().replace('-', "\\-"))?;
        let mut options = Vec::new();
        clap_mangen::Man::new(command.clone()).render_options_section(&mut options)?;
        // Within this section, options need no heading of their own.
        let options = String::from_utf8_lossy(&options).replace(".SH OPTIONS\n", "");
        page.write_all(options.as_bytes())?;
    }
    page.write_all(FILES.as_bytes())?;
    Ok(page)
}

/// What is not in the declarations.
const FILES: &str = "\
.SH EXIT STATUS
0 it did what it says; 1 it could not; 2 wrong arguments or configuration; 3 the server stopped while \
events wait in the spool; 4 a second signal ended it at once.
.SH ENVIRONMENT
\\fBFLOODMARK_\\fISECTION\\fB__\\fIKEY\\fR sets a key of the configuration, and the same name with \
\\fB_FILE\\fR at its end names a file that has the value.
.SH FILES
.TP
\\fI/etc/floodmark/floodmark.toml\\fR
The configuration of the service that the Debian package installs.
.TP
\\fI/var/lib/floodmark\\fR
Its data dir.
";

fn print(text: &[u8]) -> ExitCode {
    match io::stdout().lock().write_all(text) {
        Ok(()) => Exit::Done.into(),
        // Who reads it may end early, as `head` does.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Exit::Done.into(),
        Err(e) => failed(&e),
    }
}

fn failed(error: &io::Error) -> ExitCode {
    eprintln!("floodmark: can't write: {error}");
    Exit::Failed.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_command() {
        let page = String::from_utf8(page(Cli::command()).unwrap()).unwrap();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name().replace('-', "\\-");
            assert!(page.contains(&format!(".SS floodmark {name}\n")), "{name}");
        }
        assert!(page.starts_with(".ie") || page.starts_with(".TH"), "{}", &page[..60]);
        assert!(page.contains("data\\-dir") && page.contains(".SH FILES"));
    }

    #[test]
    fn every_shell_has_its_script() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "floodmark", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("dead-letters") && script.contains("data-dir"), "{shell}");
        }
    }
}
