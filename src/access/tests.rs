//! Secrets and passwords.

use super::{
    password::{Passwords, check_choice},
    secret::{SecretKind, hash},
};

#[tokio::test]
async fn a_password_is_known_by_its_hash_alone() {
    let passwords = Passwords::default();
    let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
    assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.0);
    assert_eq!(format!("{hash:?}"), "(hash)");
    let is_right = async |password: &str, hash| passwords.is_right(password.to_owned(), hash).await;
    assert_eq!(is_right("correct horse", Some(hash.clone())).await, Ok(true));
    assert_eq!(is_right("correct horsf", Some(hash.clone())).await, Ok(false));
    assert_eq!(is_right("correct horse", None).await, Ok(false), "nobody has a password");
    let again = passwords.hash("correct horse".to_owned()).await.unwrap();
    assert_ne!(again, hash, "each has a salt of its own");
}

#[tokio::test]
async fn no_more_passwords_wait_than_there_is_room_for() {
    let passwords = Passwords::default();
    let attempts = (0..200).map(|_| passwords.is_right("x".to_owned(), None));
    let answers = futures_util::future::join_all(attempts).await;
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert_eq!(refused, 200 - super::password::MOST);
    assert_eq!(passwords.is_right("x".to_owned(), None).await, Ok(false), "the room is free again");
}

#[test]
fn a_password_is_long_and_not_the_first_that_one_tries() {
    assert_eq!(check_choice("zebra crossing", 12, "alice"), Ok(()));
    for wrong in ["short", "aaaaaaaaaaaaaaaa", "121212121212", &"x".repeat(1025)] {
        assert!(check_choice(wrong, 12, "alice").is_err(), "{wrong}");
    }
    assert!(check_choice("alicealice", 8, "alice").is_err());
}

#[test]
fn secrets_are_long_random_and_recognised() {
    let made = SecretKind::Key.make();
    assert!(made.starts_with("fm_sk_") && made.len() == 49, "{made}");
    assert_ne!(made, SecretKind::Key.make());
    assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
