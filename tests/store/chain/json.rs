//! Objects for the chain of hashes, as stores give them back in another form.

use proptest::prelude::*;

/// JSON as nobody writes it by hand.
pub fn objects() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        r#"[ -!#-\[\]-~]{0,6}"#,
        Just("\u{fc}\u{1f600}\u{e000}\u{7f}".to_owned()),
        Just(r#"\u00fc\ud83d\ude00\/\"\\\b\f\n\r\t"#.to_owned()),
        Just(r#"\u0041\u001F "#.to_owned()),
    ];
    let number = prop_oneof![
        r#"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?"#,
        r#"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?"#,
        Just("-0".to_owned()),
        Just("-0.00e5".to_owned()),
        Just("1E2".to_owned()),
        Just("100.0".to_owned()),
        Just("0.1e-16000".to_owned()),
        Just("1e131000".to_owned()),
    ];
    let quoted = text.prop_map(|text| format!("\"{text}\"")).boxed();
    let leaf = prop_oneof![
        number,
        quoted.clone(),
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned()),
    ];
    let space = || prop_oneof![Just(""), Just(" "), Just("\n\t\r ")];
    let value = leaf.prop_recursive(4, 24, 5, move |inner| {
        let list = prop::collection::vec(inner.clone(), 0..5).prop_map(|all| all.join(" ,"));
        let name =
            prop_oneof![Just("\"a\"".to_owned()), Just(r#""\u0061""#.to_owned()), quoted.clone()];
        let members = prop::collection::vec((name, space(), inner), 0..5);
        let object = members.prop_map(move |all| {
            let member = |(name, gap, value)| format!("{name}{gap}:{gap}{value}");
            all.into_iter().map(member).collect::<Vec<_>>().join(",")
        });
        prop_oneof![
            list.prop_map(|list| format!("[{list} ]")),
            object.prop_map(|members| format!("{{ {members}}}"))
        ]
    });
    prop::collection::vec(("\"[a-c]{0,2}\"", space(), value), 0..6).prop_map(|members| {
        let all: Vec<_> =
            members.iter().map(|(name, gap, value)| format!("{name}{gap}:{gap}{value}")).collect();
        format!("{{{}}}", all.join(" , "))
    })
}
