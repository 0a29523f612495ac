//! The parser refuses what it would misread, and names the line.

use crate::notation::parse;

#[test]
fn mistakes_are_found_where_they_are() {
    let check = |text: &str, error: &str| assert_eq!(parse(text).expect_err("a mistake"), error, "{text}");
    check("request 0 flexible none {\n}", "line 1: the `api` line comes first");
    check("api 1 fetch on broker", "line 1: fetch is no name");
    check("api 1 Fetch\n", "line 1: no head of a block: api 1 Fetch");
    check("data D 3-1 flexible none {\n}", "line 2: 3-1 is no range of versions");
    check("data D 0 {\n}", "line 1: wants `VERSIONS flexible VERSIONS {`");
    check("data D 0 flexible none {\n  A: int32", "line 2: the file ends inside a block");
    check("data D 0 flexible none {\n  A int32\n}", "line 2: a field's name ends with a colon");
    check("data D 0 flexible none {\n  A: int33\n}", "line 2: int33 is no type");
    check("data D 0 flexible none {\n\n  A: Other # a comment\n}", "line 4: D has no structure Other");
    check("data D 0 flexible none {\n  A: int32 = null\n}", "line 2: null is no default");
    check("data D 0 flexible none {\n  A: int32 ignorable tag 1\n}", "line 2: what is `tag 1`?");
    check("data D 0 flexible none {\n  A: string {\n  }\n}", "line 2: only a structure has fields");
    let twice = "data D 0 flexible none {\n  A: S {\n    X: int8\n  }\n  B: S {\n    X: int8\n  }\n}";
    check(twice, "line 7: S is defined twice");
}
