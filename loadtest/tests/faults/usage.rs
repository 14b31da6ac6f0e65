//! The exit status distinguishes wrong arguments from runs that fail.

use crate::run::run;

#[test]
fn a_wrong_command_line_has_exit_code_2_and_says_how_to_correct_it() {
    for (arguments, said) in [
        ("", "Usage"),
        ("echo", "--url"),
        ("dance --url ws://127.0.0.1:9", "dance"),
        ("echo --url 127.0.0.1:9", "ws://"),
        ("echo --url ftp://127.0.0.1:9", "it may be ws"),
        ("echo --url ws://ann@127.0.0.1:9", "--header"),
        ("echo --url ws://127.0.0.1:9 --size 8", "16 bytes"),
        ("echo --url ws://127.0.0.1:9 --size 31 --text", "32 bytes"),
        ("echo --url ws://127.0.0.1:9 --size 65M", "64M"),
        ("echo --url ws://127.0.0.1:9 --message hello", "{stamp}"),
        ("echo --url ws://127.0.0.1:9 --message {stamp} --size 20", "34 bytes"),
        ("echo --url ws://127.0.0.1:9 --message {stamp}{body} --deflate", "--deflate"),
        ("echo --url ws://127.0.0.1:9 -c 0", "1 or more"),
        ("echo --url ws://127.0.0.1:9 -c 4294967290", "open files"),
        ("echo --url ws://127.0.0.1:9 -c 9 --first-number 4294967290", "--first-number"),
        ("echo --url ws://127.0.0.1:9 --rate 0", "more than 0"),
        ("echo --url ws://127.0.0.1:9 --rate 1 --closed", "--closed"),
        ("echo --url ws://127.0.0.1:9 -d 0s", "--duration"),
        ("echo --url ws://127.0.0.1:9 -d 3", "30s"),
        ("echo --url ws://127.0.0.1:9 -d 500000years", "12 days"),
        ("echo --url ws://127.0.0.1:9 --cores 4000", "4000"),
        ("echo --url ws://127.0.0.1:9 --subprotocol a,b", "cannot be written"),
        ("echo --url ws://127.0.0.1:9 --source 127.0.0.2-127.0.0.1", "ends before"),
        ("echo --url ws://127.0.0.1:9 --source 192.0.2.1", "not an address of this host"),
        ("echo --url ws://127.0.0.1:9 --source ::1", "IPv6"),
        ("echo --url ws://127.0.0.1:9 -H Upgrade:x", "twice"),
        ("echo --url ws://127.0.0.1:9 -H Host:a -H Host:b", "one Host"),
        ("echo --url ws://127.0.0.1:9 --threads 0", "1 or more"),
        ("echo --url ws://127.0.0.1:9 --threads 5000", "at most"),
        ("compare --url a=ws://127.0.0.1:9 --control --threads 5000", "at most"),
        ("echo --url ws://127.0.0.1:9 --json /no/such/a", "--json: /no/such/a"),
        ("storm --url ws://127.0.0.1:9 --html /proc/a", "--html: /proc/a"),
        ("calibrate --save /", "--save: / is a folder"),
        ("merge a b --save /no/such/a", "--save: /no/such/a"),
        ("compare --url a=ws://127.0.0.1:9 --control --json /no/such/a", "--json: /no/such/a"),
        ("echo --url wss://127.0.0.1:9 --ca /no/such/file", "/no/such/file"),
    ] {
        let outcome = run(arguments);
        assert_eq!(outcome.status, 2, "{arguments}: {outcome:?}");
        assert!(outcome.errors.contains(said), "{arguments}: {}", outcome.errors);
    }
}

#[test]
fn help_and_version_have_exit_code_0() {
    for arguments in ["--help", "--version", "help", "echo --help"] {
        assert_eq!(run(arguments).status, 0, "{arguments}");
    }
}

#[test]
fn a_run_that_does_not_work_has_exit_code_4() {
    let outcome = run("echo --url ws://127.0.0.1:1 -q -c 1 -d 100ms");
    assert_eq!(outcome.status, 4, "{outcome:?}");
}
