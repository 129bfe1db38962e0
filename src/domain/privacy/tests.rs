//! What is taken out, and what is left as it is.

use base64::Engine;

use super::*;
use crate::domain::packed::URL_BASE64;

fn privacy(addresses: Addresses, never: &[&str]) -> Privacy {
    let never: Vec<String> = never.iter().map(ToString::to_string).collect();
    Privacy::new(addresses, &never)
}

#[test]
fn addresses_are_taken_out_wherever_they_stand() {
    let dropped = privacy(Addresses::Dropped, &[]);
    let text = r#"{"amount":1.50,"$ip":"192.0.2.1","context":{"IP":"2001:db8::1","big":12345678901234567890},
        "list":[{"client.address":"192.0.2.1"},7],"X-Forwarded-For":"192.0.2.1, 10.0.0.1","shipping":"a"}"#;
    let cleaned = dropped.cleaned(text).unwrap();
    assert!(!cleaned.contains("192.0.2") && !cleaned.contains("2001"), "{cleaned}");
    assert!(cleaned.contains(r#""amount":1.50"#) && cleaned.contains("12345678901234567890"));
    assert!(cleaned.contains(r#""shipping":"a""#));
    assert_eq!(dropped.cleaned(r#"{"shipping":"a","address":"Street 1","tip":5}"#), None);
    assert_eq!(privacy(Addresses::Kept, &[]).cleaned(text), None);
}

#[test]
fn what_is_cut_is_the_network() {
    let cut = privacy(Addresses::Cut, &[]);
    let cleaned = |text: &str| cut.cleaned(text);
    assert_eq!(cleaned(r#"{"ip":"192.0.2.77"}"#).unwrap(), r#"{"ip":"192.0.2.0"}"#);
    assert_eq!(cleaned(r#"{"ip":"::ffff:192.0.2.77"}"#).unwrap(), r#"{"ip":"192.0.2.0"}"#);
    assert_eq!(cleaned(r#"{"ip":"2001:db8:1:2:3::4"}"#).unwrap(), r#"{"ip":"2001:db8:1::"}"#);
    assert_eq!(cleaned(r#"{"ip":"unknown"}"#).unwrap(), "{}");
    assert_eq!(cleaned(r#"{"ip":"192.0.2.0"}"#), None, "it is one already");
}

#[test]
fn what_is_packed_is_looked_into() {
    let dropped = privacy(Addresses::Dropped, &["email"]);
    let context = r#"{"data":[{"data":{"ip":"192.0.2.1","n":1}},{"email":"a@b.example"}]}"#;
    let left = r#"{"data":[{"data":{"n":1}},{}]}"#;
    let packed =
        serde_json::json!({"cx": URL_BASE64.encode(context), "co": context, "eyes": "eyeliner"});
    let cleaned = dropped.cleaned(&packed.to_string()).unwrap();
    let expected =
        serde_json::json!({"cx": URL_BASE64.encode(left), "co": left, "eyes": "eyeliner"});
    assert_eq!(cleaned, expected.to_string());
    assert_eq!(dropped.cleaned(&expected.to_string()), None);
    // A query has it too, whole or not.
    let query = format!("e=ue&aid=shop&cx={}", URL_BASE64.encode(context));
    assert_eq!(dropped.kept(query[..query.len() - 9].to_owned()), NOT_KEPT);
    assert_eq!(dropped.kept(query), NOT_KEPT);
    let query = format!("e=ue&aid=shop&cx={}", URL_BASE64.encode(left));
    assert_eq!(dropped.kept(query.clone()), query);
}

#[test]
fn of_who_refuses_nothing_is_kept_that_says_who_that_is() {
    let anonymous = privacy(Addresses::Kept, &["coupon"]).without_identity();
    let text = r#"{"$user_id":"u","amount":1.50,"Email":"a","nested":{"deviceId":7,"coupon":"X","n":1},"ip":"192.0.2.1"}"#;
    let cleaned = anonymous.cleaned(text).unwrap();
    assert_eq!(cleaned, r#"{"amount":1.50,"nested":{"n":1}}"#);
    assert_eq!(anonymous.cleaned(r#"{"amount":1.50,"path":"/"}"#), None);
    assert_eq!(anonymous.kept(r#"{"userId":"u","type":7}"#.to_owned()), r#"{"type":7}"#);
    assert_eq!(anonymous.kept("e=pv&duid=x".to_owned()), NOT_KEPT);
}

#[test]
fn a_name_says_by_which_key_it_is_left_out() {
    let dropped = privacy(Addresses::Dropped, &["Email"]);
    assert_eq!(dropped.leaves_out("email"), Some("privacy.never_store"));
    assert_eq!(dropped.leaves_out("$ip"), Some("privacy.ip"));
    assert_eq!(dropped.leaves_out("amount"), None);
    assert_eq!(privacy(Addresses::Cut, &[]).leaves_out("$ip"), None);
}

#[test]
fn named_properties_are_never_stored_at_any_depth() {
    let never = privacy(Addresses::Kept, &["email", "birthDate"]);
    assert_eq!(
        never.cleaned(r#"{"a":{"Email":"x","b":1},"birthdate":5,"ip":"192.0.2.1"}"#).unwrap(),
        r#"{"a":{"b":1},"ip":"192.0.2.1"}"#
    );
    assert_eq!(never.cleaned(r#"{"mail":"x"}"#), None);
    // As Python and PHP write it.
    let foreign = privacy(Addresses::Dropped, &["Größe"]);
    for text in [r#"{"gr\u00f6\u00dfe":5}"#, r#" {"GRÖßE":5}"#, r#"{"\u0069p":"192.0.2.1"}"#] {
        assert_eq!(foreign.cleaned(text).as_deref(), Some("{}"), "{text}");
    }
    let pair = r#"[{"key":"client.address","value":{"stringValue":"192.0.2.1"}}]"#;
    assert_eq!(foreign.kept(pair.to_owned()), "[{}]");
}

#[test]
fn a_text_that_can_not_be_read_is_not_kept_where_it_names_one() {
    let dropped = privacy(Addresses::Dropped, &["email"]);
    let kept = |text: &str| dropped.kept(text.to_owned());
    assert_eq!(kept(r#"{"type":7,"properties":{"email":"x"}}"#), r#"{"properties":{},"type":7}"#);
    assert_eq!(kept("idsite=1&cip=192.0.2.1"), NOT_KEPT);
    assert_eq!(kept("idsite=1&%63ip=192.0.2.1"), NOT_KEPT);
    assert_eq!(kept(r#"{"email":"x"#), NOT_KEPT);
    assert_eq!(kept(r#"{"type":NaN}"#), r#"{"type":NaN}"#);
    assert_eq!(privacy(Addresses::Kept, &[]).kept("cip=192.0.2.1".to_owned()), "cip=192.0.2.1");
}
