//! Well-known bots and the browsers of people, and that the list says of both what its package says.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use super::*;

/// Browsers, apps that show pages, televisions, consoles.
const PEOPLE: &str = include_str!("people.txt");
/// Crawlers of search engines and of language models, previews, checks, automated browsers.
const BOTS: &str = include_str!("bots.txt");

fn shipped() -> BotAgents {
    BotAgents::new(&[], &[])
}

#[test]
fn people_are_people_and_bots_are_bots() {
    let agents = shipped();
    for person in PEOPLE.lines() {
        assert!(!agents.is_bot(person), "{person}");
    }
    for bot in BOTS.lines() {
        assert!(agents.is_bot(bot), "{bot}");
    }
    assert!(!agents.is_bot(""));
}

#[test]
fn each_expression_of_the_list_is_read() {
    assert!(KEPT_LIST.lines().count() > 150);
    for line in KEPT_LIST.lines() {
        assert!(fancy_regex::Regex::new(line).is_ok(), "{line}");
    }
    LazyLock::force(&LIST);
}

/// The package's own function, in JavaScript, is asked about the same user agents, and about pieces of
/// them, which come close to what the expressions look for.
#[test]
fn the_list_says_what_its_package_says() {
    let words: Vec<&str> =
        PEOPLE.lines().chain(BOTS.lines()).flat_map(str::split_whitespace).collect();
    let mut asked: Vec<String> = PEOPLE.lines().chain(BOTS.lines()).map(str::to_owned).collect();
    for (at, word) in words.iter().enumerate() {
        asked.push((*word).to_owned());
        asked.push(format!("Mozilla/5.0 {word} {}", words[(at * 7 + 3) % words.len()]));
        asked.push(format!("{word} Жük\u{17f} {word}"));
    }
    let program = "import('isbot').then(async ({ isbot }) => {\
                   let text = ''; for await (const part of process.stdin) text += part;\
                   console.log(JSON.stringify(JSON.parse(text).map((agent) => isbot(agent)))); });";
    let mut node = Command::new("node");
    node.args(["-e", program]).stdin(Stdio::piped()).stdout(Stdio::piped());
    node.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard"));
    let mut node = node.spawn().expect("node, which the build needs as well");
    let as_json = serde_json::to_vec(&asked).unwrap();
    node.stdin.take().expect("it is piped").write_all(&as_json).expect("node reads all of it");
    let output = node.wait_with_output().expect("node ends");
    let said: Vec<bool> = serde_json::from_slice(&output.stdout).expect("a list");
    assert_eq!(said.len(), asked.len());
    let agents = shipped();
    let ours = |agent: &str| OURS.iter().any(|text| agent.to_lowercase().contains(text));
    for (agent, said) in asked.iter().zip(said) {
        assert_eq!(agents.is_bot(agent), said || ours(agent), "{agent}");
    }
}

#[test]
fn a_shop_says_of_its_own_programs_what_they_are() {
    let own = ["Shelf-Scanner".to_owned()];
    let kiosk = ["KioskShell".to_owned()];
    let agents = BotAgents::new(&own, &kiosk);
    let browser = PEOPLE.lines().next().unwrap();
    assert!(agents.is_bot(&format!("{browser} shelf-scanner/2")));
    assert!(!agents.is_bot(&format!("{browser} HeadlessChrome/142 kioskshell/1")));
    assert!(agents.is_bot(&format!("{browser} HeadlessChrome/142")));
}

#[test]
fn as_many_user_agents_as_one_likes_take_no_more_room() {
    let agents = shipped();
    for n in 0..MAX_REMEMBERED * 2 {
        assert!(agents.is_bot(&format!("Googlebot/{n}")));
    }
    assert!(agents.0.remembered.lock().len() <= MAX_REMEMBERED);
    // A character is never cut in two.
    assert!(!agents.is_bot(&"ü (ü; ".repeat(MAX_AGENT)));
}
